//! What a check costs: `cargo bench -p doorwarden-token`. Prints nanoseconds per operation, the best of
//! several rounds.

use doorwarden_token::access::{self, AccessClaims, Expect};
use doorwarden_token::refresh::RefreshKeys;
use doorwarden_token::session::{SessionClaims, SessionTokenKeys};
use doorwarden_token::{Algorithm, KeyPair, KeySet, SecretKey};
use std::hint::black_box;
use std::io::Write;
use std::time::Instant;
use uuid::Uuid;

const NOW: i64 = 1_700_000_000;
const ROUNDS: usize = 20;

fn main() {
    let secret = SecretKey::new("a secret key of at least 32 bytes").expect("long enough");
    session_tokens(&SessionTokenKeys::new(&secret, &[]));
    refresh_tokens(&RefreshKeys::new(&secret, &[]));
    for algorithm in Algorithm::ALL {
        access_tokens(&KeyPair::generate(algorithm).expect("a key"));
    }
}

fn session_tokens(keys: &SessionTokenKeys) {
    let claims = |n: u32| SessionClaims {
        id: 100_000 + i64::from(n),
        exp: NOW + 60 * 86_400,
        iat: Some(NOW),
        jti: Some(u128::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_le_bytes()),
        sid: Some(Uuid::from_u128(u128::from(n) + (0x0192_f3a4_0000_7000 << 64))),
    };
    let tokens: Vec<_> = (0..10_000).map(|n| keys.sign(&claims(n))).collect();

    measure("session token: verify, the same one", 20_000, |_| keys.verify(&tokens[0], NOW).expect("valid"));
    measure("session token: verify, 10,000 in turn", 20_000, |n| {
        keys.verify(&tokens[n % 10_000], NOW).expect("valid")
    });
    measure("session token: sign", 20_000, |_| keys.sign(&claims(7)));
}

fn refresh_tokens(keys: &RefreshKeys) {
    let token = keys.issue(Uuid::from_u128(7), 1);
    measure("refresh token: parse", 20_000, |_| keys.parse(&token).expect("valid"));
}

fn access_tokens(key: &KeyPair) {
    let name = key.algorithm().as_str();
    let claims = AccessClaims {
        iss: "https://id.example".into(),
        sub: "100007".into(),
        aud: vec!["https://api.example".into()],
        exp: NOW + 300,
        iat: NOW,
        jti: "CQkJCQkJCQkJCQkJCQkJCQ".into(),
        client_id: "web".into(),
        id: Some(100_007),
        sid: Some(Uuid::from_u128(0x0192_f3a4_0000_7000 << 64)),
        amr: vec!["pwd".into()],
        auth_time: Some(NOW),
        ..AccessClaims::default()
    };
    let token = access::sign(key, &claims).expect("short enough");
    let keys = KeySet::new(vec![key.public().clone()]).expect("one key");
    let expect = Expect::new("https://id.example", "https://api.example");
    let (signed, _) = token.rsplit_once('.').expect("three parts");
    let signature = key.sign(signed.as_bytes());

    let bare = |_| key.public().verify(signed.as_bytes(), &signature);
    measure(&format!("{name}: verify the bare signature"), 500, bare);
    let whole = |_| access::verify(&token, &keys, &expect, NOW).expect("valid");
    measure(&format!("{name}: verify an access token"), 500, whole);
    measure(&format!("{name}: the bare signature"), 100, |_| key.sign(signed.as_bytes()));
    measure(&format!("{name}: sign an access token"), 100, |_| {
        access::sign(key, &claims).expect("short enough")
    });
}

fn measure<T>(what: &str, times: u32, mut operation: impl FnMut(usize) -> T) {
    let best = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            for n in 0..times as usize {
                black_box(operation(black_box(n)));
            }
            start.elapsed() / times
        })
        .min()
        .expect("there are rounds");
    let mut out = std::io::stdout().lock();
    writeln!(out, "{what:<45} {:>8} ns", best.as_nanos()).expect("standard output can be written");
}
