//! What a stored key may do at an instant: a pure function of the list and the time.

use crate::store::SigningKey;
use crate::time::Timestamp;
use std::collections::HashMap;
use std::time::Duration;

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// The key is published, so that verifiers have it when it begins to sign.
    Announced,
    /// The key signs, if its algorithm is the first that is offered: the one whose turn came last in the
    /// chain of its algorithm.
    Signing,
    /// The key only verifies, until the last token that it signed has expired.
    Verifying,
    /// The key does nothing, and verifiers are notified: the key was revoked while one of its tokens could
    /// still be valid.
    Revoked,
    /// The key does nothing any more and may be deleted.
    Retired,
}

impl KeyState {
    /// A stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Announced => "announced",
            Self::Signing => "signing",
            Self::Verifying => "verifying",
            Self::Revoked => "revoked",
            Self::Retired => "retired",
        }
    }

    pub(super) const fn is_over(self) -> bool {
        matches!(self, Self::Revoked | Self::Retired)
    }
}

/// When each key begins to sign, beside `keys`, which are sorted as the store lists them. That is
/// [`signs_from`](SigningKey::signs_from), or before, when the key in whose place it comes was revoked while
/// it signed.
pub(super) fn starts(keys: &[SigningKey]) -> Vec<Timestamp> {
    // Since when the place in each chain is empty.
    let mut empty_since: HashMap<&str, Timestamp> = HashMap::new();
    let mut starts = Vec::with_capacity(keys.len());
    for key in keys {
        let chain = key.algorithm.as_str();
        let start = empty_since.get(chain).map_or(key.signs_from, |since| key.signs_from.min(*since));
        match key.revoked_at {
            None => _ = empty_since.remove(chain),
            Some(at) if at >= start => _ = empty_since.insert(chain, at),
            Some(_) => {}
        }
        starts.push(start);
    }
    starts
}

/// What each key may do at `now`, beside `keys`, which are sorted as the store lists them. A key verifies for
/// `keep` after it has ceased to sign.
///
/// If nothing signs because no key's turn has come yet (a clock that is behind), the first one does.
pub fn states(keys: &[SigningKey], now: Timestamp, keep: Duration) -> Vec<KeyState> {
    let starts = starts(keys);
    // A key that was revoked before its turn is as if it had never been.
    let has_turn = |n: usize| keys[n].revoked_at.is_none_or(|at| at >= starts[n]);
    let state_of = |n: usize| {
        let key = &keys[n];
        if let Some(at) = key.revoked_at {
            return if now < at.after(keep) { KeyState::Revoked } else { KeyState::Retired };
        }
        let next = (n + 1..keys.len()).find(|m| keys[*m].algorithm == key.algorithm && has_turn(*m));
        let end = next.map(|m| starts[m]).into_iter().chain(key.signs_until).min();
        match end {
            Some(end) if end <= starts[n] && end <= now => KeyState::Retired,
            Some(end) if end.after(keep) <= now => KeyState::Retired,
            Some(end) if end <= now => KeyState::Verifying,
            _ if now < starts[n] => KeyState::Announced,
            _ => KeyState::Signing,
        }
    };
    let mut states: Vec<KeyState> = (0..keys.len()).map(state_of).collect();
    if !states.contains(&KeyState::Signing) {
        let announced = (0..keys.len()).filter(|n| states[*n] == KeyState::Announced);
        if let Some(first) = announced.min_by_key(|n| starts[*n]) {
            states[first] = KeyState::Signing;
        }
    }
    states
}

/// Since when, and until when (not included), [`states`] says what it says at `now`.
pub(super) fn unchanged_around(
    keys: &[SigningKey],
    now: Timestamp,
    keep: Duration,
) -> (Timestamp, Timestamp) {
    let turns = keys.iter().flat_map(|key| [Some(key.signs_from), key.signs_until, key.revoked_at]).flatten();
    let (mut since, mut until) = (Timestamp::from_micros(i64::MIN), Timestamp::from_micros(i64::MAX));
    for change in turns.flat_map(|at| [at, at.after(keep)]) {
        if change <= now {
            since = since.max(change);
        } else {
            until = until.min(change);
        }
    }
    (since, until)
}

#[cfg(test)]
mod tests {
    use super::*;
    use KeyState::{Announced, Retired, Revoked, Signing, Verifying};

    const KEEP: Duration = Duration::from_secs(100);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn key(signs_from: i64, revoked_at: Option<i64>) -> SigningKey {
        SigningKey {
            kid: signs_from.to_string(),
            algorithm: "ES256".to_owned(),
            sealed: Vec::new(),
            public_jwk: String::new(),
            predecessor: String::new(),
            created_at: at(signs_from),
            signs_from: at(signs_from),
            signs_until: None,
            revoked_at: revoked_at.map(at),
        }
    }

    /// A key of another chain.
    fn other(signs_from: i64, signs_until: Option<i64>) -> SigningKey {
        SigningKey {
            algorithm: "EdDSA".to_owned(),
            signs_until: signs_until.map(at),
            ..key(signs_from, None)
        }
    }

    #[test]
    fn a_key_is_announced_signs_verifies_and_retires() {
        let keys = [key(0, None), key(1000, None)];
        for (now, expected) in [
            (999, [Signing, Announced]),
            (1000, [Verifying, Signing]),
            (1099, [Verifying, Signing]),
            (1100, [Retired, Signing]),
        ] {
            assert_eq!(states(&keys, at(now), KEEP), expected, "at {now}");
        }
    }

    #[test]
    fn the_successor_takes_the_place_of_a_revoked_key_at_once() {
        let keys = [key(-1000, None), key(0, Some(50)), key(1000, None), key(2000, None)];
        assert_eq!(starts(&keys)[2], at(50));
        for (now, expected) in [
            (50, [Verifying, Revoked, Signing, Announced]),
            (99, [Verifying, Revoked, Signing, Announced]),
            (149, [Retired, Revoked, Signing, Announced]),
            (150, [Retired, Retired, Signing, Announced]),
            (2000, [Retired, Retired, Verifying, Signing]),
        ] {
            assert_eq!(states(&keys, at(now), KEEP), expected, "at {now}");
        }
        let twice = [key(0, Some(50)), key(1000, Some(60)), key(2000, None)];
        assert_eq!(states(&twice, at(60), KEEP), [Revoked, Revoked, Signing]);
        assert_eq!(states(&[key(0, Some(50))], at(50), KEEP), [Revoked], "nobody follows");
    }

    #[test]
    fn a_key_revoked_before_its_turn_leaves_the_one_before_where_it_is() {
        let keys = [key(0, None), key(1000, Some(60)), key(1500, None)];
        assert_eq!(states(&keys, at(60), KEEP), [Signing, Revoked, Announced]);
        assert_eq!(states(&keys, at(1499), KEEP), [Signing, Retired, Announced]);
        assert_eq!(states(&keys, at(1500), KEEP), [Verifying, Retired, Signing]);
        assert_eq!(states(&keys[..2], at(1500), KEEP), [Signing, Retired]);
        let all = [key(0, Some(70)), key(1000, Some(60)), key(1500, None)];
        assert_eq!(states(&all, at(70), KEEP), [Revoked, Revoked, Signing], "whichever was revoked first");
    }

    #[test]
    fn a_key_whose_turn_is_over_does_not_come_back() {
        let keys = [key(0, None), key(1000, Some(1050))];
        assert_eq!(states(&keys, at(1050), KEEP), [Verifying, Revoked]);
    }

    #[test]
    fn chains_do_not_touch_each_other() {
        let keys = [other(0, None), key(500, None), other(1000, None), key(1500, None)];
        assert_eq!(states(&keys, at(0), KEEP), [Signing, Announced, Announced, Announced]);
        assert_eq!(states(&keys, at(500), KEEP), [Signing, Signing, Announced, Announced]);
        assert_eq!(states(&keys, at(1500), KEEP), [Retired, Verifying, Signing, Signing]);
    }

    #[test]
    fn a_chain_that_was_ended_signs_until_then_and_verifies_for_a_while() {
        let keys = [other(0, Some(500)), key(500, None), other(1000, Some(500)), key(1500, None)];
        assert_eq!(states(&keys, at(499), KEEP), [Signing, Announced, Announced, Announced]);
        assert_eq!(states(&keys, at(500), KEEP), [Verifying, Signing, Retired, Announced]);
        assert_eq!(states(&keys, at(600), KEEP), [Retired, Signing, Retired, Announced]);
    }

    #[test]
    fn the_first_key_signs_also_if_the_clock_is_behind() {
        assert_eq!(states(&[key(1000, None), key(2000, None)], at(990), KEEP), [Signing, Announced]);
        assert_eq!(states(&[other(900, None), key(1000, None)], at(800), KEEP), [Signing, Announced]);
        assert_eq!(states(&[], at(0), KEEP), []);
    }

    #[test]
    fn nothing_changes_between_two_instants_of_change() {
        let keys = [
            other(0, Some(300)),
            key(0, None),
            key(50, Some(160)),
            other(60, Some(300)),
            key(170, None),
            key(400, None),
        ];
        for second in -1..600 {
            let (since, until) = unchanged_around(&keys, at(second), KEEP);
            assert!(since <= at(second) && at(second) < until, "at {second}");
            let same = (-1..600).filter(|other| since <= at(*other) && at(*other) < until);
            for other in same {
                assert_eq!(
                    states(&keys, at(second), KEEP),
                    states(&keys, at(other), KEEP),
                    "{second} {other}"
                );
            }
        }
    }
}
