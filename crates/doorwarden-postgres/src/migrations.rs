//! The schema, in numbered steps that are run once and never change.

use crate::database::{Database, Effort};
use crate::failure::Failure;
use crate::options::Access;
use crate::rows::{all, get};
use doorwarden_core::store::{MigrateError, StoreError};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::time::Duration;
use tokio::time::timeout;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row, Transaction};

/// How long reaching the database may take.
const CONNECT_LIMIT: Duration = Duration::from_millis(1500);

/// How long all migrations together may take, waiting for another instance included.
const LIMIT: Duration = Duration::from_mins(10);

/// Held while migrations run. Any number will do that no other program takes: "doorward".
const LOCK: i64 = 0x646f_6f72_7761_7264;

struct Migration {
    name: &'static str,
    sql: &'static str,
}

/// In order; the number of a migration is its place, from 1.
const MIGRATIONS: [Migration; 2] = [
    Migration { name: "0001_tables", sql: include_str!("../migrations/0001_tables.sql") },
    Migration { name: "0002_triggers", sql: include_str!("../migrations/0002_triggers.sql") },
];

impl Migration {
    /// SHA-256 of the text in hexadecimal, whatever line ends a checkout has given it.
    fn hash(&self) -> String {
        let digest = Sha256::digest(self.sql.replace("\r\n", "\n"));
        digest.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

/// Runs what is missing, all in one transaction.
pub(crate) async fn run(access: &Access) -> Result<(), MigrateError> {
    let connected = timeout(CONNECT_LIMIT, access.config.connect(access.tls.clone())).await;
    let (mut client, connection) = connected.map_err(|_| failed(Failure::silent()))?.map_err(failed)?;
    let connection = tokio::spawn(connection);
    let result =
        timeout(LIMIT, migrate(&mut client)).await.unwrap_or_else(|_| Err(failed(Failure::silent())));
    drop(client);
    // It ends when the client is gone; how it ended matters to nobody.
    let _ = timeout(CONNECT_LIMIT, connection).await;
    result
}

async fn migrate(client: &mut Client) -> Result<(), MigrateError> {
    let transaction = client.transaction().await.map_err(failed)?;
    transaction.batch_execute("SET LOCAL statement_timeout = 0").await.map_err(failed)?;
    transaction
        .query_typed("SELECT pg_advisory_xact_lock($1)", &[(&LOCK, Type::INT8)])
        .await
        .map_err(failed)?;
    prepare(&transaction).await?;
    let applied = transaction.query(APPLIED, &[]).await.map_err(failed)?;
    for (number, migration) in (1_i32..).zip(&MIGRATIONS).skip(check(&applied)?) {
        transaction.batch_execute(migration.sql).await.map_err(failed)?;
        let sql = "INSERT INTO doorwarden_migrations (number, name, hash) VALUES ($1, $2, $3)";
        transaction.execute(sql, &[&number, &migration.name, &migration.hash()]).await.map_err(failed)?;
        tracing::info!(migration = migration.name, "migrated the database");
    }
    transaction.commit().await.map_err(failed)
}

/// Makes sure that there is a list of migrations, and that everything is made in one schema: that of this list.
async fn prepare(transaction: &Transaction<'_>) -> Result<(), MigrateError> {
    let facts = "SELECT current_setting('server_encoding'), current_setting('server_version_num')::int, current_schema()::text";
    let facts = transaction.query_one(facts, &[]).await.map_err(failed)?;
    let (encoding, version, schema) =
        (facts.try_get::<_, &str>(0), facts.try_get::<_, i32>(1), facts.try_get::<_, Option<&str>>(2));
    if encoding.map_err(failed)? != "UTF8" {
        return Err(StoreError::failed("the database's encoding must be UTF8").into());
    }
    if version.map_err(failed)? < 130_000 {
        return Err(StoreError::failed("PostgreSQL 13 or later is needed").into());
    }
    if schema.map_err(failed)?.is_none() {
        return Err(StoreError::failed("the search_path names no schema that exists").into());
    }
    // Functions remember this path. Temporary tables come last, so that nobody can slip one in.
    let path = "SELECT set_config('search_path', quote_ident(coalesce(\
                (SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                WHERE c.oid = to_regclass('doorwarden_migrations')), current_schema())) || ', pg_temp', true)";
    transaction.query_one(path, &[]).await.map_err(failed)?;
    let list = "CREATE TABLE IF NOT EXISTS doorwarden_migrations (number integer PRIMARY KEY, name text NOT NULL, \
                hash text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())";
    transaction.batch_execute(list).await.map_err(failed)
}

const APPLIED: &str = "SELECT number, name, hash FROM doorwarden_migrations ORDER BY number";

/// The names of the migrations that are still to be run. Changes nothing.
pub(crate) async fn pending(database: &Database) -> Result<Vec<String>, MigrateError> {
    let exists = "SELECT to_regclass('doorwarden_migrations') IS NOT NULL";
    let rows = database.rows(Effort::Read, exists, &[]).await.map_err(failed)?;
    let applied = if all(&rows, |row| get::<bool>(row, 0)).map_err(failed)? == [true] {
        check(&database.rows(Effort::Read, APPLIED, &[]).await.map_err(failed)?)?
    } else {
        0
    };
    Ok(MIGRATIONS.iter().skip(applied).map(|migration| migration.name.to_owned()).collect())
}

/// How many migrations were run, if they are the ones known here.
fn check(applied: &[Row]) -> Result<usize, MigrateError> {
    for (place, row) in applied.iter().enumerate() {
        let read = || Ok((get::<i32>(row, 0)?, get::<String>(row, 1)?, get::<String>(row, 2)?));
        let (number, name, hash) = read().map_err(failed::<Failure>)?;
        let known = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
        match known.and_then(|known| MIGRATIONS.get(known).map(|migration| (known, migration))) {
            None => return Err(MigrateError::Newer(name)),
            Some((known, migration))
                if known != place || migration.name != name || migration.hash() != hash =>
            {
                return Err(MigrateError::Changed(name));
            }
            Some(_) => {}
        }
    }
    Ok(applied.len())
}

fn failed<E: Into<Failure>>(error: E) -> MigrateError {
    StoreError::from(error.into()).into()
}
