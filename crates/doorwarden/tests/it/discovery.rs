//! Discovery: what a client library finds from the issuer alone.

use crate::app::{App, Database};
use doorwarden::core::token::Algorithm;
use doorwarden::{Builder, Endpoint};
use serde_json::{Value, json};

on_both! {
    both_metadata_documents_list_the_endpoints
    the_metadata_follows_removed_and_moved_endpoints
    the_path_of_the_issuer_can_be_appended_to_the_metadata_path
    the_algorithms_are_those_of_the_published_keys
}

const PLACES: [&str; 2] = ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"];

impl App {
    async fn metadata(&self, path: &str) -> Value {
        let answer = self.call("GET", path, None, None).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("content-type")),
            (200, "application/json"),
            "{path}"
        );
        answer.json()
    }
}

fn issued_by(issuer: &'static str) -> impl Fn(Builder) -> Builder {
    move |builder| builder.settings(|settings| issuer.clone_into(&mut settings.access.issuer))
}

async fn both_metadata_documents_list_the_endpoints(database: Database) {
    let app = database.app_with(issued_by("https://id.example")).await;
    let services = ["client_secret_basic", "client_secret_post"];
    let expected = json!({
        "issuer": "https://id.example",
        "jwks_uri": "https://id.example/.well-known/jwks.json",
        "token_endpoint": "https://id.example/token",
        "token_endpoint_auth_methods_supported": ["none"],
        "introspection_endpoint": "https://id.example/oauth/introspect",
        "introspection_endpoint_auth_methods_supported": services,
        "revocation_endpoint": "https://id.example/oauth/revoke",
        "revocation_endpoint_auth_methods_supported": services,
        "response_types_supported": ["none"],
        "grant_types_supported": [],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    });
    for place in PLACES {
        let metadata = app.metadata(place).await;
        assert_eq!(metadata, expected, "{place}");
        for (name, value) in metadata.as_object().unwrap() {
            let Some(path) = value.as_str().and_then(|url| url.strip_prefix("https://id.example/")) else {
                continue;
            };
            let answer = app.call("OPTIONS", &format!("/{path}"), None, None).await;
            assert_eq!(answer.status, 204, "{name} is there");
        }
        let answer = app.call("GET", place, None, None).await;
        assert_eq!(answer.header("cache-control"), "public, max-age=300");
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        let known = http::Request::get(place).header("if-none-match", answer.header("etag"));
        assert_eq!(app.send(known.body(axum::body::Body::empty()).unwrap()).await.status, 304);
    }
}

async fn the_metadata_follows_removed_and_moved_endpoints(database: Database) {
    let change = |builder: Builder| {
        issued_by("https://id.example/")(builder)
            .without(Endpoint::OauthIntrospect)
            .without(Endpoint::OpenIdConfiguration)
            .endpoint_at(Endpoint::Jwks, "/keys")
    };
    let app = database.app_with(change).await;
    let metadata = app.metadata(PLACES[0]).await;
    assert_eq!(metadata["issuer"], "https://id.example/", "exactly as in tokens");
    assert_eq!(metadata["jwks_uri"], "https://id.example/keys");
    assert_eq!(metadata["introspection_endpoint"], Value::Null);
    assert_eq!(metadata["introspection_endpoint_auth_methods_supported"], Value::Null);
    assert_eq!(app.call("GET", PLACES[1], None, None).await.status, 404);
}

async fn the_path_of_the_issuer_can_be_appended_to_the_metadata_path(database: Database) {
    for issuer in ["https://example.com/auth/v1", "https://example.com/auth/v1/"] {
        let app = database.app_with(issued_by(issuer)).await;
        for place in PLACES {
            let metadata = app.metadata(place).await;
            assert_eq!(metadata["jwks_uri"], "https://example.com/auth/v1/.well-known/jwks.json");
            for path in [format!("{place}/auth/v1"), format!("{place}/auth/v1/")] {
                assert_eq!(app.metadata(&path).await, metadata);
            }
            let other = app.call("GET", &format!("{place}/auth"), None, None).await;
            assert_eq!(other.status, 404);
        }
    }
    let app = database.app_with(issued_by("https://example.com/{odd}")).await;
    assert_eq!(app.metadata(PLACES[0]).await["issuer"], "https://example.com/{odd}");
}

async fn the_algorithms_are_those_of_the_published_keys(database: Database) {
    let offering = |algorithms: Vec<Algorithm>| {
        move |builder: Builder| builder.settings(|settings| settings.keys.algorithms = algorithms)
    };
    let app = database.app_with(offering(vec![Algorithm::EdDsa])).await;
    let name = "id_token_signing_alg_values_supported";
    assert_eq!(app.metadata(PLACES[0]).await[name], json!(["EdDSA", "Ed25519"]));
    app.auth.close().await;
    let app = database.app_with(offering(vec![Algorithm::Es256])).await;
    assert_eq!(
        app.metadata(PLACES[1]).await[name],
        json!(["ES256", "EdDSA", "Ed25519"]),
        "until the last is over"
    );
}
