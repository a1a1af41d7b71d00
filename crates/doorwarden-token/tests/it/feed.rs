use crate::craft::{ISSUER, NOW, key_set, pair, signed_by, statement};
use doorwarden_token::feed::{self, Statement};
use doorwarden_token::{Algorithm, Part, Refusal};
use serde_json::{Value, json};
use uuid::Uuid;

fn verify(signed: &str) -> Result<Statement, Refusal> {
    feed::verify_statement(signed, &key_set(&[pair(Algorithm::EdDsa)]), ISSUER, NOW)
}

/// The verdict on a well-signed statement with one claim changed; `null` removes it.
fn with(name: &str, value: &Value) -> Result<Statement, Refusal> {
    let mut claims = json!({"iss": ISSUER, "iat": NOW, "exp": NOW + 30, "window": 300, "sessions": [], "users": [], "keys": []});
    if value.is_null() {
        claims.as_object_mut().unwrap().remove(name);
    } else {
        claims[name] = value.clone();
    }
    let key = pair(Algorithm::EdDsa);
    verify(&signed_by(
        key,
        format!(r#"{{"alg":"EdDSA","kid":"{}","typ":"revocations.v2+jwt"}}"#, key.id()),
        claims.to_string(),
    ))
}

#[test]
fn what_is_signed_is_read_back() {
    let full = Statement {
        sessions: vec![(Uuid::from_u128(1), NOW - 5), (Uuid::from_u128(2), NOW - 4)],
        users: vec![(7, NOW - 3), (-1, 0)],
        all_of: vec![(8, NOW - 3, None), (9, NOW - 2, Some(Uuid::from_u128(3)))],
        before: Some(NOW - 60),
        keys: vec!["a".into(), "\"\\\u{e4}".into()],
        ..statement()
    };
    for algorithm in Algorithm::ALL {
        for statement in [&full, &statement()] {
            let signed = feed::sign_statement(pair(algorithm), statement);
            let keys = key_set(&[pair(algorithm)]);
            assert_eq!(feed::verify_statement(&signed, &keys, ISSUER, NOW).as_ref(), Ok(statement));
        }
    }
}

#[test]
fn a_statement_is_accepted_until_a_minute_after_it_expires() {
    let signed = feed::sign_statement(pair(Algorithm::EdDsa), &statement());
    let at = |now| {
        feed::verify_statement(&signed, &key_set(&[pair(Algorithm::EdDsa)]), ISSUER, now).map(|s| s.iat)
    };
    assert_eq!(at(NOW + 89), Ok(NOW));
    assert_eq!(at(NOW + 90), Err(Refusal::Expired));
    assert_eq!(at(NOW - 60), Ok(NOW));
    assert_eq!(at(NOW - 61), Err(Refusal::IssuedInFuture));
}

#[test]
fn every_claim_is_required_and_typed() {
    assert!(with("later", &json!({"a": 1})).is_ok(), "later versions may say more");
    for name in ["iss", "iat", "exp", "window", "sessions", "users", "keys"] {
        assert_eq!(with(name, &Value::Null), Err(Refusal::MissingClaim(name)));
        assert_eq!(with(name, &json!({})), Err(Refusal::BadClaim(name)));
        assert_eq!(with(name, &json!(true)), Err(Refusal::BadClaim(name)));
    }
    let id = Uuid::from_u128(1);
    for wrong in [
        json!([[id]]),
        json!([[1, 1]]),
        json!([[id, "1"]]),
        json!([id]),
        json!([[id.simple().to_string(), 1]]),
    ] {
        assert_eq!(with("sessions", &wrong), Err(Refusal::BadClaim("sessions")), "{wrong}");
    }
    for wrong in [
        json!([["1", 1]]),
        json!([[1.5, 1]]),
        json!([1, 1]),
        json!([[1, null]]),
        json!([[1, 1, 1]]),
        json!([[1, 1, ""]]),
        json!([[1, 1, [null]]]),
    ] {
        assert_eq!(with("users", &wrong), Err(Refusal::BadClaim("users")), "{wrong}");
    }
    assert_eq!(with("keys", &json!([1])), Err(Refusal::BadClaim("keys")));
    assert_eq!(with("window", &json!(-1)), Err(Refusal::BadClaim("window")));
    assert_eq!(with("before", &json!("1")), Err(Refusal::BadClaim("before")));
    for issuer in ["https://id.example/", "https://id.exampl", "HTTPS://ID.EXAMPLE", ""] {
        assert_eq!(with("iss", &json!(issuer)), Err(Refusal::WrongIssuer), "{issuer}");
    }
}

#[test]
fn entries_may_have_further_elements() {
    let (id, kept) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let sessions = with("sessions", &json!([[id, NOW, "why", {"a": []}]])).unwrap();
    assert_eq!(sessions.sessions, [(id, NOW)]);
    let users =
        with("users", &json!([[7, 1], [8, 2, null], [9, 3, kept], [7, 4, null, 5], [9, 6, kept, null, []]]))
            .unwrap();
    assert_eq!(users.users, [(7, 1)]);
    assert_eq!(users.all_of, [(8, 2, None), (9, 3, Some(kept)), (7, 4, None), (9, 6, Some(kept))]);
}

#[test]
fn the_first_format_is_refused_and_its_verifiers_refuse_the_second() {
    let key = pair(Algorithm::EdDsa);
    let typed = |typ| {
        let claims = json!({"iss": ISSUER, "iat": NOW, "exp": NOW + 30, "window": 300, "sessions": [], "users": [], "keys": []});
        let header = format!(r#"{{"alg":"EdDSA","kid":"{}","typ":"{typ}"}}"#, key.id());
        verify(&signed_by(key, header, claims.to_string())).map(|_| ())
    };
    assert_eq!(typed("revocations.v2+jwt"), Ok(()));
    assert_eq!(typed("application/revocations.v2+jwt"), Ok(()));
    assert_eq!(typed("revocations+jwt"), Err(Refusal::WrongType));
    assert_ne!(feed::TYPE, "revocations+jwt");
}

#[test]
fn the_length_of_a_statement_is_limited() {
    let sessions = (0..5_000).map(|n| (Uuid::from_u128(n), NOW)).collect();
    let long = Statement { sessions, ..statement() };
    assert_eq!(verify(&feed::sign_statement(pair(Algorithm::EdDsa), &long)), Ok(long));
    assert_eq!(verify(&"x".repeat(feed::MAX_BYTES + 1)), Err(Refusal::TooLong));
    let key = pair(Algorithm::EdDsa);
    let header = format!(r#"{{"alg":"EdDSA","kid":"{}","typ":"revocations.v2+jwt"}}"#, key.id());
    assert_eq!(verify(&signed_by(key, header, "[".repeat(1 << 20))), Err(Refusal::BadJson(Part::Payload)));
}

#[test]
fn a_signed_statement_can_be_read_although_it_is_not_valid() {
    let own = pair(Algorithm::EdDsa);
    let old = Statement { iat: NOW - 1000, exp: NOW - 970, ..statement() };
    let signed = feed::sign_statement(own, &old);
    assert_eq!(verify(&signed), Err(Refusal::Expired));
    assert_eq!(feed::read(&signed, &key_set(&[own])), Ok(old));
    assert_eq!(feed::read(&signed, &key_set(&[pair(Algorithm::Es256)])), Err(Refusal::UnknownKey));
}
