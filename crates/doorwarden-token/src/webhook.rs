//! Signatures of webhooks, as Standard Webhooks 1.0.0 defines them.

use crate::mac::Mac;
use base64_simd::STANDARD;
use std::fmt;
use std::str::FromStr;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// What sender and receiver of webhooks share: 24 to 64 bytes, written as `whsec_` and their Base64.
///
/// ```
/// use doorwarden_token::webhook::WebhookSecret;
///
/// let secret: WebhookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap();
/// let signature = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
/// assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
/// ```
#[derive(Clone)]
pub struct WebhookSecret(Zeroizing<Vec<u8>>);

impl WebhookSecret {
    /// The beginning of a written secret.
    pub const PREFIX: &'static str = "whsec_";
    /// The length of a secret that is generated, in bytes.
    pub const GENERATED_BYTES: usize = 32;
    /// The shortest and the longest secret, in bytes.
    const LENGTHS: std::ops::RangeInclusive<usize> = 24..=64;

    /// A secret of these bytes.
    ///
    /// # Errors
    /// [`WebhookSecretError::Length`] if there are fewer than 24 or more than 64.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, WebhookSecretError> {
        match Self::LENGTHS.contains(&bytes.len()) {
            true => Ok(Self(bytes.to_vec().into())),
            false => Err(WebhookSecretError::Length),
        }
    }

    /// The secret of these random bytes.
    pub fn of_random(bytes: [u8; Self::GENERATED_BYTES]) -> Self {
        Self(bytes.to_vec().into())
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The secret as it is written.
    pub fn expose(&self) -> Zeroizing<String> {
        let text = Zeroizing::new(STANDARD.encode_to_string(self.as_bytes()));
        format!("{}{}", Self::PREFIX, *text).into()
    }

    /// The signature of a message that is sent at this time, in seconds since 1970: one item of the header
    /// field `webhook-signature`. The id must contain no dot.
    pub fn sign(&self, id: &str, seconds: i64, body: &[u8]) -> String {
        let signed = [format!("{id}.{seconds}.").as_bytes(), body].concat();
        format!("v1,{}", STANDARD.encode_to_string(Mac::new(&self.0).tag(&signed)))
    }
}

impl FromStr for WebhookSecret {
    type Err = WebhookSecretError;

    fn from_str(text: &str) -> Result<Self, WebhookSecretError> {
        let encoded = text.strip_prefix(Self::PREFIX).ok_or(WebhookSecretError::Form)?;
        let bytes = STANDARD.decode_to_vec(encoded).map_err(|_| WebhookSecretError::Form)?;
        Self::from_bytes(&Zeroizing::new(bytes))
    }
}

/// Compares in constant time.
impl PartialEq for WebhookSecret {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes().ct_eq(other.as_bytes()).into()
    }
}

impl Eq for WebhookSecret {}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(..)")
    }
}

/// A text is not the secret of a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WebhookSecretError {
    /// It is not `whsec_` and Base64.
    #[error("must be `whsec_` and Base64")]
    Form,
    /// It is too short or too long.
    #[error("must have 24 to 64 bytes")]
    Length,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signatures_are_those_of_the_published_examples() {
        let secret: WebhookSecret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".parse().unwrap();
        let body = br#"{"email":"test@example.com","username":"test_user"}"#;
        let signature = secret.sign("msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", 1_649_367_553, body);
        assert_eq!(signature, "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=");
    }

    #[test]
    fn only_secrets_of_24_to_64_bytes_are_accepted() {
        let of = |length: usize| {
            let text = format!("whsec_{}", STANDARD.encode_to_string(vec![7_u8; length]));
            text.parse::<WebhookSecret>()
        };
        for (length, expected) in [(23, false), (24, true), (64, true), (65, false), (0, false)] {
            assert_eq!(of(length).is_ok(), expected, "{length}");
        }
        for wrong in ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_not base 64 at all, at all"] {
            assert!(wrong.parse::<WebhookSecret>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_secret_is_written_as_it_is_read_and_never_shown_by_accident() {
        let secret = WebhookSecret::of_random([9; 32]);
        assert_eq!(secret.expose().parse::<WebhookSecret>().unwrap(), secret);
        assert_eq!(format!("{secret:?}"), "WebhookSecret(..)");
    }
}
