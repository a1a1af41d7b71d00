use crate::Blog;
use crate::database::failed;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use doorwarden::{ApiError, ClientInfo, CurrentUser, FieldError, FieldErrors, Hooks, User, async_trait};
use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row, SqlitePool};

/// Creates a profile for every new account.
#[derive(Debug)]
pub(crate) struct Profiles(pub(crate) SqlitePool);

impl Profiles {
    async fn run(&self, sql: &'static str, user: &User) -> sqlx::Result<()> {
        // A user created by an operator has not given a name.
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
                FieldError::new("unique", "This name is taken.")
            }
            Err(error) => {
                tracing::error!(%error, "could not create a profile");
                FieldError::new("error", "The profile could not be created. Try again later.")
            }
        };
        Err(FieldErrors::one("display_name", complaint))
    }

    /// Creates the profile that a registration could not create because the process was killed after creating
    /// the account.
    async fn before_login(&self, user: &User, _: &ClientInfo) -> Result<(), FieldErrors> {
        if let Err(error) =
            self.run("INSERT OR IGNORE INTO profile (user_id, display_name) VALUES (?, ?)", user).await
        {
            tracing::error!(%error, "could not create a profile");
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
