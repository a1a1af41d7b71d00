//! The sections of the file. A key is one row: its description, its syntax, and the field of [`Config`] that
//! it sets and whose value is its default.

use super::Config;
use super::declared::Fields;
use super::special::{
    Address, Algorithm, Clients, Domain, Endings, FrontEnd, LeftOut, LimitStore, Locale, LogFormat, MailUrl,
    Network, Notice, OldSecretKeys, Operator, Optional, Origins, Quotas, Registering, Requiring, RpId,
    Secret, Sender, Threads, Url, Validators, Verification, WithoutSession,
};
use super::value::{Auto, Duration, Either, Flag, List, Never, Number, Off, Pairs, Setting};
use super::webhooks::Endpoints;
use doorwarden::core::limit::LimitSettings;
use doorwarden::core::password::HashSettings;
use doorwarden::core::settings::{
    AccessSettings, RetentionSettings, SessionSettings, Settings, WebhookSettings,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! section {
    (
        $(#[$about:meta])+
        $section:ident { $($(#[$help:meta])* $key:ident: $type:ty $(= $($place:ident).+)?,)+ }
    ) => {
        $(#[$about])+
        #[derive(Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub(super) struct $section {
            $($(#[$help])* $key: $type,)+
        }

        impl Setting<Config> for $section {
            fn of(config: &Config) -> Self {
                Self { $($key: Setting::of(&(*config)$($(.$place)+)?),)+ }
            }

            fn store(self, config: &mut Config) {
                $(self.$key.store(&mut (*config)$($(.$place)+)?);)+
            }
        }

        impl Default for $section {
            fn default() -> Self {
                Self::of(&Config::default())
            }
        }
    };
}

section! {
    /// The configuration of Doorwarden.
    Root {
        /// The database: `sqlite://PATH` or `postgres://USER:PASSWORD@HOST/NAME`.
        database_url: Url = database_url,
        /// Address and port of the service.
        listen: Address = listen,
        /// The secret key, at least 32 bytes; can be Django's `SECRET_KEY`. With SQLite, a random one is
        /// stored beside the database if none is given.
        secret_key: Secret = secret_key,
        /// Previous secret keys: they still verify tokens (Django's `SECRET_KEY_FALLBACKS`) and open signing
        /// keys. For only one of these purposes: `[old_secret_keys]` with the lists `opens_keys` and
        /// `verifies_tokens`, or `opens_keys=KEY` and `verifies_tokens=KEY`, comma-separated.
        old_secret_keys: OldSecretKeys = old_secret_keys,
        /// Whether `serve` applies pending migrations.
        migrate: Flag = migrate,
        /// Maximum number of simultaneous connections; further ones wait.
        max_connections: Number<1, 1_000_000> = max_connections,
        /// The application's own permissions, `"app_label.codename" = "Label"`.
        permissions: Pairs = permissions,
        /// The application's own fields, `[fields.NAME]`.
        fields: Fields = fields,
        log: Log,
        metrics: Metrics,
        tokens: Tokens,
        sessions: Sessions,
        keys: Keys,
        oauth: Oauth,
        passwords: Passwords,
        argon2: Argon2,
        ceilings: Ceilings,
        hashing: Hashing,
        http: Http,
        live: Live,
        registration: Registration,
        deletion: Deletion,
        retention: Retention,
        audit: Audit,
        mail: Mail,
        front_end: FrontEndSection,
        factors: Factors,
        webhooks: Webhooks,
        limits: Limits,
    }
}

section! {
    /// The log.
    Log {
        /// What is logged: `error`, `warn`, `info`, `debug`, `trace`, or a filter of tracing-subscriber.
        level: String = log,
        /// `text`, `json`, or `auto`: text on a terminal, otherwise JSON.
        format: LogFormat = log_json,
    }
}

section! {
    /// Metrics for Prometheus.
    Metrics {
        /// Address and port of the metrics, or `off`.
        listen: Either<Off, Address> = metrics_listen,
    }
}

/// The shortest [`SessionSettings::idle`].
const MIN_IDLE: u64 = SessionSettings::MIN_IDLE.as_secs();
/// The longest [`AccessSettings::lifetime`].
const MAX_ACCESS: u64 = AccessSettings::MAX_LIFETIME.as_secs();
const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

section! {
    /// Session tokens, access tokens and refresh tokens.
    Tokens {
        /// Lifetime of a session token.
        lifetime: Duration = settings.session.lifetime,
        /// How long a session may go without a request before it ends, or `never`; at least `60s`.
        idle: Either<Never, Duration<MIN_IDLE>> = settings.session.idle,
        /// Whether tokens without a session, such as Django's, are accepted: `false`, `true`, or until a date
        /// and time.
        accept_without_session: WithoutSession = settings.session.without_session,
        /// `iss` of access tokens: the URL under which other services reach this one. By default `http://`
        /// and `listen`.
        issuer: Optional = issuer,
        /// `aud` of access tokens. By default the issuer, which must be in the list if the tokens are to be
        /// accepted at `/me` and the other endpoints of this service.
        audience: List<String> = settings.access.audience,
        /// What `resource` at `/token` may name (RFC 8707): audiences that a client may ask for instead of
        /// `tokens.audience`.
        resources: List<String> = settings.access.resources,
        /// `client_id` of access tokens issued for a login with a password.
        client_id: String = settings.access.client_id,
        /// Lifetime of an access token, with a jitter of ± 5 %.
        access_lifetime: Duration<10, MAX_ACCESS> = settings.access.lifetime,
        /// Lifetime of the session of a token pair, however often it is refreshed.
        refresh_lifetime: Duration = settings.access.refresh_lifetime,
        /// How long a refresh token may go unused before it is refused.
        refresh_idle: Duration = settings.access.refresh_idle,
        /// How long after a refresh the previous refresh token is still accepted, for lost responses and
        /// parallel tabs.
        refresh_grace: Duration<0, { 10 * MINUTE }> = settings.access.refresh_grace,
        /// Whether access tokens contain the user's permissions.
        permissions: Flag = settings.access.include_permissions,
        /// Whether browsers get refresh tokens as a cookie that scripts cannot read.
        refresh_cookie: Flag = http.refresh_cookie,
    }
}

section! {
    /// Sessions.
    Sessions {
        /// Maximum number of sessions per user, or `off`; one more ends the least recently used ones.
        max_per_user: Either<Off, Number<1, 10_000>> = settings.session.max_per_user,
    }
}

section! {
    /// Signing keys.
    Keys {
        /// The algorithms of signing keys: `ES256`, `EdDSA`, `RS256`. The first one signs; keys of the others
        /// are published as well.
        algorithm: List<Algorithm> = settings.keys.algorithms,
        /// How long a key signs before it is rotated, or `never`.
        rotate_every: Either<Never, Duration<HOUR, { 3650 * DAY }>> = settings.keys.rotate_every,
        /// How long verifiers may cache the key set. A new key is published for twice as long before it
        /// signs, and for at least five minutes.
        cache: Duration<1, DAY> = settings.keys.cache,
    }
}

section! {
    /// Other services.
    Oauth {
        /// Services that may call `/oauth/introspect` and `/oauth/revoke`: `[oauth.clients]` with `ID =
        /// "SHA-256 of the secret"`, or `ID=SHA-256`, comma-separated.
        clients: Clients = http.oauth_clients,
        /// How far in the future `exp` of a response of `/oauth/introspect` is at most: how long services may
        /// cache it.
        introspection_lifetime: Duration<1, DAY> = http.introspection_lifetime,
    }
}

/// The highest [`LimitSettings::attempts`].
const MAX_ATTEMPTS: i64 = LimitSettings::MAX_ATTEMPTS as i64;

/// The highest [`Settings::password_history`].
const MAX_HISTORY: i64 = Settings::MAX_PASSWORD_HISTORY as i64;

section! {
    /// New passwords.
    Passwords {
        /// Minimum length of a new password, in characters.
        min_length: Number<1, 1024> = settings.password_policy.min_length,
        /// Maximum length of a new password, in characters.
        max_length: Number<8, 1024> = settings.password_policy.max_length,
        /// Django's validators for new passwords; `none` checks only the length, unless
        /// `passwords.refuse_leaked` says otherwise.
        validators: Validators = settings.password_policy,
        /// Which sessions a password change ends: `others` or `all`.
        change_ends: Endings = settings.password_change_ends,
        /// How many earlier passwords, besides the present one, a user may not choose again. 0: none is
        /// remembered, and the present one may be chosen, too.
        history: Number<0, MAX_HISTORY> = settings.password_history,
        /// Whether passwords that are known from breaches are refused: the 100,000 most common ones, which
        /// are in the program, and those of `passwords.breached_file`. `auto`: if `passwords.validators` has
        /// `common`, as by default, or there is such a file. Nothing is asked over a network.
        refuse_leaked: Either<Auto, Flag> = refuse_leaked,
        /// File of further breached passwords, as `doorwarden breached build` makes it.
        breached_file: Optional = breached_file,
        /// Whether a login with a leaked password needs a new one before there is a token.
        leaked_at_login: Flag = settings.leaked_at_login,
    }
}

section! {
    /// The cost of new password hashes.
    Argon2 {
        /// Memory of a new hash, in KiB.
        memory_kib: Number<1, { 4 * 1024 * 1024 }> = argon2.memory_kib,
        /// Passes over the memory of a new hash.
        iterations: Number<1, 100> = argon2.iterations,
        /// Lanes of a new hash.
        parallelism: Number<1, 16> = argon2.parallelism,
    }
}

/// OWASP's memory for two passes: less would refuse hashes that are as strong as the default.
const MIN_MEMORY_CEILING: i64 = HashSettings::FLOORS[1].1 as i64;

section! {
    /// The highest cost at which stored password hashes are still verified.
    Ceilings {
        /// Stored Argon2 hashes that need more memory (in KiB) are refused.
        argon2_memory_kib: Number<MIN_MEMORY_CEILING, { 4 * 1024 * 1024 }> = ceilings.argon2_memory_kib,
        /// Stored Argon2 hashes with more passes are refused.
        argon2_iterations: Number<2, 1000> = ceilings.argon2_iterations,
        /// Stored PBKDF2 hashes with more iterations are refused.
        pbkdf2_iterations: Number<1, 1_000_000_000> = ceilings.pbkdf2_iterations,
        /// Stored bcrypt hashes with a higher cost are refused.
        bcrypt_cost: Number<4, 31> = ceilings.bcrypt_cost,
    }
}

section! {
    /// How much of the machine password hashing may take.
    Hashing {
        /// Number of hashing threads, and so of simultaneous hashes; `cores` is one per core.
        threads: Threads = pool,
        /// How long a login may wait for a hashing thread before the response is 503.
        deadline: Duration = pool.deadline,
        /// Niceness of the hashing threads, 0 to 19: other requests go first.
        niceness: Number<0, 19> = pool.niceness,
    }
}

section! {
    /// The HTTP interface.
    Http {
        /// Origins whose pages may call from a browser.
        cors_origins: Origins = http.cors,
        /// Addresses or networks of proxies whose `X-Forwarded-For` or `Forwarded` is trusted.
        trusted_proxies: List<Network> = http.trusted_proxies,
        /// How long an idle connection stays open; longer than the idle timeout of a proxy in front.
        keep_alive: Duration<1, HOUR> = keep_alive,
        /// Endpoints to leave out, by their paths, such as `/registration,/docs`.
        without: LeftOut = http.endpoints,
    }
}

section! {
    /// The cache of users and sessions.
    Live {
        /// Maximum number of users in memory.
        users: Number<64, 100_000_000> = settings.live.users,
        /// Maximum number of sessions in memory.
        sessions: Number<64, 1_000_000_000> = settings.live.sessions,
        /// Maximum number of access tokens whose signature need not be verified again.
        access_tokens: Number<64, 100_000_000> = settings.live.access_tokens,
    }
}

section! {
    /// Registration.
    Registration {
        /// Who may register: `open`, anybody; `verified`, anybody, and the account exists once the email
        /// address was proved; `invitation`, who was invited; `closed`, nobody.
        mode: Registering = settings.registration.mode,
        /// Only addresses of these domains can be registered, and be the new address of an account. Empty:
        /// those of every domain. Invitations and the command line are not concerned.
        domains: List<Domain> = settings.registration.domains,
        /// No address of these domains, whatever `registration.domains` says.
        denied_domains: List<Domain> = settings.registration.denied_domains,
        /// Whether both lists also mean the subdomains of what they name.
        subdomains: Flag = settings.registration.subdomains,
    }
}

section! {
    /// The deletion of accounts by their users.
    Deletion {
        /// How long an account can still be kept after its user has deleted it, or `off`: it is deleted at
        /// once.
        grace: Either<Off, Duration<HOUR, { 365 * DAY }>> = settings.deletion_grace,
    }
}

/// The shortest [`RetentionSettings::client_information`].
const MIN_CLIENTS: u64 = RetentionSettings::MIN_CLIENT_INFORMATION.as_secs();
/// The shortest [`RetentionSettings::events`].
const MIN_EVENTS: u64 = RetentionSettings::MIN_EVENTS.as_secs();

section! {
    /// How long personal data is kept.
    Retention {
        /// How long the audit log knows the client address and the user agent of an event, or `never`: they
        /// are not deleted. The event itself stays. Ended sessions are deleted after a day.
        client_information: Either<Never, Duration<MIN_CLIENTS, { 3650 * DAY }>> = settings.retention.client_information,
        /// How long the audit log keeps events, or `never`: they are not deleted. What is left can still be
        /// verified.
        events: Either<Never, Duration<MIN_EVENTS, { 3650 * DAY }>> = settings.retention.events,
    }
}

section! {
    /// Checkpoints of the audit log.
    Audit {
        /// How often the state of the audit log is signed and logged, or `off`.
        checkpoint_every: Either<Off, Duration<MINUTE, { 30 * DAY }>> = checkpoint_every,
        /// Directory that each checkpoint is written to as well, as a file of its own. Where the database
        /// cannot be written from, they show whether the end of the log was removed.
        checkpoint_dir: Optional = checkpoint_dir,
    }
}

section! {
    /// Mails to users.
    Mail {
        /// How mails are sent: `smtps://USER:PASSWORD@HOST`, `smtp://USER:PASSWORD@HOST` (STARTTLS),
        /// `file:DIRECTORY`, or `console`. Without it nothing is mailed; but while only this machine reaches
        /// the service, mails can be read at `/dev/mailbox`.
        url: MailUrl = mail.url,
        /// The sender: `Example <accounts@example.org>`. Required with `mail.url`, unless only this machine
        /// reaches the service.
        from: Sender = mail.from,
        /// Directory of the application's own templates.
        templates: Optional = mail.templates,
        /// Name of the service in mails. By default the host of `tokens.issuer`.
        service: Optional = mail.service,
        /// Whether users must prove their email address: `off`, nobody is asked; `asked`, whoever registers
        /// gets a mail; `required`, before the first login.
        verification: Verification = settings.mail.verification,
        /// Language of mails to users whose language is not known: `en` or `de`.
        locale: Locale = settings.mail.locale,
        /// How long a link or code to log in, or to confirm an action, can be used.
        login_lifetime: Duration<MINUTE, DAY> = settings.mail.login_lifetime,
        /// How long a link or code to choose a new password can be used.
        reset_lifetime: Duration<MINUTE, { 7 * DAY }> = settings.mail.reset_lifetime,
        /// How long a link or code to prove an email address can be used.
        verify_lifetime: Duration<MINUTE, { 30 * DAY }> = settings.mail.verify_lifetime,
        /// Who is told that webhooks fail: the email address of an operator. By default nobody.
        operator: Operator = settings.mail.operator,
        /// Notices to users that are not mailed, such as `recovery_codes_few`. By default none is left out.
        /// Users cannot turn them off.
        leave_out: List<Notice> = settings.mail.leave_out,
    }
}

section! {
    /// The application's pages.
    FrontEndSection {
        /// URL of the page that links in mails lead to, with `#key=KEY` appended. By default `/link` of
        /// `tokens.issuer`.
        url: FrontEnd = settings.mail.front_end,
    }
}

section! {
    /// How often what may be abused can be tried.
    Limits {
        /// Whether there are limits.
        enabled: Flag = settings.limits.enabled,
        /// After how many wrong passwords in a row there is a wait: a second, and twice as long each time, at
        /// most an hour.
        free_attempts: Number<1, MAX_ATTEMPTS> = settings.limits.free_attempts,
        /// After how many wrong passwords in a row none of a stranger is compared any more, until the user
        /// logs in: on a device that they have used before, by mail, with a passkey, or with a new password.
        attempts: Number<1, MAX_ATTEMPTS> = settings.limits.attempts,
        /// Whether who must wait may send a proof of work instead.
        proof_of_work: Flag = settings.limits.proof_of_work,
        /// Where it is counted what comes from an address: `database`, the instances on a PostgreSQL
        /// database together in it, and with SQLite in memory; `memory`, each instance alone; or the URL of a
        /// Valkey or Redis, `redis://:PASSWORD@HOST:6379`, with TLS `rediss://`.
        store: LimitStore = limit_store,
        /// How many addresses and the like are counted in memory, 16 bytes each. A full table forgets the
        /// least loaded.
        buckets: Number<512, 1_000_000_000> = settings.limits.buckets,
        /// Other quotas than the usual ones, `[limits.quotas]` with `"login-address" = "30/1m"`, or
        /// `login-address=30/1m`, comma-separated. docs/limits.md lists them.
        quotas: Quotas = settings.limits,
    }
}

section! {
    /// Second factors.
    Factors {
        /// Who must have a second factor: `nobody`, `staff` (staff and superusers), `everybody`. Whoever has
        /// none can log in only to set one up. Whoever has one needs it in any case.
        required: Requiring = settings.factors.required,
        /// Members of these groups must have one, too.
        required_groups: List<String> = settings.factors.required_groups,
        /// Name of the service in authenticator apps and passkey managers. By default the host of
        /// `tokens.issuer`.
        service_name: String = settings.factors.service_name,
        /// Whether a passkey whose counter does not grow is refused. An event and a mail say so in any case;
        /// several authenticators count badly.
        strict_counters: Flag = settings.factors.strict_counters,
        passkeys: Passkeys,
    }
}

section! {
    /// Passkeys: the domain that they belong to, and where they can be used.
    Passkeys {
        /// The domain that passkeys belong to (WebAuthn calls it the id of the relying party), or `off`.
        /// Passkeys are lost when it changes. By default the host of `tokens.issuer`, if that has `https` and
        /// is a domain, or is `localhost`; otherwise there are no passkeys.
        rp_id: RpId = passkeys.rp_id,
        /// Origins of the pages that use passkeys, each at `rp_id` or at a subdomain of it. By default those
        /// of `tokens.issuer` and `front_end.url`, as far as they are there.
        origins: List<String> = passkeys.origins,
        /// Origins at other domains where the passkeys can be used, too. Browsers read them at
        /// `/.well-known/webauthn` of `rp_id`.
        related_origins: List<String> = passkeys.related_origins,
        /// Origins of pages that may have a page that uses passkeys in a frame. By default none.
        top_origins: List<String> = passkeys.top_origins,
    }
}

/// The shortest [`WebhookSettings::keep`].
const MIN_WEBHOOKS: u64 = WebhookSettings::MIN_KEEP.as_secs();

section! {
    /// Webhooks: events that are reported to other services.
    Webhooks {
        /// Endpoints, `[webhooks.endpoints.NAME]`. Others are added with `doorwarden webhook add`.
        endpoints: Endpoints = webhooks.endpoints,
        /// Networks that are not the Internet's and may be reached nevertheless, also without TLS, such as
        /// `10.1.2.0/24`. By default none.
        allow_private: List<Network> = webhooks.allow_private,
        /// For how long every attempt must have failed until an endpoint is paused. Its events wait.
        pause_after: Duration<HOUR, { 30 * DAY }> = settings.webhooks.pause_after,
        /// How long the former secret of an endpoint also signs.
        rotation: Duration<0, { 30 * DAY }> = settings.webhooks.rotation,
        /// How long what was sent is kept, and what waits.
        keep: Duration<MIN_WEBHOOKS, { 3650 * DAY }> = settings.webhooks.keep,
    }
}
