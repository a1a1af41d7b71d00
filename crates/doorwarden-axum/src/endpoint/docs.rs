use super::{Operation, Resource, document};
use crate::settings::Endpoint;
use axum::response::IntoResponse;
use doorwarden_core::feed::etag;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http::{HeaderValue, Method};
use std::time::Duration;

/// One file, nothing from elsewhere: it works without an internet.
const PAGE: &str = include_str!("docs.html");

/// The page's own script and style, and requests to this origin only.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
    img-src data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// How long anybody may keep the document.
const MAX_AGE: Duration = Duration::from_mins(1);

pub(super) fn openapi() -> Resource {
    let operation = Operation {
        method: Method::GET,
        id: "read_openapi",
        summary: "This document.",
        authenticated: false,
        body: None,
        answers: &[(200, "The OpenAPI document.", Some("OpenApi")), (304, "It has not changed.", None)],
        handler: |auth, request| {
            Box::pin(async move {
                let openapi = auth.openapi();
                Ok(document(request.headers(), "application/json", MAX_AGE, &etag(&openapi), openapi))
            })
        },
    };
    Resource { endpoint: Endpoint::OpenApi, operations: vec![operation] }
}

pub(super) fn page() -> Resource {
    let operation = Operation {
        method: Method::GET,
        id: "read_docs",
        summary: "An interactive page about this interface.",
        authenticated: false,
        body: None,
        answers: &[(200, "The page.", Some("Html"))],
        handler: |auth, request| {
            Box::pin(async move {
                let root = root(request.uri().path());
                let openapi = auth.settings().path(Endpoint::OpenApi).unwrap_or_default();
                let openapi = format!("{root}{}", openapi.trim_start_matches('/'));
                let page = PAGE.replace("{{openapi}}", &openapi).replace("{{root}}", &root);
                let headers = [
                    (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
                    (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
                    (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
                ];
                Ok((headers, page).into_response())
            })
        },
    };
    Resource { endpoint: Endpoint::Docs, operations: vec![operation] }
}

/// The way from a page to where the paths begin, as a relative reference: it is right behind a proxy that takes a prefix away, too.
fn root(path: &str) -> String {
    match path.matches('/').count().saturating_sub(1) {
        0 => "./".to_owned(),
        depth => "../".repeat(depth),
    }
}
