use crate::Doorwarden;
use crate::database_url::{DatabaseUrl, DatabaseUrlError};
use crate::secret::{self, SecretKeyError};
use doorwarden_axum::settings::EndpointPathError;
use doorwarden_axum::{Auth, CorsSettings, Endpoint, HttpSettings};
use doorwarden_core::audit::seal::AuditVault;
use doorwarden_core::audit::{Actor, Origin};
use doorwarden_core::challenge::CodeKey;
use doorwarden_core::context::Context;
use doorwarden_core::courier::Courier;
use doorwarden_core::duties::Duties;
use doorwarden_core::factor::FactorVault;
use doorwarden_core::factor::ceremony::CeremonyKey;
use doorwarden_core::feed::RevocationFeed;
use doorwarden_core::field::{Field, FieldNameError, Fields};
use doorwarden_core::flow::seal_events::renew_audit_key;
use doorwarden_core::flow::webhooks::{DeclaredWebhook, WebhookError};
use doorwarden_core::flow::{factors, permissions, webhooks};
use doorwarden_core::hook::Hooks;
use doorwarden_core::keys::{KeyRing, KeysError};
use doorwarden_core::limit::{Limits, SharedBuckets};
use doorwarden_core::live::LiveView;
use doorwarden_core::mail::Mailer;
use doorwarden_core::outbox::Outbox;
use doorwarden_core::password::{Ceilings, HashPool, HashSettings, HashSettingsError, Hasher, PoolSettings};
use doorwarden_core::permission::{Permission, PermissionNameError};
use doorwarden_core::random::{RandomSource, SystemRandom};
use doorwarden_core::refusals::Refusals;
use doorwarden_core::settings::{
    AccessSettings, RetentionSettings, SessionSettings, Settings, WebhookSettings,
};
use doorwarden_core::store::{MigrateError, Store, StoreError};
use doorwarden_core::tally::Tally;
use doorwarden_core::tasks;
use doorwarden_core::time::{Clock, SystemClock};
use doorwarden_core::token::refresh::RefreshKeys;
use doorwarden_core::token::seal::Sealer;
use doorwarden_core::token::secret::{KeyTooShort, SecretKey};
use doorwarden_core::token::session::SessionTokenKeys;
use doorwarden_core::webhook::WebhookClient;
use doorwarden_postgres::OptionsError;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// Configures and opens a [`Doorwarden`]. Made by [`Doorwarden::builder`].
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
///
/// # Defaults
///
/// - Database: `sqlite://doorwarden.db`, created and migrated by [`build`](Self::build).
/// - Secret key: a file beside the SQLite database, created if it is missing. PostgreSQL needs
///   [`secret_key`](Self::secret_key).
/// - Sessions: 60 days, at most 100 for each user ([`SessionSettings`]).
/// - Token pairs: access tokens of 5 minutes, signed with ES256; refresh tokens that are refused after 14
///   days without use, in sessions of 30 days ([`AccessSettings`], [`KeySettings`](crate::KeySettings)).
/// - Passwords: Argon2id with 19,456 KiB and two passes ([`HashSettings`]); at least 8 characters,
///   Django's other validators, and none of the 100,000 most common leaked ones
///   ([`PasswordPolicy`](crate::PasswordPolicy)); one hashing thread for each core
///   ([`PoolSettings`]).
/// - HTTP: every endpoint at its [default path](Endpoint::default_path), no CORS, no trusted proxies
///   ([`HttpSettings`]).
#[derive(Debug)]
pub struct Builder {
    database_url: String,
    secret_key: Option<String>,
    old_secret_keys: Vec<(String, OldSecretKey)>,
    without_keys: bool,
    settings: Settings,
    http: HttpSettings,
    hashing: HashSettings,
    ceilings: Ceilings,
    hashing_pool: PoolSettings,
    permissions: Vec<(String, String)>,
    fields: Vec<Field>,
    hooks: Vec<Arc<dyn Hooks>>,
    migrate: bool,
    background: bool,
    origin: Origin,
    clock: Arc<dyn Clock>,
    random: Arc<dyn RandomSource>,
    mailer: Option<Arc<dyn Mailer>>,
    webhook_client: Option<Arc<dyn WebhookClient>>,
    webhooks: Vec<DeclaredWebhook>,
    limit_store: Option<Arc<dyn SharedBuckets>>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            database_url: "sqlite://doorwarden.db".to_owned(),
            secret_key: None,
            old_secret_keys: Vec::new(),
            without_keys: false,
            settings: Settings::default(),
            http: HttpSettings::default(),
            hashing: HashSettings::default(),
            ceilings: Ceilings::default(),
            hashing_pool: PoolSettings::default(),
            permissions: Vec::new(),
            fields: Vec::new(),
            hooks: Vec::new(),
            migrate: true,
            background: true,
            origin: Actor::Application.into(),
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
            mailer: None,
            webhook_client: None,
            webhooks: Vec::new(),
            limit_store: None,
        }
    }
}

/// # Database
impl Builder {
    /// The database: `sqlite://PATH`, which is created if it is missing, or
    /// `postgres://USER:PASSWORD@HOST/DATABASE`; see [`DatabaseUrl`]. By default `sqlite://doorwarden.db`.
    #[must_use]
    pub fn database_url(mut self, url: impl Into<String>) -> Self {
        self.database_url = url.into();
        self
    }

    /// Whether [`build`](Self::build) applies pending migrations; by default `true`. If `false`, pending
    /// migrations are [`BuildError::Pending`].
    #[must_use]
    pub fn migrate(mut self, migrate: bool) -> Self {
        self.migrate = migrate;
        self
    }

    /// The database alone, without migrations and background tasks, for programs that administer it. An
    /// SQLite file is created if it is missing.
    ///
    /// # Errors
    /// The URL is not valid, or the database cannot be opened.
    pub fn open_store(&self) -> Result<Arc<dyn Store>, BuildError> {
        self.database_url.parse::<DatabaseUrl>()?.open()
    }
}

/// # Secret key
impl Builder {
    /// The secret key, at least 32 bytes. HS256 uses it as it is, so that it can be Django's `SECRET_KEY`;
    /// everything else derives a key of its own from it. With SQLite it is created beside the database if it
    /// is not given; PostgreSQL needs one.
    #[must_use]
    pub fn secret_key(mut self, key: impl Into<String>) -> Self {
        self.secret_key = Some(key.into());
        self
    }

    /// Previous secret keys whose tokens are still accepted: Django's `SECRET_KEY_FALLBACKS`. They also open
    /// signing keys that were sealed under them, which are then sealed again under the secret key.
    #[must_use]
    pub fn old_secret_keys(mut self, keys: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.old_secret_keys = keys.into_iter().map(|key| (key.into(), OldSecretKey::Everything)).collect();
        self
    }

    /// One more previous secret key, and what it may still be used for.
    #[must_use]
    pub fn old_secret_key(mut self, key: impl Into<String>, good_for: OldSecretKey) -> Self {
        self.old_secret_keys.push((key.into(), good_for));
        self
    }

    /// For programs that neither issue nor verify tokens, such as one that lists users: no secret key is
    /// needed, read or created, and the signing keys are only read. A token that is issued nevertheless is
    /// accepted nowhere.
    #[must_use]
    pub fn without_keys(mut self) -> Self {
        self.without_keys = true;
        self
    }
}

/// # Accounts and tokens
impl Builder {
    /// Changes [`Settings`] of accounts and tokens in place.
    #[must_use]
    pub fn settings(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    /// Declares a field of registration and profile, which is stored in `metadata`.
    #[must_use]
    pub fn field(mut self, field: Field) -> Self {
        self.fields.push(field);
        self
    }

    /// Declares a permission (`app_label.codename`) with a label for people. [`build`](Self::build) writes it
    /// to the database.
    #[must_use]
    pub fn permission(mut self, name: impl Into<String>, label: impl Into<String>) -> Self {
        self.permissions.push((name.into(), label.into()));
        self
    }

    /// Adds hooks of the application. They run in the order in which they were added.
    #[must_use]
    pub fn hook(mut self, hook: impl Hooks) -> Self {
        self.hooks.push(Arc::new(hook));
        self
    }
}

/// # Password hashing
impl Builder {
    /// The cost of new password hashes.
    #[must_use]
    pub fn hashing(mut self, settings: HashSettings) -> Self {
        self.hashing = settings;
        self
    }

    /// The highest cost at which stored password hashes are still verified.
    #[must_use]
    pub fn ceilings(mut self, ceilings: Ceilings) -> Self {
        self.ceilings = ceilings;
        self
    }

    /// How many threads hash passwords, and how long a login may wait for one.
    #[must_use]
    pub fn hashing_pool(mut self, settings: PoolSettings) -> Self {
        self.hashing_pool = settings;
        self
    }
}

/// # HTTP
impl Builder {
    /// Changes [`HttpSettings`] in place.
    #[must_use]
    pub fn http(mut self, change: impl FnOnce(&mut HttpSettings)) -> Self {
        change(&mut self.http);
        self
    }

    /// Moves an endpoint to a path, such as `/api/login`. [`build`](Self::build) refuses a path that cannot
    /// be served.
    #[must_use]
    pub fn endpoint_at(mut self, endpoint: Endpoint, path: impl Into<String>) -> Self {
        self.http.endpoints.insert(endpoint, Some(path.into()));
        self
    }

    /// Leaves an endpoint out of the router, to omit it or to serve an endpoint of your own in its place.
    #[must_use]
    pub fn without(mut self, endpoint: Endpoint) -> Self {
        self.http.endpoints.insert(endpoint, None);
        self
    }

    /// Lets pages of these origins (`https://app.example.com`) call the endpoints.
    #[must_use]
    pub fn cors(mut self, settings: CorsSettings) -> Self {
        self.http.cors = Some(settings);
        self
    }
}

/// # Environment
impl Builder {
    /// Whether background tasks run; by default `true`. They follow the change feed, without which every
    /// lookup reads the database, delete expired rows, and rotate signing keys. Disable them in programs that
    /// do one thing and exit.
    #[must_use]
    pub fn background(mut self, background: bool) -> Self {
        self.background = background;
        self
    }

    /// The actor to whom the audit log attributes changes that the program itself makes. By default
    /// [`Actor::Application`]. See [`Doorwarden::acting_as`].
    #[must_use]
    pub fn acting_as(mut self, origin: impl Into<Origin>) -> Self {
        self.origin = origin.into();
        self
    }

    /// A clock other than the system's, for tests.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// A source of randomness other than the system's, for tests.
    #[must_use]
    pub fn random(mut self, random: impl RandomSource) -> Self {
        self.random = Arc::new(random);
        self
    }

    /// What delivers mails. By default nothing is mailed, and what needs a mail (a login by link, a new
    /// password for whoever has forgotten theirs) is refused.
    #[must_use]
    pub fn mailer(mut self, mailer: impl Mailer) -> Self {
        self.mailer = Some(Arc::new(mailer));
        self
    }

    /// Where instances count together what comes from an address. By default in the database if that is
    /// PostgreSQL, and otherwise each in its memory.
    #[must_use]
    pub fn limit_store(mut self, store: impl SharedBuckets) -> Self {
        self.limit_store = Some(Arc::new(store));
        self
    }
}

/// # Webhooks
impl Builder {
    /// What sends webhooks: events that are reported to other services. By default this instance sends none.
    #[must_use]
    pub fn webhook_client(mut self, client: impl WebhookClient) -> Self {
        self.webhook_client = Some(Arc::new(client));
        self
    }

    /// Declares an endpoint of webhooks. [`build`](Self::build) writes it to the database, if there is a
    /// [client](Self::webhook_client) and [background tasks](Self::background) run; an endpoint that was
    /// declared before and is no longer is disabled. See also [`Doorwarden::webhooks`].
    #[must_use]
    pub fn webhook(mut self, webhook: DeclaredWebhook) -> Self {
        self.webhooks.push(webhook);
        self
    }
}

/// # Build
impl Builder {
    /// Opens the database, creates the first signing key if there is none, and starts the hashing pool and
    /// the background tasks.
    ///
    /// # Errors
    /// A setting is not valid, or the database, the secret key file or the signing keys cannot be used. In
    /// that case no thread or task keeps running.
    pub async fn build(self) -> Result<Doorwarden, BuildError> {
        let fields = Fields::new(self.fields)?;
        let permissions = self
            .permissions
            .into_iter()
            .map(|(name, label)| Ok(Permission { name: name.parse()?, label }))
            .collect::<Result<Vec<_>, PermissionNameError>>()?;
        self.http.check_paths()?;
        let hasher = Hasher::new(self.hashing, self.ceilings)?;
        if self.settings.access.lifetime > AccessSettings::MAX_LIFETIME {
            return Err(BuildError::AccessLifetime);
        }
        if self.settings.session.idle.is_some_and(|idle| idle < SessionSettings::MIN_IDLE) {
            return Err(BuildError::Idle);
        }
        let clients = self.settings.retention.client_information;
        if clients.is_some_and(|kept| kept < RetentionSettings::MIN_CLIENT_INFORMATION) {
            return Err(BuildError::ClientInformation);
        }
        if self.settings.webhooks.keep < WebhookSettings::MIN_KEEP {
            return Err(BuildError::KeepWebhooks);
        }
        if self.settings.retention.events.is_some_and(|kept| kept < RetentionSettings::MIN_EVENTS) {
            return Err(BuildError::Events);
        }
        if self.settings.password_history > Settings::MAX_PASSWORD_HISTORY {
            return Err(BuildError::PasswordHistory);
        }
        let access = &self.settings.access;
        if access.every_audience().any(|name| name.is_empty() || name.contains(char::is_whitespace)) {
            return Err(BuildError::Audience);
        }
        if self.settings.keys.algorithms.is_empty() {
            return Err(BuildError::NoAlgorithm);
        }

        let url: DatabaseUrl = self.database_url.parse()?;
        if self.secret_key.is_none() && url.sqlite_path().is_none() && !self.without_keys {
            return Err(BuildError::NoSecretKey);
        }
        let given = self.secret_key.map(SecretKey::new).transpose()?;
        let old = OldSecretKeys::new(self.old_secret_keys)?;

        let store = url.open()?;
        if self.migrate {
            store.migrate().await?;
        } else {
            match store.pending_migrations().await?.len() {
                0 => {}
                count => return Err(BuildError::Pending(count)),
            }
        }
        if !permissions.is_empty() {
            let (at, origin) = (self.clock.now(), &self.origin);
            permissions::declare_permissions(store.as_ref(), &permissions, at, origin).await?;
        }
        let (now, random) = (self.clock.now(), self.random.as_ref());
        let secret = match (given, url.sqlite_path()) {
            (Some(given), _) => given,
            (None, Some(path)) if !self.without_keys => secret::beside(path, store.as_ref(), random).await?,
            (None, _) => secret::passing(random),
        };
        let keys = if self.without_keys {
            KeyRing::closed(store.as_ref(), &self.settings, now).await?
        } else {
            let sealer = Sealer::new(&secret, &old.open_keys);
            KeyRing::open(store.as_ref(), sealer, &self.settings, now, random, self.background).await?
        };
        let pool = HashPool::start(self.hashing_pool, hasher, self.random.bytes())?;
        let context = Arc::new(Context {
            limits: Limits::new(
                &self.settings.limits,
                &secret,
                &old.verify_tokens,
                match self.limit_store {
                    None if self.settings.limits.is_shared => Arc::clone(&store).shared_buckets(),
                    given => given,
                },
                self.random.as_ref(),
            ),
            live: match self.background {
                true => LiveView::start(&store, self.clock.clone(), self.settings.live),
                false => LiveView::detached(&store, self.clock.clone(), self.settings.live),
            },
            store,
            pool,
            session_keys: SessionTokenKeys::new(&secret, &old.verify_tokens),
            refresh_keys: RefreshKeys::new(&secret, &old.verify_tokens),
            keys,
            feed: RevocationFeed::default(),
            duties: Duties::default(),
            link_page: link_page(&self.settings, &self.http),
            outbox: Outbox::new(self.mailer, &secret, &old.open_keys),
            courier: Courier::new(self.webhook_client, &secret, &old.open_keys),
            codes: CodeKey::new(&secret),
            factors: FactorVault::new(&secret, &old.open_keys),
            ceremonies: CeremonyKey::new(&secret),
            audit: AuditVault::new(&secret, &old.open_keys),
            refusals: Refusals::default(),
            tally: Tally::default(),
            clock: self.clock,
            random: self.random,
            hooks: self.hooks,
            fields,
            settings: self.settings,
        });
        if !self.without_keys {
            factors::reseal_factors(&context).await?;
            webhooks::reseal_webhooks(&context).await?;
            if self.background && context.courier.client().is_some() {
                webhooks::declare_webhooks(&context, &self.webhooks, &self.origin).await?;
            }
        }
        if self.background {
            tasks::start(&context, !self.without_keys);
        }
        Ok(Doorwarden { auth: Auth::new(context, self.http), origin: self.origin })
    }

    /// Revokes everything that depends on a leaked or lost secret key: all signing keys, sessions and tokens.
    /// Then creates signing keys under [`secret_key`](Self::secret_key), which must be a new one. If none is
    /// given, the secret key file beside the SQLite database is replaced by a new one.
    ///
    /// # Errors
    /// [`BuildError`], as for [`build`](Self::build). Some keys and sessions may have been revoked already;
    /// the call can be repeated.
    pub async fn revoke_secret_key(self) -> Result<SecretKeyRevoked, BuildError> {
        let url: DatabaseUrl = self.database_url.parse()?;
        let file = match (&self.secret_key, url.sqlite_path()) {
            (None, None) => return Err(BuildError::NoSecretKey),
            (None, Some(path)) => Some(secret::path_beside(path)),
            (Some(_), _) => None,
        };
        let random = Arc::clone(&self.random);
        let (secret_key, old_secret_keys) = (self.secret_key.clone(), self.old_secret_keys.clone());
        let (settings, clock) = (self.settings.clone(), Arc::clone(&self.clock));
        let closed = Self { without_keys: true, background: false, ..self }.build().await?;
        let keys = closed.keys().revoke_all().await?;
        let users = closed.users().sign_out_everybody().await?.users;
        if let Some(file) = &file {
            secret::renew(file, random.as_ref())?;
        }
        let store = &closed.auth().context().store;
        let secret = match (secret_key, url.sqlite_path()) {
            (None, Some(path)) => secret::beside(path, store.as_ref(), random.as_ref()).await?,
            (given, _) => SecretKey::new(given.unwrap_or_default())?,
        };
        let old = OldSecretKeys::new(old_secret_keys)?;
        let sealer = Sealer::new(&secret, &old.open_keys);
        KeyRing::open(store.as_ref(), sealer, &settings, clock.now(), random.as_ref(), true).await?;
        let vault = AuditVault::new(&secret, &old.open_keys);
        renew_audit_key(store.as_ref(), &vault, clock.now(), random.as_ref()).await?;
        closed.close().await;
        Ok(SecretKeyRevoked { keys, users, file })
    }
}

/// The URL of the page of mailed links. An application that leaves the endpoint out serves a page of its own
/// there.
fn link_page(settings: &Settings, http: &HttpSettings) -> String {
    let path = http.path(Endpoint::Link).unwrap_or(Endpoint::Link.default_path());
    format!("{}{path}", settings.access.issuer.trim_end_matches('/'))
}

/// What [`Builder::revoke_secret_key`] revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SecretKeyRevoked {
    /// How many signing keys were revoked.
    pub keys: u64,
    /// How many users were signed out.
    pub users: u64,
    /// The file with the new secret key, if it was created.
    pub file: Option<PathBuf>,
}

/// What a previous secret key may still be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OldSecretKey {
    /// It verifies tokens and opens signing keys.
    Everything,
    /// It opens signing keys; tokens that it signed are refused.
    OpensKeys,
    /// It verifies tokens; it does not open signing keys.
    VerifiesTokens,
}

struct OldSecretKeys {
    open_keys: Vec<SecretKey>,
    verify_tokens: Vec<SecretKey>,
}

impl OldSecretKeys {
    fn new(keys: Vec<(String, OldSecretKey)>) -> Result<Self, KeyTooShort> {
        let mut old = Self { open_keys: Vec::new(), verify_tokens: Vec::new() };
        for (key, good_for) in keys {
            let key = SecretKey::new(key)?;
            if good_for != OldSecretKey::VerifiesTokens {
                old.open_keys.push(key.clone());
            }
            if good_for != OldSecretKey::OpensKeys {
                old.verify_tokens.push(key);
            }
        }
        Ok(old)
    }
}

/// An error with its hint, for programs that print the error and nothing else.
fn advised(error: &impl fmt::Display, hint: Option<impl fmt::Display>) -> String {
    match hint {
        Some(hint) => format!("{error}. hint: {hint}"),
        None => error.to_string(),
    }
}

/// Doorwarden could not be built. Its text contains the hint of its cause.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The database URL is not valid.
    #[error("{}", advised(.0, .0.hint()))]
    DatabaseUrl(#[from] DatabaseUrlError),
    /// The options in the PostgreSQL URL are not valid.
    #[error("{}", advised(.0, .0.hint()))]
    Postgres(#[from] OptionsError),
    /// PostgreSQL without a secret key.
    #[error("PostgreSQL needs a secret key, which all instances must share")]
    NoSecretKey,
    /// The secret key is too short.
    #[error(transparent)]
    SecretKeyTooShort(#[from] KeyTooShort),
    /// The secret key file cannot be used.
    #[error("{}", advised(.0, .0.hint()))]
    SecretKey(#[from] SecretKeyError),
    /// The signing keys cannot be used.
    #[error("{}", advised(.0, .0.hint()))]
    Keys(#[from] KeysError),
    /// No algorithm for signing keys was given.
    #[error("signing keys need at least one algorithm")]
    NoAlgorithm,
    /// The lifetime of access tokens is too long.
    #[error("the lifetime of access tokens must be at most {} s", AccessSettings::MAX_LIFETIME.as_secs())]
    AccessLifetime,
    /// The issuer, an audience or a resource is empty or contains whitespace.
    #[error("issuer, audiences and resources must not be empty or contain whitespace")]
    Audience,
    /// The idle time of sessions is so short that sessions in use would end.
    #[error("the idle time of a session must be at least {} s", SessionSettings::MIN_IDLE.as_secs())]
    Idle,
    /// Client addresses and user agents are to be kept for too short a time.
    #[error(
        "the retention of client information must be at least {} s",
        RetentionSettings::MIN_CLIENT_INFORMATION.as_secs()
    )]
    ClientInformation,
    /// Events are to be kept for too short a time.
    #[error("the retention of events must be at least {} s", RetentionSettings::MIN_EVENTS.as_secs())]
    Events,
    /// Too many earlier passwords are to be remembered.
    #[error("at most {} earlier passwords can be remembered", Settings::MAX_PASSWORD_HISTORY)]
    PasswordHistory,
    /// Webhooks are to be kept for too short a time.
    #[error("webhooks must be kept for at least {} days", WebhookSettings::MIN_KEEP.as_secs() / 86_400)]
    KeepWebhooks,
    /// A declared endpoint of webhooks cannot be used.
    #[error(transparent)]
    Webhook(#[from] WebhookError),
    /// The database cannot be used.
    #[error("{}", advised(.0, .0.hint()))]
    Store(#[from] StoreError),
    /// A migration failed.
    #[error("{}", advised(.0, .0.hint()))]
    Migrate(#[from] MigrateError),
    /// Migrations are pending, and [`Builder::migrate`] is `false`.
    #[error("the database is not up to date: {0} migrations are pending")]
    Pending(usize),
    /// The name of a field is not valid.
    #[error(transparent)]
    FieldName(#[from] FieldNameError),
    /// The path of an endpoint is not valid.
    #[error(transparent)]
    EndpointPath(#[from] EndpointPathError),
    /// The name of a permission is not `app_label.codename`.
    #[error(transparent)]
    PermissionName(#[from] PermissionNameError),
    /// The cost of new password hashes is too low, or higher than the ceilings.
    #[error(transparent)]
    Hashing(#[from] HashSettingsError),
    /// The hashing threads could not be started.
    #[error("the hashing threads could not be started: {0}")]
    Threads(#[from] std::io::Error),
}
