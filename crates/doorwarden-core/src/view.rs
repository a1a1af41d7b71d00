//! Users, sessions and factors as JSON, described once: HTTP, the OpenAPI document and the command line all
//! use these types.

use crate::audit::{Actor, AuditRecord};
use crate::challenge::ChallengeId;
use crate::factor::{Factor, FactorId, FactorKind, Method};
use crate::field::Fields;
use crate::session::{ClientInfo, Session, SessionId};
use crate::time::Timestamp;
use crate::user::{Account, User, UserId};
use doorwarden_webauthn::aaguid;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// The columns of a user that may be shown to whoever may see the user.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "UserColumns")]
pub struct UserView<'a> {
    /// The primary key.
    pub id: UserId,
    /// The name shown to people.
    pub username: &'a str,
    /// The email address.
    pub email: &'a str,
    /// Whether the user may log in.
    pub is_active: bool,
    /// Whether the user may use the administration.
    pub is_staff: bool,
    /// Whether the user has every permission.
    pub is_superuser: bool,
    /// When the account was created.
    pub date_joined: Timestamp,
    /// When the user last logged in.
    pub last_login: Option<Timestamp>,
}

impl<'a> From<&'a User> for UserView<'a> {
    fn from(user: &'a User) -> Self {
        Self {
            id: user.id,
            username: user.username.as_str(),
            email: user.email.as_str(),
            is_active: user.is_active,
            is_staff: user.is_staff,
            is_superuser: user.is_superuser,
            date_joined: user.date_joined,
            last_login: user.last_login,
        }
    }
}

/// An account as its owner sees it: the answer of `GET /me`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "User", description = "A user, with the declared fields of the application.")]
pub struct AccountView<'a> {
    /// The columns of the user.
    #[serde(flatten)]
    pub user: UserView<'a>,
    /// The names of the user's groups, sorted.
    pub groups: &'a [String],
    /// Every permission that the user has, sorted: direct, through groups, or all of them for a superuser.
    pub permissions: &'a [String],
    /// The declared fields that are returned. Not in the schema, because an application declares them at run
    /// time.
    #[serde(flatten)]
    #[schemars(skip)]
    pub declared: BTreeMap<&'a str, &'a Value>,
}

impl<'a> AccountView<'a> {
    /// This account, with these declared fields.
    pub fn new(fields: &'a Fields, account: &'a Account) -> Self {
        Self {
            user: (&account.user).into(),
            groups: &account.groups,
            permissions: &account.permissions,
            declared: fields.shown(&account.user.metadata).collect(),
        }
    }

    /// The members of the JSON object.
    pub fn members(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(members)) => members,
            _ => Map::new(),
        }
    }
}

/// A session, without what depends on who is looking.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "SessionColumns")]
pub struct SessionView<'a> {
    /// The id, which tokens carry as `sid`.
    pub id: SessionId,
    /// A name for the device that people recognise, such as "Firefox on Linux".
    pub device: Option<String>,
    /// The address from which the session was opened or last refreshed.
    #[schemars(with = "Option<String>")]
    pub address: Option<IpAddr>,
    /// What the program of the client says of itself.
    pub user_agent: Option<&'a str>,
    /// When the session was opened.
    pub created_at: Timestamp,
    /// When the session was last used, up to a minute late.
    pub last_seen_at: Timestamp,
    /// When the session ends by itself.
    pub expires_at: Timestamp,
    /// When the user authenticated; `null` if the session was opened without a login.
    pub auth_time: Option<Timestamp>,
    /// How the user authenticated, as values of RFC 8176; empty if the session was opened without a login.
    pub amr: Vec<&'a str>,
    /// The assurance level of NIST SP 800-63B; 0 if the session was opened without a login.
    pub assurance_level: u8,
    /// The OAuth client that the tokens are for.
    pub client_id: Option<&'a str>,
    /// When an old refresh token last came back after the grace period.
    pub refresh_repeated_late_at: Option<Timestamp>,
}

impl<'a> From<&'a Session> for SessionView<'a> {
    fn from(session: &'a Session) -> Self {
        Self {
            id: session.id,
            device: session.client.device_name(),
            address: session.client.address,
            user_agent: session.client.user_agent.as_deref(),
            created_at: session.created_at,
            last_seen_at: session.last_seen_at,
            expires_at: session.expires_at,
            auth_time: session.auth.map(|auth| auth.auth_time),
            amr: session.auth.map_or_else(Vec::new, |auth| auth.methods.iter().collect()),
            assurance_level: session.assurance_level(),
            client_id: session.client_id.as_deref(),
            refresh_repeated_late_at: session.repeats.last_late_at,
        }
    }
}

/// A factor, without its secret.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "Factor")]
pub struct FactorView {
    /// The id.
    pub id: FactorId,
    /// What it is.
    pub r#type: FactorKind,
    /// What the user calls it.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last used.
    pub last_used_at: Option<Timestamp>,
    /// Of an authenticator app: too many wrong codes came. It counts again after a recovery code, a passkey,
    /// or three right codes one after the other.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub disabled: Option<bool>,
    /// Of a passkey: whether there is a copy of it on other devices.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub backed_up: Option<bool>,
    /// Of a passkey: how browsers reach it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<String>")]
    pub transports: Option<Vec<String>>,
    /// Of a passkey: where it is kept, if it says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub authenticator: Option<&'static str>,
    /// Of recovery codes: how many can still be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32")]
    pub unused: Option<u32>,
}

impl From<&Factor> for FactorView {
    fn from(factor: &Factor) -> Self {
        let mut view = Self {
            id: factor.id,
            r#type: factor.kind(),
            name: factor.name.clone(),
            created_at: factor.created_at,
            last_used_at: factor.last_used_at,
            disabled: None,
            backed_up: None,
            transports: None,
            authenticator: None,
            unused: None,
        };
        match &factor.method {
            Method::Totp(totp) => view.disabled = Some(totp.is_disabled()),
            Method::Passkey(passkey) => {
                view.backed_up = Some(passkey.credential.backed_up);
                view.transports = Some(passkey.credential.transports.clone());
                view.authenticator = passkey.credential.aaguid.and_then(aaguid::name);
            }
            Method::RecoveryCodes(codes) => view.unused = Some(codes.unused),
        }
        view
    }
}

/// An event of the audit log, as the user whose account it concerns sees it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "OwnEvent")]
pub struct OwnEventView<'a> {
    /// The number of the event.
    pub id: i64,
    /// When it happened.
    pub at: Timestamp,
    /// What happened, such as `logged_in`.
    pub event: &'a str,
    /// Who did it: `user`, `anonymous`, `operator`, `application`, `client` or `system`.
    pub actor: &'static str,
    /// The session that it concerns.
    pub session: Option<SessionId>,
    /// A name for the device that people recognise, such as "Firefox on Linux". This and the next two are
    /// `null` if they are forgotten, or if somebody else did it.
    pub device: Option<String>,
    /// The address of the request.
    #[schemars(with = "Option<String>")]
    pub address: Option<IpAddr>,
    /// What the program of the client says of itself.
    pub user_agent: Option<&'a str>,
    /// `success` or `failure`.
    pub result: &'static str,
    /// What else is known.
    pub data: &'a Map<String, Value>,
}

impl<'a> OwnEventView<'a> {
    /// What `user` may see of an event of theirs.
    pub fn new(user: UserId, record: &'a AuditRecord) -> Self {
        let is_of_others = match record.actor {
            Actor::User(actor) => actor != user,
            Actor::Anonymous => false,
            Actor::Operator | Actor::Application | Actor::Client(_) | Actor::System => true,
        };
        let client = Some(&record.client).filter(|_| !is_of_others);
        Self {
            id: record.id,
            at: record.at,
            event: &record.kind,
            actor: record.actor.kind(),
            session: record.session,
            device: client.and_then(ClientInfo::device_name),
            address: client.and_then(|client| client.address),
            user_agent: client.and_then(|client| client.user_agent.as_deref()),
            result: record.outcome.as_str(),
            data: &record.data,
        }
    }
}

/// An event of the audit log.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "Event")]
pub struct EventView<'a> {
    /// The number of the event.
    pub id: i64,
    /// When it happened.
    pub at: Timestamp,
    /// What happened, such as `logged_in`.
    pub event: &'a str,
    /// Who did it: `user`, `anonymous`, `operator`, `application`, `client` or `system`.
    pub actor: &'static str,
    /// Which user or client did it.
    pub actor_id: Option<String>,
    /// The user whose account it concerns.
    pub user: Option<UserId>,
    /// The session that it concerns.
    pub session: Option<SessionId>,
    /// The id of the request, as in the header `X-Request-Id` of its response.
    pub request_id: Option<&'a str>,
    /// The address of the request, until it is forgotten.
    #[schemars(with = "Option<String>")]
    pub address: Option<IpAddr>,
    /// What the program of the client says of itself, until it is forgotten.
    pub user_agent: Option<&'a str>,
    /// `success` or `failure`.
    pub result: &'static str,
    /// What else is known.
    pub data: &'a Map<String, Value>,
}

impl<'a> From<&'a AuditRecord> for EventView<'a> {
    fn from(record: &'a AuditRecord) -> Self {
        Self {
            id: record.id,
            at: record.at,
            event: &record.kind,
            actor: record.actor.kind(),
            actor_id: record.actor.id(),
            user: record.user,
            session: record.session,
            request_id: record.client.request_id.as_deref(),
            address: record.client.address,
            user_agent: record.client.user_agent.as_deref(),
            result: record.outcome.as_str(),
            data: &record.data,
        }
    }
}

/// Types that are one JSON value: their schema is written in place.
macro_rules! value_schema {
    ($($type:ident: $schema:tt),+ $(,)?) => {$(
        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )+};
}

value_schema! {
    Timestamp: {"type": "string", "format": "date-time"},
    UserId: {"type": "integer", "format": "int64"},
    SessionId: {"type": "string", "format": "uuid"},
    ChallengeId: {"type": "string", "format": "uuid"},
    FactorId: {"type": "string", "format": "uuid"},
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::Field;

    #[test]
    fn no_declared_field_can_hide_a_member_of_a_user() {
        let schema = schemars::schema_for!(AccountView<'_>);
        let members = schema.get("properties").and_then(Value::as_object).unwrap();
        assert_eq!(members.len(), 10);
        for name in members.keys() {
            assert!(Fields::new(vec![Field::boolean(name)]).is_err(), "{name} can be declared");
        }
    }
}
