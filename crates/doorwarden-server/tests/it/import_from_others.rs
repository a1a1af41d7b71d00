//! Tables written by tools other than Django: other types, other models, untrusted values.

use crate::django::{Database, import, import_command, run};
use crate::import::auth_user;
use doorwarden::UserId;
use doorwarden::core::settings::WithoutSession;
use doorwarden_testkit::{RawSql, no_effects};
use serde_json::{Value, json};

/// `secretpass99` in the oldest of Django's formats.
const SHA1: &str = "sha1$abcd1234$27ea963726f122fbf2b760719d55086d1aeb296f";
const KEY: &str = "a secret key of thirty-two bytes!";

/// A table of users in PostgreSQL, with these types of flags and dates.
async fn postgres(flags: &str, dates: &str, rows: &str) -> Option<Database> {
    let target = Database::postgres().await?;
    let Database::Postgres(database) = &target else { return None };
    let sql = format!(
        "CREATE TABLE auth_user (id integer PRIMARY KEY, password varchar(128), last_login {dates},
            is_superuser {flags}, username varchar(150), email varchar(254), is_staff {flags}, is_active {flags},
            date_joined {dates}, subscribed boolean, settings jsonb, avatar bytea, seen {dates}); {rows}"
    );
    database.sql().execute(&sql).await.unwrap();
    Some(target)
}

/// The imported flags: active, staff, superuser.
async fn flags(target: &Database) -> Vec<(i64, bool, bool, bool)> {
    let accounts = target.accounts().await;
    accounts.iter().map(|(u, ..)| (u.id.0, u.is_active, u.is_staff, u.is_superuser)).collect()
}

#[tokio::test]
async fn a_flag_of_sqlite_is_read_in_every_spelling() {
    // An untyped column keeps values as they are.
    let source = Database::sqlite();
    let table =
        "CREATE TABLE auth_user (id integer PRIMARY KEY, password, last_login, is_superuser, username, email,
        is_staff, is_active, date_joined);";
    source.sql().execute_batch(table).unwrap();
    let yes = ["1", "1.0", "'t'", "'true'", "'TRUE'", "'yes'", "'1'", "x'01'", "x'31'"];
    let no = ["0", "0.0", "'f'", "'false'", "'False'", "'NO'", "'0'", "x'00'", "x'30'"];
    for (n, (yes, no)) in yes.into_iter().zip(no).enumerate() {
        let sql = format!(
            "INSERT INTO auth_user VALUES
                ({n} + 1, '!', NULL, {no}, 'u{n}', 'u{n}@example.com', {no}, {yes}, NULL);"
        );
        source.sql().execute_batch(&sql).unwrap();
    }
    let target = Database::sqlite();
    let report = import(&source, &target, &[], 0);
    assert_eq!((&report["imported"], &report["findings"]), (&json!(9), &json!(0)));
    for (id, is_active, is_staff, is_superuser) in flags(&target).await {
        assert!(is_active && !is_staff && !is_superuser, "{id}");
    }
}

#[tokio::test]
async fn a_flag_that_is_neither_true_nor_false_stops_the_import_and_is_reported() {
    for value in ["'maybe'", "2", "-1", "0.5", "''", "x''", "x'0101'", "'null'"] {
        let source = auth_user(&format!(
            "INSERT INTO auth_user VALUES
                (1, '!', NULL, 0, 'jane', '', 'jane@example.com', 0, 1, '2018-10-04 12:00:00', 0),
                (2, '!', NULL, 0, 'joe', '', 'joe@example.com', 0, {value}, '2018-10-04 12:00:00', 0);"
        ));
        let target = Database::sqlite();
        let report = import(&source, &target, &[], 1);
        let finding = &report["first_findings"][0];
        assert_eq!((&finding["id"], &finding["action"]), (&json!(2), &json!("skipped")), "{value}");
        let problem = finding["problem"].as_str().unwrap();
        assert!(problem.starts_with("`auth_user.is_active` is neither true nor false"), "{problem}");
        assert!(!target.path().exists(), "{value}: nothing was imported");
    }
}

#[tokio::test]
async fn a_flag_of_postgres_is_read_whatever_its_type() {
    for (of, yes, no) in [
        ("smallint", "1", "0"),
        ("integer", "1", "0"),
        ("numeric(3,1)", "1.0", "0.0"),
        ("boolean", "true", "false"),
        ("text", "'Yes'", "'nO'"),
        ("char(1)", "'t'", "'f'"),
        ("bytea", "'\\x01'", "'\\x00'"),
        ("bit(1)", "B'1'", "B'0'"),
        ("double precision", "1", "0"),
    ] {
        let rows = format!(
            "INSERT INTO auth_user VALUES (7, '!', NULL, {no}, 'jane', 'jane@example.com', {yes}, {yes}, NULL)"
        );
        let Some(source) = postgres(of, "timestamptz", &rows).await else { return };
        let target = Database::sqlite();
        let report = import(&source, &target, &[], 0);
        assert_eq!((&report["imported"], &report["findings"]), (&json!(1), &json!(0)), "{of}");
        assert_eq!(flags(&target).await, [(7, true, true, false)], "{of}");
    }
    let rows = "INSERT INTO auth_user VALUES (7, '!', NULL, 0, 'jane', 'jane@example.com', 0, 3, NULL)";
    let Some(source) = postgres("smallint", "timestamptz", rows).await else { return };
    let report = import(&source, &Database::sqlite(), &[], 1);
    let problem = report["first_findings"][0]["problem"].as_str().unwrap().to_owned();
    assert!(problem.starts_with("`auth_user.is_active` is neither true nor false"), "{problem}");
}

#[tokio::test]
async fn timestamps_without_a_time_zone_are_utc() {
    for dates in ["timestamp", "timestamptz", "text"] {
        let rows = "SET TimeZone = 'UTC'; INSERT INTO auth_user VALUES
            (7, '!', '2018-10-04 12:00:00', false, 'jane', 'jane@example.com', false, true, '2018-10-04 12:00:00.5')";
        let Some(source) = postgres("boolean", dates, rows).await else { return };
        let Database::Postgres(database) = &source else { return };
        let elsewhere = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET TimeZone = ''America/New_York''', \
                         current_database()); END $$";
        database.sql().execute(elsewhere).await.unwrap();
        let target = Database::sqlite();
        import(&source, &target, &[], 0);
        let (user, ..) = &target.accounts().await[0];
        assert_eq!(user.date_joined.to_string(), "2018-10-04T12:00:00.500000Z", "{dates}");
        assert_eq!(user.last_login.unwrap().to_string(), "2018-10-04T12:00:00.000000Z", "{dates}");
    }
}

#[tokio::test]
async fn kept_columns_have_the_same_types_from_both_databases() {
    let keep =
        ["--metadata", "subscribed", "--metadata", "settings", "--metadata", "avatar", "--metadata", "seen"];
    let expected = json!({
        "subscribed": true, "settings": {"theme": ["dark", 1, null]}, "avatar": "\\x00ff",
        "seen": "2018-10-04T12:00:00.000000Z",
    });
    let source = Database::sqlite();
    source
        .sql()
        .execute_batch(
            r#"CREATE TABLE auth_user (id integer PRIMARY KEY, password varchar(128), last_login datetime,
                is_superuser bool, username varchar(150), email varchar(254), is_staff bool, is_active bool,
                date_joined datetime, "subscribed" bool NOT NULL, "settings" text NOT NULL
                CHECK ((JSON_VALID("settings") OR "settings" IS NULL)), "avatar" BLOB NULL, "seen" datetime NULL);
            INSERT INTO auth_user VALUES (7, '!', NULL, 0, 'jane', 'jane@example.com', 0, 1, '2018-10-04 12:00:00',
                1, '{"theme": ["dark", 1, null]}', x'00ff', '2018-10-04 12:00:00')"#,
        )
        .unwrap();
    let target = Database::sqlite();
    import(&source, &target, &keep, 0);
    assert_eq!(Value::from(target.accounts().await[0].0.metadata.clone()), expected, "SQLite");

    let rows = r#"INSERT INTO auth_user VALUES (7, '!', NULL, false, 'jane', 'jane@example.com', false, true,
        '2018-10-04 12:00:00+00', true, '{"theme": ["dark", 1, null]}', '\x00ff', '2018-10-04 12:00:00+00')"#;
    let Some(source) = postgres("boolean", "timestamptz", rows).await else { return };
    let target = Database::sqlite();
    import(&source, &target, &keep, 0);
    assert_eq!(Value::from(target.accounts().await[0].0.metadata.clone()), expected, "PostgreSQL");
}

#[tokio::test]
async fn hashes_that_cannot_be_verified_are_reported_by_a_dry_run() {
    let dear = "pbkdf2_sha256$99000000$salt$ms7jcgZI5VoBXsE6stbawZ2oBNyQZSKYRJnrbVnTHE8=";
    let source = auth_user(&format!(
        "INSERT INTO auth_user VALUES
            (1, '{SHA1}', NULL, 0, 'old', '', 'old@example.com', 0, 1, '2018-10-04 12:00:00', 0),
            (2, 'crypt$$ab1Hv2Lg7ltQo', NULL, 0, 'c', '', 'c@example.com', 0, 1, '2018-10-04 12:00:00', 0),
            (3, 'letmein', NULL, 0, 'plain', '', 'plain@example.com', 0, 1, '2018-10-04 12:00:00', 0),
            (4, '{dear}', NULL, 0, 'dear', '', 'dear@example.com', 0, 1, '2018-10-04 12:00:00', 0),
            (5, '!unusable', NULL, 0, 'none', '', 'none@example.com', 0, 1, '2018-10-04 12:00:00', 0);"
    ));
    let target = Database::sqlite();
    for dry in [true, false] {
        let arguments = if dry { &["--dry-run"][..] } else { &[] };
        let report = import(&source, &target, arguments, 0);
        assert_eq!((&report["imported"], &report["findings"]), (&json!(5), &json!(3)), "{report}");
        let problems: Vec<_> =
            (0..3).map(|n| report["first_findings"][n]["problem"].as_str().unwrap().to_owned()).collect();
        assert!(problems[0].starts_with("its password hash (crypt) cannot be verified"), "{problems:?}");
        assert!(problems[1].starts_with("its password hash cannot be verified"), "{problems:?}");
        assert!(problems[2].starts_with("the cost of its pbkdf2_sha256 hash exceeds"), "{problems:?}");
        assert!(!report.to_string().contains("letmein"), "it may be a password");
    }
    let service = target.service(KEY, WithoutSession::Refuse).await;
    assert!(service.log_in("old@example.com", "secretpass99").await.is_some());
    assert!(service.log_in("c@example.com", "secretpass99").await.is_none());
    service.auth.close().await;
}

#[tokio::test]
async fn a_model_without_usernames_can_use_the_email() {
    let source = Database::sqlite();
    source
        .sql()
        .execute_batch(
            "CREATE TABLE accounts_user (id integer PRIMARY KEY, password varchar(128), last_login datetime,
                is_superuser bool, email varchar(254), is_staff bool, is_active bool, date_joined datetime);
            INSERT INTO accounts_user VALUES
                (7, '!', NULL, 0, 'Jane@example.com', 0, 1, '2018-10-04 12:00:00'),
                (8, '!', NULL, 0, 'joe@example.com', 0, 1, '2018-10-04 12:00:00');",
        )
        .unwrap();
    let target = Database::sqlite();
    let told = run(import_command(&source, &target, &[]));
    assert!(told.code == 1 && told.stderr.contains("hint: use `--username-from email`"), "{told:?}");
    import(&source, &target, &["--username-from", "email"], 0);
    let accounts = target.accounts().await;
    let names: Vec<_> =
        accounts.iter().map(|(u, ..)| (u.id.0, u.username.as_str(), u.email.as_str())).collect();
    assert_eq!(
        names,
        [(7, "Jane@example.com", "Jane@example.com"), (8, "joe@example.com", "joe@example.com")]
    );
}

#[tokio::test]
async fn imported_ids_leave_enough_ids_for_new_users() {
    for (ids, seq) in [("7", "9223372036854775807"), ("7", "9007199254740993"), ("7", "'many'")] {
        let source = auth_user(&format!(
            "INSERT INTO auth_user VALUES
                ({ids}, '!', NULL, 0, 'jane', '', 'jane@example.com', 0, 1, '2018-10-04 12:00:00', 0);
             UPDATE sqlite_sequence SET seq = {seq};"
        ));
        for target in [Some(Database::sqlite()), Database::postgres().await].into_iter().flatten() {
            let report = import(&source, &target, &[], 0);
            assert_eq!(report["imported"], 1);
            let service = target.service(KEY, WithoutSession::Refuse).await;
            let body = json!({"email": "new@example.com", "username": "new", "password": "correct horse"});
            let (status, answer) = service.post("/registration", &body).await;
            assert_eq!(status, 201, "{seq}: {answer}");
            let me = service.me(answer["token"].as_str().unwrap()).await.unwrap();
            let id = me["id"].as_i64().unwrap();
            assert!((8..=1_000_008).contains(&id), "{seq}: {id}");
            service.auth.close().await;
        }
    }
}

#[tokio::test]
async fn rows_with_ids_out_of_range_are_skipped() {
    for (id, comes) in [
        ("0", false),
        ("-5", false),
        ("9007199254740992", false),
        ("9223372036854775807", false),
        ("9007199254740991", true),
        ("1", true),
    ] {
        let source = auth_user(&format!(
            "INSERT INTO auth_user VALUES
                ({id}, '!', NULL, 0, 'jane', '', 'jane@example.com', 0, 1, '2018-10-04 12:00:00', 0);"
        ));
        let report = import(&source, &Database::sqlite(), &[], i32::from(!comes));
        let told =
            report["first_findings"].to_string().contains("its id is not between 1 and 9007199254740991");
        assert_eq!(told, !comes, "{report}");
    }
}

#[tokio::test]
async fn a_group_with_other_permissions_stops_the_import() {
    let member = "INSERT INTO auth_user VALUES
            (7, '!', NULL, 0, 'jane', '', 'jane@example.com', 0, 1, '2018-10-04 12:00:00', 0);
         INSERT INTO auth_user_groups VALUES (1, 7, 1);";
    let (first, source) = (auth_user(""), auth_user(member));
    let target = Database::sqlite();
    import(&first, &target, &[], 0);
    let store = target.store();
    store.revoke_from_group("editors", &"blog.add_post".parse().unwrap(), no_effects()).await.unwrap();
    store.close().await;
    let report = import(&source, &target, &[], 1);
    assert_eq!(
        (&report["outcome"], &report["first_findings"][0]["kind"]),
        (&json!("stopped"), &json!("group"))
    );
    assert!(target.accounts().await.is_empty());
    let report = import(&source, &target, &["--on-conflict", "skip"], 0);
    assert_eq!(report["imported"], 1);
    assert_eq!(target.accounts().await[0].0.id, UserId(7));
}

#[tokio::test]
async fn names_with_control_or_bidirectional_characters_are_skipped_and_not_shown() {
    for name in
        ["\u{1b}]0;PWNED\u{7}", "a\nb", "\u{9b}31m", "a\u{202e}txt.exe", "\u{2066}a\u{2069}", "a\u{7f}"]
    {
        for (username, email) in [
            (name.to_owned(), "jane@example.com".to_owned()),
            ("jane".to_owned(), format!("{name}@example.com")),
        ] {
            let source = auth_user("");
            source
                .sql()
                .execute(
                    "INSERT INTO auth_user VALUES
                        (7, '!', NULL, 0, ?1, '', ?2, 0, 1, '2018-10-04 12:00:00', 0)",
                    [&username, &email],
                )
                .unwrap();
            let target = Database::sqlite();
            let report = import(&source, &target, &[], 1);
            let problem = report["first_findings"][0]["problem"].as_str().unwrap();
            assert!(problem.contains("control characters"), "{name:?}: {problem}");
            assert!(!target.path().exists());
        }
    }
}

/// Only an unprivileged user cannot write to the directory.
#[tokio::test]
async fn a_database_in_a_read_only_directory_is_read() {
    use std::os::unix::fs::{PermissionsExt as _, chown};
    use std::os::unix::process::CommandExt as _;
    let source = auth_user(
        "INSERT INTO auth_user VALUES
            (7, '!', NULL, 0, 'jane', '', 'jane@example.com', 0, 1, '2018-10-04 12:00:00', 0);",
    );
    source.sql().execute_batch("PRAGMA journal_mode = wal; UPDATE auth_user SET karma = 1;").unwrap();
    let folder = source.path().parent().unwrap();
    std::fs::set_permissions(source.path(), std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o555)).unwrap();
    let target = Database::sqlite();
    let mut command = import_command(&source, &target, &["--dry-run"]);
    if folder.join("probe").metadata().is_err() && std::fs::write(folder.join("probe"), "").is_ok() {
        // root can write everywhere. `nobody` cannot, but must not enter root's home either: a copy of the
        // program runs.
        std::fs::remove_file(folder.join("probe")).unwrap();
        let home = target.path().parent().unwrap();
        chown(home, Some(65534), Some(65534)).unwrap();
        let copy = home.join("program");
        std::fs::copy(command.get_program(), &copy).unwrap();
        let mut by_nobody = std::process::Command::new(copy);
        by_nobody.args(command.get_args()).current_dir(home).stdin(std::process::Stdio::null());
        for (name, _) in command.get_envs() {
            by_nobody.env_remove(name);
        }
        command = by_nobody;
        command.uid(65534).gid(65534);
    }
    let ran = run(command);
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.json()["imported"], 1);
}
