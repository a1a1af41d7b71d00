use crate::craft::{SECRET, secret};
use aws_lc_rs::hmac;
use doorwarden_token::{SecretKey, seal::Sealer, secret::KeyTooShort};

#[test]
fn a_key_has_at_least_32_bytes() {
    assert_eq!(SecretKey::new("x".repeat(31)).unwrap_err(), KeyTooShort { bytes: 31 });
    assert_eq!(
        SecretKey::new("").unwrap_err().to_string(),
        "the secret key has 0 bytes, it needs at least 32"
    );
    assert_eq!(
        SecretKey::new("ä".repeat(16)).unwrap().expose(),
        "ä".repeat(16).as_bytes(),
        "the length is in bytes, not characters"
    );
}

#[test]
fn a_key_is_used_unchanged() {
    let text = format!(" {SECRET}\n");
    assert_eq!(secret(&text).expose(), text.as_bytes());
}

#[test]
fn derived_keys_are_those_of_hkdf_and_differ_by_label() {
    let derived = secret(SECRET).derive("label");
    // RFC 5869: extract with the salt, then the first block of expand, `info` and the counter 1.
    let tag = |key: &[u8], text: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text);
    let extracted = tag(b"doorwarden", SECRET.as_bytes());
    let expected = tag(extracted.as_ref(), b"label\x01");
    assert_eq!(*derived, *expected.as_ref());
    assert_ne!(*derived, *secret(SECRET).derive("label2"));
    assert_ne!(*derived, *secret(&SECRET.replace('0', "1")).derive("label"));
}

#[test]
fn a_sealed_text_opens_only_in_its_place_and_unchanged() {
    let sealer = Sealer::new(&secret(SECRET), &[]);
    let sealed = sealer.seal([7; 12], b"kid", b"private key");
    assert_eq!(**sealer.open(b"kid", &sealed).unwrap(), *b"private key");
    assert!(sealer.open(b"kie", &sealed).is_err());
    assert!(sealer.open(b"", &sealed).is_err());
    for at in 0..sealed.len() {
        let mut damaged = sealed.clone();
        damaged[at] ^= 1;
        assert!(sealer.open(b"kid", &damaged).is_err(), "byte {at}");
        assert!(sealer.open(b"kid", &sealed[..at]).is_err(), "the first {at} bytes");
    }
    assert!(!sealed.windows(7).any(|w| w == b"private"), "the plain text does not show");
}

#[test]
fn a_text_sealed_under_an_old_key_still_opens() {
    let (old, new) = (secret(SECRET), secret(&"new".repeat(20)));
    let sealed = Sealer::new(&old, &[]).seal([7; 12], b"kid", b"private key");
    assert!(Sealer::new(&new, &[]).open(b"kid", &sealed).is_err());
    assert_eq!(**Sealer::new(&new, &[old]).open(b"kid", &sealed).unwrap(), *b"private key");
}

#[test]
fn nothing_shows_a_secret() {
    let key = secret(SECRET);
    let shown = format!("{key:?} {:?} {:?}", Sealer::new(&key, &[]), crate::craft::session_keys());
    assert_eq!(shown, "SecretKey(..) Sealer(..) SessionTokenKeys(.., 0 old)");
}
