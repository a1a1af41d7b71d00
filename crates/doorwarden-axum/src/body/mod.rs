//! Request bodies as Django REST framework reads them: JSON, a form or multipart, all giving named fields.

mod data;
mod form;
mod json;

pub(crate) use data::{Email, NewPassword, Object, Password, Text, Texts, Username, Word};

use crate::error::ApiError;
use crate::hint::Hint;
use axum::body::Body;
use bytes::Bytes;
use doorwarden_core::error::{FieldError, FieldErrors, Input, NON_FIELD_ERRORS};
use doorwarden_core::field::Raw;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::Value;
use std::collections::HashMap;
use std::time::Duration;

/// The maximum size of a body: 64 KiB.
const MAX_BYTES: usize = 64 * 1024;
/// The maximum time in which a body must arrive.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// The accepted content types of bodies, sent with status 415 (RFC 9110, section 15.5.16).
const ACCEPTED: &str = "application/json, application/x-www-form-urlencoded, multipart/form-data";
/// The content codings that are registered with IANA, without `identity`.
const CODINGS: [&str; 12] = [
    "gzip",
    "x-gzip",
    "deflate",
    "compress",
    "x-compress",
    "br",
    "zstd",
    "dcb",
    "dcz",
    "aes128gcm",
    "exi",
    "pack200-gzip",
];

/// The untyped fields of a body, as `request.data` in Django REST framework. If a form field occurs twice,
/// its last value is used, as in Django; a duplicate member of JSON is refused.
#[derive(Debug, Default)]
pub(crate) struct RequestData(HashMap<String, Input<Raw>>);

impl RequestData {
    /// Reads the body of a request.
    pub(crate) async fn read(headers: &HeaderMap, body: Body) -> Result<Self, ApiError> {
        Self::parse(headers, body).await?.ok_or_else(|| {
            let complaint = FieldError::new("null", "No data provided");
            ApiError::fields(FieldErrors::one(NON_FIELD_ERRORS, complaint))
        })
    }

    /// Reads the body of a request that needs none. `null`, which some clients send instead of no body, is
    /// the same as no body.
    pub(crate) async fn read_optional(headers: &HeaderMap, body: Body) -> Result<Self, ApiError> {
        Ok(Self::parse(headers, body).await?.unwrap_or_default())
    }

    /// The fields; `None` for the JSON value `null`.
    async fn parse(headers: &HeaderMap, body: Body) -> Result<Option<Self>, ApiError> {
        let Some(kind) = Kind::of(headers) else {
            // An empty body: every field is missing.
            let is_empty = http_body::Body::is_end_stream(&body) || collect(headers, body).await?.is_empty();
            return if is_empty { Ok(Some(Self::default())) } else { Err(unsupported(headers)) };
        };
        if let Some(coding) = content_coding(headers) {
            let text = format!("Unsupported content coding \"{coding}\" in request.");
            let error =
                ApiError::detail(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_content_coding", text);
            return Err(error.header(ACCEPT_ENCODING, HeaderValue::from_static("identity")));
        }
        let bytes = collect(headers, body).await?;
        match kind {
            Kind::Json => Self::from_json(&bytes),
            Kind::Form if bytes.trim_ascii_start().starts_with(b"{") => {
                Err(ApiError::misread(Hint::JsonAsForm))
            }
            Kind::Form => form::urlencoded(&bytes).map(|fields| Some(Self(fields))),
            Kind::Multipart(boundary) if bytes.is_empty() && boundary.is_empty() => Ok(Some(Self::default())),
            Kind::Multipart(boundary) => {
                form::multipart(bytes, boundary).await.map(|fields| Some(Self(fields)))
            }
        }
    }

    fn from_json(bytes: &[u8]) -> Result<Option<Self>, ApiError> {
        let value = match bytes.is_empty() {
            true => Value::Object(serde_json::Map::new()),
            false => json::parse(bytes).map_err(|error| {
                let text = format!("JSON parse error - {error}");
                let error = ApiError::detail(StatusCode::BAD_REQUEST, "parse_error", text);
                match bytes.first().is_some_and(u8::is_ascii_alphabetic) && bytes.contains(&b'=') {
                    true => error.hinting(Hint::FormAsJson),
                    false => error,
                }
            })?,
        };
        let kind = match value {
            Value::Object(members) => {
                let members = members.into_iter().map(|(name, value)| (name, json::input(value)));
                return Ok(Some(Self(members.collect())));
            }
            Value::Null => return Ok(None),
            Value::Array(_) => "list",
            Value::String(_) => "str",
            Value::Bool(_) => "bool",
            Value::Number(number) if number.is_f64() => "float",
            Value::Number(_) => "int",
        };
        let text = format!("Invalid data. Expected a dictionary, but got {kind}.");
        Err(ApiError::fields(FieldErrors::one(NON_FIELD_ERRORS, FieldError::new("invalid", text))))
    }

    /// All fields that have not been taken yet.
    pub(crate) fn others(self) -> HashMap<String, Input<Raw>> {
        self.0
    }
}

enum Kind {
    Json,
    Form,
    Multipart(String),
}

impl Kind {
    fn of(headers: &HeaderMap) -> Option<Self> {
        let kind = media_type(headers);
        if kind.eq_ignore_ascii_case("application/json") {
            Some(Self::Json)
        } else if kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            Some(Self::Form)
        } else if kind.eq_ignore_ascii_case("multipart/form-data") {
            let text = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
            Some(Self::Multipart(multer::parse_boundary(text).unwrap_or_default()))
        } else {
            None
        }
    }
}

/// The media type of a request without its parameters; empty if the request names none.
pub(crate) fn media_type(headers: &HeaderMap) -> &str {
    let value = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let kind = value.split(|byte| *byte == b';').next().unwrap_or_default();
    std::str::from_utf8(kind.trim_ascii()).unwrap_or_default()
}

fn unsupported(headers: &HeaderMap) -> ApiError {
    let kind = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let shown: String = kind.chars().take(100).collect();
    ApiError::detail(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        format!("Unsupported media type \"{shown}\" in request."),
    )
    .header(ACCEPT, HeaderValue::from_static(ACCEPTED))
    .hinting(Hint::OtherContentType)
}

/// The content coding of the body. A name that is not registered says nothing about the body (some clients
/// send a character set here) and is ignored, as in Django.
fn content_coding(headers: &HeaderMap) -> Option<&'static str> {
    let values = headers.get_all(CONTENT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .find_map(|word| CODINGS.into_iter().find(|coding| word.trim().eq_ignore_ascii_case(coding)))
}

async fn collect(headers: &HeaderMap, body: Body) -> Result<Bytes, ApiError> {
    let too_large =
        || ApiError::detail(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "The request body is too large.");
    let announced =
        headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<u64>().ok());
    if announced.is_some_and(|length| length > MAX_BYTES as u64) {
        return Err(too_large());
    }
    match tokio::time::timeout(READ_TIMEOUT, Limited::new(body, MAX_BYTES).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.downcast_ref::<LengthLimitError>().is_some() => Err(too_large()),
        Ok(Err(_)) => {
            Err(ApiError::detail(StatusCode::BAD_REQUEST, "parse_error", "The request body is not complete."))
        }
        Err(_) => {
            Err(ApiError::detail(StatusCode::REQUEST_TIMEOUT, "timeout", "The request body took too long."))
        }
    }
}
