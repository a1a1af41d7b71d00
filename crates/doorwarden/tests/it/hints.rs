//! Explanations of wrong requests, next to the texts of Django REST framework.

use crate::app::{Answer, App, Database, PASSWORD};
use axum::body::Body;
use http::Request;
use serde_json::json;
use std::time::Duration;

on_both! {
    json_sent_as_a_form_is_explained
    a_form_sent_as_json_is_explained
    a_header_without_a_bearer_token_is_explained
    a_refused_token_is_explained
}

async fn send(app: &App, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    app.send(request.body(Body::from(body.to_owned())).unwrap()).await
}

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const PROBLEM: (&str, &str) = ("accept", "application/problem+json");

async fn json_sent_as_a_form_is_explained(database: Database) {
    let app = database.app().await;
    let token = format!("Bearer {}", app.register("jane").await);
    let body = json!({"email": "jane@example.com", "password": PASSWORD}).to_string();
    let required = json!(["This field is required."]);
    let is_told = |answer: &Answer| {
        let told = answer.json()["non_field_errors"][0].as_str().unwrap_or_default().to_owned();
        assert!(told.contains("Content-Type: application/json"), "{answer:?}");
    };
    let answer = send(&app, "POST", "/login", &[FORM], &body).await;
    assert_eq!(answer.status, 400);
    is_told(&answer);
    let errors = answer.json();
    assert_eq!((&errors["email"], &errors["password"]), (&required, &required), "the texts stay");
    for (method, path) in [
        ("POST", "/registration"),
        ("PATCH", "/me"),
        ("PUT", "/me"),
        ("POST", "/password/change"),
        ("DELETE", "/me"),
    ] {
        let answer =
            send(&app, method, path, &[FORM, ("authorization", &token)], &format!("\n {body}")).await;
        assert_eq!(answer.status, 400, "{method} {path}");
        is_told(&answer);
    }
    let problem = send(&app, "POST", "/login", &[FORM, PROBLEM], &body).await.json();
    assert_eq!(problem["code"], "invalid");
    assert!(problem["hint"].as_str().unwrap().contains("application/json"), "{problem}");
    for (kind, text) in [("text/plain", "text/plain"), ("", "")] {
        let answer = send(&app, "POST", "/login", &[("content-type", kind)], &body).await;
        answer.is(415, json!({"detail": format!("Unsupported media type \"{text}\" in request.")}));
        let problem = send(&app, "POST", "/login", &[("content-type", kind), PROBLEM], &body).await.json();
        assert!(problem["hint"].as_str().unwrap().contains("application/json"), "{problem}");
    }
}

async fn a_form_sent_as_json_is_explained(database: Database) {
    let app = database.app().await;
    let json = ("content-type", "application/json");
    let answer = send(&app, "POST", "/login", &[json, PROBLEM], "email=jane%40example.com&password=x").await;
    let problem = answer.json();
    assert_eq!((answer.status.as_u16(), &problem["code"]), (400, &json!("parse_error")));
    assert!(problem["hint"].as_str().unwrap().contains("x-www-form-urlencoded"), "{problem}");
    let plain = send(&app, "POST", "/login", &[json, PROBLEM], "{").await.json();
    assert_eq!(plain.get("hint"), None, "nothing to guess");
}

async fn a_header_without_a_bearer_token_is_explained(database: Database) {
    let app = database.app().await;
    let token = app.register("jane").await;
    for value in [
        token.clone(),
        format!("Token {token}"),
        format!("JWT {token}"),
        "Basic YTpi".into(),
        "Bearer".into(),
    ] {
        let answer = send(&app, "GET", "/me", &[("authorization", &value)], "").await;
        let challenge = answer.header("www-authenticate");
        assert!(challenge.contains("Authorization: Bearer TOKEN"), "{challenge}");
        answer.is(401, json!({"detail": "Authentication credentials were not provided."}));
        let problem = send(&app, "GET", "/me", &[("authorization", &value), PROBLEM], "").await.json();
        assert_eq!(problem["code"], "not_authenticated");
        assert!(problem["hint"].as_str().unwrap().contains("Bearer TOKEN"), "{problem}");
    }
    let none = app.call("GET", "/me", None, None).await;
    assert_eq!(none.header("www-authenticate"), "Bearer realm=\"api\"");
}

async fn a_refused_token_is_explained(database: Database) {
    let app = database.app().await;
    let text = json!({"detail": "Invalid authentication. Could not decode token."});
    let is_told = async |token: &str, code: &str, part: &str| {
        let answer = app.get("/me", token).await;
        let challenge = answer.header("www-authenticate");
        assert!(challenge.starts_with("Bearer realm=\"api\", error=\"invalid_token\""), "{challenge}");
        assert!(challenge.contains(part), "{challenge}");
        answer.is(401, text.clone());
        let bearer = format!("Bearer {token}");
        let problem = send(&app, "GET", "/me", &[("authorization", &bearer), PROBLEM], "").await.json();
        assert_eq!(problem["code"], code, "{problem}");
        assert!(problem["hint"].as_str().unwrap().contains(part), "{problem}");
    };
    let signed_out = app.register("jane").await;
    let expired = app.register("joe").await;
    app.call("POST", "/logout", Some(&signed_out), None).await;
    is_told(&signed_out, "session_ended", "session of the token has ended").await;
    is_told("garbage", "token_not_valid", "not issued here").await;
    let forged = format!("{}x", &expired[..expired.len() - 1]);
    is_told(&forged, "token_not_valid", "not issued here").await;
    app.clock.advance(Duration::from_hours(61 * 24));
    is_told(&expired, "token_expired", "has expired").await;
    is_told(&forged, "token_not_valid", "not issued here").await;
}
