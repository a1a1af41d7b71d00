use crate::Doorwarden;
use crate::secret::{self, SecretKeyError};
use doorwarden_axum::{Auth, CorsSettings, Endpoint, HttpSettings};
use doorwarden_core::context::Context;
use doorwarden_core::feed::RevocationFeed;
use doorwarden_core::field::{Field, FieldNameError, Fields};
use doorwarden_core::hook::Hooks;
use doorwarden_core::keys::{KeyRing, KeysError};
use doorwarden_core::live::LiveView;
use doorwarden_core::password::{Ceilings, HashPool, HashSettings, HashSettingsError, Hasher, PoolSettings};
use doorwarden_core::permission::{Permission, PermissionNameError};
use doorwarden_core::random::{RandomSource, SystemRandom};
use doorwarden_core::settings::{AccessSettings, Settings};
use doorwarden_core::store::{MigrateError, Store, StoreError};
use doorwarden_core::time::{Clock, SystemClock};
use doorwarden_core::token::refresh::RefreshKeys;
use doorwarden_core::token::seal::Sealer;
use doorwarden_core::token::secret::{KeyTooShort, SecretKey};
use doorwarden_core::token::session::SessionTokenKeys;
use doorwarden_postgres::{OptionsError, PostgresOptions, PostgresStore};
use doorwarden_sqlite::{SqliteOptions, SqliteStore};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What can be decided before the start. Made by [`Doorwarden::builder`].
///
/// ```no_run
/// # async fn run() -> Result<(), doorwarden::BuildError> {
/// use doorwarden::{Doorwarden, Endpoint, Field};
/// use std::time::Duration;
///
/// let auth = Doorwarden::builder()
///     .database_url("postgres://app:password@db.example.com/app")
///     .secret_key(std::env::var("SECRET_KEY").unwrap_or_default())
///     .settings(|settings| settings.session.lifetime = Duration::from_secs(14 * 24 * 3600))
///     .field(Field::text("display_name", 80).required())
///     .permission("blog.add_post", "Can add post")
///     .endpoint_at(Endpoint::Login, "/api/login")
///     .without(Endpoint::Docs)
///     .build()
///     .await?;
/// # drop(auth);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Builder {
    database_url: String,
    secret_key: Option<String>,
    old_secret_keys: Vec<String>,
    settings: Settings,
    http: HttpSettings,
    hashing: HashSettings,
    ceilings: Ceilings,
    pool: PoolSettings,
    permissions: Vec<(String, String)>,
    fields: Vec<Field>,
    hooks: Vec<Arc<dyn Hooks>>,
    migrate: bool,
    background: bool,
    clock: Arc<dyn Clock>,
    random: Arc<dyn RandomSource>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            database_url: "sqlite://doorwarden.db".to_owned(),
            secret_key: None,
            old_secret_keys: Vec::new(),
            settings: Settings::default(),
            http: HttpSettings::default(),
            hashing: HashSettings::default(),
            ceilings: Ceilings::default(),
            pool: PoolSettings::default(),
            permissions: Vec::new(),
            fields: Vec::new(),
            hooks: Vec::new(),
            migrate: true,
            background: true,
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
        }
    }
}

impl Builder {
    /// Where the accounts lie: `sqlite://PATH` (created if it is missing; the default is `sqlite://doorwarden.db`) or
    /// `postgres://USER:PASSWORD@HOST/DATABASE`.
    #[must_use]
    pub fn database_url(mut self, url: impl Into<String>) -> Self {
        self.database_url = url.into();
        self
    }

    /// The secret key, at least 32 bytes. HS256 uses it as it is, so that it can be Django's `SECRET_KEY`; everything else
    /// derives a key of its own from it. With SQLite it is created beside the database if it is not given; PostgreSQL needs one.
    #[must_use]
    pub fn secret_key(mut self, key: impl Into<String>) -> Self {
        self.secret_key = Some(key.into());
        self
    }

    /// Secret keys of before, whose tokens are still accepted: Django's `SECRET_KEY_FALLBACKS`. They also open the signing keys that
    /// were sealed under them, so keep one until the signing keys of its time are gone.
    #[must_use]
    pub fn old_secret_keys(mut self, keys: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.old_secret_keys = keys.into_iter().map(Into::into).collect();
        self
    }

    /// Changes decisions about accounts and tokens.
    #[must_use]
    pub fn settings(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    /// Changes decisions about the HTTP interface.
    #[must_use]
    pub fn http(mut self, change: impl FnOnce(&mut HttpSettings)) -> Self {
        change(&mut self.http);
        self
    }

    /// Leaves an endpoint out of the router, for good or to put an own one in its place.
    #[must_use]
    pub fn without(mut self, endpoint: Endpoint) -> Self {
        self.http.endpoints.insert(endpoint, None);
        self
    }

    /// Moves an endpoint.
    #[must_use]
    pub fn endpoint_at(mut self, endpoint: Endpoint, path: impl Into<String>) -> Self {
        self.http.endpoints.insert(endpoint, Some(path.into()));
        self
    }

    /// Lets browsers call from these origins (`https://app.example.com`).
    #[must_use]
    pub fn cors(mut self, settings: CorsSettings) -> Self {
        self.http.cors = Some(settings);
        self
    }

    /// Declares a field of registration and profile, stored in `metadata`.
    #[must_use]
    pub fn field(mut self, field: Field) -> Self {
        self.fields.push(field);
        self
    }

    /// Declares a permission (`app_label.codename`) with a human name; written to the database at the start.
    #[must_use]
    pub fn permission(mut self, name: impl Into<String>, label: impl Into<String>) -> Self {
        self.permissions.push((name.into(), label.into()));
        self
    }

    /// Adds code of the application.
    #[must_use]
    pub fn hook(mut self, hook: impl Hooks) -> Self {
        self.hooks.push(Arc::new(hook));
        self
    }

    /// How new passwords are hashed.
    #[must_use]
    pub fn hashing(mut self, settings: HashSettings) -> Self {
        self.hashing = settings;
        self
    }

    /// What stored hashes may cost.
    #[must_use]
    pub fn ceilings(mut self, ceilings: Ceilings) -> Self {
        self.ceilings = ceilings;
        self
    }

    /// How much of the machine passwords may take.
    #[must_use]
    pub fn pool(mut self, settings: PoolSettings) -> Self {
        self.pool = settings;
        self
    }

    /// Whether to bring the schema up to date at the start. By default yes. If not, [`build`](Self::build) refuses a database
    /// that is not up to date.
    #[must_use]
    pub fn migrate(mut self, migrate: bool) -> Self {
        self.migrate = migrate;
        self
    }

    /// Whether anything works in the background: the change feed, without which every look-up reads the database, the janitor, and the
    /// calendar of the signing keys. By default yes; no is for programs that do one thing and end.
    #[must_use]
    pub fn background(mut self, background: bool) -> Self {
        self.background = background;
        self
    }

    /// Another clock, for tests.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Another source of randomness, for tests.
    #[must_use]
    pub fn random(mut self, random: impl RandomSource) -> Self {
        self.random = Arc::new(random);
        self
    }

    /// The database alone: nothing is migrated, and nothing of Doorwarden works in the background. For programs that look
    /// after a database. SQLite's file is created if it is missing.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn open_store(&self) -> Result<Arc<dyn Store>, BuildError> {
        self.database_url.parse::<DatabaseUrl>()?.open()
    }

    /// Opens the database, makes the first signing key if there is none, and starts what works in the background: hashing
    /// threads, the change feed, the janitor, the calendar of the signing keys.
    ///
    /// # Errors
    /// [`BuildError`]; nothing keeps running then.
    pub async fn build(self) -> Result<Doorwarden, BuildError> {
        let fields = Fields::new(self.fields)?;
        let permissions = self
            .permissions
            .into_iter()
            .map(|(name, label)| Ok(Permission { name: name.parse()?, label }))
            .collect::<Result<Vec<_>, PermissionNameError>>()?;
        let hasher = Hasher::new(self.hashing, self.ceilings)?;
        if self.settings.access.lifetime > AccessSettings::MAX_LIFETIME {
            return Err(BuildError::AccessLifetime);
        }

        let url: DatabaseUrl = self.database_url.parse()?;
        let given = self.secret_key.map(SecretKey::new).transpose()?;
        let old = self.old_secret_keys.into_iter().map(SecretKey::new).collect::<Result<Vec<_>, _>>()?;
        if given.is_none() && matches!(url, DatabaseUrl::Postgres(_)) {
            return Err(BuildError::NoSecretKey);
        }
        // Before a secret is made: beside another program's database there is none.
        let store = url.open()?;
        let secret = match (given, &url) {
            (Some(key), _) => key,
            (None, DatabaseUrl::Sqlite(path)) => secret::beside(path, self.random.as_ref())?,
            (None, DatabaseUrl::Postgres(_)) => return Err(BuildError::NoSecretKey),
        };
        if self.migrate {
            store.migrate().await?;
        } else {
            match store.pending_migrations().await?.len() {
                0 => {}
                count => return Err(BuildError::Pending(count)),
            }
        }
        if !permissions.is_empty() {
            store.declare_permissions(&permissions).await?;
        }
        let (now, random) = (self.clock.now(), self.random.as_ref());
        let sealer = Sealer::new(&secret, &old);
        let keys = KeyRing::open(store.as_ref(), sealer, &self.settings, now, random).await?;
        let pool = HashPool::start(self.pool, hasher, self.random.bytes())?;
        let context = Arc::new(Context {
            live: match self.background {
                true => LiveView::start(&store, self.clock.clone(), self.settings.live),
                false => LiveView::detached(&store, self.clock.clone(), self.settings.live),
            },
            store,
            pool,
            session_keys: SessionTokenKeys::new(&secret, &old),
            refresh_keys: RefreshKeys::new(&secret, &old),
            keys,
            feed: RevocationFeed::default(),
            clock: self.clock,
            random: self.random,
            hooks: self.hooks,
            fields,
            settings: self.settings,
        });
        if self.background {
            tokio::spawn(doorwarden_core::janitor::run(Arc::downgrade(&context)));
            tokio::spawn(doorwarden_core::keys::rotation::run(Arc::downgrade(&context)));
        }
        Ok(Doorwarden { auth: Auth::new(context, self.http) })
    }
}

/// Where the accounts lie.
#[derive(Debug, Clone, PartialEq, Eq)]
enum DatabaseUrl {
    Sqlite(PathBuf),
    Postgres(String),
}

impl std::str::FromStr for DatabaseUrl {
    type Err = BuildError;

    fn from_str(url: &str) -> Result<Self, BuildError> {
        if let Some(path) = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:"))
            && !path.is_empty()
        {
            return Ok(Self::Sqlite(Path::new(path).to_owned()));
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(Self::Postgres(url.to_owned()));
        }
        Err(BuildError::DatabaseUrl)
    }
}

impl DatabaseUrl {
    fn open(&self) -> Result<Arc<dyn Store>, BuildError> {
        Ok(match self {
            Self::Sqlite(path) => Arc::new(SqliteStore::open(&SqliteOptions::new(path))?),
            Self::Postgres(url) => Arc::new(PostgresStore::connect(&PostgresOptions::new(url))?),
        })
    }
}

/// Doorwarden could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The address of the database is none of `sqlite://…` and `postgres://…`.
    #[error("the database URL must begin with sqlite:// and a path, or with postgres://")]
    DatabaseUrl,
    /// The address of the PostgreSQL database cannot be understood.
    #[error(transparent)]
    Postgres(#[from] OptionsError),
    /// PostgreSQL without a secret key.
    #[error("with PostgreSQL a secret key must be given, because several instances must share it")]
    NoSecretKey,
    /// The secret key is too short.
    #[error(transparent)]
    SecretKeyTooShort(#[from] KeyTooShort),
    /// The file with the secret key cannot be used.
    #[error(transparent)]
    SecretKey(#[from] SecretKeyError),
    /// The signing keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// Access tokens would live longer than is safe.
    #[error("access tokens may live at most {} s", AccessSettings::MAX_LIFETIME.as_secs())]
    AccessLifetime,
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The schema cannot be brought up to date.
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    /// The schema is not up to date, and was not to be brought there.
    #[error("the database is not up to date (migrations to be run: {0})")]
    Pending(usize),
    /// A field is declared under a name that it cannot have.
    #[error(transparent)]
    FieldName(#[from] FieldNameError),
    /// A permission is not named `app_label.codename`.
    #[error(transparent)]
    PermissionName(#[from] PermissionNameError),
    /// The cost of hashing is below the floors, or above the ceilings.
    #[error(transparent)]
    Hashing(#[from] HashSettingsError),
    /// The system gives no threads.
    #[error("the hashing threads could not be started: {0}")]
    Threads(#[from] std::io::Error),
}
