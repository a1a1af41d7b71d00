//! The schema, in numbered steps that are run once and never change.

use crate::connection::SqliteOptions;
use crate::failure::Failure;
use crate::rows::{all, get, one, run};
use doorwarden_core::store::{AppliedMigration, MigrateError, Migration};
use rusqlite::Connection;
use std::time::Duration;

/// How long to wait for another program that writes, which may be migrating.
const LOCK_LIMIT: Duration = Duration::from_secs(30);

const MIGRATIONS: &[Migration] = doorwarden_core::migrations![
    "0001_tables",
    "0002_triggers",
    "0003_session_generations",
    "0004_refresh_grace",
    "0005_key_chains",
    "0006_by_hand",
    "0007_audit",
    "0008_account_life",
    "0009_password_history",
    "0010_audit_clients",
    "0011_factors",
    "0012_webhooks",
    "0013_audit_seals",
    "0014_attempts",
];

/// Runs what is missing, all in one transaction.
pub(crate) fn migrate(options: &SqliteOptions) -> Result<(), MigrateError> {
    let opened = options.writer()?;
    let connection = &opened.connection;
    connection.busy_timeout(LOCK_LIMIT).map_err(Failure::from)?;
    forget_statistics(connection)?;
    if pending(connection)?.is_empty() {
        return Ok(());
    }
    run(connection, "BEGIN IMMEDIATE", ())?;
    // Somebody may have come first. What is not committed is undone when the connection closes.
    pending(connection)?;
    run_missing(connection)?;
    run(connection, "COMMIT", ())?;
    Ok(())
}

/// Forgets what `ANALYZE` has found out about our tables. Statistics of a table that was small then let
/// SQLite read all of it when it is large; without any, it takes the index for which a statement was written.
fn forget_statistics(connection: &Connection) -> Result<(), Failure> {
    for table in ["sqlite_stat1", "sqlite_stat4"] {
        let exists = "SELECT 1 FROM sqlite_schema WHERE name = ?1";
        if one(connection, exists, [table], |_| Ok(()))?.is_none() {
            continue;
        }
        let ours = "tbl = 'users' OR tbl GLOB 'doorwarden_*'";
        connection.execute(&format!("DELETE FROM {table} WHERE {ours}"), ())?;
        let is_empty =
            connection.query_row(&format!("SELECT count(*) = 0 FROM {table}"), (), |row| row.get(0))?;
        if is_empty {
            // Unlike the rows, the table is missed by connections that are open already.
            connection.execute(&format!("DROP TABLE {table}"), ())?;
        }
    }
    Ok(())
}

fn run_missing(connection: &Connection) -> Result<(), MigrateError> {
    let list = "CREATE TABLE IF NOT EXISTS doorwarden_migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL, \
                hash TEXT NOT NULL, applied_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))) STRICT";
    run(connection, list, ())?;
    for (number, migration) in (1_i64..).zip(MIGRATIONS).skip(applied(connection)?) {
        connection.execute_batch(migration.sql).map_err(Failure::from)?;
        let sql = "INSERT INTO doorwarden_migrations (number, name, hash) VALUES (?1, ?2, ?3)";
        run(connection, sql, (number, migration.name, migration.hash()))?;
        tracing::info!(migration = migration.name, "migrated the database");
    }
    Ok(())
}

/// The names of the migrations that are still to be run. Changes nothing.
pub(crate) fn pending(connection: &Connection) -> Result<Vec<String>, MigrateError> {
    if let Some(name) = taken(connection)? {
        return Err(MigrateError::Taken(name));
    }
    let list = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'doorwarden_migrations'";
    let applied = if one(connection, list, (), |_| Ok(()))?.is_some() { applied(connection)? } else { 0 };
    Ok(Migration::pending(MIGRATIONS, applied))
}

/// What another program has made under a name that is needed here; `None` if Doorwarden's tables are there,
/// or nothing is in their way. Changes nothing.
pub(crate) fn taken(connection: &Connection) -> Result<Option<String>, Failure> {
    let sql = "SELECT type || ' ' || name FROM sqlite_schema \
               WHERE (lower(name) = 'users' OR name LIKE 'doorwarden!_%' ESCAPE '!') \
               AND NOT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'doorwarden_migrations') \
               ORDER BY lower(name) <> 'users', name LIMIT 1";
    one(connection, sql, (), |row| Ok(format!("the {}", get::<String>(row, 0)?)))
}

/// How many migrations were run, if they are the ones known here.
fn applied(connection: &Connection) -> Result<usize, MigrateError> {
    let sql = "SELECT number, name, hash FROM doorwarden_migrations ORDER BY number";
    let applied = all(connection, sql, (), |row| {
        Ok(AppliedMigration { number: get(row, 0)?, name: get(row, 1)?, hash: get(row, 2)? })
    })?;
    Migration::count_applied(MIGRATIONS, &applied)
}
