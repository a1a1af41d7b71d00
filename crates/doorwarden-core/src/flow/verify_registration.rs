//! A registration becomes an account when its address is proved.

use super::continue_login::{ContinueError, LoginTokens, Step, continue_login};
use super::links::{Answer, RedeemError, answered, by_key, by_token};
use super::register::{RegisterError, Registered, Waiting, create};
use super::rules;
use crate::challenge::ChallengePurpose;
use crate::context::Context;
use crate::error::{FieldErrors, Input};
use crate::session::ClientInfo;
use crate::store::StoreError;
use std::sync::Arc;

/// The contents of the request.
#[derive(Debug, Default)]
pub struct VerifyRegistration {
    /// How the mail is answered.
    pub answer: Answer,
    /// The password of the account. Needed by whoever opens the link on another device than the one on which
    /// the registration was sent: it may have been somebody else who registered with this address, and then
    /// their password must not open the account.
    pub password: Input<String>,
    /// The client that sent the request.
    pub client: ClientInfo,
}

/// Why there is no account, or no token.
#[derive(Debug, Clone, thiserror::Error)]
pub enum VerifyRegistrationError {
    /// The link, the login token or the code is refused.
    #[error(transparent)]
    Redeem(#[from] RedeemError),
    /// The account could not be created.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// The address of an account was proved, and the login did not succeed.
    #[error(transparent)]
    Login(#[from] ContinueError),
}

impl From<StoreError> for VerifyRegistrationError {
    fn from(error: StoreError) -> Self {
        RedeemError::Store(error).into()
    }
}

/// Proves the address: creates the account of a registration that waits, or logs in to the account whose
/// address was to be proved.
///
/// # Errors
/// [`VerifyRegistrationError`] if the link or code is refused, the password is missing or breaks rules, or
/// the address or username was taken meanwhile.
pub async fn verify_registration(
    context: &Arc<Context>,
    request: VerifyRegistration,
) -> Result<LoginTokens, VerifyRegistrationError> {
    if purpose(context, &request.answer).await? == Some(ChallengePurpose::VerifyEmail) {
        let answer = Answer { password: request.password, ..request.answer };
        return Ok(continue_login(context, Step::Mail(answer), request.client).await?);
    }
    let answered = answered(context, request.answer, &request.client).await?;
    let (challenge, now) = (answered.challenge, context.now());
    if challenge.purpose != ChallengePurpose::Register {
        return Err(RedeemError::LinkInvalid.into());
    }
    let waiting = Waiting::read(&challenge).filter(|waiting| !waiting.is_decoy);
    let mut new = waiting.ok_or(RedeemError::LinkInvalid)?.account(challenge.email.clone(), now);
    let chooses = new.password.is_usable() || !matches!(request.password, Input::Missing);
    if !answered.is_asker && chooses {
        let mut errors = FieldErrors::new();
        let password = rules::typed_password("password", request.password, &mut errors);
        if let Some(password) = &password {
            let attributes = [("username", new.username.as_str()), ("email", new.email.as_str())];
            let policy = &context.settings.password_policy;
            rules::strength("password", policy, password, &attributes, &mut errors);
        }
        let (Some(password), true) = (password, errors.is_empty()) else {
            return Err(RegisterError::Invalid(errors).into());
        };
        new.password =
            context.pool.hash(&password, context.random.bytes()).await.map_err(RegisterError::Pool)?;
    }
    let (creating, client) = (Arc::clone(context), request.client);
    let created =
        super::finish::finish(async move { create(&creating, new, Some(challenge.id), client).await }).await;
    match created {
        Ok(Registered { token, .. }) => Ok(LoginTokens::Session(token)),
        Err(RegisterError::Store(StoreError::Spent)) => Err(RedeemError::LinkInvalid.into()),
        Err(error) => Err(error.into()),
    }
}

/// What the answered challenge is for. Counts no attempt.
async fn purpose(context: &Context, answer: &Answer) -> Result<Option<ChallengePurpose>, StoreError> {
    let challenge = match (&answer.key, &answer.login_token) {
        (Input::Given(key), _) => by_key(context, key).await?,
        (_, Input::Given(token)) => by_token(context, token).await?,
        _ => None,
    };
    Ok(challenge.map(|challenge| challenge.purpose))
}
