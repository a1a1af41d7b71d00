//! Whether this machine's clock agrees with the database's. What deletes by the clock must not do so by one
//! that is wrong: an instance that is two months ahead would delete every session, and the keys that the
//! others sign with.

use crate::store::{Store, StoreError};
use crate::time::Clock;
use std::time::Duration;

/// Maximum difference of the clocks.
pub const TOLERATED: Duration = Duration::from_secs(30);

/// How much a clock differs from the database's; zero if the database has none of its own.
///
/// # Errors
/// If the database does not respond.
pub async fn skew(store: &dyn Store, clock: &dyn Clock) -> Result<Duration, StoreError> {
    let before = clock.now();
    let theirs = store.facts().await?.now;
    let after = clock.now();
    // The database's clock was read at some moment between the two.
    Ok(theirs.map_or(Duration::ZERO, |theirs| theirs.since(after).max(before.since(theirs))))
}

/// Whether anything may be deleted because its time is over. Says so if not. A clock that is set by hand is
/// right by definition.
pub(crate) async fn may_delete(store: &dyn Store, clock: &dyn Clock) -> Result<bool, StoreError> {
    if !clock.is_machines() {
        return Ok(true);
    }
    let skew = skew(store, clock).await?;
    if skew > TOLERATED {
        tracing::error!(
            seconds = skew.as_secs(),
            hint = "let both follow a time server",
            "this machine's clock differs from the database's: nothing is deleted"
        );
    }
    Ok(skew <= TOLERATED)
}
