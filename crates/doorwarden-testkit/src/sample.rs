use doorwarden_core::audit::{Actor, Effects};
use doorwarden_core::authentication::{Next, PasswordProof, Proof, Purpose, next};
use doorwarden_core::identity::{EmailAddress, Username};
use doorwarden_core::password::PasswordHash;
use doorwarden_core::random::{RandomSource, SystemRandom};
use doorwarden_core::refresh::Presented;
use doorwarden_core::session::{ClientInfo, Repeats, Session, SessionId};
use doorwarden_core::store::{OpenSession, Renewal};
use doorwarden_core::time::Timestamp;
use doorwarden_core::user::{NewUser, UserId};
use serde_json::Map;
use std::time::Duration;

/// The present of the tests: noon on 23 November 2026.
pub const NOON: Timestamp = Timestamp::from_seconds(1_795_435_200);

/// This many seconds, for instants relative to [`NOON`].
pub const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A stored password that is as good as any where nobody verifies it; different words give different ones.
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
    }
}

/// No effects: nothing is written beside the change.
pub fn no_effects() -> Effects {
    Effects::new(NOON, &Actor::System.into(), [])
}

/// A refresh token of this session that is shown at `at`, where the grace is 60 seconds.
pub const fn presented(session: SessionId, counter: i64, at: Timestamp) -> Presented {
    Presented { session, counter, at, grace: seconds(60) }
}

/// A renewal at `at` that leaves every limit of [`new_session`] as it is.
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
    Session {
        id: SessionId::new(at, random.bytes()),
        user,
        created_at: at,
        last_seen_at: at,
        expires_at: at.after(seconds(14 * 24 * 3600)),
        auth: None,
        refresh_counter: Some(0),
        rotated_at: None,
        repeats: Repeats::default(),
        idle_seconds: None,
        client_id: None,
        audience: None,
        client: ClientInfo::default(),
        ended: None,
        generation: 0,
    }
}

/// To open this session without any proof, for a user who may have any number.
pub fn issued(session: Session) -> OpenSession {
    opening(session, Purpose::Issue, None, None)
}

/// To open this session by a login with the password that has this hash, or by one that also stores a better
/// hash of it.
pub fn login(session: Session, verified: PasswordHash, rehashed: Option<PasswordHash>) -> OpenSession {
    let password = PasswordProof { verified, rehashed, is_untrimmed: false };
    opening(session, Purpose::LogIn, Some(password), None)
}

/// To open this session for a user who may have `most`.
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
    match next(purpose, proofs, session.created_at) {
        Next::Done(completed) => OpenSession::new(session, completed, most),
        Next::Needs(factor) => panic!("{factor:?} is needed"),
    }
}
