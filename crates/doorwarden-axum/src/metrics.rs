//! Metrics, in the text format of Prometheus.

use crate::error::ApiError;
use crate::settings::Endpoint;
use doorwarden_core::context::Context;
use doorwarden_core::tally::{Counted, Tally};
use http::StatusCode;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds of the histogram's buckets, in microseconds.
const BOUNDS: [u64; 11] = [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 50_000, 250_000, 1_000_000, 5_000_000];

/// The statuses that have their own counters; the last place is for all others.
const STATUSES: [&str; 16] = [
    "200", "201", "204", "304", "400", "401", "403", "404", "405", "408", "413", "415", "429", "500", "503",
    "other",
];

/// The outcome of a flow: `ok`, or the code of its error. The last place is for all others.
const OUTCOMES: [&str; 30] = [
    "ok",
    "invalid",
    "wrong_credentials",
    "no_active_account",
    "not_authenticated",
    "token_not_valid",
    "token_expired",
    "session_ended",
    "token_without_session",
    "user_not_found",
    "user_inactive",
    "refresh_reused",
    "permission_denied",
    "csrf_failed",
    "refresh_cookie_missing",
    "refresh_cookie_cross_site",
    "not_found",
    "parse_error",
    "unsupported_media_type",
    "unsupported_content_coding",
    "invalid_request",
    "invalid_scope",
    "too_large",
    "timeout",
    "busy",
    "database_unavailable",
    "stopping",
    "too_many_streams",
    "error",
    "other",
];

/// One of [`OUTCOMES`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outcome(usize);

impl Outcome {
    const OK: Self = Self(0);

    fn named(name: &str) -> Self {
        Self(OUTCOMES.iter().position(|known| *known == name).unwrap_or(OUTCOMES.len() - 1))
    }

    /// The outcome of a response that the endpoint produced itself.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        match status.as_u16() {
            ..400 => Self::OK,
            400 => Self::named("invalid"),
            401 => Self::named("not_authenticated"),
            403 => Self::named("permission_denied"),
            503 => Self::named("database_unavailable"),
            _ => Self::named("other"),
        }
    }

    pub(crate) fn of_error(error: &ApiError) -> Self {
        match error.code() {
            _ if error.is_oauth() => Self::of_status(error.status()),
            _ if error.has_complaint("authorization") => Self::named("wrong_credentials"),
            code => Self::named(code),
        }
    }
}

/// The outcomes of one operation's requests, a counter for each of [`OUTCOMES`].
#[derive(Debug, Default)]
pub(crate) struct Outcomes([AtomicU64; OUTCOMES.len()]);

impl Outcomes {
    pub(crate) fn count(&self, outcome: Outcome) {
        self.0[outcome.0].fetch_add(1, Relaxed);
    }
}

#[derive(Debug)]
struct ByEndpoint([[AtomicU64; STATUSES.len()]; Endpoint::ALL.len()]);

impl Default for ByEndpoint {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Default::default()))
    }
}

/// Counters of requests. Few plain atomics: a family with text labels costs more than verifying a token.
#[derive(Debug, Default)]
pub struct Metrics {
    begun: AtomicU64,
    /// Requests that the client abandoned before the response.
    abandoned: AtomicU64,
    /// Requests by the class of their status and by duration.
    answered: [[AtomicU64; BOUNDS.len() + 1]; 5],
    micros: AtomicU64,
    panics: AtomicU64,
    /// By endpoint and status, in the orders of [`Endpoint::ALL`] and [`STATUSES`].
    by_endpoint: ByEndpoint,
    /// By the stable name of the operation. Locked only by whoever makes a router or reads the metrics.
    flows: Mutex<BTreeMap<&'static str, Arc<Outcomes>>>,
}

impl Metrics {
    /// Counts a request and returns its number.
    pub(crate) fn begin(&self) -> u64 {
        self.begun.fetch_add(1, Relaxed)
    }

    pub(crate) fn end(&self, status: Option<StatusCode>, took: Duration) {
        let Some(status) = status else {
            self.abandoned.fetch_add(1, Relaxed);
            return;
        };
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.iter().position(|bound| micros <= *bound).unwrap_or(BOUNDS.len());
        self.answered[class][bucket].fetch_add(1, Relaxed);
        self.micros.fetch_add(micros, Relaxed);
    }

    /// Counts the response of an endpoint.
    pub(crate) fn answered(&self, endpoint: Endpoint, status: StatusCode) {
        let place = STATUSES.iter().position(|known| *known == status.as_str()).unwrap_or(STATUSES.len() - 1);
        self.by_endpoint.0[endpoint as usize][place].fetch_add(1, Relaxed);
    }

    /// The counters of the operation with this stable name.
    pub(crate) fn outcomes(&self, operation: &'static str) -> Arc<Outcomes> {
        Arc::clone(self.flows.lock().entry(operation).or_default())
    }

    pub(crate) fn panicked(&self) {
        self.panics.fetch_add(1, Relaxed);
    }

    /// The metrics in Prometheus' text format, including the state of the components that the flows use.
    pub(crate) fn render(&self, context: &Context) -> String {
        let mut text = String::with_capacity(4096);
        self.requests(&mut text);
        self.endpoints(&mut text);
        let pool = context.pool.stats();
        let live = context.live.stats();
        let mut one = |name: &str, kind: &str, help: &str, value: f64| {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
        };
        one("doorwarden_password_jobs_total", "counter", "Password hashes computed.", float(pool.total));
        one(
            "doorwarden_password_rejected_total",
            "counter",
            "Password hashes refused because of load.",
            float(pool.rejected),
        );
        one("doorwarden_password_queued", "gauge", "Password hashes that wait.", float(pool.queued as u64));
        one("doorwarden_password_busy", "gauge", "Hashing threads at work.", float(pool.busy as u64));
        one(
            "doorwarden_password_seconds",
            "gauge",
            "Recent mean time of a password hash.",
            pool.mean.as_secs_f64(),
        );
        one("doorwarden_live_users", "gauge", "Users in memory.", float(live.users as u64));
        one("doorwarden_live_sessions", "gauge", "Sessions in memory.", float(live.sessions as u64));
        one(
            "doorwarden_live_connected",
            "gauge",
            "1 while changes are heard.",
            float(u64::from(live.connected)),
        );
        background(&mut text, &context.tally);
        text
    }

    /// Only series that are not 0: most combinations of labels never occur.
    fn endpoints(&self, text: &mut String) {
        let name = "doorwarden_responses_total";
        let _ = writeln!(text, "# HELP {name} Answers of an endpoint, by status.\n# TYPE {name} counter");
        for (endpoint, counters) in Endpoint::ALL.iter().zip(&self.by_endpoint.0) {
            for (status, counter) in STATUSES.iter().zip(counters) {
                let count = counter.load(Relaxed);
                if count > 0 {
                    let endpoint = endpoint.label();
                    let _ = writeln!(text, "{name}{{endpoint=\"{endpoint}\",status=\"{status}\"}} {count}");
                }
            }
        }
        let name = "doorwarden_outcomes_total";
        let _ = writeln!(text, "# HELP {name} How operations ended.\n# TYPE {name} counter");
        for (flow, outcomes) in &*self.flows.lock() {
            for (outcome, counter) in OUTCOMES.iter().zip(&outcomes.0) {
                let count = counter.load(Relaxed);
                if count > 0 {
                    let _ = writeln!(text, "{name}{{flow=\"{flow}\",outcome=\"{outcome}\"}} {count}");
                }
            }
        }
    }

    fn requests(&self, text: &mut String) {
        let _ = writeln!(
            text,
            "# HELP doorwarden_requests_total Requests answered.\n# TYPE doorwarden_requests_total counter"
        );
        for (class, counters) in self.answered.iter().enumerate() {
            let count: u64 = counters.iter().map(|counter| counter.load(Relaxed)).sum();
            let _ = writeln!(text, "doorwarden_requests_total{{status=\"{}xx\"}} {count}", class + 1);
        }
        let name = "doorwarden_request_seconds";
        let _ = writeln!(text, "# HELP {name} Time to answer.\n# TYPE {name} histogram");
        let mut count = 0;
        for index in 0..=BOUNDS.len() {
            count += self.answered.iter().map(|buckets| buckets[index].load(Relaxed)).sum::<u64>();
            let bound = BOUNDS.get(index).map_or("+Inf".to_owned(), |b| (float(*b) / 1e6).to_string());
            let _ = writeln!(text, "{name}_bucket{{le=\"{bound}\"}} {count}");
        }
        let seconds = float(self.micros.load(Relaxed)) / 1e6;
        let _ = writeln!(text, "{name}_sum {seconds}\n{name}_count {count}");
        let ended = count + self.abandoned.load(Relaxed);
        let in_flight = self.begun.load(Relaxed).saturating_sub(ended);
        let panics = self.panics.load(Relaxed);
        for (name, kind, help, value) in [
            ("doorwarden_panics_total", "counter", "Requests that panicked.", panics),
            ("doorwarden_requests_in_flight", "gauge", "Requests being answered.", in_flight),
        ] {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
        }
    }
}

/// What the background tasks did, and what the limits refused.
fn background(text: &mut String, tally: &Tally) {
    let head = |text: &mut String, name: &str, help: &str| {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} counter");
    };
    let attempts = [
        (
            "doorwarden_mails_total",
            "Attempts to send a mail, by how they ended.",
            [
                ("sent", Counted::MailSent),
                ("deferred", Counted::MailDeferred),
                ("given_up", Counted::MailGivenUp),
            ],
        ),
        (
            "doorwarden_webhooks_total",
            "Attempts to deliver a webhook, by how they ended.",
            [
                ("delivered", Counted::WebhookDelivered),
                ("deferred", Counted::WebhookDeferred),
                ("given_up", Counted::WebhookGivenUp),
            ],
        ),
    ];
    for (name, help, outcomes) in attempts {
        head(text, name, help);
        for (outcome, counted) in outcomes {
            let _ = writeln!(text, "{name}{{outcome=\"{outcome}\"}} {}", tally.count(counted));
        }
    }
    for (name, help, counted) in [
        ("doorwarden_audit_sealed_total", "Events of the audit log sealed.", Counted::EventSealed),
        (
            "doorwarden_audit_seal_failures_total",
            "Attempts to seal the audit log that failed.",
            Counted::SealFailed,
        ),
    ] {
        head(text, name, help);
        let _ = writeln!(text, "{name} {}", tally.count(counted));
    }
    let name = "doorwarden_throttled_total";
    head(text, name, "Requests refused because too many came before them, by limit.");
    for (limit, count) in tally.throttled() {
        let _ = writeln!(text, "{name}{{limit=\"{limit}\"}} {count}");
    }
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus counts in floats")]
fn float(value: u64) -> f64 {
    value as f64
}
