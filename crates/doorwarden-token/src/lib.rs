//! Strict JSON Web Tokens for accounts: sign them, verify them, publish their keys.
//!
//! There are five kinds of token, and none passes for another:
//!
//! | kind | module | form | key |
//! |---|---|---|---|
//! | session token | [`session`] | JWT, HS256 | [`SecretKey`], shared with Django |
//! | refresh token | [`refresh`] | opaque, `dwr_…` | derived from [`SecretKey`] |
//! | access token | [`access`] | JWT, `typ: at+jwt` (RFC 9068) | [`KeyPair`]: EdDSA, ES256 or RS256 |
//! | revocation statement | [`feed`] | JWS, `typ: revocations.v2+jwt` | [`KeyPair`] |
//! | checkpoint of the audit log | [`checkpoint`] | JWS, `typ: audit-checkpoint+jwt` | [`KeyPair`]: EdDSA |
//!
//! The crate knows no users, reads no clock and does no input or output: the present is a parameter, in
//! seconds since 1970 UTC, and so is all randomness except that inside key generation and ECDSA. The
//! algorithm follows from the key and never from the token (RFC 8725, section 3.1). Every refusal has a named
//! reason, a [`Refusal`], for logs and operators. What a client learns is up to the caller, and should be
//! less.
//!
//! ```
//! use doorwarden_token::{Refusal, SecretKey, session::{SessionClaims, SessionTokenKeys}};
//!
//! let secret = SecretKey::new("a secret key of at least 32 bytes")?;
//! let keys = SessionTokenKeys::new(&secret, &[]);
//! let (iat, jti) = (Some(1_700_000_000), Some([1; 16]));
//! let claims = SessionClaims { id: 7, exp: 1_700_000_300, iat, jti, sid: None };
//! let token = keys.sign(&claims);
//! assert_eq!(keys.verify(&token, 1_700_000_000), Ok(claims));
//! assert_eq!(keys.verify(&token, 1_700_000_300), Err(Refusal::Expired));
//! # Ok::<(), doorwarden_token::secret::KeyTooShort>(())
//! ```

pub mod access;
pub mod base64url;
pub mod bearer;
pub mod checkpoint;
pub mod feed;
pub mod inspect;
mod json;
pub mod jws;
pub mod key;
mod mac;
mod parts;
pub mod refresh;
mod refusal;
pub mod seal;
pub mod secret;
pub mod session;
mod times;
pub mod verified;
pub mod webhook;

pub use key::{Algorithm, KeyPair, KeySet, PublicKey};
pub use refusal::{Part, Refusal};
pub use secret::SecretKey;
pub use verified::VerifiedTokens;
