//! The audit log over HTTP, and what is in it of refused attempts.

use crate::app::{Answer, App, Database, PASSWORD};
use doorwarden::core::audit::Actor;
use doorwarden::core::permission::{Permission, PermissionName};
use doorwarden::{Builder, UserChange, UserId};
use http::Request;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;

on_both! {
    users_read_their_own_events_in_pages
    users_see_no_address_of_others_who_acted_on_their_account
    whoever_may_view_users_reads_all_events_and_finds_some
    a_request_has_one_id_in_its_answer_and_its_events
    refused_attempts_are_written_within_a_second_and_without_what_was_typed
    a_flood_of_refused_attempts_is_counted
    events_are_sealed_within_a_second_and_a_change_shows
    old_events_are_deleted_and_the_others_can_be_verified
    a_new_secret_key_opens_the_chain_of_the_old_one
}

async fn listed(app: &App, path: &str, token: &str) -> (Vec<Value>, String) {
    let answer = app.get(path, token).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    (answer.json().as_array().unwrap().clone(), answer.header("link").to_owned())
}

fn names(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["event"].as_str().unwrap()).collect()
}

/// The events that are there when what was refused is written.
async fn written(app: &App, path: &str, token: &str) -> Vec<Value> {
    doorwarden::core::flow::seal_events::write_refusals(app.auth.context(), true).await;
    listed(app, path, token).await.0
}

async fn users_read_their_own_events_in_pages(database: Database) {
    let app = database.app().await;
    let (jane, other) = (app.register("jane").await, app.register("other").await);
    assert_eq!(app.call("GET", "/me/events", None, None).await.status, 401);
    let (events, link) = listed(&app, "/me/events", &jane).await;
    assert_eq!((names(&events), link.as_str()), (vec!["session_opened", "user_created"], ""));
    let created = &events[1];
    let expected = json!({
        "id": created["id"], "at": "2026-11-23T12:00:00.000000Z", "event": "user_created", "actor": "anonymous",
        "session": null, "device": null, "address": null, "user_agent": null, "result": "success", "data": {},
    });
    assert_eq!(*created, expected);
    for number in 0..104 {
        let change = json!({"username": format!("jane{}", number % 2)});
        assert_eq!(app.call("PATCH", "/me", Some(&jane), Some(change)).await.status, 200);
    }
    let (first, link) = listed(&app, "/me/events", &jane).await;
    let next = link.strip_prefix('<').unwrap().split_once('>').unwrap().0;
    let (second, end) = listed(&app, &format!("/me/events{next}"), &jane).await;
    assert_eq!((first.len() + second.len(), end.as_str()), (106, ""));
    let ids: Vec<i64> = first.iter().chain(&second).map(|event| event["id"].as_i64().unwrap()).collect();
    assert!(ids.is_sorted_by(|a, b| a > b), "{ids:?}");
    // A cursor is a number, and shows nobody else's events.
    let (theirs, _) = listed(&app, &format!("/me/events{next}"), &other).await;
    assert_eq!(names(&theirs), ["session_opened", "user_created"]);
    for wrong in ["x", "1.5", "", "9223372036854775808"] {
        let refused = app.get(&format!("/me/events?cursor={wrong}"), &jane).await;
        refused.is(400, json!({"detail": "Invalid cursor."}));
    }
}

/// A request from an address.
async fn from(app: &App, address: &str, path: &str, body: Value) -> Answer {
    let mut request = Request::post(path)
        .header("content-type", "application/json")
        .header("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
        .body(body.to_string().into())
        .unwrap();
    let peer: SocketAddr = format!("{address}:443").parse().unwrap();
    request.extensions_mut().insert(axum::extract::ConnectInfo(peer));
    app.send(request).await
}

async fn users_see_no_address_of_others_who_acted_on_their_account(database: Database) {
    let app = database.app().await;
    app.register("jane").await;
    let login = json!({"email": "jane@example.com", "password": PASSWORD});
    let jane = from(&app, "192.0.2.7", "/login", login).await.token();
    let client = doorwarden::ClientInfo { address: "198.51.100.1".parse().ok(), ..Default::default() };
    let staff = doorwarden::Origin::new(Actor::User(UserId(7)), client);
    app.auth.acting_as(staff).users().set_password(UserId(1), None).await.unwrap();
    let jane = match app.get("/me/events", &jane).await.status.as_u16() {
        200 => jane,
        _ => app.auth.tokens().issue(UserId(1)).await.unwrap().token,
    };
    let events = written(&app, "/me/events", &jane).await;
    let changed = events.iter().find(|event| event["event"] == "password_changed").unwrap();
    assert_eq!((&changed["actor"], &changed["address"]), (&json!("user"), &Value::Null));
    let logged_in = events.iter().find(|event| event["event"] == "logged_in").unwrap();
    assert_eq!(
        (&logged_in["address"], &logged_in["device"]),
        (&json!("192.0.2.7"), &json!("Firefox on Linux"))
    );
}

async fn whoever_may_view_users_reads_all_events_and_finds_some(database: Database) {
    let app = database.app().await;
    let (staff, jane, root) =
        (app.register("staff").await, app.register("jane").await, app.register("root").await);
    let change = UserChange { is_superuser: Some(true), is_staff: Some(true), ..UserChange::default() };
    app.auth.users().update(UserId(3), change).await.unwrap();
    assert_eq!(app.call("GET", "/events", None, None).await.status, 401);
    let denied = app.get("/events", &staff).await;
    denied.is(403, json!({"detail": "You do not have permission to perform this action."}));
    let name: PermissionName = "users.view_user".parse().unwrap();
    let label = "Can view user".into();
    app.auth.users().declare_permission(Permission { name: name.clone(), label }).await.unwrap();
    app.auth.users().grant(UserId(1), &name).await.unwrap();

    assert_eq!(app.get("/events", &jane).await.status, 403);
    assert_eq!(listed(&app, "/events", &root).await, listed(&app, "/events", &staff).await);
    let (all, _) = listed(&app, "/events", &staff).await;
    assert_eq!(names(&all)[..2], ["permission_granted", "permission_declared"]);
    let granted = json!({
        "id": all[0]["id"], "at": "2026-11-23T12:00:00.000000Z", "event": "permission_granted",
        "actor": "application", "actor_id": null, "user": 1, "session": null, "request_id": null, "address": null,
        "user_agent": null, "result": "success", "data": {"permission": "users.view_user"},
    });
    assert_eq!(all[0], granted);

    app.clock.advance(Duration::from_mins(1));
    app.log_in("jane", PASSWORD).await;
    let found = async |query: &str| {
        let (events, _) = listed(&app, &format!("/events?{query}"), &staff).await;
        names(&events).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(found("user=2").await, ["logged_in", "session_opened", "user_created"]);
    assert_eq!(found("user=2&event=user_created").await, ["user_created"]);
    assert_eq!(found("since=2026-11-23T12:00:01Z").await, ["logged_in"]);
    assert_eq!(found("user=2&until=2026-11-23T12:00:01Z").await, ["session_opened", "user_created"]);
    assert_eq!(found("event=%27%20OR%201%3D1").await, [""; 0]);
    for wrong in ["user=jane", "since=yesterday", "until=7"] {
        app.get(&format!("/events?{wrong}"), &staff).await.is(400, json!({"detail": "Invalid filter."}));
    }
    assert_eq!(app.get("/events?cursor=x", &staff).await.status, 400);

    for _ in 0..101 {
        app.auth.acting_as(Actor::Operator).users().sign_out(UserId(2)).await.unwrap();
    }
    let (first, link) = listed(&app, "/events?user=2&event=sessions_ended", &staff).await;
    let next = link.strip_prefix('<').unwrap().split_once('>').unwrap().0;
    assert!(next.starts_with("?user=2&event=sessions_ended&cursor="), "{next}");
    let (second, _) = listed(&app, &format!("/events{next}"), &staff).await;
    assert_eq!((first.len(), names(&second)), (100, vec!["sessions_ended"]), "the filter goes on");
}

async fn a_request_has_one_id_in_its_answer_and_its_events(database: Database) {
    let app = database.app().await;
    app.register("jane").await;
    let login = app.log_in("jane", PASSWORD).await;
    let last = app.auth.context().store.audit_records(None, 100).await.unwrap().pop().unwrap();
    assert_eq!(last.kind, "logged_in");
    assert_eq!(last.client.request_id.as_deref(), Some(login.header("x-request-id")));
    // It is no property of the session.
    let session = app.auth.context().store.session(last.session.unwrap()).await.unwrap().unwrap();
    assert_eq!(session.client.request_id, None);
}

async fn refused_attempts_are_written_within_a_second_and_without_what_was_typed(database: Database) {
    let app = database.app().await;
    let jane = app.register("jane").await;
    for (email, password) in [("jane@example.com", "canary-wrong"), ("canary@example.com", PASSWORD)] {
        let login = json!({"email": email, "password": password});
        assert_eq!(from(&app, "203.0.113.5", "/login", login).await.status, 400);
    }
    let change = json!({"current_password": "canary-wrong", "new_password": "another battery horse"});
    assert_eq!(app.call("POST", "/password/change", Some(&jane), Some(change)).await.status, 400);
    let store = &app.auth.context().store;
    let mut refused = Vec::new();
    for _ in 0..100 {
        refused = store.audit_records(None, 100).await.unwrap();
        refused.retain(|record| record.outcome.as_str() == "failure");
        if refused.len() == 3 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let seen: Vec<_> = refused
        .iter()
        .map(|event| (event.kind.as_str(), event.user, event.data.get("reason").and_then(Value::as_str)))
        .collect();
    let expected = [
        ("login_failed", Some(UserId(1)), Some("wrong_password")),
        ("login_failed", None, Some("unknown_email")),
        ("password_refused", Some(UserId(1)), None),
    ];
    assert_eq!(seen, expected);
    assert_eq!(refused[0].client.address, "203.0.113.5".parse().ok());
    assert_eq!(refused[0].actor, Actor::Anonymous);
    assert!(!format!("{refused:?}").contains("canary"));
    let own = listed(&app, "/me/events", &jane).await.0;
    assert_eq!(own[1]["address"], "203.0.113.5", "the owner sees from where: {own:?}");
}

async fn a_flood_of_refused_attempts_is_counted(database: Database) {
    let app = database.app_with(|b| b.settings(|settings| settings.limits.enabled = false)).await;
    let jane = app.register("jane").await;
    for _ in 0..130 {
        app.log_in("jane", "wrong").await;
    }
    for _ in 0..7 {
        app.auth.context().count_refusal("login");
    }
    let events = written(&app, "/me/events", &jane).await;
    assert_eq!(events.len(), 100, "the newest page of what was written");
    let records = app.auth.context().store.audit_records(None, 1_000).await.unwrap();
    let failed = records.iter().filter(|record| record.kind == "login_failed").count();
    let counted: Vec<_> = records
        .iter()
        .filter(|record| record.kind == "refusals_counted")
        .map(|record| json!(record.data))
        .collect();
    assert_eq!(failed, 100, "the clock stands still");
    assert_eq!(counted, [json!({"kind": "login", "count": 7}), json!({"kind": "login_failed", "count": 30})]);
}

async fn events_are_sealed_within_a_second_and_a_change_shows(database: Database) {
    let app = database.app().await;
    app.register("jane").await;
    let audit = app.auth.audit();
    all_sealed(&app).await;
    let (point, signed) = audit.checkpoint().await.unwrap();
    assert_eq!(audit.read_checkpoint(&signed).await.unwrap(), point);
    assert!(audit.read_checkpoint(&signed[..signed.len() - 2]).await.is_err());
    let mut told = 0;
    let verified =
        audit.verify(std::slice::from_ref(&point), |progress| told = progress.events).await.unwrap();
    // The signing key, the account and its session.
    assert_eq!((verified.events, verified.checkpoints, verified.is_genuine(), told), (4, 1, true, 4));

    let unguarded = match database.url.starts_with("sqlite") {
        true => "DROP TRIGGER doorwarden_audit_not_updated",
        false => "ALTER TABLE doorwarden_audit DISABLE TRIGGER ALL",
    };
    database.sql.execute(unguarded).await.unwrap();
    database.sql.execute("UPDATE doorwarden_audit SET kind = 'nothing' WHERE id = 2").await.unwrap();
    let verified = audit.verify(&[point], |_| {}).await.unwrap();
    assert_eq!(
        verified.findings.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["event 2 was altered"]
    );
}

async fn old_events_are_deleted_and_the_others_can_be_verified(database: Database) {
    const DAY: Duration = Duration::from_hours(24);
    let keep = |builder: Builder| {
        builder.background(false).settings(|settings| settings.retention.events = Some(10 * DAY))
    };
    let app = database.app_with(keep).await;
    for name in ["jane", "joan"] {
        app.register(name).await;
        app.auth.audit().seal().await.unwrap();
        app.clock.advance(6 * DAY);
    }
    app.register("kim").await;
    app.auth.audit().seal().await.unwrap();
    let run = async || while doorwarden::core::tasks::run_once(app.auth.context()).await {};
    run().await;
    let records = app.auth.context().store.audit_records(None, 100).await.unwrap();
    let kinds: Vec<_> = records.iter().map(|record| record.kind.as_str()).collect();
    let pair = ["user_created", "session_opened"];
    assert_eq!(kinds, [&pair[..], &pair, &["events_deleted"]].concat());
    assert_eq!(json!(records[4].data), json!({"count": 4}), "those of the signing key, too");
    app.clock.advance(Duration::from_mins(1));
    app.auth.audit().seal().await.unwrap();
    let verified = app.auth.audit().verify(&[], |_| {}).await.unwrap();
    assert_eq!((verified.events, verified.cut, verified.is_genuine()), (5, 4, true), "{verified:?}");
}

async fn a_new_secret_key_opens_the_chain_of_the_old_one(database: Database) {
    let quiet = |builder: Builder| builder.background(false);
    let app = database.app_with(quiet).await;
    app.register("jane").await;
    app.auth.audit().seal().await.unwrap();
    let (point, _) = app.auth.audit().checkpoint().await.unwrap();
    app.auth.close().await;

    let key = "another secret key for tests, long enough";
    let both = |builder: Builder| builder.secret_key(key).old_secret_keys([crate::app::SECRET]);
    let app = database.app_with(both).await;
    app.clock.advance(Duration::from_mins(1));
    app.register("joan").await;
    all_sealed(&app).await;
    app.auth.close().await;

    let only_new = |builder: Builder| builder.background(false).secret_key(key);
    let app = database.app_with(only_new).await;
    let verified = app.auth.audit().verify(&[point], |_| {}).await.unwrap();
    assert_eq!(
        (verified.checkpoints, verified.unsealed, verified.is_genuine()),
        (1, 0, true),
        "{verified:?}"
    );
    assert_eq!(app.auth.context().store.audit_keys().await.unwrap().len(), 1, "the chain has one key");
}

/// Waits until the background task has sealed everything.
async fn all_sealed(app: &App) {
    for _ in 0..200 {
        if app.auth.audit().state().await.unwrap().unsealed == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the events are not sealed");
}
