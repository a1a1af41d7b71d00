//! The service: from the socket to the router and back.

mod accept;
mod framing;
mod log;

use crate::config::Config;
use crate::failure::Failure;
use accept::Acceptor;
use axum::Router;
use axum::extract::Request;
use doorwarden::Doorwarden;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use std::io::IsTerminal;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// How long requests that have begun may go on after SIGTERM. `docker stop` kills after ten seconds, and closing takes a moment.
const DRAIN: Duration = Duration::from_secs(8);

/// Runs until SIGTERM or SIGINT.
pub(crate) async fn run(config: Config) -> Result<(), Failure> {
    log::start(&config)?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let listener = bind(&config.listen).await?;
    let accounts = config.builder()?.build().await?;
    let (stop, stopped) = watch::channel(false);

    if let Some(address) = &config.metrics_listen {
        match TcpListener::bind(address).await {
            Ok(listener) => drop(tokio::spawn(metrics(listener, accounts.clone(), stopped.clone()))),
            Err(error) => {
                tracing::warn!(%address, %error, "metrics are not served: the address cannot be used");
            }
        }
    }
    let address = listener.local_addr()?;
    greet(&config, &address.to_string(), &accounts).await;

    let terminated = terminated()?;
    let acceptor = Acceptor { max_connections: config.max_connections, drain: DRAIN };
    let serving = tokio::spawn(acceptor.run(listener, accounts.service(), stopped));
    terminated.await;
    tracing::info!("stopping: what has begun is finished");
    let _ = stop.send(true);
    accounts.end_streams();
    if serving.await.is_err() {
        tracing::error!("the accept loop panicked");
    }
    accounts.close().await;
    tracing::info!("stopped");
    Ok(())
}

async fn bind(address: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        let hint = match error.kind() {
            std::io::ErrorKind::AddrInUse => ". hint: another program listens there; --listen 127.0.0.1:8001",
            _ => "",
        };
        Failure::unavailable(format!("cannot listen on {address}: {error}{hint}"))
    })
}

/// Serves `/metrics` on a listener of its own.
async fn metrics(listener: TcpListener, accounts: Doorwarden, stopped: watch::Receiver<bool>) {
    let answer = move |request: Request| {
        let accounts = accounts.clone();
        async move {
            if request.uri().path() != "/metrics" {
                return (StatusCode::NOT_FOUND, [(CONTENT_TYPE, "text/plain")], "Try /metrics\n".to_owned());
            }
            (StatusCode::OK, [(CONTENT_TYPE, "text/plain; version=0.0.4")], accounts.render_metrics())
        }
    };
    let router = Router::new().fallback(answer);
    Acceptor { max_connections: 64, drain: Duration::ZERO }.run(listener, router, stopped).await;
}

/// From this call on, not from the first poll, SIGTERM and SIGINT end the future instead of the process.
fn terminated() -> Result<impl Future<Output = ()>, Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Says where the service listens, where its data lies, and what to try first.
async fn greet(config: &Config, address: &str, accounts: &Doorwarden) {
    tracing::info!(%address, database = accounts.context().store.kind(), "listening");
    let first = accounts.context().store.count_users().await.is_ok_and(|count| count == 0);
    // Who has no account yet is a person trying it out, wherever the output goes.
    if !first && !std::io::stdout().is_terminal() {
        return;
    }
    let data = match config.database_url.strip_prefix("sqlite://") {
        Some(path) if config.secret_key.is_none() => format!("{path} (its secret key: {path}.secret)"),
        Some(path) => path.to_owned(),
        None => "PostgreSQL".to_owned(),
    };
    let body = r#"{"email": "jane@example.com", "username": "jane", "password": "correct horse battery"}"#;
    let path = if first { "registration" } else { "login" };
    // A terminal that went away is no reason to stop.
    let _ = crate::output::line(&format!(
        "Doorwarden listens on http://{address}\n  data   {data}\n  docs   http://{address}/docs\n  \
         try    curl http://{address}/{path} --json '{body}'\n"
    ));
}
