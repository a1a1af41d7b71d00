//! What is counted, and how Prometheus reads it.

use crate::auth::Auth;
use http::StatusCode;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds of the buckets, in microseconds.
const BOUNDS: [u64; 11] = [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 50_000, 250_000, 1_000_000, 5_000_000];

/// Counters of requests. Plain atomics, and few: a family with text labels costs more than checking a token.
#[derive(Debug, Default)]
pub struct Metrics {
    begun: AtomicU64,
    /// Begun, and left by the client before the end.
    abandoned: AtomicU64,
    /// By the class of the status and the time that it took.
    answered: [[AtomicU64; BOUNDS.len() + 1]; 5],
    micros: AtomicU64,
    panics: AtomicU64,
}

impl Metrics {
    /// Counts a request; the answer is its number.
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

    pub(crate) fn panicked(&self) {
        self.panics.fetch_add(1, Relaxed);
    }
}

impl Auth {
    /// The metrics in Prometheus' text format. Not a route of [`router`](Self::router): serve it where only you can read it.
    pub fn render_metrics(&self) -> String {
        let mut text = String::with_capacity(4096);
        self.requests(&mut text);
        let pool = self.context().pool.stats();
        let live = self.context().live.stats();
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
        text
    }

    fn requests(&self, text: &mut String) {
        let metrics = self.metrics();
        let _ = writeln!(
            text,
            "# HELP doorwarden_requests_total Requests answered.\n# TYPE doorwarden_requests_total counter"
        );
        for (class, counters) in metrics.answered.iter().enumerate() {
            let count: u64 = counters.iter().map(|counter| counter.load(Relaxed)).sum();
            let _ = writeln!(text, "doorwarden_requests_total{{status=\"{}xx\"}} {count}", class + 1);
        }
        let name = "doorwarden_request_seconds";
        let _ = writeln!(text, "# HELP {name} Time to answer.\n# TYPE {name} histogram");
        let mut count = 0;
        for index in 0..=BOUNDS.len() {
            count += metrics.answered.iter().map(|buckets| buckets[index].load(Relaxed)).sum::<u64>();
            let bound = BOUNDS.get(index).map_or("+Inf".to_owned(), |b| (float(*b) / 1e6).to_string());
            let _ = writeln!(text, "{name}_bucket{{le=\"{bound}\"}} {count}");
        }
        let seconds = float(metrics.micros.load(Relaxed)) / 1e6;
        let _ = writeln!(text, "{name}_sum {seconds}\n{name}_count {count}");
        let ended = count + metrics.abandoned.load(Relaxed);
        let in_flight = metrics.begun.load(Relaxed).saturating_sub(ended);
        let panics = metrics.panics.load(Relaxed);
        for (name, kind, help, value) in [
            ("doorwarden_panics_total", "counter", "Requests that panicked.", panics),
            ("doorwarden_requests_in_flight", "gauge", "Requests being answered.", in_flight),
        ] {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus counts in floats")]
fn float(value: u64) -> f64 {
    value as f64
}
