//! Proof of work: who must wait may compute instead. The protocol is that of ALTCHA, version 2, with PBKDF2,
//! which costs a browser what it costs everybody else; its widget and its libraries solve what is asked here.
//!
//! Nothing is stored when a challenge is made, because anybody may ask for one: it says itself what it is for
//! and until when, under a MAC. A solution that counted is remembered until then, by the store.

use super::AccountKey;
use crate::random::RandomSource;
use crate::time::Timestamp;
use crate::token::{SecretKey, base64url};
use aws_lc_rs::{constant_time, hmac, pbkdf2};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

/// What a solution is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WorkPurpose {
    /// To log in.
    Login,
    /// To register.
    Registration,
    /// To have a mail sent.
    Mail,
}

/// A challenge of ALTCHA, version 2.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkChallenge {
    /// What is to be computed.
    pub parameters: WorkParameters,
    /// Shows that the challenge was made here: hexadecimal.
    pub signature: String,
}

/// What is to be computed. The members are in the order in which they are signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkParameters {
    /// `PBKDF2/SHA-256`.
    pub algorithm: String,
    /// Iterations of each try.
    pub cost: u32,
    /// What the solution is for.
    pub data: WorkData,
    /// Until when a solution counts: seconds since 1970 UTC.
    pub expires_at: i64,
    /// Bytes of the key that is derived.
    pub key_length: u32,
    /// What the derived key must begin with: hexadecimal.
    pub key_prefix: String,
    /// What the password of each try begins with, before the number of the try in four bytes: hexadecimal.
    pub nonce: String,
    /// The salt: hexadecimal.
    pub salt: String,
}

/// What a solution is for. Clients send it back unread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkData {
    /// The account; without one the solution is good for what concerns no account.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub account: Option<String>,
    /// The purpose.
    #[serde(rename = "p")]
    pub purpose: WorkPurpose,
}

/// Why a solution does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WorkError {
    /// It is no solution in the form of ALTCHA, version 2.
    #[error("not a solution of ALTCHA, version 2")]
    Malformed,
    /// The challenge was not made here, or was changed.
    #[error("the challenge was not made here")]
    Foreign,
    /// The challenge is too old.
    #[error("the challenge has expired")]
    Expired,
    /// It was made for another purpose or account.
    #[error("the challenge was made for something else")]
    OtherPurpose,
    /// The key is another one, or does not begin as it must.
    #[error("the solution is wrong")]
    Wrong,
    /// It counted before.
    #[error("the solution was used before")]
    Used,
}

/// A solution that is right, and may not have counted yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Solved {
    /// Under which it is remembered.
    pub id: [u8; 32],
    /// Until when it must be remembered.
    pub expires_at: Timestamp,
}

/// What each challenge asks for.
const ALGORITHM: &str = "PBKDF2/SHA-256";
const KEY_LENGTH: u32 = 32;
/// One try in 256 succeeds.
const KEY_PREFIX: &str = "00";
/// Iterations of a try where nothing is known against whoever tries: about a second in a browser.
pub(crate) const COST: u32 = 5_000;
/// The most that is asked: its check takes some ten milliseconds here.
const MAX_COST: u32 = 8 * COST;
/// How long a challenge can be solved.
const LIFETIME: Duration = Duration::from_mins(10);
/// The longest solution that is read.
const MAX_LENGTH: usize = 4096;

#[derive(Deserialize)]
struct Payload {
    challenge: WorkChallenge,
    solution: Solution,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Solution {
    counter: u32,
    derived_key: String,
}

/// Makes challenges and checks solutions. `Debug` does not show the key.
#[derive(Clone)]
pub(crate) struct WorkKey(hmac::Key);

impl WorkKey {
    /// Derived from the secret key.
    pub(crate) fn new(secret: &SecretKey) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, &*secret.derive("doorwarden proof of work v1")))
    }

    /// A challenge for this purpose and account, that takes `times` as long as the easiest one.
    pub(crate) fn challenge(
        &self,
        purpose: WorkPurpose,
        account: Option<&AccountKey>,
        times: u32,
        now: Timestamp,
        random: &dyn RandomSource,
    ) -> WorkChallenge {
        let parameters = WorkParameters {
            algorithm: ALGORITHM.to_owned(),
            cost: COST.saturating_mul(times.max(1)).min(MAX_COST),
            data: WorkData { account: account.map(|key| self.name(key)), purpose },
            expires_at: now.after(LIFETIME).as_seconds(),
            key_length: KEY_LENGTH,
            key_prefix: KEY_PREFIX.to_owned(),
            nonce: hex(&random.bytes::<16>()),
            salt: hex(&random.bytes::<16>()),
        };
        let signature = hex(self.sign(&parameters).as_ref());
        WorkChallenge { parameters, signature }
    }

    /// Checks a solution; takes as long as one try.
    ///
    /// # Errors
    /// [`WorkError`] if it is malformed, expired, wrong, or for something else.
    pub(crate) fn check(
        &self,
        payload: &str,
        purpose: WorkPurpose,
        account: Option<&AccountKey>,
        now: Timestamp,
    ) -> Result<Solved, WorkError> {
        let Payload { challenge, solution } = read(payload).ok_or(WorkError::Malformed)?;
        let WorkChallenge { parameters, signature } = challenge;
        let expected = self.sign(&parameters);
        let signature = unhex(&signature).ok_or(WorkError::Malformed)?;
        if constant_time::verify_slices_are_equal(expected.as_ref(), &signature).is_err() {
            return Err(WorkError::Foreign);
        }
        let expires_at = Timestamp::from_seconds(parameters.expires_at);
        if now >= expires_at {
            return Err(WorkError::Expired);
        }
        if parameters.data.purpose != purpose || parameters.data.account != account.map(|key| self.name(key))
        {
            return Err(WorkError::OtherPurpose);
        }
        let given = unhex(&solution.derived_key).ok_or(WorkError::Malformed)?;
        let prefix = unhex(&parameters.key_prefix).ok_or(WorkError::Malformed)?;
        // Also what the reference library forgets: that the key begins as it must.
        if !given.starts_with(&prefix)
            || derive(&parameters, solution.counter).ok_or(WorkError::Malformed)? != given
        {
            return Err(WorkError::Wrong);
        }
        Ok(Solved { id: Sha256::digest(&signature).into(), expires_at })
    }

    fn sign(&self, parameters: &WorkParameters) -> hmac::Tag {
        let canonical = serde_json::to_vec(parameters).expect("texts and numbers are JSON");
        hmac::sign(&self.0, &canonical)
    }

    /// What a challenge calls an account: it tells nobody which one.
    fn name(&self, account: &AccountKey) -> String {
        hex(&hmac::sign(&self.0, &account.0).as_ref()[..16])
    }
}

impl fmt::Debug for WorkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WorkKey(..)")
    }
}

/// A payload: JSON in base64, of either alphabet, padded or not.
fn read(payload: &str) -> Option<Payload> {
    if payload.len() > MAX_LENGTH {
        return None;
    }
    let url: String = payload
        .trim()
        .trim_end_matches('=')
        .chars()
        .map(|character| match character {
            '+' => '-',
            '/' => '_',
            other => other,
        })
        .collect();
    serde_json::from_slice(&base64url::decode(url.as_bytes())?).ok()
}

/// The key of one try.
fn derive(parameters: &WorkParameters, counter: u32) -> Option<Vec<u8>> {
    let mut password = unhex(&parameters.nonce)?;
    password.extend_from_slice(&counter.to_be_bytes());
    let mut key = vec![0; usize::try_from(parameters.key_length).ok()?];
    let iterations = NonZeroU32::new(parameters.cost)?;
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, &unhex(&parameters.salt)?, &password, &mut key);
    Some(key)
}

/// The solution of a challenge, as a client sends it: for clients in Rust, and for tests. Takes about 256
/// tries; `None` if no try of 2³² succeeds.
pub fn solve(challenge: &WorkChallenge) -> Option<String> {
    let prefix = unhex(&challenge.parameters.key_prefix)?;
    let (counter, key) = (0..=u32::MAX)
        .map_while(|counter| Some((counter, derive(&challenge.parameters, counter)?)))
        .find(|(_, key)| key.starts_with(&prefix))?;
    let solution = serde_json::json!({
        "challenge": challenge,
        "solution": {"counter": counter, "derivedKey": hex(&key), "time": 0},
    });
    Some(base64url::encode(solution.to_string().as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let text = text.as_bytes();
    let digit = |digit: u8| char::from(digit).to_digit(16);
    text.len().is_multiple_of(2).then_some(())?;
    text.chunks(2).map(|pair| u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRandom;
    use serde_json::{Value, json};

    const NOON: Timestamp = Timestamp::from_seconds(1_795_435_200);
    const ALICE: AccountKey = AccountKey([1; 16]);

    fn key(text: &str) -> WorkKey {
        WorkKey::new(&SecretKey::new(text.repeat(8)).unwrap())
    }

    /// A challenge that is cheap to solve.
    fn challenge(key: &WorkKey, account: Option<&AccountKey>) -> WorkChallenge {
        let mut made = key.challenge(WorkPurpose::Login, account, 1, NOON, &SystemRandom);
        made.parameters.cost = 1;
        made.signature = hex(key.sign(&made.parameters).as_ref());
        made
    }

    fn solution(challenge: &WorkChallenge) -> Value {
        serde_json::from_slice(&base64url::decode(solve(challenge).unwrap().as_bytes()).unwrap()).unwrap()
    }

    fn check(key: &WorkKey, payload: &Value, account: Option<&AccountKey>) -> Result<Solved, WorkError> {
        let payload = base64url::encode(payload.to_string().as_bytes());
        key.check(&payload, WorkPurpose::Login, account, NOON)
    }

    #[test]
    fn a_solution_counts_for_what_it_was_asked_for() {
        let key = key("abcde");
        for account in [None, Some(&ALICE)] {
            let solved = check(&key, &solution(&challenge(&key, account)), account).unwrap();
            assert_eq!(solved.expires_at, NOON.after(LIFETIME));
        }
        let alices = solution(&challenge(&key, Some(&ALICE)));
        assert_eq!(check(&key, &alices, Some(&AccountKey([2; 16]))), Err(WorkError::OtherPurpose));
        assert_eq!(check(&key, &alices, None), Err(WorkError::OtherPurpose));
        let text = base64url::encode(alices.to_string().as_bytes());
        let mail = key.check(&text, WorkPurpose::Mail, Some(&ALICE), NOON);
        assert_eq!(mail, Err(WorkError::OtherPurpose));
        let late = key.check(&text, WorkPurpose::Login, Some(&ALICE), NOON.after(LIFETIME));
        assert_eq!(late, Err(WorkError::Expired));
    }

    #[test]
    fn no_work_is_no_solution() {
        let key = key("abcde");
        let made = challenge(&key, None);
        let lazy = (0..100).find(|n| !derive(&made.parameters, *n).unwrap().starts_with(&[0])).unwrap();
        let derived = hex(&derive(&made.parameters, lazy).unwrap());
        let mut payload = solution(&made);
        payload["solution"] = json!({"counter": lazy, "derivedKey": derived});
        assert_eq!(
            check(&key, &payload, None),
            Err(WorkError::Wrong),
            "a key that does not begin as it must"
        );
        let mut payload = solution(&made);
        payload["solution"]["derivedKey"] = json!("00".repeat(32));
        assert_eq!(check(&key, &payload, None), Err(WorkError::Wrong), "a key that nobody derived");
    }

    #[test]
    fn a_challenge_cannot_be_changed() {
        let ours = key("abcde");
        assert_eq!(check(&key("vwxyz"), &solution(&challenge(&ours, None)), None), Err(WorkError::Foreign));
        for (member, value) in [
            ("cost", json!(2)),
            ("expiresAt", json!(NOON.as_seconds() + 601)),
            ("keyPrefix", json!("")),
            ("keyLength", json!(1)),
            ("nonce", json!("00")),
            ("algorithm", json!("SHA-256")),
            ("data", json!({"p": "login", "a": "00"})),
        ] {
            let mut payload = solution(&challenge(&ours, None));
            payload["challenge"]["parameters"][member] = value;
            assert_eq!(check(&ours, &payload, None), Err(WorkError::Foreign), "{member}");
        }
        let mut more = solution(&challenge(&ours, None));
        more["challenge"]["parameters"]["memoryCost"] = json!(1);
        assert_eq!(check(&ours, &more, None), Err(WorkError::Malformed));
    }

    #[test]
    fn anything_else_is_malformed() {
        let key = key("abcde");
        for text in ["", "e30", "%", "AAAA", &"A".repeat(MAX_LENGTH + 1)] {
            assert_eq!(
                key.check(text, WorkPurpose::Login, None, NOON),
                Err(WorkError::Malformed),
                "{text:.9}"
            );
        }
    }
}
