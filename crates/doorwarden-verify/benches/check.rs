//! What a check costs: `cargo bench -p doorwarden-verify`. Prints nanoseconds per operation, the best of
//! several rounds.

use doorwarden_token::access::{self, AccessClaims};
use doorwarden_token::feed::{Statement, sign_statement};
use doorwarden_token::{Algorithm, KeyPair, KeySet};
use doorwarden_verify::Checker;
use std::hint::black_box;
use std::io::Write;
use std::time::Instant;
use uuid::Uuid;

const NOW: i64 = 1_700_000_000;
const ISSUER: &str = "https://id.example";
const TOKENS: u32 = 10_000;
const ROUNDS: usize = 20;

fn main() {
    for algorithm in Algorithm::ALL {
        let pair = KeyPair::generate(algorithm).expect("a key");
        let name = algorithm.as_str();
        let tokens: Vec<String> = (0..TOKENS).map(|n| token(&pair, n)).collect();
        let checker = checker(&pair, 4 * TOKENS as usize);
        let forgetful = self::checker(&pair, 0);
        measure(&format!("{name}: the first check"), 200, |n| {
            forgetful.verify(&tokens[n], NOW).expect("valid")
        });
        measure(&format!("{name}: the same token again"), 20_000, |_| {
            checker.verify(&tokens[0], NOW).expect("valid")
        });
        for token in &tokens {
            checker.verify(token, NOW).expect("valid");
        }
        measure(&format!("{name}: 10,000 tokens in turn"), 20_000, |n| {
            checker.verify(&tokens[n % tokens.len()], NOW).expect("valid")
        });
    }
}

/// A checker that knows 1,000 ended sessions and 100 users whose tokens were revoked.
fn checker(pair: &KeyPair, remembered: usize) -> Checker {
    let checker = Checker::new(ISSUER, ISSUER).remembered(remembered);
    let jwks = KeySet::new(vec![pair.public().clone()]).expect("one key").to_jwks();
    checker.set_keys(&jwks).expect("our own");
    let statement = Statement {
        iss: ISSUER.into(),
        iat: NOW,
        exp: NOW + 30,
        window: 375,
        sessions: (0..1000).map(|n| (Uuid::from_u128(n), NOW)).collect(),
        users: (0..100).map(|n| (n, NOW)).collect(),
        keys: Vec::new(),
        ..Statement::default()
    };
    checker.add_statement(&sign_statement(pair, &statement), NOW).expect("our own");
    checker
}

fn token(pair: &KeyPair, n: u32) -> String {
    let claims = AccessClaims {
        iss: ISSUER.into(),
        sub: (100_000 + n).to_string(),
        aud: vec![ISSUER.into()],
        exp: NOW + 300,
        iat: NOW,
        jti: Uuid::from_u128(n.into()).simple().to_string(),
        client_id: "doorwarden".into(),
        id: Some(i64::from(100_000 + n)),
        sid: Some(Uuid::from_u128(u128::from(n) + (0x0192_f3a4_0000_7000 << 64))),
        amr: vec!["pwd".into()],
        auth_time: Some(NOW),
        acr: Some("1".into()),
        ..AccessClaims::default()
    };
    access::sign(pair, &claims).expect("short enough")
}

fn measure<T>(name: &str, times: usize, mut run: impl FnMut(usize) -> T) {
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for n in 0..times {
            black_box(run(n));
        }
        let times = u32::try_from(times).expect("few");
        best = best.min(start.elapsed().as_secs_f64() * 1e9 / f64::from(times));
    }
    writeln!(std::io::stdout(), "{name:<40} {best:>10.0} ns").expect("standard output");
}
