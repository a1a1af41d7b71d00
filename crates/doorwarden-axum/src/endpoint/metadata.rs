//! Authorization server metadata (RFC 8414), for libraries that are configured with the issuer alone, and the
//! same document at the path of OpenID Connect Discovery. The document lists only what exists: there is no
//! authorization endpoint and no OAuth grant.

use super::answer::{Document, Media};
use super::operation::{Anybody, Call};
use super::types::Types;
use crate::auth::Auth;
use crate::error::ApiError;
use crate::settings::Endpoint;
use bytes::Bytes;
use doorwarden_core::etag::etag;
use doorwarden_core::token::Algorithm;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

/// How services show their secret.
const OF_SERVICES: &[&str] = &["client_secret_basic", "client_secret_post"];

/// Authorization server metadata. What is not served is left out.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Metadata {
    issuer: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwks_uri: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_endpoint_auth_methods_supported: Option<&'static [&'static str]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    introspection_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    introspection_endpoint_auth_methods_supported: Option<&'static [&'static str]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revocation_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revocation_endpoint_auth_methods_supported: Option<&'static [&'static str]>,
    response_types_supported: &'static [&'static str],
    grant_types_supported: &'static [&'static str],
    subject_types_supported: &'static [&'static str],
    id_token_signing_alg_values_supported: Vec<&'static str>,
}

impl Media for Metadata {
    const CONTENT_TYPE: &'static str = "application/json";

    fn schema(types: &mut Types) -> Option<Value> {
        Some(types.output::<Self>())
    }
}

pub(super) async fn get(call: Call<Anybody>) -> Result<Document<Metadata>, ApiError> {
    let metadata = serde_json::to_vec(&metadata(&call.auth)).expect("texts are JSON");
    let max_age = call.auth.context().settings.keys.cache;
    Ok(Document::new(&call.parts.headers, max_age, &etag(&metadata), Bytes::from(metadata)))
}

fn metadata(auth: &Auth) -> Metadata {
    let context = auth.context();
    let issuer = context.settings.access.issuer.as_str();
    let url = |endpoint| Some(format!("{}{}", issuer.trim_end_matches('/'), auth.settings().path(endpoint)?));
    let has = |endpoint| auth.settings().path(endpoint).is_some();
    Metadata {
        issuer: issuer.to_owned(),
        jwks_uri: url(Endpoint::Jwks),
        token_endpoint: url(Endpoint::Token),
        token_endpoint_auth_methods_supported: has(Endpoint::Token).then_some(&["none"]),
        introspection_endpoint: url(Endpoint::OauthIntrospect),
        introspection_endpoint_auth_methods_supported: has(Endpoint::OauthIntrospect).then_some(OF_SERVICES),
        revocation_endpoint: url(Endpoint::OauthRevoke),
        revocation_endpoint_auth_methods_supported: has(Endpoint::OauthRevoke).then_some(OF_SERVICES),
        response_types_supported: &["none"],
        // Without it, two grants would be taken for granted.
        grant_types_supported: &[],
        subject_types_supported: &["public"],
        id_token_signing_alg_values_supported: names(&context.keys.algorithms(context.now())),
    }
}

/// The values of `alg` for these algorithms: `EdDSA` of a token's header is also listed under its fully
/// specified name `Ed25519` (RFC 9864).
fn names(algorithms: &[Algorithm]) -> Vec<&'static str> {
    let both = |algorithm: &Algorithm| match algorithm {
        Algorithm::EdDsa => vec![algorithm.as_str(), "Ed25519"],
        _ => vec![algorithm.as_str()],
    };
    algorithms.iter().flat_map(both).collect()
}
