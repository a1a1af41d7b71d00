//! The endpoints as one service, for a server that serves nothing else.
//!
//! Applications need the endpoints as an axum router, to merge them with their own routes, and that router
//! costs 12 of the 19 allocations of `GET /me`: axum clones and boxes the service, boxes its future and
//! records the matched path. So the service looks a path without a parameter up in a map that leads to the
//! same [`Route`], and leaves paths with parameters and unknown paths to the router, whose matching is not
//! written twice.

use super::route::{Route, RouteFuture, router, routes};
use crate::auth::Auth;
use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::future;
use futures_util::FutureExt;
use futures_util::future::{Either, Map};
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower_service::Service;

impl Auth {
    /// All endpoints inside the [`layer`](Self::layer), for a server that serves nothing else. It responds as
    /// `layer` around [`router`](Self::router) does, and faster, because most paths need no router.
    ///
    /// ```
    /// use axum::ServiceExt;
    /// use axum::extract::Request;
    /// use doorwarden_axum::Auth;
    /// use tokio::net::TcpListener;
    ///
    /// async fn serve(auth: &Auth, listener: TcpListener) -> std::io::Result<()> {
    ///     let service = ServiceExt::<Request>::into_make_service(auth.service());
    ///     axum::serve(listener, service).await
    /// }
    /// ```
    pub fn service(
        &self,
    ) -> impl Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync + use<>
    {
        self.layer().around(EndpointService::new(self))
    }
}

/// The endpoints behind one lookup of the path, in front of a router for the rest: paths with a parameter and
/// unknown paths. Made by [`Auth::service`].
#[derive(Clone)]
pub(crate) struct EndpointService(Arc<Paths>);

struct Paths {
    fixed: HashMap<String, Arc<Route>>,
    router: Router,
}

impl EndpointService {
    pub(crate) fn new(auth: &Auth) -> Self {
        let routes = routes(auth);
        let fixed = routes.iter().filter(|(path, _)| !path.contains('{')).cloned().collect();
        Self(Arc::new(Paths { fixed, router: router(routes) }))
    }
}

impl Service<Request> for EndpointService {
    type Response = Response;
    type Error = Infallible;
    type Future = Either<
        Map<RouteFuture, fn(Response) -> Result<Response, Infallible>>,
        future::RouteFuture<Infallible>,
    >;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        match self.0.fixed.get(request.uri().path()) {
            Some(route) => Either::Left(Arc::clone(route).answer(request).map(Ok)),
            None => Either::Right(self.0.router.clone().call(request)),
        }
    }
}
