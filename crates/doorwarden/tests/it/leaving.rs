//! What is left of an account: its export, its deletion, and what is forgotten meanwhile.

use crate::app::{Database, NOON, PASSWORD};
use crate::life::{ask, jane, next, step, with_mail};
use crate::post::Post;
use doorwarden::core::mail::MailKind;
use doorwarden::core::user::UserChange;
use doorwarden::{Actor, UserId};
use http::header::CONTENT_TYPE;
use http::{Method, Request};
use serde_json::{Value, json};
use std::time::Duration;

on_both! {
    an_account_that_is_to_be_deleted_can_only_be_kept
    an_account_is_kept_once_however_often_that_is_said_at_the_same_time
    an_account_is_deleted_after_its_grace_and_leaves_no_address
    an_export_has_everything_but_secrets_and_needs_a_recent_authentication
    who_called_is_forgotten_after_a_while_and_what_happened_is_not
}

async fn an_account_that_is_to_be_deleted_can_only_be_kept(database: Database) {
    let (app, _) = jane(&database).await;
    let at = NOON.after(Duration::from_hours(24));
    let change = UserChange { deletion_at: Some(Some(at)), ..UserChange::default() };
    app.auth.users().update(UserId(1), change).await.unwrap();
    let token = next(&app.log_in("jane", PASSWORD).await, 401, "cancel_deletion");
    let wrong = step(&app, &token, "new_password", json!({"new_password": "another battery"})).await;
    assert_eq!(wrong.json()["code"], "login_expired", "a step that was not asked for");
    let answer = step(&app, &token, "cancel_deletion", json!({})).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(app.log_in("jane", PASSWORD).await.status, 200);
}

async fn an_account_is_kept_once_however_often_that_is_said_at_the_same_time(database: Database) {
    let (app, _) = jane(&database).await;
    let at = NOON.after(Duration::from_hours(24));
    let change = UserChange { deletion_at: Some(Some(at)), ..UserChange::default() };
    app.auth.users().update(UserId(1), change).await.unwrap();
    let token = next(&app.log_in("jane", PASSWORD).await, 401, "cancel_deletion");
    let calls = (0..32).map(|_| step(&app, &token, "cancel_deletion", json!({})));
    let answers = futures_util::future::join_all(calls).await;
    let (kept, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!(kept.len(), 1);
    for answer in refused {
        assert_eq!(answer.json()["code"], "login_expired");
    }
    let events = app.auth.context().store.events_of(UserId(1), None, 1000).await.unwrap();
    let by_jane = events.iter().filter(|event| event.actor == Actor::User(UserId(1)));
    let kinds: Vec<_> = by_jane.map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["session_opened", "user_updated", "logged_in"], "it was kept once");
}

async fn who_called_is_forgotten_after_a_while_and_what_happened_is_not(database: Database) {
    let (day, run) = (Duration::from_hours(24), doorwarden::core::tasks::run_once);
    let app = database.app_with(|b| b.settings(|s| s.retention.client_information = Some(30 * day))).await;
    let body = json!({"email": "jane@example.com", "username": "jane", "password": PASSWORD});
    let call = async |path: &str, body: &Value| {
        let request = Request::builder().method(Method::POST).uri(path);
        let request = request.header(CONTENT_TYPE, "application/json").header("user-agent", "Phone/1");
        app.send(request.body(body.to_string().into()).unwrap()).await
    };
    let token = call("/registration", &body).await.token();
    app.call("POST", "/logout", Some(&token), None).await;
    let agents = async || {
        let events = app.auth.context().store.events_of(UserId(1), None, 100).await.unwrap();
        events.into_iter().map(|event| (event.kind, event.client.user_agent.is_some())).collect::<Vec<_>>()
    };
    app.clock.advance(30 * day);
    run(app.auth.context()).await;
    let before = agents().await;
    assert!(before.iter().any(|(kind, is_known)| kind == "session_opened" && *is_known), "{before:?}");
    call("/login", &body).await;
    app.clock.advance(Duration::from_secs(1));
    run(app.auth.context()).await;
    let after = agents().await;
    let kinds = |events: &[(String, bool)]| events.iter().map(|(kind, _)| kind.clone()).collect::<Vec<_>>();
    assert_eq!(kinds(&after), [kinds(&before), vec!["logged_in".to_owned()]].concat());
    let known: Vec<_> =
        after.iter().filter(|(_, is_known)| *is_known).map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(known, ["logged_in"]);
    let sessions = app.auth.context().store.every_session_of(UserId(1), None, 100).await.unwrap();
    assert_eq!(sessions.len(), 1, "the row of the session that ended is gone, with its client");
}

async fn an_account_is_deleted_after_its_grace_and_leaves_no_address(database: Database) {
    let post = Post::default();
    let mailer = with_mail(&post);
    let app = database
        .app_with(|b| mailer(b).settings(|s| s.deletion_grace = Some(Duration::from_hours(24))))
        .await;
    app.register("jane").await;
    let delete =
        async |token: &str| app.call("DELETE", "/me", Some(token), Some(json!({"password": PASSWORD}))).await;
    for keeps in [true, false] {
        let token = app.log_in("jane", PASSWORD).await.token();
        let planned = delete(&token).await;
        let at = app.auth.context().now().after(Duration::from_hours(24));
        planned.is(202, json!({"deletion_at": at}));
        assert_eq!(app.get("/me", &token).await.status, 401);
        let letter = post.one(&app, MailKind::DeletionPlanned).await;
        assert_eq!(letter.0.content.expires_at, Some(at));
        if keeps {
            let login = next(&app.log_in("jane", PASSWORD).await, 401, "cancel_deletion");
            assert_eq!(step(&app, &login, "cancel_deletion", json!({})).await.status, 200);
        }
        app.clock.advance(Duration::from_hours(24));
        let run = doorwarden::core::tasks::run_once;
        run(app.auth.context()).await;
        assert_eq!(app.auth.users().get(UserId(1)).await.unwrap().is_some(), keeps);
    }
    // What was asked for the address while there was no account goes with the next one.
    app.register("jane").await;
    ask(&app, "/password/reset", "jane@example.com").await;
    post.one(&app, MailKind::ResetPassword).await;
    app.auth.users().delete(UserId(2)).await.unwrap();
    for (table, column) in [
        ("users", "email"),
        ("users", "username"),
        ("doorwarden_challenges", "email"),
        ("doorwarden_outbox", "recipient"),
        ("doorwarden_audit", "data"),
    ] {
        let found = format!("SELECT 1 FROM {table} WHERE lower({column}) LIKE '%jane%'");
        assert!(!database.has(&found).await, "{table}.{column}");
    }
}

async fn an_export_has_everything_but_secrets_and_needs_a_recent_authentication(database: Database) {
    let (app, post) = jane(&database).await;
    let ended = app.log_in("jane", PASSWORD).await.token();
    app.call("POST", "/logout", Some(&ended), None).await;
    let token = app.log_in("jane", PASSWORD).await.token();
    ask(&app, "/password/reset", "jane@example.com").await;
    let letter = post.one(&app, MailKind::ResetPassword).await;
    let answer = app.get("/me/export", &token).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let export = answer.json();
    assert_eq!(
        (&export["format"], &export["user"]["email"]),
        (&json!("doorwarden-export/1"), &json!("jane@example.com"))
    );
    assert_eq!(export["user"]["password_algorithm"], "argon2");
    let sessions = export["sessions"].as_array().unwrap();
    assert_eq!(sessions.iter().filter(|session| session["end_reason"] == "logged_out").count(), 1);
    assert_eq!(sessions.len(), 3);
    let events: Vec<_> = export["events"].as_array().unwrap().iter().map(|event| &event["event"]).collect();
    assert!(events.contains(&&json!("user_created")) && events.contains(&&json!("logged_in")), "{events:?}");
    assert_eq!(
        (&export["mails"][0]["kind"], &export["pending"][0]["purpose"]),
        (&json!("reset_password"), &json!("reset_password"))
    );
    let text = export.to_string();
    for secret in [letter.key(), letter.code(), "argon2id".to_owned()] {
        assert!(!text.contains(&secret), "{secret}");
    }
    app.clock.advance(Duration::from_secs(301));
    assert_eq!(app.get("/me/export", &token).await.json()["code"], "reauthentication_required");
}

/// Every table that has rows of a user is either in the export, or named here with the reason.
#[test]
fn no_table_with_a_user_is_forgotten_in_the_export() {
    let exported = [
        "users",
        "doorwarden_user_groups",
        "doorwarden_user_permissions",
        "doorwarden_sessions",
        "doorwarden_audit",
        "doorwarden_challenges",
        "doorwarden_outbox",
        "doorwarden_factors",
    ];
    // Bookkeeping: numbers of generations, keys to be made, ids of sessions that the list of sessions had,
    // copies of events of the audit log, and how many wrong passwords somebody has typed.
    let bookkeeping = [
        "doorwarden_deliveries",
        "doorwarden_attempts",
        "doorwarden_session_ends",
        "doorwarden_pending_keys",
        "doorwarden_replaced",
        "doorwarden_deleted_sessions",
    ];
    // The hashes of earlier passwords are as secret as that of the present one.
    let secret = ["doorwarden_earlier_passwords"];
    let mut found = Vec::new();
    for store in ["sqlite", "postgres"] {
        let folder = format!("{}/../doorwarden-{store}/migrations", env!("CARGO_MANIFEST_DIR"));
        for file in std::fs::read_dir(folder).unwrap() {
            let sql = std::fs::read_to_string(file.unwrap().path()).unwrap();
            for table in sql.split("CREATE TABLE ").skip(1) {
                let (name, rest) = table.split_once(" (").unwrap();
                let columns = rest.split_once("\n)").map_or(rest, |(columns, _)| columns);
                if name == "users" || columns.contains("user_id ") {
                    found.push(name.to_owned());
                }
            }
        }
    }
    assert!(found.len() > exported.len(), "{found:?}");
    for table in found {
        let is_known = exported.iter().chain(&bookkeeping).chain(&secret).any(|known| *known == table);
        assert!(is_known, "the table {table} has rows of a user: export it, or say why not");
    }
}
