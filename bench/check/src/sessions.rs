use crate::database::{self, PAIR_LIFETIME_SECS};
use doorwarden::core::context::Context;
use doorwarden::core::flow::authenticate::{ShownTo, authenticate};
use doorwarden::core::flow::refresh_tokens::refresh_tokens;
use doorwarden::core::flow::sessions::{end_session, sessions};
use doorwarden::core::session::{ClientInfo, EndReason, SessionId};
use doorwarden::core::token::session::SessionClaims;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Instant;

/// The number of sessions with which each operation is measured.
const SAMPLES: u64 = 2_000;

/// The cost of each operation, one at a time, across a large table.
pub async fn measure(directory: &Path, count: u64) -> Value {
    let accounts = database::open(directory).await;
    database::fill(directory, count);
    let context = accounts.context();
    let samples: Vec<u64> = database::picks(count, SAMPLES).collect();

    let (mut cold, mut check, mut refresh, mut list, mut revoke) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for &number in &samples {
        let token = token(context, number, count);
        cold.push(nanos(authenticate(context, &token, ShownTo::Account)).await);
        check.push(nanos(authenticate(context, &token, ShownTo::Account)).await);
    }
    let mut counters = std::collections::HashMap::new();
    for &number in &samples {
        let counter = counters.entry(number).or_insert(0);
        let token = context.refresh_keys.issue(database::id(number), *counter);
        *counter += 1;
        refresh.push(nanos(refresh_tokens(context, &token, ClientInfo::default())).await);
    }
    let mut ended = std::collections::HashSet::new();
    for &number in samples.iter().filter(|number| ended.insert(**number)).take(500) {
        let who =
            authenticate(context, &token(context, number, count), ShownTo::Account).await.expect("valid");
        list.push(nanos(sessions(context, &who, None)).await);
        let session = SessionId(database::id(number));
        revoke.push(nanos(end_session(context, &who, session, EndReason::Revoked, ClientInfo::default())).await);
    }
    accounts.close().await;
    json!({
        "sessions": count,
        "check_cold": summary(cold), "check": summary(check), "refresh": summary(refresh), "list": summary(list),
        "revoke": summary(revoke),
    })
}

fn token(context: &Context, number: u64, count: u64) -> String {
    let now = context.now().as_seconds();
    context.session_keys.sign(&SessionClaims {
        id: database::owner(number, count),
        exp: now + PAIR_LIFETIME_SECS,
        iat: Some(now),
        jti: Some([7; 16]),
        sid: Some(database::id(number)),
    })
}

async fn nanos<T, E: std::fmt::Debug>(operation: impl Future<Output = Result<T, E>>) -> u64 {
    let began = Instant::now();
    let result = operation.await;
    let took = began.elapsed();
    drop(result.expect("it works"));
    u64::try_from(took.as_nanos()).unwrap_or(u64::MAX)
}

fn summary(mut nanos: Vec<u64>) -> Value {
    nanos.sort_unstable();
    let at = |percent: usize| nanos[(nanos.len() * percent / 100).min(nanos.len() - 1)] as f64 / 1000.0;
    json!({"p50_us": at(50), "p99_us": at(99)})
}
