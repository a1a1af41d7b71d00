//! Wycheproof's tests of JWS. [`Jws`] parses every token; aws-lc verifies signatures of algorithms that
//! Doorwarden does not support.

use crate::craft::{unb64, wycheproof};
use aws_lc_rs::signature::{
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaPublicKeyComponents,
};
use doorwarden_token::jws::Jws;
use doorwarden_token::session::SessionTokenKeys;
use doorwarden_token::{Part, PublicKey, Refusal, SecretKey};
use serde_json::Value;

/// Valid according to the file, but refused by every strict reader of RFC 7515: the key's `alg` differs from
/// the token's (or is `ES521`, which does not exist), or the base64url contains a `?` that the file wants
/// skipped.
const REFUSED: [i64; 6] = [346, 347, 350, 351, 372, 373];
/// Invalid according to the file, which removed their padding: byte for byte they are valid tokens of the
/// same group.
const ACCEPTED: [i64; 2] = [367, 370];

#[test]
fn all_cases_but_the_listed_eight_get_the_published_verdict() {
    let file = wycheproof("json_web_signature_test.json");
    let (mut agreed, mut refused, mut accepted) = (0, Vec::new(), Vec::new());
    for group in file["testGroups"].as_array().unwrap() {
        let key = group.get("public").unwrap_or(&group["private"]);
        for test in group["tests"].as_array().unwrap() {
            let id = test["tcId"].as_i64().unwrap();
            let holds = holds(key, test["jws"].as_str().unwrap());
            match (holds, test["result"] == "valid") {
                (true, false) => accepted.push(id),
                (false, true) => refused.push(id),
                _ => agreed += 1,
            }
        }
    }
    assert_eq!((agreed, &refused[..], &accepted[..]), (393, &REFUSED[..], &ACCEPTED[..]));
}

#[test]
fn supported_algorithms_are_verified_with_public_keys() {
    let file = wycheproof("json_web_signature_test.json");
    let (mut judged, mut good) = (0, 0);
    for group in file["testGroups"].as_array().unwrap() {
        let Some(key) = group.get("public").and_then(|key| PublicKey::from_jwk(&key.to_string()).ok()) else {
            continue;
        };
        for test in group["tests"].as_array().unwrap() {
            let verdict = Jws::parse(test["jws"].as_str().unwrap()).and_then(|jws| jws.verify_with(&key));
            assert_eq!(verdict.is_ok(), test["result"] == "valid", "{}: {verdict:?}", test["tcId"]);
            judged += 1;
            good += i32::from(verdict.is_ok());
        }
    }
    assert_eq!((judged, good), (272, 10), "RS256 and ES256");
}

/// Whether the signature of a token verifies with the key, by [`Jws`] and, for algorithms that Doorwarden
/// does not support, by aws-lc.
fn holds(key: &Value, token: &str) -> bool {
    if key["kty"] == "oct" {
        return hs256_holds(key, token);
    }
    if let Ok(key) = PublicKey::from_jwk(&key.to_string()) {
        return Jws::parse(token).and_then(|jws| jws.verify_with(&key)).is_ok();
    }
    let signs = key.get("use").is_none_or(|usage| usage == "sig");
    let verifies = key.get("key_ops").is_none_or(|ops| *ops == serde_json::json!(["verify"]));
    let Ok(jws) = Jws::parse(token) else { return false };
    if !(signs && verifies) || key["alg"] != *jws.algorithm || key["kty"] != "RSA" {
        return false;
    }
    let algorithm = match &*jws.algorithm {
        "RS384" => &RSA_PKCS1_2048_8192_SHA384,
        "RS512" => &RSA_PKCS1_2048_8192_SHA512,
        "PS256" => &RSA_PSS_2048_8192_SHA256,
        "PS384" => &RSA_PSS_2048_8192_SHA384,
        "PS512" => &RSA_PSS_2048_8192_SHA512,
        _ => return false,
    };
    let number = |name: &str| unb64(key[name].as_str().unwrap());
    RsaPublicKeyComponents { n: number("n"), e: number("e") }
        .verify(algorithm, jws.signed, &jws.signature)
        .is_ok()
}

/// The payloads are not claims, so a token whose signature verifies is refused for its payload.
fn hs256_holds(key: &Value, token: &str) -> bool {
    assert_eq!(key["alg"], "HS256");
    let secret = SecretKey::new(unb64(key["k"].as_str().unwrap())).unwrap();
    match SessionTokenKeys::new(&secret, &[]).verify(token, 0) {
        Err(Refusal::BadJson(Part::Payload)) => true,
        Err(_) => false,
        Ok(claims) => panic!("the payload is not a set of claims: {claims:?}"),
    }
}
