//! The audience of access tokens, and where tokens are accepted.

use crate::app::{App, Database, PASSWORD};
use crate::pairs::{Pair, claims};
use axum::Router;
use axum::routing::get;
use doorwarden::{CurrentUser, Doorwarden, OauthClients};
use http::Request;
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};

on_both! {
    a_token_of_the_default_audience_is_accepted_everywhere
    a_token_for_another_audience_is_refused_by_account_endpoints
    token_endpoints_accept_tokens_of_every_audience
    routes_of_the_application_accept_its_audiences_and_the_issuer
    a_token_can_be_requested_only_for_a_configured_resource
    a_refresh_keeps_the_audience
    a_session_token_can_be_exchanged_for_a_configured_resource
}

const ISSUER: &str = "http://127.0.0.1:8000";
const API: &str = "https://api.example";
const OTHER: &str = "https://other.example";
const MAIL: &str = "https://mail.example";

/// Two default audiences, two resources, and two routes: one protected by the layer, one by an extractor.
async fn app(database: &Database) -> App {
    fn routes(auth: &Doorwarden) -> Router {
        let protected = auth.protect(Router::new().route("/protected", get(async || "in")));
        let extracted = async |user: CurrentUser| user.username().to_owned();
        let account = auth.protect(Router::new().nest("/within", auth.router()));
        protected.route("/extracted", get(extracted)).merge(auth.router()).merge(account)
    }
    let mut clients = OauthClients::default();
    clients.add("billing", "0917b13a9091915d54b6336f45909539cce452b3661b21f386418a257883b30a").unwrap();
    let change = |s: &mut doorwarden::core::settings::Settings| {
        s.access.audience = vec![API.to_owned(), OTHER.to_owned()];
        s.access.resources = vec![MAIL.to_owned(), ISSUER.to_owned()];
    };
    let app = database.app_around(|b| b.settings(change).http(|h| h.oauth_clients = clients), routes).await;
    app.register("jane").await;
    app
}

async fn obtain(app: &App, resource: Value) -> Pair {
    let login = json!({"email": "jane@example.com", "password": PASSWORD, "resource": resource});
    Pair::of(&app.post("/token", login).await)
}

/// The statuses of routes that only require a token.
async fn statuses(app: &App, token: &str, paths: &[&str]) -> Vec<u16> {
    let mut statuses = Vec::new();
    for path in paths {
        statuses.push(app.get(path, token).await.status.as_u16());
    }
    statuses
}

async fn a_token_of_the_default_audience_is_accepted_everywhere(database: Database) {
    let app = database.app().await;
    app.register("jane").await;
    let pair = app.obtain("jane").await;
    assert_eq!(claims(&pair.access)["aud"], ISSUER);
    assert_eq!(statuses(&app, &pair.access, &["/me", "/sessions"]).await, [200, 200]);
}

async fn a_token_for_another_audience_is_refused_by_account_endpoints(database: Database) {
    let app = app(&database).await;
    let pair = app.obtain("jane").await;
    assert_eq!(claims(&pair.access)["aud"], json!([API, OTHER]));
    let token = Some(pair.access.as_str());
    let password = json!({"current_password": PASSWORD, "new_password": "another horse"});
    for (method, path, body) in [
        ("GET", "/me", None),
        ("GET", "/within/me", None),
        ("PATCH", "/me", Some(json!({"username": "mallory"}))),
        ("DELETE", "/me", Some(json!({"password": PASSWORD}))),
        ("GET", "/sessions", None),
        ("DELETE", "/sessions/018f0000-0000-7000-8000-000000000000", None),
        ("POST", "/logout?scope=all", None),
        ("POST", "/password/change", Some(password)),
        ("POST", "/token", None),
    ] {
        let answer = app.call(method, path, token, body).await;
        assert_eq!(answer.status, 401, "{method} {path}");
        assert!(answer.header("www-authenticate").contains("invalid_token"), "{method} {path}");
    }
    let session = app.log_in("jane", PASSWORD).await.token();
    let own = obtain(&app, json!(ISSUER)).await.access;
    for token in [session, own] {
        assert_eq!(statuses(&app, &token, &["/me", "/within/me", "/sessions"]).await, [200; 3]);
    }
}

async fn token_endpoints_accept_tokens_of_every_audience(database: Database) {
    let app = app(&database).await;
    for resource in [json!(null), json!(MAIL), json!(ISSUER), json!([MAIL, ISSUER])] {
        let pair = obtain(&app, resource.clone()).await;
        let verified = app.post("/token/verify", json!({"token": pair.access})).await;
        assert_eq!(verified.status, 200, "{resource}");
        let form = format!("token={}&client_id=billing&client_secret=SECRET", pair.access);
        let request =
            Request::post("/oauth/introspect").header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        let answer = app.send(request.body(form.into()).unwrap()).await.json();
        assert_eq!(answer["active"], true, "{resource}");
        let revoked = app.post("/token/revoke", json!({"token": pair.access})).await;
        assert_eq!(revoked.status, 204, "{resource}");
        assert_eq!(app.refresh(&pair.refresh).await.status, 401);
    }
}

async fn routes_of_the_application_accept_its_audiences_and_the_issuer(database: Database) {
    let app = app(&database).await;
    for (resource, expected) in
        [(json!(null), 200), (json!(ISSUER), 200), (json!([MAIL, ISSUER]), 200), (json!(MAIL), 401)]
    {
        let token = obtain(&app, resource.clone()).await.access;
        assert_eq!(statuses(&app, &token, &["/protected", "/extracted"]).await, [expected; 2], "{resource}");
        assert_eq!(app.auth.tokens().verify(&token).await.is_ok(), expected == 200, "{resource}");
    }
}

async fn a_token_can_be_requested_only_for_a_configured_resource(database: Database) {
    let app = app(&database).await;
    assert_eq!(claims(&obtain(&app, json!(MAIL)).await.access)["aud"], MAIL);
    assert_eq!(claims(&obtain(&app, json!([MAIL, MAIL])).await.access)["aud"], MAIL);
    assert_eq!(claims(&obtain(&app, json!([MAIL, ISSUER])).await.access)["aud"], json!([MAIL, ISSUER]));
    for resource in [
        json!("https://evil.example"),
        json!(API),
        json!(""),
        json!(format!("{MAIL} {ISSUER}")),
        json!(format!("{MAIL}/")),
        json!([MAIL, "https://evil.example"]),
        json!([7]),
        json!({"a": 1}),
        json!(true),
    ] {
        let login = json!({"email": "jane@example.com", "password": PASSWORD, "resource": resource});
        let answer = app.post("/token", login).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.json()["code"]),
            (400, &json!("invalid_target")),
            "{resource}"
        );
    }
    let form = |resource: &str| {
        let body = format!("email=jane%40example.com&password=correct+horse+battery&resource={resource}");
        let request = Request::post("/token").header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        request.body(body.into()).unwrap()
    };
    let pair = Pair::of(&app.send(form("https%3A%2F%2Fmail.example")).await);
    assert_eq!(claims(&pair.access)["aud"], MAIL);
    assert_eq!(app.send(form("x")).await.status, 400);
}

async fn a_refresh_keeps_the_audience(database: Database) {
    let app = app(&database).await;
    for (resource, expected) in [(json!(MAIL), json!(MAIL)), (json!(null), json!([API, OTHER]))] {
        let mut pair = obtain(&app, resource).await;
        for _ in 0..2 {
            pair = Pair::of(&app.refresh(&pair.refresh).await);
            assert_eq!(claims(&pair.access)["aud"], expected);
        }
    }
}

async fn a_session_token_can_be_exchanged_for_a_configured_resource(database: Database) {
    let app = app(&database).await;
    let session = app.log_in("jane", PASSWORD).await.token();
    let exchange = async |body: Value| app.call("POST", "/token", Some(&session), Some(body)).await;
    let pair = Pair::of(&exchange(json!({"resource": MAIL})).await);
    assert_eq!(claims(&pair.access)["aud"], MAIL);
    assert_eq!(claims(&Pair::of(&app.refresh(&pair.refresh).await).access)["aud"], MAIL);
    assert_eq!(exchange(json!({"resource": API})).await.json()["code"], "invalid_target");
    assert_eq!(claims(&Pair::of(&exchange(json!({})).await).access)["aud"], MAIL, "what is not named stays");
}
