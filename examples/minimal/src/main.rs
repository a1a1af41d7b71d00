//! Registration, login and a route that needs a user. The address to listen on may be given as the argument.
use axum::{Router, routing::get};
use doorwarden::{CurrentUser, Doorwarden};
#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let auth = Doorwarden::builder().build().await?;
    let hello = get(async |user: CurrentUser| format!("Hello {}", user.username()));
    let app = auth.protect(Router::new().route("/hello", hello)).merge(auth.router()).layer(auth.layer());
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8000".to_owned());
    let listener = tokio::net::TcpListener::bind(address).await?;
    Ok(axum::serve(listener, app).await?)
}
