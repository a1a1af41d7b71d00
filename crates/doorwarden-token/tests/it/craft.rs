//! Tokens made by hand, with another implementation of HMAC than that of the crate.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rsa::KeyPairComponents;
use aws_lc_rs::signature::RsaPublicKeyComponents;
use doorwarden_token::access::AccessClaims;
use doorwarden_token::feed::Statement;
use doorwarden_token::session::SessionTokenKeys;
use doorwarden_token::{Algorithm, KeyPair, KeySet, SecretKey};
use serde_json::Value;
use std::sync::OnceLock;

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

/// One pair per algorithm, the same for every test. The RSA key is one of Wycheproof's, because making one
/// takes long.
pub(crate) fn pair(algorithm: Algorithm) -> &'static KeyPair {
    static PAIRS: OnceLock<[KeyPair; 3]> = OnceLock::new();
    let pairs = PAIRS.get_or_init(|| {
        [
            KeyPair::ed25519(&[7; 32]).expect("a seed"),
            KeyPair::generate(Algorithm::Es256).expect("a key"),
            KeyPair::from_pkcs8(Algorithm::Rs256, &wycheproof_rsa_pkcs8()).expect("a key"),
        ]
    });
    pairs.iter().find(|pair| pair.algorithm() == algorithm).expect("every algorithm has a pair")
}

pub(crate) fn key_set(pairs: &[&KeyPair]) -> KeySet {
    KeySet::new(pairs.iter().map(|pair| pair.public().clone()).collect()).expect("distinct keys")
}

pub(crate) fn wycheproof(file: &str) -> Value {
    let path = format!("{}/tests/data/wycheproof/{file}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(path).expect("the file is there")).expect("JSON")
}

fn wycheproof_rsa_pkcs8() -> Vec<u8> {
    let file = wycheproof("json_web_signature_test.json");
    let groups = file["testGroups"].as_array().expect("groups");
    let jwk = &groups.iter().find(|g| g["comment"] == "rs256").expect("a group with RSA")["private"];
    let part = |name: &str| unb64(jwk[name].as_str().expect("a member"));
    let components = KeyPairComponents {
        public_key: RsaPublicKeyComponents { n: part("n"), e: part("e") },
        d: part("d"),
        p: part("p"),
        q: part("q"),
        dP: part("dp"),
        dQ: part("dq"),
        qInv: part("qi"),
    };
    let pair = aws_lc_rs::rsa::KeyPair::from_components(&components).expect("a valid key");
    AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).expect("PKCS#8").as_ref().to_vec()
}

/// A JWS over any two texts, by a pair.
pub(crate) fn signed_by(pair: &KeyPair, header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
    signed_by_raw(pair, &format!("{}.{}", b64(header), b64(payload)))
}

/// Signs two parts as they are, base64url or not.
pub(crate) fn signed_by_raw(pair: &KeyPair, signed: &str) -> String {
    format!("{signed}.{}", b64(pair.sign(signed.as_bytes())))
}

pub(crate) const ISSUER: &str = "https://id.example";
pub(crate) const AUDIENCE: &str = "https://api.example";

pub(crate) fn access_claims() -> AccessClaims {
    AccessClaims {
        iss: ISSUER.into(),
        sub: "7".into(),
        aud: vec![AUDIENCE.into()],
        exp: NOW + 300,
        iat: NOW,
        jti: "a1".into(),
        client_id: "web".into(),
        ..AccessClaims::default()
    }
}

pub(crate) fn statement() -> Statement {
    Statement { iss: ISSUER.into(), iat: NOW, exp: NOW + 30, window: 300, ..Statement::default() }
}
