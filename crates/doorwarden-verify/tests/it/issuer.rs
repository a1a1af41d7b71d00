//! An issuer under the control of a test: its keys, its statements, its faults.

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use doorwarden_testkit::wait_until;
use doorwarden_token::access::{self, AccessClaims};
use doorwarden_token::feed::{Statement, sign_statement};
use doorwarden_token::{Algorithm, KeyPair, KeySet};
use doorwarden_verify::{Builder, Verifier};
use futures_util::stream;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

pub(crate) const NOW: i64 = 1_700_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// No stream, only statements.
    NoStream,
    /// Neither stream nor statements.
    NoFeed,
    /// Requests for the key set hang.
    HangKeys,
    /// Every request hangs.
    Hang,
    /// The stream sends only comments.
    Buffered,
    /// The feed redirects to another host.
    Redirect,
    /// Statements of another issuer.
    Forged,
}

#[derive(Clone)]
pub(crate) struct Issuer {
    pub(crate) url: String,
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) pair: KeyPair,
    pub(crate) other: KeyPair,
    clock: AtomicI64,
    fault: std::sync::Mutex<Fault>,
    /// How far the issuer's clock is ahead of the verifier's, in seconds.
    pub(crate) ahead: AtomicI64,
    /// What the issuer revokes in addition.
    pub(crate) says: std::sync::Mutex<Statement>,
    pub(crate) jwks_requests: AtomicUsize,
    /// How many of these requests bypassed every cache.
    pub(crate) jwks_no_cache: AtomicUsize,
    pub(crate) stream_requests: AtomicUsize,
    pub(crate) statement_requests: AtomicUsize,
    pub(crate) strayed: AtomicUsize,
}

impl std::ops::Deref for Issuer {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.inner
    }
}

impl Issuer {
    pub(crate) async fn start(fault: Fault) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/id", listener.local_addr().unwrap());
        let inner = Inner {
            pair: KeyPair::generate(Algorithm::EdDsa).unwrap(),
            other: KeyPair::generate(Algorithm::EdDsa).unwrap(),
            clock: AtomicI64::new(NOW),
            fault: fault.into(),
            ahead: AtomicI64::new(0),
            says: std::sync::Mutex::default(),
            jwks_requests: AtomicUsize::new(0),
            jwks_no_cache: AtomicUsize::new(0),
            stream_requests: AtomicUsize::new(0),
            statement_requests: AtomicUsize::new(0),
            strayed: AtomicUsize::new(0),
        };
        let issuer = Self { url, inner: Arc::new(inner) };
        let router = Router::new()
            .route("/id/.well-known/jwks.json", get(jwks))
            .route("/id/.well-known/revocations", get(statement))
            .route("/id/.well-known/revocations/stream", get(stream))
            .fallback(strayed)
            .with_state(issuer.clone());
        tokio::spawn(axum::serve(listener, router).into_future());
        issuer
    }

    /// A verifier with the issuer's clock.
    pub(crate) fn builder(&self) -> Builder {
        let issuer = self.clone();
        Verifier::builder(&self.url).clock(move || issuer.now())
    }

    pub(crate) fn now(&self) -> i64 {
        self.clock.load(Ordering::SeqCst)
    }

    pub(crate) fn advance(&self, seconds: i64) {
        self.clock.fetch_add(seconds, Ordering::SeqCst);
    }

    pub(crate) fn set_fault(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }

    pub(crate) fn claims(&self) -> AccessClaims {
        AccessClaims {
            iss: self.url.clone(),
            sub: "7".to_owned(),
            aud: vec![self.url.clone()],
            exp: self.now() + 3000,
            iat: self.now(),
            jti: "a1".to_owned(),
            client_id: "web".to_owned(),
            id: Some(7),
            ..AccessClaims::default()
        }
    }

    pub(crate) fn token(&self) -> String {
        access::sign(&self.pair, &self.claims()).unwrap()
    }

    pub(crate) fn statement(&self, key: &KeyPair) -> String {
        let now = self.now() + self.ahead.load(Ordering::SeqCst);
        let says = self.says.lock().unwrap().clone();
        let statement = Statement { iss: self.url.clone(), iat: now, exp: now + 30, window: 300, ..says };
        sign_statement(key, &statement)
    }

    fn fault(&self) -> Fault {
        *self.fault.lock().unwrap()
    }

    /// Redirects, refuses, or the statement.
    fn newest(&self) -> Result<String, Box<Response>> {
        match self.fault() {
            Fault::NoFeed => Err(Box::new(StatusCode::INTERNAL_SERVER_ERROR.into_response())),
            Fault::Redirect => {
                let elsewhere = self.url.replace("127.0.0.1", "localhost") + "/elsewhere";
                Err(Box::new((StatusCode::FOUND, [(header::LOCATION, elsewhere)]).into_response()))
            }
            Fault::Forged => Ok(self.statement(&self.other)),
            Fault::None | Fault::NoStream | Fault::HangKeys | Fault::Hang | Fault::Buffered => {
                Ok(self.statement(&self.pair))
            }
        }
    }
}

async fn jwks(State(issuer): State<Issuer>, headers: HeaderMap) -> Response {
    issuer.jwks_requests.fetch_add(1, Ordering::SeqCst);
    if headers.get(header::CACHE_CONTROL).is_some_and(|value| value == "no-cache") {
        issuer.jwks_no_cache.fetch_add(1, Ordering::SeqCst);
    }
    if matches!(issuer.fault(), Fault::Hang | Fault::HangKeys) {
        std::future::pending::<()>().await;
    }
    let keys = KeySet::new(vec![issuer.pair.public().clone()]).unwrap();
    ([(header::CONTENT_TYPE, "application/jwk-set+json")], keys.to_jwks()).into_response()
}

async fn statement(State(issuer): State<Issuer>) -> Response {
    issuer.statement_requests.fetch_add(1, Ordering::SeqCst);
    if issuer.fault() == Fault::Hang {
        std::future::pending::<()>().await;
    }
    let answer = |statement| ([(header::CONTENT_TYPE, "application/jwt")], statement).into_response();
    issuer.newest().map_or_else(|fault| *fault, answer)
}

/// An event now and whenever the clock moves; breaks when there is a fault.
async fn stream(State(issuer): State<Issuer>) -> Response {
    issuer.stream_requests.fetch_add(1, Ordering::SeqCst);
    match issuer.fault() {
        Fault::NoStream => return StatusCode::NOT_FOUND.into_response(),
        Fault::Hang => std::future::pending::<()>().await,
        Fault::Buffered => {
            let comments = stream::unfold((), |()| async {
                tokio::time::sleep(Duration::from_secs(1)).await;
                Some((Ok::<_, std::io::Error>(": still here\n\n"), ()))
            });
            return ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(comments))
                .into_response();
        }
        _ => {}
    }
    if let Err(fault) = issuer.newest() {
        return *fault;
    }
    let events = stream::unfold((issuer, 0), |(issuer, sent)| async move {
        wait_until(Duration::from_mins(1), || issuer.now() != sent || issuer.newest().is_err()).await;
        let event = issuer.newest().map(|statement| format!("event: revocations\ndata: {statement}\n\n"));
        let now = issuer.now();
        Some((event.map_err(|_| std::io::Error::other("the stream breaks")), (issuer, now)))
    });
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(events)).into_response()
}

async fn strayed(State(issuer): State<Issuer>) -> StatusCode {
    issuer.strayed.fetch_add(1, Ordering::SeqCst);
    StatusCode::NOT_FOUND
}
