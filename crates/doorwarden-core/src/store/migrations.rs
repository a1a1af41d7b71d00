//! The schema of a store, in numbered steps that are run once and never change.

use super::MigrateError;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;

/// One step. Its number is its place in the store's list, from 1.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// The name, which begins with the number: `0001_tables`.
    pub name: &'static str,
    /// The SQL of the step.
    pub sql: &'static str,
}

/// The list of a store's migrations, by name: `migrations/NAME.sql` beside the store's `src`.
#[macro_export]
macro_rules! migrations {
    ($($name:literal),+ $(,)?) => {
        &[$($crate::store::Migration {
            name: $name,
            sql: include_str!(concat!("../migrations/", $name, ".sql")),
        }),+]
    };
}

impl Migration {
    /// SHA-256 of the text in hexadecimal, independent of the line endings of a checkout.
    pub fn hash(&self) -> String {
        let digest = Sha256::digest(self.sql.replace("\r\n", "\n"));
        digest.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// How many of `known` a database has, if the database's migrations are the first of `known`.
    ///
    /// # Errors
    /// [`MigrateError::Newer`] or [`MigrateError::Changed`] otherwise.
    pub fn count_applied(known: &[Self], applied: &[AppliedMigration]) -> Result<usize, MigrateError> {
        for (place, AppliedMigration { number, name, hash }) in applied.iter().enumerate() {
            let index = usize::try_from(*number).ok().and_then(|number| number.checked_sub(1));
            let Some((index, migration)) = index.and_then(|index| Some((index, known.get(index)?))) else {
                return Err(MigrateError::Newer(name.clone()));
            };
            if index != place || migration.name != name || migration.hash() != *hash {
                return Err(MigrateError::Changed(name.clone()));
            }
        }
        Ok(applied.len())
    }

    /// The names of the pending migrations.
    pub fn pending(known: &[Self], applied: usize) -> Vec<String> {
        known.iter().skip(applied).map(|migration| migration.name.to_owned()).collect()
    }
}

/// A step that was run, as `doorwarden_migrations` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedMigration {
    /// The place in the list, from 1.
    pub number: i64,
    /// The name.
    pub name: String,
    /// [`Migration::hash`] when it was run.
    pub hash: String,
}
