//! What a check costs: `cargo bench -p doorwarden-token`. Prints nanoseconds per operation, the best of several rounds.

use doorwarden_token::SecretKey;
use doorwarden_token::session::{SessionClaims, SessionTokenKeys};
use std::hint::black_box;
use std::io::Write;
use std::time::Instant;
use uuid::Uuid;

const NOW: i64 = 1_700_000_000;
const ROUNDS: usize = 20;

fn main() {
    let keys = SessionTokenKeys::new(
        &SecretKey::new("a secret key of at least 32 bytes").expect("long enough"),
        &[],
    );
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
