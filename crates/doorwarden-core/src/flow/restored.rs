//! What must follow when a database was restored to an earlier state: later changes are unknown there, so
//! ended sessions must not become live again and ids must not be reused.

use crate::audit::{Effects, Origin};
use crate::event::{Event, Found};
use crate::store::{Restored, Store, StoreError};
use crate::time::Timestamp;

/// Number of ids that are skipped: users whom the copy does not contain may have had them, and their tokens
/// may still exist.
pub const SKIPPED_IDS: u32 = 1_000_000;

/// Makes a database that was restored from a copy safe to work with, at `now`, all at once: revokes every
/// signing key, skips ids, and unless `keep_sessions` ends every session. To be called before the service
/// works on it.
///
/// # Errors
/// If the database operation failed; then nothing was changed.
pub async fn restored(
    store: &dyn Store,
    now: Timestamp,
    keep_sessions: bool,
    origin: &Origin,
) -> Result<Restored, StoreError> {
    let effects = Effects::new(now, origin, [Event::Restored { keys: 0, sessions: 0 }]);
    let done = store.restored(now, SKIPPED_IDS, keep_sessions, effects.clone()).await?;
    effects.with(Found::Restored { keys: done.keys, sessions: done.sessions }).log();
    Ok(done)
}
