use crate::target::{Policy, Target};
use bytes::Bytes;
use doorwarden_core::async_trait;
use doorwarden_core::time::Timestamp;
use doorwarden_core::webhook::{RetryAfter, WebhookClient, WebhookRequest, WebhookResponse};
use http::header::{CONNECTION, CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use ipnet::IpNet;
use rustls::ClientConfig;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// How long a message may take, from the look-up of the name to the response.
const LIMIT: Duration = Duration::from_secs(15);
/// How long the connection to one of several addresses may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long the body of a response may take.
const BODY_LIMIT: Duration = Duration::from_secs(1);
/// How much of the body of a response is read, in bytes; nobody needs it.
const MAX_BODY: usize = 16 * 1024;
/// The longest head of a response, in bytes.
const MAX_HEAD: usize = 16 * 1024;

/// Sends messages by HTTP/1.1, each over a connection of its own.
#[derive(Clone)]
pub struct HttpClient {
    policy: Policy,
    /// Made when it is needed: the certificates of a system are a thousand files, and most services have no
    /// webhooks.
    tls: Arc<OnceCell<TlsConnector>>,
    limit: Duration,
}

impl HttpClient {
    /// A client that trusts the certificate authorities of the system, and reaches the Internet and these
    /// networks. In them it also sends without TLS.
    pub fn new(allowed: impl IntoIterator<Item = IpNet>) -> Self {
        Self { policy: Policy::new(allowed), tls: Arc::default(), limit: LIMIT }
    }

    /// The same with another configuration of TLS.
    pub fn with_tls(allowed: impl IntoIterator<Item = IpNet>, tls: ClientConfig) -> Self {
        Self { tls: Arc::new(OnceCell::new_with(Some(Arc::new(tls).into()))), ..Self::new(allowed) }
    }

    /// With another limit than 15 seconds for a message.
    #[must_use]
    pub fn limit(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    async fn tls(&self) -> Result<&TlsConnector, String> {
        let read = || async {
            let config = || doorwarden_tls::client_with_system_roots().with_no_client_auth();
            spawn_blocking(config).await.map(|config| Arc::new(config).into())
        };
        self.tls.get_or_try_init(read).await.map_err(|error| format!("no TLS: {error}"))
    }

    async fn post(&self, request: &WebhookRequest) -> Result<WebhookResponse, String> {
        let target = Target::parse(&request.url, &self.policy).map_err(|wrong| format!("the URL {wrong}"))?;
        let addresses = target.resolve(&self.policy).await?;
        let stream = connect(&addresses).await?;
        let peer = stream.peer_addr().map_err(|error| format!("could not connect: {error}"))?;
        self.policy.check(peer.ip(), target.has_tls)?;
        if !target.has_tls {
            return exchange(stream, &target, request).await;
        }
        let stream = self.tls().await?.connect(target.server_name()?, stream).await;
        exchange(stream.map_err(|error| format!("no TLS: {error}"))?, &target, request).await
    }
}

#[async_trait]
impl WebhookClient for HttpClient {
    fn check(&self, url: &str) -> Result<(), String> {
        Target::parse(url, &self.policy).map(drop)
    }

    async fn send(&self, request: &WebhookRequest) -> Result<WebhookResponse, String> {
        let late = |_| Err(format!("there was no response within {} s", self.limit.as_secs()));
        timeout(self.limit, self.post(request)).await.unwrap_or_else(late)
    }
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").field("policy", &self.policy).finish_non_exhaustive()
    }
}

async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, String> {
    let mut reason = String::new();
    for address in addresses {
        match timeout(CONNECT_LIMIT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => reason = error.to_string(),
            Err(_) => "there was no answer in time".clone_into(&mut reason),
        }
    }
    Err(format!("could not connect: {reason}"))
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    target: &Target,
    request: &WebhookRequest,
) -> Result<WebhookResponse, String> {
    let lost = |error: hyper::Error| format!("the connection was lost: {error}");
    let handshake = http1::Builder::new().max_buf_size(MAX_HEAD).handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(lost)?;
    let message = Request::post(target.path.clone())
        .header(HOST, &target.authority)
        .header(USER_AGENT, concat!("doorwarden/", env!("CARGO_PKG_VERSION")))
        .header(CONTENT_TYPE, "application/json")
        .header(CONNECTION, "close")
        .header("webhook-id", &request.id)
        .header("webhook-timestamp", request.seconds)
        .header("webhook-signature", &request.signature)
        .body(Full::new(Bytes::from(request.body.clone())))
        .map_err(|error| format!("no request can be made: {error}"))?;
    let answered = async {
        let response = sender.send_request(message).await.map_err(lost)?;
        let status = response.status().as_u16();
        let retry_after = retry_after(response.headers());
        let _ = timeout(BODY_LIMIT, read_a_little(response.into_body())).await;
        let mut answer = WebhookResponse::new(status);
        answer.retry_after = retry_after;
        Ok(answer)
    };
    tokio::pin!(answered);
    tokio::select! {
        answer = &mut answered => answer,
        // The connection may end as soon as the response is there.
        _ = connection => answered.await,
    }
}

/// Reads the body, up to a limit, so that the receiver can end in peace. What it says is of no interest.
async fn read_a_little(mut body: Incoming) {
    let mut read = 0;
    while read < MAX_BODY
        && let Some(Ok(frame)) = body.frame().await
    {
        read += frame.data_ref().map_or(0, Bytes::len);
    }
}

/// `Retry-After`: seconds, or a date.
fn retry_after(headers: &HeaderMap) -> Option<RetryAfter> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(RetryAfter::In(Duration::from_secs(seconds)));
    }
    let at = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(RetryAfter::At(Timestamp::from_seconds(i64::try_from(at.as_secs()).ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_names_a_time_in_seconds_or_as_a_date() {
        let parsed =
            |text: &'static str| retry_after(&[(RETRY_AFTER, text.parse().unwrap())].into_iter().collect());
        assert_eq!(parsed("120"), Some(RetryAfter::In(Duration::from_mins(2))));
        let at = Timestamp::from_seconds(1_795_435_200);
        assert_eq!(parsed("Mon, 23 Nov 2026 12:00:00 GMT"), Some(RetryAfter::At(at)));
        for none in ["-1", "soon", ""] {
            assert_eq!(parsed(none), None, "{none}");
        }
    }
}
