//! Checks whether the limits can be counted where they are to be.

use super::Report;
use crate::config::{Config, LimitStore};
use doorwarden_redis::RedisBuckets;
use std::time::Duration;
use tokio::time::timeout;

const CHECK: &str = "limits";

/// How long the store may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn check(config: &Config, report: &mut Report) {
    let LimitStore::Redis(url) = &config.limit_store else { return };
    let buckets = RedisBuckets::new(url);
    let trouble = match timeout(PATIENCE, buckets.ping()).await {
        Ok(Ok(())) => return report.ok(CHECK, "the server of `limits.store` answers"),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {} s", PATIENCE.as_secs()),
    };
    let text = format!("the server of `limits.store` does not work: {trouble}");
    report.warning(
        CHECK,
        text,
        "check the URL, and that the server runs; each instance counts alone meanwhile",
    );
}
