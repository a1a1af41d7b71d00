//! The refresh token in a cookie.

use crate::app::{Answer, App, Database, PASSWORD};
use crate::pairs::Pair;
use axum::body::Body;
use doorwarden::CorsSettings;
use http::Request;
use serde_json::json;

on_both! {
    without_the_setting_there_is_no_cookie_and_none_counts
    a_browser_gets_the_refresh_token_as_a_cookie_that_scripts_cannot_read
    the_cookie_rotates_and_is_removed_when_it_is_refused_or_revoked
    a_request_that_another_site_may_have_sent_is_refused
    an_allowed_origin_may_use_the_cookie
    a_client_that_is_no_browser_goes_on_as_without
}

const SAME: &[(&str, &str)] = &[("sec-fetch-site", "same-origin"), ("content-type", "application/json")];
const APP: &str = "https://app.example.com";

impl Database {
    async fn app_with_cookie(&self) -> App {
        self.app_with(|b| {
            b.http(|http| http.refresh_cookie = true)
                .cors(CorsSettings { origins: vec![APP.parse().unwrap()] })
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

/// What the browser sends back.
#[track_caller]
fn cookie(answer: &Answer) -> String {
    let set = answer.header("set-cookie");
    let (pair, attributes) = set.split_once("; ").unwrap_or_else(|| panic!("no cookie: {answer:?}"));
    assert!(attributes.starts_with("Max-Age="), "{set}");
    assert!(attributes.ends_with("; HttpOnly; Secure; SameSite=Strict; Path=/"), "{set}");
    pair.to_owned()
}

async fn without_the_setting_there_is_no_cookie_and_none_counts(database: Database) {
    let app = database.app().await;
    app.register("jane").await;
    let answer = app.browse_in(SAME).await;
    assert_eq!(answer.header("set-cookie"), "");
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

async fn a_request_that_another_site_may_have_sent_is_refused(database: Database) {
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

async fn a_client_that_is_no_browser_goes_on_as_without(database: Database) {
    let app = database.app_with_cookie().await;
    app.register("jane").await;
    let answer = app.browse_in(&[("content-type", "application/json")]).await;
    assert_eq!(answer.header("set-cookie"), "");
    let second = app.refresh(&Pair::of(&answer).refresh).await;
    assert_eq!(second.header("set-cookie"), "");
    Pair::of(&second);
}
