//! The revocation feed: a signed statement of what was revoked within the longest time that an access token
//! can live, for services that verify access tokens offline. `docs/revocation-feed.md` specifies it.

use crate::etag::etag;
use crate::keys::{KeyRing, SignError};
use crate::live::LiveView;
use crate::session::SessionId;
use crate::settings::AccessSettings;
use crate::store::{Revocations, Store, StoreError};
use crate::time::{Clock, Timestamp};
use crate::token::feed::{MAX_BYTES, Statement};
use crate::user::UserId;
use bytes::Bytes;
use parking_lot::RwLock;
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use uuid::Uuid;

/// A new statement is issued at least this often, even if nothing was revoked, so that its holder knows it is
/// complete up to its `iat`.
pub const HEARTBEAT: Duration = Duration::from_secs(5);

/// How long a statement may be relied upon: its `exp` is this long after its `iat`.
pub const RELIABLE: Duration = Duration::from_secs(30);

/// Minimum time between two statements, however many sessions end.
pub const SPACING: Duration = Duration::from_millis(50);

/// Issues statements on demand and caches the newest.
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
    /// The entity tag of this statement, for `ETag`.
    pub etag: String,
    at: Timestamp,
    content: Content,
    ended: Ended,
    /// When the statement was last found to be current.
    checked: RwLock<Checked>,
}

#[derive(Debug, PartialEq)]
struct Content {
    revocations: Revocations,
    keys: Vec<String>,
}

/// The last second whose access tokens of live sessions are not valid, by the newest statement.
#[derive(Debug)]
struct Ended {
    all_of: HashMap<UserId, Vec<(i64, Option<Uuid>)>>,
    before: Option<i64>,
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
    /// The statement cannot be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The revocations cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn publish(
    keys: &KeyRing,
    access: &AccessSettings,
    content: Content,
    now: Timestamp,
    checked: Checked,
) -> Result<Published, FeedError> {
    let mut said = Said::of(&content.revocations);
    said.shorten_to(MAX_BYTES);
    let ended = said.ended();
    let statement = Statement {
        iss: access.issuer.clone(),
        iat: now.as_seconds(),
        exp: now.after(RELIABLE).as_seconds(),
        window: access.longest().as_secs().cast_signed(),
        sessions: said.sessions.iter().map(|(id, at, _)| (id.0, at.as_seconds())).collect(),
        users: said.users,
        all_of: said.all_of,
        before: said.before,
        keys: content.keys.clone(),
    };
    let statement = keys.sign_statement(&statement, now)?;
    let etag = etag(statement.as_bytes());
    Ok(Published {
        statement: statement.into(),
        etag,
        at: now,
        content,
        ended,
        checked: RwLock::new(checked),
    })
}

/// What a statement says of sessions and users, short enough to be accepted.
struct Said {
    sessions: Vec<(SessionId, Timestamp, UserId)>,
    users: Vec<(i64, i64)>,
    all_of: Vec<(i64, i64, Option<Uuid>)>,
    before: Option<i64>,
}

impl Said {
    /// What a statement needs beside its lists: header, signature, the other claims. Keys are few.
    const REST: usize = 16 << 10;
    /// The most that an entry of `sessions` needs: `["0198c0de-0000-7000-8000-000000000001",1795435190],`,
    /// and some digits more.
    const SESSION: usize = 56;

    fn of(revocations: &Revocations) -> Self {
        let Revocations { sessions, users, all_of, before } = revocations;
        let ended = |(user, at, kept): &(UserId, Timestamp, Option<SessionId>)| {
            (user.0, at.as_seconds(), kept.map(|id| id.0))
        };
        Self {
            sessions: sessions.clone(),
            // The first second whose tokens are valid again, as `authenticate` has it.
            users: users.iter().map(|(id, after)| (id.0, after.as_seconds() + 1)).collect(),
            all_of: all_of.iter().map(ended).collect(),
            before: before.map(Timestamp::as_seconds),
        }
    }

    /// Says the same of more, until the statement has at most this many bytes: of users with many ended
    /// sessions, those with most first, that all tokens have ended; in the end that everybody's have.
    fn shorten_to(&mut self, most: usize) {
        let room = (most - Self::REST) / 4 * 3;
        if self.bytes() <= room {
            return;
        }
        let mut of_users: HashMap<UserId, (usize, Timestamp)> = HashMap::new();
        for (_, at, user) in &self.sessions {
            let (count, last) = of_users.entry(*user).or_insert((0, *at));
            (*count, *last) = (*count + 1, *at.max(last));
        }
        let mut by_count: Vec<_> = of_users.into_iter().filter(|(_, (count, _))| *count > 1).collect();
        by_count.sort_unstable_by_key(|(user, (count, _))| (Reverse(*count), user.0));
        let (mut bytes, mut as_one) = (self.bytes(), HashSet::new());
        for (user, (count, last)) in by_count {
            if bytes <= room {
                break;
            }
            let entry = (user.0, last.as_seconds(), None);
            bytes = bytes + Self::entry(&entry) - count * Self::SESSION;
            self.all_of.push(entry);
            as_one.insert(user);
        }
        self.sessions.retain(|(_, _, user)| !as_one.contains(user));
        tracing::warn!(
            users = as_one.len(),
            "very many sessions have ended: the feed revokes all tokens of some users"
        );
        if bytes > room {
            let sessions = self.sessions.drain(..).map(|(_, at, _)| at.as_seconds());
            let users = self.users.drain(..).map(|(_, time)| time);
            let all_of = self.all_of.drain(..).map(|(_, time, _)| time);
            self.before = sessions.chain(users).chain(all_of).chain(self.before).max();
            tracing::warn!("too many revocations for a statement: the feed revokes the tokens of all users");
        }
    }

    /// How many bytes of JSON the lists need at most.
    fn bytes(&self) -> usize {
        let users = self.users.iter().map(|(id, time)| Self::entry(&(*id, *time, None)));
        let all_of = self.all_of.iter().map(Self::entry);
        self.sessions.len() * Self::SESSION + users.chain(all_of).sum::<usize>()
    }

    /// The most that an entry of `users` needs.
    fn entry((id, time, kept): &(i64, i64, Option<Uuid>)) -> usize {
        let digits = |number: i64| number.checked_ilog10().map_or(20, |digits| digits as usize + 1);
        digits(*id) + digits(*time) + if kept.is_some() { 44 } else { 10 }
    }

    fn ended(&self) -> Ended {
        let mut all_of: HashMap<UserId, Vec<(i64, Option<Uuid>)>> = HashMap::new();
        for (user, time, kept) in &self.all_of {
            all_of.entry(UserId(*user)).or_default().push((*time, *kept));
        }
        Ended { all_of, before: self.before }
    }
}

impl RevocationFeed {
    /// The last second whose tokens of this session verifiers refuse although it stays open, by the newest
    /// statement. A new token needs a later `iat`.
    pub(crate) fn ended_until(&self, user: UserId, session: SessionId) -> Option<i64> {
        let newest = self.newest.read();
        let Ended { all_of, before } = &newest.as_ref()?.ended;
        let of_user = all_of.get(&user).into_iter().flatten();
        let of_user = of_user.filter(|(_, kept)| *kept != Some(session.0)).map(|(time, _)| *time);
        of_user.chain(*before).max()
    }

    /// The statement as of now: it has everything that this instance has revoked or been notified of, and is
    /// at most five seconds old. A call within 50 ms of the last statement waits until they have passed.
    /// While the change feed is disconnected, the statement is at most 50 ms old.
    pub(crate) async fn current(
        &self,
        store: &dyn Store,
        live: &LiveView,
        keys: &KeyRing,
        access: &AccessSettings,
        clock: &dyn Clock,
    ) -> Result<Arc<Published>, FeedError> {
        if let Some(published) = self.fresh(live, clock.now()) {
            return Ok(published);
        }
        let _one_at_a_time = self.making.lock().await;
        if let Some(published) = self.fresh(live, clock.now()) {
            return Ok(published);
        }
        let newest = self.newest.read().clone();
        if let Some(newest) = &newest {
            let age = newest.checked.read().at.elapsed();
            tokio::time::sleep(SPACING.saturating_sub(age)).await;
        }

        // Before the database is read: what is revoked in the meantime is in the next statement.
        let checked = Checked { at: Instant::now(), counter: live.watch().borrow().revocations };
        let now = clock.now();
        let revocations = store.revocations(now.before(access.longest())).await?;
        let content = Content { revocations, keys: keys.revoked(now) };
        match newest {
            Some(newest) if newest.content == content && newest.is_young(now) => {
                *newest.checked.write() = checked;
                Ok(newest)
            }
            _ => {
                let published = Arc::new(publish(keys, access, content, now, checked)?);
                *self.newest.write() = Some(Arc::clone(&published));
                Ok(published)
            }
        }
    }

    /// The newest statement if nothing can have happened since.
    fn fresh(&self, live: &LiveView, now: Timestamp) -> Option<Arc<Published>> {
        let newest = self.newest.read().clone()?;
        let checked = *newest.checked.read();
        let trusted = if live.memory(now).is_some() { HEARTBEAT } else { SPACING };
        let is_fresh = checked.counter == live.watch().borrow().revocations
            && checked.at.elapsed() < trusted
            && newest.is_young(now);
        is_fresh.then_some(newest)
    }
}

impl Published {
    /// Whether no heartbeat is due at `now`.
    fn is_young(&self, now: Timestamp) -> bool {
        self.at <= now && now.since(self.at) < HEARTBEAT
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::feed::{sign_statement, verify_statement};
    use crate::token::{Algorithm, KeyPair, KeySet};

    const NOW: i64 = 1_795_435_200;

    /// So many ended sessions of each of these users.
    fn revocations(users: &[(i64, usize)]) -> Revocations {
        let mut sessions = Vec::new();
        for (user, count) in users {
            for n in 0..*count {
                let id = SessionId(Uuid::from_u128((u128::try_from(*user).unwrap() << 64) | n as u128));
                let at = Timestamp::from_seconds(NOW - 300 + i64::try_from(n % 300).unwrap());
                sessions.push((id, at, UserId(*user)));
            }
        }
        Revocations { sessions, ..Revocations::default() }
    }

    fn shortened(revocations: &Revocations) -> (Said, usize) {
        let mut said = Said::of(revocations);
        said.shorten_to(MAX_BYTES);
        let key = KeyPair::generate(Algorithm::EdDsa).unwrap();
        let statement = Statement {
            iss: "https://id.example".to_owned(),
            iat: NOW,
            exp: NOW + 30,
            window: 375,
            sessions: said.sessions.iter().map(|(id, at, _)| (id.0, at.as_seconds())).collect(),
            users: said.users.clone(),
            all_of: said.all_of.clone(),
            before: said.before,
            keys: Vec::new(),
        };
        let signed = sign_statement(&key, &statement);
        let keys = KeySet::new(vec![key.public().clone()]).unwrap();
        assert_eq!(verify_statement(&signed, &keys, "https://id.example", NOW).as_ref(), Ok(&statement));
        (said, signed.len())
    }

    #[test]
    fn what_fits_is_said_one_by_one() {
        let all = revocations(&[(1, 50_000), (2, 10)]);
        let (said, bytes) = shortened(&all);
        assert_eq!((said.sessions.len(), said.all_of.len(), said.before), (50_010, 0, None));
        assert!(bytes > MAX_BYTES / 3 * 2, "{bytes}");
    }

    #[test]
    fn users_with_most_sessions_give_way_first() {
        let (said, bytes) = shortened(&revocations(&[(1, 5), (2, 60_000), (3, 50_000), (4, 20_000), (5, 1)]));
        assert_eq!(said.all_of, [(2, NOW - 1, None), (3, NOW - 1, None)]);
        assert_eq!((said.sessions.len(), said.before), (20_006, None));
        assert!(bytes <= MAX_BYTES);
    }

    #[test]
    fn in_the_end_everybodys_tokens_end() {
        let users: Vec<(i64, usize)> = (1..=80_000).map(|user| (user, 1)).collect();
        let mut all = revocations(&users);
        all.users = vec![(UserId(7), Timestamp::from_seconds(NOW - 2))];
        all.all_of = vec![(UserId(8), Timestamp::from_seconds(NOW - 3), None)];
        let (said, bytes) = shortened(&all);
        assert_eq!((said.sessions.len(), said.users.len(), said.all_of.len()), (0, 0, 0));
        assert_eq!(said.before, Some(NOW - 1));
        assert!(bytes < 2000);
    }

    #[test]
    fn no_entry_needs_more_room_than_was_reckoned_with() {
        for id in [1, 9, 10, i64::MAX, 0, -1] {
            for kept in [None, Some(Uuid::from_u128(1))] {
                let needed = serde_json::json!([id, NOW, kept]).to_string().len() + 1;
                assert!(needed <= Said::entry(&(id, NOW, kept)), "{id} {kept:?}");
            }
        }
        let session = serde_json::json!([Uuid::from_u128(1), 99_999_999_999_i64]).to_string().len() + 1;
        assert!(session <= Said::SESSION, "{session}");
    }
}
