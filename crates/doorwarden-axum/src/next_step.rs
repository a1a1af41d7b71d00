//! What a client does next in an authentication that is not at its end.

use doorwarden_core::challenge::Challenge;
use doorwarden_core::flow::pending::{Pending, PendingStep};
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
    /// Where the mail went, as far as the client may know.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    email: Option<String>,
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
}

impl NextStep {
    /// The user must be authenticated once more.
    pub(crate) fn reauthenticate() -> Self {
        let flow = Flow { id: FlowId::Reauthenticate, is_pending: false, email: None, resend_in: None };
        Self { login_token: None, expires_in: None, flows: vec![flow] }
    }

    pub(crate) fn of(pending: &Pending) -> Self {
        let resend_in = Some(Challenge::RESEND_AFTER.as_secs());
        let (id, email, resend_in) = match &pending.step {
            PendingStep::VerifyEmail { email } => (FlowId::VerifyEmail, Some(email.clone()), resend_in),
            PendingStep::ChangePassword => (FlowId::ChangePassword, None, None),
            PendingStep::CancelDeletion => (FlowId::CancelDeletion, None, None),
            _ => (FlowId::EmailCode, None, resend_in),
        };
        Self {
            login_token: Some(pending.login_token.0.clone()),
            expires_in: Some(pending.expires_in.as_secs()),
            flows: vec![Flow { id, is_pending: true, email, resend_in }],
        }
    }
}
