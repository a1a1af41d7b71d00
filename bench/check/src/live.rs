use crate::counting;
use crate::database;
use doorwarden::core::session::SessionId;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// The bytes that a session takes in the live cache, and how fast a cold cache fills.
pub async fn measure(directory: &Path, count: u64) -> Value {
    let accounts = database::open(directory).await;
    database::fill(directory, count);
    // The rows above were written without notifying the cache, which has none of them.
    let live = Arc::clone(&accounts.context().live);
    while !live.is_connected() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    live.session(SessionId(database::id(0))).await.expect("readable");
    let (before, began) = (counting::held(), Instant::now());
    let tasks: Vec<_> = (0..16)
        .map(|lane| {
            let live = Arc::clone(&live);
            tokio::spawn(async move {
                for number in (lane..count).step_by(16) {
                    live.session(SessionId(database::id(number))).await.expect("readable");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic");
    }
    let took = began.elapsed().as_secs_f64();
    let known = live.stats().sessions;
    let bytes = (counting::held() - before) as f64 / known as f64;
    accounts.close().await;
    json!({"sessions": known, "bytes_each": bytes, "cold_reads_per_second": count as f64 / took})
}
