use crate::skip;
use crate::store::RawSql;
use async_trait::async_trait;
use doorwarden_core::random::{RandomSource, SystemRandom};
use std::path::{Path, PathBuf};
use tokio_postgres::{Client, NoTls};

/// A directory that is removed when this is dropped.
#[derive(Debug)]
pub struct TempDir(PathBuf);

impl TempDir {
    /// The path of the directory.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        // A directory left in the system's temporary directory is no reason to fail.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A fresh directory for one SQLite database, and the path of the database in it, which does not exist yet.
pub fn sqlite_path() -> (TempDir, PathBuf) {
    let dir = std::env::temp_dir().join(fresh_name());
    std::fs::create_dir(&dir).expect("the temporary folder can be written");
    let file = dir.join("doorwarden.sqlite3");
    (TempDir(dir), file)
}

/// An empty PostgreSQL database that is removed when this is dropped, even if connections are open.
#[derive(Debug)]
pub struct PostgresDatabase {
    /// `postgres://user:password@host:port/name`.
    pub url: String,
    admin_url: String,
    name: String,
}

/// A fresh database on the server that `DOORWARDEN_TEST_POSTGRES_URL` names (`scripts/postgres run` sets it).
/// Without the variable, notes the test that runs as [skipped](skip) and returns `None`.
///
/// ```no_run
/// # async fn test() {
/// let Some(database) = doorwarden_testkit::postgres_database().await else { return };
/// println!("{}", database.url);
/// # }
/// ```
pub async fn postgres_database() -> Option<PostgresDatabase> {
    let Ok(admin_url) = std::env::var("DOORWARDEN_TEST_POSTGRES_URL") else {
        let test = std::thread::current().name().unwrap_or("a test on PostgreSQL").to_owned();
        skip(&test, "DOORWARDEN_TEST_POSTGRES_URL is not set. hint: scripts/postgres run -- cargo test");
        return None;
    };
    let name = fresh_name();
    // template0 accepts no connections; an open connection to template1 would make this fail.
    run(&admin_url, &format!("CREATE DATABASE {name} TEMPLATE template0"))
        .await
        .expect("the server that DOORWARDEN_TEST_POSTGRES_URL names is there and lets us create databases");
    Some(PostgresDatabase { url: with_database(&admin_url, &name), admin_url, name })
}

impl PostgresDatabase {
    /// Runs SQL on this database, over a new connection for each call.
    pub fn sql(&self) -> impl RawSql + use<> {
        Psql(self.url.clone())
    }
}

struct Psql(String);

#[async_trait]
impl RawSql for Psql {
    async fn execute(&self, sql: &str) -> Result<(), String> {
        run(&self.0, sql).await
    }
}

impl Drop for PostgresDatabase {
    fn drop(&mut self) {
        let (url, sql) =
            (self.admin_url.clone(), format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
        // A new thread, since this one may already run a runtime.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map_err(|e| e.to_string())?.block_on(run(&url, &sql))
        });
        if let Ok(Err(why)) = dropped.join() {
            eprintln!("the database {} was not removed: {why}", self.name);
        }
    }
}

async fn run(url: &str, sql: &str) -> Result<(), String> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.map_err(|e| message(&e))?;
    let connection = tokio::spawn(connection);
    let result = Client::batch_execute(&client, sql).await.map_err(|e| message(&e));
    drop(client);
    // Until the task has ended, the server counts the connection as one to this database.
    let _ = connection.await;
    result
}

fn message(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(database) => database.to_string(),
        None => error.to_string(),
    }
}

fn fresh_name() -> String {
    let random: &dyn RandomSource = &SystemRandom;
    format!("doorwarden_test_{:016x}", u64::from_le_bytes(random.bytes()))
}

/// The URL with the name of the database replaced.
fn with_database(url: &str, name: &str) -> String {
    let (rest, query) = url.split_once('?').map_or((url, String::new()), |(u, q)| (u, format!("?{q}")));
    let authority = rest.find("://").map_or(0, |at| at + 3);
    let path = rest[authority..].find('/').map_or(rest.len(), |at| authority + at);
    format!("{}/{name}{query}", &rest[..path])
}

#[cfg(test)]
mod tests {
    use super::with_database;

    #[test]
    fn the_name_in_a_url_is_replaced_and_the_rest_stays() {
        let cases = [
            ("postgres://u:p@h:1/postgres", "postgres://u:p@h:1/x"),
            ("postgres://u:p@h:1", "postgres://u:p@h:1/x"),
            ("postgresql://h/a?sslmode=disable", "postgresql://h/x?sslmode=disable"),
        ];
        for (url, expected) in cases {
            assert_eq!(with_database(url, "x"), expected);
        }
    }
}
