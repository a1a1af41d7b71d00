use super::framing;
use super::patience::{Activity, Answer, Noted, Patience};
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::response::Response;
use futures_util::future::{Either, TryFutureExt};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tower_service::Service;

/// How long the header of a request may take to arrive, from its first byte.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may read nothing of a response.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// hyper's own limits are above ours, so that ours respond in JSON.
const MAX_HEADERS: usize = 128;
const MAX_BUFFER: usize = 64 * 1024;
/// The minimum time between two log lines about connections that could not be accepted.
const COMPLAINT_INTERVAL: Duration = Duration::from_mins(1);

/// The accept loop. `axum::serve` sets no timer, without which hyper's timeouts are silently disabled.
pub(super) struct Acceptor {
    /// Maximum number of connections; more wait in the system's queue.
    pub(super) max_connections: usize,
    /// How long a connection stays open between requests.
    pub(super) keep_alive: Duration,
    /// How long open requests may continue after the stop.
    pub(super) drain: Duration,
}

impl Acceptor {
    /// Accepts until `stopped` becomes true, then waits for open requests.
    pub(super) async fn run<S>(self, listener: TcpListener, service: S, mut stopped: watch::Receiver<bool>)
    where
        S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
        S::Future: Send,
    {
        let http = http();
        let patience = Patience { idle: self.keep_alive, header: HEADER_TIMEOUT, stall: STALL_TIMEOUT };
        let graceful = GracefulShutdown::new();
        let places = Arc::new(Semaphore::new(self.max_connections));
        let mut complained: Option<Instant> = None;

        loop {
            let next = async {
                let place = Arc::clone(&places).acquire_owned().await;
                (place, listener.accept().await)
            };
            let (place, accepted) = tokio::select! {
                next = next => next,
                _ = stopped.wait_for(|stopped| *stopped) => break,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Usually too many open files: only waiting helps.
                    if complained.is_none_or(|at| at.elapsed() > COMPLAINT_INTERVAL) {
                        tracing::warn!(%error, "failed to accept connections");
                        complained = Some(Instant::now());
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "failed to set TCP_NODELAY");
            }
            let activity = Activity::new();
            let connection = connection(&http, stream, peer, activity.clone(), service.clone());
            let connection = until(patience, activity, graceful.watch(connection));
            tokio::spawn(async move {
                connection.await;
                drop(place);
            });
        }
        drop(listener);
        if tokio::time::timeout(self.drain, graceful.shutdown()).await.is_err() && !self.drain.is_zero() {
            tracing::warn!("some requests did not finish in time");
        }
    }
}

fn http() -> http1::Builder {
    let mut http = http1::Builder::new();
    // hyper's timeout does not distinguish an idle connection from a slow header; ours do.
    http.timer(TokioTimer::new()).header_read_timeout(None).max_headers(MAX_HEADERS).max_buf_size(MAX_BUFFER);
    http
}

/// Serves a connection until it ends or makes no progress.
async fn until(patience: Patience, activity: Activity, connection: impl Future<Output = hyper::Result<()>>) {
    tokio::select! {
        ended = connection => {
            if let Err(error) = ended {
                tracing::debug!(%error, "connection failed");
            }
        }
        () = activity.expired(patience) => tracing::debug!("connection stalled"),
    }
}

fn connection<T, S>(
    http: &http1::Builder,
    stream: T,
    peer: SocketAddr,
    activity: Activity,
    service: S,
) -> http1::Connection<
    TokioIo<Noted<T>>,
    impl hyper::service::HttpService<Incoming, ResBody = Answer, Error = Infallible, Future: Send> + use<T, S>,
>
where
    T: AsyncRead + AsyncWrite + Unpin,
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    let stream = Noted { stream, activity: activity.clone() };
    let service = service_fn(move |request: http::Request<Incoming>| {
        let busy = activity.busy();
        let answer = if let Some(refused) = framing::refused(&request) {
            Either::Left(std::future::ready(Ok(refused)))
        } else {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            Either::Right(service.clone().call(request))
        };
        answer.map_ok(|answer| answer.map(|body| Answer { body, _busy: busy }))
    });
    http.serve_connection(TokioIo::new(stream), service)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
    use tokio::task::JoinHandle;
    use tokio::time::sleep;

    const PATIENCE: Patience =
        Patience { idle: Duration::from_secs(75), header: HEADER_TIMEOUT, stall: STALL_TIMEOUT };
    const REQUEST: &[u8] = b"GET /ok HTTP/1.1\r\nHost: x\r\n\r\n";

    /// A client of a connection that is served; the task ends with the connection.
    fn client() -> (DuplexStream, JoinHandle<()>) {
        let quiet = futures_util::stream::pending::<Result<String, Infallible>>();
        let router = Router::new()
            .route("/ok", get(async || "ok"))
            .route("/large", get(async || "x".repeat(1 << 20)))
            .route("/slow", get(async || sleep(Duration::from_mins(5)).await))
            .route("/quiet", get(async || Body::from_stream(quiet)));
        let (ours, theirs) = tokio::io::duplex(1024);
        let activity = Activity::new();
        let connection =
            connection(&http(), theirs, SocketAddr::from(([127, 0, 0, 1], 1)), activity.clone(), router);
        (ours, tokio::spawn(until(PATIENCE, activity, connection)))
    }

    async fn answered(client: &mut DuplexStream) {
        client.write_all(REQUEST).await.unwrap();
        let mut bytes = [0; 1024];
        let mut seen = Vec::new();
        while !seen.ends_with(b"ok") {
            let read = client.read(&mut bytes).await.unwrap();
            assert!(read > 0, "closed");
            seen.extend_from_slice(&bytes[..read]);
        }
    }

    /// Seconds after which the connection ends.
    async fn ends_after(served: JoinHandle<()>) -> u64 {
        let began = Instant::now();
        tokio::time::timeout(Duration::from_hours(1), served).await.expect("it is served for ever").unwrap();
        began.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_stays_open_longer_than_proxies_keep_theirs() {
        let (mut client, served) = client();
        for _ in 0..3 {
            answered(&mut client).await;
            sleep(Duration::from_secs(74)).await;
        }
        answered(&mut client).await;
        assert_eq!(ends_after(served).await, 75);
    }

    #[tokio::test(start_paused = true)]
    async fn who_sends_nothing_at_all_is_as_idle() {
        let (_client, served) = client();
        assert_eq!(ends_after(served).await, 75);
    }

    #[tokio::test(start_paused = true)]
    async fn a_header_has_ten_seconds_from_its_first_byte_however_many_bytes_follow() {
        let (mut client, served) = client();
        answered(&mut client).await;
        sleep(Duration::from_secs(70)).await;
        let trickle = tokio::spawn(async move {
            for byte in REQUEST {
                let _ = client.write_all(&[*byte]).await;
                sleep(Duration::from_secs(1)).await;
            }
        });
        assert_eq!(ends_after(served).await, 10);
        trickle.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_of_an_answer_is_left_after_half_a_minute() {
        let (mut client, served) = client();
        client.write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        assert_eq!(ends_after(served).await, 30);
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_on_without_reading_is_left_after_half_a_minute() {
        let (mut client, served) = client();
        let asking = tokio::spawn(async move {
            while client.write_all(REQUEST).await.is_ok() {}
            client
        });
        assert_eq!(ends_after(served).await, 30);
        asking.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_who_gets_on_gets_all_of_it() {
        let (mut client, served) = client();
        client.write_all(b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut bytes = vec![0; 64 * 1024];
        let mut total = 0;
        loop {
            sleep(Duration::from_secs(29)).await;
            let read = client.read(&mut bytes).await.unwrap();
            if read == 0 {
                break;
            }
            total += read;
        }
        assert!(total > 1 << 20, "{total}");
        served.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_may_take_its_time() {
        for path in ["/slow", "/quiet"] {
            let (mut client, served) = client();
            let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
            client.write_all(request.as_bytes()).await.unwrap();
            sleep(Duration::from_secs(250)).await;
            assert!(!served.is_finished(), "{path}");
            served.abort();
        }
    }
}
