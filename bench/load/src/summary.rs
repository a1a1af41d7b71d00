use crate::job::Job;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What was measured.
#[derive(Debug, Default)]
pub struct Samples {
    /// Nanoseconds of every 2xx response.
    pub good: Vec<u64>,
    /// The number of responses per status; 0: the connection was lost.
    pub statuses: BTreeMap<u16, u64>,
}

impl Samples {
    pub fn count(&mut self, status: u16, nanos: u64) {
        *self.statuses.entry(status).or_default() += 1;
        if (200..300).contains(&status) {
            self.good.push(nanos);
        }
    }

    pub fn add(&mut self, mut other: Self) {
        self.good.append(&mut other.good);
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
    }
}

/// Requests per second and latency percentiles of the 2xx responses, and the number of responses per status.
pub fn of(job: &Job, mut samples: Samples) -> Value {
    samples.good.sort_unstable();
    let count = samples.good.len();
    let at = |per_mille: usize| {
        let place = (count * per_mille / 1000).min(count.saturating_sub(1));
        samples.good.get(place).map(|nanos| *nanos as f64 / 1e6)
    };
    json!({
        "per_second": count as f64 / job.seconds,
        "p50_ms": at(500), "p90_ms": at(900), "p99_ms": at(990), "p999_ms": at(999), "max_ms": at(1000),
        "statuses": samples.statuses,
    })
}
