//! The metrics: requests by endpoint and outcome, and what is done in the background.

use crate::app::{Database, PASSWORD};
use crate::post::Post;
use doorwarden::core::flow::send_mails::send_due;
use doorwarden::core::mail::{MailKind, SendError};
use serde_json::{Value, json};
use std::time::Duration;

on_both! {
    metrics_count_responses_by_endpoint_and_outcomes_by_flow
    metrics_count_mails_seals_and_what_the_limits_refuse
}

async fn metrics_count_responses_by_endpoint_and_outcomes_by_flow(database: Database) {
    let app = database.app().await;
    let token = app.register("jane").await;
    app.log_in("jane", PASSWORD).await;
    app.log_in("jane", "wrong horse battery").await;
    app.log_in("nobody", PASSWORD).await;
    app.post("/login", json!({})).await;
    app.get("/me", &token).await;
    app.get("/me", "garbage").await;
    app.call("GET", "/login", None, None).await;
    app.call("GET", "/nowhere/at/all", None, None).await;
    app.post("/token", json!({"email": "jane@example.com", "password": "wrong horse battery"})).await;
    let text = app.auth.render_metrics();
    for line in [
        "doorwarden_responses_total{endpoint=\"login\",status=\"200\"} 1",
        "doorwarden_responses_total{endpoint=\"login\",status=\"400\"} 3",
        "doorwarden_responses_total{endpoint=\"login\",status=\"405\"} 1",
        "doorwarden_responses_total{endpoint=\"me\",status=\"401\"} 1",
        "doorwarden_outcomes_total{flow=\"create_account\",outcome=\"ok\"} 1",
        "doorwarden_outcomes_total{flow=\"create_login\",outcome=\"ok\"} 1",
        "doorwarden_outcomes_total{flow=\"create_login\",outcome=\"wrong_credentials\"} 2",
        "doorwarden_outcomes_total{flow=\"create_login\",outcome=\"invalid\"} 1",
        "doorwarden_outcomes_total{flow=\"create_token\",outcome=\"no_active_account\"} 1",
        "doorwarden_outcomes_total{flow=\"read_me\",outcome=\"token_not_valid\"} 1",
    ] {
        assert!(text.contains(&format!("\n{line}\n")), "{line}\n{text}");
    }
    assert!(!text.contains("nowhere"), "no label is a client's");
    let mut labels: Vec<_> = Value::from(text).as_str().unwrap().lines().map(str::to_owned).collect();
    labels.sort();
    let count = labels.len();
    labels.dedup();
    assert_eq!(labels.len(), count, "no line occurs twice");
}

async fn metrics_count_mails_seals_and_what_the_limits_refuse(database: Database) {
    let post = Post::default();
    let app = database.app_with(|builder| builder.background(false).mailer(post.clone())).await;
    app.register("jane").await;
    app.post("/password/reset", json!({"email": "jane@example.com"})).await;
    post.fails_once(SendError::Temporary("busy".to_owned()));
    assert!(post.read(&app).await.is_empty());
    app.clock.advance(Duration::from_mins(1));
    while send_due(app.auth.context(), false).await.unwrap() > 0 {}
    post.one(&app, MailKind::ResetPassword).await;
    app.post("/password/reset", json!({"email": "jane@example.com"})).await;
    post.fails_once(SendError::Permanent("no such mailbox".to_owned()));
    assert!(post.read(&app).await.is_empty());
    let sealed = app.auth.audit().seal().await.unwrap();
    for _ in 0..6 {
        app.log_in("jane", "wrong horse battery").await;
    }
    let text = app.auth.render_metrics();
    for line in [
        "doorwarden_mails_total{outcome=\"sent\"} 1",
        "doorwarden_mails_total{outcome=\"deferred\"} 1",
        "doorwarden_mails_total{outcome=\"given_up\"} 1",
        "doorwarden_webhooks_total{outcome=\"delivered\"} 0",
        &format!("doorwarden_audit_sealed_total {sealed}"),
        "doorwarden_audit_seal_failures_total 0",
        "doorwarden_throttled_total{limit=\"login-account\"} 1",
    ] {
        assert!(text.contains(&format!("\n{line}\n")), "{line}\n{text}");
    }
    assert!(sealed > 0);
}
