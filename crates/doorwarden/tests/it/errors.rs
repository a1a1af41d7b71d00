//! The formats of errors, and the headers of every response.

use crate::app::{App, Database};
use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::Request;
use serde_json::{Value, json};

on_both! {
    a_client_may_ask_for_problem_details
    a_request_without_credentials_gets_no_token_error
    every_refusal_of_the_router_is_json
    limits_answer_in_json
    every_answer_has_an_id_and_security_headers
    a_panic_is_one_failed_request
    other_origins_may_call_only_if_configured
    a_configured_origin_can_read_errors_and_exposed_headers
    public_documents_can_be_read_from_every_origin
}

async fn asking_for_problems(app: &App, method: &str, path: &str, body: &str) -> (u16, Value) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("accept", "application/problem+json")
        .header("content-type", "application/json")
        .body(Body::from(body.to_owned()))
        .unwrap();
    let answer = app.send(request).await;
    assert_eq!(answer.header("content-type"), "application/problem+json", "{answer:?}");
    (answer.status.as_u16(), answer.json())
}

async fn a_client_may_ask_for_problem_details(database: Database) {
    let app = database.app().await;
    let (status, body) =
        asking_for_problems(&app, "POST", "/registration", r#"{"email": "x", "password": ""}"#).await;
    assert_eq!(status, 400);
    assert_eq!(
        body,
        json!({
            "type": "about:blank", "title": "Bad Request", "status": 400, "code": "invalid",
            "detail": "Some fields are invalid.",
            "errors": {
                "email": [{"code": "invalid", "detail": "Enter a valid email address."}],
                "username": [{"code": "required", "detail": "This field is required."}],
                "password": [{"code": "blank", "detail": "This field may not be blank."}],
            },
        })
    );
    for (method, path, status, code) in [
        ("GET", "/me", 401, "not_authenticated"),
        ("GET", "/nowhere", 404, "not_found"),
        ("POST", "/me", 405, "method_not_allowed"),
        ("POST", "/login", 400, "parse_error"),
    ] {
        let (answered, body) = asking_for_problems(&app, method, path, "{").await;
        assert_eq!(
            (answered, &body["status"], &body["code"]),
            (status, &json!(status), &json!(code)),
            "{path}"
        );
    }
}

async fn a_request_without_credentials_gets_no_token_error(database: Database) {
    let app = database.app().await;
    let answer = app.call("GET", "/me", None, None).await;
    assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"api\"");
    answer.is(401, json!({"detail": "Authentication credentials were not provided."}));
    let answer = app.get("/me", "garbage").await;
    assert!(answer.header("www-authenticate").starts_with("Bearer realm=\"api\", error=\"invalid_token\""));
    let twice = Request::builder()
        .uri("/me")
        .header("authorization", "Bearer a")
        .header("authorization", "Bearer b")
        .body(Body::empty())
        .unwrap();
    assert_eq!(app.send(twice).await.status, 400);
}

async fn every_refusal_of_the_router_is_json(database: Database) {
    let app = database.app().await;
    app.call("GET", "/nowhere", None, None).await.is(404, json!({"detail": "Not found."}));
    let answer = app.call("DELETE", "/login", None, None).await;
    assert_eq!(answer.header("allow"), "POST, OPTIONS");
    answer.is(405, json!({"detail": "Method \"DELETE\" not allowed."}));
    let options = app.call("OPTIONS", "/me/", None, None).await;
    assert_eq!(
        (options.status.as_u16(), options.header("allow")),
        (204, "GET, PUT, PATCH, DELETE, HEAD, OPTIONS")
    );
}

async fn limits_answer_in_json(database: Database) {
    let app = database.app().await;
    let post = |body: String, kind: &str| {
        let request = Request::builder().method("POST").uri("/login").header("content-type", kind);
        app.send(request.body(Body::from(body)).unwrap())
    };
    let large = format!("{{\"email\": \"{}\"}}", "a".repeat(64 * 1024));
    post(large, "application/json").await.is(413, json!({"detail": "The request body is too large."}));
    post("x".into(), "text/plain")
        .await
        .is(415, json!({"detail": "Unsupported media type \"text/plain\" in request."}));
    let long = format!("/me?{}", "a".repeat(8 * 1024));
    assert_eq!(app.call("GET", &long, None, None).await.status, 414);
    let mut request = Request::builder().uri("/me");
    for n in 0..101 {
        request = request.header(format!("x-{n}"), "1");
    }
    assert_eq!(app.send(request.body(Body::empty()).unwrap()).await.status, 431);
    let huge =
        Request::builder().uri("/me").header("x-huge", "a".repeat(16 * 1024)).body(Body::empty()).unwrap();
    let answer = app.send(huge).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (431, "application/json"));
}

async fn every_answer_has_an_id_and_security_headers(database: Database) {
    let app = database.app().await;
    let (one, two) =
        (app.call("GET", "/healthz", None, None).await, app.call("GET", "/nowhere", None, None).await);
    assert_ne!(one.header("x-request-id"), two.header("x-request-id"));
    for answer in [&one, &two] {
        assert_eq!(answer.header("x-request-id").len(), 16);
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("x-frame-options"), "DENY");
        assert!(answer.header("content-security-policy").starts_with("default-src 'none'"));
    }
    let docs = app.call("GET", "/docs", None, None).await;
    assert!(
        docs.header("content-security-policy").contains("script-src"),
        "the page has a policy of its own"
    );
    let page = String::from_utf8(docs.body).unwrap();
    assert!(page.contains("/openapi.json") && !page.contains("https://"), "it needs nothing from elsewhere");
}

async fn a_panic_is_one_failed_request(database: Database) {
    let panics = async || ["a bug of the application"][usize::from(std::hint::black_box(true))];
    let app = database
        .app_around(|b| b, |auth| auth.router().merge(Router::new().route("/bug", get(panics))))
        .await;
    app.call("GET", "/bug", None, None).await.is(500, json!({"detail": "A server error occurred."}));
    assert_eq!(app.call("GET", "/healthz", None, None).await.status, 200);
    assert!(app.auth.render_metrics().contains("doorwarden_panics_total 1\n"));
}

async fn other_origins_may_call_only_if_configured(database: Database) {
    let named = |b: doorwarden::Builder| {
        b.cors(doorwarden::CorsSettings::new(["https://app.example.com".parse().unwrap()]))
    };
    let (closed, open) = (database.app().await, database.app_with(named).await);
    let from = |origin: &str| {
        Request::builder()
            .method("OPTIONS")
            .uri("/login")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "content-type")
            .body(Body::empty())
            .unwrap()
    };
    let allowed = "access-control-allow-origin";
    assert_eq!(closed.send(from("https://app.example.com")).await.header(allowed), "");
    assert_eq!(open.send(from("https://app.example.com")).await.header(allowed), "https://app.example.com");
    for other in
        ["https://app.example.com.evil.test", "https://evilapp.example.com", "null", "http://app.example.com"]
    {
        assert_eq!(open.send(from(other)).await.header(allowed), "", "{other}");
    }
}

const ORIGIN: &str = "https://app.example.com";

async fn from_origin(app: &App, method: &str, path: &str, headers: &[(&str, &str)]) -> crate::app::Answer {
    let mut request = Request::builder().method(method).uri(path).header("origin", ORIGIN);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    app.send(request.body(Body::empty()).unwrap()).await
}

async fn a_configured_origin_can_read_errors_and_exposed_headers(database: Database) {
    let panics = async || ["a bug of the application"][usize::from(std::hint::black_box(true))];
    let own = |auth: &doorwarden::Doorwarden| {
        auth.protect(Router::new().route("/feed", get(async || "feed")))
            .merge(auth.router())
            .route("/bug", get(panics))
    };
    let named = |b: doorwarden::Builder| b.cors(doorwarden::CorsSettings::new([ORIGIN.parse().unwrap()]));
    let app = database.app_around(named, own).await;
    let long = format!("/me?{}", "a".repeat(8 * 1024));
    let large = "a".repeat(16 * 1024);
    for (path, headers, status) in [
        ("/me", &[][..], 401),
        ("/feed", &[], 401),
        ("/login", &[], 405),
        ("/bug", &[], 500),
        ("/nowhere", &[], 404),
        (&long, &[], 414),
        ("/me", &[("x-large", large.as_str())], 431),
    ] {
        let answer = from_origin(&app, "GET", path, headers).await;
        assert_eq!(answer.status.as_u16(), status);
        assert_eq!(answer.header("access-control-allow-origin"), ORIGIN, "{status}");
        assert_eq!(answer.header("vary"), "origin", "{status}");
        let exposed = answer.header("access-control-expose-headers");
        for name in ["retry-after", "x-request-id", "www-authenticate", "link"] {
            assert!(exposed.contains(name), "{name}: {exposed}");
        }
        let other = Request::builder().uri(path).header("origin", "https://evil.test");
        let other = headers.iter().fold(other, |request, (name, value)| request.header(*name, *value));
        let other = app.send(other.body(Body::empty()).unwrap()).await;
        assert_eq!(other.header("access-control-allow-origin"), "", "{status}");
    }
    for path in ["/me", "/nowhere"] {
        let preflight =
            [("access-control-request-method", "PUT"), ("access-control-request-headers", "authorization")];
        let answer = from_origin(&app, "OPTIONS", path, &preflight).await;
        assert_eq!(answer.status, 204);
        assert!(answer.header("access-control-allow-methods").contains("PUT"), "{answer:?}");
        let allowed = answer.header("access-control-allow-headers");
        for name in ["authorization", "content-type", "if-none-match", "x-device-token", "x-altcha"] {
            assert!(allowed.split(", ").any(|header| header == name), "{name}: {allowed}");
        }
    }
}

async fn public_documents_can_be_read_from_every_origin(database: Database) {
    let app = database.app().await;
    for path in [
        "/.well-known/jwks.json",
        "/.well-known/revocations",
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
        "/openapi.json",
    ] {
        for (method, status) in [("GET", 200), ("OPTIONS", 204), ("POST", 405)] {
            let headers = [
                ("access-control-request-method", "GET"),
                ("access-control-request-headers", "if-none-match"),
            ];
            let answer = from_origin(&app, method, path, &headers).await;
            assert_eq!(answer.status.as_u16(), status, "{path}");
            assert_eq!(answer.header("access-control-allow-origin"), "*", "{method} {path}");
            assert_eq!(answer.header("access-control-allow-credentials"), "", "{method} {path}");
        }
        let plain = app.call("GET", path, None, None).await;
        assert_eq!(plain.header("access-control-allow-origin"), "*", "a cache may keep it for everybody");
        assert_eq!(plain.header("cross-origin-resource-policy"), "cross-origin", "{path}");
    }
    assert_eq!(from_origin(&app, "GET", "/me", &[]).await.header("access-control-allow-origin"), "");
    assert_eq!(from_origin(&app, "GET", "/docs", &[]).await.header("access-control-allow-origin"), "");
}
