//! Authenticator data: what is accepted is written back to the same bytes.
#![no_main]

use doorwarden_fuzz::{Ceremonies, bytes_or_edited, canonical, slices};
use doorwarden_webauthn::authenticator_data::AuthenticatorData;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static CEREMONIES: LazyLock<Ceremonies> = LazyLock::new(Ceremonies::read);

fuzz_target!(|data: &[u8]| {
    let samples = slices(&CEREMONIES.authenticator_data);
    let Some(bytes) = bytes_or_edited(data, &samples) else { return };
    let read = AuthenticatorData::parse(&bytes);
    assert!(!samples.contains(&&bytes[..]) || read.is_ok(), "{bytes:x?}");
    let Ok(read) = read else { return };
    let flags = bytes[32];
    assert_eq!((flags & 1 != 0, flags & 4 != 0), (read.flags.user_present(), read.flags.user_verified()));
    assert_eq!((flags & 8 != 0, flags & 16 != 0), (read.flags.backup_eligible(), read.flags.backed_up()));
    assert_eq!(
        (flags & 64 != 0, flags & 128 != 0),
        (read.attested_credential.is_some(), read.extensions.is_some())
    );
    let mut written = [&read.rp_id_hash[..], &[flags], &read.sign_count.to_be_bytes()].concat();
    if let Some(credential) = read.attested_credential {
        let id = credential.credential_id.as_bytes();
        let length = u16::try_from(id.len()).expect("at most 1,023 bytes").to_be_bytes();
        written.extend([credential.aaguid.as_bytes(), &length[..], id, credential.public_key].concat());
    }
    written.extend(read.extensions.iter().flat_map(canonical));
    assert_eq!(written, bytes);
});
