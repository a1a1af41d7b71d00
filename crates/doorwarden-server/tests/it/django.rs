//! Django's databases, their import, and the service on the imported data.

use axum::Router;
use axum::body::Body;
use doorwarden::core::password::HashSettings;
use doorwarden::core::settings::WithoutSession;
use doorwarden::core::store::{Store, UserFilter};
use doorwarden::core::time::Timestamp;
use doorwarden::{Doorwarden, Settings, User};
use doorwarden_testkit::{ManualClock, PostgresDatabase, RawSql, TempDir, postgres_database, sqlite_path};
use http::Request;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http_body_util::BodyExt;
use rusqlite::Connection;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use tower::ServiceExt;

/// The approximate time at which Django wrote the databases: 2026-11-23T12:00:00Z.
pub(crate) const NOON: Timestamp = Timestamp::from_seconds(1_795_435_200);

/// A file of `tests/data/django`.
pub(crate) fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/django").join(name)
}

/// The expected contents of an imported database.
pub(crate) fn expected(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(data(&format!("{name}.json"))).unwrap()).unwrap()
}

/// A database that is removed when it is dropped.
pub(crate) enum Database {
    Sqlite(#[expect(dead_code, reason = "removes the folder when dropped")] TempDir, PathBuf),
    Postgres(PostgresDatabase),
}

impl Database {
    /// A file that does not exist yet.
    pub(crate) fn sqlite() -> Self {
        let (folder, path) = sqlite_path();
        Self::Sqlite(folder, path)
    }

    /// An empty database, if a PostgreSQL server is available.
    pub(crate) async fn postgres() -> Option<Self> {
        Some(Self::Postgres(postgres_database().await?))
    }

    /// One of Django's databases: `django-2.1`, or on PostgreSQL `django-2.1.pg`.
    pub(crate) async fn django(name: &str) -> Option<Self> {
        if name.strip_suffix(".pg").is_none() {
            let database = Self::sqlite();
            std::fs::copy(data(&format!("{name}.sqlite3")), database.path()).unwrap();
            return Some(database);
        }
        let database = postgres_database().await?;
        // psql's own commands are not SQL.
        let dump = std::fs::read_to_string(data(&format!("{name}.sql"))).unwrap();
        let sql: Vec<&str> = dump.lines().filter(|line| !line.starts_with('\\')).collect();
        database.sql().execute(&sql.join("\n")).await.unwrap();
        Some(Self::Postgres(database))
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::Sqlite(_, path) => format!("sqlite://{}", path.display()),
            Self::Postgres(database) => database.url.clone(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Sqlite(_, path) => path,
            Self::Postgres(_) => panic!("PostgreSQL has no file"),
        }
    }

    /// A connection to the SQLite database.
    pub(crate) fn sql(&self) -> Connection {
        let connection = Connection::open(self.path()).unwrap();
        connection.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
        connection
    }

    pub(crate) fn store(&self) -> Arc<dyn Store> {
        Doorwarden::builder().database_url(self.url()).open_store().unwrap()
    }

    /// Every user with groups, permissions and other fields.
    pub(crate) async fn accounts(&self) -> Vec<(User, Vec<String>, Vec<String>)> {
        let store = self.store();
        let mut accounts = Vec::new();
        for user in store.users(&UserFilter::default(), None, 10_000).await.unwrap() {
            let groups = store.account(user.id).await.unwrap().unwrap().groups;
            let permissions = store.user_permissions(user.id).await.unwrap();
            accounts.push((user, groups, permissions));
        }
        store.close().await;
        accounts
    }

    /// The service on it, with Django's secret key.
    pub(crate) async fn service(&self, secret_key: &str, without_session: WithoutSession) -> Service {
        self.service_with(secret_key, |settings| settings.session.without_session = without_session).await
    }

    /// The service on it, with these settings.
    pub(crate) async fn service_with(
        &self,
        secret_key: &str,
        settings: impl FnOnce(&mut Settings),
    ) -> Service {
        let clock = Arc::new(ManualClock::new(NOON));
        let auth = Doorwarden::builder()
            .database_url(self.url())
            .secret_key(secret_key)
            .hashing(HashSettings::insecure_for_tests())
            .settings(settings)
            .clock(Arc::clone(&clock))
            .build()
            .await
            .unwrap();
        Service { router: auth.router(), auth, clock }
    }
}

/// The service, called without a socket.
pub(crate) struct Service {
    pub(crate) auth: Doorwarden,
    pub(crate) clock: Arc<ManualClock>,
    router: Router,
}

impl Service {
    async fn send(&self, request: Request<Body>) -> (u16, Value) {
        let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (parts.status.as_u16(), serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = Request::post(path).header(CONTENT_TYPE, "application/json");
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }

    /// `POST /login`; the token, or `None` if it is refused. On a busy machine it retries, as a client
    /// should.
    pub(crate) async fn log_in(&self, email: &str, password: &str) -> Option<String> {
        for _ in 0..10 {
            let (status, body) = self.post("/login", &json!({"email": email, "password": password})).await;
            match status {
                200 => return Some(body["token"].as_str().unwrap().to_owned()),
                400 | 401 => return None,
                503 => tokio::time::sleep(std::time::Duration::from_millis(500)).await,
                other => panic!("{email}: {other} {body}"),
            }
        }
        panic!("{email}: there is no service");
    }

    /// `GET /me`; `None` if the token is refused.
    pub(crate) async fn me(&self, token: &str) -> Option<Value> {
        let request = Request::get("/me").header(AUTHORIZATION, format!("Bearer {token}"));
        match self.send(request.body(Body::empty()).unwrap()).await {
            (200, body) => Some(body),
            (401 | 403, _) => None,
            (other, body) => panic!("{other} {body}"),
        }
    }
}

/// How a run of the program ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// `doorwarden import django`, not started yet.
pub(crate) fn import_command(from: &Database, to: &Database, arguments: &[&str]) -> Command {
    let mut command = program();
    command.args(["import", "django", "--from", &from.url(), "--database-url", &to.url()]).args(arguments);
    command
}

/// The program, with a clean environment.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_doorwarden"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("DOORWARDEN_") {
            command.env_remove(name);
        }
    }
    command.current_dir(std::env::temp_dir()).stdin(Stdio::null());
    command
}

pub(crate) fn run(mut command: Command) -> Run {
    let output = command.output().unwrap();
    Run {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Imports, and expects this exit status.
#[track_caller]
pub(crate) fn import(from: &Database, to: &Database, arguments: &[&str], code: i32) -> Value {
    let run = run(import_command(from, to, arguments));
    assert_eq!(run.code, code, "{run:?}");
    run.json()
}
