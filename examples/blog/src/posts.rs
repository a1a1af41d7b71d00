use crate::Blog;
use crate::database::failed;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use doorwarden::{ApiError, CurrentUser, FieldError, FieldErrors};
use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row};

const POSTS: &str = "SELECT post.id, display_name AS author, title, body \
                     FROM post JOIN profile ON user_id = author_id ORDER BY post.id DESC LIMIT 20";
const POST: &str = "SELECT post.id, display_name AS author, title, body \
                    FROM post JOIN profile ON user_id = author_id WHERE post.id = ?";

#[derive(Debug, Serialize)]
pub(crate) struct Post {
    id: i64,
    author: String,
    title: String,
    body: String,
}

impl FromRow<'_, SqliteRow> for Post {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            author: row.try_get("author")?,
            title: row.try_get("title")?,
            body: row.try_get("body")?,
        })
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct Draft {
    title: String,
    body: String,
}

/// The newest posts, for everyone.
pub(crate) async fn list(State(blog): State<Blog>) -> Result<Json<Vec<Post>>, ApiError> {
    Ok(Json(sqlx::query_as(POSTS).fetch_all(&blog.database).await.map_err(failed)?))
}

/// One post, for everyone.
pub(crate) async fn read(State(blog): State<Blog>, Path(id): Path<i64>) -> Result<Json<Post>, ApiError> {
    Ok(Json(sqlx::query_as(POST).bind(id).fetch_one(&blog.database).await.map_err(failed)?))
}

/// Publishes a post. The router admits only authors.
pub(crate) async fn publish(
    State(blog): State<Blog>,
    user: CurrentUser,
    Json(draft): Json<Draft>,
) -> Result<(StatusCode, Json<Post>), ApiError> {
    if draft.title.trim().is_empty() {
        return Err(ApiError::fields(FieldErrors::one("title", FieldError::blank())));
    }
    let insert = sqlx::query("INSERT INTO post (author_id, title, body) VALUES (?, ?, ?)");
    let insert = insert.bind(user.id().0).bind(draft.title).bind(draft.body);
    let id = insert.execute(&blog.database).await.map_err(failed)?.last_insert_rowid();
    tracing::info!(author = user.username(), id, "a post was published");
    Ok((StatusCode::CREATED, read(State(blog), Path(id)).await?))
}

/// Deletes a post, for its author and for staff.
pub(crate) async fn withdraw(
    State(blog): State<Blog>,
    user: CurrentUser,
    Path(id): Path<i64>,
) -> Result<StatusCode, ApiError> {
    let author: i64 = sqlx::query_scalar("SELECT author_id FROM post WHERE id = ?")
        .bind(id)
        .fetch_one(&blog.database)
        .await
        .map_err(failed)?;
    if author != user.id().0 && !user.is_staff() {
        return Err(ApiError::permission_denied());
    }
    sqlx::query("DELETE FROM post WHERE id = ?").bind(id).execute(&blog.database).await.map_err(failed)?;
    Ok(StatusCode::NO_CONTENT)
}
