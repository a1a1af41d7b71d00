//! What needs an authentication that is recent, or strong.

use crate::app::{Answer, App, Database, NOON, PASSWORD};
use crate::email_changes::change;
use crate::life::{jane, next, step};
use doorwarden::core::audit::Effects;
use doorwarden::core::authentication::{Amr, AuthContext};
use doorwarden::core::mail::MailKind;
use doorwarden::{Actor, UserId};
use serde_json::{Value, json};
use std::time::Duration;

on_both! {
    an_authentication_is_recent_for_five_minutes_and_no_refresh_moves_it
    a_user_confirms_by_mail_that_it_is_them
    a_route_of_the_application_can_need_a_recent_authentication
    a_route_of_the_application_can_need_an_assurance_level
}

async fn confirm(app: &App, token: &str, body: Value) -> Answer {
    app.call("POST", "/reauthenticate", Some(token), Some(body)).await
}

async fn an_authentication_is_recent_for_five_minutes_and_no_refresh_moves_it(database: Database) {
    let (app, _) = jane(&database).await;
    let pair = app.post("/token", json!({"email": "jane@example.com", "password": PASSWORD})).await.json();
    app.clock.advance(Duration::from_secs(299));
    let pair = app.post("/token/refresh", json!({"refresh": pair["refresh"]})).await.json();
    let access = pair["access"].as_str().unwrap();
    assert_eq!(change(&app, access, "a@example.com").await.status, 202);
    app.clock.advance(Duration::from_secs(2));
    assert_eq!(change(&app, access, "b@example.com").await.status, 401);
    confirm(&app, access, json!({"password": "wrong"}))
        .await
        .is(400, json!({"password": ["The password was entered incorrectly. Please enter it again."]}));
    assert_eq!(change(&app, access, "b@example.com").await.status, 401);
    let at = app.auth.context().now().as_seconds();
    confirm(&app, access, json!({"password": PASSWORD}))
        .await
        .is(200, json!({"auth_time": at, "acr": "1", "amr": ["pwd"], "expires_in": 300}));
    assert_eq!(change(&app, access, "b@example.com").await.status, 202);
}

async fn a_user_confirms_by_mail_that_it_is_them(database: Database) {
    let (app, post) = jane(&database).await;
    let token = app.log_in("jane", PASSWORD).await.token();
    app.clock.advance(Duration::from_secs(301));
    let login_token = next(&confirm(&app, &token, json!({})).await, 401, "email_code");
    post.one(&app, MailKind::Reauthenticate).await;
    app.clock.advance(Duration::from_secs(30));
    app.post("/registration/resend-email", json!({"login_token": login_token})).await;
    let letter = post.one(&app, MailKind::Reauthenticate).await;
    let elsewhere = app.post("/login/link", json!({"key": letter.key()})).await;
    assert_eq!(elsewhere.json()["code"], "link_invalid", "it logs nobody in");
    let answer = step(&app, &login_token, "email_code", json!({"code": letter.code()})).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["amr"]), (200, &json!(["email"])));
    assert!(answer.json().get("token").is_none());
    assert_eq!(change(&app, &token, "new@example.com").await.status, 202);

    app.register("john").await;
    let john = app.log_in("john", PASSWORD).await.token();
    let unproved = confirm(&app, &john, json!({})).await;
    assert_eq!(
        unproved.json()["code"],
        "mail_not_configured",
        "a mail to an address that is not proved proves nothing"
    );
}

async fn a_route_of_the_application_can_need_a_recent_authentication(database: Database) {
    use axum::Router;
    use axum::routing::post;
    let routes = |auth: &doorwarden::Doorwarden| {
        let pay = post(async || "paid").route_layer(auth.require_recent(Duration::from_mins(1)));
        Router::new().route("/pay", pay).merge(auth.router())
    };
    let app = database.app_around(|builder| builder, routes).await;
    let token = app.register("jane").await;
    let pay = async |token: Option<&str>| app.call("POST", "/pay", token, None).await;
    assert_eq!(pay(None).await.json()["detail"], "Authentication credentials were not provided.");
    app.clock.advance(Duration::from_mins(1));
    assert_eq!(pay(Some(&token)).await.status, 200);
    app.clock.advance(Duration::from_secs(1));
    let refused = pay(Some(&token)).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["max_age"]), (401, &json!(60)));
    let issued = app.auth.tokens().issue(UserId(1)).await.unwrap().token;
    assert_eq!(pay(Some(&issued)).await.status, 401, "nobody was authenticated");
    confirm(&app, &token, json!({"password": PASSWORD})).await;
    assert_eq!(pay(Some(&token)).await.status, 200);
}

async fn a_route_of_the_application_can_need_an_assurance_level(database: Database) {
    use axum::Router;
    use axum::routing::get;
    let routes = |auth: &doorwarden::Doorwarden| {
        let level = |level| {
            get(async |user: doorwarden::CurrentUser| format!("{:?}", user.acr()))
                .route_layer(auth.require_acr(level))
        };
        Router::new().route("/first", level(1)).route("/second", level(2)).merge(auth.router())
    };
    let app = database.app_around(|builder| builder, routes).await;
    app.register("jane").await;
    assert_eq!(app.call("GET", "/second", None, None).await.status, 401);
    let pair = app.post("/token", json!({"email": "jane@example.com", "password": PASSWORD})).await.json();
    let issued = app.auth.tokens().issue(UserId(1)).await.unwrap().token;
    let session = app.log_in("jane", PASSWORD).await.token();
    let access = pair["access"].as_str().unwrap();
    let refused = async |path: &str, token: &str, level: &str| {
        let answer = app.get(path, token).await;
        assert_eq!(answer.status, 401, "{path}");
        assert_eq!(
            answer.header("www-authenticate"),
            format!(
                "Bearer realm=\"api\", error=\"insufficient_user_authentication\", acr_values=\"{level}\""
            )
        );
        answer.json()
    };
    for token in [access, session.as_str()] {
        assert_eq!(app.get("/first", token).await.status, 200);
        let body = refused("/second", token, "2").await;
        assert_eq!(body["code"], "insufficient_user_authentication");
        assert!(body.get("flows").is_none(), "no password helps: {body}");
    }
    assert_eq!(app.get("/first", access).await.body, b"Some(\"1\")");

    // A session that an operator opened was never authenticated.
    let body = refused("/first", &issued, "1").await;
    assert_eq!(body["flows"][0]["id"], "reauthenticate");
    assert_eq!(confirm(&app, &issued, json!({"password": PASSWORD})).await.status, 200);
    assert_eq!(app.get("/first", &issued).await.status, 200);

    // The level of the session counts, which may be higher than that of its token.
    let store = &app.auth.context().store;
    let auth = AuthContext { methods: Amr::PASSWORD, assurance_level: 2, auth_time: NOON };
    for of in store.every_session_of(UserId(1), None, 100).await.unwrap() {
        let nothing = Effects::new(NOON, &Actor::System.into(), []);
        assert!(store.authenticate_session(of.id, UserId(1), auth, None, nothing).await.unwrap());
    }
    for token in [access, session.as_str()] {
        assert_eq!(app.get("/second", token).await.status, 200);
    }
    let ended = app.call("POST", "/logout", Some(&session), None).await;
    assert_eq!((ended.status.as_u16(), app.get("/second", &session).await.status.as_u16()), (204, 401));
}
