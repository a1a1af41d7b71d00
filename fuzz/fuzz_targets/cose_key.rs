//! Public keys of passkeys: an accepted key is stored as it was read, and no signature comes out of nothing.
#![no_main]

use doorwarden_fuzz::{Ceremonies, bytes_or_edited, slices};
use doorwarden_webauthn::authenticator_data::AuthenticatorData;
use doorwarden_webauthn::cbor::Value;
use doorwarden_webauthn::{Algorithm, KeyError, PublicKey};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static KEYS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let data = Ceremonies::read().authenticator_data;
    let key = |data: &Vec<u8>| {
        let data = AuthenticatorData::parse(data).expect("it is valid");
        data.attested_credential.map(|credential| credential.public_key.to_vec())
    };
    data.iter().filter_map(key).collect()
});

fuzz_target!(|data: &[u8]| {
    let samples = slices(&KEYS);
    let Some(bytes) = bytes_or_edited(data, &samples) else { return };
    match PublicKey::from_cose(&bytes) {
        Ok(key) => {
            assert_eq!(key.as_cose(), bytes);
            assert_eq!(PublicKey::from_cose(key.as_cose()), Ok(key.clone()));
            let value = Value::read(&bytes).expect("what is accepted is CBOR");
            let members = value.as_map().expect("a map");
            let named = |label: i64| members.iter().find(|(key, _)| key.as_integer() == Some(label));
            let (_, number) = named(3).expect("an algorithm");
            assert_eq!(Algorithm::from_cose(number.as_integer().expect("a number")), Some(key.algorithm()));
            assert_eq!(
                members.len(),
                match key.algorithm() {
                    Algorithm::Es256 | Algorithm::Es384 => 5,
                    Algorithm::EdDsa | Algorithm::Rs256 => 4,
                }
            );
            // Anyone can sign with an Ed25519 key of small order, and aws-lc accepts one.
            if key.algorithm() != Algorithm::EdDsa {
                assert!(!key.verify(b"message", data), "a signature out of nothing");
            }
        }
        Err(error) if samples.contains(&&bytes[..]) => {
            assert!(matches!(error, KeyError::AlgorithmNotOffered(-36 | -53)), "{bytes:x?}: {error}");
        }
        Err(_) => {}
    }
});
