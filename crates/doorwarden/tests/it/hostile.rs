//! Hostile input: no status of 500 or more, nothing is stored that reads back differently, nothing is logged
//! unescaped.

use crate::app::{App, Database, PASSWORD};
use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

on_both! {
    hostile_text_in_every_field_reads_back_as_sent
    hostile_bodies_cause_no_server_error
    hostile_headers_cause_no_server_error
    a_body_may_arrive_in_pieces
}

fn texts() -> Vec<String> {
    let mut texts: Vec<String> = [
        "",
        " ",
        "\0",
        "a\0b",
        "\u{7f}",
        "\u{1b}[31mred\u{1b}[0m",
        "line\r\nfeed",
        "\u{202e}evil",
        "a\u{200d}b",
        "\u{feff}",
        "\u{fffd}",
        "\u{10ffff}",
        "\u{e000}",
        "ﷺ",
        "ß",
        "ǅ",
        "İ",
        "ı",
        "ﬀ",
        "é",
        "e\u{301}",
        "👩‍👩‍👧‍👦",
        "Ω",
        "Ω",
        "１２３",
        "' OR 1=1 --",
        "'; DROP TABLE users; --",
        "\" OR \"\"=\"",
        "%s%n%x",
        "${jndi:ldap://x/a}",
        "{{7*7}}",
        "../../etc/passwd",
        "<script>alert(1)</script>",
        "=cmd|' /C calc'!A0",
        "NULL",
        "undefined",
        "true",
        "-1",
        "1e999",
        "NaN",
        "\\u0000",
        "\\",
    ]
    .map(str::to_owned)
    .to_vec();
    for long in ["a", "ﷺ", "\u{301}", "👩‍"] {
        texts.push(long.repeat(3000));
    }
    texts
}

async fn hostile_text_in_every_field_reads_back_as_sent(database: Database) {
    let app = database.app().await;
    let token = app.register("jane").await;
    for (n, text) in texts().into_iter().enumerate() {
        for field in ["email", "username", "password"] {
            let mut body = json!({
                "email": format!("h{n}{field}@example.com"), "username": format!("h{n}{field}"), "password": PASSWORD,
            });
            body[field] = Value::String(text.clone());
            let answer = app.post("/registration", body.clone()).await;
            assert!(answer.status.as_u16() < 500, "{field} {text:?}: {answer:?}");
            if answer.status == 201 && field == "username" {
                let me = app.get("/me", &answer.token()).await.json();
                let typed = doorwarden::core::identity::text::python_strip(&text);
                let key = |name: &str| doorwarden::core::identity::UsernameKey::of(name);
                assert_eq!(key(me["username"].as_str().unwrap()), key(typed));
            }
            let answer = app.post("/login", body).await;
            assert!(answer.status.as_u16() < 500, "{field} {text:?}: {answer:?}");
        }
        let answer = app.call("PATCH", "/me", Some(&token), Some(json!({"username": text}))).await;
        assert!(answer.status.as_u16() < 500, "{text:?}: {answer:?}");
        let answer = app.get("/me", &token).await;
        assert_eq!(answer.status, 200, "{text:?}");
    }
}

async fn posted(app: &App, kind: &str, body: impl Into<Body>) -> u16 {
    let request = Request::builder().method("POST").uri("/registration").header("content-type", kind);
    app.send(request.body(body.into()).unwrap()).await.status.as_u16()
}

async fn hostile_bodies_cause_no_server_error(database: Database) {
    let app = database.app().await;
    for (body, expected) in [
        (&b"\xff\xfe"[..], 400),
        (b"{\"email\": \"\xc3\x28\"}", 400),
        (br#"{"email": "\ud800"}"#, 400),
        (br#"{"email": 1e999}"#, 400),
        (br#"{"a": NaN}"#, 400),
        (br#"{"email": "a@example.com", "email": "b@example.com"}"#, 400),
        (b"null", 400),
        (b"[]", 400),
        (b"\"\"", 400),
        (b"", 400),
        (b"{\"__proto__\": {\"is_staff\": true}}", 400),
    ] {
        assert_eq!(
            posted(&app, "application/json", body).await,
            expected,
            "{:?}",
            String::from_utf8_lossy(body)
        );
    }
    let deep = [b"{\"a\":".repeat(10_000), b"}".repeat(10_000)].concat();
    assert_eq!(posted(&app, "application/json", deep).await, 400);
    let form = "application/x-www-form-urlencoded";
    for (body, expected) in
        [("email=%ff", 400), ("email=%00&username=%00&password=%00", 400), ("&&&==&=", 400), ("%", 400)]
    {
        assert_eq!(posted(&app, form, body).await, expected, "{body}");
    }
    let many = "a=1&".repeat(1001);
    assert_eq!(posted(&app, form, many).await, 400);
    let multipart = "multipart/form-data; boundary=x";
    for body in [
        "",
        "--x",
        "--x--",
        "--x\r\n\r\n\r\n--x--",
        "--x\r\nContent-Disposition: form-data; name=\"email\"\r\n\r\n",
    ] {
        let status = posted(&app, multipart, body).await;
        assert_eq!(status, 400, "{body:?}");
    }
    assert_eq!(posted(&app, "multipart/form-data", "x").await, 400);
}

async fn hostile_headers_cause_no_server_error(database: Database) {
    let app = database.app().await;
    for value in [
        &b"Bearer"[..],
        b"Bearer ",
        b"Bearer  ",
        b"bearer\tx",
        b"Bearer a b",
        b"Bearer \xff\xfe",
        b"\xff",
        b"Basic YTpi",
        b",",
        b"Bearer ..",
        b"Bearer ....",
        b"Bearer eyJhbGciOiJub25lIn0.e30.",
        b"Token x",
        b"Bearer=x",
    ] {
        let request =
            Request::builder().uri("/me").header("authorization", value).body(Body::empty()).unwrap();
        let answer = app.send(request).await;
        assert_eq!(answer.status, 401, "{:?}", String::from_utf8_lossy(value));
        assert!(answer.header("www-authenticate").starts_with("Bearer"));
    }
    for (name, value) in [
        ("accept", "\u{7f}".repeat(0)),
        ("content-type", "application/json; charset=\"".to_owned()),
        ("content-length", "-1".to_owned()),
        ("x-forwarded-for", "a, b, ::1%eth0".to_owned()),
        ("user-agent", "\u{1}".replace('\u{1}', "\t")),
    ] {
        let request = Request::builder().method("POST").uri("/login").header(name, value);
        let status = app.send(request.body(Body::from("{}")).unwrap()).await.status.as_u16();
        assert!((400..500).contains(&status), "{name}: {status}");
    }
}

async fn a_body_may_arrive_in_pieces(database: Database) {
    let app = database.app().await;
    let text = json!({"email": "jane@example.com", "username": "jane", "password": PASSWORD}).to_string();
    let pieces: Vec<_> = text.as_bytes().chunks(7).map(|c| Ok::<_, std::io::Error>(c.to_vec())).collect();
    let body = Body::from_stream(futures_util::stream::iter(pieces));
    assert_eq!(posted(&app, "application/json", body).await, 201);
    let endless =
        futures_util::stream::iter(std::iter::repeat_with(|| Ok::<_, std::io::Error>(vec![b'a'; 4096])));
    assert_eq!(posted(&app, "application/json", Body::from_stream(endless)).await, 413);
    let broken = futures_util::stream::iter([Ok(b"{".to_vec()), Err(std::io::Error::other("gone"))]);
    assert_eq!(posted(&app, "application/json", Body::from_stream(broken)).await, 400);
}
