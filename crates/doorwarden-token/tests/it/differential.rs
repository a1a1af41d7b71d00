//! Comparison with jsonwebtoken: each verifies what the other signs, and jsonwebtoken accepts every token
//! that Doorwarden accepts. Its clock cannot be set, so the tokens are valid until the year 2200.

use crate::craft::{AUDIENCE, ISSUER, NOW, SECRET, access_claims, key_set, pair, session, session_keys};
use doorwarden_token::access::{self, AccessClaims, Expect};
use doorwarden_token::session::SessionClaims;
use doorwarden_token::{Algorithm, KeyPair};
use jsonwebtoken::{DecodingKey, EncodingKey, Header, Validation};
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

const EXP: i64 = 7_258_118_400;

fn theirs(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
    match algorithm {
        Algorithm::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
        Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
    }
}

fn they_decode_session(token: &str) -> Option<Value> {
    let key = DecodingKey::from_secret(SECRET.as_bytes());
    let mut validation = Validation::new(jsonwebtoken::Algorithm::HS256);
    validation.validate_nbf = true;
    jsonwebtoken::decode(token, &key, &validation).ok().map(|data| data.claims)
}

fn they_decode_access(pair: &KeyPair, token: &str) -> Option<Value> {
    let jwk: jsonwebtoken::jwk::Jwk = serde_json::from_str(&pair.public().to_jwk()).unwrap();
    let mut validation = Validation::new(theirs(pair.algorithm()));
    validation.set_audience(&[AUDIENCE]);
    validation.set_issuer(&[ISSUER]);
    validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
    let key = DecodingKey::from_jwk(&jwk).unwrap();
    jsonwebtoken::decode(token, &key, &validation).ok().map(|data| data.claims)
}

fn they_encode_access(pair: &KeyPair, claims: &Value) -> String {
    let der = pair.to_pkcs8();
    let key = match pair.algorithm() {
        Algorithm::EdDsa => EncodingKey::from_ed_der(&der),
        Algorithm::Es256 => EncodingKey::from_ec_der(&der),
        // PKCS#8 is PKCS#1 after a prefix of 26 bytes that names the algorithm.
        Algorithm::Rs256 => EncodingKey::from_rsa_der(&der[26..]),
    };
    let mut header = Header::new(theirs(pair.algorithm()));
    header.typ = Some("at+jwt".into());
    header.kid = Some(pair.id().into());
    jsonwebtoken::encode(&header, claims, &key).unwrap()
}

#[test]
fn session_tokens_are_read_both_ways() {
    let claims =
        SessionClaims { id: 7, exp: EXP, iat: Some(NOW), jti: Some([9; 16]), sid: Some(Uuid::from_u128(3)) };
    let token = session_keys().sign(&claims);
    let seen = they_decode_session(&token).unwrap();
    assert_eq!(
        seen,
        json!({"id": 7, "exp": EXP, "iat": NOW, "jti": "CQkJCQkJCQkJCQkJCQkJCQ", "sid": Uuid::from_u128(3)})
    );
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let token = jsonwebtoken::encode(&Header::default(), &seen, &key).unwrap();
    assert_eq!(session_keys().verify(&token, NOW), Ok(claims));
}

#[test]
fn access_tokens_are_read_both_ways() {
    for algorithm in Algorithm::ALL {
        let pair = pair(algorithm);
        let claims = AccessClaims { exp: EXP, id: Some(7), ..access_claims() };
        let token = access::sign(pair, &claims).unwrap();
        let seen = they_decode_access(pair, &token).unwrap();
        assert_eq!((&seen["id"], &seen["iss"], &seen["exp"]), (&json!(7), &json!(ISSUER), &json!(EXP)));
        let token = they_encode_access(pair, &seen);
        let expect = Expect::new(ISSUER, AUDIENCE);
        assert_eq!(access::verify(&token, &key_set(&[pair]), &expect, NOW), Ok(claims), "{algorithm:?}");
    }
}

proptest! {
    #[test]
    fn what_we_accept_of_signed_claims_they_accept(
        members in prop::collection::vec((prop::sample::select(vec!["id", "exp", "nbf", "iat", "aud", "sub", "iss", "jti", "sid", "x"]),
            prop::sample::select(vec!["7", "7258118400", "1700000000", "1e9", "7258118400.5", "-1", "0", "\"a\"", "true", "null", "[]", "{}", "1e400"])), 0..5),
    ) {
        let members: Vec<_> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        let token = session(format!("{{{}}}", members.join(",")));
        if let Ok(claims) = session_keys().verify(&token, NOW) {
            let seen = they_decode_session(&token);
            prop_assert_eq!(seen.as_ref().map(|seen| &seen["id"]), Some(&json!(claims.id)));
        }
    }

    #[test]
    fn what_we_accept_of_mutilated_tokens_they_accept(at in 0..400_usize, byte in 0..128_u8, cut: bool, algorithm in prop::sample::select(Algorithm::ALL.to_vec())) {
        let claims = SessionClaims { id: 7, exp: EXP, iat: Some(NOW), jti: None, sid: None };
        let pair = pair(algorithm);
        let access = access::sign(pair, &AccessClaims { exp: EXP, ..access_claims() }).unwrap();
        let mutilated = |token: String| {
            let mut bytes = token.into_bytes();
            let at = at % bytes.len();
            if cut { bytes.remove(at); } else { bytes[at] = byte; }
            String::from_utf8(bytes).unwrap()
        };
        let (session, access) = (mutilated(session_keys().sign(&claims)), mutilated(access));
        if session_keys().verify(&session, NOW).is_ok() {
            prop_assert!(they_decode_session(&session).is_some());
        }
        if access::verify(&access, &key_set(&[pair]), &Expect::new(ISSUER, AUDIENCE), NOW).is_ok() {
            prop_assert!(they_decode_access(pair, &access).is_some());
        }
    }
}
