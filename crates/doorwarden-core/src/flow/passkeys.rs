//! Passkeys: to register one, and to log in with one.

use super::authenticate::Authenticated;
use super::continue_login::{ContinueError, LoginTokens, owner, proceed, tokens_of};
use super::factors::{Enrolled, Enroller, FactorError, Found, enroll, factor_name, find};
use super::links::{RedeemError, by_token};
use super::log_in::{LoggedIn, LoginError, finish_login};
use super::pending::{State, StoredNeed, WantedTokens};
use super::second_factor::{enable_totps, notice_mail};
use super::throttle;
use crate::audit::{Actor, Origin};
use crate::authentication::{FactorProof, Proof};
use crate::challenge::{Challenge as PendingLogin, ChallengeId};
use crate::context::Context;
use crate::error::{FieldErrors, Input};
use crate::event::Event;
use crate::factor::ceremony::{self, Ceremony, CeremonyError};
use crate::factor::{Credential, Factor, FactorId, FactorKind, Method, Passkey};
use crate::limit::Limit;
use crate::mail::MailKind;
use crate::session::ClientInfo;
use crate::store::{PasskeyUse, StoreError};
use crate::user::User;
use doorwarden_webauthn::{
    self as webauthn, AllAcceptedCredentials, AuthenticationResponse, Counter, CreationOptions, CredentialId,
    CurrentUserDetails, Descriptor, Expectation, PublicKey, Refusal, RegistrationResponse, RelyingParty,
    RequestOptions, Requirement, StoredCredential, Transport, UserHandle,
};
use std::sync::Arc;

pub use crate::factor::ceremony::LIFETIME;

/// Why a passkey is refused.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PasskeyRefused {
    /// No relying party is configured.
    #[error("this service has no passkeys")]
    NotConfigured,
    /// No account has the passkey: the browser may be told so.
    #[error("no account has this passkey")]
    Unknown,
    /// The challenge was made too long ago, or answered before.
    #[error("the challenge has expired or was answered before")]
    ChallengeExpired,
    /// The challenge was not made for this.
    #[error("the challenge was not made for this")]
    ChallengeForeign,
    /// What the authenticator says is not what was asked for.
    #[error("the passkey is not valid: {0}")]
    Invalid(Refusal),
    /// The counter did not grow, and the settings ask for that.
    #[error("the counter of the passkey did not grow")]
    CounterRegressed,
    /// The account is deactivated, or was changed meanwhile.
    #[error("the account cannot log in")]
    Inactive,
    /// The passkey is another user's than whose login it is for.
    #[error("the passkey belongs to another account")]
    AnotherUser,
}

impl From<CeremonyError> for PasskeyRefused {
    fn from(error: CeremonyError) -> Self {
        match error {
            CeremonyError::Expired => Self::ChallengeExpired,
            CeremonyError::Foreign => Self::ChallengeForeign,
        }
    }
}

/// Why nobody was logged in by a passkey.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PasskeyLoginError {
    /// The passkey is refused.
    #[error(transparent)]
    Refused(#[from] PasskeyRefused),
    /// The login is refused, or goes on.
    #[error(transparent)]
    Continue(Box<ContinueError>),
}

impl<E: Into<ContinueError>> From<E> for PasskeyLoginError {
    fn from(error: E) -> Self {
        Self::Continue(Box::new(error.into()))
    }
}

/// What a browser is asked, and how its answer is recognised.
#[derive(Debug, Clone)]
pub struct Asked<O> {
    /// The name of the challenge.
    pub challenge_id: ChallengeId,
    /// For `PublicKeyCredential.parseCreationOptionsFromJSON` or `parseRequestOptionsFromJSON`.
    pub options: O,
}

/// What a browser is asked to make a passkey with.
///
/// # Errors
/// [`FactorError`] if the user must be authenticated first, or there are no passkeys.
pub async fn passkey_creation_options(
    context: &Context,
    enroller: Enroller<'_>,
    client: ClientInfo,
) -> Result<Asked<CreationOptions>, FactorError> {
    let party = party(context)?;
    let found = find(context, enroller, client).await?;
    let factors = context.store.factors_of(found.user.id).await?;
    let challenge = challenge(context, Ceremony::Register(found.user.id));
    let challenge_id = ceremony::name(&challenge).ok_or(PasskeyRefused::ChallengeForeign)?;
    let user = webauthn_user(context, &found.user, &factors);
    let options = party.creation_options(user, challenge, descriptors(&factors));
    Ok(Asked { challenge_id, options })
}

/// Registers a passkey.
///
/// # Errors
/// [`FactorError`] if the user must be authenticated first, or the passkey is refused.
pub async fn register_passkey(
    context: &Arc<Context>,
    enroller: Enroller<'_>,
    response: RegistrationResponse,
    name: Input<String>,
    client: ClientInfo,
) -> Result<Enrolled, FactorError> {
    let party = party(context)?;
    let found: Found = find(context, enroller, client).await?;
    let now = context.now();
    let challenge = response.challenge().map_err(|error| PasskeyRefused::Invalid(error.into()))?;
    let checked = context.ceremonies.check(Ceremony::Register(found.user.id), &challenge, now);
    checked.map_err(PasskeyRefused::from)?;
    let registered = party.register(&response, &challenge, Requirement::Preferred);
    let registered = registered.map_err(|refusal| refused(found.user.id, refusal))?;
    let factors = context.store.factors_of(found.user.id).await?;
    let known = webauthn::aaguid::name(registered.aaguid);
    let name = factor_name(name, known.unwrap_or("Passkey"))?;
    let credential = Credential {
        public_key: crate::token::base64url::encode(registered.public_key.as_cose()),
        user_handle: webauthn_user(context, &found.user, &factors).id.to_base64url(),
        rp_id: party.id().to_owned(),
        sign_count: registered.sign_count,
        backup_eligible: registered.backup_eligible,
        backed_up: registered.backed_up,
        transports: registered.transports.iter().map(|transport| transport.as_str().to_owned()).collect(),
        aaguid: (!registered.aaguid.is_nil()).then_some(registered.aaguid),
        attestation: Some(registered.attestation.format().to_owned()),
    };
    let factor = Factor {
        id: FactorId::new(now, context.random.bytes()),
        user: found.user.id,
        name,
        created_at: now,
        confirmed_at: Some(now),
        last_used_at: None,
        method: Method::Passkey(Passkey {
            credential_id: registered.credential_id.as_bytes().to_vec(),
            credential,
        }),
    };
    let proof = FactorProof::Passkey {
        is_user_verified: registered.user_verified,
        is_backup_eligible: registered.backup_eligible,
    };
    enroll(context, found, factor, None, proof).await
}

/// What a browser is asked to log in with: any passkey of this service, or with a login token one of the user
/// whose login waits for a second factor.
///
/// # Errors
/// [`PasskeyLoginError`] if there are no passkeys, or the login waits for something else.
pub async fn passkey_request_options(
    context: &Context,
    login_token: Input<String>,
) -> Result<Asked<RequestOptions>, PasskeyLoginError> {
    let party = party(context)?;
    let (ceremony, allow) = match awaited(context, login_token).await? {
        Some((login, _)) => {
            let factors = match login.user {
                Some(user) => context.store.factors_of(user).await?,
                None => Vec::new(),
            };
            let allow = descriptors(&factors);
            // Without a list any passkey would do.
            if allow.is_empty() {
                return Err(PasskeyRefused::Unknown.into());
            }
            (Ceremony::SecondFactor(login.id), allow)
        }
        None => (Ceremony::LogIn, Vec::new()),
    };
    let challenge = challenge(context, ceremony);
    let challenge_id = ceremony::name(&challenge).ok_or(PasskeyRefused::ChallengeForeign)?;
    Ok(Asked { challenge_id, options: party.request_options(challenge, allow, Requirement::Preferred) })
}

/// The contents of the request.
#[derive(Debug)]
pub struct PasskeyLogin {
    /// What the browser answered.
    pub credential: AuthenticationResponse,
    /// The login that waits for a second factor, if it is for that.
    pub login_token: Input<String>,
    /// What the login is for, if it begins with this.
    pub tokens: WantedTokens,
    /// The client that sent the request.
    pub client: ClientInfo,
}

/// Logs in with a passkey, or takes the next step of a login with it. A passkey whose authenticator has not
/// verified its user is one factor: the password is asked for, too.
///
/// # Errors
/// [`PasskeyLoginError`] if the passkey is refused, or the login needs another step.
pub async fn log_in_with_passkey(
    context: &Arc<Context>,
    request: PasskeyLogin,
) -> Result<LoginTokens, PasskeyLoginError> {
    let guess = throttle::guess(context, &request.client, Limit::LoginAddress).await?;
    let waiting = awaited(context, request.login_token).await?;
    let ceremony = waiting.as_ref().map_or(Ceremony::LogIn, |(login, _)| Ceremony::SecondFactor(login.id));
    let stranger = Origin::new(Actor::Anonymous, request.client.clone());
    let verified = verify(context, ceremony, waiting.as_ref(), &request.credential, request.client).await;
    if let Err(PasskeyLoginError::Refused(_)) = verified {
        let user = waiting.as_ref().and_then(|(login, _)| login.user);
        let event = Event::FactorRefused { user, kind: FactorKind::Webauthn };
        context.refused(context.effects(&stranger, [event])).await;
    }
    let (user, proof, origin) = verified?;
    // It is not unknown, or the browser would be told to forget it.
    let user = user.filter(|user| user.is_active).ok_or(PasskeyRefused::Inactive)?;
    guess.was_right();
    enable_totps(context, &user, &origin).await?;
    if let Some((login, mut state)) = waiting {
        let (user, origin) = owner(context, &login, origin.client).await?;
        state.add(&Proof::Factor(proof));
        return Ok(proceed(context, user, state, &login, origin).await?);
    }
    let proofs = vec![Proof::Factor(proof)];
    let logged_in = finish_login(context, user, request.tokens, proofs, None, origin).await;
    let LoggedIn { session, .. } = match logged_in {
        Err(LoginError::WrongCredentials) => return Err(PasskeyRefused::Inactive.into()),
        result => result?,
    };
    Ok(tokens_of(context, &session).await?)
}

/// Verifies what an authenticator says, and uses the challenge up.
async fn verify(
    context: &Context,
    ceremony: Ceremony,
    waiting: Option<&(PendingLogin, State)>,
    response: &AuthenticationResponse,
    client: ClientInfo,
) -> Result<(Option<User>, FactorProof, Origin), PasskeyLoginError> {
    let (party, now) = (party(context)?, context.now());
    let challenge = response.challenge().map_err(|error| PasskeyRefused::Invalid(error.into()))?;
    let name = context.ceremonies.check(ceremony, &challenge, now).map_err(PasskeyRefused::from)?;
    let found = context.store.passkey(response.credential_id().as_bytes()).await?;
    let (factor, passkey) = match found {
        Some(Factor { method: Method::Passkey(passkey), id, user, .. }) => ((id, user), passkey),
        _ => return Err(PasskeyRefused::Unknown.into()),
    };
    let (id, user) = factor;
    if waiting.is_some_and(|(login, _)| login.user != Some(user)) {
        return Err(PasskeyRefused::AnotherUser.into());
    }
    let (stored, handle) =
        read(&passkey).ok_or_else(|| StoreError::failed("a stored passkey cannot be read"))?;
    let expected = Expectation {
        challenge: &challenge,
        credential: &stored,
        user_handle: &handle,
        discoverable: waiting.is_none(),
        user_verification: Requirement::Preferred,
    };
    let authenticated = party.authenticate(response, &expected).map_err(|refusal| refused(user, refusal))?;
    let origin = Origin::new(Actor::User(user), client);
    let owner = context.store.user(user).await?;
    let mut effects = context.effects(&origin, []);
    if authenticated.counter == Counter::NotGrown {
        effects.events.push(Event::PasskeyCounterRegressed { user });
        if let Some(owner) = &owner {
            effects =
                effects.mailing_all(notice_mail(context, owner, MailKind::PasskeyCounter, &origin, |_| {}));
        }
        if context.settings.factors.strict_counters {
            context.record(effects).await;
            return Err(PasskeyRefused::CounterRegressed.into());
        }
    }
    let former = &passkey.credential;
    if former.backed_up != authenticated.backed_up {
        effects.events.push(Event::PasskeyBackupChanged { user, backed_up: authenticated.backed_up });
    }
    let credential = Credential {
        sign_count: authenticated.sign_count,
        backup_eligible: authenticated.backup_eligible,
        backed_up: authenticated.backed_up,
        ..former.clone()
    };
    let used = PasskeyUse { id, ceremony: name, remembered_until: now.after(2 * LIFETIME), credential };
    if !context.store.use_passkey(used, effects.clone()).await? {
        return Err(PasskeyRefused::ChallengeExpired.into());
    }
    context.notify(&effects).await;
    let proof = FactorProof::Passkey {
        is_user_verified: authenticated.user_verified,
        is_backup_eligible: authenticated.backup_eligible,
    };
    Ok((owner, proof, origin))
}

/// What tells a browser's passkey manager which passkeys of the user are good, and the user's names.
///
/// # Errors
/// [`PasskeyRefused::NotConfigured`], or the database operation failed.
pub async fn passkey_signals(
    context: &Context,
    who: &Authenticated,
) -> Result<(AllAcceptedCredentials, CurrentUserDetails), FactorError> {
    let party = party(context)?;
    let factors = context.store.factors_of(who.id()).await?;
    let user = webauthn_user(context, who.user(), &factors);
    let ids =
        passkeys(&factors).filter_map(|passkey| CredentialId::new(&passkey.credential_id[..]).ok()).collect();
    Ok((party.all_accepted_credentials(user.id.clone(), ids), party.current_user_details(user)))
}

/// The relying party of passkeys.
///
/// # Errors
/// [`PasskeyRefused::NotConfigured`] if there is none.
pub fn party(context: &Context) -> Result<&RelyingParty, PasskeyRefused> {
    context.settings.factors.passkeys.as_ref().ok_or(PasskeyRefused::NotConfigured)
}

fn challenge(context: &Context, ceremony: Ceremony) -> webauthn::Challenge {
    context.ceremonies.challenge(ceremony, context.now(), context.random.as_ref())
}

/// The login that waits for a second factor.
async fn awaited(
    context: &Context,
    login_token: Input<String>,
) -> Result<Option<(PendingLogin, State)>, PasskeyLoginError> {
    if matches!(login_token, Input::Missing) {
        return Ok(None);
    }
    let complain = |complaint| LoginError::Invalid(FieldErrors::one("login_token", complaint));
    let token = login_token.required().map_err(complain)?;
    let login = by_token(context, &token).await?.ok_or(RedeemError::LoginExpired)?;
    let state = State::read(&login);
    match state.needs == Some(StoredNeed::SecondFactor) {
        true => Ok(Some((login, state))),
        false => Err(RedeemError::LoginExpired.into()),
    }
}

/// The user as authenticators show them, under the handle that their passkeys have.
fn webauthn_user(context: &Context, user: &User, factors: &[Factor]) -> webauthn::User {
    let known = passkeys(factors)
        .find_map(|passkey| UserHandle::from_base64url(&passkey.credential.user_handle).ok());
    webauthn::User {
        id: known.unwrap_or_else(|| context.ceremonies.handle(user.id)),
        name: user.email.as_str().to_owned(),
        display_name: user.username.as_str().to_owned(),
    }
}

fn passkeys(factors: &[Factor]) -> impl Iterator<Item = &Passkey> {
    factors.iter().filter(|factor| factor.is_confirmed()).filter_map(|factor| match &factor.method {
        Method::Passkey(passkey) => Some(passkey),
        _ => None,
    })
}

fn descriptors(factors: &[Factor]) -> Vec<Descriptor> {
    let descriptor = |passkey: &Passkey| {
        let id = CredentialId::new(&passkey.credential_id[..]).ok()?;
        let transports =
            passkey.credential.transports.iter().filter_map(|name| Transport::new(name)).collect();
        Some(Descriptor::new(id, transports))
    };
    passkeys(factors).filter_map(descriptor).collect()
}

fn read(passkey: &Passkey) -> Option<(StoredCredential, UserHandle)> {
    let key = crate::token::base64url::decode(passkey.credential.public_key.as_bytes())?;
    let stored = StoredCredential {
        id: CredentialId::new(&passkey.credential_id[..]).ok()?,
        public_key: PublicKey::from_cose(&key).ok()?,
        sign_count: passkey.credential.sign_count,
    };
    Some((stored, UserHandle::from_base64url(&passkey.credential.user_handle).ok()?))
}

/// The reason is for the log alone.
fn refused(user: crate::user::UserId, refusal: Refusal) -> PasskeyRefused {
    tracing::info!(user.id = user.0, reason = %refusal, "a passkey was refused");
    PasskeyRefused::Invalid(refusal)
}
