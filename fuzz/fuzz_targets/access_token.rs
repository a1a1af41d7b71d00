//! Access tokens: none can be forged, no other kind passes for one, and the claims of signed ones are those
//! that serde_json reads.
#![no_main]

use doorwarden_fuzz::{signed, text_or_edited};
use doorwarden_token::access::{self, AccessClaims, Expect};
use doorwarden_token::session::SessionTokenKeys;
use doorwarden_token::{KeyPair, KeySet, Refusal, SecretKey, feed, inspect::inspect};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use std::sync::LazyLock;

const NOW: i64 = 1_700_000_000;
const ISSUER: &str = "https://id.example";
const AUDIENCE: &str = "https://api.example";
const PAYLOADS: [&str; 4] = [
    r#"{"iss":"https://id.example","sub":"7","aud":"https://api.example","exp":1700000300,"iat":1700000000,"jti":"a1","client_id":"web"}"#,
    r#"{"iss":"https:\/\/id.example","sub":"\ud83e\udd80","aud":["x","https://api.example"],"exp":1700000300.5,"iat":1.7e9,"nbf":1700000060,"jti":"","client_id":"","id":-7,"sid":"0198c0de-0000-7000-8000-000000000001","amr":["pwd","otp"],"auth_time":1699999999,"acr":"2"}"#,
    r#"{"iss":"https://id.example","sub":"7","aud":["https://api.example"],"exp":1700000300,"iat":1700000000,"jti":"a","client_id":"c","amr":[],"scope":"a b","x":{"y":[0.1,-0,1e-7,18446744073709551615,null]}}"#,
    r#"{"iss":"https://id.example","aud":[],"exp":"1700000300","iat":null,"id":1.0,"x":1e400}"#,
];

static KEY: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::ed25519(&[7; 32]).expect("any seed is a key"));
static KEYS: LazyLock<KeySet> = LazyLock::new(|| KeySet::new(vec![KEY.public().clone()]).expect("one key"));
static HEADER: LazyLock<String> =
    LazyLock::new(|| format!(r#"{{"alg":"EdDSA","kid":"{}","typ":"at+jwt"}}"#, KEY.id()));

fuzz_target!(|data: &[u8]| {
    let Some((mode, data)) = data.split_first() else { return };
    let expect = Expect::new(ISSUER, AUDIENCE);
    let verify = |token: &str| access::verify(token, &KEYS, &expect.clone().leeway_secs(60), NOW);
    let sign = |text: &[u8]| KEY.sign(text);
    let good = signed(&HEADER, PAYLOADS[0], sign);
    match mode % 3 {
        0 => {
            let Some(token) = text_or_edited(data, &[&good]) else { return };
            assert_eq!(verify(&token).is_ok(), token == good, "{token:?}");
            let _ = inspect(&token);
        }
        1 => {
            let spaced =
                format!(r#"{{ "typ" : "at\u002bjwt", "kid":"{}","alg":"EdDSA", "x":[] }}"#, KEY.id());
            let Some(header) = text_or_edited(data, &[&HEADER, &spaced]) else { return };
            let token = signed(&header, PAYLOADS[0], sign);
            if verify(&token).is_ok() {
                let read: Value = serde_json::from_str(&header).expect("what is accepted is JSON");
                assert_eq!((&read["alg"], &read["kid"]), (&"EdDSA".into(), &KEY.id().into()), "{header:?}");
                let kind = read["typ"].as_str().map(str::to_ascii_lowercase);
                assert!(
                    kind.is_some_and(|kind| kind.trim_start_matches("application/") == "at+jwt"),
                    "{header:?}"
                );
            }
        }
        _ => {
            let Some(payload) = text_or_edited(data, &PAYLOADS) else { return };
            let token = signed(&HEADER, &payload, sign);
            assert!(!PAYLOADS[..3].contains(&payload.as_str()) || verify(&token).is_ok(), "{payload}");
            match verify(&token) {
                Ok(claims) => {
                    agrees(&claims, &payload);
                    signs_again(&claims);
                    assert_eq!(access::verify(&token, &KEYS, &expect, claims.exp), Err(Refusal::Expired));
                    let other = Expect::new(ISSUER, "https://api.example.test");
                    assert_eq!(access::verify(&token, &KEYS, &other, NOW).is_ok(), false);
                }
                Err(refusal) => {
                    assert!(!matches!(
                        refusal,
                        Refusal::BadSignature | Refusal::UnknownKey | Refusal::WrongType
                    ));
                }
            }
            let secret = SecretKey::new("a secret key of at least 32 bytes").expect("it is long enough");
            assert!(SessionTokenKeys::new(&secret, &[]).verify(&token, NOW).is_err());
            assert_eq!(feed::verify_statement(&token, &KEYS, ISSUER, NOW), Err(Refusal::WrongType));
        }
    }
});

fn agrees(claims: &AccessClaims, payload: &str) {
    let read: Value = serde_json::from_str(payload).expect("what is accepted is JSON");
    let seconds = |name: &str| read[name].as_f64().map(|number| number.trunc() as i64);
    assert_eq!((claims.iss.as_str(), read["iss"].as_str()), (ISSUER, Some(ISSUER)));
    assert!(claims.aud.iter().any(|aud| aud == AUDIENCE));
    assert!(read["aud"] == AUDIENCE || read["aud"] == serde_json::json!(claims.aud));
    for (text, name) in [(&claims.sub, "sub"), (&claims.jti, "jti"), (&claims.client_id, "client_id")] {
        assert_eq!(read[name].as_str(), Some(text.as_str()), "{payload:?}");
    }
    assert_eq!(seconds("exp"), Some(claims.exp));
    assert_eq!(seconds("iat"), Some(claims.iat));
    assert_eq!(seconds("auth_time"), claims.auth_time);
    assert_eq!(read["id"].as_i64(), claims.id);
    assert!(
        claims.exp + 60 > NOW && claims.iat <= NOW + 60 && seconds("nbf").is_none_or(|nbf| nbf <= NOW + 60)
    );
    for (name, value) in &claims.extra {
        assert_eq!(read[name], *value);
    }
}

fn signs_again(claims: &AccessClaims) {
    let Ok(token) = access::sign(&KEY, claims) else { return };
    let mut again =
        access::verify(&token, &KEYS, &Expect::new(ISSUER, AUDIENCE).leeway_secs(60), NOW).expect("its like");
    // serde_json does not read every fraction as what it was written from.
    let mut claims = claims.clone();
    (claims.extra, again.extra) = Default::default();
    assert_eq!(again, claims);
}
