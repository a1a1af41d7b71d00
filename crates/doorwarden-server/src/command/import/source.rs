//! The database to import from: SQLite or PostgreSQL.

use super::factors::Texts;
use super::layout::{Layout, Tables};
use super::verified::Verified;
use super::{postgres, sqlite};
use crate::failure::Failure;
use doorwarden::core::flow::import::{SourceAccount, SourceRights};
use doorwarden::{DatabaseUrl, DatabaseUrlError};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// The number of rows in a chunk, and the number of chunks that may be queued.
pub(super) const CHUNK: usize = 1_000;
const WAITING: usize = 8;

/// An open database.
#[derive(Clone)]
pub(super) enum Source {
    Sqlite(sqlite::Source),
    Postgres(Arc<postgres::Source>),
}

impl Source {
    /// Opens `sqlite://PATH` or `postgres://…` read-only.
    pub(super) async fn open(url: &str) -> Result<Self, Failure> {
        let wrong = |error: DatabaseUrlError| {
            Failure::usage(format!("invalid `--from`: {error}")).maybe_hint(error.hint())
        };
        let url: DatabaseUrl = url.parse().map_err(wrong)?;
        Ok(match url.sqlite_path() {
            Some(path) => Self::Sqlite(sqlite::Source::open(path)?),
            None => Self::Postgres(Arc::new(postgres::Source::open(url.as_str()).await?)),
        })
    }

    /// Every table with its columns.
    pub(super) async fn tables(&self) -> Result<Tables, Failure> {
        match self {
            Self::Sqlite(source) => source.tables(),
            Self::Postgres(source) => source.tables().await,
        }
    }

    /// The last id that was assigned, including those of deleted users.
    pub(super) async fn last_id(&self, table: &str) -> Result<i64, Failure> {
        match self {
            Self::Sqlite(source) => source.last_id(table),
            Self::Postgres(source) => source.last_id(table).await,
        }
    }

    /// Groups, permissions, and the users who have them.
    pub(super) async fn rights(&self, layout: &Layout) -> Result<SourceRights, Failure> {
        let mut rights = SourceRights::default();
        if !layout.has_rights {
            return Ok(rights);
        }
        let groups = "SELECT CAST(id AS bigint), name, '' FROM auth_group ORDER BY id";
        rights.groups = self.names(groups).await?.into_iter().map(|(id, name, _)| (id, name)).collect();
        let permissions = "SELECT CAST(p.id AS bigint), c.app_label || '.' || p.codename, p.name FROM auth_permission p \
                           JOIN django_content_type c ON c.id = p.content_type_id ORDER BY p.id";
        rights.permissions = self.names(permissions).await?;
        rights.group_permissions = self.pairs("auth_group_permissions", "group_id", "permission_id").await?;
        if let Some(link) = &layout.groups {
            rights.user_groups = self.pairs(&link.table, &link.user, "group_id").await?;
        }
        if let Some(link) = &layout.permissions {
            rights.user_permissions = self.pairs(&link.table, &link.user, "permission_id").await?;
        }
        Ok(rights)
    }

    /// Starts reading the users, ordered by id. `keep`: columns that become members of `metadata`.
    pub(super) fn users(&self, layout: &Layout, keep: &[String], verified: &Verified) -> Reading {
        let (kept, verified) = (keep.to_vec(), verified.clone());
        let (sender, chunks) = mpsc::channel(WAITING);
        let (layout, keep) = (layout.clone(), verified.with_column(keep));
        let task = match self.clone() {
            Self::Sqlite(source) => tokio::task::spawn_blocking(move || source.read(&layout, &keep, &sender)),
            Self::Postgres(source) => tokio::spawn(async move { source.read(&layout, &keep, &sender).await }),
        };
        Reading { chunks, task, kept, verified }
    }

    /// Rows of so many columns, all of them texts.
    pub(super) async fn texts(&self, sql: &str, columns: usize) -> Result<Vec<Texts>, Failure> {
        match self {
            Self::Sqlite(source) => source.texts(sql, columns),
            Self::Postgres(source) => source.texts(sql, columns).await,
        }
    }

    async fn names(&self, sql: &str) -> Result<Vec<(i64, String, String)>, Failure> {
        match self {
            Self::Sqlite(source) => source.names(sql),
            Self::Postgres(source) => source.names(sql).await,
        }
    }

    async fn pairs(&self, table: &str, left: &str, right: &str) -> Result<Vec<(i64, i64)>, Failure> {
        let (table, left, right) = (quoted(table), quoted(left), quoted(right));
        let sql = format!("SELECT CAST({left} AS bigint), CAST({right} AS bigint) FROM {table}");
        match self {
            Self::Sqlite(source) => source.pairs(&sql),
            Self::Postgres(source) => source.pairs(&sql).await,
        }
    }
}

/// A stream of users.
pub(super) struct Reading {
    chunks: mpsc::Receiver<Vec<SourceAccount>>,
    task: JoinHandle<Result<(), Failure>>,
    kept: Vec<String>,
    verified: Verified,
}

impl Reading {
    /// The next rows; `None` after the last one.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<SourceAccount>>, Failure> {
        if let Some(mut rows) = self.chunks.recv().await {
            for row in &mut rows {
                self.verified.mark(row, &self.kept);
            }
            return Ok(Some(rows));
        }
        let done = (&mut self.task).await;
        done.unwrap_or_else(|_| Err(Failure::software("reading the users was interrupted")))?;
        Ok(None)
    }
}

/// A quoted SQL identifier.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
