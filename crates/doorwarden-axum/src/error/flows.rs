//! What the flows and the stores say, as responses.

use super::ApiError;
use doorwarden_core::error::{FieldError, FieldErrors, NON_FIELD_ERRORS};
use doorwarden_core::flow::authenticate::{AuthenticateError, TokenRefused};
use doorwarden_core::flow::change_email::ChangeEmailError;
use doorwarden_core::flow::change_password::ChangePasswordError;
use doorwarden_core::flow::continue_login::ContinueError;
use doorwarden_core::flow::delete_account::DeleteAccountError;
use doorwarden_core::flow::factors::FactorError;
use doorwarden_core::flow::invite::{AcceptError, InviteError};
use doorwarden_core::flow::links::RedeemError;
use doorwarden_core::flow::log_in::LoginError;
use doorwarden_core::flow::log_in_by_mail::RequestMailError;
use doorwarden_core::flow::obtain_tokens::{ExchangeError, InvalidTarget};
use doorwarden_core::flow::passkeys::{PasskeyLoginError, PasskeyRefused};
use doorwarden_core::flow::profile::ProfileError;
use doorwarden_core::flow::reauthenticate::{RECENT, ReauthenticateError};
use doorwarden_core::flow::register::RegisterError;
use doorwarden_core::flow::reset_password::ResetPasswordError;
use doorwarden_core::flow::verify_registration::VerifyRegistrationError;
use doorwarden_core::keys::SignError;
use doorwarden_core::limit::Throttled;
use doorwarden_core::password::PoolError;
use doorwarden_core::store::{Reason, StoreError};
use doorwarden_core::token::Refusal;
use doorwarden_core::token::bearer::BearerError;
use http::StatusCode;
use parking_lot::Mutex;
use std::time::{Duration, Instant};

/// The interval in which the same failure is logged at most once.
const QUIET: Duration = Duration::from_mins(1);
/// The maximum number of different reasons for an unavailable database that are logged in that interval.
const MOST_REASONS: usize = 16;

/// The error of a login, in Django REST framework's format, with the text of the article.
fn wrong_credentials() -> ApiError {
    let complaint = FieldError::new("authorization", LoginError::WrongCredentials.to_string());
    ApiError::fields(FieldErrors::one(NON_FIELD_ERRORS, complaint))
}

impl From<Throttled> for ApiError {
    fn from(throttled: Throttled) -> Self {
        Self::throttled(throttled)
    }
}

impl From<LoginError> for ApiError {
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::Invalid(errors) => Self::fields(errors),
            LoginError::WrongCredentials => wrong_credentials(),
            LoginError::Pending(pending) => Self::pending(&pending),
            LoginError::Pool(error) => error.into(),
            LoginError::Throttled(throttled) => (*throttled).into(),
            LoginError::Store(error) => error.into(),
        }
    }
}

impl From<RegisterError> for ApiError {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::Invalid(errors) => Self::fields(errors),
            RegisterError::Changed => wrong_credentials(),
            RegisterError::NoSession(error) => {
                // Logged as ever; that the account is there is what its user must know.
                let _ = Self::from(error);
                let text = "Your account was created, but you could not be logged in. Log in.";
                Self::unavailable("account_created", text, Duration::from_secs(1)).showing_code()
            }
            RegisterError::Pending(pending) => Self::pending(&pending),
            RegisterError::Closed => Self::detail(
                StatusCode::FORBIDDEN,
                "registration_closed",
                "Registration is closed. Ask for an invitation.",
            )
            .showing_code(),
            RegisterError::Pool(error) => error.into(),
            RegisterError::Throttled(throttled) => (*throttled).into(),
            RegisterError::Store(error) => error.into(),
        }
    }
}

impl From<RedeemError> for ApiError {
    fn from(error: RedeemError) -> Self {
        let bad = |code, text| Self::detail(StatusCode::BAD_REQUEST, code, text).showing_code();
        match error {
            RedeemError::LinkInvalid => {
                bad("link_invalid", "This link was used already or has expired. Ask for another one.")
            }
            RedeemError::LoginExpired => {
                Self::unauthorized("login_expired", "The login has expired. Begin again.").showing_code()
            }
            RedeemError::CodeInvalid { attempts_left } => {
                let mut error = bad("code_invalid", "This code is wrong.");
                error.more.attempts_left = Some(attempts_left);
                error
            }
            RedeemError::Missing => bad("answer_missing", "Send `key`, or `login_token` and `code`."),
            RedeemError::Throttled(throttled) => (*throttled).into(),
            RedeemError::Store(error) => error.into(),
        }
    }
}

impl From<RequestMailError> for ApiError {
    fn from(error: RequestMailError) -> Self {
        match error {
            RequestMailError::Invalid(errors) => Self::fields(errors),
            RequestMailError::NoMail => {
                let text = "This service sends no mail.";
                Self::detail(StatusCode::NOT_IMPLEMENTED, "mail_not_configured", text).showing_code()
            }
            RequestMailError::Throttled(throttled) => (*throttled).into(),
            RequestMailError::Store(error) => error.into(),
        }
    }
}

impl From<ContinueError> for ApiError {
    fn from(error: ContinueError) -> Self {
        match error {
            ContinueError::Redeem(error) => error.into(),
            ContinueError::Login(error) => error.into(),
            ContinueError::Sign(error) => error.into(),
        }
    }
}

impl From<InviteError> for ApiError {
    fn from(error: InviteError) -> Self {
        match error {
            InviteError::Invalid(errors) => Self::fields(errors),
            InviteError::NoMail => RequestMailError::NoMail.into(),
            InviteError::Store(error) => error.into(),
        }
    }
}

impl From<AcceptError> for ApiError {
    fn from(error: AcceptError) -> Self {
        match error {
            AcceptError::Redeem(error) => error.into(),
            AcceptError::SignedInAsAnother => {
                let text = "You are logged in with another email address. Log out to accept this invitation.";
                Self::detail(StatusCode::CONFLICT, "signed_in_as_another", text).showing_code()
            }
            AcceptError::Register(error) => error.into(),
        }
    }
}

impl From<ChangeEmailError> for ApiError {
    fn from(error: ChangeEmailError) -> Self {
        match error {
            ChangeEmailError::Redeem(error) => error.into(),
            ChangeEmailError::Invalid(errors) => Self::fields(errors),
        }
    }
}

impl From<ReauthenticateError> for ApiError {
    fn from(error: ReauthenticateError) -> Self {
        match error {
            ReauthenticateError::Invalid(errors) => Self::fields(errors),
            ReauthenticateError::Pending(pending) => Self::pending(&pending),
            ReauthenticateError::NoSession => AuthenticateError::from(TokenRefused::WithoutSession).into(),
            ReauthenticateError::NoFactor => {
                let complaint = FieldError::new("no_factor", "The account has no second factor.");
                Self::fields(FieldErrors::one("method", complaint))
            }
            ReauthenticateError::NoMail => RequestMailError::NoMail.into(),
            ReauthenticateError::Pool(error) => error.into(),
            ReauthenticateError::Throttled(throttled) => (*throttled).into(),
            ReauthenticateError::Store(error) => error.into(),
        }
    }
}

impl From<ResetPasswordError> for ApiError {
    fn from(error: ResetPasswordError) -> Self {
        match error {
            ResetPasswordError::Redeem(error) => error.into(),
            ResetPasswordError::Invalid(errors) => Self::fields(errors),
            ResetPasswordError::Pending(pending) => Self::pending(&pending),
            ResetPasswordError::Pool(error) => error.into(),
        }
    }
}

impl From<FactorError> for ApiError {
    fn from(error: FactorError) -> Self {
        let bad = |code, text| Self::detail(StatusCode::BAD_REQUEST, code, text).showing_code();
        let conflict = |code, text| Self::detail(StatusCode::CONFLICT, code, text).showing_code();
        match error {
            FactorError::Invalid(errors) => Self::fields(errors),
            FactorError::NotRecent => Self::reauthentication_required(RECENT),
            FactorError::Redeem(error) => error.into(),
            FactorError::CodeInvalid => bad("code_invalid", "This code is wrong."),
            FactorError::ClockSkew(seconds) => {
                let text = "The code is of another time. Set the clock of the device, and try again.";
                let mut error = bad("clock_skew", text);
                error.more.skew_seconds = Some(seconds);
                error
            }
            FactorError::NoSuchFactor => Self::not_found(),
            FactorError::LastFactorRequired => conflict(
                "last_factor_required",
                "A factor is required, and this is the last one. Set up another one first.",
            ),
            FactorError::TooMany => {
                conflict("too_many_factors", "There are too many factors. Remove one first.")
            }
            FactorError::Taken => conflict("factor_exists", "This authenticator is registered already."),
            FactorError::Passkey(refused) => refused.into(),
            FactorError::Pending(pending) => Self::pending(&pending),
            FactorError::Login(error) => (*error).into(),
            FactorError::Store(error) => error.into(),
        }
    }
}

/// Whose passkey it is, and what is wrong with it, is for the log alone.
impl From<PasskeyRefused> for ApiError {
    fn from(refused: PasskeyRefused) -> Self {
        let bad = |code, text| Self::detail(StatusCode::BAD_REQUEST, code, text).showing_code();
        match refused {
            PasskeyRefused::NotConfigured => {
                let text = "This service has no passkeys.";
                Self::detail(StatusCode::NOT_FOUND, "passkeys_not_configured", text).showing_code()
            }
            PasskeyRefused::Unknown => bad("passkey_unknown", "No account has this passkey."),
            PasskeyRefused::ChallengeExpired => {
                bad("challenge_expired", "This took too long, or was used already. Begin again.")
            }
            _ => bad("passkey_invalid", "This passkey is not valid here."),
        }
    }
}

impl From<PasskeyLoginError> for ApiError {
    fn from(error: PasskeyLoginError) -> Self {
        match error {
            PasskeyLoginError::Refused(refused) => refused.into(),
            PasskeyLoginError::Continue(error) => (*error).into(),
        }
    }
}

impl From<VerifyRegistrationError> for ApiError {
    fn from(error: VerifyRegistrationError) -> Self {
        match error {
            VerifyRegistrationError::Redeem(error) => error.into(),
            VerifyRegistrationError::Register(error) => error.into(),
            VerifyRegistrationError::Login(error) => error.into(),
        }
    }
}

impl From<ChangePasswordError> for ApiError {
    fn from(error: ChangePasswordError) -> Self {
        match error {
            ChangePasswordError::Invalid(errors) => Self::fields(errors),
            ChangePasswordError::NoSuchUser => Self::not_found(),
            ChangePasswordError::NotRecent => Self::reauthentication_required(RECENT),
            ChangePasswordError::Pool(error) => error.into(),
            ChangePasswordError::Throttled(throttled) => (*throttled).into(),
            ChangePasswordError::Store(error) => error.into(),
        }
    }
}

impl From<DeleteAccountError> for ApiError {
    fn from(error: DeleteAccountError) -> Self {
        match error {
            DeleteAccountError::Invalid(errors) => Self::fields(errors),
            DeleteAccountError::NoSuchUser => Self::not_found(),
            DeleteAccountError::NotRecent => Self::reauthentication_required(RECENT),
            DeleteAccountError::Pool(error) => error.into(),
            DeleteAccountError::Throttled(throttled) => (*throttled).into(),
            DeleteAccountError::Store(error) => error.into(),
        }
    }
}

impl From<ProfileError> for ApiError {
    fn from(error: ProfileError) -> Self {
        match error {
            ProfileError::Invalid(errors) => Self::fields(errors),
            ProfileError::NoSuchUser => Self::not_found(),
            ProfileError::Store(error) => error.into(),
        }
    }
}

impl From<ExchangeError> for ApiError {
    fn from(error: ExchangeError) -> Self {
        match error {
            ExchangeError::Refused(refused) => AuthenticateError::from(refused).into(),
            ExchangeError::Sign(error) => error.into(),
            ExchangeError::Store(error) => error.into(),
        }
    }
}

impl From<InvalidTarget> for ApiError {
    fn from(InvalidTarget: InvalidTarget) -> Self {
        let text = "The resource is none that a token can be asked for.";
        Self::detail(StatusCode::BAD_REQUEST, "invalid_target", text).showing_code()
    }
}

/// The flow has logged it.
impl From<SignError> for ApiError {
    fn from(_: SignError) -> Self {
        Self::internal()
    }
}

impl From<PoolError> for ApiError {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Busy { retry_after } => Self::unavailable(
                "busy",
                "Too many passwords are being checked. Try again later.",
                retry_after,
            ),
            PoolError::Stopped => Self::unavailable(
                "stopping",
                "The service is stopping. Try again later.",
                Duration::from_secs(1),
            ),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(why) => {
                log_unavailable(&why);
                Self::unavailable(
                    "database_unavailable",
                    "The service is not available at the moment. Try again later.",
                    Duration::from_secs(1),
                )
            }
            StoreError::Failed(why) => {
                tracing::error!(error = %why, hint = why.hint(), "the database failed");
                Self::internal()
            }
            StoreError::Spent => RedeemError::LinkInvalid.into(),
        }
    }
}

/// Logs the reason, but each reason at most once a minute: while a database is unavailable every request
/// would log it.
fn log_unavailable(why: &Reason) {
    static LOGGED: Mutex<Vec<(Instant, Reason)>> = Mutex::new(Vec::new());
    let mut logged = LOGGED.lock();
    logged.retain(|(at, _)| at.elapsed() < QUIET);
    if logged.len() < MOST_REASONS && logged.iter().all(|(_, other)| other != why) {
        logged.push((Instant::now(), why.clone()));
        drop(logged);
        tracing::error!(error = %why, hint = why.hint(), "the database is not available");
    }
}

impl From<AuthenticateError> for ApiError {
    fn from(error: AuthenticateError) -> Self {
        match error {
            AuthenticateError::Refused(refused) => {
                tracing::debug!(reason = refused.code(), "a token was refused");
                Self::token_refused(&refused)
            }
            AuthenticateError::Store(error) => error.into(),
        }
    }
}

impl From<BearerError> for ApiError {
    fn from(error: BearerError) -> Self {
        match error {
            BearerError::Missing => Self::not_authenticated(),
            BearerError::NotBearer => Self::not_bearer(),
            BearerError::NotAscii => Refusal::NotThreeParts.into(),
            BearerError::Repeated => {
                let text = "More than one Authorization header was sent.";
                Self::detail(StatusCode::BAD_REQUEST, "invalid_request", text)
            }
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        Self::token_refused(&TokenRefused::Token(refusal))
    }
}
