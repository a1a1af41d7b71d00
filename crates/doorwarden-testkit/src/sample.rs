use doorwarden_core::audit::{Actor, Effects};
use doorwarden_core::authentication::{Next, PasswordProof, Proof, Purpose, Standing, next};
use doorwarden_core::identity::{EmailAddress, Username};
use doorwarden_core::password::PasswordHash;
use doorwarden_core::random::{RandomSource, SystemRandom};
use doorwarden_core::refresh::Presented;
use doorwarden_core::session::{Session, SessionId};
use doorwarden_core::store::{OpenSession, Renewal};
use doorwarden_core::time::Timestamp;
use doorwarden_core::user::{NewUser, UserId};
use serde_json::Map;
use std::time::Duration;

/// The current time of the tests: noon on 23 November 2026.
pub const NOON: Timestamp = Timestamp::from_seconds(1_795_435_200);

/// A duration in seconds, for times relative to [`NOON`].
pub const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// The value after `change`, for structs that only their own crate may build with `..`.
pub fn with<T>(mut value: T, change: impl FnOnce(&mut T)) -> T {
    change(&mut value);
    value
}

/// A password hash for tests that never verify it; different words give different hashes.
pub fn hash(word: &str) -> PasswordHash {
    PasswordHash::from_stored(format!("argon2$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ${word}"))
}

/// An active user called `name` with the address `name@example.com` and the password [`hash`]`(name)`, joined
/// at [`NOON`].
pub fn new_user(name: &str) -> NewUser {
    NewUser {
        username: Username::from_stored(name),
        email: EmailAddress::from_stored(format!("{name}@example.com")),
        password: hash(name),
        is_active: true,
        is_staff: false,
        is_superuser: false,
        date_joined: NOON,
        metadata: Map::new(),
        email_verified_at: None,
        locale: None,
    }
}

/// No effects: only the change itself is written.
pub fn no_effects() -> Effects {
    Effects::new(NOON, &Actor::System.into(), [])
}

/// A refresh of this session at `at`, with a grace of 60 seconds.
pub const fn presented(session: SessionId, counter: i64, at: Timestamp) -> Presented {
    Presented { session, counter, at, grace: seconds(60) }
}

/// A renewal at `at` that keeps every limit of [`new_session`].
pub fn renewal(at: Timestamp) -> Renewal {
    Renewal {
        at,
        expires_at: at.after(seconds(3650 * 24 * 3600)),
        idle_seconds: 3650 * 24 * 3600,
        audience: None,
    }
}

/// A session of `user` with a refresh token (counter 0), opened at `at`, for 14 days.
pub fn new_session(user: UserId, at: Timestamp) -> Session {
    let random: &dyn RandomSource = &SystemRandom;
    let id = SessionId::new(at, random.bytes());
    let session = Session::new(id, user, at, at.after(seconds(14 * 24 * 3600)));
    with(session, |s| s.refresh_counter = Some(0))
}

/// Opens this session without authentication, and without a limit on sessions.
pub fn issued(session: Session) -> OpenSession {
    opening(session, Purpose::Issue, None, None)
}

/// Opens this session by a login with the password of this hash, or by one that also stores an upgraded hash.
pub fn login(session: Session, verified: PasswordHash, rehashed: Option<PasswordHash>) -> OpenSession {
    let password = PasswordProof { rehashed, ..PasswordProof::of_new(verified) };
    opening(session, Purpose::LogIn, Some(password), None)
}

/// Opens this session with a limit of `most` sessions.
///
/// # Panics
/// If the purpose needs a password and none is given.
pub fn opening(
    session: Session,
    purpose: Purpose,
    password: Option<PasswordProof>,
    most: Option<u32>,
) -> OpenSession {
    let proofs = password.map(Proof::Password).into_iter().collect();
    match next(purpose, Standing::default(), proofs, session.created_at) {
        Next::Done(completed) => OpenSession::new(session, completed, most),
        Next::Needs(factor) => panic!("{factor:?} is needed"),
    }
}
