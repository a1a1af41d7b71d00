//! The configuration: a TOML file, the environment over it, flags over both. One table of keys says everything: what there is, what it
//! is for, the default, and how it is set.

mod keys;
mod load;
mod value;

pub(crate) use keys::KEYS;
pub(crate) use load::{Loaded, Source};

use doorwarden::core::password::{Ceilings, PoolSettings};
use doorwarden::{Builder, Doorwarden, Field, HttpSettings, Settings};

/// Everything that can be configured.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) database_url: String,
    pub(crate) listen: String,
    pub(crate) secret_key: Option<String>,
    pub(crate) old_secret_keys: Vec<String>,
    /// `None`: follows from `listen`.
    pub(crate) issuer: Option<String>,
    pub(crate) settings: Settings,
    pub(crate) http: HttpSettings,
    pub(crate) argon2: Argon2,
    pub(crate) ceilings: Ceilings,
    pub(crate) pool: PoolSettings,
    pub(crate) metrics_listen: Option<String>,
    pub(crate) log: String,
    pub(crate) log_json: Option<bool>,
    pub(crate) migrate: bool,
    pub(crate) max_connections: usize,
    pub(crate) fields: Vec<Field>,
    pub(crate) permissions: Vec<(String, String)>,
}

/// The cost of new hashes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Argon2 {
    pub(crate) memory_kib: u32,
    pub(crate) iterations: u32,
    pub(crate) parallelism: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            database_url: "sqlite://doorwarden.db".to_owned(),
            listen: "127.0.0.1:8000".to_owned(),
            secret_key: None,
            old_secret_keys: Vec::new(),
            issuer: None,
            settings: Settings::default(),
            http: HttpSettings::default(),
            argon2: Argon2 { memory_kib: 19_456, iterations: 2, parallelism: 1 },
            ceilings: Ceilings::default(),
            pool: PoolSettings::default(),
            metrics_listen: Some("127.0.0.1:9464".to_owned()),
            log: "info".to_owned(),
            log_json: None,
            migrate: true,
            max_connections: 10_000,
            fields: Vec::new(),
            permissions: Vec::new(),
        }
    }
}

impl Config {
    /// The library's builder with all of this.
    pub(crate) fn builder(&self) -> Result<Builder, crate::failure::Failure> {
        let hashing = doorwarden::core::password::HashSettings::new(
            self.argon2.memory_kib,
            self.argon2.iterations,
            self.argon2.parallelism,
        )
        .map_err(|error| crate::failure::Failure::config(error.to_string()))?;
        let mut settings = self.settings.clone();
        settings.access.issuer = self.issuer.clone().unwrap_or_else(|| format!("http://{}", self.listen));
        let mut builder = Doorwarden::builder()
            .database_url(&self.database_url)
            .old_secret_keys(self.old_secret_keys.clone())
            .settings(|defaults| *defaults = settings)
            .http(|http| *http = self.http.clone())
            .hashing(hashing)
            .ceilings(self.ceilings)
            .pool(self.pool)
            .migrate(self.migrate);
        if let Some(key) = &self.secret_key {
            builder = builder.secret_key(key);
        }
        for field in &self.fields {
            builder = builder.field(field.clone());
        }
        for (name, label) in &self.permissions {
            builder = builder.permission(name, label);
        }
        Ok(builder)
    }
}
