//! The configuration: a TOML file, the environment over it, flags over both. The [sections] define every key:
//! description, syntax, and the field that it sets.

mod declared;
mod environment;
mod keys;
mod limits;
mod load;
mod mail;
mod passkeys;
mod sections;
mod shown;
mod special;
mod value;
mod webhooks;

pub(crate) use environment::Environment;
pub(crate) use keys::{keys, schema};
pub(crate) use limits::LimitStore;
pub(crate) use load::{Loaded, Source, secret_in};
pub(crate) use mail::{Mail, Mailing, is_local_host};
pub(crate) use passkeys::{NoPasskeys, Passkeys};
pub(crate) use webhooks::Webhooks;

use crate::failure::{Failure, Message};
use crate::output::tell;
use doorwarden::core::password::{Ceilings, HashSettings, Hasher, LeakedPasswords, PoolSettings};
use doorwarden::core::permission::Permission;
use doorwarden::{Actor, Builder, DatabaseUrl, Doorwarden, Field, HttpSettings, OldSecretKey, Settings};
use doorwarden_redis::RedisBuckets;
use doorwarden_webhook::HttpClient;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use zeroize::Zeroizing;

/// Everything that can be configured. Without `Debug`, because it holds secrets.
#[derive(Clone)]
pub(crate) struct Config {
    pub(crate) database_url: DatabaseUrl,
    pub(crate) listen: String,
    pub(crate) secret_key: Option<Zeroizing<String>>,
    pub(crate) old_secret_keys: Vec<(Zeroizing<String>, OldSecretKey)>,
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
    /// How long a connection stays open between requests.
    pub(crate) keep_alive: Duration,
    pub(crate) fields: Vec<Field>,
    pub(crate) permissions: Vec<(String, String)>,
    pub(crate) mail: Mail,
    pub(crate) passkeys: Passkeys,
    /// The file of breached passwords; `None`: only those in the program.
    pub(crate) breached_file: Option<String>,
    /// Whether leaked passwords are refused; `None`: see [`refuses_leaked`](Self::refuses_leaked).
    pub(crate) refuse_leaked: Option<bool>,
    pub(crate) webhooks: Webhooks,
    pub(crate) limit_store: LimitStore,
    /// How often the state of the audit log is signed.
    pub(crate) checkpoint_every: Option<Duration>,
    /// Where what was signed is written.
    pub(crate) checkpoint_dir: Option<String>,
    /// Warnings about probable mistakes.
    pub(crate) warnings: Vec<Message>,
}

/// The cost of new hashes.
#[derive(Clone, Copy)]
pub(crate) struct Argon2 {
    pub(crate) memory_kib: u32,
    pub(crate) iterations: u32,
    pub(crate) parallelism: u32,
}

impl Default for Argon2 {
    fn default() -> Self {
        let cost = HashSettings::default();
        Self { memory_kib: cost.memory_kib(), iterations: cost.iterations(), parallelism: cost.parallelism() }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            database_url: DatabaseUrl::default(),
            listen: "127.0.0.1:8000".to_owned(),
            secret_key: None,
            old_secret_keys: Vec::new(),
            issuer: None,
            settings: Settings::default(),
            http: HttpSettings::default(),
            argon2: Argon2::default(),
            ceilings: Ceilings::default(),
            pool: PoolSettings::default(),
            metrics_listen: Some("127.0.0.1:9464".to_owned()),
            log: "info".to_owned(),
            log_json: None,
            migrate: true,
            max_connections: 10_000,
            keep_alive: Duration::from_secs(75),
            fields: Vec::new(),
            permissions: Vec::new(),
            mail: Mail::default(),
            passkeys: Passkeys::default(),
            breached_file: None,
            refuse_leaked: None,
            webhooks: Webhooks::default(),
            limit_store: LimitStore::Database,
            checkpoint_every: Some(Duration::from_hours(1)),
            checkpoint_dir: None,
            warnings: Vec::new(),
        }
    }
}

impl Config {
    /// The library's builder for the service.
    pub(crate) fn builder(&self) -> Result<Builder, Failure> {
        let leaked = self.leaked_passwords()?;
        let builder = self.common_builder(leaked)?.hashing_pool(self.pool).migrate(self.migrate);
        let declare = |builder: Builder, (name, label): &(String, String)| builder.permission(name, label);
        Ok(self.permissions.iter().fold(builder, declare))
    }

    /// The library's builder for one command: it declares no permissions, does not migrate, starts no
    /// background tasks, and uses little memory.
    pub(crate) fn command_builder(&self) -> Result<Builder, Failure> {
        let mut pool = self.pool;
        pool.threads = 1;
        // Keys can be revoked, whatever became of this file.
        let leaked = self.leaked_passwords().unwrap_or_else(|failure| {
            tell(&format!("warning: {}", failure.message()));
            LeakedPasswords::default()
        });
        Ok(self
            .common_builder(leaked)?
            .hashing_pool(pool)
            .settings(|settings| {
                let live = &mut settings.live;
                (live.users, live.sessions, live.access_tokens) = (64, 64, 64);
            })
            .acting_as(Actor::Operator)
            .migrate(false)
            .background(false))
    }

    /// The password hasher.
    pub(crate) fn hasher(&self) -> Result<Hasher, Failure> {
        Hasher::new(self.hashing()?, self.ceilings).map_err(|error| Failure::config(error.to_string()))
    }

    fn hashing(&self) -> Result<HashSettings, Failure> {
        let Argon2 { memory_kib, iterations, parallelism } = self.argon2;
        HashSettings::new(memory_kib, iterations, parallelism)
            .map_err(|error| Failure::config(error.to_string()))
    }

    /// Whether new passwords that were leaked are refused. Who switches Django's common passwords off, as for
    /// the clients of an application that had no validators, need not switch these off, too.
    pub(crate) fn refuses_leaked(&self) -> bool {
        self.refuse_leaked.unwrap_or(self.settings.password_policy.common || self.breached_file.is_some())
    }

    /// The leaked passwords that are known.
    fn leaked_passwords(&self) -> Result<LeakedPasswords, Failure> {
        let Some(path) = &self.breached_file else { return Ok(LeakedPasswords::default()) };
        LeakedPasswords::open(path).map_err(|error| {
            Failure::config(format!("cannot use the breached passwords in `{path}`: {error}"))
                .hint("make the file with `doorwarden breached build`")
        })
    }

    fn common_builder(&self, leaked: LeakedPasswords) -> Result<Builder, Failure> {
        let hashing = self.hashing()?;
        let mut settings = self.named_settings();
        settings.password_policy.leaked = self.refuses_leaked();
        settings.password_policy.leaked_passwords = leaked;
        settings.factors.passkeys = self.relying_party()?.ok();
        settings.limits.is_shared = !matches!(self.limit_store, LimitStore::Memory);
        let mut builder = Doorwarden::builder()
            .database_url(self.database_url.as_str())
            .settings(|defaults| *defaults = settings)
            .http(|http| *http = self.http.clone())
            .hashing(hashing)
            .ceilings(self.ceilings)
            .webhook_client(HttpClient::new(self.webhooks.allow_private.iter().copied()));
        builder = self
            .webhooks
            .endpoints
            .iter()
            .fold(builder, |builder, endpoint| builder.webhook(endpoint.clone()));
        if let LimitStore::Redis(url) = &self.limit_store {
            builder = builder.limit_store(RedisBuckets::new(url));
        }
        if let Some(key) = &self.secret_key {
            builder = builder.secret_key(key.as_str());
        }
        for (key, good_for) in &self.old_secret_keys {
            builder = builder.old_secret_key(key.as_str(), *good_for);
        }
        Ok(self.fields.iter().fold(builder, |builder, field| builder.field(field.clone())))
    }

    /// The settings with the issuer.
    fn named_settings(&self) -> Settings {
        let mut settings = self.settings.clone();
        settings.access.issuer = self.issuer();
        settings
    }

    /// The service, as authenticators show it.
    fn service_name(&self) -> String {
        self.named_settings().service_name().to_owned()
    }

    /// `iss` of access tokens.
    fn issuer(&self) -> String {
        self.issuer.clone().unwrap_or_else(|| self.default_issuer())
    }

    /// `iss` of access tokens if none is set.
    pub(crate) fn default_issuer(&self) -> String {
        format!("http://{}", self.listen)
    }

    /// Whether the issuer is derived from `listen` although it may not be the URL by which other services or
    /// instances know this one.
    pub(crate) fn is_issuer_guessed(&self) -> bool {
        self.issuer.is_none() && (is_public(&self.listen) || self.sqlite_path().is_none())
    }

    /// The declared permissions.
    pub(crate) fn declared_permissions(&self) -> Result<Vec<Permission>, Failure> {
        let permission = |(name, label): &(String, String)| {
            let wrong = |error| Failure::config(format!("permissions.\"{name}\": {error}"));
            Ok(Permission { name: name.parse().map_err(wrong)?, label: label.clone() })
        };
        self.permissions.iter().map(permission).collect()
    }

    /// The default secret key file, beside the SQLite database.
    pub(crate) fn secret_path(&self) -> Option<PathBuf> {
        let mut path = self.sqlite_path()?.as_os_str().to_owned();
        path.push(".secret");
        Some(path.into())
    }

    /// The database file, if the database is SQLite.
    pub(crate) fn sqlite_path(&self) -> Option<&Path> {
        self.database_url.sqlite_path()
    }
}

/// Whether other hosts can reach this listening address.
pub(crate) fn is_public(listen: &str) -> bool {
    if let Ok(address) = listen.parse::<SocketAddr>() {
        return !is_loopback(address.ip());
    }
    let host = listen.rsplit_once(':').map_or(listen, |(host, _)| host);
    host != "localhost"
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_reaches_a_loopback_address() {
        for private in
            ["127.0.0.1:8000", "127.1.2.3:80", "[::1]:8000", "localhost:8000", "[::ffff:127.0.0.1]:1"]
        {
            assert!(!is_public(private), "{private}");
        }
        for public in ["0.0.0.0:8000", "[::]:8000", "10.0.0.1:80", "example.com:80"] {
            assert!(is_public(public), "{public}");
        }
    }
}
