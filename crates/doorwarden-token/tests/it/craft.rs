//! Tokens made by hand, with another implementation of HMAC than that of the crate.

use aws_lc_rs::hmac;
use doorwarden_token::{SecretKey, session::SessionTokenKeys};

pub(crate) const NOW: i64 = 1_700_000_000;
pub(crate) const SECRET: &str = "conformance-secret-0123456789abcdef0123456789abcdef";

pub(crate) fn secret(text: &str) -> SecretKey {
    SecretKey::new(text).expect("a key in a test is long enough")
}

pub(crate) fn session_keys() -> SessionTokenKeys {
    SessionTokenKeys::new(&secret(SECRET), &[])
}

pub(crate) fn b64(bytes: impl AsRef<[u8]>) -> String {
    base64_simd::URL_SAFE_NO_PAD.encode_to_string(bytes)
}

pub(crate) fn unb64(text: &str) -> Vec<u8> {
    base64_simd::URL_SAFE_NO_PAD.decode_to_vec(text).expect("base64url")
}

/// A JWS over any two texts.
pub(crate) fn hs256(key: &[u8], header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
    hs256_raw(key, &format!("{}.{}", b64(header), b64(payload)))
}

/// Signs two parts as they are, base64url or not.
pub(crate) fn hs256_raw(key: &[u8], signed: &str) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), signed.as_bytes());
    format!("{signed}.{}", b64(tag))
}

/// A session token with the usual header and any payload.
pub(crate) fn session(payload: impl AsRef<[u8]>) -> String {
    hs256(SECRET.as_bytes(), r#"{"typ":"JWT","alg":"HS256"}"#, payload)
}
