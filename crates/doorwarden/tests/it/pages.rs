//! Pages that an application renders: a session cookie, a login page, custom headers.

use crate::app::{Answer, App, Database, PASSWORD};
use axum::Router;
use axum::body::Body;
use axum::response::{Html, IntoResponse};
use axum::routing::{get, post};
use doorwarden::{CurrentUser, Doorwarden, Endpoint, EndpointPathError};
use http::header::{CONTENT_SECURITY_POLICY, SET_COOKIE};
use http::{HeaderValue, Request};
use serde_json::json;
use std::time::Duration;
use tower::ServiceExt;
use tower_layer::Layer;

on_both! {
    a_session_cookie_authenticates
    a_stale_cookie_is_anonymous_and_removed
    a_cross_site_request_is_anonymous
    an_anonymous_request_is_redirected_to_the_login_page
    the_application_can_change_response_headers
    invalid_paths_and_permission_names_are_refused_early
    an_error_of_create_user_names_the_field
}

fn pages(auth: &Doorwarden) -> Router {
    async fn home(user: Option<CurrentUser>) -> String {
        user.map_or("hello".to_owned(), |user| format!("hello {}", user.username()))
    }
    let own = Router::new()
        .route("/feed", get(async |user: CurrentUser| user.username().to_owned()))
        .route("/post", post(async |user: CurrentUser| user.username().to_owned()))
        .route_layer(auth.login_required("/sign-in"));
    let leave = auth.clone();
    own.route("/", get(home).post(home))
        .route(
            "/sign-out",
            get(async move || ([(SET_COOKIE, leave.remove_session_cookie())], "bye").into_response()),
        )
        .nest(
            "/inner",
            Router::new().route("/page", get("inner")).route_layer(auth.login_required("/sign-in?a=b")),
        )
        .merge(auth.router())
        .layer(auth.session_cookie())
}

/// The pair of name and value that a browser would send back.
fn kept(value: &HeaderValue) -> String {
    value.to_str().unwrap().split(';').next().unwrap().to_owned()
}

async fn browse(app: &App, method: &str, path: &str, cookie: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder().method(method).uri(path).header("host", "app.example.com");
    if !cookie.is_empty() {
        request = request.header("cookie", HeaderValue::from_bytes(cookie.as_bytes()).unwrap());
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    app.send(request.body(Body::empty()).unwrap()).await
}

async fn a_session_cookie_authenticates(database: Database) {
    let app = database.app_around(|b| b, pages).await;
    let token = app.register("jane").await;
    let set = app.auth.set_session_cookie(&token);
    assert!(set.to_str().unwrap().ends_with("; HttpOnly; Secure; SameSite=Lax; Path=/"), "{set:?}");
    let cookie = kept(&set);
    assert_eq!(browse(&app, "GET", "/", "", &[]).await.body, b"hello");
    for cookie in [cookie.clone(), format!("city=Zürich; {cookie}"), format!("a=b;{cookie};c")] {
        let answer = browse(&app, "GET", "/", &cookie, &[]).await;
        assert_eq!(answer.body, b"hello jane", "{cookie}");
        assert_eq!((answer.header("vary"), answer.header("cache-control")), ("cookie", "private, no-cache"));
    }
    assert_eq!(browse(&app, "GET", "/feed", &cookie, &[]).await.body, b"jane");
    assert_eq!(
        browse(&app, "GET", "/me", &cookie, &[]).await.json()["username"],
        "jane",
        "an endpoint knows, too"
    );
    let other = format!("Bearer {}", app.register("joe").await);
    let answer = browse(&app, "GET", "/feed", &cookie, &[("authorization", &other)]).await;
    assert_eq!(answer.body, b"joe", "a header counts before a cookie");
    assert_eq!(browse(&app, "GET", "/me", &format!("x{cookie}"), &[]).await.status, 401, "another cookie");
}

async fn a_stale_cookie_is_anonymous_and_removed(database: Database) {
    let app = database.app_around(|b| b, pages).await;
    let token = app.register("jane").await;
    let cookie = kept(&app.auth.set_session_cookie(&token));
    app.call("POST", "/logout", Some(&token), None).await;
    for cookie in
        [cookie.clone(), "__Host-doorwarden-session=garbage".into(), "__Host-doorwarden-session=\"".into()]
    {
        let answer = browse(&app, "GET", "/", &cookie, &[]).await;
        assert_eq!((answer.status.as_u16(), answer.body.as_slice()), (200, &b"hello"[..]), "{cookie}");
        assert!(
            answer.header("set-cookie").starts_with("__Host-doorwarden-session=; Max-Age=0"),
            "{answer:?}"
        );
    }
    let answer = browse(&app, "GET", "/sign-out", &cookie, &[]).await;
    assert_eq!(answer.headers.get_all("set-cookie").iter().count(), 1, "taken away once");
    app.clock.advance(Duration::from_hours(24 * 61));
    assert_eq!(browse(&app, "GET", "/feed", &cookie, &[]).await.status, 303);
}

async fn a_cross_site_request_is_anonymous(database: Database) {
    let app = database.app_around(|b| b, pages).await;
    let cookie = kept(&app.auth.set_session_cookie(&app.register("jane").await));
    for (headers, is_own) in [
        (&[("sec-fetch-site", "same-origin")][..], true),
        (&[("origin", "https://app.example.com")], true),
        (&[("sec-fetch-site", "same-site"), ("origin", "https://evil.example.com")], false),
        (&[("sec-fetch-site", "cross-site")], false),
        (&[("origin", "https://app.example.com.evil.test")], false),
        (&[("origin", "null")], false),
        (&[], false),
    ] {
        let expected = if is_own { &b"hello jane"[..] } else { b"hello" };
        assert_eq!(browse(&app, "POST", "/", &cookie, headers).await.body, expected, "{headers:?}");
        let (posted, out) = if is_own { (200, 204) } else { (303, 401) };
        assert_eq!(
            browse(&app, "POST", "/post", &cookie, headers).await.status.as_u16(),
            posted,
            "{headers:?}"
        );
        if !is_own {
            assert_eq!(
                browse(&app, "POST", "/logout", &cookie, headers).await.status.as_u16(),
                out,
                "{headers:?}"
            );
        }
    }
    assert_eq!(
        browse(&app, "GET", "/", &cookie, &[("sec-fetch-site", "cross-site")]).await.body,
        b"hello jane"
    );
    let own = browse(&app, "POST", "/logout", &cookie, &[("sec-fetch-site", "same-origin")]).await;
    assert_eq!(own.status, 204);
}

async fn an_anonymous_request_is_redirected_to_the_login_page(database: Database) {
    let app = database.app_around(|b| b, pages).await;
    for (method, path, to) in [
        ("GET", "/feed", "/sign-in?next=/feed"),
        ("GET", "/feed?page=2&q=a%20b", "/sign-in?next=/feed%3Fpage%3D2%26q%3Da%2520b"),
        ("HEAD", "/feed", "/sign-in?next=/feed"),
        ("POST", "/post", "/sign-in"),
        ("GET", "/inner/page", "/sign-in?a=b&next=/inner/page"),
    ] {
        let answer = browse(&app, method, path, "", &[]).await;
        assert_eq!((answer.status.as_u16(), answer.header("location")), (303, to), "{method} {path}");
    }
    assert_eq!(browse(&app, "GET", "/feed", "", &[("authorization", "Bearer garbage")]).await.status, 303);
    assert_eq!(browse(&app, "GET", "/nowhere", "", &[]).await.status, 404);
    assert_eq!(doorwarden::safe_next("/feed?page=2"), "/feed?page=2");
    assert_eq!(doorwarden::safe_next("//evil.test"), "/");
}

async fn the_application_can_change_response_headers(database: Database) {
    let policy = HeaderValue::from_static("default-src 'self'; style-src 'self' 'unsafe-inline'");
    let own = |b: doorwarden::Builder| {
        b.http(|http| {
            http.headers.insert(CONTENT_SECURITY_POLICY, policy.clone());
            http.headers.remove("x-frame-options");
            http.headers.insert("permissions-policy", HeaderValue::from_static("camera=()"));
        })
    };
    let routes = |auth: &Doorwarden| {
        auth.router()
            .route("/", get(Html("<style>p { color: red }</style><p>red</p>")))
            .route("/own", get(([(CONTENT_SECURITY_POLICY, "default-src 'none'")], "own")))
    };
    let app = database.app_around(own, routes).await;
    for path in ["/", "/healthz", "/nowhere"] {
        let answer = app.call("GET", path, None, None).await;
        assert_eq!(answer.header("content-security-policy"), policy.to_str().unwrap(), "{path}");
        assert_eq!(
            (answer.header("x-frame-options"), answer.header("permissions-policy")),
            ("", "camera=()")
        );
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    }
    assert_eq!(
        app.call("GET", "/own", None, None).await.header("content-security-policy"),
        "default-src 'none'"
    );
}

async fn invalid_paths_and_permission_names_are_refused_early(database: Database) {
    let refused = async |endpoint, path: &str| {
        let builder = Doorwarden::builder().database_url(&database.url).secret_key(crate::app::SECRET);
        match builder.endpoint_at(endpoint, path).build().await {
            Err(doorwarden::BuildError::EndpointPath(error)) => error,
            other => panic!("{path:?}: {other:?}"),
        }
    };
    for path in ["api/login", "", "/a//b", "/a b", "/login?x", "/é"] {
        let error = refused(Endpoint::Login, path).await;
        assert!(
            matches!(error, EndpointPathError::NoPath(..)) && error.to_string().contains("Login"),
            "{error}"
        );
    }
    for path in ["/sessions", "/sessions/{other}", "/sessions/{id}/{more}", "/sessions/x{id}"] {
        let error = refused(Endpoint::Session, path).await;
        assert!(matches!(error, EndpointPathError::Parameters(..)), "{error}");
    }
    assert!(matches!(refused(Endpoint::Login, "/api/{").await, EndpointPathError::Parameters(..)));
    for path in ["/registration", "/registration/"] {
        assert!(matches!(refused(Endpoint::Login, path).await, EndpointPathError::Twice(..)));
    }
    let moved = |b: doorwarden::Builder| {
        b.endpoint_at(Endpoint::Login, "/api/v1/login/").endpoint_at(Endpoint::Session, "/api/sessions/{id}")
    };
    let app = database.app_with(moved).await;
    assert_eq!(app.post("/api/v1/login/", json!({})).await.status, 400);
    let auth = &app.auth;
    for name in ["no dots", "blog", "blog.", ".add_post", "a.b.c"] {
        let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| auth.require_perm(name)));
        let why = *made.unwrap_err().downcast::<String>().unwrap();
        assert!(why.contains("app_label.codename") && why.contains(name), "{why}");
    }
    let layered = auth.require_perm("blog.add_post").layer(Router::new().into_service::<Body>());
    let request = Request::builder().uri("/").body(Body::empty()).unwrap();
    assert_eq!(layered.oneshot(request).await.unwrap().status(), 401);
}

async fn an_error_of_create_user_names_the_field(database: Database) {
    let app = database.app().await;
    let users = app.auth.users();
    users.create_user("jane", "jane@example.com", Some(PASSWORD)).await.unwrap();
    let said = async |name, email| users.create_user(name, email, None).await.unwrap_err().to_string();
    assert_eq!(said("joe", "nonsense").await, "the input is not valid: email: Enter a valid email address.");
    assert_eq!(
        said("jane", "joe@example.com").await,
        "the input is not valid: username: user with this username already exists."
    );
    let both = said("a\nb", "nonsense").await;
    assert!(both.contains("email: ") && both.contains("; username: "), "{both}");
}
