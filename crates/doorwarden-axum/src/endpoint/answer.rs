//! What operations answer: each type says its status, its headers and its schema, and becomes the response.

use super::types::Types;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use std::marker::PhantomData;
use std::time::Duration;

const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// One status that a type of answer can have.
#[derive(Debug)]
pub(crate) struct Described {
    pub(crate) status: u16,
    /// The media type, and the schema where there is one.
    pub(crate) content: Option<(&'static str, Option<Value>)>,
    /// Headers beside those that every answer has.
    pub(crate) headers: &'static [&'static str],
}

/// What an operation answers where nothing is wrong.
pub(crate) trait Answer {
    /// Whether pages of every origin may read it, because it holds nothing of anybody in particular.
    const IS_PUBLIC: bool = false;

    /// Every status that it can have, the usual one first.
    fn describe(types: &mut Types) -> Vec<Described>;

    fn respond(self) -> Response;
}

/// A JSON value that nobody may keep.
#[derive(Debug)]
pub(crate) struct Json<T, const STATUS: u16 = 200>(pub(crate) T);

/// 201 with a JSON value.
pub(crate) type Created<T> = Json<T, 201>;

impl<T: Serialize + JsonSchema, const STATUS: u16> Answer for Json<T, STATUS> {
    fn describe(types: &mut Types) -> Vec<Described> {
        let content = Some(("application/json", Some(types.output::<T>())));
        vec![Described { status: STATUS, content, headers: &[] }]
    }

    fn respond(self) -> Response {
        let body = serde_json::to_vec(&self.0).expect("what is answered has names of text, so it is JSON");
        json(StatusCode::from_u16(STATUS).unwrap_or_default(), body)
    }
}

/// A JSON value of this type that was rendered before.
#[derive(Debug)]
pub(crate) struct Rendered<T>(Bytes, PhantomData<fn() -> T>);

impl<T> Rendered<T> {
    pub(crate) fn new(body: Bytes) -> Self {
        Self(body, PhantomData)
    }
}

impl<T: Serialize + JsonSchema> Answer for Rendered<T> {
    fn describe(types: &mut Types) -> Vec<Described> {
        Json::<T>::describe(types)
    }

    fn respond(self) -> Response {
        json(StatusCode::OK, self.0)
    }
}

/// 204.
#[derive(Debug)]
pub(crate) struct NoContent;

impl Answer for NoContent {
    fn describe(_: &mut Types) -> Vec<Described> {
        vec![Described { status: 204, content: None, headers: &[] }]
    }

    fn respond(self) -> Response {
        StatusCode::NO_CONTENT.into_response()
    }
}

/// An answer, or 204.
impl<A: Answer> Answer for Option<A> {
    fn describe(types: &mut Types) -> Vec<Described> {
        A::describe(types).into_iter().chain(NoContent::describe(types)).collect()
    }

    fn respond(self) -> Response {
        match self {
            Some(answer) => answer.respond(),
            None => NoContent.respond(),
        }
    }
}

/// An answer with a header `Set-Cookie` for each of these values.
#[derive(Debug)]
pub(crate) struct WithCookies<A>(pub(crate) A, pub(crate) Vec<HeaderValue>);

impl<A> WithCookies<A> {
    /// The same cookies with another answer.
    pub(crate) fn map<B>(self, answer: impl FnOnce(A) -> B) -> WithCookies<B> {
        WithCookies(answer(self.0), self.1)
    }
}

impl<A: Answer> Answer for WithCookies<A> {
    fn describe(types: &mut Types) -> Vec<Described> {
        A::describe(types)
    }

    fn respond(self) -> Response {
        let mut response = self.0.respond();
        for cookie in self.1 {
            response.headers_mut().append(http::header::SET_COOKIE, cookie);
        }
        response
    }
}

/// One page of a rendered list of `T`, with a `Link` header to the next page, if there is one (RFC 8288).
#[derive(Debug)]
pub(crate) struct Page<T>(pub(crate) Rendered<Vec<T>>, pub(crate) Option<HeaderValue>);

impl<T: Serialize + JsonSchema> Answer for Page<T> {
    fn describe(types: &mut Types) -> Vec<Described> {
        let mut described = Json::<Vec<T>>::describe(types);
        described[0].headers = &["Link"];
        described
    }

    fn respond(self) -> Response {
        with_header(self.0.respond(), http::header::LINK, self.1)
    }
}

fn with_header(mut response: Response, name: HeaderName, value: Option<HeaderValue>) -> Response {
    if let Some(value) = value {
        response.headers_mut().insert(name, value);
    }
    response
}

/// A public document.
pub(crate) trait Media {
    const CONTENT_TYPE: &'static str;

    /// Its schema, if one could say more than the media type does.
    fn schema(types: &mut Types) -> Option<Value>;
}

/// A public response that clients may cache for a time and revalidate by its `ETag` (RFC 9110, section
/// 13.1.2).
#[derive(Debug)]
pub(crate) struct Document<T>(Response, PhantomData<fn() -> T>);

impl<T: Media> Document<T> {
    pub(crate) fn new(request: &HeaderMap, max_age: Duration, etag: &str, body: Bytes) -> Self {
        let tag = format!("\"{etag}\"");
        // As bytes: an entry that is no text hides no other.
        let known =
            request.get_all(IF_NONE_MATCH).iter().flat_map(|value| value.as_bytes().split(|b| *b == b','));
        let is_known =
            known.map(<[u8]>::trim_ascii).any(|one| one.strip_prefix(b"W/").unwrap_or(one) == tag.as_bytes());
        let cache = format!("public, max-age={}", max_age.as_secs());
        let mut response = match is_known {
            true => StatusCode::NOT_MODIFIED.into_response(),
            false => ([(CONTENT_TYPE, HeaderValue::from_static(T::CONTENT_TYPE))], body).into_response(),
        };
        // Anybody may put it into a page, too.
        response.headers_mut().insert(RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
        for (name, text) in [(ETAG, tag), (CACHE_CONTROL, cache)] {
            if let Ok(value) = HeaderValue::from_str(&text) {
                response.headers_mut().insert(name, value);
            }
        }
        Self(response, PhantomData)
    }
}

impl<T: Media> Answer for Document<T> {
    const IS_PUBLIC: bool = true;

    fn describe(types: &mut Types) -> Vec<Described> {
        let headers = &["ETag", "Cache-Control"];
        let content = Some((T::CONTENT_TYPE, T::schema(types)));
        vec![Described { status: 200, content, headers }, Described { status: 304, content: None, headers }]
    }

    fn respond(self) -> Response {
        self.0
    }
}

/// A JSON response that nobody may keep.
pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Body::from(body.into()));
    *response.status_mut() = status;
    // Room also for what the outer layer adds, so that the map need not grow.
    let headers = response.headers_mut();
    *headers = HeaderMap::with_capacity(2 + crate::middleware::HEADERS);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
