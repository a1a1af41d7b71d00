//! The published test vectors of the revocation feed (`docs/vectors`).

use doorwarden_verify::{Checker, Refused};
use serde_json::Value;

fn vectors() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/vectors/revocation-feed.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn checker(vectors: &Value) -> (Checker, i64) {
    let text = |name: &str| vectors[name].as_str().unwrap();
    let checker = Checker::new(text("issuer"), text("audience"));
    checker.set_keys(&vectors["jwks"].to_string()).unwrap();
    (checker, vectors["now"].as_i64().unwrap())
}

#[test]
fn statements_are_accepted_or_refused_as_published() {
    let vectors = vectors();
    for case in vectors["statements"].as_array().unwrap() {
        let (checker, now) = checker(&vectors);
        let added = checker.add_statement(case["signed"].as_str().unwrap(), now);
        assert_eq!(added.err().map(|refusal| refusal.code()), case["refused"].as_str(), "{}", case["name"]);
        assert_eq!(checker.statement_received_at(), added.is_ok().then_some(now), "{}", case["name"]);
    }
}

#[test]
fn tokens_are_valid_or_not_as_published() {
    let vectors = vectors();
    let statements = vectors["statements"].as_array().unwrap();
    let by = statements.iter().find(|case| case["name"] == vectors["tokens"]["statement"]).unwrap();
    let (checker, now) = checker(&vectors);
    checker.add_statement(by["signed"].as_str().unwrap(), now).unwrap();
    for case in vectors["tokens"]["cases"].as_array().unwrap() {
        let verified = checker.verify(case["token"].as_str().unwrap(), now);
        match case["counts"].as_bool().unwrap() {
            true => assert_eq!(verified.err(), None, "{}", case["name"]),
            false => assert!(
                matches!(verified, Err(Refused::SessionEnded | Refused::IssuedBefore | Refused::KeyRevoked)),
                "{}: {verified:?}",
                case["name"]
            ),
        }
    }
}
