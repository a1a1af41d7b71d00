use crate::site::{Site, on_both};
use crate::terminal::Terminal;
use doorwarden::{Doorwarden, NewAccount};
use serde_json::{Value, json};

on_both!(
    a_user_is_created_shown_changed_and_deleted,
    usernames_and_emails_are_validated,
    an_unknown_user_is_not_found,
    an_inactive_user_gets_no_token_until_reactivated,
    signing_out_ends_every_session,
    lists_are_filtered_and_limited,
);

fn a_user_is_created_shown_changed_and_deleted(site: &Site) {
    let metadata = r#"{"plan": "free", "seats": 1}"#;
    let create =
        ["user", "create", "--no-password", "--staff", "--metadata", metadata, "Ada@Example.com", "ada"];
    let created = site.run(&create).json();
    assert_eq!(created["email"], "Ada@example.com");
    assert_eq!((&created["is_staff"], &created["is_superuser"]), (&json!(true), &json!(false)));
    assert_eq!(created["password"], "unusable");
    let id = created["id"].to_string();

    let update = ["user", "update", "ada@example.com", "--username", "lovelace", "--staff", "false"];
    assert_eq!(site.run(&update).json()["username"], "lovelace");
    site.run(&["user", "update", &id, "--metadata", r#"{"plan": null, "x": [1]}"#]).succeeds();

    let shown = site.run(&["user", "show", &id]).json();
    assert_eq!(shown["metadata"], json!({"seats": 1, "x": [1]}));
    assert_eq!(shown["is_staff"], false);
    for list in ["groups", "permissions", "direct_permissions", "sessions"] {
        assert_eq!(shown[list], json!([]), "{list}");
    }
    assert!(shown["date_joined"].as_str().unwrap().ends_with('Z'));

    site.run(&["user", "delete", &id]).fails(2, "hint: use `--yes`");
    let deleted = site.run(&["user", "delete", &id, "--yes"]).json();
    assert_eq!(deleted["deleted"], true);
    site.run(&["user", "show", &id]).fails(3, "no user with id");
}

fn usernames_and_emails_are_validated(site: &Site) {
    let id = site.user("ada");
    let create = |email, name| site.run(&["user", "create", "--no-password", email, name]);
    create("ADA@example.com", "other").fails(1, "email: user with this email already exists.");
    create("other@example.com", "ADA").fails(1, "username: user with this username already exists.");
    let both = create("nonsense", "").fails(1, "The given username must be set");
    assert_eq!(both.stdout, "");
    create("nonsense", "bob").fails(1, "email: Enter a valid email address.");

    let bob = site.user("bob");
    site.run(&["user", "update", &bob, "--email", "ada@example.com"]).fails(1, "email: user with this email");
    let wrong = ["user", "update", &bob, "--email", "nonsense", "--username", ""];
    site.run(&wrong).fails(1, "email: Enter a valid").fails(1, "username: This field may not be blank.");
    site.run(&["user", "update", &id]).fails(2, "required arguments");
    site.run(&["user", "update", &id, "--metadata", "[]"]).fails(2, "must be a JSON object");
    site.run(&["user", "update", &id, "--metadata", "{"]).fails(2, "EOF");
}

fn an_unknown_user_is_not_found(site: &Site) {
    for command in ["show", "activate", "deactivate", "sign-out", "delete"] {
        let mut arguments = vec!["user", command, "nobody@example.com"];
        if command == "delete" {
            arguments.push("--yes");
        }
        site.run(&arguments).fails(3, "no user with email `nobody@example.com`");
    }
    site.run(&["user", "show", "4711"]).fails(3, "no user with id `4711`");
    site.run(&["user", "update", "4711", "--staff", "true"]).fails(3, "4711");
    site.run(&["changepassword", "4711", "--password-stdin"]).fails(3, "4711");
    site.run(&["token", "issue", "4711"]).fails(3, "4711");
}

fn an_inactive_user_gets_no_token_until_reactivated(site: &Site) {
    let id = site.user("ada");
    let token = site.run(&["token", "issue", &id]).json()["token"].as_str().unwrap().to_owned();
    assert_eq!(site.run(&["user", "deactivate", &id]).json()["is_active"], false);
    site.run(&["token", "issue", &id]).fails(1, "hint: run `doorwarden user activate");
    let inspected = site.run(&["token", "inspect", &token]).fails(1, "inactive").value();
    assert_eq!(inspected["reason"]["code"], "user_inactive");
    assert_eq!(inspected["session"]["end_reason"], "deactivated");
    assert_eq!(site.run(&["user", "activate", &id]).json()["is_active"], true);
    site.run(&["token", "issue", &id]).succeeds();
}

fn signing_out_ends_every_session(site: &Site) {
    let id = site.user("ada");
    site.run(&["token", "issue", &id]).succeeds();
    site.run(&["token", "issue", &id]).succeeds();
    let sessions = site.run(&["user", "show", &id]).json()["sessions"].clone();
    assert_eq!(sessions.as_array().map(Vec::len), Some(2));
    assert_eq!(
        (&sessions[0]["amr"], &sessions[0]["auth_time"]),
        (&json!([]), &Value::Null),
        "nobody logged in"
    );
    assert_eq!(site.run(&["user", "sign-out", &id]).json()["sessions_ended"], 2);
    let shown = site.run(&["user", "show", &id]).json();
    assert_eq!(shown["sessions"], json!([]));
    assert!(shown["tokens_valid_after"].is_string());

    let bob = site.user("bob");
    for user in [&id, &bob] {
        site.run(&["token", "issue", user]).succeeds();
    }
    site.run(&["user", "sign-out"]).fails(2, "required arguments");
    site.run(&["user", "sign-out", &id, "--all"]).fails(2, "cannot be used with");
    let out = site.run(&["user", "sign-out", "--all", "--yes"]).json();
    assert_eq!(out, json!({"users": 2, "sessions_ended": 2}));
    for user in [&id, &bob] {
        assert_eq!(site.run(&["user", "show", user]).json()["sessions"], json!([]));
    }
}

fn lists_are_filtered_and_limited(site: &Site) {
    assert_eq!(site.run(&["user", "list"]).json(), json!([]));
    let names = |more: &[&str]| -> Vec<String> {
        let listed = site.run(&[&["user", "list"], more].concat()).json();
        listed.as_array().unwrap().iter().map(|user| user["username"].as_str().unwrap().to_owned()).collect()
    };
    for name in ["ada", "bob", "eve"] {
        site.user(name);
    }
    site.run(&["user", "update", "ada@example.com", "--staff", "true", "--superuser", "true"]).succeeds();
    site.run(&["user", "deactivate", "eve@example.com"]).succeeds();
    site.run(&["group", "create", "editors"]).succeeds();
    site.run(&["user", "add-to-group", "bob@example.com", "editors"]).succeeds();
    site.run(&["permission", "add", "blog.add_post"]).succeeds();

    assert_eq!(names(&[]), ["ada", "bob", "eve"]);
    assert_eq!(names(&["--active"]), ["ada", "bob"]);
    assert_eq!(names(&["--active=false"]), ["eve"]);
    assert_eq!(names(&["--staff=false"]), ["bob", "eve"]);
    assert_eq!(names(&["--superuser"]), ["ada"]);
    assert_eq!(names(&["--group", "editors"]), ["bob"]);
    assert_eq!(names(&["--permission", "blog.add_post"]), ["ada"]);
    assert_eq!(names(&["--starts-with", "BO"]), ["bob"]);
    assert_eq!(names(&["--limit", "2"]), ["ada", "bob"]);
    assert_eq!(names(&["--limit", "0"]), [""; 0]);
}

#[test]
fn a_list_of_several_pages_is_one_list() {
    let site = Site::sqlite();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let url = format!("sqlite://{}", site.path("doorwarden.db").display());
    runtime.block_on(async {
        let accounts = Doorwarden::builder().database_url(url).build().await.unwrap();
        let users = accounts.users();
        let created = (0..1201).map(|n| {
            let (users, username) = (users.clone(), format!("user{n}"));
            let email = format!("{username}@example.com");
            tokio::spawn(async move {
                users.create(NewAccount { username, email, ..NewAccount::default() }).await.unwrap();
            })
        });
        for task in created.collect::<Vec<_>>() {
            task.await.unwrap();
        }
        accounts.close().await;
    });
    let ids = |more: &[&str]| -> Vec<i64> {
        let listed = site.run(&[&["user", "list"], more].concat()).json();
        listed.as_array().unwrap().iter().map(|user| user["id"].as_i64().unwrap()).collect()
    };
    assert_eq!(ids(&[]), (1..=1201).collect::<Vec<_>>());
    assert_eq!(ids(&["--limit", "1000"]), (1..=1000).collect::<Vec<_>>());
    assert_eq!(ids(&["--limit", "501"]).len(), 501);
}

#[test]
fn a_terminal_gets_tables_and_a_confirmation_before_a_deletion() {
    let site = Site::sqlite();
    site.user("ada");
    let Some(list) = Terminal::start(&site, &["user", "list"]) else { return };
    let (code, screen) = list.ends();
    assert_eq!(code, Some(0));
    assert!(screen.starts_with("\u{1b}[1mID  EMAIL"), "{screen}");
    assert!(screen.contains("1   ada@example.com  ada       -      2"), "{screen}");

    let Some(mut delete) = Terminal::start(&site, &["user", "delete", "1"]) else { return };
    delete.sees("Permanently delete ada@example.com (ada, id 1)? [y/N]");
    delete.types("no");
    let (code, screen) = delete.ends();
    assert_eq!(code, Some(1), "{screen}");
    let Some(mut delete) = Terminal::start(&site, &["user", "delete", "1"]) else { return };
    delete.sees("[y/N]");
    delete.types("Y");
    let (code, screen) = delete.ends();
    assert_eq!(code, Some(0), "{screen}");
    assert!(screen.contains("Deleted user `ada@example.com`"), "{screen}");
    assert_eq!(site.run(&["user", "list"]).json(), Value::Array(Vec::new()));
}

#[test]
fn output_without_colour_is_complete() {
    let site = Site::sqlite().env("NO_COLOR", "1");
    site.user("ada");
    let Some(show) = Terminal::start(&site, &["user", "show", "1"]) else { return };
    let (_, screen) = show.ends();
    assert!(!screen.contains('\u{1b}'), "{screen}");
    assert!(screen.contains("email               ada@example.com"), "{screen}");
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    let site = Site::sqlite();
    site.user("ada");
    let connection = rusqlite::Connection::open(site.path("doorwarden.db")).unwrap();
    connection.execute("UPDATE users SET username = 'a' || char(27) || '[2Jb'", ()).unwrap();
    let Some(list) = Terminal::start(&site, &["user", "list"]) else { return };
    let (_, screen) = list.ends();
    assert!(!screen.contains("\u{1b}[2J") && screen.contains("a\u{fffd}[2Jb"), "{screen:?}");
}
