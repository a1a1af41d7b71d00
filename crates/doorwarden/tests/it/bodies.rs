//! Request bodies: codings, files, forms.

use crate::app::{Answer, App, Database, PASSWORD};
use axum::body::Body;
use http::Request;
use serde_json::json;
use std::time::{Duration, Instant};

on_both! {
    an_invalid_content_coding_is_ignored
    a_compressed_body_is_refused_with_the_name_of_its_coding
    a_file_is_no_text
    parsing_a_form_takes_linear_time_for_any_characters
    an_unsupported_content_type_gets_the_supported_ones
}

async fn posted(app: &App, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
    let mut request = Request::post("/registration");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    app.send(request.body(body.into()).unwrap()).await
}

fn jane() -> String {
    json!({"email": "jane@example.com", "username": "jane", "password": PASSWORD}).to_string()
}

async fn an_invalid_content_coding_is_ignored(database: Database) {
    let app = database.app().await;
    let json = ("content-type", "application/json");
    for (n, coding) in
        ["utf-8", "UTF8", "identity", "", "base64", "utf-8, identity", "é"].into_iter().enumerate()
    {
        let body = jane().replace("jane", &format!("jane{n}"));
        let answer = posted(&app, &[json, ("content-encoding", coding)], body).await;
        assert_eq!(answer.status, 201, "{coding:?}: {answer:?}");
    }
    let form = [("content-type", "application/x-www-form-urlencoded"), ("content-encoding", "utf-8")];
    let answer =
        posted(&app, &form, "email=form%40example.com&username=form&password=correct+horse+battery").await;
    assert_eq!(answer.status, 201, "{answer:?}");
}

async fn a_compressed_body_is_refused_with_the_name_of_its_coding(database: Database) {
    let app = database.app().await;
    let json = ("content-type", "application/json");
    for (sent, named) in
        [("gzip", "gzip"), ("GZip", "gzip"), ("br", "br"), ("zstd", "zstd"), ("utf-8, deflate", "deflate")]
    {
        let answer = posted(&app, &[json, ("content-encoding", sent)], jane()).await;
        assert_eq!(answer.header("accept-encoding"), "identity", "{sent}");
        answer.is(415, json!({"detail": format!("Unsupported content coding \"{named}\" in request.")}));
    }
    let answer =
        posted(&app, &[json, ("content-encoding", "identity"), ("content-encoding", "gzip")], jane()).await;
    assert_eq!(answer.status, 415);
}

async fn a_file_is_no_text(database: Database) {
    let app = database.app().await;
    let part = |disposition: &str, value: &str| {
        format!("--x\r\nContent-Disposition: form-data; {disposition}\r\n\r\n{value}\r\n")
    };
    let rest = part("name=\"email\"", "jane@example.com") + &part("name=\"password\"", PASSWORD);
    let kind = [("content-type", "multipart/form-data; boundary=x")];
    let file = part("name=\"username\"; filename=\"name.txt\"", "jane");
    let extended = part("name=\"username\"; filename*=UTF-8''name.txt", "jane");
    let text = part("name=\"username\"", "jane");
    for sent in [&file, &extended, &format!("{text}{file}"), &format!("{file}{text}")] {
        let answer = posted(&app, &kind, format!("{rest}{sent}--x--\r\n")).await;
        answer.is(400, json!({"username": ["Not a valid string."]}));
    }
    for (field, text) in [("email", "Enter a valid email address."), ("password", "Not a valid string.")] {
        let body = part(&format!("name=\"{field}\"; filename=\"a\""), "a");
        let answer = posted(&app, &kind, format!("{body}--x--\r\n")).await;
        assert_eq!(answer.json()[field], json!([text]));
    }
    let unnamed = part("name=\"username\"; filename=\"\"", "jane");
    assert_eq!(
        posted(&app, &kind, format!("{rest}{unnamed}--x--\r\n")).await.status,
        201,
        "no name, no file"
    );
}

async fn parsing_a_form_takes_linear_time_for_any_characters(database: Database) {
    let app = database.app().await;
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let time = async |field: &str, fields: usize| {
        let body = vec![field; fields].join("&");
        let began = Instant::now();
        assert_eq!(posted(&app, &form, body).await.status, 400);
        began.elapsed()
    };
    for field in ["%EF%BF%BD".repeat(6), "\u{fffd}".repeat(20), "%ff".repeat(20), "é".repeat(30)] {
        let (mut quarter, mut whole) = (Duration::MAX, Duration::MAX);
        for _ in 0..30 {
            quarter = quarter.min(time(&field, 60).await);
            whole = whole.min(time(&field, 240).await);
        }
        // Linear: four times as long, not sixteen times. Both are short enough for a busy machine.
        assert!(whole < quarter * 8, "{field}: {whole:?}, and {quarter:?} for a quarter of it");
    }
}

async fn an_unsupported_content_type_gets_the_supported_ones(database: Database) {
    let app = database.app().await;
    let answer = posted(&app, &[("content-type", "text/plain")], jane()).await;
    assert_eq!(
        answer.header("accept"),
        "application/json, application/x-www-form-urlencoded, multipart/form-data"
    );
    answer.is(415, json!({"detail": "Unsupported media type \"text/plain\" in request."}));
}
