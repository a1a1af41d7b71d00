//! The refresh token in a cookie.

use crate::app::{Answer, App, Database, PASSWORD};
use crate::pairs::Pair;
use axum::body::Body;
use doorwarden::CorsSettings;
use http::Request;
use serde_json::json;

on_both! {
    without_the_setting_cookies_are_neither_set_nor_accepted
    a_browser_gets_the_refresh_token_as_a_cookie_that_scripts_cannot_read
    the_cookie_rotates_and_is_removed_when_it_is_refused_or_revoked
    a_cross_site_request_with_the_cookie_is_refused
    an_allowed_origin_may_use_the_cookie
    other_cookies_never_hide_the_refresh_cookie
    a_login_whose_cookie_would_be_dropped_is_refused
    a_missing_cookie_has_a_code_of_its_own
    empty_bodies_are_equivalent
    clients_other_than_browsers_get_the_token_in_the_body
}

const SAME: &[(&str, &str)] = &[("sec-fetch-site", "same-origin"), ("content-type", "application/json")];
const APP: &str = "https://app.example.com";

impl Database {
    async fn app_with_cookie(&self) -> App {
        self.app_with(|b| {
            b.http(|http| http.refresh_cookie = true).cors(CorsSettings::new([APP.parse().unwrap()]))
        })
        .await
    }
}

impl App {
    async fn browse(&self, path: &str, headers: &[(&str, &str)], body: String) -> Answer {
        let mut request = Request::post(path).header("host", "id.example.com");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(body)).unwrap()).await
    }

    async fn browse_in(&self, headers: &[(&str, &str)]) -> Answer {
        let login = json!({"email": "jane@example.com", "password": PASSWORD});
        self.browse("/token", headers, login.to_string()).await
    }

    async fn browse_with(&self, path: &str, cookie: &str, headers: &[(&str, &str)]) -> Answer {
        self.browse(path, &[headers, &[("cookie", cookie)]].concat(), String::new()).await
    }
}

/// The cookie that the browser sends back.
/// How many cookies of an answer have a refresh token.
fn refresh_cookies(answer: &Answer) -> usize {
    let is_one = |value: &&http::HeaderValue| value.as_bytes().starts_with(b"__Host-doorwarden-refresh=");
    answer.headers.get_all("set-cookie").iter().filter(is_one).count()
}

#[track_caller]
fn cookie(answer: &Answer) -> String {
    let set = answer.header("set-cookie");
    let (pair, attributes) = set.split_once("; ").unwrap_or_else(|| panic!("no cookie: {answer:?}"));
    assert!(attributes.starts_with("Max-Age="), "{set}");
    assert!(attributes.ends_with("; HttpOnly; Secure; SameSite=Strict; Path=/"), "{set}");
    pair.to_owned()
}

async fn without_the_setting_cookies_are_neither_set_nor_accepted(database: Database) {
    let app = database.app().await;
    app.register("jane").await;
    let answer = app.browse_in(SAME).await;
    assert_eq!(refresh_cookies(&answer), 0);
    let cookie = format!("__Host-doorwarden-refresh={}", Pair::of(&answer).refresh);
    let answer = app.browse_with("/token/refresh", &cookie, SAME).await;
    answer.is(400, json!({"refresh": ["This field is required."]}));
}

async fn a_browser_gets_the_refresh_token_as_a_cookie_that_scripts_cannot_read(database: Database) {
    let app = database.app_with_cookie().await;
    app.register("jane").await;
    let answer = app.browse_in(SAME).await;
    assert!(cookie(&answer).starts_with("__Host-doorwarden-refresh=dwr_"));
    assert!(answer.header("set-cookie").contains("Max-Age=1209600;"));
    assert!(answer.json().get("refresh").is_none());
    assert_eq!(app.me(answer.json()["access"].as_str().unwrap()).await, 200);
}

async fn the_cookie_rotates_and_is_removed_when_it_is_refused_or_revoked(database: Database) {
    let app = database.app_with_cookie().await;
    app.register("jane").await;
    let first = cookie(&app.browse_in(SAME).await);
    let among_others = format!("theme=dark; {first}; lang=en");
    let answer = app.browse_with("/token/refresh", &among_others, SAME).await;
    assert!(answer.json().get("refresh").is_none());
    let second = cookie(&answer);
    assert_ne!(first, second);
    let third = cookie(&app.browse_with("/token/refresh", &second, SAME).await);
    let answer = app.browse_with("/token/refresh", &first, SAME).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (401, &json!("refresh_reused")));
    assert_eq!(cookie(&answer), "__Host-doorwarden-refresh=");
    assert_eq!(app.browse_with("/token/refresh", &third, SAME).await.status, 401);

    let fresh = cookie(&app.browse_in(SAME).await);
    let answer = app.browse_with("/token/revoke", &fresh, SAME).await;
    assert_eq!((answer.status.as_u16(), cookie(&answer).as_str()), (204, "__Host-doorwarden-refresh="));
    assert_eq!(app.browse_with("/token/refresh", &fresh, SAME).await.status, 401);
}

async fn a_cross_site_request_with_the_cookie_is_refused(database: Database) {
    let app = database.app_with_cookie().await;
    app.register("jane").await;
    let held = cookie(&app.browse_in(SAME).await);
    let json = ("content-type", "application/json");
    let form = ("content-type", "application/x-www-form-urlencoded");
    let asked = ("x-requested-with", "fetch");
    let site = |value| ("sec-fetch-site", value);
    let origin = |value| ("origin", value);

    for (headers, expected) in [
        (&[site("same-origin"), json][..], 200),
        (&[site("same-origin"), form, asked], 200),
        (&[origin("https://id.example.com"), json], 200),
        (&[site("cross-site"), origin(APP), json], 200),
        (&[site("same-site"), origin(APP), form, asked], 200),
        (&[json], 403),
        (&[asked, form], 403),
        (&[site("same-origin"), form], 403),
        (&[site("cross-site"), json], 403),
        (&[site("same-site"), json], 403),
        (&[site("none"), json], 403),
        (&[origin("https://evil.example"), json], 403),
        (&[origin("null"), json], 403),
        (&[origin("https://id.example.com.evil.example"), json], 403),
        (&[site("cross-site"), origin("https://id.example.com"), json], 403),
        (&[site("same-origin"), ("content-type", "text/plain; application/json")], 403),
    ] {
        for path in ["/token/refresh", "/token/revoke"] {
            if expected == 200 && path == "/token/revoke" {
                continue;
            }
            let answer = app.browse_with(path, &held, headers).await;
            assert_eq!(answer.status, expected, "{path} {headers:?}");
        }
    }
    for headers in [&[site("cross-site"), json][..], &[origin("https://evil.example"), json]] {
        let answer = app.browse_in(headers).await;
        assert_eq!((answer.status.as_u16(), answer.header("set-cookie")), (403, ""), "{headers:?}");
    }
}

async fn an_allowed_origin_may_use_the_cookie(database: Database) {
    let app = database.app_with_cookie().await;
    let preflight = Request::options("/token/refresh")
        .header("origin", APP)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "x-requested-with");
    let answer = app.send(preflight.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.header("access-control-allow-origin"), APP);
    assert_eq!(answer.header("access-control-allow-credentials"), "true");
    assert!(answer.header("access-control-allow-headers").contains("x-requested-with"));
}

async fn other_cookies_never_hide_the_refresh_cookie(database: Database) {
    let app = database.app_with_cookie().await;
    app.register("jane").await;
    let with = async |path: &str, lines: &[&[u8]]| {
        let mut request = Request::post(path).header("host", "id.example.com");
        for (name, value) in SAME {
            request = request.header(*name, *value);
        }
        for line in lines {
            request = request.header("cookie", http::HeaderValue::from_bytes(line).unwrap());
        }
        app.send(request.body(Body::empty()).unwrap()).await.status.as_u16()
    };
    let mut held = cookie(&app.browse_in(SAME).await);
    for before in [
        &b"city=Z\xc3\xbcrich; "[..],
        b"x=\xff\xfe; ",
        b"novalue; ",
        b"; ;=; ==; ",
        b"\xe9; a=b;",
        b"__Host-doorwarden-refresh; ",
    ] {
        let line = [before, held.as_bytes(), b"; z=\xe9"].concat();
        assert_eq!(with("/token/refresh", &[&line]).await, 200, "{}", before.escape_ascii());
        let lines = [before, held.as_bytes()];
        assert_eq!(with("/token/refresh", &lines).await, 200, "{}", before.escape_ascii());
        assert_eq!(with("/token/revoke", &[&line]).await, 204, "{}", before.escape_ascii());
        held = cookie(&app.browse_in(SAME).await);
    }
    assert_eq!(with("/token/refresh", &[b"__Host-doorwarden-refresh=dwr_\xff"]).await, 401);
}

async fn a_login_whose_cookie_would_be_dropped_is_refused(database: Database) {
    let app = database.app_with_cookie().await;
    app.register("jane").await;
    let json = ("content-type", "application/json");
    let answer = app.browse_in(&[("sec-fetch-site", "cross-site"), ("origin", APP), json]).await;
    let code = answer.json()["code"].clone();
    assert_eq!((answer.status.as_u16(), code), (400, "refresh_cookie_cross_site".into()));
    assert_eq!(answer.header("set-cookie"), "");
    cookie(&app.browse_in(&[("sec-fetch-site", "same-site"), ("origin", APP), json]).await);
}

async fn a_missing_cookie_has_a_code_of_its_own(database: Database) {
    let app = database.app_with_cookie().await;
    let json = ("content-type", "application/json");
    for headers in
        [SAME, &[("origin", APP), json], &[("sec-fetch-site", "cross-site"), ("origin", APP), json]]
    {
        for path in ["/token/refresh", "/token/revoke"] {
            for cookie in ["", "theme=dark"] {
                let answer = app.browse_with(path, cookie, headers).await;
                let code = answer.json()["code"].clone();
                assert_eq!(
                    (answer.status.as_u16(), code),
                    (401, "refresh_cookie_missing".into()),
                    "{path} {headers:?}"
                );
            }
        }
    }
    let program = app.browse_with("/token/refresh", "", &[json]).await;
    program.is(400, json!({"refresh": ["This field is required."]}));
    let typed = app.browse("/token/refresh", SAME, json!({"refresh": null}).to_string()).await;
    typed.is(400, json!({"refresh": ["This field may not be null."]}));
}

async fn empty_bodies_are_equivalent(database: Database) {
    let app = database.app_with_cookie().await;
    app.register("jane").await;
    let chunked =
        || Body::from_stream(futures_util::stream::iter([Ok::<_, std::io::Error>(axum::body::Bytes::new())]));
    let same = |request: http::request::Builder| {
        request
            .header("host", "id.example.com")
            .header("sec-fetch-site", "same-origin")
            .header("x-requested-with", "fetch")
    };
    for path in ["/token/refresh", "/token/revoke"] {
        for (kind, body) in [
            (Some("application/json"), Body::from("null")),
            (Some("application/json"), Body::from(" null\n")),
            (Some("application/json"), Body::from("{}")),
            (Some("application/json"), Body::empty()),
            (Some("application/json"), chunked()),
            (Some("application/x-www-form-urlencoded"), chunked()),
            (Some("multipart/form-data"), chunked()),
            (Some("text/plain;charset=UTF-8"), chunked()),
            (Some("text/plain;charset=UTF-8"), Body::empty()),
            (None, chunked()),
            (None, Body::empty()),
        ] {
            let held = cookie(&app.browse_in(SAME).await);
            let mut request = same(Request::post(path)).header("cookie", held);
            if let Some(kind) = kind {
                request = request.header("content-type", kind);
            }
            let answer = app.send(request.body(body).unwrap()).await;
            assert!(answer.status.is_success(), "{path} {kind:?}: {answer:?}");
        }
    }
    let token = app.log_in("jane", PASSWORD).await.token();
    for (kind, body) in [
        (Some("application/json"), Body::from("null")),
        (Some("application/json"), Body::from("{}")),
        (Some("application/json"), chunked()),
        (None, chunked()),
        (None, Body::empty()),
    ] {
        let mut request = Request::post("/token").header("authorization", format!("Bearer {token}"));
        if let Some(kind) = kind {
            request = request.header("content-type", kind);
        }
        Pair::of(&app.send(request.body(body).unwrap()).await);
    }
    // Where a body is required, null gets the article's error.
    let null = app.browse("/login", &[("content-type", "application/json")], "null".to_owned()).await;
    null.is(400, json!({"non_field_errors": ["No data provided"]}));
}

async fn clients_other_than_browsers_get_the_token_in_the_body(database: Database) {
    let app = database.app_with_cookie().await;
    app.register("jane").await;
    let answer = app.browse_in(&[("content-type", "application/json")]).await;
    assert_eq!(refresh_cookies(&answer), 0);
    let second = app.refresh(&Pair::of(&answer).refresh).await;
    assert_eq!(second.header("set-cookie"), "");
    Pair::of(&second);
}
