//! `jwt_vectors.json`: tokens with the verdicts of PyJWT and jsonwebtoken.

use crate::craft::{NOW, SECRET, secret, session_keys};
use doorwarden_token::access::{self, Expect};
use doorwarden_token::inspect::inspect;
use doorwarden_token::jws::Jws;
use doorwarden_token::session::SessionTokenKeys;
use doorwarden_token::{KeySet, Part, PublicKey, Refusal};
use serde_json::Value;

fn file() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/jwt_vectors.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn cases(list: &str) -> Vec<Value> {
    let file = file();
    assert_eq!((&file["now"], &file["hs_secret"]), (&NOW.into(), &SECRET.into()));
    file[list].as_array().unwrap().clone()
}

fn text<'a>(case: &'a Value, name: &str) -> &'a str {
    case[name].as_str().unwrap()
}

/// The tokens name their user in `user_id`. So a token that is valid in every other respect is refused
/// because it has no `id`.
const FINE: Refusal = Refusal::NoSubject;

/// The expected verdict on each case, with the reason where the file leaves a choice or Doorwarden is
/// stricter.
fn expected(id: &str) -> Refusal {
    match id {
        "exp-past" => Refusal::Expired,
        // A fraction of a second is fine. `jti` is optional here and `token_type` means nothing: those are
        // rules of simplejwt, not of JWT. A choice: `typ` is ignored, because the algorithm distinguishes the
        // kinds of token.
        "exp-float" | "unicode-claim" | "jti-missing" | "type-refresh" | "typ-at+jwt" => FINE,
        // A number that no clock will ever show.
        "exp-huge" => Refusal::BadClaim("exp"),
        "nbf-future" => Refusal::NotYetValid,
        "alg-none" | "alg-None" | "alg-NONE" | "alg-nOnE" | "alg-none-with-sig" | "alg-hs512" => {
            Refusal::WrongAlgorithm
        }
        "two-segments" | "four-segments" => Refusal::NotThreeParts,
        "garbage" => Refusal::BadBase64(Part::Header),
        "padding" => Refusal::BadBase64(Part::Signature),
        "payload-array" => Refusal::BadJson(Part::Payload),
        // Choices: refused rather than the last one taken; never fetched, never trusted.
        "payload-dup-keys" => Refusal::DuplicateMember(Part::Payload),
        "jku" => Refusal::ForbiddenHeader("jku"),
        "jwk-embedded" => Refusal::ForbiddenHeader("jwk"),
        "big-payload" => Refusal::TooLong,
        "dots" => Refusal::BadJson(Part::Header),
        other => panic!("an unknown case: {other}"),
    }
}

#[test]
fn session_tokens_get_the_recorded_verdicts() {
    for case in cases("cases") {
        let (id, token) = (text(&case, "id"), text(&case, "token"));
        let refusal = session_keys().verify(token, NOW).unwrap_err();
        assert_eq!(refusal, expected(id), "{id}");
        if case["valid"] == true {
            assert_eq!(refusal, FINE, "{id} is valid");
        }
        let simplejwt = ["jti-missing", "type-refresh"].contains(&id);
        if case["valid"] == false && !simplejwt {
            assert_ne!(refusal, FINE, "{id} is not valid");
        }
    }
}

#[test]
fn pyjwt_accepts_every_token_that_doorwarden_accepts() {
    for case in cases("cases").iter().chain(&cases("rsa_cases")) {
        if session_keys().verify(text(case, "token"), NOW) == Err(FINE) {
            assert_eq!(case["pyjwt_2_15_1"], "accept", "{}", case["id"]);
        }
    }
}

#[test]
fn tokens_of_other_algorithms_and_confused_ones_are_no_session_tokens() {
    let public_pem = file()["rsa_public_pem"].as_str().unwrap().to_owned();
    let confused = SessionTokenKeys::new(&secret(&public_pem), &[secret(public_pem.trim())]);
    for case in cases("rsa_cases") {
        let (id, token) = (text(&case, "id"), text(&case, "token"));
        let expected =
            if id.starts_with("rs-confusion") { Refusal::BadSignature } else { Refusal::WrongAlgorithm };
        assert_eq!(session_keys().verify(token, NOW), Err(expected), "{id}");
        // The attack is real: with the public key as the secret, the signature would be valid.
        assert_eq!(confused.verify(token, NOW) == Err(FINE), id.starts_with("rs-confusion"), "{id}");
        let as_access = access::verify(token, &KeySet::default(), &Expect::new("a", "b"), NOW);
        assert_eq!(as_access, Err(Refusal::WrongType), "{id}");
    }
}

#[test]
fn session_tokens_have_no_audience() {
    for case in cases("aud_iss_cases") {
        let verdict = session_keys().verify(text(&case, "token"), NOW);
        let expected = if case["id"] == "aud-missing" { FINE } else { Refusal::WrongAudience };
        assert_eq!(verdict, Err(expected), "{}", case["id"]);
    }
}

#[test]
fn the_examples_of_the_rfcs_are_read() {
    let rfc = cases("rfc");
    let [hs256, eddsa, unsecured] = &rfc[..] else { panic!("three examples") };

    let key = crate::craft::unb64(hs256["key_jwk"]["k"].as_str().unwrap());
    let keys = SessionTokenKeys::new(&doorwarden_token::SecretKey::new(key).unwrap(), &[]);
    assert_eq!(keys.verify(text(hs256, "token"), NOW), Err(Refusal::Expired));
    assert_eq!(keys.verify(text(hs256, "token"), 1_300_819_379), Err(FINE), "valid, though it names no user");
    assert_eq!(Value::Object(inspect(text(hs256, "token")).unwrap().claims), hs256["payload"]);

    let mut jwk = eddsa["key_jwk"].clone();
    jwk.as_object_mut().unwrap().remove("d");
    let key = PublicKey::from_jwk(&jwk.to_string()).unwrap();
    assert_eq!(key.id(), eddsa["kid_thumbprint_RFC7638"]);
    let jws = Jws::parse(text(eddsa, "token")).unwrap();
    assert_eq!(jws.verify_with(&key), Ok(()));
    assert_eq!(jws.payload, eddsa["payload_text"].as_str().unwrap().as_bytes());

    assert_eq!(session_keys().verify(text(unsecured, "token"), 0), Err(Refusal::WrongAlgorithm));
}

#[test]
fn a_token_can_be_inspected_without_a_key() {
    for case in cases("cases") {
        let (id, token) = (text(&case, "id"), text(&case, "token"));
        let seen = inspect(token);
        let unreadable = ["two-segments", "four-segments", "payload-array", "big-payload", "dots", "garbage"];
        assert_eq!(seen.is_err(), unreadable.contains(&id), "{id}: {seen:?}");
    }
}
