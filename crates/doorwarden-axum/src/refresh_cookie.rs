//! Refresh tokens in a cookie, for browsers: no script can read the cookie, and no other site can use it.

use crate::body::media_type;
use crate::cors::X_REQUESTED_WITH;
use crate::error::ApiError;
use crate::settings::HttpSettings;
use doorwarden_core::error::{FieldError, FieldErrors};
use http::header::{COOKIE, HOST, ORIGIN};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

/// The prefix makes browsers insist on `Secure`, on `Path=/`, and on no `Domain` (RFC 6265bis, section
/// 4.1.3.2).
const NAME: &str = "__Host-doorwarden-refresh";
const ATTRIBUTES: &str = "HttpOnly; Secure; SameSite=Strict; Path=/";

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// How a refresh token is transported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Body,
    Cookie,
}

/// How the client of a login receives its refresh token.
///
/// # Errors
/// 403 if another site sent the request, which could log the user in to the attacker's account. 400 if the
/// request is allowed, but the browser would not store the cookie.
pub(crate) fn transport(settings: &HttpSettings, headers: &HeaderMap) -> Result<Transport, ApiError> {
    if !is_expected(settings, headers) {
        return Ok(Transport::Body);
    }
    guard(settings, headers)?;
    if headers.get(SEC_FETCH_SITE).is_some_and(|site| site == "cross-site") {
        let text = "The browser would drop the refresh cookie, because the page is of another site than this service. Serve both \
                    under one site; 127.0.0.1 and localhost are two.";
        return Err(
            ApiError::detail(StatusCode::BAD_REQUEST, "refresh_cookie_cross_site", text).showing_code()
        );
    }
    Ok(Transport::Cookie)
}

/// Whether the client of a request is a browser that receives its refresh token as a cookie.
pub(crate) fn is_expected(settings: &HttpSettings, headers: &HeaderMap) -> bool {
    settings.refresh_cookie && (headers.contains_key(ORIGIN) || headers.contains_key(SEC_FETCH_SITE))
}

/// The error of a request whose refresh token is neither in the body nor in a cookie; `is_expected` says
/// whether a cookie is expected.
pub(crate) fn missing(is_expected: bool) -> ApiError {
    if !is_expected {
        return ApiError::fields(FieldErrors::one("refresh", FieldError::required()));
    }
    let text = "The browser sent no refresh cookie. Log in again; fetch needs credentials: \"include\", at the login, too.";
    ApiError::unauthorized("refresh_cookie_missing", text).showing_code()
}

/// The refresh token of the cookie, if the setting is enabled and the cookie is present.
///
/// # Errors
/// 403 if another site may have sent the request.
pub(crate) fn read(settings: &HttpSettings, headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    if !settings.refresh_cookie {
        return Ok(None);
    }
    let Some(token) = find(headers) else { return Ok(None) };
    guard(settings, headers)?;
    Ok(Some(token))
}

/// The value of the refresh cookie. Other cookies are not decoded: another host of the site can set cookies
/// that are not text.
fn find(headers: &HeaderMap) -> Option<String> {
    let lines = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
    let mut values = lines.flat_map(|line| line.split(|byte| *byte == b';')).filter_map(|pair| {
        pair.trim_ascii().strip_prefix(NAME.as_bytes())?.trim_ascii_start().strip_prefix(b"=")
    });
    values.next().map(|value| String::from_utf8_lossy(value.trim_ascii()).into_owned())
}

/// The value of `Set-Cookie` that stores a token.
pub(crate) fn set(token: &str, seconds: i64) -> HeaderValue {
    let text = format!("{NAME}={token}; Max-Age={}; {ATTRIBUTES}", seconds.max(0));
    HeaderValue::from_str(&text).expect("a refresh token has no character that a header may not have")
}

/// The value of `Set-Cookie` that removes it.
pub(crate) fn remove() -> HeaderValue {
    HeaderValue::from_str(&format!("{NAME}=; Max-Age=0; {ATTRIBUTES}")).expect("plain ASCII")
}

/// Two properties that a page of another site cannot give a request without a CORS preflight, and the
/// browser's own report of where the request comes from.
fn guard(settings: &HttpSettings, headers: &HeaderMap) -> Result<(), ApiError> {
    let is_json = media_type(headers).eq_ignore_ascii_case("application/json");
    let is_deliberate = is_json || headers.contains_key(X_REQUESTED_WITH);
    if is_deliberate && (is_same_origin(headers) || is_allowed(settings, headers)) {
        return Ok(());
    }
    let text = "CSRF Failed: the request must come from this origin or an allowed one, with JSON or X-Requested-With.";
    Err(ApiError::detail(StatusCode::FORBIDDEN, "csrf_failed", text))
}

/// Whether the browser reports that a page of this origin sent the request.
pub(crate) fn is_same_origin(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get(SEC_FETCH_SITE) {
        return site == "same-origin";
    }
    let text = |name| headers.get(name).and_then(|v: &HeaderValue| v.to_str().ok());
    let origin = text(ORIGIN).and_then(|origin| origin.split_once("://"));
    origin.zip(text(HOST)).is_some_and(|((_, origin), host)| origin.eq_ignore_ascii_case(host))
}

fn is_allowed(settings: &HttpSettings, headers: &HeaderMap) -> bool {
    let Some((origin, cors)) = headers.get(ORIGIN).zip(settings.cors.as_ref()) else { return false };
    origin != "*" && cors.origins.contains(origin)
}
