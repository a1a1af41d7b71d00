//! Bare axum handlers that answer `GET /me` on the product's own accept loop.
//!
//! ```text
//! bench-axum ADDRESS bare FILE          the bytes of FILE, and no more headers than a JSON answer needs
//! bench-axum ADDRESS dressed FILE       the same with the product's headers as constants: the same bytes
//! bench-axum ADDRESS authenticated URL  the library checks the token against the database at URL
//! ```

#[path = "../../../../crates/doorwarden-server/src/serve/accept.rs"]
#[allow(unreachable_pub)]
mod accept;
#[path = "../../../../crates/doorwarden-server/src/serve/patience.rs"]
#[allow(unreachable_pub)]
mod patience;

/// The product's checks of the framing of a request, which a bare handler does not need.
mod framing {
    pub fn refused<B>(_: &http::Request<B>) -> Option<axum::response::Response> {
        None
    }
}

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use doorwarden::{Auth, Doorwarden};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const DRESS: [(HeaderName, HeaderValue); 6] = [
    (HeaderName::from_static("x-request-id"), HeaderValue::from_static("0123456789abcdef")),
    (HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff")),
    (HeaderName::from_static("x-frame-options"), HeaderValue::from_static("DENY")),
    (HeaderName::from_static("referrer-policy"), HeaderValue::from_static("no-referrer")),
    (
        HeaderName::from_static("content-security-policy"),
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; base-uri 'none'"),
    ),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

#[tokio::main]
async fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [address, kind, source] = &arguments[..] else { panic!("ADDRESS KIND SOURCE") };
    let router = match kind.as_str() {
        "bare" => {
            let body = read(source);
            Router::new().route("/me", get(move || std::future::ready(json(body.clone()))))
        }
        "dressed" => {
            let body = read(source);
            let dressed = move || {
                let mut response = json(body.clone());
                response.headers_mut().reserve(DRESS.len());
                response.headers_mut().extend(DRESS);
                std::future::ready(response)
            };
            Router::new().route("/me", get(dressed))
        }
        "authenticated" => {
            let secret = std::env::var("BENCH_SECRET_KEY").expect("BENCH_SECRET_KEY");
            let accounts =
                Doorwarden::builder().database_url(source).secret_key(secret).migrate(false).build().await;
            let auth = accounts.expect("an existing database").auth().clone();
            Router::new().route("/me", get(move |request: Request| me(auth.clone(), request)))
        }
        _ => panic!("KIND is bare, dressed or authenticated"),
    };
    let listener = TcpListener::bind(address).await.expect("a free address");
    let (_stop, stopped) = watch::channel(false);
    let acceptor = accept::Acceptor {
        max_connections: 10_000,
        keep_alive: Duration::from_secs(75),
        drain: Duration::ZERO,
    };
    acceptor.run(listener, router, stopped).await;
}

fn read(path: &str) -> Bytes {
    std::fs::read(path).expect("a file").into()
}

fn json(body: Bytes) -> Response {
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (headers, body).into_response()
}

async fn me(auth: Auth, request: Request) -> Response {
    // Without the body, which a future must not hold; and not as an extractor, which would clone every header
    // field.
    let headers = request.into_parts().0.headers;
    match auth.authenticate(&headers).await {
        // The first response of the endpoint has rendered the body, as in the product.
        Ok(user) => json(user.authenticated().live_user().rendered.get_or_init(|| render(user.user())).clone()),
        Err(error) => error.render(&headers),
    }
}

/// A body as long as the product's.
fn render(user: &doorwarden::User) -> Bytes {
    let last = user.last_login.map_or("null".to_owned(), |at| format!("\"{at}\""));
    format!(
        "{{\"id\":{},\"username\":\"{}\",\"email\":\"{}\",\"is_active\":true,\"is_staff\":false,\"is_superuser\":false,\
         \"date_joined\":\"{}\",\"last_login\":{last},\"groups\":[],\"permissions\":[]}}",
        user.id.0, user.username, user.email, user.date_joined
    )
    .into()
}
