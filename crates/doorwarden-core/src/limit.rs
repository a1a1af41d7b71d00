//! Limits: how often what may be abused can be tried. They are on by default, and made so that they stop
//! whoever guesses and never whoever owns the account.
//!
//! - An **attempt at a password** counts for its account, in the database ([`AttemptStore`]): apart for each
//!   device on which the user has logged in before, which has a [mark](device::DeviceMark), and together for
//!   all strangers. From the fifth in a row on there is a wait, and after a hundred the password is refused
//!   to strangers until the user logs in.
//! - What comes from an **address** counts in buckets ([`Quota`]), in memory, or in a store that instances
//!   share ([`SharedBuckets`]). Where something is guessed only what fails counts: a login that succeeds
//!   costs nothing. A known device is not counted by its address.
//! - Who must wait may compute instead: a [proof of work](proof_of_work).
//!
//! [`AttemptStore`]: crate::store::AttemptStore

pub mod device;
mod gcra;
pub mod proof_of_work;
mod shared;
mod table;
mod turns;

pub use gcra::{Quota, Verdict};
pub use shared::{Bucket, SharedBuckets, SharedBucketsError};

use crate::identity::EmailKey;
use crate::random::RandomSource;
use crate::session::SessionId;
use crate::token::SecretKey;
use crate::user::UserId;
use aws_lc_rs::hmac;
use device::DeviceKey;
use proof_of_work::{WorkChallenge, WorkKey};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use table::{Name, Table};
use tokio::time::Instant;
pub(crate) use turns::Turn;
use turns::Turns;

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

macro_rules! limits {
    ($($(#[$doc:meta])* $name:ident, $word:literal, $count:literal in $window:ident;)+) => {
        /// What is counted in buckets. The words are those of the header `RateLimit`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum Limit {
            $($(#[$doc])* $name),+
        }

        impl Limit {
            /// Every limit.
            pub const ALL: [Self; [$($word),+].len()] = [$(Self::$name),+];

            /// The word of the header `RateLimit`, and of the configuration.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word),+
                }
            }

            /// The quota unless another one is set.
            pub fn default_quota(self) -> Quota {
                match self {
                    $(Self::$name => Quota::new($count, $window)),+
                }
            }
        }
    };
}

limits! {
    /// Wrong passwords and refused passkeys from one address.
    LoginAddress, "login-address", 30 in MINUTE;
    /// Wrong passwords of strangers, from everywhere.
    Login, "login", 3_000 in MINUTE;
    /// Registrations from one address.
    RegistrationAddress, "registration-address", 60 in HOUR;
    /// Registrations from everywhere.
    Registration, "registration", 600 in MINUTE;
    /// Mails that are asked for from one address.
    MailAddress, "mail-address", 30 in HOUR;
    /// Mails that are asked for to one account.
    MailAccount, "mail-account", 10 in HOUR;
    /// Mails that are asked for from everywhere.
    Mail, "mail", 600 in MINUTE;
    /// Wrong codes and links from one address.
    CodeAddress, "code-address", 30 in MINUTE;
    /// Wrong codes of authenticator apps and recovery codes from one address.
    FactorAddress, "factor-address", 30 in MINUTE;
    /// Refresh tokens that are not valid, from one address.
    RefreshAddress, "refresh-address", 60 in MINUTE;
    /// Refreshes of one session.
    RefreshSession, "refresh-session", 6_000 in MINUTE;
    /// Wrong client secrets at introspection and revocation, from one address.
    IntrospectionAddress, "introspection-address", 60 in MINUTE;
    /// Tokens that are not valid at introspection, of one client.
    IntrospectionClient, "introspection-client", 6_000 in MINUTE;
}

impl Limit {
    /// Whether it counts what succeeds, too. A client on this machine is not counted by its address then: it
    /// is a proxy that passes the others off as itself, or the developer.
    pub(crate) const fn counts_all(self) -> bool {
        matches!(
            self,
            Self::RegistrationAddress
                | Self::Registration
                | Self::MailAddress
                | Self::Mail
                | Self::MailAccount
                | Self::RefreshSession
        )
    }

    /// Whether instances count it together, where they share a store. What is asked often and guesses nothing
    /// is counted by each.
    const fn is_shared(self) -> bool {
        !matches!(self, Self::RefreshSession | Self::RefreshAddress | Self::IntrospectionClient)
    }
}

/// How often what may be abused can be tried.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LimitSettings {
    /// Whether there are limits. By default there are.
    pub enabled: bool,
    /// After how many wrong passwords in a row there is a wait: one second, and twice as long each time, at
    /// most an hour. By default 5.
    pub free_attempts: u32,
    /// After how many wrong passwords in a row no other is compared, except on devices that the user has
    /// logged in on, until the user logs in. By default 100, the most that NIST SP 800-63B allows; at most
    /// [`MAX_ATTEMPTS`](Self::MAX_ATTEMPTS).
    pub attempts: u32,
    /// Whether who must wait may send a proof of work instead. By default they may.
    pub proof_of_work: bool,
    /// Whether instances on one PostgreSQL database count together what comes from an address. By default
    /// they do. Attempts at passwords are always counted together, by the database.
    pub is_shared: bool,
    /// How many buckets are kept in memory, 16 bytes each. By default 262,144: 4 MiB.
    pub buckets: usize,
    quotas: [Quota; Limit::ALL.len()],
}

impl LimitSettings {
    /// The highest that [`attempts`](Self::attempts) may be (NIST SP 800-63B-4, section 3.2.2).
    pub const MAX_ATTEMPTS: u32 = 100;

    /// The quota of a limit.
    pub fn quota(&self, limit: Limit) -> Quota {
        self.quotas[limit as usize]
    }

    /// Sets the quota of a limit.
    pub fn set_quota(&mut self, limit: Limit, quota: Quota) {
        self.quotas[limit as usize] = quota;
    }
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            free_attempts: 5,
            attempts: Self::MAX_ATTEMPTS,
            proof_of_work: true,
            is_shared: true,
            buckets: 1 << 18,
            quotas: Limit::ALL.map(Limit::default_quota),
        }
    }
}

/// The name under which an account is counted, whether there is such an account or not: a MAC of the address
/// that was typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AccountKey(pub [u8; 16]);

impl AccountKey {
    /// The name of an account that exists. It does not depend on the address, which may change.
    pub(crate) fn of(user: UserId) -> Self {
        Self(i128::from(user.0).to_be_bytes())
    }
}

/// Whose bucket it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// An IPv4 address, or an IPv6 network, whose addresses one client can have; and the wider networks
    /// around it.
    Address(IpAddr),
    /// An account.
    Account(AccountKey),
    /// The same account, for requests with a proof of work.
    Worked(AccountKey),
    /// A device of an account.
    Device(device::DeviceId),
    /// A session.
    Session(SessionId),
    /// A client of OAuth, by a hash of its id.
    Client([u8; 16]),
    /// Everybody's.
    Everybody,
}

/// How much more of an account than its quota may be done with a proof of work. No work is a licence to fill
/// somebody's mailbox.
const WORKED: u32 = 4;

/// How much more a wider IPv6 network may do than a /64: its prefix, and a factor.
const NETWORKS: [(u32, u32); 3] = [(64, 1), (56, 4), (48, 16)];

impl Whose {
    /// The buckets, each with by how much it is larger than the quota.
    fn buckets(self, limit: Limit) -> impl Iterator<Item = (Name, u32)> {
        let name = |kind: u8, bytes: [u8; 16]| {
            let mut name = [0; 18];
            (name[0], name[1]) = (limit as u8, kind);
            name[2..].copy_from_slice(&bytes);
            name
        };
        let one = |kind, bytes| [Some((name(kind, bytes), 1)), None, None];
        let buckets = match self {
            Self::Address(IpAddr::V4(address)) => one(4, u128::from(address.to_bits()).to_be_bytes()),
            Self::Address(IpAddr::V6(address)) => NETWORKS.map(|(prefix, factor)| {
                let network = address.to_bits() & (u128::MAX << (128 - prefix));
                Some((name(u8::try_from(prefix).unwrap_or(0), network.to_be_bytes()), factor))
            }),
            Self::Account(AccountKey(key)) => one(1, key),
            Self::Worked(AccountKey(key)) => [Some((name(6, key), WORKED)), None, None],
            Self::Device(device::DeviceId(id)) => one(2, id),
            Self::Session(SessionId(id)) => one(3, id.into_bytes()),
            Self::Client(hash) => one(5, hash),
            Self::Everybody => one(0, [0; 16]),
        };
        buckets.into_iter().flatten()
    }
}

/// A request was refused because too many came before it. It was not counted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("too many requests; the next one is possible in {} s", .retry_after.as_secs())]
#[non_exhaustive]
pub struct Throttled {
    /// The limit, as the header `RateLimit` calls it.
    pub policy: &'static str,
    /// What the limit allows.
    pub quota: Quota,
    /// After which time the request can be sent again.
    pub retry_after: Duration,
    /// The work that the client may do instead of waiting.
    pub proof_of_work: Option<WorkChallenge>,
    /// The password is not compared, however long one waits, and these ways in are open; `None` if it is
    /// only to be waited.
    pub other_ways: Option<Vec<OtherWay>>,
}

/// A way in without a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherWay {
    /// A link and a code that are mailed.
    Email,
    /// A passkey.
    Passkey,
}

impl Throttled {
    pub(crate) fn new(policy: &'static str, quota: Quota, retry_after: Duration) -> Self {
        Self { policy, quota, retry_after, proof_of_work: None, other_ways: None }
    }
}

/// The limits of one Doorwarden, with their keys. `Debug` does not show these.
pub struct Limits {
    pub(crate) devices: DeviceKey,
    pub(crate) work: WorkKey,
    pub(crate) turns: Turns,
    buckets: Arc<Buckets>,
}

/// What was counted.
struct Buckets {
    names: hmac::Key,
    table: Table,
    shared: Option<Arc<dyn SharedBuckets>>,
    trouble: shared::Trouble,
    began: Instant,
}

impl Limits {
    /// Empty buckets; `old` keys recognise the marks of devices that were made under them.
    pub fn new(
        settings: &LimitSettings,
        secret: &SecretKey,
        old: &[SecretKey],
        shared: Option<Arc<dyn SharedBuckets>>,
        random: &dyn RandomSource,
    ) -> Self {
        let names = hmac::Key::new(hmac::HMAC_SHA256, &*secret.derive("doorwarden account of limits v1"));
        let table = Table::new(if settings.enabled { settings.buckets } else { 0 }, random);
        let (trouble, began) = (shared::Trouble::default(), Instant::now());
        Self {
            devices: DeviceKey::new(secret, old),
            work: WorkKey::new(secret),
            turns: Turns::default(),
            buckets: Arc::new(Buckets { names, table, shared, trouble, began }),
        }
    }

    /// The name of the account with this address.
    pub(crate) fn account(&self, email: &EmailKey) -> AccountKey {
        self.mac(b"email", email.as_str().as_bytes())
    }

    /// A name that tells nothing about what it is of.
    pub(crate) fn mac(&self, kind: &[u8], text: &[u8]) -> AccountKey {
        self.buckets.mac(kind, text)
    }

    /// Counts a request in these buckets, as far as there is room in each.
    pub(crate) async fn take(
        &self,
        settings: &LimitSettings,
        wanted: &[(Limit, Whose)],
    ) -> Result<(), Box<Throttled>> {
        if let [(limit, whose)] = wanted
            && settings.enabled
        {
            let mut places = places(settings, *limit, *whose);
            if let (Some(place), None) = (places.next(), places.next()) {
                return match self.buckets.take(&place).await {
                    Verdict::Allowed(_) => Ok(()),
                    Verdict::Denied(wait) => Err(place.throttled(wait)),
                };
            }
        }
        self.look(settings, wanted).await?.count().await;
        Ok(())
    }

    /// Whether there is room in each of these buckets for what may turn out to be a wrong guess.
    pub(crate) async fn look(
        &self,
        settings: &LimitSettings,
        wanted: &[(Limit, Whose)],
    ) -> Result<Guess, Box<Throttled>> {
        let mut guess = Guess { places: [None; MOST_PLACES], buckets: Arc::clone(&self.buckets) };
        if !settings.enabled {
            return Ok(guess);
        }
        let places = wanted.iter().flat_map(|(limit, whose)| places(settings, *limit, *whose));
        for (place, free) in places.zip(0..MOST_PLACES) {
            if let Verdict::Denied(wait) = self.buckets.look(&place).await {
                // What was refused is no guess.
                guess.places = [None; MOST_PLACES];
                return Err(place.throttled(wait));
            }
            guess.places[free] = Some(place);
        }
        Ok(guess)
    }
}

impl Buckets {
    fn mac(&self, kind: &[u8], text: &[u8]) -> AccountKey {
        let tag = hmac::sign(&self.names, &[kind, &[0], text].concat());
        AccountKey(tag.as_ref()[..16].try_into().expect("32 bytes"))
    }

    /// The store of a bucket, if instances share it, and its name there, which tells neither address nor
    /// account.
    fn shared(&self, place: &Place) -> Option<(&dyn SharedBuckets, Bucket)> {
        let shared = self.shared.as_deref().filter(|_| place.limit.is_shared())?;
        Some((shared, Bucket { key: self.mac(b"bucket", &place.name).0, quota: place.quota }))
    }

    async fn look(&self, place: &Place) -> Verdict {
        if let Some((shared, bucket)) = self.shared(place)
            && let Some(verdict) = self.trouble.within(shared.look(bucket)).await
        {
            return verdict;
        }
        self.table.look(&place.name, place.quota, self.began.elapsed())
    }

    async fn take(&self, place: &Place) -> Verdict {
        if let Some((shared, bucket)) = self.shared(place)
            && let Some(verdict) = self.trouble.within(shared.take(bucket)).await
        {
            return verdict;
        }
        self.table.take(&place.name, place.quota, self.began.elapsed())
    }
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limits").field("shared", &self.buckets.shared).finish_non_exhaustive()
    }
}

/// In how many buckets a request counts at most.
const MOST_PLACES: usize = 6;

/// A bucket, and how large it is.
#[derive(Debug, Clone, Copy)]
struct Place {
    limit: Limit,
    name: Name,
    quota: Quota,
}

impl Place {
    fn throttled(&self, wait: Duration) -> Box<Throttled> {
        Box::new(Throttled::new(self.limit.as_str(), self.quota, wait))
    }
}

/// The buckets in which a request counts.
fn places(settings: &LimitSettings, limit: Limit, whose: Whose) -> impl Iterator<Item = Place> {
    let quota = settings.quota(limit);
    whose.buckets(limit).map(move |(name, factor)| Place { limit, name, quota: quota.times(factor) })
}

/// What may turn out to be a wrong guess. It counts when it is dropped, unless it was right: also if its
/// client is gone before that is known.
///
/// Guesses that are in progress are not counted, or many right ones at once, of an office behind one address,
/// would be refused.
#[must_use]
pub(crate) struct Guess {
    places: [Option<Place>; MOST_PLACES],
    buckets: Arc<Buckets>,
}

impl Guess {
    /// It was right, or was none.
    pub(crate) fn was_right(mut self) {
        self.places = [None; MOST_PLACES];
    }

    /// It was wrong.
    pub(crate) async fn count(mut self) {
        let places = std::mem::replace(&mut self.places, [None; MOST_PLACES]);
        for place in places.iter().flatten() {
            self.buckets.take(place).await;
        }
    }
}

impl Drop for Guess {
    fn drop(&mut self) {
        let places = std::mem::replace(&mut self.places, [None; MOST_PLACES]);
        for place in places.into_iter().flatten() {
            if self.buckets.shared(&place).is_some() {
                let buckets = Arc::clone(&self.buckets);
                tokio::spawn(async move { buckets.take(&place).await });
            } else {
                self.buckets.table.take(&place.name, place.quota, self.buckets.began.elapsed());
            }
        }
    }
}

impl fmt::Debug for Guess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guess").finish_non_exhaustive()
    }
}

/// Whose attempts at a password are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Guesser {
    /// The account.
    pub account: AccountKey,
    /// The user, if there is such an account: their rows go with them.
    pub user: Option<UserId>,
    /// The device that the user has logged in on, or the session that they have; `None`: strangers.
    pub device: Option<device::DeviceId>,
}
