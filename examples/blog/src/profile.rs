use crate::Blog;
use crate::database::failed;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use doorwarden::{ApiError, ClientInfo, CurrentUser, FieldError, FieldErrors, Hooks, User, async_trait};
use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row, SqlitePool};

/// Gives every new account its profile.
#[derive(Debug)]
pub(crate) struct Profiles(pub(crate) SqlitePool);

impl Profiles {
    async fn run(&self, sql: &'static str, user: &User) -> sqlx::Result<()> {
        // Whoever was created by an operator has given no name.
        let name = user.metadata.get("display_name").and_then(|name| name.as_str());
        let insert = sqlx::query(sql).bind(user.id.0).bind(name.unwrap_or(user.username.as_str()));
        insert.execute(&self.0).await.map(drop)
    }
}

#[async_trait]
impl Hooks for Profiles {
    async fn after_registration(&self, user: &User) -> Result<(), FieldErrors> {
        let made = self.run("INSERT INTO profile (user_id, display_name) VALUES (?, ?)", user).await;
        let complaint = match made {
            Ok(()) => return Ok(()),
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
                FieldError::new("unique", "Somebody else writes under this name.")
            }
            Err(error) => {
                tracing::error!(%error, "a profile could not be made");
                FieldError::new("error", "No profile could be made. Try again later.")
            }
        };
        Err(FieldErrors::one("display_name", complaint))
    }

    /// Makes up for what a registration had no time for, because the process was killed between account and profile.
    async fn before_login(&self, user: &User, _: &ClientInfo) -> Result<(), FieldErrors> {
        if let Err(error) =
            self.run("INSERT OR IGNORE INTO profile (user_id, display_name) VALUES (?, ?)", user).await
        {
            tracing::error!(%error, "a profile could not be made");
        }
        Ok(())
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct Profile {
    display_name: String,
    about: String,
    posts: i64,
}

impl FromRow<'_, SqliteRow> for Profile {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            display_name: row.try_get("display_name")?,
            about: row.try_get("about")?,
            posts: row.try_get("posts")?,
        })
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct About {
    about: String,
}

pub(crate) async fn read(State(blog): State<Blog>, user: CurrentUser) -> Result<Json<Profile>, ApiError> {
    let sql = "SELECT display_name, about, (SELECT count(*) FROM post WHERE author_id = user_id) AS posts \
               FROM profile WHERE user_id = ?";
    let profile = sqlx::query_as(sql).bind(user.id().0).fetch_one(&blog.database).await.map_err(failed)?;
    Ok(Json(profile))
}

pub(crate) async fn write(
    State(blog): State<Blog>,
    user: CurrentUser,
    Json(new): Json<About>,
) -> Result<StatusCode, ApiError> {
    let update = sqlx::query("UPDATE profile SET about = ? WHERE user_id = ?").bind(new.about);
    update.bind(user.id().0).execute(&blog.database).await.map_err(failed)?;
    Ok(StatusCode::NO_CONTENT)
}
