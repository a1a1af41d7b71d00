//! The audit log: rows of the endpoints, the library and OAuth clients.

use crate::app::{App, Database, PASSWORD};
use doorwarden::core::audit::{Actor, AuditRecord, Origin};
use doorwarden::{ClientInfo, Field, OauthClients, UserChange, UserId};
use http::Request;
use http::header::AUTHORIZATION;
use serde_json::json;

on_both! {
    every_change_records_its_actor
    the_audit_log_contains_no_client_input
    a_refusal_by_a_hook_is_recorded_with_what_was_undone
    a_revoking_oauth_client_is_recorded
}

async fn records(app: &App) -> Vec<AuditRecord> {
    app.auth.context().store.audit_records(None, 10_000).await.unwrap()
}

/// The events after the first `n`, with their actors.
async fn since(app: &App, before: usize) -> Vec<(String, Actor)> {
    records(app).await.into_iter().skip(before).map(|record| (record.kind, record.actor)).collect()
}

fn kinds<const N: usize>(events: [(&str, Actor); N]) -> Vec<(String, Actor)> {
    events.map(|(kind, actor)| (kind.to_owned(), actor)).into()
}

async fn every_change_records_its_actor(database: Database) {
    let app = database.app().await;
    let before = records(&app).await.len();
    let token = app.register("jane").await;
    let jane = Actor::User(UserId(1));
    let registered = [("user_created", Actor::Anonymous), ("session_opened", jane.clone())];
    assert_eq!(since(&app, before).await, kinds(registered));

    let before = records(&app).await.len();
    app.log_in("jane", PASSWORD).await;
    app.call("PATCH", "/me", Some(&token), Some(json!({"username": "janet"}))).await;
    app.call("POST", "/logout?scope=others", Some(&token), None).await;
    app.call("POST", "/logout", Some(&token), None).await;
    let own = [
        ("logged_in", jane.clone()),
        ("user_updated", jane.clone()),
        ("sessions_ended", jane.clone()),
        ("session_ended", jane.clone()),
    ];
    assert_eq!(since(&app, before).await, kinds(own));
    let last = records(&app).await.pop().unwrap();
    assert_eq!((last.user, json!(last.data)), (Some(UserId(1)), json!({"reason": "logged_out"})));

    let before = records(&app).await.len();
    let users = app.auth.users();
    users.create_group("editors").await.unwrap();
    let from = ClientInfo { address: "192.0.2.9".parse().ok(), ..ClientInfo::default() };
    let admin = app.auth.acting_as(Origin::new(Actor::User(UserId(7)), from.clone()));
    admin.users().add_to_group(UserId(1), "editors").await.unwrap();
    admin.users().add_to_group(UserId(1), "editors").await.unwrap();
    app.auth.acting_as(Actor::Operator).users().sign_out(UserId(1)).await.unwrap();
    let by_others = [
        ("group_created", Actor::Application),
        ("group_member_added", Actor::User(UserId(7))),
        ("sessions_ended", Actor::Operator),
    ];
    assert_eq!(since(&app, before).await, kinds(by_others));
    let records = records(&app).await;
    assert_eq!(records[before + 1].client, from);
    assert_eq!(records[before + 2].data["reason"], "signed_out_by_operator");
}

/// Puts distinctive words into every field of a request, then reads every row of the log.
async fn the_audit_log_contains_no_client_input(database: Database) {
    let app = database.app_with(|b| b.field(Field::text("motto", 100))).await;
    let person = json!({
        "email": "canary-mail@example.com", "username": "canary-name", "password": "canary-password-1",
        "motto": "canary-motto",
    });
    let token = app.post("/registration", person).await.token();
    let login = |email: &str, password: &str| json!({"email": email, "password": password});
    app.post("/login", login("canary-other@example.com", "canary-wrong-1")).await;
    app.post("/login", login("canary-mail@example.com", "canary-wrong-2")).await;
    let pair = app.post("/token", login("canary-mail@example.com", "canary-password-1")).await.json();
    app.call(
        "PATCH",
        "/me",
        Some(&token),
        Some(json!({"username": "canary-second", "motto": "canary-words"})),
    )
    .await;
    let change = json!({"current_password": "canary-password-1", "new_password": "canary-password-2"});
    assert_eq!(app.call("POST", "/password/change", Some(&token), Some(change)).await.status, 204);
    let users = app.auth.users();
    let metadata = [("canary-key".to_owned(), json!("canary-value"))].into_iter().collect();
    let change = UserChange {
        email: Some("canary-third@example.com".parse().unwrap()),
        metadata,
        ..UserChange::default()
    };
    users.update(UserId(1), change).await.unwrap();
    users.set_password(UserId(1), Some("canary-password-3")).await.unwrap();
    users.delete(UserId(1)).await.unwrap();

    let records = records(&app).await;
    let seen: Vec<_> = records.iter().map(|record| record.kind.as_str()).collect();
    for kind in ["user_created", "logged_in", "user_updated", "password_changed", "user_deleted"] {
        assert!(seen.contains(&kind), "{kind} of {seen:?}");
    }
    let text = format!("{records:?}");
    assert!(!text.contains("canary"), "{text}");
    for secret in [&token, pair["access"].as_str().unwrap(), pair["refresh"].as_str().unwrap()] {
        assert!(!text.contains(secret) && !text.contains(secret.rsplit('.').next().unwrap()), "{text}");
    }
}

#[derive(Debug)]
struct Refuses;

#[doorwarden::async_trait]
impl doorwarden::Hooks for Refuses {
    async fn after_login(
        &self,
        _: &doorwarden::User,
        _: &doorwarden::Session,
    ) -> Result<(), doorwarden::FieldErrors> {
        Err(doorwarden::FieldErrors::one("email", doorwarden::FieldError::new("no", "No.")))
    }
}

async fn a_refusal_by_a_hook_is_recorded_with_what_was_undone(database: Database) {
    let app = database.app_with(|b| b.hook(Refuses)).await;
    app.register("jane").await;
    let before = records(&app).await.len();
    assert_eq!(app.log_in("jane", PASSWORD).await.status, 400);
    let jane = Actor::User(UserId(1));
    let events = [("logged_in", jane.clone()), ("session_ended", Actor::Application), ("login_failed", jane)];
    assert_eq!(since(&app, before).await, kinds(events));
    assert_eq!(records(&app).await[before + 1].data["reason"], "refused");
}

async fn a_revoking_oauth_client_is_recorded(database: Database) {
    let mut clients = OauthClients::default();
    // The SHA-256 of "secret".
    let hash = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
    clients.add("billing", hash).unwrap();
    let app = database.app_with(|b| b.http(|http| http.oauth_clients = clients)).await;
    let bodies =
        [(Some("Basic YmlsbGluZzpzZWNyZXQ="), ""), (None, "&client_id=billing&client_secret=secret")];
    for (name, (header, parameters)) in ["jane", "joan"].into_iter().zip(bodies) {
        let token = app.register(name).await;
        let mut request =
            Request::post("/oauth/revoke").header("content-type", "application/x-www-form-urlencoded");
        if let Some(header) = header {
            request = request.header(AUTHORIZATION, header);
        }
        let body = format!("token={token}{parameters}");
        assert_eq!(app.send(request.body(body.into()).unwrap()).await.status, 200);
        let last = records(&app).await.pop().unwrap();
        assert_eq!(
            (last.kind.as_str(), &last.actor),
            ("session_ended", &Actor::Client("billing".to_owned()))
        );
        assert_eq!(last.data["reason"], "revoked_by_client");
    }
}
