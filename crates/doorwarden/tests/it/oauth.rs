//! Revocation (RFC 7009) and introspection (RFC 7662) for services.

use crate::app::{Answer, App, Database, NOON, SECRET};
use crate::pairs::{Pair, claims};
use doorwarden::core::settings::WithoutSession;
use doorwarden::core::time::Clock;
use doorwarden::core::token::SecretKey;
use doorwarden::core::token::session::{SessionClaims, SessionTokenKeys};
use doorwarden::{HttpSettings, OauthClients, UserId};
use http::Request;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use serde_json::json;
use std::time::Duration;

on_both! {
    introspection_returns_the_claims_of_a_valid_token
    an_introspection_response_can_be_cached_for_the_configured_time
    a_secret_is_accepted_raw_and_form_encoded
    a_client_secret_can_be_sent_in_the_form
    revocation_ends_the_session_of_a_token
    only_configured_clients_are_accepted
    requests_other_than_forms_get_an_oauth_error
}

/// `billing:a+b%c` in HTTP Basic, each part form-encoded first: `billing:a%2Bb%25c`.
const BILLING: &str = "Basic YmlsbGluZzphJTJCYiUyNWM=";

impl Database {
    /// An application with the OAuth client `billing`.
    async fn app_for_billing(&self) -> App {
        self.app_for_billing_with(|_| ()).await
    }

    async fn app_for_billing_with(&self, change: impl FnOnce(&mut HttpSettings)) -> App {
        let mut clients = OauthClients::default();
        // printf %s 'a+b%c' | sha256sum
        clients.add("billing", "ce569c38c036521bd96f9903f01514c07cf74f0ea128cacc903513c5c22394cc").unwrap();
        self.app_with(|b| {
            b.http(|http| http.oauth_clients = clients)
                .http(change)
                .settings(|s| s.session.without_session = WithoutSession::Accept)
        })
        .await
    }
}

impl App {
    async fn oauth(&self, what: &str, authorization: &str, form: &str) -> Answer {
        let request = Request::post(format!("/oauth/{what}"))
            .header(AUTHORIZATION, authorization)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.send(request.body(form.to_owned().into()).unwrap()).await
    }

    async fn introspect(&self, token: &str) -> Answer {
        self.oauth("introspect", BILLING, &format!("token={token}")).await
    }
}

async fn introspection_returns_the_claims_of_a_valid_token(database: Database) {
    let app = database.app_for_billing().await;
    let session = app.register("jane").await;
    let pair = app.obtain("jane").await;
    let now = NOON.as_seconds();
    let issuer = "http://127.0.0.1:8000";

    let said = claims(&pair.access);
    app.introspect(&pair.access).await.is(
        200,
        json!({
            "active": true, "token_type": "Bearer", "sub": "1", "username": "jane", "iss": issuer, "aud": [issuer],
            "client_id": "doorwarden", "exp": now + 60, "iat": now, "jti": said["jti"], "sid": said["sid"],
            "acr": "1", "amr": ["pwd"], "auth_time": now,
        }),
    );
    app.introspect(&pair.refresh).await.is(
        200,
        json!({
            "active": true, "sub": "1", "username": "jane", "iss": issuer, "client_id": "doorwarden",
            "exp": now + 60, "sid": said["sid"], "auth_time": now,
        }),
    );
    let said = claims(&session);
    app.introspect(&session).await.is(
        200,
        json!({
            "active": true, "token_type": "Bearer", "sub": "1", "username": "jane", "iss": issuer,
            "exp": now + 60, "iat": now, "sid": said["sid"],
        }),
    );

    let issued = app.auth.tokens().issue_pair(UserId(1)).await.unwrap();
    let known = app.introspect(&issued.access).await.json();
    assert_eq!((known.get("amr"), known.get("auth_time"), &known["acr"]), (None, None, &json!("0")));
    assert_eq!(app.introspect(&issued.refresh).await.json().get("auth_time"), None);

    let inactive = json!({"active": false});
    for token in ["nonsense", "dwr_nonsense", "a.b.c", "-----"] {
        app.introspect(token).await.is(200, inactive.clone());
    }
    app.clock.advance(Duration::from_mins(6));
    app.introspect(&pair.access).await.is(200, inactive.clone());
    let second = Pair::of(&app.refresh(&pair.refresh).await);
    app.call("POST", "/logout", Some(&second.access), None).await;
    for token in [&second.access, &second.refresh] {
        app.introspect(token).await.is(200, inactive.clone());
    }
}

async fn an_introspection_response_can_be_cached_for_the_configured_time(database: Database) {
    let app = database.app_for_billing().await;
    let token = app.register("jane").await;
    let lifetime = |app: &App, answer: Answer| {
        answer.json()["exp"].as_i64().unwrap() - Clock::now(&app.clock).as_seconds()
    };
    assert_eq!(lifetime(&app, app.introspect(&token).await), 60);
    app.clock.advance(Duration::from_hours(1));
    assert_eq!(lifetime(&app, app.introspect(&token).await), 60, "from each question on");
    let pair = app.obtain("jane").await;
    let ends = claims(&pair.access)["exp"].as_i64().unwrap() - Clock::now(&app.clock).as_seconds();
    app.clock.advance(Duration::from_secs(ends.cast_unsigned() - 10));
    assert_eq!(lifetime(&app, app.introspect(&pair.access).await), 10, "and never beyond the token's end");

    let longer = database.app_for_billing_with(|h| h.introspection_lifetime = Duration::from_hours(2)).await;
    assert_eq!(lifetime(&longer, longer.introspect(&token).await), 7200);
}

/// Introspects a token with this `Authorization` header.
async fn known(app: &App, id: &str, secret: &str) -> bool {
    let header = format!("Basic {}", base64_simd::STANDARD.encode_to_string(format!("{id}:{secret}")));
    let answer = app.oauth("introspect", &header, "token=x").await;
    assert!([200, 401].contains(&answer.status.as_u16()), "{answer:?}");
    answer.status == 200
}

async fn a_secret_is_accepted_raw_and_form_encoded(database: Database) {
    // Secrets with their SHA-256.
    let secrets = [
        ("a+b%c", "ce569c38c036521bd96f9903f01514c07cf74f0ea128cacc903513c5c22394cc"),
        ("p+q", "6b0d315563943b03a24621517ab348e480a264034521afef51e0e27f79118dea"),
        ("x%ffy", "17ffaa85628bc8afa771cfe07d3afbe7242e759533d3d50c0bd146d18990463e"),
        ("50%25", "6cb6f3ce7ab17a8d7391eae469d729096101dc8bbebccabebe9a8d1521f181f6"),
        ("a:b c", "3df2467efdc45cda28227b8d39649e09a2717c44dd0d11b0fb909d2a24b721af"),
    ];
    let mut clients = OauthClients::default();
    for (n, (_, hash)) in secrets.iter().enumerate() {
        clients.add(format!("service+{n}"), hash).unwrap();
    }
    let app = database.app_with(|b| b.http(|h| h.oauth_clients = clients)).await;
    for (n, (secret, _)) in secrets.iter().enumerate() {
        let id = format!("service+{n}");
        let form =
            |text: &str| text.bytes().fold(String::new(), |encoded, byte| encoded + &format!("%{byte:02X}"));
        assert!(known(&app, &id, secret).await, "{secret}");
        assert!(known(&app, &form(&id), &form(secret)).await, "{secret}");
        for wrong in ["", "wrong", &secret[1..], &format!("{secret}x")] {
            assert!(!known(&app, &id, wrong).await, "{secret} {wrong}");
        }
        assert!(!known(&app, "service+9", secret).await);
    }
    assert!(!known(&app, "", "").await);
}

async fn a_client_secret_can_be_sent_in_the_form(database: Database) {
    let app = database.app_for_billing().await;
    let token = app.register("jane").await;
    let ask = async |what: &str, form: String| {
        let request = Request::post(format!("/oauth/{what}"))
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form.into())
            .unwrap();
        app.send(request).await
    };
    let good = format!("token={token}&client_id=billing&client_secret=a%2Bb%25c");
    assert_eq!(ask("introspect", good.clone()).await.json()["active"], true);
    for wrong in [
        format!("token={token}"),
        format!("token={token}&client_id=billing"),
        format!("token={token}&client_secret=a%2Bb%25c"),
        format!("token={token}&client_id=billing&client_secret=a+b%25c"),
        format!("token={token}&client_id=nobody&client_secret=a%2Bb%25c"),
        format!("token={token}&client_id=nobody&client_secret="),
    ] {
        for what in ["introspect", "revoke"] {
            let answer = ask(what, wrong.clone()).await;
            assert_eq!(
                (answer.status.as_u16(), &answer.json()["error"]),
                (401, &json!("invalid_client")),
                "{wrong}"
            );
        }
    }
    let with_header = app.oauth("introspect", "Basic bm9ib2R5Og==", &good).await;
    assert_eq!(with_header.status, 401, "a header counts before the form");
    assert_eq!(ask("introspect", "client_id=billing&client_secret=a%2Bb%25c".to_owned()).await.status, 400);
    assert_eq!(ask("revoke", good).await.status, 200);
    assert_eq!(app.me(&token).await, 401);
}

async fn revocation_ends_the_session_of_a_token(database: Database) {
    let app = database.app_for_billing().await;
    app.register("jane").await;
    let revoke = async |form: String| app.oauth("revoke", BILLING, &form).await;
    for hint in ["", "&token_type_hint=refresh_token", "&token_type_hint=nonsense"] {
        let pair = app.obtain("jane").await;
        let other = app.obtain("jane").await;
        for token in [&pair.access, &other.refresh] {
            for _ in 0..2 {
                revoke(format!("token={token}{hint}")).await.is(200, json!({}));
            }
        }
        assert_eq!((app.me(&pair.access).await, app.me(&other.access).await), (401, 401));
        assert_eq!(app.refresh(&pair.refresh).await.status, 401);
    }
    revoke("token=nonsense".to_owned()).await.is(200, json!({}));
    let keys = SessionTokenKeys::new(&SecretKey::new(SECRET).unwrap(), &[]);
    let django =
        keys.sign(&SessionClaims { id: 1, exp: NOON.as_seconds() + 60, iat: None, jti: None, sid: None });
    let answer = revoke(format!("token={django}")).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["error"]), (400, &json!("unsupported_token_type")));
}

async fn only_configured_clients_are_accepted(database: Database) {
    let app = database.app_for_billing().await;
    let token = app.register("jane").await;
    let refused = [
        "Basic YmlsbGluZzp3cm9uZw==",     // billing:wrong
        "Basic bm9ib2R5OmElMkJiJTI1Yw==", // nobody:a%2Bb%25c
        "Basic bm9ib2R5Og==",             // nobody:
        "Basic YmlsbGluZw==",             // billing
        "Basic !",
        "Basic",
        &format!("Bearer {token}"),
    ];
    for what in ["introspect", "revoke"] {
        for authorization in refused {
            let answer = app.oauth(what, authorization, &format!("token={token}")).await;
            assert!(answer.header("www-authenticate").starts_with("Basic realm="), "{authorization}");
            assert_eq!((answer.status.as_u16(), &answer.json()["error"]), (401, &json!("invalid_client")));
        }
        let request = Request::post(format!("/oauth/{what}")).body(axum::body::Body::empty()).unwrap();
        assert_eq!(app.send(request).await.status, 401);
    }
    assert_eq!(app.me(&token).await, 200);
    let nobody = database.app().await;
    assert_eq!(nobody.introspect(&token).await.status, 401);
}

async fn requests_other_than_forms_get_an_oauth_error(database: Database) {
    let app = database.app_for_billing().await;
    for (kind, body) in [
        ("application/x-www-form-urlencoded", ""),
        ("application/x-www-form-urlencoded", "token="),
        ("application/json", r#"{"token": "x"}"#),
    ] {
        let request =
            Request::post("/oauth/introspect").header(AUTHORIZATION, BILLING).header(CONTENT_TYPE, kind);
        let answer = app.send(request.body(body.into()).unwrap()).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.json()["error"]),
            (400, &json!("invalid_request")),
            "{body}"
        );
    }
}
