use super::*;
use proptest::prelude::*;

const NOW: i64 = 1_700_000_000;

fn payload(id: i64, exp: i64, iat: i64, jti: [u8; 16], sid: u128) -> String {
    SessionClaims { id, exp, iat: Some(iat), jti: Some(jti), sid: Some(Uuid::from_u128(sid)) }.to_json()
}

#[test]
fn the_signed_form_is_read_without_the_parser() {
    for n in [1, 9, 10, 1_700_000_300, 999_999_999_999_999] {
        let payload = payload(n, n, n, [0xfb; 16], u128::MAX);
        assert_eq!(ours::read(payload.as_bytes()).map(|c| (c.id, c.exp, c.iat)), Some((n, n, Some(n))));
    }
}

proptest! {
    #[test]
    fn the_fast_path_agrees_with_the_parser(
        id: i64, exp in NOW - 5..NOW + 5, iat in NOW + 50..NOW + 70, jti: [u8; 16], sid: u128,
        at in 0..140_usize, byte in prop::sample::select(b"0123456789.-+eE\"\\{}[]:, \nabuxABF\x00\x7f".to_vec()), cut: bool,
    ) {
        let mut text = payload(id, exp, iat, jti, sid).into_bytes();
        if let Some(place) = text.get_mut(at) {
            if cut { text.remove(at); } else { *place = byte; }
        }
        prop_assert_eq!(read_claims(&text, NOW), parse_claims(&text, NOW));
    }
}
