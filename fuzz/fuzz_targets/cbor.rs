//! CBOR: what is accepted is what a canonical writer writes.
#![no_main]

use doorwarden_fuzz::{Ceremonies, bytes_or_edited, canonical, slices};
use doorwarden_webauthn::cbor::Value;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static CEREMONIES: LazyLock<Ceremonies> = LazyLock::new(Ceremonies::read);

fuzz_target!(|data: &[u8]| {
    let samples = slices(&CEREMONIES.attestation_objects);
    let Some(bytes) = bytes_or_edited(data, &samples) else { return };
    assert!(!samples.contains(&&bytes[..]) || Value::read(&bytes).is_ok(), "{bytes:x?}");
    if let Ok((value, rest)) = Value::read_prefix(&bytes) {
        assert_eq!([&canonical(&value), rest].concat(), bytes);
        assert_eq!(Value::read(&bytes).is_ok(), rest.is_empty());
        assert_eq!(Value::read(&canonical(&value)), Ok(value));
    }
});
