//! Server-rendered pages: the session token in a cookie, and a redirect to the login page.

use crate::around::{Around, Decide, Inner};
use crate::auth::Auth;
use crate::error::ApiError;
use crate::extract;
use crate::refresh_cookie::is_same_origin;
use axum::extract::{OriginalUri, Request};
use axum::response::{IntoResponse, Response};
use doorwarden_core::flow::authenticate::ShownTo;
use http::header::{AUTHORIZATION, CACHE_CONTROL, COOKIE, LOCATION, SET_COOKIE, VARY};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::convert::Infallible;
use std::sync::Arc;
use tower_layer::Layer;

/// The prefix makes browsers insist on `Secure`, on `Path=/`, and on no `Domain` (RFC 6265bis, section
/// 4.1.3.2).
const NAME: &str = "__Host-doorwarden-session";
/// `Lax`, so that a user who follows a link from another site is still logged in.
const ATTRIBUTES: &str = "HttpOnly; Secure; SameSite=Lax; Path=/";
/// The characters that need no encoding in a query.
const IN_QUERY: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');

impl Auth {
    /// A layer that authenticates the user by the cookie of [`set_session_cookie`](Self::set_session_cookie)
    /// if a request has no `Authorization`. It wraps every service that needs the user, and goes inside
    /// [`layer`](Self::layer).
    ///
    /// If the token is not valid, the request goes on without a user rather than with an error, and the
    /// cookie is removed. For a request that changes something (`POST` and its like) the cookie is used only
    /// if the browser reports that the request comes from a page of this origin: a form on another site finds
    /// no user logged in, so forms need no CSRF token.
    pub fn session_cookie(&self) -> SessionCookieLayer {
        SessionCookieLayer { auth: self.clone() }
    }

    /// The value of `Set-Cookie` that stores a session token in a browser for as long as a session may last.
    /// The browser sends the cookie only over HTTPS and to `localhost`, and hides it from scripts.
    ///
    /// # Panics
    /// If the text is not a token of this instance because it has a character that no token has.
    pub fn set_session_cookie(&self, token: &str) -> HeaderValue {
        let seconds = self.context().settings.session.lifetime.as_secs();
        assert!(
            token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)),
            "not a session token"
        );
        HeaderValue::from_str(&format!("{NAME}={token}; Max-Age={seconds}; {ATTRIBUTES}"))
            .expect("plain ASCII")
    }

    /// The value of `Set-Cookie` that removes the session cookie, for a logout.
    pub fn remove_session_cookie(&self) -> HeaderValue {
        HeaderValue::from_str(&format!("{NAME}=; Max-Age=0; {ATTRIBUTES}")).expect("plain ASCII")
    }

    /// A layer that admits only users and redirects all other requests to the login page (303), as Django's
    /// `login_required`. The requested page is in the parameter `next`; check it with [`safe_next`] before
    /// redirecting to it.
    pub fn login_required(&self, login_page: impl Into<Arc<str>>) -> LoginRequiredLayer {
        LoginRequiredLayer { auth: self.clone(), login_page: login_page.into() }
    }
}

/// The path to redirect to after a login: `next` if it is a path of this site, otherwise `/`. The author of
/// the link to the login page chose `next`.
///
/// ```
/// use doorwarden_axum::page::safe_next;
///
/// assert_eq!(safe_next("/feed?page=2"), "/feed?page=2");
/// for elsewhere in
///     ["https://evil.test/", "//evil.test", "/\\evil.test", "/\t/evil.test", "javascript:alert(1)", ""]
/// {
///     assert_eq!(safe_next(elsewhere), "/");
/// }
/// ```
pub fn safe_next(next: &str) -> &str {
    let is_plain = next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    match is_plain && next.starts_with('/') && !next.starts_with("//") {
        true => next,
        false => "/",
    }
}

/// Marks a request whose service is in a [`SessionCookieLayer`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct InSessionCookie;

/// Made by [`Auth::session_cookie`].
#[derive(Debug, Clone)]
pub struct SessionCookieLayer {
    auth: Auth,
}

impl<S> Layer<S> for SessionCookieLayer {
    type Service = Around<Self, S>;

    fn layer(&self, inner: S) -> Around<Self, S> {
        Around { layer: self.clone(), inner }
    }
}

impl Decide for SessionCookieLayer {
    async fn answer(self, mut request: Request, mut inner: impl Inner) -> Result<Response, Infallible> {
        let auth = self.auth;
        request.extensions_mut().insert(auth.clone());
        request.extensions_mut().insert(InSessionCookie);
        let Some(token) = token(request.method(), request.headers()) else {
            return inner.call(request).await;
        };
        let is_known = match auth.user_of_token(ShownTo::Application, &token).await {
            Ok(user) => request.extensions_mut().insert(user).is_none(),
            Err(error) if error.status() == StatusCode::UNAUTHORIZED => false,
            Err(error) => return Ok(error.render(request.headers())),
        };
        let mut response = inner.call(request).await?;
        let headers = response.headers_mut();
        let sets = |value: &HeaderValue| value.as_bytes().starts_with(NAME.as_bytes());
        if !is_known && !headers.get_all(SET_COOKIE).iter().any(sets) {
            headers.append(SET_COOKIE, auth.remove_session_cookie());
        }
        headers.append(VARY, HeaderValue::from_static("cookie"));
        headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("private, no-cache"));
        Ok(response)
    }
}

/// The token of the cookie, if the cookie may be used for this request.
fn token(method: &Method, headers: &HeaderMap) -> Option<String> {
    let is_safe = [Method::GET, Method::HEAD, Method::OPTIONS].contains(method);
    if headers.contains_key(AUTHORIZATION) || !(is_safe || is_same_origin(headers)) {
        return None;
    }
    // Compared as bytes: the contents of other cookies must not matter.
    let pairs = headers.get_all(COOKIE).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    let value = pairs
        .map(<[u8]>::trim_ascii)
        .find_map(|pair| pair.strip_prefix(NAME.as_bytes()).and_then(|rest| rest.strip_prefix(b"=")))?;
    std::str::from_utf8(value).ok().map(str::to_owned)
}

/// Made by [`Auth::login_required`].
#[derive(Debug, Clone)]
pub struct LoginRequiredLayer {
    auth: Auth,
    login_page: Arc<str>,
}

impl<S> Layer<S> for LoginRequiredLayer {
    type Service = Around<Self, S>;

    fn layer(&self, inner: S) -> Around<Self, S> {
        Around { layer: self.clone(), inner }
    }
}

impl Decide for LoginRequiredLayer {
    async fn answer(self, request: Request, mut inner: impl Inner) -> Result<Response, Infallible> {
        let Self { auth, login_page } = self;
        let (mut parts, body) = request.into_parts();
        parts.extensions.insert(auth);
        match extract::current(&mut parts).await {
            Ok(Some(_)) => inner.call(Request::from_parts(parts, body)).await,
            Err(error) if error.status() != StatusCode::UNAUTHORIZED => Ok(error.render(&parts.headers)),
            Ok(None) | Err(_) => {
                let uri = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |OriginalUri(uri)| uri);
                let asked = uri.path_and_query().map_or("/", |asked| asked.as_str());
                let is_page = [Method::GET, Method::HEAD].contains(&parts.method);
                Ok(to_login(&login_page, is_page.then_some(asked)))
            }
        }
    }
}

fn to_login(page: &str, next: Option<&str>) -> Response {
    let to = next.map_or(page.to_owned(), |next| {
        let joint = if page.contains('?') { '&' } else { '?' };
        format!("{page}{joint}next={}", utf8_percent_encode(next, IN_QUERY))
    });
    match HeaderValue::from_str(&to) {
        Ok(to) => {
            (StatusCode::SEE_OTHER, [(LOCATION, to), (CACHE_CONTROL, HeaderValue::from_static("no-store"))])
                .into_response()
        }
        Err(_) => ApiError::internal().into_response(),
    }
}
