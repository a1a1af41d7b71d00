//! The schema, in numbered steps that are run once and never change.

use crate::failure::Failure;
use crate::rows::{all, get, one, run};
use doorwarden_core::store::{MigrateError, StoreError};
use rusqlite::Connection;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;

struct Migration {
    name: &'static str,
    sql: &'static str,
}

/// In order; the number of a migration is its place, from 1.
const MIGRATIONS: [Migration; 2] = [
    Migration { name: "0001_tables", sql: include_str!("../migrations/0001_tables.sql") },
    Migration { name: "0002_triggers", sql: include_str!("../migrations/0002_triggers.sql") },
];

const TABLE: &str = "CREATE TABLE IF NOT EXISTS doorwarden_migrations (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    hash TEXT NOT NULL,
    applied_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
) STRICT";

/// A migration failed, or must not be run.
#[derive(Debug)]
pub(crate) struct Refused(MigrateError);

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self(MigrateError::Store(failure.into()))
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self(MigrateError::Store(error))
    }
}

impl From<Refused> for MigrateError {
    fn from(refused: Refused) -> Self {
        refused.0
    }
}

/// Runs what is missing, inside the writer's transaction: whole or not at all, and one process after the other.
pub(crate) fn migrate(connection: &Connection) -> Result<(), Refused> {
    let known = applied(connection)?;
    run(connection, TABLE, ())?;
    for (index, migration) in MIGRATIONS.iter().enumerate().skip(known) {
        connection.execute_batch(migration.sql).map_err(Failure::from)?;
        let sql = "INSERT INTO doorwarden_migrations (number, name, hash) VALUES (?1, ?2, ?3)";
        run(connection, sql, (number(index), migration.name, hash(migration.sql)))?;
        tracing::info!(migration = migration.name, "migrated the database");
    }
    Ok(())
}

/// The names of what is missing.
pub(crate) fn pending(connection: &Connection) -> Result<Vec<String>, Refused> {
    let known = applied(connection)?;
    Ok(MIGRATIONS.iter().skip(known).map(|m| m.name.to_owned()).collect())
}

/// How many migrations were run, all of which must be ours.
fn applied(connection: &Connection) -> Result<usize, Refused> {
    let exists = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'doorwarden_migrations'";
    if one(connection, exists, (), |_| Ok(()))?.is_none() {
        return Ok(0);
    }
    let sql = "SELECT name, hash FROM doorwarden_migrations ORDER BY number";
    let rows = all(connection, sql, (), |row| Ok((get::<String>(row, 0)?, get::<String>(row, 1)?)))?;
    for (index, (name, stored)) in rows.iter().enumerate() {
        match MIGRATIONS.get(index) {
            None => return Err(Refused(MigrateError::Newer(name.clone()))),
            Some(ours) if hash(ours.sql) != *stored => {
                return Err(Refused(MigrateError::Changed(name.clone())));
            }
            Some(_) => {}
        }
    }
    Ok(rows.len())
}

fn number(index: usize) -> i64 {
    i64::try_from(index + 1).unwrap_or(i64::MAX)
}

fn hash(sql: &str) -> String {
    Sha256::digest(sql).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
