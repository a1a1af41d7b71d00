//! Sessions: what a login opens, and what ends it.

use crate::app::{App, Database, PASSWORD};
use doorwarden::UserId;
use doorwarden::core::tasks;
use serde_json::{Value, json};
use std::time::Duration;

on_both! {
    the_sessions_of_a_user_are_listed_newest_first_and_the_current_one_is_marked
    a_logout_ends_this_session_the_others_or_all
    a_session_can_be_ended_only_by_its_user
    a_session_expires
    an_idle_session_expires_if_there_is_a_limit
    use_is_recorded_even_while_the_change_feed_is_disconnected
    the_last_use_of_a_session_is_buffered
    a_session_of_another_user_does_not_make_a_token_valid
    sign_out_ends_sessions_and_tokens
}

async fn listed(app: &App, token: &str) -> Vec<Value> {
    app.get("/sessions", token).await.json().as_array().unwrap().clone()
}

async fn the_sessions_of_a_user_are_listed_newest_first_and_the_current_one_is_marked(database: Database) {
    let app = database.app().await;
    app.register("other").await;
    let first = app.register("jane").await;
    app.clock.advance(Duration::from_secs(5));
    app.log_in("jane", PASSWORD).await;
    let sessions = listed(&app, &first).await;
    let current: Vec<_> = sessions.iter().map(|s| s["current"].as_bool().unwrap()).collect();
    assert_eq!(current, [false, true]);
    assert_eq!(sessions[1]["created_at"], "2026-11-23T12:00:00.000000Z");
    assert_eq!(sessions[1]["expires_at"], "2027-01-22T12:00:00.000000Z");
    assert_eq!((&sessions[0]["amr"], &sessions[0]["assurance_level"]), (&json!(["pwd"]), &json!(1)));
}

async fn a_logout_ends_this_session_the_others_or_all(database: Database) {
    let app = database.app().await;
    let (one, two) = (app.register("jane").await, app.log_in("jane", PASSWORD).await.token());
    let (three, other) = (app.log_in("jane", PASSWORD).await.token(), app.register("other").await);
    assert_eq!(app.call("POST", "/logout?scope=everything", Some(&one), None).await.status, 400);
    assert_eq!(app.call("POST", "/logout", Some(&one), None).await.status, 204);
    let refused = app.get("/me", &one).await;
    refused.is(401, json!({"detail": "Invalid authentication. Could not decode token."}));
    assert!(refused.header("www-authenticate").contains("error=\"invalid_token\""));

    assert_eq!(app.call("POST", "/logout?scope=others", Some(&two), None).await.status, 204);
    assert_eq!(app.get("/me", &three).await.status, 401);
    assert_eq!(app.get("/me", &two).await.status, 200);
    assert_eq!(app.call("POST", "/logout?scope=all", Some(&two), None).await.status, 204);
    assert_eq!(app.get("/me", &two).await.status, 401);
    assert_eq!(app.get("/me", &other).await.status, 200, "another user's session goes on");
}

async fn a_session_can_be_ended_only_by_its_user(database: Database) {
    let app = database.app().await;
    let (here, there) = (app.register("jane").await, app.log_in("jane", PASSWORD).await.token());
    let other = app.register("other").await;
    let id = listed(&app, &there).await.iter().find(|s| s["current"] == true).unwrap()["id"].clone();
    let path = format!("/sessions/{}", id.as_str().unwrap());
    assert_eq!(app.call("DELETE", &path, Some(&other), None).await.status, 404);
    assert_eq!(app.get("/me", &there).await.status, 200);
    assert_eq!(app.call("DELETE", &path, Some(&here), None).await.status, 204);
    assert_eq!(app.get("/me", &there).await.status, 401);
    assert_eq!(app.call("DELETE", &path, Some(&here), None).await.status, 404);
    for nonsense in ["/sessions/1", "/sessions/%00", "/sessions/' OR 1=1"] {
        let path = nonsense.replace(' ', "%20");
        assert_eq!(app.call("DELETE", &path, Some(&here), None).await.status, 404, "{nonsense}");
    }
}

async fn a_session_expires(database: Database) {
    let app = database.app().await;
    let token = app.register("jane").await;
    app.clock.advance(Duration::from_secs(60 * 24 * 3600 - 1));
    assert_eq!(app.get("/me", &token).await.status, 200);
    app.clock.advance(Duration::from_secs(1));
    assert_eq!(app.get("/me", &token).await.status, 401);
}

async fn an_idle_session_expires_if_there_is_a_limit(database: Database) {
    let hour = Duration::from_hours(1);
    let app = database.app_with(|b| b.settings(|s| s.session.idle = Some(hour))).await;
    let token = app.register("jane").await;
    for _ in 0..3 {
        app.clock.advance(Duration::from_secs(3599));
        assert_eq!(app.get("/me", &token).await.status, 200, "use keeps it alive");
    }
    app.clock.advance(hour + Duration::from_secs(1));
    assert_eq!(app.get("/me", &token).await.status, 401);
}

async fn use_is_recorded_even_while_the_change_feed_is_disconnected(database: Database) {
    use doorwarden::core::store::ChangeSink;
    let app = database.app_with(|b| b.settings(|s| s.session.idle = Some(Duration::from_hours(1)))).await;
    let token = app.register("jane").await;
    for _ in 0..3 {
        app.auth.context().live.disconnected();
        app.clock.advance(Duration::from_secs(3599));
        assert_eq!(app.get("/me", &token).await.status, 200, "use keeps it alive");
    }
}

async fn the_last_use_of_a_session_is_buffered(database: Database) {
    // Only the test writes.
    let app = database.app_with(|b| b.background(false)).await;
    let token = app.register("jane").await;
    assert_eq!(app.get("/me", &token).await.status, 200);
    app.clock.advance(Duration::from_secs(59));
    assert_eq!(app.get("/me", &token).await.status, 200);
    tasks::flush_seen(app.auth.context()).await;
    assert_eq!(
        listed(&app, &token).await[0]["last_seen_at"],
        "2026-11-23T12:00:00.000000Z",
        "not within a minute"
    );
    app.clock.advance(Duration::from_secs(1));
    for _ in 0..3 {
        assert_eq!(app.get("/me", &token).await.status, 200);
    }
    assert_eq!(app.auth.context().live.take_seen().len(), 1, "many requests, one write");
    app.clock.advance(Duration::from_mins(1));
    assert_eq!(app.get("/me", &token).await.status, 200);
    tasks::flush_seen(app.auth.context()).await;
    assert_eq!(listed(&app, &token).await[0]["last_seen_at"], "2026-11-23T12:02:00.000000Z");
}

async fn a_session_of_another_user_does_not_make_a_token_valid(database: Database) {
    use doorwarden::core::token::SecretKey;
    use doorwarden::core::token::session::SessionTokenKeys;
    let app = database.app().await;
    let (jane, _) = (app.register("jane").await, app.register("other").await);
    let keys = SessionTokenKeys::new(&SecretKey::new(crate::app::SECRET).unwrap(), &[]);
    let claims = keys.verify(&jane, crate::app::NOON.as_seconds()).unwrap();
    let forged = keys.sign(&doorwarden::core::token::session::SessionClaims { id: 2, ..claims });
    assert_eq!(app.get("/me", &forged).await.status, 401);
}

async fn sign_out_ends_sessions_and_tokens(database: Database) {
    let app = database.app().await;
    let (one, two) = (app.register("jane").await, app.log_in("jane", PASSWORD).await.token());
    assert_eq!(app.auth.users().sign_out(UserId(1)).await.unwrap(), 2);
    for token in [&one, &two] {
        assert_eq!(app.get("/me", token).await.status, 401);
    }
    assert_eq!(app.log_in("jane", PASSWORD).await.status, 200);
}
