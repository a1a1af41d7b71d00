//! Layers that let only some users through.

use crate::auth::Auth;
use crate::cors::Grant;
use crate::error::ApiError;
use crate::extract::{self, CurrentUser};
use axum::extract::Request;
use axum::response::Response;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower_layer::Layer;
use tower_service::Service;

/// Who is let through.
#[derive(Debug, Clone)]
pub(crate) enum Need {
    User,
    Staff,
    Permission(Arc<str>),
}

impl Need {
    fn is_met_by(&self, user: &CurrentUser) -> bool {
        match self {
            Self::User => true,
            Self::Staff => user.user.is_staff,
            Self::Permission(permission) => user.has_perm(permission),
        }
    }
}

/// Lets only some users through: 401 without a user, 403 if he may not. Made by [`Auth::require_user`] and its like.
#[derive(Debug, Clone)]
pub struct RequireLayer {
    auth: Auth,
    need: Need,
}

impl RequireLayer {
    pub(crate) fn new(auth: Auth, need: Need) -> Self {
        Self { auth, need }
    }
}

impl<S> Layer<S> for RequireLayer {
    type Service = Require<S>;

    fn layer(&self, inner: S) -> Require<S> {
        Require { inner, layer: self.clone() }
    }
}

/// The service of [`RequireLayer`].
#[derive(Debug, Clone)]
pub struct Require<S> {
    inner: S,
    layer: RequireLayer,
}

impl<S> Service<Request> for Require<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let RequireLayer { auth, need } = self.layer.clone();
        // The clone has not been polled ready; the one that has must be the one that is called.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            parts.extensions.insert(auth.clone());
            let refused = match extract::current(&mut parts).await {
                Ok(Some(user)) if need.is_met_by(&user) => {
                    return inner.call(Request::from_parts(parts, body)).await;
                }
                Ok(Some(_)) => ApiError::permission_denied(),
                Ok(None) => ApiError::not_authenticated(),
                Err(error) => error,
            };
            auth.note(&refused);
            let mut response = refused.render(&parts.headers);
            if let Some(grant) = Grant::of(auth.settings(), &parts.headers) {
                grant.write(response.headers_mut());
            }
            Ok(response)
        })
    }
}
