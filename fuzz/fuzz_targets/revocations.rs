//! Revocation statements: none can be forged, and an accepted one that is signed again reads the same.
#![no_main]

use doorwarden_fuzz::{signed, text_or_edited};
use doorwarden_token::access::{self, Expect};
use doorwarden_token::feed::{sign_statement, verify_statement};
use doorwarden_token::{KeyPair, KeySet, Refusal};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use std::sync::LazyLock;

const NOW: i64 = 1_700_000_000;
const ISSUER: &str = "https://id.example";
const PAYLOADS: [&str; 3] = [
    r#"{"iss":"https://id.example","iat":1700000000,"exp":1700000030,"window":300,"sessions":[["0198c0de-0000-7000-8000-000000000001",1699999999]],"users":[[7,1699999990],[-1,0],[8,1699999990,null],[9,0,"0198c0de-0000-7000-8000-000000000001",1]],"before":1,"keys":["a","\u00e9"]}"#,
    r#"{"iss":"https://id.example","iat":1.7e9,"exp":1700000030.5,"window":0,"sessions":[],"users":[],"keys":[],"x":1}"#,
    r#"{"iss":"https://id.example","iat":1700000000,"exp":1700000030,"window":-1,"sessions":[[]],"users":[[1]],"keys":[1]}"#,
];

static KEY: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::ed25519(&[7; 32]).expect("any seed is a key"));
static KEYS: LazyLock<KeySet> = LazyLock::new(|| KeySet::new(vec![KEY.public().clone()]).expect("one key"));

fuzz_target!(|data: &[u8]| {
    let Some((mode, data)) = data.split_first() else { return };
    let header = format!(r#"{{"alg":"EdDSA","kid":"{}","typ":"revocations.v2+jwt"}}"#, KEY.id());
    let sign = |text: &[u8]| KEY.sign(text);
    let verify = |token: &str| verify_statement(token, &KEYS, ISSUER, NOW);
    if mode % 2 == 0 {
        let good = signed(&header, PAYLOADS[0], sign);
        let Some(token) = text_or_edited(data, &[&good]) else { return };
        assert_eq!(verify(&token).is_ok(), token == good, "{token:?}");
        return;
    }
    let Some(payload) = text_or_edited(data, &PAYLOADS) else { return };
    let token = signed(&header, &payload, sign);
    assert!(!PAYLOADS[..2].contains(&payload.as_str()) || verify(&token).is_ok(), "{payload}");
    match verify(&token) {
        Ok(statement) => {
            let read: Value = serde_json::from_str(&payload).expect("what is accepted is JSON");
            assert_eq!(read["iss"], statement.iss);
            assert_eq!(read["keys"].as_array().map_or(0, Vec::len), statement.keys.len());
            assert_eq!(
                read["users"].as_array().map_or(0, Vec::len),
                statement.users.len() + statement.all_of.len()
            );
            assert_eq!(read["sessions"].as_array().map_or(0, Vec::len), statement.sessions.len());
            assert_eq!(verify(&sign_statement(&KEY, &statement)), Ok(statement));
        }
        Err(refusal) => {
            assert!(!matches!(refusal, Refusal::BadSignature | Refusal::UnknownKey | Refusal::WrongType))
        }
    }
    assert!(access::verify(&token, &KEYS, &Expect::new(ISSUER, ISSUER), NOW).is_err());
});
