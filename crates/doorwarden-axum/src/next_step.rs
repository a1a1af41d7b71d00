//! What a client does next in an authentication that is not at its end.

use doorwarden_core::challenge::Challenge;
use doorwarden_core::factor::FactorKind;
use doorwarden_core::flow::pending::{Pending, PendingStep};
use doorwarden_core::limit::OtherWay;
use schemars::JsonSchema;
use serde::Serialize;

/// What to do next.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct NextStep {
    /// To be sent with the next step.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    login_token: Option<String>,
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64")]
    expires_in: Option<u64>,
    /// One of these is done next.
    flows: Vec<Flow>,
}

/// A way to go on.
#[derive(Debug, Clone, Serialize, JsonSchema)]
struct Flow {
    id: FlowId,
    /// It has begun: a mail was sent, or the next request completes it.
    is_pending: bool,
    /// Of a step of the application's own: its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    name: Option<String>,
    /// Where the mail went, as far as the client may know.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    email: Option<String>,
    /// What can be given, or set up.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<FactorKind>")]
    types: Option<Vec<FactorKind>>,
    /// Too many wrong codes came: so many right ones are needed, one after the other.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u8")]
    codes_left: Option<u8>,
    /// After how many seconds the mail can be sent once more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64")]
    resend_in: Option<u64>,
}

#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum FlowId {
    VerifyEmail,
    EmailCode,
    ChangePassword,
    CancelDeletion,
    Reauthenticate,
    Password,
    MfaAuthenticate,
    EnrollFactor,
    Stage,
    Passkey,
}

impl NextStep {
    /// The user must be authenticated once more.
    pub(crate) fn reauthenticate() -> Self {
        let flow = Flow { is_pending: false, ..Flow::of(FlowId::Reauthenticate) };
        Self { login_token: None, expires_in: None, flows: vec![flow] }
    }

    /// What may be begun instead of a login with a password.
    pub(crate) fn instead(ways: &[OtherWay]) -> Self {
        let flow = |way: &OtherWay| match way {
            OtherWay::Email => FlowId::EmailCode,
            OtherWay::Passkey => FlowId::Passkey,
        };
        let flows = ways.iter().map(|way| Flow { is_pending: false, ..Flow::of(flow(way)) }).collect();
        Self { login_token: None, expires_in: None, flows }
    }

    pub(crate) fn of(pending: &Pending) -> Self {
        let resend_in = Some(Challenge::RESEND_AFTER.as_secs());
        let flow = match &pending.step {
            PendingStep::VerifyEmail { email } => {
                Flow { email: Some(email.clone()), resend_in, ..Flow::of(FlowId::VerifyEmail) }
            }
            PendingStep::ChangePassword => Flow::of(FlowId::ChangePassword),
            PendingStep::CancelDeletion => Flow::of(FlowId::CancelDeletion),
            PendingStep::Password => Flow::of(FlowId::Password),
            PendingStep::Stage(name) => Flow { name: Some(name.clone()), ..Flow::of(FlowId::Stage) },
            PendingStep::SecondFactor { kinds, codes_left } => {
                let (types, codes_left) = (Some(kinds.clone()), *codes_left);
                Flow { types, codes_left, ..Flow::of(FlowId::MfaAuthenticate) }
            }
            PendingStep::EnrollFactor { kinds } => {
                Flow { types: Some(kinds.clone()), ..Flow::of(FlowId::EnrollFactor) }
            }
            _ => Flow { resend_in, ..Flow::of(FlowId::EmailCode) },
        };
        Self {
            login_token: Some(pending.login_token.0.clone()),
            expires_in: Some(pending.expires_in.as_secs()),
            flows: vec![flow],
        }
    }
}

impl Flow {
    fn of(id: FlowId) -> Self {
        Self { id, is_pending: true, name: None, email: None, types: None, codes_left: None, resend_in: None }
    }
}
