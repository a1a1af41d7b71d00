//! Session tokens: none can be forged, and the claims of signed ones are those that serde_json reads.
#![no_main]

use doorwarden_fuzz::{signed, text_or_edited};
use doorwarden_token::inspect::inspect;
use doorwarden_token::session::{SessionClaims, SessionTokenKeys};
use doorwarden_token::{Refusal, SecretKey};
use hmac::{Hmac, KeyInit as _, Mac as _};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use sha2::Sha256;

const SECRET: &str = "a secret key of at least 32 bytes";
const NOW: i64 = 1_700_000_000;
const HEADER: &str = r#"{"typ":"JWT","alg":"HS256"}"#;
const PAYLOAD: &str = r#"{"id":7,"exp":1700000300,"iat":1700000000,"jti":"AQEBAQEBAQEBAQEBAQEBAQ"}"#;
const HEADERS: [&str; 4] = [
    HEADER,
    r#"{ "\u0061lg" : "HS256", "kid": null, "x": [{}, "\ud83e\udd80"] }"#,
    r#"{"alg":"HS256"}"#,
    r#"{"alg":"HS\u003256"}"#,
];
const PAYLOADS: [&str; 5] = [
    PAYLOAD,
    r#"{"id":-9223372036854775808,"exp":1.8e9,"sid":"0198c0de-0000-7000-8000-000000000001"}"#,
    r#"{"exp":1700000001.999,"nbf":1700000000.5,"iat":1700000060,"id":1}"#,
    r#"{"id":1,"exp":9007199254740991,"ex\u0070":1,"a":{"b":[true,false,null,-0.0e-1,"\\\"\n"]}}"#,
    r#"{"id":null,"exp":1e400,"aud":[]}"#,
];

fuzz_target!(|data: &[u8]| {
    let Some((mode, data)) = data.split_first() else { return };
    let key = SecretKey::new(SECRET).expect("it is long enough");
    let keys = SessionTokenKeys::new(&key, &[]);
    let good = signed(HEADER, PAYLOAD, mac);
    match mode % 3 {
        0 => {
            let Some(token) = text_or_edited(data, &[&good]) else { return };
            assert_eq!(keys.verify(&token, NOW).is_ok(), token == good, "{token:?}");
            let _ = inspect(&token);
        }
        1 => {
            let Some(header) = text_or_edited(data, &HEADERS) else { return };
            assert!(
                !HEADERS[..3].contains(&header.as_str())
                    || keys.verify(&signed(&header, PAYLOAD, mac), NOW).is_ok()
            );
            let verified = keys.verify(&signed(&header, PAYLOAD, mac), NOW);
            if let Ok(claims) = verified {
                assert_eq!(serde_json::from_str::<Value>(&header).expect("JSON")["alg"], "HS256");
                assert_eq!(claims.id, 7);
            }
        }
        _ => {
            let Some(payload) = text_or_edited(data, &PAYLOADS) else { return };
            let token = signed(HEADER, &payload, mac);
            assert!(
                !PAYLOADS[..3].contains(&payload.as_str()) || keys.verify(&token, NOW).is_ok(),
                "{payload}"
            );
            match keys.verify(&token, NOW) {
                Ok(claims) => {
                    agrees(&claims, &payload);
                    assert_eq!(keys.verify(&keys.sign(&claims), NOW), Ok(claims));
                    assert_eq!(keys.verify(&token, claims.exp), Err(Refusal::Expired));
                }
                Err(refusal) => {
                    assert!(!matches!(refusal, Refusal::BadSignature | Refusal::WrongAlgorithm), "{refusal}")
                }
            }
        }
    }
});

fn agrees(claims: &SessionClaims, payload: &str) {
    let read: Value = serde_json::from_str(payload).expect("what is accepted is JSON");
    assert_eq!(read["id"].as_i64(), Some(claims.id), "{payload:?}");
    let seconds = |name: &str| read[name].as_f64().map(|number| number.trunc() as i64);
    assert_eq!(seconds("exp"), Some(claims.exp), "{payload:?}");
    assert_eq!(seconds("iat"), claims.iat, "{payload:?}");
    assert!(claims.exp > NOW && claims.iat.is_none_or(|iat| iat <= NOW + 60));
    assert!(seconds("nbf").is_none_or(|nbf| nbf <= NOW), "{payload:?}");
    assert_eq!(read["sid"].as_str().map(str::to_lowercase), claims.sid.map(|sid| sid.to_string()));
    assert!(read.get("aud").is_none());
}

fn mac(text: &[u8]) -> Vec<u8> {
    let mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any length");
    mac.chain_update(text).finalize().into_bytes().to_vec()
}
