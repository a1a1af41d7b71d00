//! What a stored key may do at an instant: a pure function of the list and the time.

use crate::store::SigningKey;
use crate::time::Timestamp;
use std::time::Duration;

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// It is published, so that verifiers have it when it begins to sign.
    Announced,
    /// It signs: the one whose turn came last.
    Signing,
    /// It only verifies, until the last token that it signed has expired.
    Verifying,
    /// It does nothing, and verifiers are told so: it was revoked while a token of its could still be valid.
    Revoked,
    /// It does nothing any more and may be deleted.
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

/// What each key may do at `now`, beside `keys`, which are sorted by [`signs_from`](SigningKey::signs_from). A key verifies
/// for `keep` after its successor has begun to sign.
///
/// If no key's turn has come yet (a clock that is behind), the first one signs.
pub fn states(keys: &[SigningKey], now: Timestamp, keep: Duration) -> Vec<KeyState> {
    let usable: Vec<usize> = (0..keys.len()).filter(|n| keys[*n].revoked_at.is_none()).collect();
    let signing = usable.iter().rposition(|n| keys[*n].signs_from <= now).unwrap_or(0);
    let mut states: Vec<KeyState> = keys
        .iter()
        .map(|key| match key.revoked_at {
            Some(at) if now < at.after(keep) => KeyState::Revoked,
            _ => KeyState::Retired,
        })
        .collect();
    for (place, n) in usable.iter().enumerate() {
        states[*n] = match place.cmp(&signing) {
            std::cmp::Ordering::Greater => KeyState::Announced,
            std::cmp::Ordering::Equal => KeyState::Signing,
            std::cmp::Ordering::Less if now < keys[usable[place + 1]].signs_from.after(keep) => {
                KeyState::Verifying
            }
            std::cmp::Ordering::Less => KeyState::Retired,
        };
    }
    states
}

/// Since when, and until when (not included), [`states`] says what it says at `now`.
pub(super) fn unchanged_around(
    keys: &[SigningKey],
    now: Timestamp,
    keep: Duration,
) -> (Timestamp, Timestamp) {
    let turns = keys.iter().flat_map(|key| [Some(key.signs_from), key.revoked_at]).flatten();
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
            algorithm: "EdDSA".to_owned(),
            sealed: Vec::new(),
            public_jwk: String::new(),
            predecessor: String::new(),
            created_at: at(signs_from),
            signs_from: at(signs_from),
            revoked_at: revoked_at.map(at),
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
    fn a_revoked_key_does_nothing_and_is_named_until_its_last_token_is_over() {
        let keys = [key(0, None), key(1000, Some(1010)), key(1010, None)];
        assert_eq!(states(&keys, at(1010), KEEP), [Verifying, Revoked, Signing]);
        assert_eq!(states(&keys, at(1109), KEEP), [Verifying, Revoked, Signing]);
        assert_eq!(states(&keys, at(1110), KEEP), [Retired, Retired, Signing]);
    }

    #[test]
    fn the_first_key_signs_also_if_the_clock_is_behind() {
        assert_eq!(states(&[key(1000, None), key(2000, None)], at(990), KEEP), [Signing, Announced]);
        assert_eq!(states(&[], at(0), KEEP), []);
    }

    #[test]
    fn nothing_changes_between_two_instants_of_change() {
        let keys = [key(0, None), key(50, Some(160)), key(170, None), key(400, None)];
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
