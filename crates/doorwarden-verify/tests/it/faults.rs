//! An issuer that hangs, a feed that a proxy holds back, a process that was stopped, and clocks that differ.

use crate::issuer::{Fault, Issuer};
use doorwarden_testkit::wait_until;
use doorwarden_token::access;
use doorwarden_token::feed::Statement;
use doorwarden_verify::{Now, Refusal, Refused, Verifier};
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tracing_subscriber::fmt::MakeWriter;
use uuid::Uuid;

const SOON: Duration = Duration::from_secs(5);
const SESSION: Uuid = Uuid::from_u128(7);

impl Issuer {
    fn unknown(&self) -> String {
        access::sign(&self.other, &self.claims()).unwrap()
    }

    fn token_of_session(&self) -> String {
        let mut claims = self.claims();
        claims.sid = Some(SESSION);
        access::sign(&self.pair, &claims).unwrap()
    }

    fn end_session(&self) {
        *self.says.lock().unwrap() =
            Statement { sessions: vec![(SESSION, self.now())], ..Statement::default() };
        self.advance(1);
    }
}

async fn timed<T>(work: impl Future<Output = T>) -> (Duration, T) {
    let begin = Instant::now();
    let result = work.await;
    (begin.elapsed(), result)
}

#[tokio::test]
async fn requests_for_unknown_keys_bypass_every_cache() {
    let issuer = Issuer::start(Fault::None).await;
    let verifier = issuer.builder().refresh_interval(Duration::ZERO).build().unwrap();
    verifier.ready().await.unwrap();
    let before = issuer.jwks_no_cache.load(Ordering::SeqCst);
    assert_eq!(verifier.verify(&issuer.unknown()).await, Err(Refusal::UnknownKey.into()));
    assert_eq!(issuer.jwks_no_cache.load(Ordering::SeqCst), before + 1);
}

#[tokio::test]
async fn waiters_share_one_fetch_and_none_waits_longer_than_two_seconds() {
    let issuer = Issuer::start(Fault::None).await;
    let verifier = issuer.builder().refresh_interval(Duration::from_secs(1)).build().unwrap();
    verifier.ready().await.unwrap();
    let (good, unknown) = (issuer.token(), issuer.unknown());
    let before = issuer.jwks_requests.load(Ordering::SeqCst);
    issuer.set_fault(Fault::HangKeys);
    let waiters: Vec<_> = (0..8)
        .map(|_| {
            let (verifier, unknown) = (verifier.clone(), unknown.clone());
            tokio::spawn(async move { timed(verifier.verify(&unknown)).await })
        })
        .collect();
    assert!(verifier.verify(&good).await.is_ok());
    for waiter in waiters {
        let (took, refused) = waiter.await.unwrap();
        assert!(took > Duration::from_secs(1) && took < Duration::from_millis(4500), "{took:?}");
        assert_eq!(refused, Err(Refusal::UnknownKey.into()));
    }
    assert_eq!(issuer.jwks_requests.load(Ordering::SeqCst), before + 1);
    // The fetch has taken too long already; no call waits for it any more.
    assert!(timed(verifier.verify(&unknown)).await.0 < Duration::from_millis(1900));
}

#[tokio::test]
async fn statements_are_received_while_the_keys_hang() {
    let issuer = Issuer::start(Fault::None).await;
    let verifier = issuer.builder().refresh_interval(Duration::ZERO).build().unwrap();
    verifier.ready().await.unwrap();
    let token = issuer.token_of_session();
    assert!(verifier.verify(&token).await.is_ok());
    issuer.set_fault(Fault::HangKeys);
    let waiter = tokio::spawn({
        let (verifier, unknown) = (verifier.clone(), issuer.unknown());
        async move { verifier.verify(&unknown).await }
    });
    issuer.end_session();
    let is_refused = || verifier.check(&token) == Err(Refused::SessionEnded);
    assert!(wait_until(Duration::from_secs(4), is_refused).await);
    assert!(waiter.await.unwrap().is_err());
}

#[tokio::test]
async fn the_statement_of_a_silent_feed_is_fetched_before_anything_is_refused() {
    let issuer = Issuer::start(Fault::NoStream).await;
    let verifier = issuer.builder().build().unwrap();
    verifier.ready().await.unwrap();
    let (token, ended) = (issuer.token(), issuer.token_of_session());
    assert!(verifier.verify(&ended).await.is_ok());
    // As if the process had been stopped meanwhile.
    issuer.advance(45);
    issuer.end_session();
    assert_eq!(verifier.verify(&token).await.err(), None);
    assert_eq!(verifier.verify(&ended).await, Err(Refused::SessionEnded));
}

#[tokio::test]
async fn without_a_response_the_refusal_comes_within_two_seconds() {
    let issuer = Issuer::start(Fault::NoStream).await;
    let verifier = issuer.builder().build().unwrap();
    verifier.ready().await.unwrap();
    issuer.set_fault(Fault::Hang);
    issuer.advance(45);
    let (took, refused) = timed(verifier.verify(&issuer.token())).await;
    assert!(took < Duration::from_millis(4500), "{took:?}");
    assert_eq!(refused, Err(Refused::Stale));
}

#[tokio::test]
async fn where_the_stream_is_held_back_the_statement_is_fetched() {
    let issuer = Issuer::start(Fault::Buffered).await;
    let verifier = issuer.builder().build().unwrap();
    let token = issuer.token_of_session();
    assert_eq!(verifier.verify(&token).await.err(), None);
    issuer.end_session();
    assert!(wait_until(SOON, || verifier.check(&token) == Err(Refused::SessionEnded)).await);
}

#[tokio::test]
async fn with_a_stream_nothing_is_polled() {
    let issuer = Issuer::start(Fault::None).await;
    let verifier = issuer.builder().build().unwrap();
    verifier.ready().await.unwrap();
    assert!(wait_until(SOON, || issuer.stream_requests.load(Ordering::SeqCst) == 1).await);
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert!(issuer.statement_requests.load(Ordering::SeqCst) <= 2);
}

#[tokio::test]
async fn waiting_for_an_issuer_ends_with_a_hint() {
    let issuer = Issuer::start(Fault::Hang).await;
    let verifier = issuer.builder().build().unwrap();
    let error = verifier.ready_within(Duration::from_millis(100)).await.unwrap_err().to_string();
    assert!(error.contains(&issuer.url) && error.contains("100ms") && error.contains("hint: "), "{error}");
    let (took, result) = timed(verifier.ready()).await;
    assert!(result.is_err() && took < Duration::from_secs(9), "{took:?}");
}

#[tokio::test]
async fn a_clock_that_is_set_back_hides_no_silence() {
    let issuer = Issuer::start(Fault::None).await;
    let verifier = issuer.builder().stale_limit(Duration::from_secs(1)).build().unwrap();
    verifier.ready().await.unwrap();
    let token = issuer.token();
    assert!(verifier.verify(&token).await.is_ok());
    issuer.set_fault(Fault::NoFeed);
    issuer.advance(-3600);
    assert!(wait_until(SOON, || verifier.status().is_stale).await);
    assert!(verifier.status().silence_secs > Some(1));
    // A token is not accepted for an hour longer because it was seen before, either.
    assert_eq!(verifier.check(&token), Err(Refusal::IssuedInFuture.into()));
}

#[tokio::test]
async fn a_late_statement_is_as_old_as_its_iat() {
    let issuer = Issuer::start(Fault::NoFeed).await;
    issuer.ahead.store(-85, Ordering::SeqCst);
    issuer.set_fault(Fault::None);
    let verifier = issuer.builder().build().unwrap();
    verifier.ready().await.unwrap();
    assert!(verifier.verify(&issuer.token()).await.is_ok());
    issuer.set_fault(Fault::NoFeed);
    issuer.advance(5);
    assert!(!verifier.status().is_stale);
    issuer.advance(1);
    assert!(verifier.status().is_stale);
}

#[test]
fn silence_is_measured_by_the_clock_that_says_more() {
    let checker = doorwarden_verify::Checker::new("https://id.example", "https://id.example");
    let at = |unix_secs, steady| Now { unix_secs, steady: Some(Duration::from_secs(steady)) };
    assert_eq!(checker.silence_secs(at(1000, 0)), None);
    let pair = doorwarden_token::KeyPair::generate(doorwarden_token::Algorithm::EdDsa).unwrap();
    let keys = doorwarden_token::KeySet::new(vec![pair.public().clone()]).unwrap();
    checker.set_keys(&keys.to_jwks()).unwrap();
    let statement = Statement {
        iss: "https://id.example".into(),
        iat: 1000,
        exp: 1030,
        window: 300,
        ..Statement::default()
    };
    checker.add_statement(&doorwarden_token::feed::sign_statement(&pair, &statement), at(1000, 500)).unwrap();
    for (now, silence) in [(at(1010, 505), 10), (at(1005, 510), 10), (at(0, 531), 31), (at(1031, 0), 31)] {
        assert_eq!(checker.silence_secs(now), Some(silence));
        assert_eq!(checker.is_stale(now), silence > 30);
    }
}

/// What is logged, as text.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Log {
    /// Captures the log of this thread for as long as the guard lives.
    fn start() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false).finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn lines_with(&self, text: &str) -> usize {
        let log = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        log.lines().filter(|line| line.contains(text)).count()
    }
}

#[tokio::test]
async fn a_wrong_configuration_is_logged_once_a_minute() {
    let (log, _guard) = Log::start();
    let issuer = Issuer::start(Fault::None).await;
    let verifier = issuer.builder().audience("https://api.example").build().unwrap();
    verifier.ready().await.unwrap();
    let refuse = async |verifier: &Verifier, change: &dyn Fn(&mut access::AccessClaims)| {
        let mut claims = issuer.claims();
        claims.aud = vec!["https://api.example".to_owned()];
        change(&mut claims);
        for _ in 0..3 {
            assert!(verifier.verify(&access::sign(&issuer.pair, &claims).unwrap()).await.is_err());
        }
    };
    refuse(&verifier, &|claims| claims.aud = vec!["https://other.example".to_owned()]).await;
    refuse(&verifier, &|claims| claims.iss = "https://id.example".to_owned()).await;
    refuse(&verifier, &|claims| claims.iat += 100).await;
    for said in [
        r#"the audience "https://api.example" was expected, and ["https://other.example"] came"#,
        r#"was expected, and "https://id.example" came"#,
        "it is of 100 s from now: clocks differ by that or more",
    ] {
        assert_eq!(log.lines_with(said), 1, "{said}");
    }
}

#[tokio::test]
async fn an_issuer_of_another_name_is_logged() {
    let (log, _guard) = Log::start();
    let issuer = Issuer::start(Fault::None).await;
    let verifier =
        Verifier::builder("https://id.example").address(&issuer.url).clock(|| crate::issuer::NOW).build();
    let error = verifier.unwrap().ready_within(Duration::from_secs(1)).await.unwrap_err().to_string();
    let said = format!("the issuer \"https://id.example\" was expected, and {:?} came", issuer.url);
    assert!(error.contains(&said), "{error}");
    assert!(log.lines_with(&said) > 0);
}

#[tokio::test]
async fn clocks_that_differ_are_logged() {
    for (ahead, said) in [
        (40, "clocks differ by about 40 s: this machine is behind"),
        (-40, "clocks differ by about 40 s: this machine is ahead of"),
        (100, "clocks differ by 100 s"),
    ] {
        let (log, _guard) = Log::start();
        let issuer = Issuer::start(Fault::None).await;
        issuer.ahead.store(ahead, Ordering::SeqCst);
        let verifier = issuer.builder().build().unwrap();
        assert_eq!(verifier.ready_within(Duration::from_secs(2)).await.is_ok(), ahead < 60);
        assert!(wait_until(SOON, || log.lines_with(said) > 0).await, "{said}");
    }
}
