//! The layer and the extractor.

use crate::issuer::{Fault, Issuer};
use axum::body::Body;
use axum::http::header::AUTHORIZATION;
use axum::http::{Request, StatusCode};
use axum::routing::get;
use axum::{Extension, Router};
use doorwarden_verify::{Claims, Verifier};
use std::time::Duration;
use tower::ServiceExt;
use tower_http::cors::CorsLayer;

async fn verifier(issuer: &Issuer) -> Verifier {
    let verifier = issuer.builder().stale_limit(Duration::from_secs(10)).build().unwrap();
    verifier.ready().await.unwrap();
    verifier
}

async fn ask(router: &Router, authorization: &[&str]) -> (StatusCode, String, String) {
    let mut request = Request::builder().uri("/");
    for value in authorization {
        request = request.header("authorization", *value);
    }
    let response = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let challenge = response.headers().get("www-authenticate").map_or("", |value| value.to_str().unwrap());
    let (status, challenge) = (response.status(), challenge.to_owned());
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, challenge, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn the_layer_lets_only_valid_tokens_through() {
    let issuer = Issuer::start(Fault::None).await;
    let verifier = verifier(&issuer).await;
    let router =
        Router::new().route("/", get(async |claims: Claims| claims.sub.clone())).layer(verifier.layer());
    let bearer = format!("bearer {}", issuer.token());
    assert_eq!(ask(&router, &[&bearer]).await, (StatusCode::OK, String::new(), "7".to_owned()));

    let missing = r#"{"detail":"Authentication credentials were not provided."}"#;
    for none in [&[][..], &["Basic YTpi"], &["Bearer"], &["Bearer a b"]] {
        let (status, challenge, body) = ask(&router, none).await;
        assert_eq!(
            (status.as_u16(), challenge.as_str(), body.as_str()),
            (401, "Bearer realm=\"api\"", missing)
        );
    }
    let (status, challenge, body) = ask(&router, &[&bearer, &bearer]).await;
    assert_eq!((status.as_u16(), challenge.as_str()), (400, ""), "as the service itself responds");
    assert_eq!(body, r#"{"detail":"More than one Authorization header was sent."}"#);
    let (status, challenge, body) = ask(&router, &["Bearer a.b.c"]).await;
    assert_eq!((status.as_u16(), challenge.as_str()), (401, "Bearer realm=\"api\", error=\"invalid_token\""));
    assert_eq!(body, r#"{"detail":"Invalid authentication. Could not decode token."}"#);

    issuer.set_fault(Fault::NoFeed);
    issuer.advance(11);
    let (status, _, body) = ask(&router, &[&bearer]).await;
    assert_eq!(status.as_u16(), 503);
    assert_eq!(body, r#"{"detail":"Access tokens cannot be verified at the moment."}"#);
}

#[tokio::test]
async fn a_preflight_request_needs_no_token() {
    let issuer = Issuer::start(Fault::None).await;
    let verifier = verifier(&issuer).await;
    let origin = "https://app.example.com";
    let cors = CorsLayer::new().allow_origin([origin.parse().unwrap()]).allow_headers([AUTHORIZATION]);
    let router = Router::new().route("/", get(async |claims: Claims| claims.sub.clone()));
    let ask = async |router: &Router, method| {
        let request = Request::builder().method(method).uri("/").header("origin", origin);
        let request = request.header("access-control-request-method", "GET").body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        (response.status().as_u16(), response.headers().contains_key("access-control-allow-origin"))
    };
    let around = router.clone().layer(verifier.layer()).layer(cors.clone());
    assert_eq!(ask(&around, "OPTIONS").await, (200, true));
    assert_eq!(ask(&around, "GET").await, (401, true));
    let within = router.layer(cors).layer(verifier.layer());
    assert_eq!(ask(&within, "OPTIONS").await, (401, false), "the order that the documentation warns of");
}

#[tokio::test]
async fn claims_can_be_extracted_wherever_there_is_a_verifier() {
    let issuer = Issuer::start(Fault::None).await;
    let verifier = verifier(&issuer).await;
    let who =
        async |claims: Option<Claims>| claims.map_or("anonymous".to_owned(), |claims| claims.sub.clone());
    let router = Router::new().route("/", get(who)).layer(Extension(verifier));
    assert_eq!(ask(&router, &[&format!("Bearer {}", issuer.token())]).await.2, "7");
    assert_eq!(ask(&router, &[]).await.2, "anonymous");
    assert_eq!(ask(&router, &["Bearer a.b.c"]).await.0, StatusCode::UNAUTHORIZED);

    let uncovered = Router::new().route("/", get(async |_: Claims| "never"));
    assert_eq!(ask(&uncovered, &[]).await.0, StatusCode::INTERNAL_SERVER_ERROR);
}
