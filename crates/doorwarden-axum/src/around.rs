//! What the layers of this crate have in common.

use axum::extract::Request;
use axum::response::Response;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tower_service::Service;

/// A service of an application, as layers use it.
pub trait Inner:
    Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static
{
}

impl<S> Inner for S where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static
{
}

/// How a layer handles a request.
pub trait Decide: Clone + Send + 'static {
    /// Calls `inner`, which is ready, or responds in its place.
    fn answer(
        self,
        request: Request,
        inner: impl Inner,
    ) -> impl Future<Output = Result<Response, Infallible>> + Send;
}

/// The service of a layer: `inner` wrapped by `layer`.
#[derive(Debug, Clone)]
pub struct Around<L, S> {
    pub(crate) layer: L,
    pub(crate) inner: S,
}

impl<L: Decide, S: Inner> Service<Request> for Around<L, S> {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        // The clone has not been polled ready; the service that has been must be the one that is called.
        let clone = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, clone);
        Box::pin(self.layer.clone().answer(request, inner))
    }
}
