use super::framing;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::response::Response;
use futures_util::future::Either;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tower_service::Service;

/// The longest that the header of a request may take to arrive, and an idle connection to be used again.
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(10);
/// hyper's own limits lie above ours, so that ours answer in JSON.
const MAX_HEADERS: usize = 128;
const MAX_BUFFER: usize = 64 * 1024;

/// The accept loop. Our own, because `axum::serve` sets no timer, without which hyper's timeouts are silently off.
pub(super) struct Acceptor {
    /// More connections wait in the system's queue.
    pub(super) max_connections: usize,
    /// How long requests that have begun may go on after the end.
    pub(super) drain: Duration,
}

impl Acceptor {
    /// Accepts until `stopped` becomes true, then waits for what has begun.
    pub(super) async fn run<S>(self, listener: TcpListener, service: S, mut stopped: watch::Receiver<bool>)
    where
        S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
        S::Future: Send,
    {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(HEADER_READ_TIMEOUT)
            .max_headers(MAX_HEADERS)
            .max_buf_size(MAX_BUFFER);
        let graceful = GracefulShutdown::new();
        let places = Arc::new(Semaphore::new(self.max_connections));

        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { break };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stopped.wait_for(|stopped| *stopped) => break,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Mostly too many open files: waiting is all that helps.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let connection = graceful.watch(connection(&http, stream, peer, service.clone()));
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection broke");
                }
                drop(place);
            });
        }
        drop(listener);
        if tokio::time::timeout(self.drain, graceful.shutdown()).await.is_err() && !self.drain.is_zero() {
            tracing::warn!("some requests did not end in time");
        }
    }
}

fn connection<S>(
    http: &http1::Builder,
    stream: TcpStream,
    peer: SocketAddr,
    service: S,
) -> http1::Connection<
    TokioIo<TcpStream>,
    impl hyper::service::HttpService<Incoming, ResBody = Body, Error = Infallible, Future: Send> + use<S>,
>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
    let service = service_fn(move |request: http::Request<Incoming>| {
        if let Some(refused) = framing::refused(&request) {
            return Either::Left(std::future::ready(Ok(refused)));
        }
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        Either::Right(service.clone().call(request))
    });
    http.serve_connection(TokioIo::new(stream), service)
}
