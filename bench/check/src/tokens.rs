use crate::counting;
use crate::database;
use doorwarden::core::context::Context;
use doorwarden::core::flow::authenticate::{ShownTo, authenticate};
use doorwarden::core::token::access::{self, AccessClaims, Expect};
use doorwarden::core::token::{Algorithm, KeyPair, KeySet};
use doorwarden::core::user::UserId;
use futures_util::FutureExt;
use serde_json::{Value, json};
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

const ROTATING: u64 = 10_000;
const ROUNDS: usize = 21;

/// One full check: signature, expiry, session, user.
pub async fn measure(directory: &Path) -> Value {
    let accounts = database::open(directory).await;
    // A different user for each token, so that nothing is shared between checks.
    database::fill(directory, ROTATING * database::EACH);
    let context = accounts.context();
    let (mut sessions, mut pairs) = (Vec::new(), Vec::new());
    for user in 1..=ROTATING.cast_signed() {
        sessions.push(accounts.tokens().issue(UserId(user)).await.expect("a session").token);
        if user <= 2_000 {
            pairs.push(accounts.tokens().issue_pair(UserId(user)).await.expect("a pair").access.clone());
        }
    }
    for token in sessions.iter().chain(&pairs) {
        authenticate(context, token, ShownTo::Account).await.expect("valid");
    }

    let hot = time(200_000, |_| check(context, &sessions[0]));
    let rotating = time(200_000, |n| check(context, &sessions[n % sessions.len()]));
    let seen = time(200_000, |_| check(context, &pairs[0]));
    let seen_rotating = time(200_000, |n| check(context, &pairs[n % pairs.len()]));
    let allocations = |tokens: &[String]| {
        let before = counting::calls();
        tokens.iter().for_each(|token| check(context, token));
        (counting::calls() - before) as f64 / tokens.len() as f64
    };
    let result = json!({
        "session_hot_ns": hot,
        "session_rotating_ns": rotating,
        "session_allocations": allocations(&sessions),
        "access_seen_ns": seen,
        "access_seen_rotating_ns": seen_rotating,
        "access_seen_allocations": allocations(&pairs),
    });
    let fresh = new_access_tokens(context);
    accounts.close().await;
    merge(result, fresh)
}

fn check(context: &Context, token: &str) {
    let checked = authenticate(context, black_box(token), ShownTo::Account)
        .now_or_never()
        .expect("everything is in memory");
    drop(black_box(checked.expect("valid")));
}

/// The cost of verifying a new access token beyond the bare check of its signature.
fn new_access_tokens(context: &Context) -> Value {
    let key = KeyPair::generate(Algorithm::EdDsa).expect("a key");
    let now = context.now().as_seconds();
    let claims = AccessClaims {
        iss: "https://id.example".into(),
        sub: "7".into(),
        aud: vec!["https://id.example".into()],
        exp: now + 300,
        iat: now,
        jti: "CQkJCQkJCQkJCQkJCQkJCQ".into(),
        client_id: "web".into(),
        id: Some(7),
        sid: Some(database::id(7)),
        amr: vec!["pwd".into()],
        auth_time: Some(now),
        ..AccessClaims::default()
    };
    let token = access::sign(&key, &claims).expect("short enough");
    let keys = KeySet::new(vec![key.public().clone()]).expect("one key");
    let expect = Expect::new("https://id.example", "https://id.example");
    let (signed, _) = token.rsplit_once('.').expect("three parts");
    let signature = key.sign(signed.as_bytes());
    let bare = |_| assert!(key.public().verify(black_box(signed.as_bytes()), &signature));
    let whole = |_| drop(black_box(access::verify(black_box(&token), &keys, &expect, now).expect("valid")));
    // In turn, so that a change of the machine's speed affects both.
    let (mut bare_ns, mut more_ns) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let one = once(500, bare);
        let other = once(500, whole);
        bare_ns.push(one);
        more_ns.push(other - one);
    }
    json!({"eddsa_bare_ns": median(bare_ns), "eddsa_new_more_ns": median(more_ns)})
}

/// The median of several rounds, in nanoseconds per operation.
pub fn time(times: usize, operation: impl Fn(usize)) -> f64 {
    median((0..ROUNDS).map(|_| once(times, &operation)).collect())
}

pub fn once(times: usize, operation: impl Fn(usize)) -> f64 {
    let began = Instant::now();
    (0..times).for_each(operation);
    began.elapsed().as_nanos() as f64 / times as f64
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn merge(mut one: Value, other: Value) -> Value {
    if let (Value::Object(one), Value::Object(other)) = (&mut one, other) {
        one.extend(other);
    }
    one
}
