//! Checks whether the audit log is sealed.

use super::Report;
use crate::output::count;
use doorwarden::core::store::{Store, StoreError};
use doorwarden::core::time::{Clock, SystemClock};
use std::time::Duration;

const CHECK: &str = "audit log";

/// How long an event may wait for its seal without a warning.
const LONG: Duration = Duration::from_mins(1);

pub(super) async fn check(store: &dyn Store, report: &mut Report) -> Result<(), StoreError> {
    let state = store.audit_state().await?;
    let age = state.unsealed_since.map_or(Duration::ZERO, |since| SystemClock.now().since(since));
    let sealed = count(u64::try_from(state.head.total).unwrap_or(0), "event");
    if age > LONG {
        report.warning(
            CHECK,
            format!("{} not sealed, the oldest for {} s", count(state.unsealed, "event"), age.as_secs()),
            "start the service; if it is running, its log says what is wrong, and so may `doorwarden audit verify`",
        );
    } else {
        report.ok(CHECK, format!("{sealed} sealed, up to seal {}", state.head.number));
    }
    Ok(())
}
