//! Everything that is held about a user, for the user (GDPR, articles 15 and 20).

use super::authenticate::Authenticated;
use crate::audit::{Actor, AuditRecord, Origin};
use crate::context::Context;
use crate::event::Event;
use crate::factor::{Factor, FactorId, FactorKind, Method};
use crate::session::{ClientInfo, EndReason, Session, SessionId};
use crate::store::{MailRecord, StoreError};
use crate::time::Timestamp;
use crate::user::User;
use crate::view::{SessionView, UserView};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};
use std::net::IpAddr;

/// How many rows are read at once.
const PAGE: u32 = 1_000;
/// How many mails are exported: they are kept for a week.
const MAILS: u32 = 10_000;

/// The version of the format: members may be added to it, and none is changed or removed.
pub const FORMAT: &str = "doorwarden-export/1";

/// Everything about a user. Secrets are left out: the hashes of passwords, present and earlier, and what a
/// mail said.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Export {
    /// [`FORMAT`].
    pub format: &'static str,
    /// When it was made.
    pub exported_at: Timestamp,
    /// The account.
    pub user: ExportedUser,
    /// The names of the user's groups.
    pub groups: Vec<String>,
    /// Every permission that the user has.
    pub permissions: Vec<String>,
    /// The sessions, also those that ended lately.
    pub sessions: Vec<ExportedSession>,
    /// The second factors, without their secrets.
    pub factors: Vec<ExportedFactor>,
    /// What happened to the account.
    pub events: Vec<ExportedEvent>,
    /// Mails of the last days.
    pub mails: Vec<ExportedMail>,
    /// Links and codes that can still be used.
    pub pending: Vec<ExportedChallenge>,
}

/// The columns of the user.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ExportedUser {
    /// Those that the user sees at `/me`.
    #[serde(flatten)]
    columns: Value,
    /// The application's own fields.
    metadata: Map<String, Value>,
    /// The format of the password's hash; `null` if there is no password.
    password_algorithm: Option<String>,
    email_verified_at: Option<Timestamp>,
    locale: Option<&'static str>,
    must_change_password: bool,
    deletion_at: Option<Timestamp>,
}

/// A session.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ExportedSession {
    /// As at `/sessions`.
    #[serde(flatten)]
    session: Value,
    /// For which services its access tokens are.
    audience: Option<String>,
    ended_at: Option<Timestamp>,
    end_reason: Option<&'static str>,
}

/// A second factor.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ExportedFactor {
    id: FactorId,
    kind: FactorKind,
    name: String,
    created_at: Timestamp,
    confirmed_at: Option<Timestamp>,
    last_used_at: Option<Timestamp>,
    /// What is known of a passkey: its public key, where it is kept and how often it was used.
    passkey: Option<Value>,
    /// How many recovery codes are left.
    unused_codes: Option<u32>,
}

/// An event.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ExportedEvent {
    at: Timestamp,
    event: String,
    actor: &'static str,
    session: Option<SessionId>,
    #[schemars(with = "Option<String>")]
    address: Option<IpAddr>,
    user_agent: Option<String>,
    result: &'static str,
    data: Map<String, Value>,
}

/// A mail.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ExportedMail {
    kind: &'static str,
    to: String,
    created_at: Timestamp,
    state: &'static str,
}

/// A link or code.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ExportedChallenge {
    purpose: &'static str,
    email: String,
    created_at: Timestamp,
    expires_at: Timestamp,
}

/// Everything that is held about the caller.
///
/// # Errors
/// [`StoreError`] if the database operation failed.
pub async fn export(
    context: &Context,
    who: &Authenticated,
    client: ClientInfo,
) -> Result<Export, StoreError> {
    let (store, id, now) = (&context.store, who.id(), context.now());
    let mut sessions: Vec<Session> = Vec::new();
    loop {
        let after = sessions.last().map(|session| session.id);
        let page = store.every_session_of(id, after, PAGE).await?;
        let is_last = page.len() < PAGE as usize;
        sessions.extend(page);
        if is_last {
            break;
        }
    }
    let mut events: Vec<AuditRecord> = Vec::new();
    loop {
        let after = events.last().map(|event| event.id);
        let page = store.events_of(id, after, PAGE).await?;
        let is_last = page.len() < PAGE as usize;
        events.extend(page);
        if is_last {
            break;
        }
    }
    let factors = store.factors_of(id).await?;
    let mails = store.mails_of(id, MAILS).await?;
    let pending = store.challenges_of(id, now).await?;
    let account = who.account();
    let origin = Origin::new(Actor::User(id), client);
    context.record(context.effects(&origin, [Event::DataExported { user: id }])).await;
    Ok(Export {
        format: FORMAT,
        exported_at: now,
        user: (&account.user).into(),
        groups: account.groups.clone(),
        permissions: account.permissions.clone(),
        sessions: sessions.iter().map(Into::into).collect(),
        factors: factors.iter().map(Into::into).collect(),
        events: events.into_iter().map(Into::into).collect(),
        mails: mails.into_iter().map(Into::into).collect(),
        pending: pending
            .into_iter()
            .map(|challenge| ExportedChallenge {
                purpose: challenge.purpose.as_str(),
                email: challenge.email.as_str().to_owned(),
                created_at: challenge.created_at,
                expires_at: challenge.expires_at,
            })
            .collect(),
    })
}

impl From<&User> for ExportedUser {
    fn from(user: &User) -> Self {
        let algorithm = user.password.as_str().split('$').next().unwrap_or_default();
        Self {
            columns: serde_json::to_value(UserView::from(user)).unwrap_or_default(),
            metadata: user.metadata.clone(),
            password_algorithm: user.password.is_usable().then(|| algorithm.to_owned()),
            email_verified_at: user.email_verified_at,
            locale: user.locale.map(crate::locale::Locale::as_str),
            must_change_password: user.must_change_password,
            deletion_at: user.deletion_at,
        }
    }
}

impl From<&Session> for ExportedSession {
    fn from(session: &Session) -> Self {
        let (ended_at, reason) = session.ended.unzip();
        Self {
            session: serde_json::to_value(SessionView::from(session)).unwrap_or_default(),
            audience: session.audience.clone(),
            ended_at,
            end_reason: reason.map(EndReason::as_str),
        }
    }
}

impl From<&Factor> for ExportedFactor {
    fn from(factor: &Factor) -> Self {
        let (passkey, unused_codes) = match &factor.method {
            Method::Totp(_) => (None, None),
            Method::Passkey(passkey) => (serde_json::to_value(&passkey.credential).ok(), None),
            Method::RecoveryCodes(codes) => (None, Some(codes.unused)),
        };
        Self {
            id: factor.id,
            kind: factor.kind(),
            name: factor.name.clone(),
            created_at: factor.created_at,
            confirmed_at: factor.confirmed_at,
            last_used_at: factor.last_used_at,
            passkey,
            unused_codes,
        }
    }
}

impl From<AuditRecord> for ExportedEvent {
    fn from(record: AuditRecord) -> Self {
        Self {
            at: record.at,
            actor: record.actor.kind(),
            event: record.kind,
            session: record.session,
            address: record.client.address,
            user_agent: record.client.user_agent,
            result: record.outcome.as_str(),
            data: record.data,
        }
    }
}

impl From<MailRecord> for ExportedMail {
    fn from(mail: MailRecord) -> Self {
        Self {
            kind: mail.kind.as_str(),
            to: mail.to,
            created_at: mail.created_at,
            state: mail.state.as_str(),
        }
    }
}
