use crate::{AccessClaims, Refused, Verifier};
use doorwarden_token::Refusal;
use doorwarden_token::bearer::{self, BearerError};
use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower_layer::Layer;
use tower_service::Service;

/// The claims of the access token of a request. [`Verifier::layer`] adds them to the request's extensions;
/// with the feature `axum` they are an extractor.
#[derive(Debug, Clone, PartialEq)]
pub struct Claims(pub Arc<AccessClaims>);

impl Deref for Claims {
    type Target = AccessClaims;

    fn deref(&self) -> &AccessClaims {
        &self.0
    }
}

/// Why a request is not let through. As a response: 401 with `WWW-Authenticate` (RFC 6750), 400 for two
/// tokens, or 503 where the fault is not the client's, in the format of Doorwarden itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unauthenticated {
    /// There is no `Authorization: Bearer`.
    #[error("there is no access token")]
    NoToken,
    /// There is more than one `Authorization`.
    #[error("more than one Authorization header was sent")]
    Repeated,
    /// There is a token, but it is refused.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// A handler needs [`Claims`] on a route without a verifier: a mistake of the application, 500.
    #[error("no verifier covers this route")]
    NotCovered,
}

impl Unauthenticated {
    /// The response, for any body that can be made from text.
    pub fn response<B: From<&'static str>>(self) -> Response<B> {
        let (status, body, header) = match self {
            Self::NoToken => (
                StatusCode::UNAUTHORIZED,
                r#"{"detail":"Authentication credentials were not provided."}"#,
                Some((WWW_AUTHENTICATE, "Bearer realm=\"api\"")),
            ),
            Self::Repeated => (
                StatusCode::BAD_REQUEST,
                r#"{"detail":"More than one Authorization header was sent."}"#,
                None,
            ),
            Self::Refused(refused) if refused.is_fault_of_token() => (
                StatusCode::UNAUTHORIZED,
                r#"{"detail":"Invalid authentication. Could not decode token."}"#,
                Some((WWW_AUTHENTICATE, "Bearer realm=\"api\", error=\"invalid_token\"")),
            ),
            Self::Refused(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                r#"{"detail":"Access tokens cannot be verified at the moment."}"#,
                Some((RETRY_AFTER, "5")),
            ),
            Self::NotCovered => {
                (StatusCode::INTERNAL_SERVER_ERROR, r#"{"detail":"A server error occurred."}"#, None)
            }
        };
        let mut response = Response::new(B::from(body));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some((name, value)) = header {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

impl From<BearerError> for Unauthenticated {
    fn from(error: BearerError) -> Self {
        match error {
            BearerError::Missing | BearerError::NotBearer => Self::NoToken,
            BearerError::Repeated => Self::Repeated,
            BearerError::NotAscii => Self::Refused(Refused::from(Refusal::NotThreeParts)),
        }
    }
}

impl Verifier {
    /// A layer that lets only requests with a valid token through, and adds their [`Claims`].
    pub fn layer(&self) -> RequireLayer {
        RequireLayer { verifier: self.clone() }
    }

    /// The claims of the token in `Authorization`.
    ///
    /// # Errors
    /// If there is no token, more than one, or one that is refused.
    pub async fn authenticate(&self, headers: &HeaderMap) -> Result<Claims, Unauthenticated> {
        let values = headers.get_all(AUTHORIZATION).iter().map(HeaderValue::as_bytes);
        let token = bearer::parse(values).map_err(Unauthenticated::from)?;
        let claims = self.verify(token).await.inspect_err(|refused| {
            tracing::debug!(reason = refused.code(), "an access token was refused");
        })?;
        Ok(Claims(claims))
    }
}

/// The layer that [`Verifier::layer`] returns.
#[derive(Debug, Clone)]
pub struct RequireLayer {
    verifier: Verifier,
}

impl<S> Layer<S> for RequireLayer {
    type Service = Require<S>;

    fn layer(&self, inner: S) -> Require<S> {
        Require { inner, verifier: self.verifier.clone() }
    }
}

/// The service of [`RequireLayer`].
#[derive(Debug, Clone)]
pub struct Require<S> {
    inner: S,
    verifier: Verifier,
}

impl<S, B, R> Service<Request<B>> for Require<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
    R: From<&'static str>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let verifier = self.verifier.clone();
        // The clone has not been polled ready; the service that has must be the one that is called.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        Box::pin(async move {
            let headers = std::mem::take(request.headers_mut());
            let decided = verifier.authenticate(&headers).await;
            *request.headers_mut() = headers;
            match decided {
                Ok(claims) => {
                    request.extensions_mut().insert(claims);
                    inner.call(request).await
                }
                Err(refused) => Ok(refused.response()),
            }
        })
    }
}
