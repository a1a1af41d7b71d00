//! What must follow when a database was set back to an earlier state: what happened since then is forgotten there, and must not come back
//! to life or be used again.

use crate::audit::{Effects, Origin};
use crate::event::{Event, Found};
use crate::store::{Restored, Store, StoreError};
use crate::time::Timestamp;

/// So many ids are never given: users whom the copy does not know may have had them, and tokens of theirs may still be about.
pub const SKIPPED_IDS: u32 = 1_000_000;

/// Makes a database that was restored from a copy safe to work with, at `now`, all at once: revokes every signing key, skips ids, and
/// unless `keep_sessions` ends every session. To be called before the service works on it.
///
/// # Errors
/// If the database does not do it; then nothing was done.
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
