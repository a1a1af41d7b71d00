//! Errors as responses: Django REST framework's format, or RFC 9457 for a client that asks for
//! `application/problem+json`.

mod flows;

use crate::accept::wants_problem;
use crate::hint::Hint;
use crate::next_step::NextStep;
use axum::response::{IntoResponse, Response};
use doorwarden_core::error::{FieldError, FieldErrors, NON_FIELD_ERRORS};
use doorwarden_core::flow::authenticate::TokenRefused;
use doorwarden_core::flow::pending::{Pending, PendingStep};
use doorwarden_core::limit::Throttled;
use doorwarden_core::limit::proof_of_work::WorkChallenge;
use doorwarden_core::token::Refusal;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// Every response of Doorwarden with a status of 400 or more.
///
/// As a response it has Django REST framework's format. [`render`](Self::render) chooses the format by what
/// the client accepts.
#[derive(Debug, Clone)]
pub struct ApiError {
    status: StatusCode,
    code: Cow<'static, str>,
    complaint: Complaint,
    headers: Vec<(http::HeaderName, HeaderValue)>,
    shows_code: bool,
    hint: Option<Hint>,
    more: Box<More>,
}

/// What an error says beside its text, for programs.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
#[schemars(inline)]
pub(crate) struct More {
    /// How many more codes may be tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32")]
    attempts_left: Option<u32>,
    /// By how many seconds the clock of the device is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64")]
    skew_seconds: Option<i64>,
    /// How many seconds ago the user may have been authenticated.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64")]
    max_age: Option<u64>,
    /// The limits that were exceeded.
    #[serde(rename = "violated-policies", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<&'static str>")]
    violated_policies: Option<Vec<&'static str>>,
    /// What the client may compute instead of waiting: a challenge of ALTCHA, version 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "WorkChallenge")]
    proof_of_work: Option<WorkChallenge>,
    /// What to do next, and with which login token.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    #[schemars(flatten)]
    next: Option<NextStep>,
}

#[derive(Debug, Clone)]
enum Complaint {
    Detail(Cow<'static, str>),
    Fields(FieldErrors),
    /// In the format of RFC 6749, section 5.2, whatever the client accepts.
    Oauth(&'static str),
}

/// The format of a [`Complaint::Detail`].
#[derive(Debug, Serialize, JsonSchema)]
#[expect(clippy::struct_field_names, reason = "Django REST framework calls it so")]
pub(crate) struct Detail<'a> {
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "&str")]
    code: Option<&'a str>,
    #[serde(flatten)]
    more: &'a More,
}

/// Complaints by field; `non_field_errors` for those that concern no single field, `detail` for the request
/// as a whole.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(transparent)]
#[schemars(rename = "FieldErrors")]
pub(crate) struct ByField<'a>(BTreeMap<&'a str, TextOrTexts<'a>>);

#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
enum TextOrTexts<'a> {
    Texts(Vec<&'a str>),
    #[expect(
        dead_code,
        reason = "the shape of Detail, which a client may meet where it expects complaints by field"
    )]
    Text(&'a str),
}

impl<'a> TextOrTexts<'a> {
    fn of(errors: &'a [FieldError]) -> Self {
        Self::Texts(errors.iter().map(|error| error.text.as_ref()).collect())
    }
}

/// Problem details (RFC 9457).
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub(crate) struct ProblemDetails<'a> {
    r#type: &'a str,
    title: &'a str,
    status: u16,
    code: &'a str,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "&str")]
    hint: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "BTreeMap<&str, Vec<ProblemOfField<'_>>>")]
    errors: Option<BTreeMap<&'a str, Vec<ProblemOfField<'a>>>>,
    #[serde(flatten)]
    more: &'a More,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
struct ProblemOfField<'a> {
    code: &'a str,
    detail: &'a str,
}

impl<'a> From<&'a FieldError> for ProblemOfField<'a> {
    fn from(error: &'a FieldError) -> Self {
        Self { code: &error.code, detail: &error.text }
    }
}

/// An error of OAuth (RFC 6749, section 5.2).
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct OauthError<'a> {
    error: &'a str,
    error_description: &'a str,
}

impl ApiError {
    /// An error about the request as a whole: `{"detail": "…"}`.
    pub fn detail(status: StatusCode, code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            code: code.into(),
            complaint: Complaint::Detail(detail.into()),
            headers: Vec::new(),
            shows_code: false,
            hint: None,
            more: Box::default(),
        }
    }

    /// 400 with complaints by field: `{"field": ["…"]}`.
    pub fn fields(errors: FieldErrors) -> Self {
        let (status, code) = (StatusCode::BAD_REQUEST, Cow::Borrowed("invalid"));
        let complaint = Complaint::Fields(errors);
        let more = Box::default();
        Self { status, code, complaint, headers: Vec::new(), shows_code: false, hint: None, more }
    }

    /// An error of RFC 6749, section 5.2.
    pub(crate) fn oauth(status: StatusCode, error: &'static str, description: &'static str) -> Self {
        Self { complaint: Complaint::Oauth(description), ..Self::detail(status, error, "") }
    }

    pub(crate) fn is_oauth(&self) -> bool {
        matches!(self.complaint, Complaint::Oauth(_))
    }

    /// 401 without an error code, because no token was sent (RFC 6750, section 3.1).
    pub fn not_authenticated() -> Self {
        let text = "Authentication credentials were not provided.";
        Self::detail(StatusCode::UNAUTHORIZED, "not_authenticated", text)
            .header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"api\""))
    }

    /// 401 because something other than a bearer token was sent.
    pub(crate) fn not_bearer() -> Self {
        let mut error = Self::not_authenticated().hinting(Hint::NotBearer);
        error.headers = vec![challenge("invalid_request", Hint::NotBearer)];
        error
    }

    /// 401 because a token is not valid. The exact reason is only logged; the client receives one of the
    /// article's three texts and a hint. Nothing that the signature covers is revealed unless the signature
    /// is valid.
    pub fn token_refused(refused: &TokenRefused) -> Self {
        let (code, hint) = match refused {
            TokenRefused::NoUser => {
                return Self::unauthorized("user_not_found", "No user matching this token was found.");
            }
            TokenRefused::Inactive => {
                return Self::unauthorized("user_inactive", "This user has been deactivated.");
            }
            TokenRefused::Token(Refusal::Expired) => ("token_expired", Hint::TokenExpired),
            TokenRefused::Token(Refusal::WrongAudience) => ("token_not_valid", Hint::OtherAudience),
            TokenRefused::SessionEnded | TokenRefused::IssuedBefore => ("session_ended", Hint::SessionEnded),
            TokenRefused::WithoutSession => ("token_without_session", Hint::WithoutSession),
            _ => ("token_not_valid", Hint::UnknownToken),
        };
        let text = "Invalid authentication. Could not decode token.";
        let mut error = Self::detail(StatusCode::UNAUTHORIZED, code, text).hinting(hint);
        error.headers = vec![challenge("invalid_token", hint)];
        error
    }

    /// 401 with `error="invalid_token"`.
    pub fn unauthorized(code: &'static str, text: &'static str) -> Self {
        Self::detail(StatusCode::UNAUTHORIZED, code, text).header(
            WWW_AUTHENTICATE,
            HeaderValue::from_static("Bearer realm=\"api\", error=\"invalid_token\""),
        )
    }

    /// 401 about a token in a body, with SimpleJWT's text and format.
    pub fn token_not_valid() -> Self {
        Self::unauthorized("token_not_valid", "Token is invalid").showing_code()
    }

    /// 403: the user is authenticated, but not permitted.
    pub fn permission_denied() -> Self {
        let text = "You do not have permission to perform this action.";
        Self::detail(StatusCode::FORBIDDEN, "permission_denied", text).header(
            WWW_AUTHENTICATE,
            HeaderValue::from_static("Bearer realm=\"api\", error=\"insufficient_scope\""),
        )
    }

    /// 429: too many requests came before this one (Django REST framework's text; RateLimit header fields,
    /// draft 10). Of a password that is refused to strangers, it says which other ways in there are.
    pub(crate) fn throttled(throttled: Throttled) -> Self {
        let Throttled { policy, quota, retry_after, proof_of_work, other_ways, .. } = throttled;
        let seconds = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
        let seconds = seconds.max(1);
        let (code, text) = match other_ways {
            Some(_) => (
                "password_locked",
                "Too many wrong passwords. Log in on a device that you have logged in on before, or without the password."
                    .to_owned(),
            ),
            None => (
                "throttled",
                format!("Request was throttled. Expected available in {seconds} second{}.", if seconds == 1 { "" } else { "s" }),
            ),
        };
        let window = quota.window().as_secs().max(1);
        let allowed = format!("\"{policy}\";q={};w={window}", quota.count());
        let mut error = Self::detail(StatusCode::TOO_MANY_REQUESTS, code, text).showing_code();
        for (name, value) in [
            (RETRY_AFTER, seconds.to_string()),
            (RATELIMIT_POLICY, allowed),
            (RATELIMIT, format!("\"{policy}\";r=0;t={seconds}")),
        ] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                error = error.header(name, value);
            }
        }
        error.more.violated_policies = Some(vec![policy]);
        error.more.proof_of_work = proof_of_work;
        error.more.next = other_ways.map(|ways| NextStep::instead(&ways));
        error
    }

    /// 401 with what to do before there is a token.
    pub(crate) fn pending(pending: &Pending) -> Self {
        let (code, text) = match pending.step {
            PendingStep::VerifyEmail { .. } => (
                "email_verification_required",
                "Confirm your email address with the mail that was sent to you.",
            ),
            PendingStep::ChangePassword => ("password_change_required", "Choose a new password."),
            PendingStep::Stage(_) => ("stage_required", "Something else must be done first."),
            PendingStep::Password => ("password_required", "Enter your password, too."),
            PendingStep::SecondFactor { codes_left: None, .. } => {
                ("mfa_required", "A second factor is needed.")
            }
            PendingStep::SecondFactor { codes_left: Some(_), .. } => (
                "mfa_required",
                "The code is right. Too many wrong ones came before: enter the next code of the app, too.",
            ),
            PendingStep::EnrollFactor { .. } => {
                ("factor_enrolment_required", "Set up a second factor first: it is required.")
            }
            PendingStep::CancelDeletion => {
                ("deletion_planned", "This account will be deleted. To keep it, cancel its deletion.")
            }
            _ => ("login_pending", "The login needs another step."),
        };
        let mut error = Self::detail(StatusCode::UNAUTHORIZED, code, text).showing_code().header(
            WWW_AUTHENTICATE,
            HeaderValue::from_static("Bearer realm=\"api\", error=\"insufficient_user_authentication\""),
        );
        error.more.next = Some(NextStep::of(pending));
        error
    }

    /// 401: the user was authenticated longer ago than this (RFC 9470, section 3).
    pub(crate) fn reauthentication_required(max_age: Duration) -> Self {
        let seconds = max_age.as_secs();
        let challenge = format!(
            "Bearer realm=\"api\", error=\"insufficient_user_authentication\", max_age=\"{seconds}\""
        );
        let text = "Confirm that it is you.";
        let mut error =
            Self::detail(StatusCode::UNAUTHORIZED, "reauthentication_required", text).showing_code().header(
                WWW_AUTHENTICATE,
                HeaderValue::from_str(&challenge).unwrap_or(HeaderValue::from_static("Bearer")),
            );
        error.more.max_age = Some(seconds);
        error.more.next = Some(NextStep::reauthenticate());
        error
    }

    /// 401: the user's session has a lower assurance level than this (RFC 9470, section 3).
    pub(crate) fn higher_level_required(level: u8) -> Self {
        let challenge = format!(
            "Bearer realm=\"api\", error=\"insufficient_user_authentication\", acr_values=\"{level}\""
        );
        let text = "A stronger authentication is needed.";
        let code = "insufficient_user_authentication";
        let mut error = Self::detail(StatusCode::UNAUTHORIZED, code, text).showing_code().header(
            WWW_AUTHENTICATE,
            HeaderValue::from_str(&challenge).unwrap_or(HeaderValue::from_static("Bearer")),
        );
        // A password gives the first level, and no higher one.
        error.more.next = (level == 1).then(NextStep::reauthenticate);
        error
    }

    /// 404.
    pub fn not_found() -> Self {
        Self::detail(StatusCode::NOT_FOUND, "not_found", "Not found.")
    }

    /// 405 with the allowed methods.
    pub fn method_not_allowed(method: &http::Method, allow: &str) -> Self {
        let shown: String = method.as_str().chars().take(32).collect();
        let error = Self::detail(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            format!("Method \"{shown}\" not allowed."),
        );
        match HeaderValue::from_str(allow) {
            Ok(allow) => error.header(ALLOW, allow),
            Err(_) => error,
        }
    }

    /// 500. The cause was logged where it occurred.
    pub fn internal() -> Self {
        Self::detail(StatusCode::INTERNAL_SERVER_ERROR, "error", "A server error occurred.")
    }

    /// 503 with `Retry-After`, at least one second.
    pub fn unavailable(code: &'static str, text: &'static str, retry_after: Duration) -> Self {
        let seconds = retry_after.as_secs_f64().ceil().clamp(1.0, 3600.0);
        Self::detail(StatusCode::SERVICE_UNAVAILABLE, code, text).header(
            RETRY_AFTER,
            HeaderValue::from_str(&format!("{seconds:.0}")).unwrap_or(HeaderValue::from_static("1")),
        )
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: http::HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Adds the code beside the detail in Django REST framework's format as well, where SimpleJWT's clients
    /// look for it.
    #[must_use]
    pub fn showing_code(mut self) -> Self {
        self.shows_code = true;
        self
    }

    /// Adds a hint beside the text: as `hint` of problem details, or among the complaints by field.
    pub(crate) fn hinting(mut self, hint: Hint) -> Self {
        self.hint = Some(hint);
        self
    }

    pub(crate) fn hint(&self) -> Option<Hint> {
        self.hint
    }

    /// 400 because JSON was sent as a form, or a form as JSON. [`among`](Self::among) adds the fields that
    /// are missing as a result.
    pub(crate) fn misread(hint: Hint) -> Self {
        Self::fields(FieldErrors::one(NON_FIELD_ERRORS, FieldError::new("invalid", hint.text())))
            .hinting(hint)
    }

    /// Adds complaints about these fields if the body was [misread](Self::misread): none of them was found.
    pub(crate) fn among(mut self, required: impl FnOnce() -> Vec<String>) -> Self {
        if let (Some(Hint::JsonAsForm), Complaint::Fields(errors)) = (self.hint, &mut self.complaint) {
            for field in required() {
                errors.add(field, [FieldError::required()]);
            }
        }
        self
    }

    /// The complaints by field, of an error that has some.
    pub(crate) fn complaints(&self) -> Option<&FieldErrors> {
        match &self.complaint {
            Complaint::Detail(_) | Complaint::Oauth(_) => None,
            Complaint::Fields(errors) => Some(errors),
        }
    }

    /// Whether a complaint about a field has this code.
    pub(crate) fn has_complaint(&self, code: &str) -> bool {
        self.complaints()
            .is_some_and(|errors| errors.iter().any(|(_, list)| list.iter().any(|e| e.code == code)))
    }

    /// What it says in headers.
    pub(crate) fn into_headers(self) -> Vec<(http::HeaderName, HeaderValue)> {
        self.headers
    }

    /// After which time the request can be sent again; zero if it does not say.
    pub(crate) fn retry_after(&self) -> Duration {
        let mut values = self.headers.iter().filter(|(name, _)| name == RETRY_AFTER);
        let seconds = values.next().and_then(|(_, value)| value.to_str().ok()?.parse().ok());
        Duration::from_secs(seconds.unwrap_or(0))
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The stable code.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The response in the format that the client accepts: RFC 9457 if `Accept` names
    /// `application/problem+json` (with a weight that is not 0 and not below that of `application/json`),
    /// otherwise Django REST framework's.
    pub fn render(self, request: &HeaderMap) -> Response {
        self.respond(Self::is_problem_wanted(request))
    }

    pub(crate) fn is_problem_wanted(request: &HeaderMap) -> bool {
        wants_problem(request)
    }

    pub(crate) fn respond(self, problem: bool) -> Response {
        let (content_type, body) = match problem && !self.is_oauth() {
            true => ("application/problem+json", self.problem()),
            false => ("application/json", self.drf()),
        };
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        for (name, value) in self.headers {
            headers.insert(name, value);
        }
        response
    }

    /// The problem type: that of the draft on RateLimit fields, section 5, or none in particular.
    fn r#type(&self) -> &'static str {
        match self.more.violated_policies {
            Some(_) => "https://iana.org/assignments/http-problem-types#quota-exceeded",
            None => "about:blank",
        }
    }

    fn drf(&self) -> Vec<u8> {
        match &self.complaint {
            Complaint::Detail(detail) => {
                let code = self.shows_code.then_some(self.code.as_ref());
                rendered(&Detail { detail, code, more: &self.more })
            }
            Complaint::Oauth(error_description) => {
                rendered(&OauthError { error: &self.code, error_description })
            }
            Complaint::Fields(errors) => rendered(&ByField(
                errors.iter().map(|(field, list)| (field, TextOrTexts::of(list))).collect(),
            )),
        }
    }

    fn problem(&self) -> Vec<u8> {
        let (detail, errors) = match &self.complaint {
            Complaint::Detail(text) => (text.as_ref(), None),
            Complaint::Oauth(text) => (*text, None),
            Complaint::Fields(errors) => {
                let by_field = errors
                    .iter()
                    .map(|(field, list)| (field, list.iter().map(ProblemOfField::from).collect()));
                ("Some fields are invalid.", Some(by_field.collect()))
            }
        };
        rendered(&ProblemDetails {
            r#type: self.r#type(),
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            code: &self.code,
            detail,
            hint: self.hint.map(Hint::text),
            errors,
            more: &self.more,
        })
    }
}

fn rendered(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).expect("texts and numbers are JSON")
}

/// A challenge with an error code (RFC 6750, section 3).
fn challenge(error: &str, why: Hint) -> (http::HeaderName, HeaderValue) {
    let text = format!("Bearer realm=\"api\", error=\"{error}\", error_description=\"{}\"", why.text());
    let plain = HeaderValue::from_static("Bearer realm=\"api\"");
    (WWW_AUTHENTICATE, HeaderValue::from_str(&text).unwrap_or(plain))
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.respond(false)
    }
}
