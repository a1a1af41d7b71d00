//! Layers that admit only some users.

use crate::around::{Around, Decide, Inner};
use crate::auth::Auth;
use crate::cors::Grant;
use crate::error::ApiError;
use crate::extract::{self, CurrentUser};
use axum::extract::Request;
use axum::response::Response;
use std::convert::Infallible;
use std::sync::Arc;
use tower_layer::Layer;

/// Which users are admitted.
#[derive(Debug, Clone)]
pub(crate) enum Requirement {
    User,
    Staff,
    Permission(Arc<str>),
}

impl Requirement {
    fn is_met_by(&self, user: &CurrentUser) -> bool {
        match self {
            Self::User => true,
            Self::Staff => user.is_staff(),
            Self::Permission(permission) => user.has_perm(permission),
        }
    }
}

/// Admits only some users: 401 without a user, 403 for a user who is not permitted. Made by
/// [`Auth::require_user`] and its like.
#[derive(Debug, Clone)]
pub struct RequireLayer {
    auth: Auth,
    requirement: Requirement,
}

impl RequireLayer {
    pub(crate) fn new(auth: Auth, requirement: Requirement) -> Self {
        Self { auth, requirement }
    }
}

impl<S> Layer<S> for RequireLayer {
    type Service = Around<Self, S>;

    fn layer(&self, inner: S) -> Around<Self, S> {
        Around { layer: self.clone(), inner }
    }
}

impl Decide for RequireLayer {
    async fn answer(self, request: Request, mut inner: impl Inner) -> Result<Response, Infallible> {
        let Self { auth, requirement } = self;
        let (mut parts, body) = request.into_parts();
        parts.extensions.insert(auth.clone());
        let refused = match extract::current(&mut parts).await {
            Ok(Some(user)) if requirement.is_met_by(&user) => {
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
    }
}
