//! An application on a temporary database, and requests to it.

use crate::contract::Contract;
use axum::Router;
use axum::body::Body;
use axum::response::Response;
use doorwarden::core::password::HashSettings;
use doorwarden::core::time::Timestamp;
use doorwarden::{Builder, Doorwarden};
use doorwarden_testkit::{ManualClock, RawSql, TempDir, postgres_database, sqlite_path};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::any::Any;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use tower::ServiceExt;
use tower_layer::Layer;

/// One test for each database: `on_both!(a b c)` runs the functions `a`, `b` and `c` of this module, each
/// given a [`Database`] of its own.
macro_rules! on_both {
    ($($name:ident)+) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::app::Database::sqlite()).await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                if let Some(database) = $crate::app::Database::postgres().await {
                    super::$name(database).await;
                }
            })+
        }
    };
}

pub(crate) const SECRET: &str = "a secret key for tests, long enough";
pub(crate) const PASSWORD: &str = "correct horse battery";

/// When the manual clock begins: 2026-11-23T12:00:00Z.
pub(crate) const NOON: Timestamp = Timestamp::from_seconds(1_795_435_200);

/// An empty database that is removed when it is dropped.
pub(crate) struct Database {
    pub(crate) url: String,
    pub(crate) sql: Box<dyn RawSql>,
    _guard: Box<dyn Any + Send>,
}

struct SqliteByHand(PathBuf, #[expect(dead_code, reason = "removes the folder when dropped")] Arc<TempDir>);

#[async_trait::async_trait]
impl RawSql for SqliteByHand {
    async fn execute(&self, sql: &str) -> Result<(), String> {
        let run = || {
            let connection = rusqlite::Connection::open(&self.0)?;
            connection.busy_timeout(std::time::Duration::from_secs(5))?;
            connection.pragma_update(None, "foreign_keys", true)?;
            connection.execute_batch(sql)
        };
        run().map_err(|error| error.to_string())
    }
}

impl Database {
    pub(crate) fn sqlite() -> Self {
        let (folder, path) = sqlite_path();
        let folder = Arc::new(folder);
        let url = format!("sqlite://{}", path.display());
        Self { url, sql: Box::new(SqliteByHand(path, Arc::clone(&folder))), _guard: Box::new(folder) }
    }

    pub(crate) async fn postgres() -> Option<Self> {
        let database = postgres_database().await?;
        let (url, sql) = (database.url.clone(), Box::new(database.sql()));
        Some(Self { url, sql, _guard: Box::new(database) })
    }

    /// Whether this process has a file of the SQLite database open, or PostgreSQL another connection.
    pub(crate) async fn is_open(&self) -> bool {
        let Some(path) = self.url.strip_prefix("sqlite://") else {
            let others = "pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
            let refuse =
                format!("DO $$ BEGIN IF EXISTS (SELECT FROM {others}) THEN RAISE 'open'; END IF; END $$");
            return self.sql.execute(&refuse).await.is_err();
        };
        let files = std::fs::read_dir("/proc/self/fd").unwrap();
        let mut files = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
        files.any(|file| file.to_string_lossy().starts_with(path))
    }

    /// Whether this query gives a row.
    pub(crate) async fn has(&self, query: &str) -> bool {
        // Statements that fail if there is a row: the connection gives none back.
        let check = match self.url.starts_with("sqlite://") {
            true => format!(
                "CREATE TEMP TABLE none (n INTEGER CHECK (n = 0)); INSERT INTO none SELECT EXISTS ({query})"
            ),
            false => format!("DO $$ BEGIN IF EXISTS ({query}) THEN RAISE 'found'; END IF; END $$"),
        };
        match self.sql.execute(&check).await {
            Ok(()) => false,
            Err(why) if why.contains("CHECK constraint") || why.contains("found") => true,
            Err(why) => panic!("{query}: {why}"),
        }
    }

    /// An application with only the endpoints.
    pub(crate) async fn app(&self) -> App {
        self.app_with(|builder| builder).await
    }

    /// An application with only the endpoints and a changed builder.
    pub(crate) async fn app_with(&self, change: impl FnOnce(Builder) -> Builder) -> App {
        self.app_around(change, Doorwarden::router).await
    }

    /// An application with the routes that `routes` returns.
    pub(crate) async fn app_around(
        &self,
        change: impl FnOnce(Builder) -> Builder,
        routes: impl FnOnce(&Doorwarden) -> Router,
    ) -> App {
        let clock = Arc::new(ManualClock::new(NOON));
        let builder = Doorwarden::builder()
            .database_url(&self.url)
            .secret_key(SECRET)
            .hashing(HashSettings::insecure_for_tests())
            .clock(Arc::clone(&clock));
        let auth = change(builder).build().await.unwrap();
        let router = routes(&auth);
        App { auth, clock, router, contract: OnceLock::new() }
    }
}

pub(crate) struct App {
    pub(crate) auth: Doorwarden,
    pub(crate) clock: Arc<ManualClock>,
    router: Router,
    contract: OnceLock<Contract>,
}

/// A complete response.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} {}", self.status, self.headers, String::from_utf8_lossy(&self.body))
    }
}

impl Answer {
    pub(crate) async fn read(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Self { status: parts.status, headers: parts.headers, body }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {:?}", String::from_utf8_lossy(&self.body)))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The token in the response.
    pub(crate) fn token(&self) -> String {
        self.json()["token"].as_str().unwrap_or_else(|| panic!("no token: {self:?}")).to_owned()
    }

    /// Asserts status and body.
    #[track_caller]
    pub(crate) fn is(&self, status: u16, body: Value) {
        assert_eq!((self.status.as_u16(), self.json()), (status, body));
    }
}

impl App {
    /// Sends a request; the response must be one that the OpenAPI document describes.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let answer = self.send_unchecked(request).await;
        let contract = self.contract.get_or_init(|| Contract::new(&self.auth.openapi()));
        if let Err(error) = contract.check(&method, &path, &answer) {
            panic!(
                "the OpenAPI document does not describe the answer to {method} {path}: {error}\n{answer:?}"
            );
        }
        answer
    }

    /// Sends a request, and compares the response with nothing.
    pub(crate) async fn send_unchecked(&self, request: Request<Body>) -> Answer {
        let routed = self.auth.layer().layer(self.router.clone()).oneshot(request).await.unwrap();
        Answer::read(routed).await
    }

    /// A request with a token and a JSON body, both optional.
    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<Value>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let body = match body {
            Some(body) => {
                request = request.header(CONTENT_TYPE, "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        self.send(request.body(body).unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> Answer {
        self.call("GET", path, Some(token), None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.call("POST", path, None, Some(body)).await
    }

    /// Registers `name` with `name@example.com` and [`PASSWORD`]; returns the token.
    pub(crate) async fn register(&self, name: &str) -> String {
        let answer = self.try_register(name).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.token()
    }

    pub(crate) async fn try_register(&self, name: &str) -> Answer {
        let email = format!("{name}@example.com");
        self.post("/registration", json!({"email": email, "username": name, "password": PASSWORD})).await
    }

    pub(crate) async fn log_in(&self, name: &str, password: &str) -> Answer {
        let email = format!("{name}@example.com");
        self.post("/login", json!({"email": email, "password": password})).await
    }
}
