//! Where everything lies, for libraries that are told the issuer alone: authorization server metadata (RFC 8414), and the same at the
//! place where OpenID Connect has it. It says only what is there: there is no authorization endpoint, and no grant of OAuth.

use super::{Operation, Resource, document};
use crate::auth::Auth;
use crate::settings::Endpoint;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use doorwarden_core::feed::etag;
use doorwarden_core::token::Algorithm;
use http::Method;
use serde_json::{Value, json};

pub(super) fn oauth() -> Resource {
    let operation = operation("read_metadata", "Where the endpoints lie, and what they can (RFC 8414).");
    Resource { endpoint: Endpoint::Metadata, operations: vec![operation] }
}

pub(super) fn openid() -> Resource {
    let operation = operation("read_openid_configuration", "The same where OpenID Connect looks for it.");
    Resource { endpoint: Endpoint::OpenIdConfiguration, operations: vec![operation] }
}

fn operation(id: &'static str, summary: &'static str) -> Operation {
    Operation {
        method: Method::GET,
        id,
        summary,
        authenticated: false,
        body: None,
        answers: &[(200, "The metadata.", Some("Metadata")), (304, "It has not changed.", None)],
        handler: |auth, request| Box::pin(async move { Ok(get(&auth, &request)) }),
    }
}

fn get(auth: &Auth, request: &Request) -> Response {
    let metadata = Bytes::from(metadata(auth).to_string());
    let max_age = auth.context().settings.keys.cache;
    document(request.headers(), "application/json", max_age, &etag(&metadata), metadata)
}

fn metadata(auth: &Auth) -> Value {
    let context = auth.context();
    let issuer = context.settings.access.issuer.as_str();
    let mut metadata = json!({
        "issuer": issuer,
        "response_types_supported": ["none"],
        // Without it, two grants would be taken for granted.
        "grant_types_supported": [],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": names(&context.keys.algorithms(context.now())),
    });
    let of_services = json!(["client_secret_basic", "client_secret_post"]);
    for (endpoint, name, methods) in [
        (Endpoint::Jwks, "jwks_uri", None),
        (Endpoint::Token, "token_endpoint", Some(("token_endpoint_auth_methods_supported", json!(["none"])))),
        (
            Endpoint::OauthIntrospect,
            "introspection_endpoint",
            Some(("introspection_endpoint_auth_methods_supported", of_services.clone())),
        ),
        (
            Endpoint::OauthRevoke,
            "revocation_endpoint",
            Some(("revocation_endpoint_auth_methods_supported", of_services)),
        ),
    ] {
        let Some(path) = auth.settings().path(endpoint) else { continue };
        metadata[name] = format!("{}{path}", issuer.trim_end_matches('/')).into();
        if let Some((name, methods)) = methods {
            metadata[name] = methods;
        }
    }
    metadata
}

/// As `alg` may name them: what is `EdDSA` in a token's header is `Ed25519` to those who want it named fully (RFC 9864).
fn names(algorithms: &[Algorithm]) -> Vec<&'static str> {
    let both = |algorithm: &Algorithm| match algorithm {
        Algorithm::EdDsa => vec![algorithm.as_str(), "Ed25519"],
        _ => vec![algorithm.as_str()],
    };
    algorithms.iter().flat_map(both).collect()
}
