use crate::craft::{SECRET, b64, secret, unb64};
use doorwarden_token::Refusal;
use doorwarden_token::refresh::RefreshKeys;
use proptest::prelude::*;
use uuid::Uuid;

fn keys() -> RefreshKeys {
    RefreshKeys::new(&secret(SECRET), &[])
}

#[test]
fn a_token_has_the_documented_form() {
    let token = keys().issue(Uuid::from_u128(0x0102), 3);
    let bytes = unb64(token.strip_prefix("dwr_").unwrap());
    assert_eq!((token.len(), bytes.len()), (68, 48));
    assert_eq!(&bytes[..24], &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 3]);
    assert_eq!(token, keys().issue(Uuid::from_u128(0x0102), 3), "the same arguments give the same token");
}

#[test]
fn any_changed_character_refuses() {
    let token = keys().issue(Uuid::from_u128(u128::MAX / 3), i64::MAX);
    assert!(keys().parse(&token).is_ok());
    for at in 0..token.len() {
        for byte in (0..128_u8).filter(|b| *b != token.as_bytes()[at]) {
            let mut changed = token.clone().into_bytes();
            changed[at] = byte;
            assert!(keys().parse(std::str::from_utf8(&changed).unwrap()).is_err(), "{byte:#x} at {at}");
        }
    }
}

#[test]
fn there_is_one_spelling() {
    let token = keys().issue(Uuid::from_u128(1), 0);
    let (bare, body) = (&token[4..], unb64(&token[4..]));
    let standard = base64_simd::STANDARD.encode_to_string(&body);
    for wrong in [
        String::new(),
        "dwr_".into(),
        bare.into(),
        format!("DWR_{bare}"),
        format!("dwr-{bare}"),
        format!(" {token}"),
        format!("{token} "),
        format!("{token}\n"),
        format!("{token}="),
        format!("{token}AAAA"),
        token[..64].into(),
        format!("dwr_dwr_{bare}"),
        format!("dwr_{}", b64([&body[..], &[0]].concat())),
        "dwr_".repeat(17),
        "x".repeat(1_000_000),
    ] {
        let refusal = keys().parse(&wrong).unwrap_err();
        assert!(refusal == Refusal::NotRefreshToken || wrong.len() == 68, "{wrong}: {refusal}");
    }
    if standard.contains(['+', '/']) {
        assert_eq!(keys().parse(&format!("dwr_{standard}")), Err(Refusal::NotRefreshToken));
    }
}

#[test]
fn old_keys_verify_and_do_not_issue() {
    let (old, new) = (secret(SECRET), secret(&"new".repeat(20)));
    let token = keys().issue(Uuid::from_u128(1), 4);
    assert_eq!(RefreshKeys::new(&new, &[]).parse(&token), Err(Refusal::BadSignature));
    let both = RefreshKeys::new(&new, &[old]);
    assert_eq!(both.parse(&token), Ok((Uuid::from_u128(1), 4)));
    assert_eq!(keys().parse(&both.issue(Uuid::from_u128(1), 4)), Err(Refusal::BadSignature));
    assert_eq!(format!("{both:?}"), "RefreshKeys(.., 1 old)");
}

proptest! {
    #[test]
    fn what_is_issued_is_read_back(session: u128, counter in 0..i64::MAX) {
        let session = Uuid::from_u128(session);
        prop_assert_eq!(keys().parse(&keys().issue(session, counter)), Ok((session, counter)));
    }

    #[test]
    fn nothing_else_is_accepted(text in "dwr_[A-Za-z0-9_-]{64}", odd in "\\PC{0,80}") {
        prop_assert_eq!(keys().parse(&text), Err(Refusal::BadSignature));
        prop_assert_eq!(keys().parse(&odd), Err(Refusal::NotRefreshToken));
    }
}
