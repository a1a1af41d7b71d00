use crate::{Claims, Unauthenticated, Verifier};
use axum_core::body::Body;
use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};
use http::request::Parts;

impl IntoResponse for Unauthenticated {
    fn into_response(self) -> Response {
        self.response::<Body>()
    }
}

/// The claims that [`Verifier::layer`] has verified. Where only some routes need a token,
/// `.layer(axum::Extension(verifier))` is enough: the token is verified when a handler has this argument.
impl<S: Send + Sync> FromRequestParts<S> for Claims {
    type Rejection = Unauthenticated;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Unauthenticated> {
        if let Some(claims) = parts.extensions.get::<Self>() {
            return Ok(claims.clone());
        }
        let Some(verifier) = parts.extensions.get::<Verifier>() else {
            tracing::error!(
                "a handler needs claims on a route that no layer covers; add .layer(verifier.layer())"
            );
            return Err(Unauthenticated::NotCovered);
        };
        let claims = verifier.authenticate(&parts.headers).await?;
        parts.extensions.insert(claims.clone());
        Ok(claims)
    }
}

/// `None` without a token. A token that is not valid is refused here as well.
impl<S: Send + Sync> OptionalFromRequestParts<S> for Claims {
    type Rejection = Unauthenticated;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, Unauthenticated> {
        match <Self as FromRequestParts<S>>::from_request_parts(parts, state).await {
            Ok(claims) => Ok(Some(claims)),
            Err(Unauthenticated::NoToken) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
