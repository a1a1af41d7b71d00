use crate::craft::{NOW, SECRET, b64, hs256, hs256_raw, secret, session, session_keys, unb64};
use doorwarden_token::{Part, Refusal, session::SessionClaims, session::SessionTokenKeys};
use proptest::prelude::*;
use uuid::Uuid;

const SID: Uuid = Uuid::from_u128(0x0192_f3a4_0000_7000_8000_0000_0000_0001);

fn claims() -> SessionClaims {
    SessionClaims { id: 7, exp: NOW + 300, iat: Some(NOW), jti: Some([0xfb; 16]), sid: Some(SID) }
}

fn verify(token: &str) -> Result<SessionClaims, Refusal> {
    session_keys().verify(token, NOW)
}

/// The verdict on a token with `id`, a valid `exp` and these further members.
fn with(members: &str) -> Result<SessionClaims, Refusal> {
    verify(&session(format!(r#"{{"id":7,"exp":{},{members}}}"#, NOW + 300)))
}

fn with_header(header: &str) -> Result<SessionClaims, Refusal> {
    verify(&hs256(SECRET.as_bytes(), header, format!(r#"{{"id":7,"exp":{}}}"#, NOW + 300)))
}

#[test]
fn a_token_has_exactly_the_documented_form() {
    let token = session_keys().sign(&claims());
    let parts: Vec<_> = token.split('.').collect();
    assert_eq!(unb64(parts[0]), br#"{"typ":"JWT","alg":"HS256"}"#);
    assert_eq!(
        String::from_utf8(unb64(parts[1])).unwrap(),
        r#"{"id":7,"exp":1700000300,"iat":1700000000,"jti":"-_v7-_v7-_v7-_v7-_v7-w","sid":"0192f3a4-0000-7000-8000-000000000001"}"#
    );
    assert_eq!(token, session(unb64(parts[1])), "the signature is HMAC-SHA256");
    assert_eq!(verify(&token), Ok(claims()));
}

#[test]
fn a_token_of_django_has_only_id_and_exp() {
    // jwt.encode({'id': 7, 'exp': 1700000300}, SECRET, algorithm='HS256') of PyJWT 1.6.4 and of PyJWT 2.
    let expected = SessionClaims { iat: None, jti: None, sid: None, ..claims() };
    for header in [r#"{"typ":"JWT","alg":"HS256"}"#, r#"{"alg":"HS256","typ":"JWT"}"#] {
        assert_eq!(with_header(header), Ok(expected));
    }
    let token = session_keys().sign(&expected);
    assert_eq!(unb64(token.split('.').nth(1).unwrap()), br#"{"id":7,"exp":1700000300}"#);
    assert_eq!(verify(&token), Ok(expected));
}

#[test]
fn exp_is_judged_without_leeway() {
    let token = session_keys().sign(&claims());
    assert_eq!(session_keys().verify(&token, NOW + 299), Ok(claims()));
    assert_eq!(session_keys().verify(&token, NOW + 300), Err(Refusal::Expired));
    assert_eq!(session_keys().verify(&token, i64::MAX), Err(Refusal::Expired));
}

#[test]
fn exp_must_be_there_and_a_number() {
    let exp = |value: &str| verify(&session(format!(r#"{{"id":7,"exp":{value}}}"#)));
    assert_eq!(verify(&session(r#"{"id":7}"#)), Err(Refusal::MissingClaim("exp")));
    for wrong in [
        "null",
        "true",
        "\"1700000300\"",
        "[1700000300]",
        "{}",
        "1e400",
        "-1e400",
        "18446744073709551616",
        "1e30",
    ] {
        assert_eq!(exp(wrong), Err(Refusal::BadClaim("exp")), "{wrong}");
    }
    for past in ["-1", "0", "1699999999", "1700000000", "1700000000.9", "-0"] {
        assert_eq!(exp(past), Err(Refusal::Expired), "{past}");
    }
    for good in ["1700000001", "1700000001.5", "1.7000003e9", "9007199254740991"] {
        assert!(exp(good).is_ok(), "{good}");
    }
    assert_eq!(exp("NaN"), Err(Refusal::BadJson(Part::Payload)));
}

#[test]
fn nbf_may_not_lie_in_the_future() {
    let ours = |nbf: i64| with(&format!(r#""sid":"{SID}","nbf":{nbf}"#));
    assert!(ours(1_700_000_000).is_ok());
    assert_eq!(ours(1_700_000_001), Err(Refusal::NotYetValid));
    for wrong in ["null", "\"0\"", "false", "[0]", "1e400"] {
        assert_eq!(with(&format!(r#""nbf":{wrong}"#)), Err(Refusal::BadClaim("nbf")), "{wrong}");
    }
}

#[test]
fn iat_may_lie_in_the_future_by_a_minute_because_clocks_differ() {
    assert!(with(r#""iat":1700000060"#).is_ok());
    assert_eq!(with(r#""iat":1700000061"#), Err(Refusal::IssuedInFuture));
    for wrong in ["null", "\"0\"", "false", "{}"] {
        assert_eq!(with(&format!(r#""iat":{wrong}"#)), Err(Refusal::BadClaim("iat")), "{wrong}");
    }
}

#[test]
fn a_token_with_a_session_outlives_a_clock_that_is_set_back() {
    let token = session_keys().sign(&SessionClaims { exp: NOW + 7200, iat: Some(NOW + 3600), ..claims() });
    assert!(verify(&token).is_ok());
    let unusual = with(&format!(r#""iat":{},"sid":"{SID}""#, NOW + 3600));
    assert!(unusual.is_ok());
}

#[test]
fn a_token_without_session_has_only_the_claims_of_django() {
    assert!(verify(&session(r#"{"id":7,"exp":1700000300}"#)).is_ok());
    assert!(with(r#""iat":1700000000,"jti":"AQEBAQEBAQEBAQEBAQEBAQ""#).is_ok());
    for other in [
        r#""token_type":"refresh""#,
        r#""purpose":"verify-email""#,
        r#""email":"a@example.com""#,
        r#""sub":"7""#,
        r#""iss":"x""#,
        r#""nbf":0"#,
        r#""user_id":7"#,
        r#""a":null"#,
        r#""":1"#,
        r#""ID":7"#,
    ] {
        assert_eq!(with(other), Err(Refusal::OtherPurpose), "{other}");
        assert!(with(&format!(r#"{other},"sid":"{SID}""#)).is_ok(), "with a session: {other}");
    }
    assert_eq!(verify(&session(r#"{"purpose":"x","id":7,"exp":1}"#)), Err(Refusal::Expired));
}

#[test]
fn a_missing_user_and_an_impossible_user_are_refused_differently() {
    let id = |value: &str| verify(&session(format!(r#"{{"id":{value},"exp":1700000300}}"#)));
    assert_eq!(verify(&session(r#"{"exp":1700000300}"#)), Err(Refusal::NoSubject));
    assert_eq!(id("null"), Err(Refusal::NoSubject));
    for wrong in
        ["\"7\"", "7.0", "7e0", "true", "[7]", "{}", "\"\"", "9223372036854775808", "-9223372036854775809"]
    {
        assert_eq!(id(wrong), Err(Refusal::BadSubject), "{wrong}");
    }
    for good in [i64::MIN, -1, 0, 1, i64::MAX] {
        assert_eq!(id(&good.to_string()).map(|c| c.id), Ok(good));
    }
}

#[test]
fn an_expired_token_is_refused_as_expired_whatever_its_user() {
    assert_eq!(verify(&session(r#"{"exp":1}"#)), Err(Refusal::Expired));
    assert_eq!(verify(&session(r#"{"exp":1,"id":"x"}"#)), Err(Refusal::Expired));
}

#[test]
fn a_session_token_with_an_audience_is_refused() {
    for aud in ["\"us\"", "[\"us\"]", "[]", "null", "\"\"", "1"] {
        assert_eq!(with(&format!(r#""aud":{aud}"#)), Err(Refusal::WrongAudience), "{aud}");
    }
}

#[test]
fn sid_is_a_uuid_and_jti_a_string() {
    assert_eq!(with(&format!(r#""sid":"{SID}""#)).map(|c| c.sid), Ok(Some(SID)));
    let simple = format!("\"{}\"", SID.simple());
    let braced = format!("\"{}\"", SID.braced());
    for wrong in ["null", "1", "\"\"", &simple, &braced, "\"0192f3a4-0000-7000-8000-00000000000g\"", "[]"] {
        assert_eq!(with(&format!(r#""sid":{wrong}"#)), Err(Refusal::BadClaim("sid")), "{wrong}");
    }
    assert_eq!(with(r#""jti":"-_v7-_v7-_v7-_v7-_v7-w""#).map(|c| c.jti), Ok(Some([0xfb; 16])));
    for other in ["\"\"", "\"0123456789abcdef0123456789abcdef\"", "\"-_v7-_v7-_v7-_v7-_v7-x\""] {
        assert_eq!(with(&format!(r#""jti":{other}"#)).map(|c| c.jti), Ok(None), "{other}");
    }
    for wrong in ["null", "1", "[\"a\"]"] {
        assert_eq!(with(&format!(r#""jti":{wrong}"#)), Err(Refusal::BadClaim("jti")), "{wrong}");
    }
}

#[test]
fn other_claims_are_skipped_but_must_be_json() {
    let ours = format!(r#""sid":"{SID}","iss":"x","sub":"y","a":[{{"b":null}}],"\u0438мя":"\ud83d\ude00""#);
    assert!(with(&ours).is_ok());
    for broken in [r#""a":"#, r#""a":tru"#, r#""a":[1,]"#, r#""a":"\ud83d""#, "\"a\":\"\n\""] {
        assert_eq!(with(broken), Err(Refusal::BadJson(Part::Payload)), "{broken}");
    }
    for payload in [
        "",
        "7",
        "null",
        "[]",
        "\"x\"",
        "{\"id\":7,\"exp\":1700000300} x",
        "\u{feff}{\"id\":7,\"exp\":1700000300}",
    ] {
        assert_eq!(verify(&session(payload)), Err(Refusal::BadJson(Part::Payload)), "{payload}");
    }
    assert_eq!(
        verify(&session(b"{\"id\":7,\"exp\":1700000300,\"a\":\"\xff\"}")),
        Err(Refusal::BadJson(Part::Payload))
    );
    assert!(verify(&session("\r\n{ \"id\" : 7,\t\"exp\":1700000300 } ")).is_ok(), "whitespace is valid JSON");
}

#[test]
fn no_member_may_occur_twice() {
    for twice in
        [r#""id":7"#, r#""exp":1700000300"#, r#""\u0065xp":1800000000"#, r#""a":1,"a":1"#, r#""i\u0064":8"#]
    {
        assert_eq!(with(twice), Err(Refusal::DuplicateMember(Part::Payload)), "{twice}");
    }
    assert_eq!(with_header(r#"{"alg":"HS256","alg":"HS256"}"#), Err(Refusal::DuplicateMember(Part::Header)));
    assert_eq!(
        with_header(r#"{"alg":"HS256","a":"none","\u0061lg":"none"}"#),
        Err(Refusal::DuplicateMember(Part::Header))
    );
    let many: Vec<_> = (0..31).map(|i| format!("\"m{i}\":0")).collect();
    assert_eq!(with(&many.join(",")), Err(Refusal::TooManyMembers(Part::Payload)));
}

#[test]
fn an_escaped_name_is_the_name() {
    assert_eq!(verify(&session(r#"{"\u0069d":7,"\u0065xp":1700000300}"#)).map(|c| c.id), Ok(7));
    assert_eq!(with(r#""\u0061ud":"us""#), Err(Refusal::WrongAudience));
}

#[test]
fn only_hs256_is_an_algorithm() {
    for header in [
        "{}",
        r#"{"alg":null}"#,
        r#"{"alg":""}"#,
        r#"{"alg":["HS256"]}"#,
        r#"{"alg":256}"#,
        r#"{"alg":"none"}"#,
        r#"{"alg":"hs256"}"#,
        r#"{"alg":"HS256 "}"#,
        r#"{"alg":"HS384"}"#,
        r#"{"alg":"HS512"}"#,
        r#"{"alg":"RS256"}"#,
        r#"{"alg":"EdDSA"}"#,
        r#"{"ALG":"HS256"}"#,
    ] {
        assert_eq!(with_header(header), Err(Refusal::WrongAlgorithm), "{header}");
    }
}

#[test]
fn typ_and_kid_are_ignored() {
    for header in [
        r#"{"alg":"HS256"}"#,
        r#"{"alg":"HS256","typ":"at+jwt"}"#,
        r#"{"alg":"HS256","typ":5}"#,
        r#"{"alg":"HS256","kid":"../../dev/null"}"#,
        r#"{"kid":null,"alg":"HS256","other":{"a":[]}}"#,
    ] {
        assert!(with_header(header).is_ok(), "{header}");
    }
}

#[test]
fn header_members_that_change_the_rules_are_refused() {
    for name in ["b64", "crit", "cty", "enc", "jku", "jwk", "x5c", "x5t", "x5t#S256", "x5u", "zip"] {
        for value in ["null", "[]", "true", "\"x\"", "{}"] {
            let header = format!(r#"{{"alg":"HS256","{name}":{value}}}"#);
            assert_eq!(with_header(&header), Err(Refusal::ForbiddenHeader(name)), "{header}");
        }
    }
}

#[test]
fn there_are_three_parts() {
    let token = session_keys().sign(&claims());
    let two = token.rsplit_once('.').unwrap().0;
    for wrong in [
        "",
        ".",
        "a",
        two,
        &format!("{token}."),
        &format!(".{token}"),
        &format!("{token}.x"),
        &".".repeat(8000),
    ] {
        assert_eq!(verify(wrong), Err(Refusal::NotThreeParts), "{wrong}");
    }
    assert_eq!(verify(&format!("{two}.")), Err(Refusal::BadSignature));
    assert_eq!(verify(".."), Err(Refusal::BadJson(Part::Header)));
}

#[test]
fn base64url_has_one_spelling() {
    // The header, the payload and the signature leave 0, 2 and 2 bits of their last character unused,
    // respectively.
    let (header, payload) =
        (b64(r#"{"alg":"HS256","a":"?>?>"}"#), b64(r#"{"id":7,"exp":1700000300,"jti":"?>?>"}"#));
    let part = |part: Part, wrong: &str| match part {
        Part::Header => hs256_raw(SECRET.as_bytes(), &format!("{wrong}.{payload}")),
        Part::Payload => hs256_raw(SECRET.as_bytes(), &format!("{header}.{wrong}")),
        Part::Signature => format!("{header}.{payload}.{wrong}"),
    };
    let good = part(Part::Payload, &payload);
    assert!(verify(&good).is_ok());
    let signature = good.rsplit('.').next().unwrap();
    for (which, text) in [(Part::Header, &*header), (Part::Payload, &payload), (Part::Signature, signature)] {
        let mut wrong = vec![
            format!("{text}="),
            format!("{text}=="),
            format!(" {text}"),
            format!("{text}\n"),
            format!("{text}\0"),
        ];
        wrong
            .extend([format!("{}\r\n{}", &text[..8], &text[8..]), format!("{}%3D", &text[..text.len() - 3])]);
        wrong.extend([text.replace('_', "/"), text.replace('-', "+")].into_iter().filter(|t| t != text));
        for wrong in wrong {
            assert_eq!(verify(&part(which, &wrong)), Err(Refusal::BadBase64(which)), "{wrong:?}");
        }
    }
    assert!(payload.contains(['_', '-']) && header.contains(['_', '-']));
}

#[test]
fn unused_bits_are_zero() {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let flipped = |text: &str| {
        let last = ALPHABET.iter().position(|&c| c == *text.as_bytes().last().unwrap()).unwrap();
        format!("{}{}", &text[..text.len() - 1], char::from(ALPHABET[last ^ 1]))
    };
    let token = session(r#"{"id":7,"exp":1700000300 }"#);
    let (signed, signature) = token.rsplit_once('.').unwrap();
    assert!(verify(&token).is_ok());
    assert_eq!(verify(&format!("{signed}.{}", flipped(signature))), Err(Refusal::BadBase64(Part::Signature)));
    assert_eq!(
        verify(&hs256_raw(SECRET.as_bytes(), &flipped(signed))),
        Err(Refusal::BadBase64(Part::Payload))
    );
}

#[test]
fn a_token_is_at_most_8_kib_long() {
    let padded = |n: usize| session(format!(r#"{{"id":7,"exp":1700000300,"jti":"{}"}}"#, "x".repeat(n)));
    let longest = (0..6200).rev().map(padded).find(|t| t.len() <= 8192).unwrap();
    assert!(longest.len() > 8188);
    assert!(verify(&longest).is_ok());
    assert_eq!(verify(&padded(6200)), Err(Refusal::TooLong));
}

#[test]
fn old_keys_verify_and_do_not_sign() {
    let (old, older, new) = (secret(SECRET), secret(&"older".repeat(8)), secret(&"new".repeat(20)));
    let token = SessionTokenKeys::new(&old, &[]).sign(&claims());
    assert_eq!(SessionTokenKeys::new(&new, &[]).verify(&token, NOW), Err(Refusal::BadSignature));
    let keys = SessionTokenKeys::new(&new, &[older, old.clone()]);
    assert_eq!(keys.verify(&token, NOW), Ok(claims()));
    assert_eq!(SessionTokenKeys::new(&new, &[]).verify(&keys.sign(&claims()), NOW), Ok(claims()));
    assert_eq!(
        SessionTokenKeys::new(&old, &[]).verify(&keys.sign(&claims()), NOW),
        Err(Refusal::BadSignature)
    );
}

#[test]
fn verifying_does_not_allocate() {
    let keys = session_keys();
    let token = keys.sign(&claims());
    let forged = format!("{}A", &token[..token.len() - 1]);
    let unusual =
        hs256(SECRET.as_bytes(), r#"{"alg":"HS256","kid":"1"}"#, r#"{"iat":1,"id":7,"exp":1700000300}"#);
    let long = session(format!(r#"{{"id":7,"exp":1700000300,"jti":"{}"}}"#, "x".repeat(4000)));
    let counted = allocation_counter::measure(|| {
        assert!(keys.verify(&token, NOW).is_ok());
        assert!(keys.verify(&token, NOW + 300).is_err());
        assert!(keys.verify(&forged, NOW).is_err());
        assert!(keys.verify(&unusual, NOW).is_ok());
        assert!(keys.verify(&long, NOW).is_ok());
    });
    assert_eq!(counted.count_total, 0, "{counted:?}");
    assert!(allocation_counter::measure(|| drop(keys.sign(&claims()))).count_total > 0, "the counter counts");
}

prop_compose! {
    fn any_claims()(id: i64, exp in 0..(1_i64 << 53), iat in prop::option::of(-1000..NOW), jti: Option<[u8; 16]>, sid: Option<u128>) -> SessionClaims {
        SessionClaims { id, exp, iat, jti, sid: sid.map(Uuid::from_u128) }
    }
}

proptest! {
    #[test]
    fn what_is_signed_verifies_until_it_expires(claims in any_claims(), now in 0..(1_i64 << 53)) {
        let token = session_keys().sign(&claims);
        let now = now.max(NOW);
        let expected = if now < claims.exp { Ok(claims) } else { Err(Refusal::Expired) };
        prop_assert_eq!(session_keys().verify(&token, now), expected);
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,80}", dots in "[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,50}") {
        prop_assert!(verify(&text).is_err());
        prop_assert!(verify(&dots).is_err());
    }

    #[test]
    fn no_signed_bytes_make_it_panic(header in prop::collection::vec(any::<u8>(), 0..40), payload in prop::collection::vec(any::<u8>(), 0..80)) {
        prop_assert!(verify(&hs256(SECRET.as_bytes(), header, &payload)).is_err());
        prop_assert!(verify(&session(payload)).is_err());
    }
}

#[test]
fn any_changed_byte_refuses() {
    let token = session_keys().sign(&claims());
    for at in 0..token.len() {
        for byte in (0..128_u8).filter(|&b| b != token.as_bytes()[at]) {
            let mut changed = token.clone().into_bytes();
            changed[at] = byte;
            assert!(verify(std::str::from_utf8(&changed).unwrap()).is_err(), "{byte:#x} at {at}");
        }
    }
}
