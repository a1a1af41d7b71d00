use super::Config;
use super::value::{address, boolean, duration, duration_within, instant, list, number, optional_duration};
use doorwarden::core::settings::{PasswordChangeEnds, SessionSettings, WithoutSession};
use doorwarden::core::token::Algorithm;
use doorwarden::{CorsSettings, DatabaseUrlError, Endpoint, OauthClients, OldSecretKey};
use zeroize::Zeroizing;

/// A key of the configuration.
pub(crate) struct Key {
    /// Its name in the file: a table and a name, or a name alone.
    pub(crate) name: &'static str,
    /// The default, as it would be written.
    pub(crate) default: &'static str,
    /// What it is for.
    pub(crate) help: &'static str,
    /// Whether its value must never be shown.
    pub(crate) secret: bool,
    /// Sets it, or says what is wrong with the value.
    pub(crate) set: fn(&mut Config, &str) -> Result<(), String>,
}

impl Key {
    /// Its name in the environment.
    pub(crate) fn variable(&self) -> String {
        format!("DOORWARDEN_{}", self.name.replace('.', "_").to_ascii_uppercase())
    }
}

/// `#[secret]` marks a key whose value must never be shown.
macro_rules! keys {
    (@secret secret) => { true };
    (@secret) => { false };
    ($($(#[$secret:ident])? $name:literal = $default:literal, $help:literal, $set:expr;)+) => {
        /// Every key, in the order of the reference.
        pub(crate) const KEYS: &[Key] = &[$(Key {
            name: $name,
            default: $default,
            help: $help,
            secret: keys!(@secret $($secret)?),
            set: $set,
        }),+];
    };
}

keys! {
    "database_url" = "sqlite://doorwarden.db", "Where the accounts lie: `sqlite://PATH` or `postgres://USER:PASSWORD@HOST/NAME`.",
        |c, v| { c.database_url = v.parse().map_err(|error: DatabaseUrlError| format!("cannot be used: {error}"))?; Ok(()) };
    "listen" = "127.0.0.1:8000", "Address and port of the service.",
        |c, v| { c.listen = address(v)?; Ok(()) };
    #[secret] "secret_key" = "", "The secret key, at least 32 bytes; can be Django's SECRET_KEY. With SQLite one is made beside the database if none is given.",
        |c, v| { c.secret_key = Some(v.to_owned()).filter(|v| !v.is_empty()).map(Zeroizing::new); Ok(()) };
    #[secret] "old_secret_keys" = "", "Secret keys of before: tokens under them are still accepted (Django's SECRET_KEY_FALLBACKS), and they open signing keys. `[old_secret_keys]` with `opens_keys` or `verifies_tokens`, or `opens_keys=KEY` and `verifies_tokens=KEY` between commas: only that.",
        |c, v| {
            let key = |text: String| {
                let (key, good_for) = match text.split_once('=') {
                    Some(("opens_keys", key)) => (key, OldSecretKey::OpensKeys),
                    Some(("verifies_tokens", key)) => (key, OldSecretKey::VerifiesTokens),
                    _ => (text.as_str(), OldSecretKey::Everything),
                };
                (Zeroizing::new(key.to_owned()), good_for)
            };
            c.old_secret_keys = list(v).into_iter().map(key).collect();
            Ok(())
        };
    "migrate" = "true", "Whether `serve` brings the schema up to date.",
        |c, v| { c.migrate = boolean(v)?; Ok(()) };
    "max_connections" = "10000", "The most connections at a time; more wait.",
        |c, v| { c.max_connections = number(v, 1, 1_000_000)?; Ok(()) };

    "log.level" = "info", "What is logged: `error`, `warn`, `info`, `debug`, `trace`, or a filter of tracing-subscriber.",
        |c, v| { v.clone_into(&mut c.log); Ok(()) };
    "log.format" = "auto", "`text`, `json`, or `auto`: text on a terminal, else JSON.",
        |c, v| {
            c.log_json = match v {
                "auto" => None,
                "text" => Some(false),
                "json" => Some(true),
                _ => return Err("must be auto, text or json".to_owned()),
            };
            Ok(())
        };
    "metrics.listen" = "127.0.0.1:9464", "Address and port of Prometheus' metrics, or `off`.",
        |c, v| { c.metrics_listen = if v == "off" { None } else { Some(address(v)?) }; Ok(()) };

    "tokens.lifetime" = "60d", "How long a session token lives.",
        |c, v| { c.settings.session.lifetime = duration(v)?; Ok(()) };
    "tokens.idle" = "never", "After how long without a request a session ends, or `never`; at least `60s`.",
        |c, v| {
            c.settings.session.idle = optional_duration(v)?;
            if c.settings.session.idle.is_some_and(|idle| idle < SessionSettings::MIN_IDLE) {
                return Err("must be at least 60s, or never".to_owned());
            }
            Ok(())
        };
    "tokens.accept_without_session" = "false", "Whether tokens of no session are accepted, such as Django's: `false`, `true`, or until a date and time.",
        |c, v| {
            c.settings.session.without_session = match v {
                "false" => WithoutSession::Refuse,
                "true" => WithoutSession::Accept,
                _ => WithoutSession::AcceptUntil(instant(v).map_err(|e| format!("{e}, true or false"))?),
            };
            Ok(())
        };
    "tokens.issuer" = "", "`iss` of access tokens: the URL under which other services reach this one. Without it `http://` and `listen`.",
        |c, v| { c.issuer = Some(v.to_owned()).filter(|v| !v.is_empty()); Ok(()) };
    "tokens.audience" = "", "`aud` of access tokens, one or more between commas. Without it the issuer, which must be among them for tokens that are to count at `/me` and its like.",
        |c, v| { c.settings.access.audience = list(v); Ok(()) };
    "tokens.resources" = "", "What `resource` at `/token` may name (RFC 8707), between commas: an access token for these in place of `tokens.audience`.",
        |c, v| { c.settings.access.resources = list(v); Ok(()) };
    "tokens.client_id" = "doorwarden", "`client_id` of access tokens that a login with a password obtained.",
        |c, v| { v.clone_into(&mut c.settings.access.client_id); Ok(()) };
    "tokens.access_lifetime" = "5m", "How long an access token lives, give or take 5 %.",
        |c, v| { c.settings.access.lifetime = duration_within(v, "10s", "15m")?; Ok(()) };
    "tokens.refresh_lifetime" = "30d", "How long a session of a token pair lives, however often it is refreshed.",
        |c, v| { c.settings.access.refresh_lifetime = duration(v)?; Ok(()) };
    "tokens.refresh_idle" = "14d", "After how long without use a refresh token is refused.",
        |c, v| { c.settings.access.refresh_idle = duration(v)?; Ok(()) };
    "tokens.refresh_grace" = "60s", "How long after a refresh the token before the newest is repeated without being counted: a lost answer, a second tab.",
        |c, v| { c.settings.access.refresh_grace = duration_within(v, "0s", "10m")?; Ok(()) };
    "tokens.permissions" = "false", "Whether access tokens carry the user's permissions.",
        |c, v| { c.settings.access.include_permissions = boolean(v)?; Ok(()) };
    "tokens.refresh_cookie" = "false", "Whether browsers get refresh tokens as a cookie that scripts cannot read.",
        |c, v| { c.http.refresh_cookie = boolean(v)?; Ok(()) };

    "sessions.max_per_user" = "100", "How many sessions a user may have, or `off`; one more ends those that were not used for the longest time.",
        |c, v| {
            c.settings.session.max_per_user = if v == "off" { None } else { Some(number(v, 1, 10_000)?) };
            Ok(())
        };

    "keys.algorithm" = "ES256", "The algorithms of signing keys, between commas: `ES256`, `EdDSA`, `RS256`. The first one signs; the others are published beside it.",
        |c, v| {
            let wrong = "must be ES256, EdDSA and RS256, or some of them, between commas";
            let known = |name: &String| Algorithm::from_name(name).or((name == "Ed25519").then_some(Algorithm::EdDsa));
            let algorithms: Option<Vec<_>> = list(v).iter().map(known).collect();
            c.settings.keys.algorithms = algorithms.filter(|list| !list.is_empty()).ok_or(wrong)?;
            Ok(())
        };
    "keys.rotate_every" = "30d", "How long a key signs before the next one does, or `never`.",
        |c, v| {
            let every = optional_duration(v)?;
            if every.is_some() {
                duration_within(v, "1h", "3650d")?;
            }
            c.settings.keys.rotate_every = every;
            Ok(())
        };
    "keys.cache" = "5m", "How long verifiers may keep the key set. A new key is announced for twice as long before it signs, and for five minutes at least.",
        |c, v| { c.settings.keys.cache = duration_within(v, "1s", "1d")?; Ok(()) };

    #[secret] "oauth.clients" = "", "Services that may call `/oauth/introspect` and `/oauth/revoke`: `[oauth.clients]` with `ID = \"SHA-256 of the secret\"`, or ID=SHA-256 between commas.",
        |c, v| {
            let mut clients = OauthClients::default();
            for client in list(v) {
                let (id, hash) = client.split_once('=').ok_or("must be ID=SHA-256 between commas")?;
                clients.add(id.trim(), hash.trim()).map_err(|error| format!("holds for \"{id}\" {error}"))?;
            }
            c.http.oauth_clients = clients;
            Ok(())
        };

    "oauth.introspection_lifetime" = "60s", "How far in the future `exp` of an answer of `/oauth/introspect` lies at most: how long services may keep it.",
        |c, v| { c.http.introspection_lifetime = duration_within(v, "1s", "1d")?; Ok(()) };

    "passwords.min_length" = "8", "The fewest characters of a new password.",
        |c, v| { c.settings.password_policy.min_length = number(v, 1, 1024)?; Ok(()) };
    "passwords.max_length" = "128", "The most characters of a new password.",
        |c, v| { c.settings.password_policy.max_length = number(v, 8, 1024)?; Ok(()) };
    "passwords.validators" = "similarity,common,numeric", "Django's validators for new passwords; `none` for only the length.",
        |c, v| {
            let names = if v == "none" { Vec::new() } else { list(v) };
            if let Some(unknown) = names.iter().find(|n| !["similarity", "common", "numeric"].contains(&n.as_str())) {
                return Err(format!("\"{unknown}\" is none of similarity, common and numeric"));
            }
            let policy = &mut c.settings.password_policy;
            policy.similarity = names.iter().any(|n| n == "similarity");
            policy.common = names.iter().any(|n| n == "common");
            policy.numeric = names.iter().any(|n| n == "numeric");
            Ok(())
        };
    "passwords.change_ends" = "others", "Which sessions a password change ends: `others` or `all`.",
        |c, v| {
            c.settings.password_change_ends = match v {
                "others" => PasswordChangeEnds::OtherSessions,
                "all" => PasswordChangeEnds::AllSessions,
                _ => return Err("must be others or all".to_owned()),
            };
            Ok(())
        };

    "argon2.memory_kib" = "19456", "Memory of a new hash in KiB.",
        |c, v| { c.argon2.memory_kib = number(v, 1, 4 * 1024 * 1024)?; Ok(()) };
    "argon2.iterations" = "2", "Passes over the memory of a new hash.",
        |c, v| { c.argon2.iterations = number(v, 1, 100)?; Ok(()) };
    "argon2.parallelism" = "1", "Lanes of a new hash.",
        |c, v| { c.argon2.parallelism = number(v, 1, 16)?; Ok(()) };
    "ceilings.argon2_memory_kib" = "262144", "Stored Argon2 hashes that need more memory are refused.",
        |c, v| { c.ceilings.argon2_memory_kib = number(v, 19_456, 4 * 1024 * 1024)?; Ok(()) };
    "ceilings.argon2_iterations" = "16", "Stored Argon2 hashes with more passes are refused.",
        |c, v| { c.ceilings.argon2_iterations = number(v, 2, 1000)?; Ok(()) };
    "ceilings.pbkdf2_iterations" = "10000000", "Stored PBKDF2 hashes with more rounds are refused.",
        |c, v| { c.ceilings.pbkdf2_iterations = number(v, 1, 1_000_000_000)?; Ok(()) };
    "ceilings.bcrypt_cost" = "16", "Stored bcrypt hashes of a higher cost are refused.",
        |c, v| { c.ceilings.bcrypt_cost = number(v, 4, 31)?; Ok(()) };

    "hashing.threads" = "cores", "Hashing threads, and so the most hashes at a time; `cores`: one for each.",
        |c, v| {
            if v != "cores" {
                c.pool.threads = number(v, 1, 1024)?;
                c.pool.queue = 64 * c.pool.threads;
            }
            Ok(())
        };
    "hashing.deadline" = "1s", "The longest that a login waits for its turn before the answer is 503.",
        |c, v| { c.pool.deadline = duration(v)?; Ok(()) };
    "hashing.niceness" = "10", "How far hashing steps back behind other requests, 0 to 19.",
        |c, v| { c.pool.niceness = number(v, 0, 19)?; Ok(()) };

    "http.cors_origins" = "", "Origins whose pages may call from a browser, between commas.",
        |c, v| {
            let origins = list(v);
            c.http.cors = None;
            if !origins.is_empty() {
                let origins = origins.iter().map(|o| o.parse().map_err(|_| format!("\"{o}\" is not an origin")));
                c.http.cors = Some(CorsSettings { origins: origins.collect::<Result<_, _>>()? });
            }
            Ok(())
        };
    "http.trusted_proxies" = "", "Addresses or networks of proxies whose X-Forwarded-For or Forwarded is believed, between commas.",
        |c, v| {
            let network = |text: &String| {
                let host = || text.parse::<std::net::IpAddr>().ok().map(ipnet::IpNet::from);
                text.parse().ok().or_else(host).ok_or_else(|| format!("\"{text}\" is no address or network"))
            };
            c.http.trusted_proxies = list(v).iter().map(network).collect::<Result<_, _>>()?;
            Ok(())
        };
    "http.keep_alive" = "75s", "How long a connection stays open between requests; longer than a proxy in front keeps its own.",
        |c, v| { c.keep_alive = duration_within(v, "1s", "1h")?; Ok(()) };
    "http.without" = "", "Endpoints that are left out, by their paths, between commas, such as `/registration,/docs`.",
        |c, v| {
            for path in list(v) {
                let endpoint = Endpoint::ALL.into_iter().find(|e| e.default_path() == path);
                let endpoint = endpoint.ok_or_else(|| format!("there is no endpoint \"{path}\""))?;
                c.http.endpoints.insert(endpoint, None);
            }
            Ok(())
        };

    "live.users" = "100000", "The most users in memory.",
        |c, v| { c.settings.live.users = number(v, 64, 100_000_000)?; Ok(()) };
    "live.sessions" = "1000000", "The most sessions in memory.",
        |c, v| { c.settings.live.sessions = number(v, 64, 1_000_000_000)?; Ok(()) };
    "live.access_tokens" = "20000", "The most access tokens whose signature need not be checked again.",
        |c, v| { c.settings.live.access_tokens = number(v, 64, 100_000_000)?; Ok(()) };
}
