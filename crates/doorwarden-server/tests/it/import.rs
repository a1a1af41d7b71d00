//! Accounts of Django keep their ids, passwords, groups, permissions and tokens.

use crate::django::{Database, data, expected, import, import_command, program, run};
use doorwarden::UserId;
use doorwarden::core::identity::EmailAddress;
use doorwarden::core::permission::Group;
use doorwarden::core::settings::WithoutSession;
use doorwarden::core::user::UserChange;
use doorwarden_testkit::no_effects;
use serde_json::{Value, json};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// One test for each of Django's databases and each kind of target.
macro_rules! for_each_database {
    ($($name:ident)+) => {
        for_each_database!(@ django_2_1_on_sqlite, "django-2.1", sqlite; $($name)+);
        for_each_database!(@ django_6_1_on_sqlite, "django-6.1", sqlite; $($name)+);
        for_each_database!(@ django_6_1_from_sqlite_to_postgres, "django-6.1", postgres; $($name)+);
        for_each_database!(@ django_2_1_on_postgres, "django-2.1.pg", postgres; $($name)+);
        for_each_database!(@ django_6_1_from_postgres_to_sqlite, "django-6.1.pg", sqlite; $($name)+);
    };
    (@ $module:ident, $source:literal, $target:ident; $($name:ident)+) => {
        mod $module {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let Some(target) = for_each_database!(@open $target) else { return };
                let Some(source) = super::Database::django($source).await else { return };
                super::$name(source, target, super::expected($source)).await;
            })+
        }
    };
    (@open sqlite) => { Some(super::Database::sqlite()) };
    (@open postgres) => { super::Database::postgres().await };
}

for_each_database! {
    every_imported_account_logs_in_and_is_unchanged
    tokens_of_django_are_accepted_if_configured_and_until_they_expire
    a_second_run_changes_nothing
}

async fn every_imported_account_logs_in_and_is_unchanged(
    source: Database,
    target: Database,
    expected: Value,
) {
    import(&source, &target, &["--on-conflict", "rename"], 0);
    let service = target.service(expected["secret_key"].as_str().unwrap(), WithoutSession::Refuse).await;
    for user in expected["users"].as_array().unwrap() {
        let renamed = user["id"] == 15;
        let email = if renamed { "user-15@duplicate.invalid" } else { user["email"].as_str().unwrap() };
        for wrong in user["wrong"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            assert_eq!(service.log_in(email, wrong).await, None, "{user}: {wrong:?}");
        }
        let Some(password) = user["password"].as_str() else {
            for wrong in ["", " ", "!", "garbage"] {
                assert_eq!(service.log_in(email, wrong).await, None, "{user}: {wrong:?}");
            }
            continue;
        };
        let token = service.log_in(email, password).await;
        if user["is_active"] == false {
            assert_eq!(token, None, "{user}");
            continue;
        }
        let me = service.me(&token.unwrap_or_else(|| panic!("{user}"))).await.unwrap();
        assert_eq!(me["id"], user["id"]);
        assert_eq!(me["email"], email);
        assert_eq!(me["username"], if renamed { json!("CLASH-15") } else { user["username"].clone() });
        for field in ["is_active", "is_staff", "is_superuser"] {
            assert_eq!(me[field], user[field], "{user}");
        }
        assert_eq!(sorted(&me["groups"]), sorted(&user["groups"]), "{user}");
        let direct = service.auth.context().store.user_permissions(UserId(user["id"].as_i64().unwrap()));
        assert_eq!(direct.await.unwrap(), sorted(&user["user_permissions"]), "{user}");
    }
    for padded in ["padded password", " padded password", "\tpadded password \u{3000}"] {
        assert!(service.log_in("padded@example.com", padded).await.is_some(), "{padded:?}");
    }
    let groups = service.auth.context().store.groups().await.unwrap();
    let mut names: Vec<&str> = groups.iter().map(|group| group.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["Moderatoren für Bücher", "editors", "empty group"]);
    for group in expected["groups"].as_array().unwrap() {
        let here = groups.iter().find(|here| here.name == group["name"]).unwrap();
        assert_eq!(here.permissions, sorted(&group["permissions"]));
    }
    let (_, body) = service
        .post(
            "/registration",
            &json!({"email": "new@example.com", "username": "new", "password": "correct horse"}),
        )
        .await;
    let me = service.me(body["token"].as_str().unwrap()).await.unwrap();
    assert_eq!(me["id"], 63, "an id of before is never given again");
    service.auth.close().await;
}

async fn tokens_of_django_are_accepted_if_configured_and_until_they_expire(
    source: Database,
    target: Database,
    expected: Value,
) {
    import(&source, &target, &["--on-conflict", "skip"], 0);
    let key = expected["secret_key"].as_str().unwrap();
    let tokens = expected["tokens"].as_array().unwrap();
    let refusing = target.service(key, WithoutSession::Refuse).await;
    for token in tokens {
        assert_eq!(refusing.me(token["token"].as_str().unwrap()).await, None);
    }
    refusing.auth.close().await;

    let accepting = target.service(key, WithoutSession::Accept).await;
    for token in tokens {
        let me = accepting.me(token["token"].as_str().unwrap()).await;
        let id = me.map(|me| me["id"].clone());
        assert_eq!(id, token["valid"].as_bool().unwrap().then(|| token["id"].clone()), "{token}");
    }
    let first = tokens[0]["token"].as_str().unwrap();
    accepting.clock.advance(Duration::from_hours(24 * 62));
    assert_eq!(accepting.me(first).await, None, "it has expired");
    accepting.auth.close().await;
}

async fn a_second_run_changes_nothing(source: Database, target: Database, _: Value) {
    import(&source, &target, &["--on-conflict", "skip"], 0);
    let store = target.store();
    // Changes made after the import are kept as well.
    let change =
        UserChange { email: Some(EmailAddress::from_stored("alice@new.example")), ..UserChange::default() };
    store.update_user(UserId(1), change, no_effects()).await.unwrap();
    store.remove_from_group(UserId(1), "editors", no_effects()).await.unwrap();
    store.close().await;
    let before = (target.accounts().await, groups(&target).await);
    for conflict in ["skip", "skip"] {
        let report = import(&source, &target, &["--on-conflict", conflict], 0);
        assert_eq!(
            (&report["imported"], &report["already_here"], &report["new_groups"], &report["new_permissions"]),
            (&json!(0), &json!(61), &json!(0), &json!(0))
        );
        assert_eq!((target.accounts().await, groups(&target).await), before);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renamed_user_is_recognised_by_the_next_import() {
    let (source, target) = (Database::django("django-6.1").await.unwrap(), Database::sqlite());
    import(&source, &target, &["--on-conflict", "rename"], 0);
    let before = target.accounts().await;
    let report = import(&source, &target, &[], 0);
    assert_eq!((&report["already_here"], &report["findings"]), (&json!(62), &json!(0)));
    assert_eq!(target.accounts().await, before);
}

#[tokio::test]
async fn rows_that_differ_only_in_case_conflict() {
    let source = Database::django("django-6.1").await.unwrap();
    let target = Database::sqlite();
    let report = import(&source, &target, &[], 1);
    // The other two have no usable password.
    assert_eq!((&report["outcome"], &report["findings"]), (&json!("stopped"), &json!(3)));
    let finding = &report["first_findings"][0];
    assert_eq!((&finding["id"], &finding["name"]), (&json!(15), &json!("CLASH <clash@example.com>")));
    assert!(finding["problem"].as_str().unwrap().contains("user 14"));
    assert!(!target.path().exists(), "nothing was done by halves");

    let report = import(&source, &target, &["--on-conflict", "skip"], 0);
    assert_eq!((&report["imported"], &report["findings"]), (&json!(61), &json!(3)));
    assert_eq!(report["superusers"], json!([{"id": 10, "name": "root <Root.Admin@example.com>"}]));
    assert_eq!(report["staff"], json!([{"id": 11, "name": "staff <staff@example.com>"}]));
    let accounts = target.accounts().await;
    assert!(accounts.iter().any(|(user, ..)| user.id == UserId(14) && user.username.as_str() == "clash"));
    assert!(!accounts.iter().any(|(user, ..)| user.id == UserId(15)));
}

#[tokio::test]
async fn a_dry_run_reports_and_changes_nothing() {
    let source = Database::django("django-2.1").await.unwrap();
    let target = Database::sqlite();
    let report = import(&source, &target, &["--dry-run", "--on-conflict", "skip"], 0);
    assert_eq!(
        (&report["imported"], &report["groups"], &report["permissions"]),
        (&json!(61), &json!(3), &json!(24))
    );
    assert!(!target.path().exists());
    let django = std::fs::read(source.path()).unwrap();
    let report = import(&source, &source, &["--dry-run", "--on-conflict", "skip"], 0);
    assert_eq!(report["imported"], 61);
    assert_eq!(std::fs::read(source.path()).unwrap(), django, "not even Django's own file");
    assert_eq!(django, std::fs::read(data("django-2.1.sqlite3")).unwrap());
}

#[tokio::test]
async fn accounts_can_be_imported_into_djangos_own_database() {
    let source = Database::django("django-6.1").await.unwrap();
    let report = import(&source, &source, &["--on-conflict", "skip"], 0);
    assert_eq!(report["imported"], 61);
    assert_eq!(source.accounts().await.len(), 61);
    let report = import(&source, &source, &["--on-conflict", "skip"], 0);
    assert_eq!((&report["table"], &report["already_here"]), (&json!("authentication_user"), &json!(61)));
}

#[tokio::test]
async fn an_existing_account_with_the_same_id_stays_and_the_row_is_reported() {
    let (source, target) = (Database::django("django-6.1").await.unwrap(), Database::sqlite());
    let service = target.service("a secret key of thirty-two bytes!", WithoutSession::Refuse).await;
    let body = json!({"email": "first@example.com", "username": "first", "password": "correct horse"});
    assert_eq!(service.post("/registration", &body).await.0, 201);
    for conflict in ["stop", "skip", "rename"] {
        let report = import(&source, &target, &["--on-conflict", conflict], i32::from(conflict == "stop"));
        let finding = &report["first_findings"][0];
        assert_eq!((&finding["id"], &finding["action"]), (&json!(1), &json!("skipped")));
    }
    // The running service knows the new accounts.
    assert!(service.log_in("user1@example.com", "correct horse 1").await.is_some());
    assert!(service.log_in("first@example.com", "correct horse").await.is_some());
    service.auth.close().await;
}

/// Django's own table of users, with an application's changes.
pub(crate) fn auth_user(rows: &str) -> Database {
    let database = Database::sqlite();
    let sql = "CREATE TABLE auth_user (id integer PRIMARY KEY AUTOINCREMENT, password varchar(128), last_login datetime,
            is_superuser bool, username varchar(150), first_name varchar(150), email varchar(254), is_staff bool,
            is_active bool, date_joined datetime, karma integer);
        CREATE TABLE auth_user_groups (id integer PRIMARY KEY, customuser_id integer, group_id integer);
        CREATE TABLE auth_user_user_permissions (id integer PRIMARY KEY, customuser_id integer, permission_id integer);
        CREATE TABLE auth_group (id integer PRIMARY KEY, name varchar(150));
        CREATE TABLE django_content_type (id integer PRIMARY KEY, app_label varchar(100), model varchar(100));
        CREATE TABLE auth_permission (id integer PRIMARY KEY, content_type_id integer, codename varchar(100), name text);
        CREATE TABLE auth_group_permissions (id integer PRIMARY KEY, group_id integer, permission_id integer);
        INSERT INTO auth_group VALUES (1, 'editors');
        INSERT INTO django_content_type VALUES (1, 'blog', 'post');
        INSERT INTO auth_permission VALUES (1, 1, 'add_post', 'Can add post');
        INSERT INTO auth_group_permissions VALUES (1, 1, 1);";
    database.sql().execute_batch(&format!("{sql}\n{rows}")).unwrap();
    database
}

#[tokio::test]
async fn djangos_own_user_model_keeps_its_dates_and_chosen_columns() {
    let source = auth_user(
        "INSERT INTO auth_user VALUES
            (7, 'md5$a$0cc175b9c0f1b6a831c399e269772661', '2024-02-29 23:59:59.123456', 1, 'jane', 'Jane', 'jane@example.com', 1, 1, '2018-10-04 12:00:00', 12),
            (9, '!x', NULL, 0, 'joe', '', 'joe@example.com', 0, 0, '2019-01-01 00:00:00.5', NULL);
         INSERT INTO auth_user_groups VALUES (1, 7, 1), (2, 7, 99);
         INSERT INTO auth_user_user_permissions VALUES (1, 9, 1);
         UPDATE sqlite_sequence SET seq = 40;",
    );
    let target = Database::sqlite();
    let report = import(&source, &target, &["--metadata", "first_name", "--metadata", "karma"], 0);
    assert_eq!(report["passwords_trimmed"], false);
    assert_eq!(report["first_findings"][0]["problem"], "1 without an existing group or permission");
    let accounts = target.accounts().await;
    let (jane, groups, _) = &accounts[0];
    assert_eq!(jane.date_joined.to_string(), "2018-10-04T12:00:00.000000Z");
    assert_eq!(jane.last_login.unwrap().to_string(), "2024-02-29T23:59:59.123456Z");
    assert_eq!(Value::from(jane.metadata.clone()), json!({"first_name": "Jane", "karma": 12}));
    assert_eq!(
        (jane.id, jane.is_superuser, groups.as_slice()),
        (UserId(7), true, &["editors".to_owned()][..])
    );
    let (joe, _, permissions) = &accounts[1];
    assert_eq!(permissions, &["blog.add_post"]);
    assert!(!joe.is_active && !joe.password_trimmed && joe.last_login.is_none());

    let service = target.service("a secret key of thirty-two bytes!", WithoutSession::Refuse).await;
    let body = json!({"email": "new@example.com", "username": "new", "password": "correct horse"});
    let (_, answer) = service.post("/registration", &body).await;
    let me = service.me(answer["token"].as_str().unwrap()).await.unwrap();
    assert_eq!(me["id"], 41, "a token of a deleted user may still name 40");
    service.auth.close().await;
}

#[tokio::test]
async fn imported_addresses_count_as_proved_as_far_as_the_operator_says() {
    let row = |id: i64, email: &str, first_name: &str, karma: &str| {
        format!(
            "INSERT INTO auth_user VALUES ({id}, '!x', NULL, 0, 'u{id}', {first_name}, '{email}', 0, 1, \
             '2018-10-04 12:00:00', {karma});"
        )
    };
    let rows = [
        row(1, "a@example.com", "'2020-02-29T12:00:00Z'", "1"),
        row(2, "b@example.com", "NULL", "0"),
        row(3, "c@example.com", "NULL", "NULL"),
        row(4, "A@example.com", "NULL", "1"),
    ];
    let verified = async |options: &[&str]| {
        let target = Database::sqlite();
        import(&auth_user(&rows.concat()), &target, &[&["--on-conflict", "rename"], options].concat(), 0);
        let accounts = target.accounts().await;
        let shown = |at: doorwarden::core::time::Timestamp| at.to_string()[..10].to_owned();
        let proved = accounts.iter().map(|(user, ..)| user.email_verified_at.map(shown)).collect::<Vec<_>>();
        let metadata = Value::from(accounts[0].0.metadata.clone());
        (proved.iter().map(Option::is_some).collect::<Vec<_>>(), proved[0].clone(), metadata)
    };
    assert_eq!(verified(&[]).await.0, [false; 4]);
    // The fourth has got an address that nobody has.
    assert_eq!(verified(&["--verified"]).await.0, [true, true, true, false]);
    let (proved, _, metadata) = verified(&["--verified-from", "karma"]).await;
    assert_eq!((proved, metadata), (vec![true, false, false, false], json!({})));
    let (proved, at, metadata) =
        verified(&["--verified-from", "first_name", "--metadata", "first_name"]).await;
    assert_eq!((proved, at), (vec![true, false, false, false], Some("2020-02-29".to_owned())));
    assert_eq!(metadata, json!({"first_name": "2020-02-29T12:00:00Z"}));

    let source = auth_user(&row(1, "a@example.com", "'perhaps'", "2"));
    for column in ["first_name", "karma"] {
        let report = import(&source, &Database::sqlite(), &["--verified-from", column], 1);
        let problem = report["first_findings"][0]["problem"].as_str().unwrap();
        assert!(problem.starts_with(&format!("`auth_user.{column}` is neither true nor false")), "{problem}");
    }
}

#[tokio::test]
async fn conflicting_rows_are_reported_with_the_reason() {
    let source = auth_user(
        "INSERT INTO auth_user VALUES
            (1, 'md5$a$0cc175b9c0f1b6a831c399e269772661', NULL, 0, 'nobody', '', '', 0, 1, '2018-10-04 12:00:00', 0),
            (2, 'md5$a$0cc175b9c0f1b6a831c399e269772661', NULL, 0, 'nothing', '', NULL, 0, 1, '2018-10-04 12:00:00', 0),
            (3, 'md5$a$0cc175b9c0f1b6a831c399e269772661', 'yesterday', 0, 'late', '', 'late@example.com', 0, 1, '2018-10-04 12:00:00', 0),
            (4, x'ff00', NULL, 0, 'blob', '', 'blob@example.com', 0, 1, '2018-10-04 12:00:00', 0),
            (5, 'md5$a$0cc175b9c0f1b6a831c399e269772661', NULL, 0, 'a' || char(0), '', 'nul@example.com', 0, 1, '2018-10-04 12:00:00', 0),
            (6, 'md5$a$0cc175b9c0f1b6a831c399e269772661', NULL, 0, 'LATE', '', 'other@example.com', 0, 1, '2018-10-04 12:00:00', 0),
            (7, 'md5$a$0cc175b9c0f1b6a831c399e269772661', NULL, 0, 'LATE-6', '', 'seven@example.com', 0, 1, '2018-10-04 12:00:00', 0);
         INSERT INTO auth_permission VALUES (2, 1, 'is the boss', 'Boss');",
    );
    let target = Database::sqlite();
    let folder = Database::sqlite();
    let file = folder.path().with_extension("report");
    let report = import(&source, &target, &["--on-conflict", "skip", "--report", file.to_str().unwrap()], 0);
    assert_eq!((&report["imported"], &report["findings"]), (&json!(2), &json!(7)));
    let lines = std::fs::read_to_string(&file).unwrap();
    let findings: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told = |id: i64, kind: &str| {
        let finding = findings.iter().find(|f| f["id"] == id && f["kind"] == kind).unwrap();
        (finding["problem"].as_str().unwrap(), finding["action"].as_str().unwrap())
    };
    for id in [1, 2] {
        assert_eq!(
            told(id, "user"),
            ("it has no email address, and an account needs one to log in", "skipped")
        );
    }
    assert_eq!(told(3, "user"), ("`last_login` cannot be read", "imported anyway"));
    assert_eq!(told(4, "user"), ("`password` cannot be read", "skipped"));
    assert_eq!(told(5, "user"), ("`username` contains a NUL character", "skipped"));
    assert_eq!(told(6, "user"), ("its username is taken by user 3", "skipped"));
    assert_eq!(told(2, "permission").1, "skipped");

    let renaming = Database::sqlite();
    let report = import(&source, &renaming, &["--on-conflict", "rename"], 0);
    assert_eq!(report["imported"], 5);
    let accounts = renaming.accounts().await;
    let names = accounts.iter().map(|(u, ..)| (u.id.0, u.username.as_str(), u.email.as_str()));
    let expected = [
        (1, "nobody", "user-1@missing.invalid"),
        (2, "nothing", "user-2@missing.invalid"),
        (3, "late", "late@example.com"),
        (6, "LATE-6-6", "other@example.com"),
        (7, "LATE-6", "seven@example.com"),
    ];
    assert_eq!(names.collect::<Vec<_>>(), expected, "a name that somebody has is not given to another");
}

/// Enough users for the import to take some time.
fn many(count: usize) -> Database {
    let rows = format!(
        "INSERT INTO auth_user (password, is_superuser, username, first_name, email, is_staff, is_active, date_joined)
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
         SELECT 'md5$a$0cc175b9c0f1b6a831c399e269772661', 0, 'u' || i, '', 'u' || i || '@example.com', 0, 1, '2018-10-04 12:00:00' FROM n;
         INSERT INTO auth_user_groups (customuser_id, group_id) SELECT id, 1 FROM auth_user;"
    );
    auth_user(&rows)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_import_loses_nothing_and_can_be_continued() {
    let (source, target) = (many(10_000), Database::sqlite());
    let mut importing =
        import_command(&source, &target, &["--batch", "100"]).stdout(Stdio::null()).spawn().unwrap();
    wait_for_users(&target, 300);
    importing.kill().unwrap();
    importing.wait().unwrap();
    let here = target.accounts().await;
    assert!(here.len() < 10_000, "it was killed in the middle");
    for (user, groups, _) in &here {
        assert_eq!(groups, &["editors"], "user {} is there with his groups", user.id);
    }
    let report = import(&source, &target, &[], 0);
    assert_eq!(report["already_here"], here.len());
    let whole = Database::sqlite();
    import(&source, &whole, &[], 0);
    assert!(target.accounts().await == whole.accounts().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_import_reports_its_progress() {
    let (source, target) = (many(10_000), Database::sqlite());
    let importing = import_command(&source, &target, &["--batch", "100"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for_users(&target, 300);
    crate::service::send(&importing, rustix::process::Signal::INT);
    let output = importing.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["outcome"], "interrupted");
    assert_eq!(report["imported"], target.accounts().await.len());
    let report = import(&source, &target, &[], 0);
    assert_eq!(report["imported"].as_u64().unwrap() + report["already_here"].as_u64().unwrap(), 10_000);
}

#[tokio::test]
async fn a_source_that_cannot_be_imported_is_refused_with_the_reason() {
    let (source, target) = (Database::sqlite(), Database::sqlite());
    let missing = run(import_command(&source, &target, &[]));
    assert_eq!((missing.code, missing.stdout.as_str()), (69, ""));
    source.sql().execute_batch("CREATE TABLE t (id integer)").unwrap();
    let empty = run(import_command(&source, &target, &[]));
    assert!(empty.code == 3 && empty.stderr.contains("--table"), "{empty:?}");
    let other = run({
        let mut command = program();
        command.args([
            "import",
            "django",
            "--from",
            "mysql://u:hunter2@h/d",
            "--database-url",
            &target.url(),
        ]);
        command
    });
    assert!(other.code == 2 && !other.stderr.contains("hunter2"), "{other:?}");
    assert!(!target.path().exists());
}

/// Waits until this number of users is stored.
fn wait_for_users(target: &Database, count: i64) {
    let until = Instant::now() + Duration::from_mins(1);
    loop {
        assert!(Instant::now() < until, "there are not {count} users after a minute");
        if target.path().exists() {
            let here = target.sql().query_row("SELECT count(*) FROM users", (), |row| row.get::<_, i64>(0));
            if here.is_ok_and(|here| here >= count) {
                return;
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

async fn groups(database: &Database) -> Vec<Group> {
    let store = database.store();
    let groups = store.groups().await.unwrap();
    store.close().await;
    groups
}

fn sorted(list: &Value) -> Vec<String> {
    let mut names: Vec<String> =
        list.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}
