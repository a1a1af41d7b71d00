use crate::craft::{AUDIENCE, ISSUER, NOW, access_claims, key_set, pair, signed_by, unb64};
use doorwarden_token::access::{self, AccessClaims, Expect};
use doorwarden_token::{Algorithm, KeyPair, KeySet, Part, PublicKey, Refusal};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use uuid::Uuid;

fn expect() -> Expect {
    Expect::new(ISSUER, AUDIENCE)
}

fn verify(token: &str) -> Result<AccessClaims, Refusal> {
    access::verify(token, &key_set(&[pair(Algorithm::EdDsa)]), &expect(), NOW)
}

fn header() -> String {
    format!(r#"{{"alg":"EdDSA","kid":"{}","typ":"at+jwt"}}"#, pair(Algorithm::EdDsa).id())
}

/// The verdict on a well-signed token with one claim changed; `null` removes it.
fn with(name: &str, value: &Value) -> Result<AccessClaims, Refusal> {
    let mut claims = json!({
        "iss": ISSUER, "sub": "7", "aud": AUDIENCE, "exp": NOW + 300, "iat": NOW, "jti": "a1", "client_id": "web",
    });
    if value.is_null() {
        claims.as_object_mut().unwrap().remove(name);
    } else {
        claims[name] = value.clone();
    }
    verify(&signed_by(pair(Algorithm::EdDsa), header(), claims.to_string()))
}

#[test]
fn a_token_has_the_documented_form() {
    for algorithm in Algorithm::ALL {
        let token = access::sign(pair(algorithm), &access_claims()).unwrap();
        let parts: Vec<_> = token.split('.').collect();
        let header: Value = serde_json::from_slice(&unb64(parts[0])).unwrap();
        assert_eq!(header, json!({"alg": algorithm.as_str(), "kid": pair(algorithm).id(), "typ": "at+jwt"}));
        let claims: Value = serde_json::from_slice(&unb64(parts[1])).unwrap();
        let expected = json!({
            "iss": ISSUER, "sub": "7", "aud": AUDIENCE, "exp": NOW + 300, "iat": NOW, "jti": "a1", "client_id": "web",
        });
        assert_eq!(claims, expected, "nothing that was not asked for");
        assert_eq!(access::verify(&token, &key_set(&[pair(algorithm)]), &expect(), NOW), Ok(access_claims()));
    }
}

#[test]
fn every_claim_is_read_back() {
    let claims = AccessClaims {
        aud: vec!["other".into(), AUDIENCE.into()],
        id: Some(7),
        sid: Some(Uuid::from_u128(5)),
        amr: vec!["pwd".into(), "otp".into()],
        auth_time: Some(NOW - 9),
        acr: Some("2".into()),
        extra: json!({"roles": ["a"], "n": {"m": 1.5}, "text": "ä\"\\"}).as_object().unwrap().clone(),
        ..access_claims()
    };
    assert_eq!(verify(&access::sign(pair(Algorithm::EdDsa), &claims).unwrap()), Ok(claims));
}

#[test]
fn an_extra_claim_cannot_pose_as_a_real_one() {
    let names = [
        "iss",
        "sub",
        "aud",
        "exp",
        "iat",
        "nbf",
        "jti",
        "client_id",
        "id",
        "sid",
        "amr",
        "auth_time",
        "acr",
    ];
    let extra: Map<_, _> =
        names.into_iter().map(|name| (name.to_owned(), json!(9_999_999_999_i64))).collect();
    let token = access::sign(pair(Algorithm::EdDsa), &AccessClaims { extra, ..access_claims() }).unwrap();
    assert_eq!(verify(&token), Ok(access_claims()));
}

#[test]
fn a_token_is_at_most_4_kib_long() {
    let padded = |n| {
        let extra = json!({"a": "x".repeat(n)}).as_object().unwrap().clone();
        access::sign(pair(Algorithm::EdDsa), &AccessClaims { extra, ..access_claims() })
    };
    assert!(padded(2000).is_ok());
    let refused = padded(3000).unwrap_err();
    assert!(refused.bytes > access::MAX_BYTES, "{refused}");
}

#[test]
fn the_claims_of_rfc_9068_are_required_and_typed() {
    for name in ["iss", "sub", "aud", "exp", "iat", "jti", "client_id"] {
        assert_eq!(with(name, &Value::Null), Err(Refusal::MissingClaim(name)));
        for wrong in [json!(true), json!({}), json!([1])] {
            assert_eq!(with(name, &wrong), Err(Refusal::BadClaim(name)), "{name} {wrong}");
        }
    }
    for name in ["nbf", "sid", "amr", "auth_time", "acr"] {
        assert_eq!(with(name, &json!({})), Err(Refusal::BadClaim(name)));
    }
    for wrong in [json!("7"), json!(7.0), json!(false), json!([])] {
        assert_eq!(with("id", &wrong), Err(Refusal::BadSubject));
    }
    assert_eq!(with("id", &json!(7)).map(|c| c.id), Ok(Some(7)));
    assert_eq!(with("sub", &json!(7)), Err(Refusal::BadClaim("sub")));
    for text in ["iss", "sub", "jti", "client_id"] {
        assert_eq!(with(text, &json!([ISSUER])), Err(Refusal::BadClaim(text)));
    }
}

#[test]
fn the_issuer_is_compared_exactly() {
    for wrong in [
        "",
        "https://id.example/",
        "https://id.exampl",
        "https://id.example.evil",
        "HTTPS://id.example",
        " https://id.example",
    ] {
        assert_eq!(with("iss", &json!(wrong)), Err(Refusal::WrongIssuer), "{wrong}");
    }
}

#[test]
fn the_audience_is_contained_exactly() {
    for good in [json!(AUDIENCE), json!([AUDIENCE]), json!(["x", AUDIENCE, "y"])] {
        assert!(with("aud", &good).is_ok(), "{good}");
    }
    for wrong in [
        json!(""),
        json!([]),
        json!("https://api.example2"),
        json!("https://api.exampl"),
        json!(["x"]),
        json!([format!("{AUDIENCE},x")]),
    ] {
        assert_eq!(with("aud", &wrong), Err(Refusal::WrongAudience), "{wrong}");
    }
    for wrong in
        [json!(1), json!([[AUDIENCE]]), json!([AUDIENCE, 1]), json!({"0": AUDIENCE}), json!([AUDIENCE, null])]
    {
        assert_eq!(with("aud", &wrong), Err(Refusal::BadClaim("aud")), "{wrong}");
    }
}

#[test]
fn leeway_is_at_most_a_minute() {
    let token = access::sign(pair(Algorithm::EdDsa), &access_claims()).unwrap();
    let at = |leeway, now| {
        let keys = key_set(&[pair(Algorithm::EdDsa)]);
        access::verify(&token, &keys, &expect().leeway_secs(leeway), now).map(|_| ())
    };
    assert_eq!((at(0, NOW + 299), at(0, NOW + 300)), (Ok(()), Err(Refusal::Expired)));
    assert_eq!((at(30, NOW + 329), at(30, NOW + 330)), (Ok(()), Err(Refusal::Expired)));
    assert_eq!((at(3600, NOW + 359), at(3600, NOW + 360)), (Ok(()), Err(Refusal::Expired)));
    assert_eq!((at(0, NOW - 60), at(60, NOW - 61)), (Ok(()), Err(Refusal::IssuedInFuture)));
    assert_eq!(with("nbf", &json!(NOW + 1)), Err(Refusal::NotYetValid));
    assert_eq!(at(0, i64::MAX), Err(Refusal::Expired));
    assert_eq!(at(0, i64::MIN), Err(Refusal::IssuedInFuture));
}

#[test]
fn the_type_is_a_media_type() {
    let typ = |typ: &str| {
        let header = format!(r#"{{"alg":"EdDSA","kid":"{}","typ":{typ}}}"#, pair(Algorithm::EdDsa).id());
        let token = access::sign(pair(Algorithm::EdDsa), &access_claims()).unwrap();
        verify(&signed_by(pair(Algorithm::EdDsa), header, unb64(token.split('.').nth(1).unwrap())))
            .map(|_| ())
    };
    for good in ["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt", r"application\/at\u002bjwt"]
    {
        assert_eq!(typ(&format!("\"{good}\"")), Ok(()), "{good}");
    }
    for wrong in [
        "\"JWT\"",
        "\"\"",
        "null",
        "1",
        "\"at\"",
        "\"at+jwt \"",
        "\"text/at+jwt\"",
        "\"application/\"",
        "\"application/application/at+jwt\"",
    ] {
        assert_eq!(typ(wrong), Err(Refusal::WrongType), "{wrong}");
    }
}

#[test]
fn keys_come_and_go() {
    let (old, new) = (KeyPair::ed25519(&[1; 32]).unwrap(), pair(Algorithm::Es256));
    let tokens = [&old, new].map(|key| access::sign(key, &access_claims()).unwrap());
    let verify = |token: &str, keys: &KeySet| access::verify(token, keys, &expect(), NOW).map(|_| ());
    let both = key_set(&[&old, new]);
    assert_eq!(tokens.each_ref().map(|t| verify(t, &both)), [Ok(()), Ok(())], "while both are published");
    let after = key_set(&[new]);
    assert_eq!(
        tokens.each_ref().map(|t| verify(t, &after)),
        [Err(Refusal::UnknownKey), Ok(())],
        "the old one is retired"
    );
    assert_eq!(verify(&tokens[0], &KeySet::default()), Err(Refusal::UnknownKey));
}

#[test]
fn another_spelling_of_the_usual_header_gets_the_same_verdict() {
    let spaced = header().replace(',', ", ");
    let good = json!({"iss": ISSUER, "sub": "7", "aud": AUDIENCE, "exp": NOW + 300, "iat": NOW, "jti": "a1", "client_id": "web"});
    let changed = [
        ("exp", json!(NOW)),
        ("iss", json!("x")),
        ("aud", json!("x")),
        ("jti", json!(7)),
        ("nbf", json!(NOW + 9)),
    ];
    let payloads = changed.map(|(name, value)| {
        let mut claims = good.clone();
        claims[name] = value;
        claims.to_string()
    });
    let mut seen = Vec::new();
    for payload in payloads.into_iter().chain([good.to_string(), "[]".to_owned(), String::new()]) {
        let [usual, other] = [header(), spaced.clone()].map(|header| {
            let token = signed_by(pair(Algorithm::EdDsa), header, &payload);
            let (signed, signature) = token.rsplit_once('.').unwrap();
            let foreign = signed_by(pair(Algorithm::Es256), header_of(&token), &payload);
            let broken = [
                token.clone(),
                format!("{signed}."),
                format!("{signed}.{signature}A"),
                format!("{signed}.{}", "A".repeat(86)),
                format!("{signed}.{}", foreign.rsplit_once('.').unwrap().1),
                format!("{signed}=.{signature}"),
            ];
            broken.map(|token| verify(&token))
        });
        assert_eq!(usual, other, "{payload}");
        seen.extend(usual);
    }
    assert_eq!(seen.iter().filter(|verdict| verdict.is_ok()).count(), 1);
}

/// The header of a token, as text.
fn header_of(token: &str) -> String {
    String::from_utf8(unb64(token.split('.').next().unwrap())).unwrap()
}

#[test]
fn a_key_id_cannot_bring_header_members_along() {
    let key = pair(Algorithm::EdDsa);
    let trick = r#"k","typ":"at+jwt"#;
    let mut jwk: Value = serde_json::from_str(&key.public().to_jwk()).unwrap();
    jwk["kid"] = json!(trick);
    let set = KeySet::new(vec![PublicKey::from_jwk(&jwk.to_string()).unwrap()]).unwrap();
    let header = format!(r#"{{"alg":"EdDSA","kid":"{trick}","typ":"at+jwt"}}"#);
    let token = signed_by(
        key,
        header,
        unb64(access::sign(key, &access_claims()).unwrap().split('.').nth(1).unwrap()),
    );
    assert_eq!(access::verify(&token, &set, &expect(), NOW), Err(Refusal::DuplicateMember(Part::Header)));
    let named = json!({"alg": "EdDSA", "kid": trick, "typ": "at+jwt"}).to_string();
    let token = signed_by(key, named, unb64(token.split('.').nth(1).unwrap()));
    assert_eq!(access::verify(&token, &set, &expect(), NOW), Ok(access_claims()));
}

proptest! {
    #[test]
    fn what_is_signed_is_read_back(
        sub in "\\PC{0,20}", jti in "\\PC{0,20}", client_id in "\\PC{0,20}", exp in NOW + 1..NOW + 900,
        aud in prop::collection::vec("\\PC{0,9}", 0..3), id: Option<i64>, sid: Option<u128>, amr in prop::collection::vec("\\PC{1,9}", 0..3),
        acr in prop::option::of("\\PC{0,9}"), extra in prop::collection::btree_map("x\\PC{0,9}", "\\PC{0,9}", 0..5),
    ) {
        let claims = AccessClaims {
            sub, jti, client_id, exp, id, amr, acr, sid: sid.map(Uuid::from_u128),
            aud: [aud, vec![AUDIENCE.into()]].concat(),
            extra: extra.into_iter().map(|(name, value)| (name, json!(value))).collect(),
            ..access_claims()
        };
        let token = access::sign(pair(Algorithm::EdDsa), &claims).unwrap();
        prop_assert_eq!(verify(&token), Ok(claims));
    }

    #[test]
    fn no_signed_bytes_make_it_panic(header in prop::collection::vec(any::<u8>(), 0..40), payload in prop::collection::vec(any::<u8>(), 0..80)) {
        let key = pair(Algorithm::EdDsa);
        prop_assert!(verify(&signed_by(key, header, &payload)).is_err());
        prop_assert!(verify(&signed_by(key, self::header(), payload)).is_err());
    }
}

#[test]
fn a_signed_token_can_be_read_although_it_is_not_valid() {
    let (own, others) = (pair(Algorithm::EdDsa), pair(Algorithm::Es256));
    let claims = AccessClaims { iss: "https://other.example".into(), exp: NOW - 1, ..access_claims() };
    let token = access::sign(own, &claims).unwrap();
    assert!(verify(&token).is_err());
    assert_eq!(access::read(&token, &key_set(&[own])), Ok(claims));
    assert_eq!(access::read(&token, &key_set(&[others])), Err(Refusal::UnknownKey));
    let (cut, _) = token.rsplit_once('.').unwrap();
    assert_eq!(access::read(&format!("{cut}."), &key_set(&[own])), Err(Refusal::BadSignature));
}
