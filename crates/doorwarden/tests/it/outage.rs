//! What clients see while the database cannot do its part.

use crate::app::Database;
use serde_json::json;
use std::time::{Duration, Instant};

on_both! {
    a_table_that_is_missing_is_503_and_not_ready
    readiness_is_asked_of_the_database_only_now_and_then
}

async fn a_table_that_is_missing_is_503_and_not_ready(database: Database) {
    let app = database.app_with(|b| b.background(false)).await;
    let token = app.register("jane").await;
    assert_eq!(app.call("GET", "/readyz", None, None).await.status, 200);
    for table in ["users", "doorwarden_sessions", "doorwarden_keys"] {
        database.sql.execute(&format!("ALTER TABLE {table} RENAME TO gone")).await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(app.call("GET", "/readyz", None, None).await.status, 503, "{table}");
        if table != "doorwarden_keys" {
            assert_eq!(app.get("/me", &token).await.status, 503, "{table}");
            let login = app.log_in("jane", crate::app::PASSWORD).await;
            assert_eq!(login.status, 503, "{table}");
        }
        database.sql.execute(&format!("ALTER TABLE gone RENAME TO {table}")).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(app.call("GET", "/readyz", None, None).await.status, 200);
    assert_eq!(app.get("/me", &token).await.status, 200);
}

async fn readiness_is_asked_of_the_database_only_now_and_then(database: Database) {
    let app = database.app_with(|b| b.background(false)).await;
    let began = Instant::now();
    app.call("GET", "/readyz", None, None).await.is(200, json!({"status": "ok"}));
    app.auth.context().store.close().await;
    let again = app.call("GET", "/readyz", None, None).await.status;
    assert!(
        again == 200 || began.elapsed() > Duration::from_millis(250),
        "the answer of before is good for a moment"
    );
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(app.call("GET", "/readyz", None, None).await.status, 503);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_with_several_reads_has_one_deadline() {
    let Some(database) = Database::postgres().await else { return };
    let app = database.app_with(|b| b.background(false)).await;
    let token = app.register("jane").await;
    let lock = async |table: &str, seconds: f32| {
        database
            .sql
            .execute(&format!("BEGIN; LOCK TABLE {table}; SELECT pg_sleep({seconds}); COMMIT"))
            .await
            .unwrap();
    };
    let request = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let began = Instant::now();
        let status = app.get("/me", &token).await.status;
        (status, began.elapsed())
    };
    let ((), (), (status, took)) =
        tokio::join!(lock("users", 1.5), lock("doorwarden_sessions", 3.5), request);
    assert_eq!(status, 503);
    assert!(took < Duration::from_millis(2300), "the second read has only what the first has left: {took:?}");
}
