use crate::Refused;
use doorwarden_token::access::AccessClaims;
use doorwarden_token::feed::Statement;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use uuid::Uuid;

/// What all statements so far say. Times are in seconds since 1970 UTC.
///
/// Statements are united, not replaced: of several instances of an issuer one may know of a logout before another does, and nothing
/// that was revoked ever counts again. What has left the window of the newest statement is forgotten.
#[derive(Debug, Clone, Default)]
pub(crate) struct Revoked {
    /// `iat` of the newest statement.
    as_of: Option<i64>,
    /// When it came.
    pub(crate) heard: Option<i64>,
    /// When each session ended.
    sessions: HashMap<Uuid, i64>,
    /// Since when tokens of each user that name no session count.
    users: HashMap<i64, i64>,
    /// When each revoked key was last named.
    keys: HashMap<String, i64>,
}

impl Revoked {
    /// With what `statement` says, heard at `now`.
    pub(crate) fn and(&self, statement: Statement, now: i64) -> Self {
        let is_news = self.as_of.is_none_or(|as_of| statement.iat > as_of);
        let as_of = self.as_of.map_or(statement.iat, |as_of| as_of.max(statement.iat));
        let oldest = as_of.saturating_sub(statement.window);
        Self {
            as_of: Some(as_of),
            heard: if is_news { Some(now) } else { self.heard },
            sessions: united(&self.sessions, statement.sessions, oldest),
            users: united(&self.users, statement.users, oldest),
            keys: united(&self.keys, statement.keys.into_iter().map(|kid| (kid, statement.iat)), oldest),
        }
    }

    pub(crate) fn names_key(&self, kid: &str) -> bool {
        self.keys.contains_key(kid)
    }

    pub(crate) fn key_count(&self) -> usize {
        self.keys.len()
    }

    pub(crate) fn check(&self, claims: &AccessClaims) -> Result<(), Refused> {
        match claims.sid {
            Some(sid) if self.sessions.contains_key(&sid) => Err(Refused::SessionEnded),
            Some(_) => Ok(()),
            None => {
                let since = claims.sub.parse().ok().and_then(|user: i64| self.users.get(&user));
                if since.is_some_and(|since| claims.iat < *since) {
                    Err(Refused::IssuedBefore)
                } else {
                    Ok(())
                }
            }
        }
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
    fn an_older_statement_takes_nothing_back_and_is_no_sign_of_life() {
        let ended = Statement { sessions: vec![(SESSION, 1000)], users: vec![(7, 1001)], ..statement(1000) };
        let revoked = Revoked::default().and(ended, 1002).and(statement(999), 1010);
        let claims = |sid, iat| AccessClaims { sid, sub: "7".to_owned(), iat, ..AccessClaims::default() };
        assert_eq!(revoked.check(&claims(Some(SESSION), 1001)), Err(Refused::SessionEnded));
        assert_eq!(revoked.check(&claims(None, 1000)), Err(Refused::IssuedBefore));
        assert_eq!(revoked.check(&claims(None, 1001)), Ok(()));
        assert_eq!(revoked.heard, Some(1002));
    }

    #[test]
    fn what_has_left_the_window_is_forgotten() {
        let first = Statement {
            sessions: vec![(SESSION, 1000)],
            users: vec![(7, 1001)],
            keys: vec!["k".to_owned()],
            ..statement(1000)
        };
        let revoked = Revoked::default().and(first, 1000).and(statement(1300), 1300);
        assert!(revoked.sessions.contains_key(&SESSION) && revoked.names_key("k"));
        let revoked = revoked.and(statement(1302), 1302);
        assert!(revoked.sessions.is_empty() && revoked.users.is_empty() && revoked.keys.is_empty());
    }

    #[test]
    fn users_are_for_tokens_that_name_no_session() {
        let revoked = Revoked::default().and(Statement { users: vec![(7, 1001)], ..statement(1000) }, 1000);
        let claims = AccessClaims { sub: "7".to_owned(), iat: 1000, ..AccessClaims::default() };
        assert_eq!(revoked.check(&claims), Err(Refused::IssuedBefore));
        assert_eq!(revoked.check(&AccessClaims { sid: Some(SESSION), ..claims }), Ok(()));
    }
}
