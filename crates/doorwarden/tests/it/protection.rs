//! What `protect` covers, however routers are combined, and which instance's user is used.

use crate::app::{Answer, Database, PASSWORD, SECRET};
use axum::Router;
use axum::body::Body;
use axum::routing::{any, get};
use doorwarden::core::password::HashSettings;
use doorwarden::{CurrentUser, Doorwarden};
use http::Request;
use http::header::AUTHORIZATION;
use serde_json::json;
use tower::ServiceExt;
use tower_http::cors::{Any, CorsLayer};

on_both! {
    protect_covers_routes_and_fallbacks
    protect_routes_does_not_cover_fallbacks
    a_merge_in_either_order_keeps_protection
    a_nested_router_stays_protected
    a_cors_layer_around_protect_handles_preflights
    a_user_of_one_instance_is_anonymous_to_another
}

async fn status(router: &Router, method: &str, path: &str, token: Option<&str>) -> u16 {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap().status().as_u16()
}

/// The statuses of a path without and with a user.
async fn both(router: &Router, path: &str, token: &str) -> (u16, u16) {
    (status(router, "GET", path, None).await, status(router, "GET", path, Some(token)).await)
}

fn page() -> Router {
    Router::new().route("/page", get("the page"))
}

fn with_fallback() -> Router {
    page().fallback(any("the secret file"))
}

async fn protect_covers_routes_and_fallbacks(database: Database) {
    let app = database.app().await;
    let token = app.register("jane").await;
    let custom = app.auth.protect(with_fallback());
    assert_eq!(both(&custom, "/page", &token).await, (401, 200));
    assert_eq!(both(&custom, "/file", &token).await, (401, 200));
    assert_eq!(status(&custom, "POST", "/page", None).await, 401, "not even which methods there are");
    let default = app.auth.protect(page());
    assert_eq!(both(&default, "/page", &token).await, (401, 200));
    assert_eq!(both(&default, "/file", &token).await, (401, 404), "401 before 404");
    let nothing = app.auth.protect(Router::new());
    assert_eq!(both(&nothing, "/", &token).await, (401, 404), "a router without routes can be protected");
    let service = app.auth.protect(Router::new().fallback_service(with_fallback()));
    assert_eq!(both(&service, "/file", &token).await, (401, 200));
    let later = app.auth.protect(page()).route("/about", get("for everybody"));
    assert_eq!(both(&later, "/about", &token).await, (200, 200));
}

async fn protect_routes_does_not_cover_fallbacks(database: Database) {
    let app = database.app().await;
    let token = app.register("jane").await;
    let custom = app.auth.protect_routes(with_fallback());
    assert_eq!(both(&custom, "/page", &token).await, (401, 200));
    assert_eq!(both(&custom, "/file", &token).await, (200, 200));
    assert_eq!(both(&app.auth.protect_routes(page()), "/file", &token).await, (404, 404));
}

async fn a_merge_in_either_order_keeps_protection(database: Database) {
    let app = database.app().await;
    let token = app.register("jane").await;
    let auth = &app.auth;
    let public = || Router::new().route("/about", get("for everybody"));
    for merged in
        [auth.protect(with_fallback()).merge(public()), public().merge(auth.protect(with_fallback()))]
    {
        assert_eq!(both(&merged, "/page", &token).await, (401, 200));
        assert_eq!(both(&merged, "/file", &token).await, (401, 200));
        assert_eq!(both(&merged, "/about", &token).await, (200, 200));
    }
    // Of two default fallbacks axum keeps that of the argument.
    let first = auth.protect(page()).merge(auth.router());
    assert_eq!(both(&first, "/page", &token).await, (401, 200));
    assert_eq!(both(&first, "/file", &token).await, (404, 404));
    let second = auth.router().merge(auth.protect(page()));
    assert_eq!(both(&second, "/page", &token).await, (401, 200));
    assert_eq!(both(&second, "/file", &token).await, (401, 404));
    assert_eq!(status(&second, "GET", "/healthz", None).await, 200);
    let two = auth.protect(page()).merge(auth.protect(Router::new().route("/other", get("another page"))));
    assert_eq!(both(&two, "/page", &token).await, (401, 200));
    assert_eq!(both(&two, "/other", &token).await, (401, 200));
    assert_eq!(both(&two, "/file", &token).await, (401, 404));
    let files = Router::new().fallback(any("for everybody"));
    let outside = auth.protect(page()).merge(files);
    assert_eq!(both(&outside, "/page", &token).await, (401, 200));
    assert_eq!(both(&outside, "/file", &token).await, (200, 200), "merged afterwards, so public");
}

async fn a_nested_router_stays_protected(database: Database) {
    let app = database.app().await;
    let token = app.register("jane").await;
    let auth = &app.auth;
    let inside = Router::new().nest("/api", auth.protect(with_fallback()));
    let around = auth.protect(Router::new().nest("/api", with_fallback()));
    let deep = auth.protect(Router::new().nest("/api", Router::new().nest("/v1", with_fallback())));
    let service = auth.protect(Router::new().nest_service("/api", with_fallback()));
    for (router, path) in [
        (&inside, "/api/page"),
        (&inside, "/api/file"),
        (&around, "/api/page"),
        (&around, "/api/file"),
        (&deep, "/api/v1/page"),
        (&service, "/api/file"),
    ] {
        assert_eq!(both(router, path, &token).await, (401, 200), "{path}");
    }
    // axum drops a fallback that is nested twice; its replacement is protected as well.
    assert_eq!(both(&deep, "/api/v1/file", &token).await, (401, 404));
    assert_eq!(both(&around, "/elsewhere", &token).await, (401, 404));
    assert_eq!(both(&inside, "/elsewhere", &token).await, (404, 404));
    // axum's default fallback is the outer router's.
    let default = Router::new().nest("/api", auth.protect(page()));
    assert_eq!(both(&default, "/api/page", &token).await, (401, 200));
    assert_eq!(both(&default, "/api/file", &token).await, (404, 404));
}

async fn a_cors_layer_around_protect_handles_preflights(database: Database) {
    let app = database.app().await;
    let everything = || Router::new().route("/page", any("the page"));
    let cors = || CorsLayer::new().allow_origin(Any).allow_methods(Any);
    let preflight = async |router: Router, path: &str| {
        let request = Request::builder()
            .method("OPTIONS")
            .uri(path)
            .header("origin", "https://app.example.com")
            .header("access-control-request-method", "PUT")
            .body(Body::empty())
            .unwrap();
        Answer::read(router.oneshot(request).await.unwrap()).await
    };
    let outside = app.auth.protect(everything()).layer(cors());
    for path in ["/page", "/file"] {
        let answer = preflight(outside.clone(), path).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("access-control-allow-origin")),
            (200, "*"),
            "{path}"
        );
    }
    let answer = Answer::read(
        outside
            .oneshot(
                Request::builder()
                    .uri("/page")
                    .header("origin", "https://a.test")
                    .body(Body::empty())
                    .unwrap(),
            )
            .await
            .unwrap(),
    )
    .await;
    assert_eq!((answer.status.as_u16(), answer.header("access-control-allow-origin")), (401, "*"));
    let inside = app.auth.protect(everything().layer(cors()));
    assert_eq!(preflight(inside, "/page").await.status, 401);
    assert_eq!(
        preflight(app.auth.protect(everything()), "/page").await.status,
        401,
        "OPTIONS is a method as any"
    );
}

async fn a_user_of_one_instance_is_anonymous_to_another(database: Database) {
    let customers = database.app().await;
    let elsewhere = Database::sqlite();
    let staff = Doorwarden::builder()
        .database_url(&elsewhere.url)
        .secret_key(format!("another {SECRET}"))
        .hashing(HashSettings::insecure_for_tests())
        .clock(customers.clock.clone())
        .build()
        .await
        .unwrap();
    let boss = staff.users().create_superuser("boss", "boss@example.com", PASSWORD).await.unwrap();
    let boss = staff.tokens().issue(boss.id).await.unwrap().token;
    let customer = customers.register("customer").await;

    let name = || get(async |user: CurrentUser| user.username().to_owned());
    let optional = || {
        get(async |user: Option<CurrentUser>| user.map_or("nobody".to_owned(), |u| u.username().to_owned()))
    };
    let intern =
        Router::new().route("/admin", name()).route_layer(staff.require_user()).merge(staff.router());
    let app = customers.auth.protect(
        Router::new()
            .route("/name", name())
            .nest("/intern", intern)
            .nest("/nested", Router::new().route("/name", optional()).layer(staff.layer())),
    );
    for path in ["/intern/admin", "/intern/me", "/intern/sessions", "/nested/name"] {
        assert_eq!(status(&app, "GET", path, Some(&customer)).await, 401, "{path}");
        assert_eq!(status(&app, "GET", path, Some(&boss)).await, 401, "{path}: no customer");
    }
    assert_eq!(status(&app, "GET", "/name", Some(&customer)).await, 200);
    let renamed = Request::patch("/intern/me")
        .header(AUTHORIZATION, format!("Bearer {customer}"))
        .header("content-type", "application/json")
        .body(Body::from(json!({"username": "owned"}).to_string()))
        .unwrap();
    assert_eq!(app.oneshot(renamed).await.unwrap().status(), 401);

    // Next to each other, each instance knows only its own users.
    let beside = customers
        .auth
        .protect(Router::new().route("/shop", name()))
        .merge(staff.protect_routes(Router::new().route("/office", name())));
    assert_eq!(both(&beside, "/shop", &customer).await, (401, 200));
    assert_eq!(both(&beside, "/office", &boss).await, (401, 200));
    assert_eq!(both(&beside, "/office", &customer).await, (401, 401));
    assert_eq!(both(&beside, "/shop", &boss).await, (401, 401));
}
