use super::answer::Json;
use super::operation::{Anybody, Call};
use crate::error::ApiError;
use doorwarden_core::factor::FactorKind;
use doorwarden_core::settings::{EmailVerification, RegistrationMode};
use schemars::JsonSchema;
use serde::Serialize;

/// What a front end needs to know to draw its forms.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Config")]
pub(super) struct PublicConfig {
    registration: Registration,
    /// Whether only addresses of some domains can be registered. Which ones is not said.
    limited_domains: bool,
    /// How one can log in.
    login: Vec<LoginMethod>,
    /// The second factors that can be set up or given.
    factors: Vec<FactorKind>,
    password: PasswordRules,
    /// What whoever must wait may compute instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ProofOfWork")]
    proof_of_work: Option<ProofOfWork>,
    email_verification: Verification,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum Registration {
    Open,
    Verified,
    Invitation,
    Closed,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum LoginMethod {
    Password,
    Email,
    Passkey,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum Verification {
    Off,
    Asked,
    Required,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum ProofOfWork {
    Altcha,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
struct PasswordRules {
    min_length: usize,
    max_length: usize,
}

pub(super) async fn get(call: Call<Anybody>) -> Result<Json<PublicConfig>, ApiError> {
    let context = call.auth.context();
    let settings = &context.settings;
    let mut login = vec![LoginMethod::Password];
    if context.outbox.is_open() {
        login.push(LoginMethod::Email);
    }
    let mut factors = settings.factors.kinds();
    if factors.contains(&FactorKind::Webauthn) {
        login.push(LoginMethod::Passkey);
    }
    factors.push(FactorKind::RecoveryCodes);
    Ok(Json(PublicConfig {
        registration: match settings.registration.mode {
            RegistrationMode::Open => Registration::Open,
            RegistrationMode::Verified => Registration::Verified,
            RegistrationMode::Invitation => Registration::Invitation,
            RegistrationMode::Closed => Registration::Closed,
        },
        limited_domains: !settings.registration.domains.is_empty(),
        login,
        factors,
        password: PasswordRules {
            min_length: settings.password_policy.min_length,
            max_length: settings.password_policy.max_length,
        },
        proof_of_work: (settings.limits.enabled && settings.limits.proof_of_work)
            .then_some(ProofOfWork::Altcha),
        email_verification: match settings.mail.verification {
            EmailVerification::Off => Verification::Off,
            EmailVerification::Asked => Verification::Asked,
            EmailVerification::Required => Verification::Required,
        },
    }))
}
