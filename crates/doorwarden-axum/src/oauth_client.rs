//! The services that may introspect and revoke tokens.

use base64_simd::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use percent_encoding::percent_decode_str;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use subtle::{Choice, ConstantTimeEq};

/// Services by their client id, each with the SHA-256 of its secret. A fast hash suffices because the secrets
/// are random, not chosen: at least 16 random bytes, such as from `openssl rand -hex 32`.
///
/// ```
/// use doorwarden_axum::OauthClients;
///
/// let mut clients = OauthClients::default();
/// // printf %s SECRET | sha256sum
/// clients.add("billing", "4ae7c3b6ac0beff671efa8cf57386151c06e58ca53a78d83f36107316cec125f")?;
/// # Ok::<(), doorwarden_axum::oauth_client::NotSha256>(())
/// ```
#[derive(Clone, Default)]
pub struct OauthClients(HashMap<String, [u8; 32]>);

/// The text is not a SHA-256 in hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the SHA-256 of a secret, 64 hexadecimal digits, as of `printf %s SECRET | sha256sum`")]
pub struct NotSha256;

impl OauthClients {
    /// Adds a service with this id and the SHA-256 of its secret in hexadecimal digits.
    ///
    /// # Errors
    /// [`NotSha256`] if the text is not a SHA-256 in hexadecimal digits.
    pub fn add(&mut self, id: impl Into<String>, sha256: &str) -> Result<(), NotSha256> {
        if sha256.len() != 64 || !sha256.is_ascii() {
            return Err(NotSha256);
        }
        let mut hash = [0; 32];
        for (n, byte) in hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&sha256[2 * n..2 * n + 2], 16).map_err(|_| NotSha256)?;
        }
        self.0.insert(id.into(), hash);
        Ok(())
    }

    /// The id of the service that authenticates a request with HTTP Basic (RFC 6749, section 2.3.1), if its
    /// id and secret are valid. RFC 6749 encodes both as `application/x-www-form-urlencoded`, but many
    /// clients send them unencoded.
    pub(crate) fn authenticate(&self, headers: &HeaderMap) -> Option<String> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return None };
        let (scheme, encoded) = value.to_str().ok()?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let pair = String::from_utf8(STANDARD.decode_to_vec(encoded.trim()).ok()?).ok()?;
        let (id, secret) = pair.split_once(':')?;
        let (decoded_id, decoded_secret) = (form_decoded(id), form_decoded(secret));
        // Both are computed, whichever matches.
        let as_sent = self.fits(id, secret);
        let as_decoded = self.fits(&decoded_id, &decoded_secret);
        match (as_sent.into(), as_decoded.into()) {
            (true, _) => Some(id.to_owned()),
            (false, true) => Some(decoded_id),
            (false, false) => None,
        }
    }

    /// Whether this is the secret of the service with this id.
    pub(crate) fn knows(&self, id: &str, secret: &str) -> bool {
        self.fits(id, secret).into()
    }

    fn fits(&self, id: &str, secret: &str) -> Choice {
        // An unknown id takes as long as a known one.
        let (known, expected) = self.0.get(id).map_or((0, [0; 32]), |hash| (1, *hash));
        Sha256::digest(secret).as_slice().ct_eq(&expected) & Choice::from(known)
    }
}

/// The decoded form of a credential; one that is not encoded is returned unchanged.
fn form_decoded(text: &str) -> String {
    let blank = text.replace('+', " ");
    percent_decode_str(&blank).decode_utf8().map_or_else(|_| text.to_owned(), Cow::into_owned)
}

impl fmt::Debug for OauthClients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
