use doorwarden::ApiError;
use sqlx::SqlitePool;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::SqliteConnectOptions;
use std::path::Path;

/// A pool that connects lazily: by then Doorwarden has created the file.
pub(crate) fn pool(path: &Path) -> SqlitePool {
    SqlitePool::connect_lazy_with(SqliteConnectOptions::new().filename(path))
}

/// Migrates the blog's own tables.
pub(crate) async fn migrate(database: &SqlitePool) -> Result<(), sqlx::migrate::MigrateError> {
    let sql = sqlx::SqlStr::from_static(include_str!("../migrations/0001_blog.sql"));
    let first = Migration::new(1, "blog".into(), MigrationType::Simple, sql, false);
    Migrator::with_migrations(vec![first]).run(database).await
}

/// The error that a visitor gets when the database fails; the details are logged.
pub(crate) fn failed(error: sqlx::Error) -> ApiError {
    match error {
        sqlx::Error::RowNotFound => ApiError::not_found(),
        error => {
            tracing::error!(%error, "the database failed");
            ApiError::internal()
        }
    }
}
