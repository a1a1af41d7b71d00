//! Refresh tokens: opaque to clients, and of one form, `dwr_` and 64 characters of base64url.
//!
//! The 48 bytes after the prefix are the id of the session (16), a counter (8, big-endian) and the first 24
//! bytes of the HMAC-SHA256 of both under a key derived from the secret key. So only the newest counter of a
//! session is stored, and tokens cannot be guessed. Secret scanners recognise leaked tokens by the prefix.

use crate::mac::Mac;
use crate::{Refusal, SecretKey, base64url};
use std::fmt;
use uuid::Uuid;

const PREFIX: &str = "dwr_";
const CLAIMS: usize = 16 + 8;
const TAG: usize = 24;

/// The keys of refresh tokens: one that issues, and older ones that still verify.
///
/// ```
/// use doorwarden_token::{Refusal, SecretKey, refresh::RefreshKeys};
/// use uuid::Uuid;
///
/// let keys = RefreshKeys::new(&SecretKey::new("a secret key of at least 32 bytes").unwrap(), &[]);
/// let session = Uuid::from_u128(1);
/// let token = keys.issue(session, 5);
/// assert!(token.starts_with("dwr_"));
/// assert_eq!(keys.parse(&token), Ok((session, 5)));
/// assert_eq!(keys.parse("dwr_no"), Err(Refusal::NotRefreshToken));
/// ```
#[derive(Clone)]
pub struct RefreshKeys {
    current: Mac,
    old: Vec<Mac>,
}

impl RefreshKeys {
    /// Issues under `current`, verifies also under any of `old`.
    pub fn new(current: &SecretKey, old: &[SecretKey]) -> Self {
        let keyed = |key: &SecretKey| Mac::new(&*key.derive("doorwarden refresh token v1"));
        Self { current: keyed(current), old: old.iter().map(keyed).collect() }
    }

    /// The token of a session with this counter, which is not negative. The same arguments give the same
    /// token.
    pub fn issue(&self, session: Uuid, counter: i64) -> String {
        let mut bytes = [0; CLAIMS + TAG];
        let (claims, tag) = bytes.split_at_mut(CLAIMS);
        claims[..16].copy_from_slice(session.as_bytes());
        claims[16..].copy_from_slice(&counter.to_be_bytes());
        tag.copy_from_slice(&self.current.tag(claims)[..TAG]);
        let mut token = String::with_capacity(68);
        token.push_str(PREFIX);
        base64url::encode_append(&bytes, &mut token);
        token
    }

    /// The session and the counter of a token. [`Refusal::NotRefreshToken`] if the token has another form,
    /// [`Refusal::BadSignature`] if it is forged or its key was removed. The caller checks whether the
    /// session exists and the counter is current.
    pub fn parse(&self, token: &str) -> Result<(Uuid, i64), Refusal> {
        let text = token.strip_prefix(PREFIX).ok_or(Refusal::NotRefreshToken)?;
        let bytes: [u8; CLAIMS + TAG] =
            base64url::decode_array(text.as_bytes()).ok_or(Refusal::NotRefreshToken)?;
        let (claims, tag) = halves::<_, CLAIMS, TAG>(&bytes);
        let fits = |key: &Mac| key.fits(claims, tag);
        if !(fits(&self.current) || self.old.iter().any(fits)) {
            return Err(Refusal::BadSignature);
        }
        let (session, counter) = halves::<_, 16, 8>(claims);
        Ok((Uuid::from_bytes(*session), i64::from_be_bytes(*counter)))
    }
}

impl fmt::Debug for RefreshKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RefreshKeys(.., {} old)", self.old.len())
    }
}

/// The first `A` and the last `B` of `N` bytes, which are as many as both together.
fn halves<const N: usize, const A: usize, const B: usize>(bytes: &[u8; N]) -> (&[u8; A], &[u8; B]) {
    const { assert!(A + B == N) }
    (bytes.first_chunk().expect("A is less than N"), bytes.last_chunk().expect("B is less than N"))
}
