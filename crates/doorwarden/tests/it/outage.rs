//! Responses while the database is unavailable.

use crate::app::Database;
use doorwarden::core::time::{Clock, SystemClock, Timestamp};
use serde_json::json;
use std::time::{Duration, Instant};

/// A machine whose clock is two months ahead.
#[derive(Debug)]
struct Ahead;

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        SystemClock.now().after(Duration::from_hours(61 * 24))
    }

    fn is_machines(&self) -> bool {
        true
    }
}

/// SQLite has no clock of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_whose_clock_is_wrong_deletes_nothing() {
    let Some(database) = Database::postgres().await else { return };
    let right = database.app_with(|b| b.clock(SystemClock)).await;
    let token = right.register("jane").await;
    let keys = right.auth.context().store.signing_keys().await.unwrap().len();
    let wrong = database.app_with(|b| b.clock(Ahead)).await;
    // Its background tasks start immediately.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(right.get("/me", &token).await.status, 200);
    let issued = right.auth.tokens().verify(&token).await.unwrap().session().unwrap();
    let store = &right.auth.context().store;
    assert!(store.session(issued).await.unwrap().is_some_and(|session| session.ended.is_none()));
    let left = store.signing_keys().await.unwrap();
    assert!(left.len() >= keys && left.iter().all(|key| key.revoked_at.is_none()));
    wrong.auth.close().await;
}

on_both! {
    whoever_registers_and_gets_no_session_is_told_that_the_account_is_there
    a_missing_table_is_503_and_not_ready
    readiness_checks_of_the_database_are_rate_limited
}

async fn whoever_registers_and_gets_no_session_is_told_that_the_account_is_there(database: Database) {
    let app = database.app_with(|b| b.background(false)).await;
    database.sql.execute("ALTER TABLE doorwarden_sessions RENAME TO gone").await.unwrap();
    let body = json!({"email": "jane@example.com", "username": "jane", "password": crate::app::PASSWORD});
    let answer = app.post("/registration", body).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["code"]),
        (503, &json!("account_created")),
        "{answer:?}"
    );
    database.sql.execute("ALTER TABLE gone RENAME TO doorwarden_sessions").await.unwrap();
    assert_eq!(app.log_in("jane", crate::app::PASSWORD).await.status, 200);
}

async fn a_missing_table_is_503_and_not_ready(database: Database) {
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

async fn readiness_checks_of_the_database_are_rate_limited(database: Database) {
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
