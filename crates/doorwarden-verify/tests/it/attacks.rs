//! Forgeries by an attacker who has the public key, other tokens of the issuer, or their own key.

use crate::issuer::{Fault, Issuer, NOW};
use crate::service::{PASSWORD, Service};
use base64_simd::URL_SAFE_NO_PAD;
use doorwarden_token::access;
use doorwarden_verify::{Checker, Refusal, Refused};
use serde_json::{Value, json};

/// Header, claims and signature as a compact JWS.
fn forge(header: &Value, claims: &str, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode_to_string(bytes);
    let signed = format!("{}.{claims}", encode(header.to_string().as_bytes()));
    let signature = sign(signed.as_bytes());
    format!("{signed}.{}", encode(&signature))
}

fn hs256(secret: &[u8], message: &[u8]) -> Vec<u8> {
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
    aws_lc_rs::hmac::sign(&key, message).as_ref().to_vec()
}

#[tokio::test]
async fn no_forgery_passes_and_nothing_it_names_is_fetched() {
    let issuer = Issuer::start(Fault::None).await;
    let verifier = issuer.builder().build().unwrap();
    verifier.ready().await.unwrap();
    let good = issuer.token();
    assert!(verifier.verify(&good).await.is_ok());
    let claims = good.split('.').nth(1).unwrap();
    let (kid, own) = (issuer.pair.id(), &issuer.other);
    let public = issuer.pair.public().to_jwk();
    let x = serde_json::from_str::<Value>(&public).unwrap()["x"].as_str().unwrap().to_owned();
    let raw = URL_SAFE_NO_PAD.decode_to_vec(&x).unwrap();
    let own_jwk: Value = serde_json::from_str(&own.public().to_jwk()).unwrap();
    let address = format!("{}/elsewhere", issuer.url);

    let header = |alg: &str, more: Value| {
        let mut header = json!({"alg": alg, "kid": kid, "typ": "at+jwt"});
        header.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        header
    };
    let attacks = [
        ("none", forge(&header("none", json!({})), claims, |_| vec![])),
        (
            "None with the signature of another key",
            forge(&header("None", json!({})), claims, |m| own.sign(m)),
        ),
        ("HS256 with the public key", forge(&header("HS256", json!({})), claims, |m| hs256(&raw, m))),
        ("HS256 with the JWK", forge(&header("HS256", json!({})), claims, |m| hs256(public.as_bytes(), m))),
        ("a key of the attacker", forge(&header("EdDSA", json!({})), claims, |m| own.sign(m))),
        ("jwk", forge(&header("EdDSA", json!({"jwk": own_jwk, "kid": own.id()})), claims, |m| own.sign(m))),
        ("jku", forge(&header("EdDSA", json!({"jku": address})), claims, |m| own.sign(m))),
        ("x5u", forge(&header("EdDSA", json!({"x5u": address})), claims, |m| own.sign(m))),
        ("kid is a URL", forge(&header("EdDSA", json!({"kid": address})), claims, |m| own.sign(m))),
        ("crit", forge(&header("EdDSA", json!({"crit": ["exp"]})), claims, |m| issuer.pair.sign(m))),
        ("typ JWT", forge(&header("EdDSA", json!({"typ": "JWT"})), claims, |m| issuer.pair.sign(m))),
        ("other claims", good.replace(claims, &URL_SAFE_NO_PAD.encode_to_string(r#"{"sub":"1"}"#))),
        ("a statement", issuer.statement(&issuer.pair)),
        ("too long", format!("{good}{}", "A".repeat(9000))),
        ("empty", String::new()),
    ];
    for (name, token) in attacks {
        let refused = verifier.verify(&token).await.unwrap_err();
        assert!(refused.is_fault_of_token(), "{name}: {refused}");
    }
    assert_eq!(issuer.strayed.load(std::sync::atomic::Ordering::SeqCst), 0);
}

#[tokio::test]
async fn claims_that_are_not_for_this_service_are_refused() {
    let issuer = Issuer::start(Fault::None).await;
    let verifier = issuer.builder().build().unwrap();
    verifier.ready().await.unwrap();
    let with = |change: fn(&mut access::AccessClaims)| {
        let mut claims = issuer.claims();
        change(&mut claims);
        access::sign(&issuer.pair, &claims).unwrap()
    };
    for (token, refusal) in [
        (with(|claims| claims.iss = "https://evil.example".to_owned()), Refusal::WrongIssuer),
        (with(|claims| claims.aud = vec!["https://other.example".to_owned()]), Refusal::WrongAudience),
        (with(|claims| claims.exp = NOW), Refusal::Expired),
        (with(|claims| claims.iat = NOW + 61), Refusal::IssuedInFuture),
    ] {
        assert_eq!(verifier.verify(&token).await, Err(refusal.into()));
    }
}

#[tokio::test]
async fn the_other_tokens_of_the_service_are_no_access_tokens() {
    let service = Service::start().await;
    service.register("ada").await;
    let verifier = service.verifier().await;
    let login = json!({"email": "ada@example.com", "password": PASSWORD});
    let session = service.call("POST", "/login", None, Some(login)).await;
    let pair = service.log_in("ada").await;
    for token in [&session["token"], &pair["refresh"]] {
        let refused = verifier.verify(token.as_str().unwrap()).await.unwrap_err();
        assert!(matches!(refused, Refused::Token(_)), "{refused}");
    }
}

#[test]
fn a_remembered_token_dies_at_its_expiry_and_with_its_key() {
    let (pair, other) = (key(), key());
    let checker =
        Checker::new("i", "i").when_stale(std::time::Duration::MAX, doorwarden_verify::WhenStale::Accept);
    let set = |keys: &[&doorwarden_token::KeyPair]| {
        let keys = keys.iter().map(|key| key.public().clone()).collect();
        checker.set_keys(&doorwarden_token::KeySet::new(keys).unwrap().to_jwks()).unwrap()
    };
    let claims = access::AccessClaims {
        iss: "i".into(),
        aud: vec!["i".into()],
        iat: NOW,
        exp: NOW + 300,
        ..access::AccessClaims::default()
    };
    let token = access::sign(&pair, &claims).unwrap();
    assert_eq!(checker.verify(&token, NOW), Err(Refused::NoKeys));
    assert!(set(&[&pair]));
    assert!(!set(&[&pair]));
    assert!(checker.verify(&token, NOW).is_ok());
    assert!(checker.verify(&token, NOW + 299).is_ok());
    assert_eq!(checker.verify(&token, NOW + 300), Err(Refusal::Expired.into()));
    assert!(checker.verify(&token, NOW).is_ok());
    assert!(set(&[&other]));
    assert_eq!(checker.verify(&token, NOW), Err(Refusal::UnknownKey.into()));
}

fn key() -> doorwarden_token::KeyPair {
    doorwarden_token::KeyPair::generate(doorwarden_token::Algorithm::EdDsa).unwrap()
}
