use crate::craft::{b64, key_set, pair, wycheproof};
use doorwarden_token::key::KeyError;
use doorwarden_token::{Algorithm, KeyPair, KeySet, PublicKey};
use serde_json::{Value, json};

const ED: &str = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

fn jwk(algorithm: Algorithm) -> Value {
    serde_json::from_str(&pair(algorithm).public().to_jwk()).unwrap()
}

/// The verdict on the JWK of an algorithm with these members changed; `null` removes one.
fn changed(algorithm: Algorithm, members: &Value) -> Result<PublicKey, KeyError> {
    let mut jwk = jwk(algorithm);
    for (name, value) in members.as_object().unwrap() {
        if value.is_null() {
            jwk.as_object_mut().unwrap().remove(name);
        } else {
            jwk[name] = value.clone();
        }
    }
    PublicKey::from_jwk(&jwk.to_string())
}

fn refused(algorithm: Algorithm, members: &Value) -> KeyError {
    changed(algorithm, members).expect_err(&members.to_string())
}

#[test]
fn thumbprints_are_those_of_the_rfcs() {
    // RFC 8037, appendix A.3, and RFC 7638, section 3.1.
    assert_eq!(PublicKey::from_jwk(ED).unwrap().thumbprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    let rsa = r#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}"#;
    let key = PublicKey::from_jwk(rsa).unwrap();
    assert_eq!(key.thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    assert_eq!(key.id(), "2011-04-29", "a key that has an id keeps it");
}

#[test]
fn a_key_pair_round_trips_through_pkcs8() {
    for algorithm in Algorithm::ALL {
        let pair = pair(algorithm);
        let again = KeyPair::from_pkcs8(algorithm, &pair.to_pkcs8()).unwrap();
        assert_eq!(again.id(), pair.id());
        assert!(pair.public().verify(b"message", &again.sign(b"message")));
        assert!(!pair.public().verify(b"massage", &again.sign(b"message")));
        for other in Algorithm::ALL.into_iter().filter(|other| *other != algorithm) {
            assert_eq!(KeyPair::from_pkcs8(other, &pair.to_pkcs8()).unwrap_err(), KeyError::BadPkcs8);
        }
        assert_eq!(KeyPair::from_pkcs8(algorithm, b"").unwrap_err(), KeyError::BadPkcs8);
        assert_eq!(Algorithm::from_name(algorithm.as_str()), Some(algorithm));
    }
    assert_eq!(Algorithm::from_name("none"), None);
}

#[test]
fn generated_keys_differ_and_an_rsa_key_is_strong() {
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256] {
        assert_ne!(KeyPair::generate(algorithm).unwrap().id(), KeyPair::generate(algorithm).unwrap().id());
    }
    let rsa = KeyPair::generate(Algorithm::Rs256).unwrap();
    let signature = rsa.sign(b"message");
    assert_eq!(signature.len(), 3072 / 8);
    assert!(rsa.public().verify(b"message", &signature));
}

#[test]
fn what_is_published_has_only_public_members() {
    for algorithm in Algorithm::ALL {
        let jwk = jwk(algorithm);
        let names: Vec<_> = jwk.as_object().unwrap().keys().map(String::as_str).collect();
        let expected: &[&str] = match algorithm {
            Algorithm::EdDsa => &["alg", "crv", "kid", "kty", "use", "x"],
            Algorithm::Es256 => &["alg", "crv", "kid", "kty", "use", "x", "y"],
            Algorithm::Rs256 => &["alg", "e", "kid", "kty", "n", "use"],
        };
        assert_eq!(names, expected);
        assert_eq!((&jwk["alg"], &jwk["use"]), (&json!(algorithm.as_str()), &json!("sig")));
        assert_eq!(jwk["kid"], json!(pair(algorithm).id()));
        assert_eq!(pair(algorithm).id(), pair(algorithm).public().thumbprint());
        let shown = format!("KeyPair({} {:?}, ..)", algorithm.as_str(), pair(algorithm).id());
        assert_eq!(format!("{:?}", pair(algorithm)), shown, "and nothing shows the private key");
    }
}

#[test]
fn a_key_set_document_is_read_back() {
    let set = key_set(&Algorithm::ALL.map(pair));
    let document = set.to_jwks();
    let again = KeySet::from_jwks(&document).unwrap();
    assert_eq!(again.to_jwks(), document);
    assert_eq!((again.len(), again.is_empty()), (3, false));
    for key in &set {
        assert_eq!(again.get(key.id()).map(PublicKey::algorithm), Some(key.algorithm()));
    }
    assert!(again.get("").is_none());
    assert!(KeySet::from_jwks(r#"{"keys":[]}"#).unwrap().is_empty());
}

#[test]
fn a_set_with_one_bad_key_is_refused() {
    let good = pair(Algorithm::EdDsa).public().to_jwk();
    let set = |keys: &str| KeySet::from_jwks(&format!(r#"{{"keys":[{keys}]}}"#)).unwrap_err();
    assert_eq!(set(&format!("{good},{good}")), KeyError::DuplicateKeyId);
    assert_eq!(set(&format!(r#"{good},{{"kty":"oct","kid":"a"}}"#)), KeyError::UnsupportedType);
    assert_eq!(set(&format!(r#"{good},{{"kty":"oct","kid":"a","k":"AAAA"}}"#)), KeyError::Private("k"));
    assert_eq!(set(&format!("{good},7")), KeyError::NotJson);
    for document in
        ["{}", r#"{"keys":{}}"#, r#"{"keys":null}"#, &format!(r#"{{"keys":[{}]}}"#, ["{}"; 65].join(","))]
    {
        assert_eq!(KeySet::from_jwks(document).unwrap_err(), KeyError::BadSet, "{document}");
    }
    for document in ["", "[]", "null", r#"{"keys":[],"keys":[]}"#, r#"{"keys":[}"#] {
        assert_eq!(KeySet::from_jwks(document).unwrap_err(), KeyError::NotJson, "{document}");
    }
}

#[test]
fn members_that_contradict_each_other_are_refused() {
    for algorithm in Algorithm::ALL {
        assert!(
            changed(algorithm, &json!({"alg": null, "use": null, "kid": null, "other": {"a": [1]}})).is_ok()
        );
        assert!(changed(algorithm, &json!({"key_ops": ["verify"]})).is_ok());
        for wrong in [json!("none"), json!("HS256"), json!("PS256"), json!("ES384"), json!(""), json!(1)] {
            assert_eq!(refused(algorithm, &json!({ "alg": wrong })), KeyError::WrongAlgorithm);
        }
        for wrong in [json!({"use": "enc"}), json!({"use": ""}), json!({"use": 1}), json!({"use": ["sig"]})] {
            assert_eq!(refused(algorithm, &wrong), KeyError::WrongUse);
        }
        for wrong in [json!([]), json!(["sign"]), json!(["verify", "encrypt"]), json!("verify"), json!([1])] {
            assert_eq!(refused(algorithm, &json!({ "key_ops": wrong })), KeyError::WrongUse);
        }
        for private in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
            assert_eq!(refused(algorithm, &json!({ private: "AAAA" })), KeyError::Private(private));
        }
        for wrong in [json!(1), json!(""), json!(["a"])] {
            assert_eq!(refused(algorithm, &json!({ "kid": wrong })), KeyError::Malformed("kid"));
        }
        assert_eq!(refused(algorithm, &json!({"kty": null})), KeyError::Missing("kty"));
        for wrong in ["oct", "okp", "RSA ", "AKP", ""] {
            assert_eq!(refused(algorithm, &json!({ "kty": wrong })), KeyError::UnsupportedType);
        }
    }
    for (algorithm, curve) in [
        (Algorithm::EdDsa, "Ed448"),
        (Algorithm::EdDsa, "X25519"),
        (Algorithm::Es256, "P-384"),
        (Algorithm::Es256, "Ed25519"),
    ] {
        assert_eq!(refused(algorithm, &json!({ "crv": curve })), KeyError::UnsupportedType);
        assert_eq!(refused(algorithm, &json!({"crv": null})), KeyError::Missing("crv"));
    }
    assert_eq!(refused(Algorithm::Rs256, &json!({"crv": "P-256"})), KeyError::UnsupportedType);
    let twice = ED.replace('}', r#","\u0078":"AA"}"#);
    assert_eq!(PublicKey::from_jwk(&twice).unwrap_err(), KeyError::NotJson, "a member twice");
}

#[test]
fn numbers_have_one_length_and_one_spelling() {
    for (algorithm, names) in
        [(Algorithm::EdDsa, &["x"][..]), (Algorithm::Es256, &["x", "y"]), (Algorithm::Rs256, &["n", "e"])]
    {
        for &name in names {
            let good = jwk(algorithm)[name].as_str().unwrap().to_owned();
            assert_eq!(refused(algorithm, &json!({ name: null })), KeyError::Missing(name));
            let padded = format!("{good}=");
            let zero = b64([&[0], &crate::craft::unb64(&good)[..]].concat());
            for wrong in
                [json!(""), json!(1), json!([good]), json!(padded), json!(format!(" {good}")), json!(zero)]
            {
                assert_eq!(refused(algorithm, &json!({ name: wrong })), KeyError::Malformed(name), "{wrong}");
            }
        }
    }
}

#[test]
fn points_are_on_their_curve_and_not_of_small_order() {
    let y = |byte: u8| json!({"y": b64([byte; 32])});
    for wrong in [y(0), y(1), y(0xff), json!({"x": b64([0; 32])}), json!({"x": b64([0xff; 32])})] {
        assert_eq!(refused(Algorithm::Es256, &wrong), KeyError::BadPoint, "{wrong}");
    }
    let point = |hex: &str| {
        (0..32).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect::<Vec<_>>()
    };
    let (zeros, ones) = ("00".repeat(31), "ff".repeat(30));
    let order_8 = [
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03",
    ];
    for hex in [
        format!("00{zeros}"),
        format!("{}80", &format!("00{zeros}")[..62]),
        format!("01{zeros}"),
        format!("{}80", &format!("01{zeros}")[..62]),
        format!("ec{ones}7f"),
        format!("ec{ones}ff"),
        format!("ed{ones}7f"),
        format!("ed{ones}ff"),
        format!("ee{ones}7f"),
        format!("ee{ones}ff"),
        format!("{}05", order_8[0]),
        format!("{}85", order_8[0]),
        format!("{}7a", order_8[1]),
        format!("{}fa", order_8[1]),
    ] {
        assert_eq!(refused(Algorithm::EdDsa, &json!({"x": b64(point(&hex))})), KeyError::BadPoint, "{hex}");
    }
}

#[test]
fn weak_rsa_keys_are_refused() {
    let good = crate::craft::unb64(jwk(Algorithm::Rs256)["n"].as_str().unwrap());
    let n = |n: &[u8]| json!({"n": b64(n)});
    let mut even = good.clone();
    *even.last_mut().unwrap() &= 0xfe;
    let mut short = good.clone();
    short[0] = 0x7f;
    let long = [&[0xff; 769][..], &good].concat();
    for wrong in [n(&good[1..]), n(&short), n(&even), n(&long), n(&[1; 4]), n(&vec![0xff; 100_000])] {
        assert_eq!(refused(Algorithm::Rs256, &wrong), KeyError::WeakRsa);
    }
    for e in [&[1][..], &[3], &[17], &[0xff, 0xff], &[1, 0, 0], &[1, 0, 2], &[0xff; 6], &[0xff; 256]] {
        assert_eq!(refused(Algorithm::Rs256, &json!({"e": b64(e)})), KeyError::WeakRsa, "{e:?}");
    }
}

/// Every key set of Wycheproof that is marked bad is refused for what is wrong with it; symmetric keys always
/// are.
#[test]
fn bad_key_sets_of_wycheproof_are_refused() {
    let file = wycheproof("json_web_key_test.json");
    let mut seen = 0;
    for group in file["testGroups"].as_array().unwrap() {
        let name = group["comment"].as_str().unwrap();
        let symmetric = group["private"]["keys"].as_array().unwrap().iter().any(|key| key["kty"] == "oct");
        let verdict = KeySet::from_jwks(&group["public"].to_string());
        if let Some(public) = group.get("public").filter(|_| !symmetric) {
            seen += 1;
            let expected = match name {
                "rs256" if public["keys"][0]["use"] == "sig" => Ok(1),
                "jws_rsa_roca_key" | "keysize_too_small" | "exponentOne" => Err(KeyError::WeakRsa),
                "rs256" | "wrong_algorithm" | "invalid_algorithm" => Err(KeyError::WrongAlgorithm),
                "invalid_use" => Err(KeyError::WrongUse),
                "invalid_point" => Err(KeyError::BadPoint),
                "wrong_curve" | "wrong_kty" => Err(KeyError::UnsupportedType),
                other => panic!("an unknown group: {other}"),
            };
            assert_eq!(verdict.map(|set| set.len()), expected, "{name}");
        }
        let private = KeySet::from_jwks(&group["private"].to_string());
        assert!(matches!(private, Err(KeyError::Private(_))), "{name}: {private:?}");
    }
    assert_eq!(seen, 11);
}
