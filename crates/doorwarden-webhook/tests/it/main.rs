//! The client against receivers that do everything wrong.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use doorwarden_core::time::Timestamp;
use doorwarden_core::token::webhook::WebhookSecret;
use doorwarden_core::webhook::{MessageId, RetryAfter, WebhookClient as _, WebhookRequest};
use doorwarden_webhook::{HttpClient, IpNet};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{RootCertStore, ServerConfig};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn loopback() -> IpNet {
    "127.0.0.0/8".parse().unwrap()
}

fn client() -> HttpClient {
    HttpClient::new([loopback()]).limit(Duration::from_millis(1500))
}

fn request(url: &str) -> WebhookRequest {
    let secret = WebhookSecret::of_random([7; 32]);
    let now = Timestamp::from_seconds(1_795_435_200);
    WebhookRequest::new(url, MessageId(uuid()), br#"{"type":"webhook.test"}"#.to_vec(), now, &[secret])
}

fn uuid() -> uuid::Uuid {
    uuid::Uuid::from_u128(7)
}

/// What a receiver does after it has read a request.
#[derive(Clone)]
enum Then {
    Say(String),
    /// Says nothing, and keeps the connection.
    Wait,
    /// Ends the connection.
    Drop,
    /// Says the text, and then a byte now and then.
    Drip(String),
}

/// A receiver, the number of connections to it, and the last request.
struct Receiver {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    heard: Arc<std::sync::Mutex<String>>,
}

impl Receiver {
    async fn start(then: Then) -> Self {
        Self::start_with(then, None).await
    }

    async fn start_with(then: Then, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, heard) = (Arc::new(AtomicUsize::new(0)), Arc::default());
        let (counted, kept) = (Arc::clone(&connections), Arc::clone(&heard));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                counted.fetch_add(1, Ordering::SeqCst);
                let (then, kept, tls) = (then.clone(), Arc::clone(&kept), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                answer(stream, then, &kept).await;
                            }
                        }
                        None => answer(stream, then, &kept).await,
                    }
                });
            }
        });
        Self { address, connections, heard }
    }

    fn url(&self) -> String {
        format!("http://{}/hooks?a=b", self.address)
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    then: Then,
    kept: &std::sync::Mutex<String>,
) {
    let mut text = Vec::new();
    while !text.ends_with(b"}") {
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer).await {
            Ok(count) if count > 0 => text.extend_from_slice(&buffer[..count]),
            _ => return,
        }
    }
    *kept.lock().unwrap() = String::from_utf8(text).unwrap();
    match then {
        Then::Say(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
        Then::Wait => tokio::time::sleep(Duration::from_mins(1)).await,
        Then::Drop => {}
        Then::Drip(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
            while stream.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

#[tokio::test]
async fn a_message_is_one_request_with_what_the_specification_asks_for() {
    let receiver = Receiver::start(Then::Say(OK.to_owned())).await;
    let request = request(&receiver.url());
    assert_eq!(client().send(&request).await.unwrap().status, 200);
    let heard = receiver.heard.lock().unwrap().clone();
    let (head, body) = heard.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    assert_eq!(lines.next(), Some("POST /hooks?a=b HTTP/1.1"));
    let mut fields: Vec<_> = lines.map(str::to_ascii_lowercase).collect();
    fields.sort();
    let expected = [
        "connection: close".to_owned(),
        format!("content-length: {}", request.body.len()),
        "content-type: application/json".to_owned(),
        format!("host: {}", receiver.address),
        concat!("user-agent: doorwarden/", env!("CARGO_PKG_VERSION")).to_owned(),
        "webhook-id: msg_00000000000000000000000000000007".to_owned(),
        format!("webhook-signature: {}", request.signature.to_ascii_lowercase()),
        "webhook-timestamp: 1795435200".to_owned(),
    ];
    assert_eq!(fields, expected);
    assert_eq!(body.as_bytes(), request.body);
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let inner = Receiver::start(Then::Say(OK.to_owned())).await;
    for status in [301, 302, 303, 307, 308] {
        let text =
            format!("HTTP/1.1 {status} Moved\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n", inner.url());
        let receiver = Receiver::start(Then::Say(text)).await;
        assert_eq!(client().send(&request(&receiver.url())).await.unwrap().status, status);
        assert_eq!(receiver.connections(), 1);
    }
    assert_eq!(inner.connections(), 0);
}

#[tokio::test]
async fn an_answer_may_say_when_to_come_again() {
    let text = "HTTP/1.1 503 Busy\r\nRetry-After: 120\r\nContent-Length: 0\r\n\r\n".to_owned();
    let receiver = Receiver::start(Then::Say(text)).await;
    let response = client().send(&request(&receiver.url())).await.unwrap();
    assert_eq!((response.status, response.retry_after), (503, Some(RetryAfter::In(Duration::from_mins(2)))));
}

#[tokio::test]
async fn a_receiver_that_is_slow_or_ends_or_talks_nonsense_has_not_answered() {
    let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(100_000));
    for (then, expected) in [
        (Then::Wait, "there was no response within 1 s"),
        (Then::Drop, "the connection was lost"),
        (Then::Say("SSH-2.0-OpenSSH_10.0\r\n".to_owned()), "the connection was lost"),
        (Then::Say("HTTP/1.1 200".to_owned()), "the connection was lost"),
        (Then::Say(long), "the connection was lost"),
        (Then::Drip("HTTP/1.1 200 OK\r\nX: ".to_owned()), "there was no response within 1 s"),
    ] {
        let receiver = Receiver::start(then).await;
        let began = Instant::now();
        let error = client().send(&request(&receiver.url())).await.unwrap_err();
        assert!(error.contains(expected), "{error}, not {expected}");
        assert!(began.elapsed() < Duration::from_secs(3));
    }
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = client().send(&request(&format!("http://{free}/"))).await.unwrap_err();
    assert!(error.starts_with("could not connect"), "{error}");
}

#[tokio::test]
async fn the_status_counts_however_long_the_body_is() {
    for body in ["Content-Length: 1000000000\r\n\r\n", "\r\n"] {
        let receiver = Receiver::start(Then::Drip(format!("HTTP/1.1 202 Accepted\r\n{body}"))).await;
        let began = Instant::now();
        assert_eq!(client().send(&request(&receiver.url())).await.unwrap().status, 202);
        assert!(began.elapsed() < Duration::from_millis(1400));
    }
}

#[tokio::test]
async fn nothing_private_is_connected_to_unless_it_is_allowed() {
    let receiver = Receiver::start(Then::Say(OK.to_owned())).await;
    let port = receiver.address.port();
    let client = HttpClient::new([]);
    for host in [
        "127.0.0.1",
        "localhost",
        "localhost.",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "0.0.0.0",
        "0",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "169.254.169.254",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "224.0.0.1",
        "255.255.255.255",
    ] {
        for scheme in ["https", "http"] {
            let url = format!("{scheme}://{host}:{port}/hooks");
            let began = Instant::now();
            let error = client.send(&request(&url)).await.unwrap_err();
            let is_refused = error.contains("not an address of the Internet")
                || error.contains("the URL")
                || error.contains("was not found");
            assert!(is_refused && began.elapsed() < Duration::from_secs(5), "{url}: {error}");
        }
    }
    // One network that is allowed opens no other.
    let ten = HttpClient::new(["10.0.0.0/8".parse().unwrap()]);
    for host in ["127.0.0.1", "localhost"] {
        assert!(ten.send(&request(&format!("http://{host}:{port}/hooks"))).await.is_err(), "{host}");
    }
    assert_eq!(receiver.connections(), 0);
    let named = format!("http://127.0.0.1:{port}/hooks");
    assert!(self::client().send(&request(&named)).await.is_ok());
}

fn file(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/tls")).join(name)
}

fn acceptor() -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_file(file("localhost.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(file("localhost.key")).unwrap();
    let config = ServerConfig::builder_with_provider(doorwarden_tls::provider());
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    Arc::new(config.with_single_cert(vec![certificate], key).unwrap()).into()
}

#[tokio::test]
async fn a_certificate_must_be_for_the_host_and_of_a_trusted_authority() {
    let receiver = Receiver::start_with(Then::Say(OK.to_owned()), Some(acceptor())).await;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(file("authority.pem")).unwrap()).unwrap();
    let tls = doorwarden_tls::client().with_root_certificates(roots).with_no_client_auth();
    let networks = || [loopback(), "::1/128".parse().unwrap()];
    let trusting = HttpClient::with_tls(networks(), tls);
    let port = receiver.address.port();
    let url = format!("https://localhost:{port}/hooks");
    assert_eq!(trusting.send(&request(&url)).await.unwrap().status, 200);
    for (client, url) in
        [(HttpClient::new(networks()), url), (trusting, format!("https://127.0.0.2:{port}/hooks"))]
    {
        let error = client.send(&request(&url)).await.unwrap_err();
        assert!(error.starts_with("no TLS") || error.starts_with("could not connect"), "{url}: {error}");
    }
}

/// Runs itself again, because the variable is read from the environment of the process.
#[tokio::test]
async fn the_authority_that_ssl_cert_file_names_is_trusted() {
    const NAME: &str = "the_authority_that_ssl_cert_file_names_is_trusted";
    if let Ok(url) = std::env::var("DOORWARDEN_TEST_RECEIVER") {
        let client = HttpClient::new([loopback(), "::1/128".parse().unwrap()]);
        for _ in 0..2 {
            assert_eq!(client.send(&request(&url)).await.unwrap().status, 200);
        }
        return;
    }
    let receiver = Receiver::start_with(Then::Say(OK.to_owned()), Some(acceptor())).await;
    let mut again = std::process::Command::new(std::env::current_exe().unwrap());
    let url = format!("https://localhost:{}/hooks", receiver.address.port());
    again.args(["--exact", NAME]).env("DOORWARDEN_TEST_RECEIVER", url);
    again.env("SSL_CERT_FILE", file("authority.pem"));
    let output = tokio::task::spawn_blocking(move || again.output()).await.unwrap().unwrap();
    assert!(
        output.status.success() && String::from_utf8_lossy(&output.stdout).contains("1 passed"),
        "{output:?}"
    );
}
