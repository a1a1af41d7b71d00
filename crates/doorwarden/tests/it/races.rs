//! Concurrent requests.

use crate::app::{App, Database, PASSWORD};
use doorwarden::UserId;
use doorwarden_testkit::drill;
use serde_json::json;
use std::sync::Arc;

on_both! {
    drill_exactly_one_of_many_registrations_of_one_email_succeeds
    drill_a_login_racing_with_a_password_change_leaves_no_session_of_the_old_password
}

async fn drill_exactly_one_of_many_registrations_of_one_email_succeeds(database: Database) {
    let app = Arc::new(database.app().await);
    for round in 0..drill().rounds(5, 1000) {
        let registrations = (0..32).map(|n| {
            let app = Arc::clone(&app);
            tokio::spawn(async move {
                let local = format!("racer{round}");
                let local = if n % 2 == 0 { local } else { local.to_uppercase() };
                let body = json!({
                    "email": format!("{local}@example.com"), "username": format!("r{round}n{n}"), "password": PASSWORD,
                });
                app.post("/registration", body).await.status.as_u16()
            })
        });
        let mut created = 0;
        for status in futures_util::future::join_all(registrations).await {
            match status.unwrap() {
                201 => created += 1,
                // Of 32 concurrent hashes some may exceed the queue: such a request creates no account and is
                // no failure.
                400 | 503 => {}
                other => panic!("{other}"),
            }
        }
        assert_eq!(created, 1, "round {round}");
    }
    let count = app.auth.context().store.count_users().await.unwrap();
    assert_eq!(count, drill().rounds(5, 1000) as u64);
}

async fn drill_a_login_racing_with_a_password_change_leaves_no_session_of_the_old_password(
    database: Database,
) {
    let app = Arc::new(database.app().await);
    app.register("jane").await;
    let mut old = PASSWORD.to_owned();
    for round in 0..drill().rounds(10, 200) {
        let new = format!("a staple of {round} batteries");
        let logins = (0..4).map(|_| {
            let (app, old) = (Arc::clone(&app), old.clone());
            tokio::spawn(async move {
                let answer = app.log_in("jane", &old).await;
                (answer.status == 200).then(|| answer.token())
            })
        });
        let logins: Vec<_> = logins.collect();
        app.auth.users().set_password(UserId(1), Some(&new)).await.unwrap();
        for login in futures_util::future::join_all(logins).await {
            if let Some(token) = login.unwrap() {
                assert_eq!(refused(&app, &token).await, 401, "round {round}");
            }
        }
        assert_eq!(app.log_in("jane", &old).await.status, 400);
        old = new;
    }
}

/// The status of `GET /me` with a token whose session has ended in the database.
async fn refused(app: &App, token: &str) -> u16 {
    app.get("/me", token).await.status.as_u16()
}
