//! The revocation feed: a signed statement of what was revoked within the longest time that an access token can live, for
//! services that verify access tokens without asking. `docs/revocation-feed.md` specifies it.

use crate::context::Context;
use crate::keys::SignError;
use crate::store::{Revocations, StoreError};
use crate::time::Timestamp;
use crate::token::feed::{MAX_BYTES, Statement};
use bytes::Bytes;
use parking_lot::RwLock;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use uuid::Uuid;

/// A new statement is made so often, also if nothing was revoked: who has a statement knows that he has heard everything until
/// its `iat`.
pub const HEARTBEAT: Duration = Duration::from_secs(5);

/// How long a statement may be relied upon: its `exp` is that much after its `iat`.
pub const RELIABLE: Duration = Duration::from_secs(30);

/// Between two statements lies at least so much time, however many sessions end.
pub const SPACING: Duration = Duration::from_millis(50);

/// Makes statements on demand and keeps the newest.
#[derive(Debug, Default)]
pub struct RevocationFeed {
    newest: RwLock<Option<Arc<Published>>>,
    making: Mutex<()>,
}

/// A signed statement.
#[derive(Debug)]
pub struct Published {
    /// The statement, a compact JWS.
    pub statement: Bytes,
    /// Names exactly this statement, for `ETag`.
    pub etag: String,
    at: Timestamp,
    content: Content,
    /// When it was last found to be up to date.
    checked: RwLock<Checked>,
}

#[derive(Debug, PartialEq)]
struct Content {
    revocations: Revocations,
    keys: Vec<String>,
}

#[derive(Debug, Clone, Copy)]
struct Checked {
    at: Instant,
    /// The live view's counter of revocations then.
    counter: u64,
}

/// There is no statement.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FeedError {
    /// It cannot be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// What was revoked cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The statement as of now: it has everything that this instance has revoked or heard of, and is at most five seconds old. Whoever asks
/// within 50 ms of the last statement waits until they are over. While changes are not heard, it is at most 50 ms old.
///
/// # Errors
/// [`FeedError`].
pub async fn current(context: &Context) -> Result<Arc<Published>, FeedError> {
    if let Some(published) = context.feed.fresh(context) {
        return Ok(published);
    }
    let _one_at_a_time = context.feed.making.lock().await;
    if let Some(published) = context.feed.fresh(context) {
        return Ok(published);
    }
    let newest = context.feed.newest.read().clone();
    if let Some(newest) = &newest {
        let age = newest.checked.read().at.elapsed();
        tokio::time::sleep(SPACING.saturating_sub(age)).await;
    }

    // Before the database is read: what is revoked meanwhile makes the next statement.
    let checked = Checked { at: Instant::now(), counter: context.live.watch().borrow().revocations };
    let now = context.now();
    let window = context.settings.access.longest();
    let revocations = context.store.revocations(now.before(window)).await?;
    let content = Content { revocations, keys: context.keys.revoked(now) };
    match newest {
        Some(newest) if newest.content == content && newest.is_young(now) => {
            *newest.checked.write() = checked;
            Ok(newest)
        }
        _ => {
            let published = Arc::new(publish(context, content, now, window, checked)?);
            *context.feed.newest.write() = Some(Arc::clone(&published));
            Ok(published)
        }
    }
}

fn publish(
    context: &Context,
    content: Content,
    now: Timestamp,
    window: Duration,
    checked: Checked,
) -> Result<Published, FeedError> {
    let Revocations { sessions, users, .. } = &content.revocations;
    let statement = Statement {
        iss: context.settings.access.issuer.clone(),
        iat: now.as_seconds(),
        exp: now.after(RELIABLE).as_seconds(),
        window: window.as_secs().cast_signed(),
        sessions: sessions.iter().map(|(id, at)| (id.0, at.as_seconds())).collect(),
        // The first second whose tokens count again, as `authenticate` has it.
        users: users.iter().map(|(id, after)| (id.0, after.as_seconds() + 1)).collect(),
        all_of: Vec::new(),
        before: None,
        keys: content.keys.clone(),
    };
    let statement = context.keys.sign_statement(&statement, now)?;
    if statement.len() > MAX_BYTES {
        tracing::error!(
            bytes = statement.len(),
            sessions = content.revocations.sessions.len(),
            "more was revoked than a statement may hold: services that verify offline refuse it. \
             hint: revoke the signing key, which ends every access token at once"
        );
    }
    let etag = etag(statement.as_bytes());
    Ok(Published { statement: statement.into(), etag, at: now, content, checked: RwLock::new(checked) })
}

/// A name for exactly these bytes, for `ETag`: the first 16 bytes of their SHA-256 in hexadecimal digits.
pub fn etag(bytes: &[u8]) -> String {
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    digest.first_chunk().map(|half| Uuid::from_bytes(*half).simple().to_string()).unwrap_or_default()
}

impl RevocationFeed {
    /// The newest statement if nothing can have happened since.
    fn fresh(&self, context: &Context) -> Option<Arc<Published>> {
        let newest = self.newest.read().clone()?;
        let checked = *newest.checked.read();
        let trusted = if context.live.memory(context.now()).is_some() { HEARTBEAT } else { SPACING };
        let is_fresh = checked.counter == context.live.watch().borrow().revocations
            && checked.at.elapsed() < trusted
            && newest.is_young(context.now());
        is_fresh.then_some(newest)
    }
}

impl Published {
    /// Whether no heartbeat is due at `now`.
    fn is_young(&self, now: Timestamp) -> bool {
        self.at <= now && now.since(self.at) < HEARTBEAT
    }
}
