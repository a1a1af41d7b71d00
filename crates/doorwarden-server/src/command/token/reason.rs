//! Why a token is refused, as precisely as the database allows, with a hint.

use super::inspect::{Kind, Looked};
use doorwarden::Doorwarden;
use doorwarden::core::flow::authenticate::TokenRefused;
use doorwarden::core::session::Session;
use doorwarden::core::time::Timestamp;
use doorwarden::core::token::Refusal;
use serde_json::Value;

const UNKNOWN_SESSION: &str = "its session is not in the database: it ended more than a day ago, or the token belongs to another database";

/// Why a token is refused.
pub(super) struct Reason {
    /// The stable error code.
    pub(super) code: &'static str,
    /// The message.
    pub(super) text: String,
    /// Advice on how to fix the problem.
    pub(super) hint: Option<String>,
}

impl Reason {
    fn new(code: &'static str, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), hint: None }
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The reason why a bearer token is refused.
    pub(super) fn of_bearer(auth: &Doorwarden, refused: &TokenRefused, token: &Looked) -> Self {
        let now = auth.context().now();
        let claim = |name: &str| token.jwt.as_ref().and_then(|jwt| jwt.claims.get(name));
        let instant = |name: &str| claim(name).and_then(Value::as_i64).map(Timestamp::from_seconds);
        let told = |text: String| Self::new(refused.code(), text);
        match refused {
            TokenRefused::Token(refusal) => {
                let at = match refusal {
                    Refusal::Expired => instant("exp"),
                    Refusal::NotYetValid => instant("nbf"),
                    Refusal::IssuedInFuture => instant("iat"),
                    _ => None,
                };
                let reason = told(match at {
                    Some(at) => format!("{refusal}: at {at}, and it is {now}"),
                    None => refusal.to_string(),
                });
                advise(auth, reason, *refusal, token.kind)
            }
            TokenRefused::NoUser => told(match claim("id") {
                Some(id) => format!("{refused}: there is no user with id {id}"),
                None => refused.to_string(),
            }),
            TokenRefused::Inactive => inactive(token),
            TokenRefused::SessionEnded => {
                match &token.session {
                    None => told(UNKNOWN_SESSION.to_owned()),
                    Some(session) if token.user.as_ref().is_some_and(|user| user.id != session.user) => {
                        told(format!("its session belongs to user {}", session.user))
                    }
                    Some(session) => told(over(session, now).unwrap_or_else(|| {
                        format!("its session has been idle since {}", session.last_seen_at)
                    })),
                }
            }
            TokenRefused::WithoutSession => told(refused.to_string())
                .hint("to accept Django's tokens for a while, set `tokens.accept_without_session`"),
            TokenRefused::IssuedBefore => {
                let ended = token.user.as_ref().and_then(|user| user.tokens_valid_after);
                told(match (ended, instant("iat")) {
                    (Some(ended), Some(issued)) => format!("{refused}: issued {issued}, ended {ended}"),
                    (Some(ended), None) => {
                        format!("{refused}: it has no issue time, ended {ended}")
                    }
                    (None, _) => refused.to_string(),
                })
            }
            _ => told(refused.to_string()),
        }
    }

    /// The reason why a refresh token with this counter, or one that is not valid, is refused.
    pub(super) fn of_refresh(auth: &Doorwarden, counter: Result<i64, Refusal>, token: &Looked) -> Self {
        let counter = match counter {
            Ok(counter) => counter,
            Err(refusal) => {
                return advise(auth, Self::new(refusal.code(), refusal.to_string()), refusal, token.kind);
            }
        };
        let ended = |text: String| Self::new(TokenRefused::SessionEnded.code(), text);
        let Some(session) = &token.session else { return ended(UNKNOWN_SESSION.to_owned()) };
        if let Some(text) = over(session, auth.context().now()) {
            return ended(text);
        }
        match (session.refresh_counter, &token.user) {
            (_, None) => Self::new(TokenRefused::NoUser.code(), TokenRefused::NoUser.to_string()),
            (_, Some(user)) if !user.is_active => inactive(token),
            (Some(newest), _) if counter < newest - 1 => Self::new(
                "refresh_reused",
                format!("it is {} rotations old: using it ends the session", newest - counter),
            )
            .hint("it may have leaked; `doorwarden user sign-out` ends all sessions of the user"),
            (Some(newest), _) if counter <= newest => {
                ended(format!("its session has been idle since {}", session.last_seen_at))
            }
            _ => Self::new("unknown_counter", "its session never had this refresh token")
                .hint("was the database restored from a backup?"),
        }
    }
}

fn inactive(token: &Looked) -> Reason {
    let id = token.user.as_ref().map(|user| user.id.to_string()).unwrap_or_default();
    Reason::new(TokenRefused::Inactive.code(), TokenRefused::Inactive.to_string())
        .hint(format!("run `doorwarden user activate {id}`"))
}

/// When and why a session ended or expired, unless it was idle for too long.
fn over(session: &Session, now: Timestamp) -> Option<String> {
    match session.ended {
        Some((at, reason)) => Some(format!("its session ended at {at}: {}", reason.as_str())),
        None if now >= session.expires_at => Some(format!("its session expired at {}", session.expires_at)),
        None => None,
    }
}

fn advise(auth: &Doorwarden, reason: Reason, refusal: Refusal, kind: Kind) -> Reason {
    let settings = &auth.context().settings.access;
    match (refusal, kind) {
        (Refusal::BadSignature, Kind::Access) => reason.hint("it was altered in transit, or forged"),
        (Refusal::BadSignature, _) => reason.hint(
            "it was signed with another secret key (see `secret_key` and `old_secret_keys`), or altered in transit",
        ),
        (Refusal::UnknownKey, _) => {
            reason.hint("its key was revoked or retired, or belongs to another installation; see `doorwarden key list`")
        }
        (Refusal::WrongIssuer, _) => {
            reason.hint(format!("`tokens.issuer` is `{}`; does the service use the same?", settings.issuer))
        }
        (Refusal::WrongAudience, _) => {
            reason.hint(format!("`tokens.audience` is `{}`", settings.audience().join(", ")))
        },
        (Refusal::NotThreeParts | Refusal::NotRefreshToken, _) => reason.hint("was it copied completely?"),
        (Refusal::IssuedInFuture | Refusal::NotYetValid, _) => reason.hint("check the clocks"),
        (Refusal::Expired, Kind::Access) => reason.hint("get a new one with the refresh token"),
        (Refusal::Expired, _) => reason.hint("log in again"),
        _ => reason,
    }
}
