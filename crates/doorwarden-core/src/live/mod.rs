//! The live cache of users, permissions and sessions. Filled on demand and kept current by the store's change
//! feed, so that a request needs no database read and a revocation takes effect in less than a second.
//!
//! - While the feed is connected, the cache holds what the database holds, at most 100 ms late, whoever
//!   changed it.
//! - While the feed is disconnected, nothing is cached and every look-up reads the database.
//! - A process that was stopped for a while does not know what it has missed: the cache is used only within
//!   [`LEASE`] of the last read of the change log.
//! - What this process itself wrote is visible to it at once: flows call [`LiveView::forget`] after their
//!   write.

mod cache;
mod lease;

pub use lease::LEASE;

use crate::session::{Session, SessionId};
use crate::settings::LiveSettings;
use crate::store::{Change, ChangeSink, Look, Store, StoreError};
use crate::time::{Clock, Timestamp};
use crate::user::{Account, User, UserId};
use cache::Cache;
use lease::Lease;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;
use tokio::sync::watch;

/// When the generation of a user enters the next span of this many, the user's sessions are dropped: half of
/// what [`Owner`] can tell apart.
const SPAN: i64 = 1024;

/// Beyond this many unwritten sessions, times of use are dropped, so that memory stays bounded.
const MOST_SEEN: usize = 100_000;

/// A user in the live cache.
#[derive(Debug)]
pub struct LiveUser {
    /// The user, with groups and permissions.
    pub account: Account,
    /// The rendered account (the response of `GET /me`), rendered once per change, not once per request.
    pub rendered: OnceLock<bytes::Bytes>,
}

/// A session in the live cache: 16 bytes, because there are many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveSession {
    owner: Owner,
    /// When the session expires, in seconds since 1970; 0 if it has ended or never was.
    expires: u32,
    /// When the session was last used, in seconds since 1970, at most [`Session::SEEN_RESOLUTION`] late.
    last_seen: u32,
}

/// A user and a generation of their sessions in eight bytes: 53 bits are the id, and 11 the lower bits of the
/// generation. [`LiveView::user`] ensures that no session is cached for so long that the upper ones matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Owner(u64);

impl Owner {
    const ID_BITS: u32 = 53;

    /// `None` for an id that no token can name: JSON's numbers are exact up to 2^53 - 1.
    fn of(user: UserId, generation: i64) -> Option<Self> {
        let id = u64::try_from(user.0).ok().filter(|id| id >> Self::ID_BITS == 0)?;
        Some(Self(generation.cast_unsigned() << Self::ID_BITS | id))
    }
}

/// Seconds since 1970 as they are kept; what lies before or beyond them is their first or last.
fn kept_seconds(seconds: i64) -> u32 {
    u32::try_from(seconds.max(0)).unwrap_or(u32::MAX)
}

impl LiveSession {
    /// A session that is not live.
    const ENDED: Self = Self { owner: Owner(0), expires: 0, last_seen: 0 };

    fn of(session: Option<&Session>) -> Self {
        let Some(session) = session.filter(|session| session.ended.is_none()) else { return Self::ENDED };
        let Some(owner) = Owner::of(session.user, session.generation) else { return Self::ENDED };
        let seconds = |at: Timestamp| kept_seconds(at.as_seconds());
        Self { owner, expires: seconds(session.expires_at), last_seen: seconds(session.last_seen_at) }
    }

    /// Whether the session belongs to this user and is valid for the cached state of the user: no end of all
    /// of their sessions came since.
    pub fn counts_for(&self, user: &User) -> bool {
        Owner::of(user.id, user.sessions_generation) == Some(self.owner)
    }

    /// Whether the session is live at `now` (seconds since 1970), and was used within `idle`.
    pub fn is_live(&self, now: i64, idle: Option<Duration>) -> bool {
        let used = i64::from(self.last_seen);
        now < i64::from(self.expires)
            && idle.is_none_or(|limit| now.saturating_sub(used) <= limit.as_secs().cast_signed())
    }
}

/// See the [module](self).
pub struct LiveView {
    store: Arc<dyn Store>,
    users: Cache<UserId, Option<Arc<LiveUser>>>,
    sessions: Cache<SessionId, LiveSession>,
    /// When sessions were last used, in seconds since 1970, until it is written.
    seen: Mutex<HashMap<SessionId, u32>>,
    /// Of users whose generation is high: in which span of [`SPAN`] generations it was lately.
    spans: Mutex<HashMap<UserId, i64>>,
    connected: AtomicBool,
    lease: Lease,
    clock: Arc<dyn Clock>,
    changes: watch::Sender<Counters>,
}

/// How often something changed that others than the view follow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Changes of the signing keys.
    pub keys: u64,
    /// Ended sessions and signed out users.
    pub revocations: u64,
}

/// What the view holds, for metrics.
#[derive(Debug, Clone, Copy)]
pub struct LiveStats {
    /// Users in the cache.
    pub users: usize,
    /// Sessions in the cache.
    pub sessions: usize,
    /// Whether the change feed is connected.
    pub connected: bool,
}

impl LiveView {
    /// A cache of this store, which follows its changes from now on until the store is closed or the cache
    /// is dropped.
    pub fn start(store: &Arc<dyn Store>, clock: Arc<dyn Clock>, settings: LiveSettings) -> Arc<Self> {
        let view = Self::detached(store, Arc::clone(&clock), settings);
        store.follow(Arc::new(Following { view: Arc::downgrade(&view), clock }));
        view
    }

    /// A view that follows nothing, and so keeps nothing: every look-up reads the database.
    pub fn detached(store: &Arc<dyn Store>, clock: Arc<dyn Clock>, settings: LiveSettings) -> Arc<Self> {
        Arc::new(Self {
            users: Cache::new(settings.users, Option::is_some),
            sessions: Cache::new(settings.sessions, |_| true),
            seen: Mutex::default(),
            spans: Mutex::default(),
            connected: AtomicBool::new(false),
            lease: Lease::default(),
            clock,
            changes: watch::Sender::new(Counters::default()),
            store: Arc::clone(store),
        })
    }

    /// What is in memory, if it may be used at `now`; called once per request.
    pub fn memory(&self, now: Timestamp) -> Option<Memory<'_>> {
        self.lease.is_fresh(Look::at(self.clock.uptime(), now)).then_some(Memory(self))
    }

    /// The user with this id; `None` if there is no such user.
    pub async fn user(&self, id: UserId) -> Result<Option<Arc<LiveUser>>, StoreError> {
        let fresh = self.memory(self.clock.now()).is_some();
        self.users
            .get_or_load(id, fresh, async {
                let account = self.store.account(id).await?;
                if let Some(account) = &account {
                    self.entered(id, account.user.sessions_generation / SPAN);
                }
                Ok(account.map(|account| Arc::new(LiveUser { account, rendered: OnceLock::new() })))
            })
            .await
    }

    /// Records in which span the generation of a user is, and drops the user's sessions if the span is new.
    fn entered(&self, user: UserId, span: i64) {
        if span > 0 && self.spans.lock().insert(user, span) != Some(span) {
            self.sessions.remove_where(|session| session.owner.0 << 11 == user.0.cast_unsigned() << 11);
        }
    }

    /// The session with this id; a session that is not live if there is no such session.
    pub async fn session(&self, id: SessionId) -> Result<LiveSession, StoreError> {
        let fresh = self.memory(self.clock.now()).is_some();
        self.sessions
            .get_or_load(id, fresh, async {
                let mut session = LiveSession::of(self.store.session(id).await?.as_ref());
                // Buffered writes are included.
                if let Some(at) = self.seen.lock().get(&id) {
                    session.last_seen = session.last_seen.max(*at);
                }
                Ok(session)
            })
            .await
    }

    /// Records that a session is used at `now` (seconds since 1970). Costs nothing within
    /// [`Session::SEEN_RESOLUTION`] of the last time.
    pub fn saw(&self, id: SessionId, session: LiveSession, now: i64) {
        if now - i64::from(session.last_seen) < Session::SEEN_RESOLUTION {
            return;
        }
        let now = kept_seconds(now);
        self.sessions.update(&id, |kept| kept.last_seen = now);
        let mut seen = self.seen.lock();
        if seen.len() < MOST_SEEN || seen.contains_key(&id) {
            seen.insert(id, now);
        }
    }

    /// The sessions that were used and are not written yet; they are the caller's from now on.
    pub fn take_seen(&self) -> Vec<(SessionId, Timestamp)> {
        let seen = std::mem::take(&mut *self.seen.lock());
        seen.into_iter().map(|(id, at)| (id, Timestamp::from_seconds(at.into()))).collect()
    }

    /// Forgets what a change of this process concerns, without waiting for the change feed.
    pub fn forget(&self, change: Change) {
        self.changed(change);
    }

    /// Forgets what a write is about to change when the write is over, whatever becomes of it: also if the
    /// outcome is unknown, if the change was already made elsewhere, or if the caller no longer waits.
    pub fn forgetting(&self, change: Change) -> Forgetting<'_> {
        Forgetting { view: self, change }
    }

    /// Forgets a user and a session that do not go together: one of them is not the newest.
    pub fn reread(&self, user: UserId, session: SessionId) {
        self.users.invalidate(&user);
        self.reread_session(session);
    }

    /// Drops a session whose cached state may be stale.
    pub fn reread_session(&self, session: SessionId) {
        self.sessions.invalidate(&session);
    }

    /// A receiver that wakes up whenever keys change or something is revoked.
    pub fn watch(&self) -> watch::Receiver<Counters> {
        self.changes.subscribe()
    }

    /// Whether the change feed is connected.
    pub fn is_connected(&self) -> bool {
        self.connected.load(Ordering::SeqCst)
    }

    /// What the view holds.
    pub fn stats(&self) -> LiveStats {
        LiveStats { users: self.users.len(), sessions: self.sessions.len(), connected: self.is_connected() }
    }

    fn count(&self, keys: bool, revocations: bool) {
        self.changes.send_modify(|c| {
            c.keys += u64::from(keys);
            c.revocations += u64::from(revocations);
        });
    }
}

/// Forgets when it is dropped; see [`LiveView::forgetting`].
#[must_use = "it forgets as soon as it is dropped"]
#[derive(Debug)]
pub struct Forgetting<'v> {
    view: &'v LiveView,
    change: Change,
}

impl Drop for Forgetting<'_> {
    fn drop(&mut self) {
        self.view.forget(self.change);
    }
}

/// The contents of the cache, while they may be used.
#[derive(Debug, Clone, Copy)]
pub struct Memory<'v>(&'v LiveView);

impl Memory<'_> {
    /// The user with this id if they are in the cache.
    pub fn user(self, id: UserId) -> Option<Arc<LiveUser>> {
        self.0.users.get(&id).flatten()
    }

    /// The session with this id if it is in the cache.
    pub fn session(self, id: SessionId) -> Option<LiveSession> {
        self.0.sessions.get(&id)
    }
}

/// What the store's feed notifies. The view keeps the store; if the feed kept the view, a store that nobody
/// uses any more would never be closed.
struct Following {
    view: Weak<LiveView>,
    clock: Arc<dyn Clock>,
}

impl ChangeSink for Following {
    fn changed(&self, change: Change) {
        self.tell(|view| view.changed(change));
    }

    fn connected(&self) {
        self.tell(LiveView::connected);
    }

    fn disconnected(&self) {
        self.tell(LiveView::disconnected);
    }

    fn look(&self) -> Look {
        Look::begin(self.clock.as_ref())
    }

    fn heard(&self, look: Look) {
        self.tell(|view| view.heard(look));
    }
}

impl Following {
    fn tell(&self, what: impl FnOnce(&LiveView)) {
        if let Some(view) = self.view.upgrade() {
            what(&view);
        }
    }
}

impl ChangeSink for LiveView {
    fn changed(&self, change: Change) {
        match change {
            Change::User(id) => {
                self.users.invalidate(&id);
                self.count(false, true);
            }
            Change::AllUsers => self.users.clear(),
            Change::Session(id) => {
                self.sessions.invalidate(&id);
                self.count(false, true);
            }
            Change::Keys => self.count(true, true),
            Change::Everything => {
                self.users.clear();
                self.sessions.clear();
                self.count(true, true);
            }
        }
    }

    fn connected(&self) {
        self.users.up();
        self.sessions.up();
        self.connected.store(true, Ordering::SeqCst);
        self.count(true, true);
    }

    fn disconnected(&self) {
        self.connected.store(false, Ordering::SeqCst);
        self.lease.end();
        self.users.down();
        self.sessions.down();
    }

    fn look(&self) -> Look {
        Look::begin(self.clock.as_ref())
    }

    fn heard(&self, look: Look) {
        self.lease.renew(look, self.look());
    }
}

impl fmt::Debug for LiveView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stats().fmt(f)
    }
}
