//! What an application may decide about accounts and tokens. The defaults are safe.

use crate::factor::FactorKind;
use crate::identity::{Domain, EmailAddress};
use crate::limit::LimitSettings;
use crate::locale::Locale;
use crate::mail::MailKind;
use crate::password::PasswordPolicy;
use crate::session::Session;
use crate::time::Timestamp;
use crate::token::Algorithm;
use crate::token::access::Expect;
use crate::user::{Account, User};
use doorwarden_webauthn::RelyingParty;
use std::time::Duration;

const DAY: Duration = Duration::from_hours(24);

/// Every decision, with its default.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Settings {
    /// Session tokens, the response of `/registration` and `/login`.
    pub session: SessionSettings,
    /// What a new password must be like.
    pub password_policy: PasswordPolicy,
    /// Which sessions a password change ends.
    pub password_change_ends: PasswordChangeEnds,
    /// How many earlier passwords, besides the present one, a user may not choose again. 0, the default: none
    /// is remembered, and the present one may be chosen, too. At most [`Self::MAX_PASSWORD_HISTORY`].
    pub password_history: u8,
    /// Whether a login with a leaked password needs a new one. Off by default.
    pub leaked_at_login: bool,
    /// Access and refresh tokens, the response of `/token`.
    pub access: AccessSettings,
    /// The keys that sign access tokens.
    pub keys: KeySettings,
    /// How much the live view may hold.
    pub live: LiveSettings,
    /// Who may register.
    pub registration: RegistrationSettings,
    /// Mail, and what it proves.
    pub mail: MailSettings,
    /// Second factors and passkeys.
    pub factors: FactorSettings,
    /// How often what may be abused can be tried.
    pub limits: LimitSettings,
    /// How long an account whose user deletes it can still be kept. `None`, the default: it is deleted at
    /// once.
    pub deletion_grace: Option<Duration>,
    /// How long personal data is kept that is only of use for a while.
    pub retention: RetentionSettings,
    /// Webhooks.
    pub webhooks: WebhookSettings,
}

impl Settings {
    /// What the service is called in authenticator apps and passkey managers.
    pub fn service_name(&self) -> &str {
        if !self.factors.service_name.is_empty() {
            return &self.factors.service_name;
        }
        let issuer = self.access.issuer.as_str();
        let authority = issuer.split_once("://").map_or(issuer, |(_, rest)| rest).split('/').next();
        authority.unwrap_or(issuer)
    }

    /// The highest that [`password_history`](Self::password_history) may be: a new password is compared with
    /// so many hashes, each of which takes as long as a login.
    pub const MAX_PASSWORD_HISTORY: u8 = 24;
}

/// How long personal data is kept that is only of use for a while.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RetentionSettings {
    /// How long the audit log knows the client address and the user agent of an event; the event itself
    /// stays. By default 90 days; `None`: as long as the event. At least [`Self::MIN_CLIENT_INFORMATION`]. A
    /// session has its own until its row is deleted, a day after it has ended.
    pub client_information: Option<Duration>,
    /// How long the audit log keeps events. `None`, the default: as long as the database. At least
    /// [`Self::MIN_EVENTS`].
    pub events: Option<Duration>,
}

impl RetentionSettings {
    /// The shortest that [`client_information`](Self::client_information) may be: the rows of ended sessions,
    /// which have the same, are kept for a day.
    pub const MIN_CLIENT_INFORMATION: Duration = DAY;

    /// The shortest that [`events`](Self::events) may be.
    pub const MIN_EVENTS: Duration = DAY;
}

impl Default for RetentionSettings {
    fn default() -> Self {
        Self { client_information: Some(90 * DAY), events: None }
    }
}

/// Webhooks.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WebhookSettings {
    /// For how long every attempt must have failed until an endpoint is paused. By default three days, less
    /// than the attempts for one event take: an endpoint that does not respond loses none.
    pub pause_after: Duration,
    /// How long the former secret of an endpoint also signs after it was replaced. By default one day.
    pub rotation: Duration,
    /// How long deliveries are kept, also those that wait. By default 30 days; at least [`Self::MIN_KEEP`].
    pub keep: Duration,
}

impl WebhookSettings {
    /// The shortest that [`keep`](Self::keep) may be: longer than the attempts for one event take.
    pub const MIN_KEEP: Duration = Duration::from_hours(24 * 7);
}

impl Default for WebhookSettings {
    fn default() -> Self {
        Self { pause_after: 3 * DAY, rotation: DAY, keep: 30 * DAY }
    }
}

/// Who may register.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RegistrationSettings {
    /// By default anybody, at once.
    pub mode: RegistrationMode,
    /// Only addresses of these domains can be registered, and be the new address of an account. Empty, the
    /// default: those of every domain. Invitations, and accounts that an operator or the application makes,
    /// are not concerned.
    pub domains: Vec<Domain>,
    /// No address of these domains, whatever [`domains`](Self::domains) says. By default none.
    pub denied_domains: Vec<Domain>,
    /// Whether both lists also mean the subdomains of what they name. By default not.
    pub subdomains: bool,
}

impl RegistrationSettings {
    /// Whether an address of this domain can be registered.
    pub fn allows(&self, domain: &Domain) -> bool {
        let names = |list: &[Domain]| {
            list.iter().any(|named| domain == named || self.subdomains && domain.is_below(named))
        };
        (self.domains.is_empty() || names(&self.domains)) && !names(&self.denied_domains)
    }
}

/// Who may register, and when the account exists.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RegistrationMode {
    /// Anybody; the account exists at once.
    #[default]
    Open,
    /// Anybody who proves the email address first. Addresses with and without an account are answered alike.
    Verified,
    /// Only who was invited.
    Invitation,
    /// Nobody; operators and the application create accounts.
    Closed,
}

/// Whether the email address of an account must be proved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EmailVerification {
    /// Nobody is asked.
    #[default]
    Off,
    /// Whoever registers gets a mail; what it asks for may be left undone.
    Asked,
    /// No login before the address was proved.
    Required,
}

/// Second factors and passkeys.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct FactorSettings {
    /// Who must have a factor: whoever has none can log in only to set one up. By default nobody; whoever has
    /// one needs it in any case. A session that was opened before gives no new token, but is good until it
    /// ends.
    pub required: FactorPolicy,
    /// The members of these groups must have one, too. By default none.
    pub required_groups: Vec<String>,
    /// What the service is called in authenticator apps and passkey managers. Empty, the default: the host of
    /// the [issuer](AccessSettings::issuer).
    pub service_name: String,
    /// For which domain and on which pages passkeys are good. `None`, the default: there are none.
    pub passkeys: Option<RelyingParty>,
    /// Refuses a passkey whose counter does not grow. Off by default: several authenticators count badly, and
    /// an event and a mail say so in any case.
    pub strict_counters: bool,
}

impl FactorSettings {
    /// Whether this user must have one.
    pub fn are_required_of(&self, account: &Account) -> bool {
        self.required.holds_for(&account.user)
            || account.groups.iter().any(|group| self.required_groups.contains(group))
    }

    /// What can be set up.
    pub fn kinds(&self) -> Vec<FactorKind> {
        let passkeys = self.passkeys.is_some().then_some(FactorKind::Webauthn);
        [FactorKind::Totp].into_iter().chain(passkeys).collect()
    }
}

/// Who must have a factor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FactorPolicy {
    /// Nobody.
    #[default]
    Nobody,
    /// Staff and superusers.
    Staff,
    /// Everybody.
    Everybody,
}

impl FactorPolicy {
    /// Whether this user must have one.
    pub fn holds_for(self, user: &User) -> bool {
        match self {
            Self::Nobody => false,
            Self::Staff => user.is_staff || user.is_superuser,
            Self::Everybody => true,
        }
    }
}

/// Mail, and what it proves.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MailSettings {
    /// Whether the email address of an account must be proved. By default not.
    pub verification: EmailVerification,
    /// The page of the application that links lead to, with `#key=…` behind it; `None`, the default: the page
    /// of this service, `ISSUER/link?key=…`, or wherever below the issuer that endpoint was moved.
    pub front_end: Option<String>,
    /// The language of mails to whom no other is known. By default English.
    pub locale: Locale,
    /// How long links and codes for a login or a confirmation can be used. By default 10 minutes.
    pub login_lifetime: Duration,
    /// How long those for a new password can be used. By default one hour.
    pub reset_lifetime: Duration,
    /// How long those that prove an address can be used. By default one day.
    pub verify_lifetime: Duration,
    /// Who is told what operators should know: that webhooks fail. `None`, the default: nobody.
    pub operator: Option<EmailAddress>,
    /// The [notices](MailKind::is_notice) that are not mailed. By default none. Users cannot turn them off.
    pub leave_out: Vec<MailKind>,
}

impl Default for MailSettings {
    fn default() -> Self {
        Self {
            verification: EmailVerification::Off,
            front_end: None,
            locale: Locale::English,
            login_lifetime: Duration::from_mins(10),
            reset_lifetime: Duration::from_hours(1),
            verify_lifetime: DAY,
            operator: None,
            leave_out: Vec::new(),
        }
    }
}

/// Session tokens.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SessionSettings {
    /// How long a session and its token live. By default 60 days.
    pub lifetime: Duration,
    /// After how long without a request a session is ended; `None`, the default: never. At least
    /// [`Self::MIN_IDLE`].
    pub idle: Option<Duration>,
    /// How many sessions a user may have; one more ends the least recently used. By default 100; `None`: any
    /// number.
    pub max_per_user: Option<u32>,
    /// Whether tokens that name no session are accepted, such as those that a Django application signed with
    /// the same secret key.
    pub without_session: WithoutSession,
}

impl SessionSettings {
    /// The shortest that [`idle`](Self::idle) may be: when a session was last used is recorded once a minute,
    /// so with less a session in use would end.
    pub const MIN_IDLE: Duration = Duration::from_secs(Session::SEEN_RESOLUTION.cast_unsigned());
}

impl Default for SessionSettings {
    fn default() -> Self {
        Self {
            lifetime: 60 * DAY,
            idle: None,
            max_per_user: Some(100),
            without_session: WithoutSession::Refuse,
        }
    }
}

/// Whether tokens that name no session are accepted. Nothing can end such a token but its expiry, a password
/// change or a sign-out of its user.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WithoutSession {
    /// Never.
    #[default]
    Refuse,
    /// Until this instant.
    AcceptUntil(Timestamp),
    /// Always.
    Accept,
}

impl WithoutSession {
    /// Whether such a token is accepted at `now`.
    pub fn accepts(self, now: Timestamp) -> bool {
        match self {
            Self::Refuse => false,
            Self::AcceptUntil(end) => now < end,
            Self::Accept => true,
        }
    }
}

/// Which sessions a password change ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PasswordChangeEnds {
    /// All sessions but the one that changed the password.
    #[default]
    OtherSessions,
    /// All sessions; the response has a new token.
    AllSessions,
}

/// Access tokens (RFC 9068) and refresh tokens.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AccessSettings {
    /// `iss`: the URL under which verifiers reach this service. By default `http://127.0.0.1:8000`.
    pub issuer: String,
    /// `aud` of tokens without a requested resource. Empty, the default: the issuer.
    pub audience: Vec<String>,
    /// What a client may ask a token for instead (`resource`, RFC 8707). By default nothing.
    pub resources: Vec<String>,
    /// `client_id` of tokens that a password login obtained. By default `doorwarden`.
    pub client_id: String,
    /// Lifetime of an access token, before a jitter of ± 5 %. By default 5 minutes; at most
    /// [`Self::MAX_LIFETIME`].
    pub lifetime: Duration,
    /// How long a session of a token pair lives, however often it is refreshed. By default 30 days.
    pub refresh_lifetime: Duration,
    /// After how long without use a refresh token is refused. By default 14 days.
    pub refresh_idle: Duration,
    /// How long after a rotation the refresh token before the newest is repeated without being counted, by
    /// the clocks of the instances. By default 60 s.
    pub refresh_grace: Duration,
    /// Whether access tokens carry the user's permissions as the claim `permissions`. Off by default.
    pub include_permissions: bool,
}

impl Default for AccessSettings {
    fn default() -> Self {
        Self {
            issuer: "http://127.0.0.1:8000".to_owned(),
            audience: Vec::new(),
            resources: Vec::new(),
            client_id: "doorwarden".to_owned(),
            lifetime: Duration::from_mins(5),
            refresh_lifetime: 30 * DAY,
            refresh_idle: 14 * DAY,
            refresh_grace: Duration::from_mins(1),
            include_permissions: false,
        }
    }
}

impl AccessSettings {
    /// The longest that [`lifetime`](Self::lifetime) may be: a verifier that does not follow the revocation
    /// feed accepts a token that long after its session has ended.
    pub const MAX_LIFETIME: Duration = Duration::from_mins(15);

    /// `aud` of tokens without a requested resource.
    pub fn audience(&self) -> &[String] {
        if self.audience.is_empty() { std::slice::from_ref(&self.issuer) } else { &self.audience }
    }

    /// Every possible audience of tokens; some may occur more than once.
    pub fn every_audience(&self) -> impl Iterator<Item = &String> {
        [&self.issuer].into_iter().chain(&self.audience).chain(&self.resources)
    }

    /// The longest that an access token can be accepted after it was issued: its lifetime, the jitter, the
    /// leeway that verifiers may allow, and what their clocks may be behind.
    pub fn longest(&self) -> Duration {
        let by_others = Duration::from_secs(u64::from(Expect::MAX_LEEWAY_SECS + Expect::SKEW_SECS));
        self.lifetime + self.lifetime / 20 + by_others
    }
}

/// The keys that sign access tokens.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct KeySettings {
    /// The algorithms that are offered, each with a chain of keys of its own; the first one's keys sign
    /// access tokens and revocation statements. By default `ES256` alone. What is taken off the list goes on
    /// to verify until its last token has expired; what is put first signs as soon as verifiers have had the
    /// time to fetch its key. Must not be empty.
    pub algorithms: Vec<Algorithm>,
    /// How long a key signs before the next one does. By default 30 days; `None`: until a manual rotation. A
    /// longer time applies from the next key on.
    pub rotate_every: Option<Duration>,
    /// How long verifiers may keep the key set (`Cache-Control: max-age`). By default 5 minutes.
    pub cache: Duration,
}

impl KeySettings {
    /// For how long a key is announced at least before it signs: twice as long as the key set may be kept,
    /// and five minutes in any case, because some verifiers keep it for so long whatever `max-age` says.
    pub fn announcement(&self) -> Duration {
        (2 * self.cache).max(Duration::from_mins(5))
    }
}

impl Default for KeySettings {
    fn default() -> Self {
        Self {
            algorithms: vec![Algorithm::Es256],
            rotate_every: Some(30 * DAY),
            cache: Duration::from_mins(5),
        }
    }
}

/// How much the live view may hold; what exceeds the limit is dropped and read again.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct LiveSettings {
    /// Users, by default 100,000, each about 1 KiB.
    pub users: usize,
    /// Sessions, by default 1,000,000, each about 70 bytes.
    pub sessions: usize,
    /// Access tokens whose signature was checked, by default 20,000, each about 1 KiB.
    pub access_tokens: usize,
}

impl Default for LiveSettings {
    fn default() -> Self {
        Self { users: 100_000, sessions: 1_000_000, access_tokens: 20_000 }
    }
}
