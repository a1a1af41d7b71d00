//! A small blog on axum and Doorwarden. Its own tables are in the same SQLite database as Doorwarden's, and
//! refer to them.

mod database;
mod posts;
mod profile;

use axum::Router;
use axum::routing::{get, post};
use doorwarden::{Builder, Doorwarden, Field};
use sqlx::SqlitePool;
use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;
use tokio::net::TcpListener;

/// The permission to publish.
pub const ADD_POST: &str = "blog.add_post";

/// The state that handlers share.
#[derive(Debug, Clone)]
pub struct Blog {
    /// Accounts and tokens.
    pub auth: Doorwarden,
    /// The blog's own connections to the database, which also holds the accounts.
    pub database: SqlitePool,
}

impl Blog {
    /// Opens the blog in the database at `path`, which is created if it does not exist. `builder` is
    /// [`Doorwarden::builder`], changed if necessary.
    ///
    /// # Errors
    /// If the database cannot be opened or migrated.
    pub async fn open(path: &Path, builder: Builder) -> Result<Self, Box<dyn Error>> {
        let database = database::pool(path);
        let auth = builder
            .database_url(format!("sqlite://{}", path.display()))
            .permission(ADD_POST, "Can add post")
            .field(Field::text("display_name", 80).required().describe("The name under which posts appear."))
            .hook(profile::Profiles(database.clone()))
            .build()
            .await?;
        // After Doorwarden's own migrations, because these refer to its table `users`.
        database::migrate(&database).await?;
        Ok(Self { auth, database })
    }

    /// Every route: the blog's, and Doorwarden's.
    pub fn router(&self) -> Router {
        let publish = post(posts::publish).route_layer(self.auth.require_perm(ADD_POST));
        let personal = Router::new().route("/profile", get(profile::read).put(profile::write));
        self.auth
            .protect(personal)
            .route("/posts", publish.get(posts::list))
            .route("/posts/{id}", get(posts::read).delete(posts::withdraw))
            .with_state(self.clone())
            .merge(self.auth.router())
            .layer(self.auth.layer())
    }

    /// Grants the user with this email address the permission to publish; `false` if there is no such user.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn make_author(&self, email: &str) -> Result<bool, Box<dyn Error>> {
        let users = self.auth.users();
        let Some(user) = users.get_by_email(email).await? else { return Ok(false) };
        users.grant(user.id, &ADD_POST.parse()?).await?;
        Ok(true)
    }

    /// Serves until `stopped` completes, then finishes the running requests.
    ///
    /// # Errors
    /// If the listener fails.
    pub async fn serve(
        self,
        listener: TcpListener,
        stopped: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        // With the address of the client, which Doorwarden shows in the list of sessions.
        let service = self.router().into_make_service_with_connect_info::<SocketAddr>();
        axum::serve(listener, service).with_graceful_shutdown(stopped).await?;
        self.database.close().await;
        self.auth.close().await;
        Ok(())
    }
}
