//! Known attacks on a valid token of each kind. Each must be refused, for the named reason, and fast.
//!
//! Most attacks are signed with the real key, so that the rule refuses them and not the signature. Then they
//! are repeated with the signature of the valid token, which must be refused as well.

use crate::craft::{
    AUDIENCE, ISSUER, NOW, SECRET, access_claims, b64, hs256, hs256_raw, key_set, pair, secret, session_keys,
    signed_by, signed_by_raw, statement, unb64,
};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use doorwarden_token::access::{self, Expect};
use doorwarden_token::feed;
use doorwarden_token::refresh::RefreshKeys;
use doorwarden_token::session::{SessionClaims, SessionTokenKeys};
use doorwarden_token::{Algorithm, KeyPair, Refusal};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// A kind of token: a valid one, and how to sign and verify others.
#[expect(clippy::type_complexity, reason = "a name for the closure would say nothing more")]
struct Kind {
    name: &'static str,
    good: String,
    algorithm: &'static str,
    sign: Box<dyn Fn(&str) -> String>,
    verify: Box<dyn Fn(&str) -> Result<(), Refusal>>,
}

fn session_kind() -> Kind {
    let keys = session_keys();
    let claims = SessionClaims {
        id: 7,
        exp: NOW + 300,
        iat: Some(NOW),
        jti: Some([1; 16]),
        sid: Some(Uuid::from_u128(2)),
    };
    Kind {
        name: "session",
        good: session_keys().sign(&claims),
        algorithm: "HS256",
        sign: Box::new(|signed| hs256_raw(SECRET.as_bytes(), signed)),
        verify: Box::new(move |token| keys.verify(token, NOW).map(|_| ())),
    }
}

fn access_kind(algorithm: Algorithm) -> Kind {
    let keys = key_set(&Algorithm::ALL.map(pair));
    let expect = Expect::new(ISSUER, AUDIENCE);
    Kind {
        name: "access",
        good: access::sign(pair(algorithm), &access_claims()).unwrap(),
        algorithm: algorithm.as_str(),
        sign: Box::new(move |signed| signed_by_raw(pair(algorithm), signed)),
        verify: Box::new(move |token| access::verify(token, &keys, &expect, NOW).map(|_| ())),
    }
}

fn feed_kind() -> Kind {
    let keys = key_set(&Algorithm::ALL.map(pair));
    Kind {
        name: "feed",
        good: feed::sign_statement(pair(Algorithm::EdDsa), &statement()),
        algorithm: "EdDSA",
        sign: Box::new(|signed| signed_by_raw(pair(Algorithm::EdDsa), signed)),
        verify: Box::new(move |token| feed::verify_statement(token, &keys, ISSUER, NOW).map(|_| ())),
    }
}

fn kinds() -> [Kind; 5] {
    let [eddsa, es256, rs256] = Algorithm::ALL.map(access_kind);
    [session_kind(), eddsa, es256, rs256, feed_kind()]
}

impl Kind {
    fn parts(&self) -> (String, String, &str) {
        let parts: Vec<_> = self.good.split('.').collect();
        let text = |part: &str| String::from_utf8(unb64(part)).unwrap();
        (text(parts[0]), text(parts[1]), parts[2])
    }

    /// The same payload under another header, well signed.
    fn with_header(&self, header: impl AsRef<[u8]>) -> String {
        (self.sign)(&format!("{}.{}", b64(header), self.good.split('.').nth(1).unwrap()))
    }

    /// The same header over another payload, well signed.
    fn with_payload(&self, payload: impl AsRef<[u8]>) -> String {
        (self.sign)(&format!("{}.{}", self.good.split('.').next().unwrap(), b64(payload)))
    }

    /// The header with one member changed or added; an empty value removes it.
    fn header_with(&self, name: &str, value: &str) -> String {
        edited(&self.parts().0, name, value)
    }

    fn payload_with(&self, name: &str, value: &str) -> String {
        edited(&self.parts().1, name, value)
    }

    /// Refused with this code, in bounded time, and also with the signature of the valid token.
    #[track_caller]
    fn refuses(&self, attack: &str, code: &str) {
        let start = Instant::now();
        let verdict = (self.verify)(attack).map_err(|refusal| refusal.code());
        let shown: String = attack.chars().take(300).collect();
        assert_eq!(verdict, Err(code), "{} {}: {shown}", self.name, self.algorithm);
        if let Some((signed, _)) =
            attack.rsplit_once('.').filter(|(signed, _)| !self.good.starts_with(signed))
        {
            assert!((self.verify)(&format!("{signed}.{}", self.parts().2)).is_err(), "{shown}");
            assert!((self.verify)(&format!("{signed}.")).is_err(), "{shown}");
        }
        assert!(start.elapsed() < Duration::from_millis(500), "{:?}: {shown}", start.elapsed());
    }
}

/// A JSON object with one member changed or added, as text, so that it need not be valid. An empty value
/// removes it.
fn edited(object: &str, name: &str, value: &str) -> String {
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(object).unwrap();
    let mut members: Vec<_> =
        object.iter().filter(|(n, _)| *n != name).map(|(n, v)| format!("\"{n}\":{v}")).collect();
    if !value.is_empty() {
        members.push(format!("\"{name}\":{value}"));
    }
    format!("{{{}}}", members.join(","))
}

#[test]
fn valid_tokens_are_accepted() {
    for kind in kinds() {
        assert_eq!((kind.verify)(&kind.good), Ok(()), "{}", kind.name);
        let (header, payload, _) = kind.parts();
        assert_eq!((kind.verify)(&kind.with_header(header)), Ok(()), "re-signed");
        assert_eq!((kind.verify)(&kind.with_payload(payload)), Ok(()), "re-signed");
    }
}

#[test]
fn no_other_algorithm_is_taken_from_the_header() {
    let names = [
        "none",
        "None",
        "NONE",
        "nOnE",
        "NoNe",
        "none ",
        " none",
        "none\\u0000",
        "\\u006eone",
        "nonе",
        "",
        "HS256",
        "HS384",
        "HS512",
        "RS256",
        "RS384",
        "RS512",
        "ES256",
        "ES384",
        "ES512",
        "ES256K",
        "PS256",
        "PS384",
        "PS512",
        "EdDSA",
        "Ed25519",
        "hs256",
        "eddsa",
        "es256",
        "rs256",
        "HS256 ",
        "dir",
        "RSA-OAEP",
        "PBES2-HS256+A128KW",
        "ECDH-ES",
        "MD5",
        "*",
    ];
    for kind in kinds() {
        for name in names.into_iter().filter(|name| *name != kind.algorithm) {
            kind.refuses(
                &kind.with_header(kind.header_with("alg", &format!("\"{name}\""))),
                "wrong_algorithm",
            );
        }
        for value in ["", "null", "true", "256", "{}", "[]", &format!("[\"{}\"]", kind.algorithm)] {
            kind.refuses(&kind.with_header(kind.header_with("alg", value)), "wrong_algorithm");
        }
    }
}

#[test]
fn no_header_brings_its_own_key_or_rules() {
    let attacker = KeyPair::ed25519(&[66; 32]).unwrap();
    let jwk = attacker.public().to_jwk();
    let values = [
        "null",
        "true",
        "false",
        "[]",
        "\"\"",
        "\"http://127.0.0.1:1/keys\"",
        "[\"exp\"]",
        "[\"b64\"]",
        "\"DEF\"",
        &jwk,
    ];
    let names = ["crit", "b64", "zip", "cty", "enc", "jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256"];
    for kind in kinds() {
        for name in names {
            for value in values {
                kind.refuses(&kind.with_header(kind.header_with(name, value)), "forbidden_header");
            }
        }
        kind.refuses(&kind.with_header(kind.header_with("\\u006aku", "\"x\"")), "forbidden_header");
        let signed_by_attacker = signed_by(&attacker, kind.header_with("jwk", &jwk), kind.parts().1);
        kind.refuses(&signed_by_attacker, "forbidden_header");
    }
}

#[test]
fn a_public_key_is_not_accepted_as_the_secret() {
    for algorithm in Algorithm::ALL {
        let kind = access_kind(algorithm);
        for key in encodings(pair(algorithm)) {
            for name in ["HS256", "HS384", "HS512"] {
                let attack = hs256(&key, kind.header_with("alg", &format!("\"{name}\"")), kind.parts().1);
                kind.refuses(&attack, "wrong_algorithm");
            }
            // Nor does it verify as a session token, whose secret is another one.
            let attack = hs256(&key, r#"{"typ":"JWT","alg":"HS256"}"#, session_kind().parts().1);
            session_kind().refuses(&attack, "bad_signature");
        }
    }
}

/// The public key in every form in which a careless server may hold it.
fn encodings(pair: &KeyPair) -> Vec<Vec<u8>> {
    let pkcs8 = pair.to_pkcs8();
    let (raw, spki) = match pair.algorithm() {
        Algorithm::EdDsa => {
            public_forms(Ed25519KeyPair::from_pkcs8_maybe_unchecked(&pkcs8).unwrap().public_key())
        }
        Algorithm::Es256 => public_forms(
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8).unwrap().public_key(),
        ),
        Algorithm::Rs256 => public_forms(RsaKeyPair::from_pkcs8(&pkcs8).unwrap().public_key()),
    };
    let text = base64_simd::STANDARD.encode_to_string(&spki);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"));
    let pkcs1 = pem.replace("PUBLIC", "RSA PUBLIC");
    let ssh = format!("ssh-ed25519 {} user@host", base64_simd::STANDARD.encode_to_string(&raw));
    let texts = [
        pem.trim_end().to_owned(),
        pem.replace('\n', "\r\n"),
        format!(" {pem}"),
        format!("\n{pem}"),
        pem.replace('\n', ""),
        pem,
        pkcs1,
        ssh,
        text,
        b64(&raw),
        pair.public().to_jwk(),
        key_set(&[pair]).to_jwks(),
        pair.id().to_owned(),
    ];
    texts.into_iter().map(String::into_bytes).chain([raw, spki, Vec::new(), vec![0], vec![0; 32]]).collect()
}

fn public_forms<'a, K: AsRef<[u8]> + AsDer<PublicKeyX509Der<'a>>>(key: &K) -> (Vec<u8>, Vec<u8>) {
    (key.as_ref().to_vec(), key.as_der().unwrap().as_ref().to_vec())
}

#[test]
fn only_the_key_that_kid_names_signs() {
    let attacker = KeyPair::ed25519(&[66; 32]).unwrap();
    for kind in kinds().into_iter().filter(|kind| kind.name != "session") {
        let long = format!("\"{}\"", "k".repeat(5000));
        for kid in [
            r#""../../../../../../dev/null""#,
            r#""/dev/null""#,
            r#""' OR '1'='1""#,
            r#""$(id)|`id`""#,
            r#""*)(uid=*""#,
            r#""http://127.0.0.1:1/""#,
            r#""a\u0000b""#,
            r#""""#,
            r#"" ""#,
            r#""0""#,
            &long,
            &format!("\"{} \"", pair(Algorithm::EdDsa).id()),
            &format!("\"{}\"", attacker.id()),
        ] {
            kind.refuses(&kind.with_header(kind.header_with("kid", kid)), "unknown_key");
        }
        for kid in ["", "null", "0", "true", "{}", "[]", &format!("[\"{}\"]", pair(Algorithm::EdDsa).id())] {
            kind.refuses(&kind.with_header(kind.header_with("kid", kid)), "no_key_id");
        }
        let name = |pair: &KeyPair| format!("\"{}\"", pair.id());
        for other in
            Algorithm::ALL.map(pair).into_iter().filter(|other| other.algorithm().as_str() != kind.algorithm)
        {
            kind.refuses(&kind.with_header(kind.header_with("kid", &name(other))), "wrong_algorithm");
        }
        if kind.algorithm == "EdDSA" {
            let (header, payload, _) = kind.parts();
            kind.refuses(&signed_by(&attacker, &header, &payload), "bad_signature");
            kind.refuses(
                &signed_by(&attacker, kind.header_with("kid", &name(&attacker)), payload),
                "unknown_key",
            );
        }
    }
}

#[test]
fn no_member_may_occur_twice() {
    for kind in kinds() {
        let (header, payload, _) = kind.parts();
        for (name, escaped, other) in
            [("alg", "\\u0061lg", "\"none\""), ("typ", "t\\u0079p", "\"x\""), ("zzz", "zz\\u007a", "1")]
        {
            let whole = edited(&header, name, "\"first\"");
            for second in [name, escaped] {
                let twice = whole.replacen('{', &format!("{{\"{second}\":{other},"), 1);
                kind.refuses(&kind.with_header(twice), "duplicate_member");
            }
        }
        for (name, escaped) in
            [("exp", "\\u0065xp"), ("iss", "is\\u0073"), ("id", "\\u0069d"), ("zzz", "zz\\u007a")]
        {
            let value = if name == "iss" { format!("\"{ISSUER}\"") } else { (NOW + 300).to_string() };
            let whole = edited(&payload, name, &value);
            for second in [name, escaped] {
                kind.refuses(
                    &kind.with_payload(whole.replacen('{', &format!("{{\"{second}\":{value},"), 1)),
                    "duplicate_member",
                );
            }
        }
    }
}

#[test]
fn base64url_has_one_spelling() {
    for kind in kinds() {
        let parts: Vec<_> = kind.good.split('.').collect();
        for place in 0..3 {
            let part = parts[place];
            let middle = part.len() / 2;
            let mut wrong = vec![
                format!("{part}="),
                format!("{part}=="),
                format!("{part}A="),
                format!(" {part}"),
                format!("{part} "),
            ];
            wrong.extend(["+", "/", "=", " ", "\n", "\r\n", "\t", "\0", "%", "?", "\u{e4}", "~"].map(
                |inside| {
                    let shortened = part.len() - inside.len().min(4);
                    format!("{}{inside}{}", &part[..middle], &part[middle..shortened])
                },
            ));
            for wrong in wrong {
                let mut parts = parts.clone();
                parts[place] = &wrong;
                let signed = parts[..2].join(".");
                let attack = if place == 2 { parts.join(".") } else { (kind.sign)(&signed) };
                kind.refuses(&attack, "bad_base64");
            }
        }
        for standard in [base64_simd::STANDARD, base64_simd::STANDARD_NO_PAD] {
            let payload = standard.encode_to_string(kind.payload_with("zzz", "\"?>?>?>~~~\""));
            if payload.contains(['+', '/', '=']) {
                kind.refuses(&(kind.sign)(&format!("{}.{payload}", parts[0])), "bad_base64");
            }
        }
        // One to four more spaces, so that some length leaves unused bits; set, they make another spelling of
        // the same bytes.
        for spaces in 1..4 {
            let payload = b64(format!("{}{}", kind.parts().1, " ".repeat(spaces)));
            if payload.len() % 4 != 0 {
                let last = payload.chars().last().unwrap();
                let next = char::from(last as u8 + 1);
                let attack = format!("{}.{}{next}", parts[0], &payload[..payload.len() - 1]);
                kind.refuses(&(kind.sign)(&attack), "bad_base64");
            }
        }
    }
}

#[test]
fn there_are_three_parts_and_they_are_not_encrypted() {
    for kind in kinds() {
        let good = &kind.good;
        let two = good.rsplit_once('.').unwrap().0;
        let dots = ".".repeat(4000);
        for attack in [
            "",
            ".",
            two,
            &format!("{good}."),
            &format!(".{good}"),
            &format!("{good}.{good}"),
            &format!("{good}.x"),
            &dots,
        ] {
            assert_eq!((kind.verify)(attack).map_err(|r| r.code()), Err("not_three_parts"), "{attack}");
        }
        for header in [
            r#"{"alg":"dir","enc":"A128GCM"}"#,
            r#"{"alg":"RSA1_5","enc":"A128CBC-HS256"}"#,
            r#"{"alg":"ECDH-ES","enc":"A128GCM","epk":{}}"#,
            r#"{"alg":"PBES2-HS256+A128KW","enc":"A128GCM","p2c":2147483647,"p2s":"AAAA"}"#,
        ] {
            kind.refuses(&format!("{}.AAAA.AAAA.AAAA.AAAA", b64(header)), "not_three_parts");
        }
        let json = format!(
            r#"{{"protected":"{}","payload":"{}","signature":"{}"}}"#,
            b64("{}"),
            b64("{}"),
            kind.parts().2
        );
        kind.refuses(&json, "not_three_parts");
        let polyglot = format!(r#"{{"protected":"{good}"}}"#);
        assert!((kind.verify)(&polyglot).is_err());
        if kind.name != "feed" {
            kind.refuses(&"x".repeat(8193), "too_long");
            kind.refuses(
                &kind.with_payload(kind.payload_with("zzz", &format!("\"{}\"", "x".repeat(7000)))),
                "too_long",
            );
        }
    }
}

#[test]
fn header_and_payload_are_one_json_object() {
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(2000), "]".repeat(2000));
    let broken = [
        "",
        " ",
        "null",
        "1",
        "\"x\"",
        "[]",
        "[{}]",
        "{",
        "}",
        "{}{}",
        "{} {}",
        "{}x",
        "\u{feff}{}",
        "{\"a\":1,}",
        "{'a':1}",
        "{a:1}",
        "{/**/}",
        "//\n{}",
        "{\"a\":NaN}",
        "{\"a\":+1}",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":\"\n\"}",
        "\0",
        "{}\0",
        &deep,
    ];
    for kind in kinds() {
        for text in broken {
            kind.refuses(&kind.with_header(text), "bad_json");
            kind.refuses(&kind.with_payload(text), "bad_json");
        }
        let (header, payload, _) = kind.parts();
        let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        kind.refuses(&kind.with_header(utf16(&header)), "bad_json");
        kind.refuses(&kind.with_payload(utf16(&payload)), "bad_json");
        let latin1 = [payload.trim_end_matches('}').as_bytes(), b",\"zzz\":\"\xe4\"}"].concat();
        kind.refuses(&kind.with_payload(latin1), "bad_json");
        let many: Vec<_> = (0..40).map(|n| format!("\"m{n}\":1")).collect();
        kind.refuses(&kind.with_payload(format!("{{{}}}", many.join(","))), "too_many_members");
        kind.refuses(&kind.with_header(format!("{{{}}}", many.join(","))), "too_many_members");
    }
}

#[test]
fn times_are_numbers_and_enforced() {
    for kind in kinds() {
        // Statements are checked with a minute of leeway, because two clocks are involved.
        let leeway = if kind.name == "feed" { 60 } else { 0 };
        let claim = |name: &str, value: &str| kind.with_payload(kind.payload_with(name, value));
        kind.refuses(&claim("exp", ""), "missing_claim");
        for past in [
            (NOW - leeway).to_string(),
            (NOW - 10_000).to_string(),
            "0".into(),
            "-1".into(),
            "1e3".into(),
            format!("{}.9", NOW - leeway),
        ] {
            kind.refuses(&claim("exp", &past), "expired");
        }
        let text = format!("\"{}\"", NOW + 300);
        for wrong in [
            "null",
            "true",
            "false",
            "\"\"",
            &text,
            "[]",
            "[1700000300]",
            "{}",
            "1e400",
            "-1e400",
            "18446744073709551616",
            "1e30",
        ] {
            for name in ["exp", "nbf", "iat"] {
                kind.refuses(&claim(name, wrong), "bad_claim");
            }
        }
        kind.refuses(&claim("nbf", &(NOW + leeway + 1).to_string()), "not_yet_valid");
        // A session is more reliable than a clock: one that was set back must not log users out.
        let issued_later = claim("iat", &(NOW + 61).to_string());
        match kind.name.starts_with("session") {
            true => assert_eq!((kind.verify)(&issued_later), Ok(())),
            false => kind.refuses(&issued_later, "issued_in_future"),
        }
        assert_eq!((kind.verify)(&claim("exp", &(NOW - leeway + 1).to_string())), Ok(()), "the last second");
    }
}

#[test]
fn only_the_right_signature_verifies() {
    for kind in kinds() {
        let (signed, signature) = kind.good.rsplit_once('.').unwrap();
        let bytes = unb64(signature);
        let mut wrong = vec![
            Vec::new(),
            vec![0; bytes.len()],
            vec![0xff; bytes.len()],
            [&bytes[..], &bytes].concat(),
            [&bytes[..], &[0]].concat(),
        ];
        wrong.extend([[&[0], &bytes[..]].concat(), bytes.iter().rev().copied().collect()]);
        wrong.extend((0..bytes.len()).map(|length| bytes[..length].to_vec()));
        wrong.extend((0..bytes.len() * 8).map(|bit| {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            flipped
        }));
        wrong.push(unb64((kind.sign)("another.message").rsplit('.').next().unwrap()));
        for wrong in wrong {
            assert_eq!(
                (kind.verify)(&format!("{signed}.{}", b64(&wrong))),
                Err(Refusal::BadSignature),
                "{}",
                wrong.len()
            );
        }
        let (header, payload, _) = kind.parts();
        for changed in [format!("{payload} "), payload.replacen('7', "8", 1)] {
            let attack = format!("{}.{}.{signature}", b64(&header), b64(&changed));
            assert_eq!((kind.verify)(&attack), Err(Refusal::BadSignature));
        }
    }
}

#[test]
fn no_special_number_is_a_signature() {
    let number = |hex: &str| {
        (0..32).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect::<Vec<_>>()
    };
    let mut zero_and_one = [vec![0; 32], vec![0; 32]];
    zero_and_one[1][31] = 1;
    let n = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc6325";
    let p = "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff";
    let [zero, one] = zero_and_one;
    let special = [
        zero,
        one,
        number(&format!("{n}50")),
        number(&format!("{n}51")),
        number(&format!("{n}52")),
        number(p),
        vec![0xff; 32],
    ];
    let kind = access_kind(Algorithm::Es256);
    let signed = kind.good.rsplit_once('.').unwrap().0;
    for r in &special {
        for s in &special {
            let attack = format!("{signed}.{}", b64([&r[..], s].concat()));
            assert_eq!((kind.verify)(&attack), Err(Refusal::BadSignature), "r={r:?} s={s:?}");
        }
    }
    let good = unb64(kind.parts().2);
    let integer = |part: &[u8]| [&[2, 33, 0][..], part].concat();
    let der = [&[0x30, 70][..], &integer(&good[..32]), &integer(&good[32..])].concat();
    assert_eq!((kind.verify)(&format!("{signed}.{}", b64(der))), Err(Refusal::BadSignature));

    let kind = access_kind(Algorithm::EdDsa);
    let signed = kind.good.rsplit_once('.').unwrap().0;
    let good = unb64(kind.parts().2);
    // The order of the group, little-endian: S + L is the same scalar, written otherwise (RFC 8032, section
    // 5.1.7).
    let order = number("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
    let mut carry = 0;
    let larger: Vec<u8> = good[32..]
        .iter()
        .zip(&order)
        .map(|(a, b)| {
            carry += u16::from(*a) + u16::from(*b);
            let byte = carry.to_le_bytes()[0];
            carry >>= 8;
            byte
        })
        .collect();
    assert_eq!(
        (kind.verify)(&format!("{signed}.{}", b64([&good[..32], &larger].concat()))),
        Err(Refusal::BadSignature)
    );
    for small in [vec![0; 32], [&[1][..], &[0; 31]].concat(), [&[0xec][..], &[0xff; 30], &[0x7f]].concat()] {
        for s in [&good[32..], &[0; 32]] {
            assert_eq!(
                (kind.verify)(&format!("{signed}.{}", b64([&small[..], s].concat()))),
                Err(Refusal::BadSignature)
            );
        }
    }
}

#[test]
fn no_kind_passes_for_another() {
    let refresh = RefreshKeys::new(&secret(SECRET), &[]);
    let refresh_token = refresh.issue(Uuid::from_u128(2), 1);
    for kind in kinds() {
        assert_eq!(refresh.parse(&kind.good), Err(Refusal::NotRefreshToken));
        assert_eq!((kind.verify)(&refresh_token), Err(Refusal::NotThreeParts));
        for other in kinds().into_iter().filter(|other| other.name != kind.name) {
            let expected = if kind.name == "session" { "wrong_algorithm" } else { "wrong_type" };
            kind.refuses(&other.good, expected);
        }
        if kind.name != "session" {
            for typ in [
                "",
                "null",
                "1",
                "\"\"",
                "\"JWT\"",
                "\"jwt\"",
                "\"refresh+jwt\"",
                "\"dpop+jwt\"",
                "\"logout+jwt\"",
                "\"at+jwt, revocations+jwt\"",
                "[\"at+jwt\"]",
            ] {
                kind.refuses(&kind.with_header(kind.header_with("typ", typ)), "wrong_type");
            }
        }
    }
    // The claims of an access token, signed as a session token is, and the other way round.
    let (session, access) = (session_kind(), access_kind(Algorithm::EdDsa));
    session.refuses(&session.with_payload(access.parts().1), "wrong_audience");
    access.refuses(&access.with_payload(session.parts().1), "missing_claim");
    access.refuses(
        &hs256(SECRET.as_bytes(), access.header_with("alg", "\"HS256\""), access.parts().1),
        "wrong_algorithm",
    );
    // Session tokens are signed with the secret key itself, refresh tokens with one derived from it: neither
    // is the other's.
    let derived = secret(SECRET).derive("doorwarden refresh token v1");
    let keys = SessionTokenKeys::new(&doorwarden_token::SecretKey::new(derived.to_vec()).unwrap(), &[]);
    assert_eq!(keys.verify(&session.good, NOW), Err(Refusal::BadSignature));
}

#[test]
fn a_claim_added_afterwards_breaks_the_signature() {
    for kind in kinds() {
        let (header, _, signature) = kind.parts();
        for name in ["id", "sub", "iss", "aud", "exp", "iat", "jti", "client_id", "sid", "sessions"] {
            for value in ["null", "true", "false", "0", "\"injected\""] {
                let attack = format!("{}.{}.{signature}", b64(&header), b64(kind.payload_with(name, value)));
                let refusal = (kind.verify)(&attack).unwrap_err();
                assert_eq!(refusal, Refusal::BadSignature);
                assert!(!refusal.to_string().contains("injected"));
            }
        }
    }
}

#[test]
fn any_changed_byte_refuses() {
    for kind in kinds() {
        let step = if kind.algorithm == "HS256" { 1 } else { 41 };
        for at in 0..kind.good.len() {
            for byte in (0..128_u8)
                .step_by(step)
                .chain([kind.good.as_bytes()[at] ^ 1])
                .filter(|b| *b != kind.good.as_bytes()[at])
            {
                let mut changed = kind.good.clone().into_bytes();
                changed[at] = byte;
                assert!((kind.verify)(std::str::from_utf8(&changed).unwrap()).is_err(), "{byte:#x} at {at}");
            }
        }
    }
}
