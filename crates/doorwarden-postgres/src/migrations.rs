//! The schema, in numbered steps that are run once and never change.

use crate::database::{Database, Effort, Param};
use crate::failure::Failure;
use crate::options::Access;
use crate::rows::{all, get};
use crate::server::{Line, Role};
use doorwarden_core::store::{AppliedMigration, MigrateError, Migration};
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

const MIGRATIONS: &[Migration] = doorwarden_core::migrations![
    "0001_tables",
    "0002_triggers",
    "0003_session_generations",
    "0004_refresh_grace",
    "0005_key_chains",
    "0006_by_hand",
    "0007_audit",
    "0008_session_limit",
    "0009_account_life",
    "0010_password_history",
    "0011_audit_clients",
    "0012_factors",
    "0013_webhooks",
    "0014_audit_seals",
    "0015_attempts",
];

/// Runs what is missing, all in one transaction.
pub(crate) async fn run(access: &Access) -> Result<(), MigrateError> {
    let Line { mut client, connection, .. } = access.servers.connect(Role::Primary, CONNECT_LIMIT).await?;
    let connection = tokio::spawn(connection);
    let result = timeout(LIMIT, migrate(&mut client)).await.unwrap_or_else(|_| Err(Failure::Silent.into()));
    drop(client);
    // The task ends when the client is dropped; its result does not matter.
    let _ = timeout(CONNECT_LIMIT, connection).await;
    result
}

async fn migrate(client: &mut Client) -> Result<(), MigrateError> {
    let transaction = client.transaction().await.map_err(Failure::from)?;
    batch(&transaction, "SET LOCAL statement_timeout = 0").await?;
    rows(&transaction, "SELECT pg_advisory_xact_lock($1)", &[(&LOCK, Type::INT8)]).await?;
    fits(&rows(&transaction, PLACE, &[]).await?)?;
    prepare(&transaction).await?;
    let applied = check(&rows(&transaction, APPLIED, &[]).await?)?;
    for (number, migration) in (1_i32..).zip(MIGRATIONS).skip(applied) {
        batch(&transaction, migration.sql).await?;
        let sql = "INSERT INTO doorwarden_migrations (number, name, hash) VALUES ($1, $2, $3)";
        let params = [
            (&number as _, Type::INT4),
            (&migration.name as _, Type::TEXT),
            (&migration.hash() as _, Type::TEXT),
        ];
        rows(&transaction, sql, &params).await?;
        tracing::info!(migration = migration.name, "migrated the database");
    }
    Ok(transaction.commit().await.map_err(Failure::from)?)
}

/// Makes sure that there is a list of migrations, and that everything is made in one schema: that of this
/// list.
async fn prepare(transaction: &Transaction<'_>) -> Result<(), Failure> {
    let needs = "SELECT current_setting('server_encoding') = 'UTF8', \
                 current_setting('server_version_num')::int >= 130000, current_schema() IS NOT NULL";
    for row in rows(transaction, needs, &[]).await? {
        let complaints = [
            "the database's encoding must be UTF8",
            "PostgreSQL 13 or later is needed",
            "the search_path names no schema that exists",
        ];
        for (place, complaint) in complaints.into_iter().enumerate() {
            if !get::<bool>(&row, place)? {
                return Err(Failure::Unreadable(complaint.to_owned()));
            }
        }
    }
    // Functions remember this path. Temporary tables come last, so that they cannot shadow other tables.
    let path = "SELECT set_config('search_path', quote_ident(coalesce(\
                (SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                WHERE c.oid = to_regclass('doorwarden_migrations')), current_schema())) || ', pg_temp', true)";
    rows(transaction, path, &[]).await?;
    let list = "CREATE TABLE IF NOT EXISTS doorwarden_migrations (number integer PRIMARY KEY, name text NOT NULL, \
                hash text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())";
    batch(transaction, list).await
}

async fn rows(transaction: &Transaction<'_>, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, Failure> {
    Ok(transaction.query_typed(sql, params).await?)
}

async fn batch(transaction: &Transaction<'_>, sql: &str) -> Result<(), Failure> {
    Ok(transaction.batch_execute(sql).await?)
}

/// What another program has made under a name that is needed, where Doorwarden was never; and the schema in
/// which somebody who may not create tables would have to, with the name of their role.
const PLACE: &str = "SELECT \
    (SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
        WHERE here.migrations IS NULL AND n.nspname = current_schema() \
        AND (c.relname = 'users' OR c.relname LIKE 'doorwarden\\_%') ORDER BY c.relname DESC LIMIT 1), \
    CASE WHEN NOT has_schema_privilege(here.schema, 'CREATE') THEN here.schema::regnamespace::text END, current_user::text \
    FROM (SELECT to_regclass('doorwarden_migrations') AS migrations, coalesce(\
        (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('doorwarden_migrations')), \
        (SELECT oid FROM pg_namespace WHERE nspname = current_schema())) AS schema) AS here";

/// Whether the tables have a place.
fn fits(place: &[Row]) -> Result<(), MigrateError> {
    let Some(row) = place.first() else { return Ok(()) };
    let (taken, schema): (Option<String>, Option<String>) = (get(row, 0)?, get(row, 1)?);
    match (taken, schema) {
        (Some(name), _) => Err(MigrateError::Taken(format!("the table {name}"))),
        (None, Some(schema)) => Err(MigrateError::Forbidden { role: get(row, 2)?, schema }),
        (None, None) => Ok(()),
    }
}

const APPLIED: &str = "SELECT number, name, hash FROM doorwarden_migrations ORDER BY number";

/// The names of the migrations that are still to be run. Changes nothing.
pub(crate) async fn pending(database: &Database) -> Result<Vec<String>, MigrateError> {
    let exists = "SELECT to_regclass('doorwarden_migrations') IS NOT NULL";
    let rows = database.rows(Effort::Read, exists, &[]).await?;
    let applied = if all(&rows, |row| get::<bool>(row, 0))? == [true] {
        check(&database.rows(Effort::Read, APPLIED, &[]).await?)?
    } else {
        0
    };
    if applied < MIGRATIONS.len() {
        fits(&database.rows(Effort::Read, PLACE, &[]).await?)?;
    }
    Ok(Migration::pending(MIGRATIONS, applied))
}

/// How many migrations were run, if they are the ones known here.
fn check(applied: &[Row]) -> Result<usize, MigrateError> {
    let applied = all(applied, |row| {
        let number = i64::from(get::<i32>(row, 0)?);
        Ok(AppliedMigration { number, name: get(row, 1)?, hash: get(row, 2)? })
    })?;
    Migration::count_applied(MIGRATIONS, &applied)
}
