//! Public keys: an accepted key has no private member, and is written and read back as the same key.
#![no_main]

use doorwarden_fuzz::text_or_edited;
use doorwarden_token::{KeySet, PublicKey};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const ED25519: &str = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"\u00e9\"","use":"sig"}"#;
const P256: &str = r#"{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","alg":"ES256","key_ops":["verify"]}"#;
const RSA: &str = r#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","kid":"2011-04-29"}"#;

fuzz_target!(|data: &[u8]| {
    let set = format!(r#"{{"keys":[{P256},{RSA}]}}"#);
    let Some(text) = text_or_edited(data, &[ED25519, P256, RSA, &set]) else { return };
    assert!(![ED25519, P256, RSA].contains(&text.as_str()) || PublicKey::from_jwk(&text).is_ok(), "{text}");
    if let Ok(key) = PublicKey::from_jwk(&text) {
        let read: Value = serde_json::from_str(&text).expect("what is accepted is JSON");
        for private in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
            assert!(read.get(private).is_none(), "{text:?}");
        }
        for (member, value) in
            serde_json::from_str::<Value>(&key.to_jwk()).expect("JSON").as_object().expect("an object")
        {
            assert!(
                read.get(member).is_none_or(|given| given == value),
                "{member} of {text:?} became {value}"
            );
        }
        assert_eq!(key.id(), read["kid"].as_str().map_or_else(|| key.thumbprint(), str::to_owned));
        is_same(&key, &PublicKey::from_jwk(&key.to_jwk()).expect("its own JWK"));
        assert!(!key.verify(b"message", data), "a signature out of nothing");
        let alone = KeySet::new(vec![key.clone()]).expect("one key");
        is_same(&key, alone.get(key.id()).expect("its own kid"));
        assert_eq!(KeySet::from_jwks(&alone.to_jwks()).expect("its own set").len(), 1);
    }
    assert!(text != set || KeySet::from_jwks(&text).is_ok());
    if let Ok(keys) = KeySet::from_jwks(&text) {
        assert!(keys.len() <= KeySet::MAX_KEYS);
        let again = KeySet::from_jwks(&keys.to_jwks()).expect("its own set");
        assert_eq!(keys.len(), again.len());
        keys.iter().zip(&again).for_each(|(key, again)| is_same(key, again));
        keys.iter().for_each(|key| is_same(key, keys.get(key.id()).expect("each kid is there once")));
    }
});

fn is_same(one: &PublicKey, other: &PublicKey) {
    assert_eq!(
        (one.id(), one.algorithm(), one.thumbprint()),
        (other.id(), other.algorithm(), other.thumbprint())
    );
    assert_eq!(one.to_jwk(), other.to_jwk());
}
