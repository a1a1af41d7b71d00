//! The service: from the socket to the router and back.

mod accept;
mod checkpoints;
mod files;
mod framing;
mod log;
mod mailbox;
mod patience;

use crate::config::{Config, Mailing};
use crate::failure::{Failure, Hint};
use accept::Acceptor;
use axum::Router;
use axum::extract::Request;
use doorwarden::core::skew::{TOLERATED, skew};
use doorwarden::core::store::MigrateError;
use doorwarden::core::time::SystemClock;
use doorwarden::{BuildError, Doorwarden};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use log::Lost;
use std::io::{ErrorKind, IsTerminal};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::Instant;

/// How long open requests may continue after SIGTERM. `docker stop` kills after ten seconds, and closing
/// takes some time.
const DRAIN: Duration = Duration::from_secs(8);
/// How long closing the database may take.
const CLOSE: Duration = Duration::from_secs(1);
/// Longer than Prometheus' usual scrape interval.
const METRICS_KEEP_ALIVE: Duration = Duration::from_secs(75);
/// Maximum number of connections for metrics.
const METRICS_CONNECTIONS: usize = 16;
/// How long a start waits for a database that may be starting as well.
const DATABASE_WAIT: Duration = Duration::from_mins(1);
/// Maximum number of connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// Runs until SIGTERM or SIGINT.
pub(crate) async fn run(config: Config) -> Result<(), Failure> {
    let log = log::start(&config)?;
    for warning in &config.warnings {
        tracing::warn!(hint = warning.advice().map(Hint::as_str), "{}", warning.text());
    }
    look_around(&config)?;
    let mailing = config.mailing()?;
    for problem in mailing.iter().flat_map(|mailing| mailing.templates.problems()) {
        tracing::warn!("a template of mails is not used: {problem}");
    }
    let mut signals = Signals::new()?;
    let max_connections = files::connections(config.max_connections);
    let socket = bind(&config.listen).await?;
    let auth = tokio::select! {
        auth = build(&config, mailing.as_ref()) => auth?,
        () = signals.next() => return Ok(()),
    };
    let listener = socket.listen(BACKLOG)?;
    let (stop, stopped) = watch::channel(false);

    if let Some(address) = &config.metrics_listen {
        match TcpListener::bind(address).await {
            Ok(listener) => {
                drop(tokio::spawn(metrics(listener, auth.clone(), log.lost(), stopped.clone())));
            }
            Err(error) => {
                tracing::warn!(%address, %error, "metrics are not served: cannot listen on the address");
            }
        }
    }
    if let Some(every) = config.checkpoint_every {
        let directory = config.checkpoint_dir.as_ref().map(PathBuf::from);
        drop(tokio::spawn(checkpoints::run(auth.clone(), every, directory, stopped.clone())));
    }
    let address = listener.local_addr()?;
    greet(&config, &address.to_string(), &auth).await;

    let acceptor = Acceptor { max_connections, keep_alive: config.keep_alive, drain: DRAIN };
    let serving = match mailing.and_then(|mailing| mailing.mailbox) {
        Some(mailbox) => {
            let at = format!("http://{address}{}", mailbox::PATH);
            tracing::warn!(
                hint = "set `mail.url` to send mails",
                "mails are not sent: they can be read at {at} on this machine"
            );
            tokio::spawn(acceptor.run(listener, mailbox::beside(auth.service(), mailbox), stopped))
        }
        None => tokio::spawn(acceptor.run(listener, auth.service(), stopped)),
    };
    signals.next().await;
    tracing::info!("stopping; finishing open requests");
    let _ = stop.send(true);
    auth.end_streams();
    let ending = async {
        if serving.await.is_err() {
            tracing::error!("the accept loop panicked");
        }
        if tokio::time::timeout(CLOSE, auth.close()).await.is_err() {
            tracing::warn!("the database did not close in time");
        }
    };
    tokio::select! {
        () = ending => tracing::info!("stopped"),
        () = signals.next() => tracing::warn!("stopped by a second signal, before open requests were finished"),
    }
    Ok(())
}

/// Builds the service; waits for a database that is not reachable yet.
async fn build(config: &Config, mailing: Option<&Mailing>) -> Result<Doorwarden, Failure> {
    let began = Instant::now();
    let mut pause = Duration::from_millis(250);
    loop {
        let mut builder = config.builder()?;
        if let Some(mailing) = mailing {
            builder = builder.mailer(mailing.mailer());
        }
        let error = match builder.build().await {
            Ok(auth) => return with_the_right_time(auth).await,
            Err(error) => error,
        };
        let is_denied = matches!(error, BuildError::Migrate(MigrateError::Denied(_)));
        let failure = Failure::from(error);
        if is_denied
            || !failure.may_pass()
            || config.sqlite_path().is_some()
            || began.elapsed() + pause > DATABASE_WAIT
        {
            return Err(failure);
        }
        tracing::warn!(
            "waiting up to {} s for the database: {}",
            DATABASE_WAIT.as_secs(),
            failure.message().text()
        );
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(5));
    }
}

/// Refuses to start if this machine's clock differs so much from the database's that it would misjudge which
/// sessions and tokens have expired.
async fn with_the_right_time(auth: Doorwarden) -> Result<Doorwarden, Failure> {
    let skew = skew(auth.context().store.as_ref(), &SystemClock).await?;
    if skew <= TOLERATED {
        return Ok(auth);
    }
    auth.close().await;
    Err(Failure::config(format!("this machine's clock differs from the database's by {} s", skew.as_secs()))
        .hint("synchronize both with a time server"))
}

/// Warns of probable mistakes, before anything is opened or created.
fn look_around(config: &Config) -> Result<(), Failure> {
    if config.is_issuer_guessed() {
        tracing::warn!(
            issuer = %config.default_issuer(),
            hint = "set `tokens.issuer` to the public URL, the same on every instance",
            "`tokens.issuer` is not set, and derived from `listen`: other services, and instances on one database that listen elsewhere, \
             refuse such access tokens"
        );
    }
    let Some(path) = config.sqlite_path() else { return Ok(()) };
    if let Some(former) = config.database_url.former_path().filter(|former| former.exists() && !path.exists())
    {
        return Err(Failure::config(format!(
            "an earlier version used the whole URL as the file name: the accounts are in `{}`, and `{}` would be created empty",
            former.display(),
            path.display()
        ))
        .hint("move it and its `.secret` file there, or away"));
    }
    match doorwarden_sqlite::user_of(path) {
        Some(0) => tracing::warn!("another process already uses this database"),
        Some(pid) => tracing::warn!("another process (PID {pid}) already uses this database"),
        None => {}
    }
    Ok(())
}

/// Binds the address without listening: clients that connect before the service is ready are refused
/// immediately.
async fn bind(address: &str) -> Result<TcpSocket, Failure> {
    let fail = |error: std::io::Error| {
        let failure = Failure::unavailable(format!("cannot listen on `{address}`: {error}"));
        match error.kind() {
            ErrorKind::AddrInUse => {
                failure.hint("another program listens there; try `--listen 127.0.0.1:8001`")
            }
            ErrorKind::PermissionDenied => {
                failure.hint("ports below 1024 require privileges; try `--listen 127.0.0.1:8000`")
            }
            ErrorKind::AddrNotAvailable => failure.hint("this machine does not have that address"),
            _ => failure,
        }
    };
    let mut last = None;
    for address in tokio::net::lookup_host(address).await.map_err(fail)? {
        match bind_one(address) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = Some(error),
        }
    }
    Err(fail(last.unwrap_or_else(|| ErrorKind::AddrNotAvailable.into())))
}

fn bind_one(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Serves `/metrics` on a listener of its own.
async fn metrics(listener: TcpListener, auth: Doorwarden, lost: Lost, stopped: watch::Receiver<bool>) {
    let answer = move |request: Request| {
        let (auth, lost) = (auth.clone(), lost.clone());
        async move {
            if request.uri().path() != "/metrics" {
                return (StatusCode::NOT_FOUND, [(CONTENT_TYPE, "text/plain")], "Try /metrics\n".to_owned());
            }
            let text = auth.render_metrics() + &lost.metric();
            (StatusCode::OK, [(CONTENT_TYPE, "text/plain; version=0.0.4")], text)
        }
    };
    let router = Router::new().fallback(answer);
    let acceptor = Acceptor {
        max_connections: METRICS_CONNECTIONS,
        keep_alive: METRICS_KEEP_ALIVE,
        drain: Duration::ZERO,
    };
    acceptor.run(listener, router, stopped).await;
}

/// SIGTERM and SIGINT, which from here on no longer end the process.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self { terminate, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next signal.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Logs the address. On a terminal, and while there are no users, also prints the paths and what to try
/// first.
async fn greet(config: &Config, address: &str, auth: &Doorwarden) {
    tracing::info!(%address, database = auth.context().store.kind(), "listening");
    let first = auth.context().store.count_users().await.is_ok_and(|count| count == 0);
    // A service without accounts is being tried out by a person, even if standard output is no terminal.
    if !first && !std::io::stdout().is_terminal() {
        return;
    }
    let data = match (
        config.sqlite_path().map(Path::display),
        config.secret_path().filter(|_| config.secret_key.is_none()),
    ) {
        (Some(path), Some(secret)) => format!("{path} (its secret key: {})", secret.display()),
        (Some(path), None) => path.to_string(),
        (None, _) => "PostgreSQL".to_owned(),
    };
    let body = r#"{"email": "jane@example.com", "username": "jane", "password": "correct horse battery"}"#;
    let path = if first { "registration" } else { "login" };
    // A closed terminal is no reason to stop.
    let _ = crate::output::line(&format!(
        "Doorwarden listens on http://{address}\n  data   {data}\n  docs   http://{address}/docs\n  \
         try    curl http://{address}/{path} --json '{body}'\n"
    ));
}
