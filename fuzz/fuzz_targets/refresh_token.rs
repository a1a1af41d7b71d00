//! Refresh tokens: only issued tokens are accepted, with the session and counter that they were issued with.
#![no_main]

use doorwarden_fuzz::text_or_edited;
use doorwarden_token::refresh::RefreshKeys;
use doorwarden_token::{Refusal, SecretKey};
use libfuzzer_sys::fuzz_target;
use uuid::Uuid;

fuzz_target!(|data: &[u8]| {
    let secret = |text: &str| SecretKey::new(text).expect("it is long enough");
    let (new, old) =
        (secret("a new secret key of at least 32 bytes"), secret("an old secret key of at least 32 bytes"));
    let before = RefreshKeys::new(&old, &[]);
    let after = RefreshKeys::new(&new, &[old]);
    let session = Uuid::from_u128(0x0198_c0de_0000_7000_8000_0000_0000_0001);
    let tokens = [before.issue(session, 5), after.issue(session, i64::MAX), after.issue(session, 0)];

    let Some(token) = text_or_edited(data, &tokens.each_ref().map(String::as_str)) else { return };
    match after.parse(&token) {
        Ok((session, counter)) => {
            assert!(tokens.contains(&token), "forged: {token:?}");
            assert!([before.issue(session, counter), after.issue(session, counter)].contains(&token));
            assert_eq!(before.parse(&token).is_ok(), token == tokens[0]);
        }
        Err(refusal) => {
            assert!(!tokens.contains(&token));
            let has_form = token.len() == 68 && token.starts_with("dwr_");
            assert!(has_form || refusal == Refusal::NotRefreshToken, "{refusal}");
        }
    }

    if let Some(bytes) = data.first_chunk::<24>() {
        let (session, counter) = bytes.split_first_chunk::<16>().expect("24 bytes");
        let session = Uuid::from_bytes(*session);
        let counter = i64::from_be_bytes(counter.try_into().expect("8 bytes")) & i64::MAX;
        assert_eq!(after.parse(&after.issue(session, counter)), Ok((session, counter)));
    }
});
