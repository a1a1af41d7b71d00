use super::fetcher::Fetcher;
use super::http::Issuer;
use super::{Minutely, Running, Shared, Verifier, feed, keys};
use crate::{Checker, WhenStale};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Configures a [`Verifier`]. Created by [`Verifier::builder`].
pub struct Builder {
    issuer: String,
    address: Option<String>,
    audience: Option<String>,
    leeway_secs: u32,
    stale_limit: Duration,
    when_stale: WhenStale,
    remembered: usize,
    refresh_interval: Duration,
    allow_http: bool,
    clock: Box<dyn Fn() -> i64 + Send + Sync>,
}

impl Builder {
    pub(super) fn new(issuer: String) -> Self {
        Self {
            issuer,
            address: None,
            audience: None,
            leeway_secs: 0,
            stale_limit: Checker::STALE_LIMIT,
            when_stale: WhenStale::default(),
            remembered: Checker::REMEMBERED,
            refresh_interval: Duration::from_secs(5),
            allow_http: false,
            clock: Box::new(machine_clock),
        }
    }

    /// The audience (`aud`) of the tokens to accept. By default the issuer, which is also Doorwarden's
    /// default.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// The URL under which this service reaches the issuer, if it differs from `iss` of the tokens, such as a
    /// name inside a cluster.
    #[must_use]
    pub fn address(mut self, url: impl Into<String>) -> Self {
        self.address = Some(url.into());
        self
    }

    /// How long the feed may be silent before the [`policy`](Self::policy) applies. By default 30 seconds;
    /// the feed has a heartbeat every 5 seconds.
    #[must_use]
    pub fn stale_limit(mut self, limit: Duration) -> Self {
        self.stale_limit = limit;
        self
    }

    /// What to do with tokens while the feed is silent. By default [`WhenStale::Refuse`].
    #[must_use]
    pub fn policy(mut self, policy: WhenStale) -> Self {
        self.when_stale = policy;
        self
    }

    /// Checks `exp` and `nbf` with this many seconds of leeway, at most 60. By default none.
    #[must_use]
    pub fn leeway_secs(mut self, seconds: u32) -> Self {
        self.leeway_secs = seconds;
        self
    }

    /// The maximum number of cached verified tokens, each about 1 KiB. By default 20,000.
    #[must_use]
    pub fn remembered(mut self, tokens: usize) -> Self {
        self.remembered = tokens;
        self
    }

    /// The minimum time between two fetches of the key set because of tokens that name unknown keys, which
    /// anyone can make up. By default 5 seconds. New keys are published long before they sign, and the feed
    /// announces revoked keys.
    #[must_use]
    pub fn refresh_interval(mut self, interval: Duration) -> Self {
        self.refresh_interval = interval;
        self
    }

    /// Allows plain HTTP to an issuer on another machine. Whoever controls the network in between can then
    /// publish their own keys.
    #[must_use]
    pub fn allow_http(mut self) -> Self {
        self.allow_http = true;
        self
    }

    /// Replaces the wall clock, in seconds since 1970 UTC; for tests.
    #[must_use]
    pub fn clock(mut self, clock: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        self.clock = Box::new(clock);
        self
    }

    /// Starts to fetch the keys and to follow the feed, in three tasks of the current tokio runtime. Does not
    /// wait for the first keys; [`Verifier::ready`] does.
    ///
    /// # Errors
    /// If the URL of the issuer is not valid, or would be reached without TLS.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn build(self) -> Result<Verifier, BuildError> {
        let address = self.address.as_deref().unwrap_or(&self.issuer);
        let issuer = Issuer::parse(address, self.allow_http)?;
        let audience = self.audience.unwrap_or_else(|| self.issuer.clone());
        let checker = Checker::new(self.issuer, audience)
            .leeway_secs(self.leeway_secs)
            .remembered(self.remembered)
            .when_stale(self.stale_limit, self.when_stale);
        let shared = Arc::new(Shared {
            checker,
            issuer,
            clock: self.clock,
            refresh_interval: self.refresh_interval,
            keys: Fetcher::new(),
            statements: Fetcher::new(),
            started: Instant::now(),
            minutely: Minutely::default(),
            trouble: parking_lot::Mutex::default(),
            ready: watch::Sender::new(false),
            was_stale: AtomicBool::new(false),
        });
        let tasks = [
            tokio::spawn(keys::keep_fresh(Arc::clone(&shared))).abort_handle(),
            tokio::spawn(feed::follow(Arc::clone(&shared))).abort_handle(),
            tokio::spawn(feed::poll(Arc::clone(&shared))).abort_handle(),
        ];
        Ok(Verifier { running: Arc::new(Running { shared, tasks }) })
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that asks the machine for the time")]
fn machine_clock() -> i64 {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    since_epoch.as_secs().cast_signed()
}

/// A verifier could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The URL of the issuer is not valid.
    #[error("the issuer must be a URL: https://, a host, and perhaps a port and a path")]
    Address,
    /// The issuer would be reached without TLS.
    #[error(
        "the issuer must be reached by https, because the keys come from there. hint: allow_http, on a network that you trust"
    )]
    Insecure,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}
