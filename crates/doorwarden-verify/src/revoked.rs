use crate::Refused;
use doorwarden_token::access::AccessClaims;
use doorwarden_token::feed::Statement;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::time::Duration;
use uuid::Uuid;

/// An instant on two clocks. An `i64` is an instant on the wall clock alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// The wall clock, which can be set: seconds since 1970 UTC.
    pub unix_secs: i64,
    /// A monotonic clock, in seconds since any instant: setting the wall clock back must not hide that the
    /// feed is silent.
    pub steady: Option<Duration>,
}

impl From<i64> for Now {
    fn from(unix_secs: i64) -> Self {
        Self { unix_secs, steady: None }
    }
}

/// What all statements so far revoke. Times are in seconds since 1970 UTC.
///
/// Statements are merged, not replaced: one instance of an issuer may know of a logout before another does,
/// and what was revoked never becomes valid again. Entries that have left the window of the newest statement
/// are dropped.
#[derive(Debug, Clone, Default)]
pub(crate) struct Revoked {
    /// `iat` of the newest statement.
    pub(crate) as_of: Option<i64>,
    /// When the newest statement was received.
    pub(crate) received: Option<Now>,
    /// When each session ended.
    sessions: HashMap<Uuid, i64>,
    /// Since when the tokens of each user without a session are valid.
    users: HashMap<i64, i64>,
    /// Until when no token of each user is valid, except those of a session that is kept.
    all_of: HashMap<i64, Vec<(Option<Uuid>, i64)>>,
    /// Until when no token is valid, of any user.
    before: Option<i64>,
    /// When each revoked key was last named.
    keys: HashMap<String, i64>,
}

impl Revoked {
    /// Adds what `statement` revokes, received at `now`.
    pub(crate) fn and(&self, statement: Statement, now: Now) -> Self {
        let is_news = self.as_of.is_none_or(|as_of| statement.iat > as_of);
        let as_of = self.as_of.map_or(statement.iat, |as_of| as_of.max(statement.iat));
        let oldest = as_of.saturating_sub(statement.window);
        Self {
            as_of: Some(as_of),
            received: if is_news { Some(now) } else { self.received },
            sessions: united(&self.sessions, statement.sessions, oldest),
            users: united(&self.users, statement.users, oldest),
            all_of: self.all_of_and(statement.all_of, oldest),
            before: self.before.max(statement.before),
            keys: united(&self.keys, statement.keys.into_iter().map(|kid| (kid, statement.iat)), oldest),
        }
    }

    /// Seconds since the newest statement was received, by the clock that says more; `None` if none was.
    pub(crate) fn silence(&self, now: Now) -> Option<i64> {
        let received = self.received?;
        let by_wall = now.unix_secs.saturating_sub(received.unix_secs);
        let steady = now.steady.zip(received.steady).map(|(now, received)| now.saturating_sub(received));
        Some(by_wall.max(steady.map_or(0, |steady| steady.as_secs().cast_signed())))
    }

    pub(crate) fn names_key(&self, kid: &str) -> bool {
        self.keys.contains_key(kid)
    }

    pub(crate) fn key_count(&self) -> usize {
        self.keys.len()
    }

    pub(crate) fn check(&self, claims: &AccessClaims) -> Result<(), Refused> {
        let issued_by = |time: i64| claims.iat <= time;
        let user = claims.sub.parse::<i64>().ok();
        let mut all = user.and_then(|user| self.all_of.get(&user)).into_iter().flatten();
        if claims.sid.is_some_and(|sid| self.sessions.contains_key(&sid)) {
            Err(Refused::SessionEnded)
        } else if self.before.is_some_and(issued_by)
            || all.any(|(kept, time)| issued_by(*time) && (kept.is_none() || *kept != claims.sid))
            || claims.sid.is_none()
                && user.and_then(|user| self.users.get(&user)).is_some_and(|since| claims.iat < *since)
        {
            Err(Refused::IssuedBefore)
        } else {
            Ok(())
        }
    }

    fn all_of_and(
        &self,
        new: Vec<(i64, i64, Option<Uuid>)>,
        oldest: i64,
    ) -> HashMap<i64, Vec<(Option<Uuid>, i64)>> {
        let old = self.all_of.iter().flat_map(|(user, entries)| {
            entries.iter().filter(|(_, time)| *time >= oldest).map(|(kept, time)| (*user, *time, *kept))
        });
        let mut latest = HashMap::new();
        for (user, time, kept) in new.into_iter().chain(old) {
            let known = latest.entry((user, kept)).or_insert(time);
            *known = time.max(*known);
        }
        let mut all_of: HashMap<i64, Vec<_>> = HashMap::new();
        for ((user, kept), time) in latest {
            all_of.entry(user).or_default().push((kept, time));
        }
        all_of
    }
}

fn united<K: Hash + Eq + Clone>(
    old: &HashMap<K, i64>,
    new: impl IntoIterator<Item = (K, i64)>,
    oldest: i64,
) -> HashMap<K, i64> {
    let mut all: HashMap<K, i64> = new.into_iter().collect();
    for (key, time) in old.iter().filter(|(_, time)| **time >= oldest) {
        match all.entry(key.clone()) {
            Entry::Occupied(mut known) => _ = known.insert((*known.get()).max(*time)),
            Entry::Vacant(place) => _ = place.insert(*time),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: Uuid = Uuid::from_u128(7);

    fn statement(iat: i64) -> Statement {
        Statement { iat, exp: iat + 30, window: 300, ..Statement::default() }
    }

    #[test]
    fn an_older_statement_restores_nothing_and_does_not_end_the_silence() {
        let ended = Statement { sessions: vec![(SESSION, 1000)], users: vec![(7, 1001)], ..statement(1000) };
        let revoked = Revoked::default().and(ended, 1002.into()).and(statement(999), 1010.into());
        let claims = |sid, iat| AccessClaims { sid, sub: "7".to_owned(), iat, ..AccessClaims::default() };
        assert_eq!(revoked.check(&claims(Some(SESSION), 1001)), Err(Refused::SessionEnded));
        assert_eq!(revoked.check(&claims(None, 1000)), Err(Refused::IssuedBefore));
        assert_eq!(revoked.check(&claims(None, 1001)), Ok(()));
        assert_eq!(revoked.received, Some(1002.into()));
    }

    #[test]
    fn entries_that_have_left_the_window_are_dropped() {
        let first = Statement {
            sessions: vec![(SESSION, 1000)],
            users: vec![(7, 1001)],
            all_of: vec![(8, 1000, None)],
            keys: vec!["k".to_owned()],
            ..statement(1000)
        };
        let revoked = Revoked::default().and(first, 1000.into()).and(statement(1300), 1300.into());
        assert!(revoked.sessions.contains_key(&SESSION) && revoked.names_key("k"));
        assert!(revoked.all_of.contains_key(&8));
        let revoked = revoked.and(statement(1302), 1302.into());
        assert!(revoked.sessions.is_empty() && revoked.users.is_empty() && revoked.keys.is_empty());
        assert!(revoked.all_of.is_empty());
    }

    #[test]
    fn entries_of_users_are_for_tokens_without_a_session() {
        let revoked =
            Revoked::default().and(Statement { users: vec![(7, 1001)], ..statement(1000) }, 1000.into());
        let claims = AccessClaims { sub: "7".to_owned(), iat: 1000, ..AccessClaims::default() };
        assert_eq!(revoked.check(&claims), Err(Refused::IssuedBefore));
        assert_eq!(revoked.check(&AccessClaims { sid: Some(SESSION), ..claims }), Ok(()));
    }

    fn judged(revoked: &Revoked, user: i64, sid: Option<Uuid>, iat: i64) -> Result<(), Refused> {
        revoked.check(&AccessClaims { sid, sub: user.to_string(), iat, ..AccessClaims::default() })
    }

    #[test]
    fn all_tokens_of_a_user_are_ended_but_those_of_the_session_that_is_kept() {
        let (kept, other) = (Some(SESSION), Some(Uuid::from_u128(8)));
        let first = Statement { all_of: vec![(7, 1000, kept)], ..statement(1000) };
        let revoked = Revoked::default().and(first, 1000.into());
        for sid in [None, other] {
            assert_eq!(judged(&revoked, 7, sid, 1000), Err(Refused::IssuedBefore));
            assert_eq!(judged(&revoked, 7, sid, 1001), Ok(()));
            assert_eq!(judged(&revoked, 8, sid, 1000), Ok(()));
        }
        assert_eq!(judged(&revoked, 7, kept, 1000), Ok(()));

        // A later end keeps no session, and an earlier statement that arrives late does not change that.
        let second = Statement { all_of: vec![(7, 1010, None)], ..statement(1010) };
        let late = Statement { all_of: vec![(7, 1000, kept), (7, 990, None)], ..statement(1005) };
        let revoked = revoked.and(second, 1010.into()).and(late, 1011.into());
        assert_eq!(judged(&revoked, 7, kept, 1010), Err(Refused::IssuedBefore));
        assert_eq!(judged(&revoked, 7, kept, 1011), Ok(()));
    }

    #[test]
    fn no_token_issued_before_is_valid() {
        let first = Statement { before: Some(1000), ..statement(1000) };
        let revoked = Revoked::default().and(first, 1000.into()).and(statement(1010), 1010.into());
        for sid in [None, Some(SESSION)] {
            assert_eq!(judged(&revoked, 7, sid, 1000), Err(Refused::IssuedBefore));
            assert_eq!(judged(&revoked, 7, sid, 1001), Ok(()));
        }
    }
}
