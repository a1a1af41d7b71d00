//! Cross-origin requests from browsers (the CORS protocol of the Fetch standard).

use crate::settings::HttpSettings;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

pub(crate) const X_REQUESTED_WITH: HeaderName = HeaderName::from_static("x-requested-with");

/// The response headers that pages of other origins may read besides the safelisted ones.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "retry-after, ratelimit, ratelimit-policy, x-request-id, www-authenticate, link, etag",
);
/// The request headers that pages of other origins may send besides the safelisted ones.
const ALLOWED: HeaderValue = HeaderValue::from_static(
    "authorization, content-type, x-requested-with, if-none-match, x-device-token, x-altcha",
);
/// How long a browser caches the response to a preflight, in seconds.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// Which origins may read a response.
#[derive(Debug, Clone)]
pub(crate) enum Grant {
    /// Every origin, without cookies.
    Everybody,
    /// The origin of the request, which the settings name.
    Origin { origin: HeaderValue, with_cookies: bool },
    /// No other origin. The response differs for an origin that the settings name.
    Nobody,
}

impl Grant {
    /// The CORS decision about a request; `None` if the settings name no origins. Tokens travel in a header,
    /// so credentials are not allowed unless the refresh cookie is enabled.
    pub(crate) fn of(settings: &HttpSettings, request: &HeaderMap) -> Option<Self> {
        let origins = &settings.cors.as_ref()?.origins;
        if origins.iter().any(|origin| origin == "*") {
            return Some(Self::Everybody);
        }
        Some(match request.get(ORIGIN).filter(|origin| origins.contains(origin)) {
            Some(origin) => Self::Origin { origin: origin.clone(), with_cookies: settings.refresh_cookie },
            None => Self::Nobody,
        })
    }

    /// Whether a request is a preflight from an allowed origin.
    pub(crate) fn is_preflight(&self, request: &Request) -> bool {
        let headers = request.headers();
        request.method() == Method::OPTIONS
            && headers.contains_key(ORIGIN)
            && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
            && !matches!(self, Self::Nobody)
    }

    /// The response to a preflight that allows these methods.
    pub(crate) fn preflight(&self, methods: &HeaderValue) -> Response {
        let mut response = StatusCode::NO_CONTENT.into_response();
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods.clone());
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED);
        headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        self.write(headers);
        response
    }

    /// Adds the CORS headers to a response, keeping those that it has already.
    pub(crate) fn write(&self, answer: &mut HeaderMap) {
        if answer.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
            return;
        }
        if !matches!(self, Self::Everybody) {
            answer.append(VARY, HeaderValue::from_static("origin"));
        }
        let (origin, with_cookies) = match self {
            Self::Everybody => (HeaderValue::from_static("*"), false),
            Self::Origin { origin, with_cookies } => (origin.clone(), *with_cookies),
            Self::Nobody => return,
        };
        answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        if with_cookies {
            answer.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }
}
