use super::answer::{Answer, Described, Document, Media};
use super::operation::{Anybody, Call};
use super::types::Types;
use crate::error::ApiError;
use crate::settings::Endpoint;
use axum::response::{IntoResponse, Response};
use doorwarden_core::etag::etag;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use serde_json::{Value, json};
use std::time::Duration;

/// One file, nothing from elsewhere: it works without an internet.
const PAGE: &str = include_str!("docs.html");

/// The page's own script and style, and requests to this origin only.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
    img-src data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// How long anybody may keep the document.
const MAX_AGE: Duration = Duration::from_mins(1);

/// The OpenAPI document.
#[derive(Debug)]
pub(super) struct OpenApi;

impl Media for OpenApi {
    const CONTENT_TYPE: &'static str = "application/json";

    fn schema(_: &mut Types) -> Option<Value> {
        Some(json!({"type": "object"}))
    }
}

pub(super) async fn openapi(call: Call<Anybody>) -> Result<Document<OpenApi>, ApiError> {
    let openapi = call.auth.openapi();
    Ok(Document::new(&call.parts.headers, MAX_AGE, &etag(&openapi), openapi))
}

/// A page for a browser.
#[derive(Debug)]
pub(super) struct Page(String);

impl Answer for Page {
    fn describe(_: &mut Types) -> Vec<Described> {
        let content = Some(("text/html", Some(json!({"type": "string"}))));
        vec![Described { status: 200, content, headers: &[] }]
    }

    fn respond(self) -> Response {
        let headers = [
            (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
            (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
            (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        ];
        (headers, self.0).into_response()
    }
}

pub(super) async fn page(call: Call<Anybody>) -> Result<Page, ApiError> {
    let root = root(call.parts.uri.path());
    let openapi = call.auth.settings().path(Endpoint::OpenApi).unwrap_or_default();
    let openapi = format!("{root}{}", openapi.trim_start_matches('/'));
    Ok(Page(PAGE.replace("{{openapi}}", &openapi).replace("{{root}}", &root)))
}

/// The relative reference from a page to the base of the paths, which is also right behind a proxy that
/// strips a prefix.
pub(super) fn root(path: &str) -> String {
    match path.matches('/').count().saturating_sub(1) {
        0 => "./".to_owned(),
        depth => "../".repeat(depth),
    }
}
