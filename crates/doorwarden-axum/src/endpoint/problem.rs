//! The errors that operations answer, each with its status, its code and its meaning.

/// The shape of an error's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Complaints by field.
    Fields,
    /// One sentence about the request as a whole.
    Detail,
    /// The same, and what to do next.
    Step,
    /// RFC 6749, section 5.2.
    Oauth,
}

/// An error that an operation can answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Problem {
    pub(crate) status: u16,
    /// The stable code, as problem details have it.
    pub(crate) code: &'static str,
    pub(crate) meaning: &'static str,
    pub(crate) shape: Shape,
}

impl Problem {
    /// 400 about fields.
    pub(crate) const fn fields(meaning: &'static str) -> Self {
        Self { status: 400, code: "invalid", meaning, shape: Shape::Fields }
    }

    /// An error about the request as a whole.
    pub(crate) const fn detail(status: u16, code: &'static str, meaning: &'static str) -> Self {
        Self { status, code, meaning, shape: Shape::Detail }
    }

    /// Those that follow from the permission and the body.
    pub(crate) fn implied() -> impl Iterator<Item = &'static Self> {
        COMMON.iter().chain(OF_USERS).chain(OF_BODIES)
    }

    /// An error that says what to do next.
    pub(crate) const fn step(status: u16, code: &'static str, meaning: &'static str) -> Self {
        Self { status, code, meaning, shape: Shape::Step }
    }

    /// An error of OAuth.
    pub(crate) const fn oauth(status: u16, code: &'static str, meaning: &'static str) -> Self {
        Self { status, code, meaning, shape: Shape::Oauth }
    }
}

/// Those of every operation.
pub(crate) const COMMON: &[Problem] = &[
    Problem::detail(405, "method_not_allowed", "The endpoint does not have this method."),
    Problem::detail(414, "uri_too_long", "The URL is longer than 8 KiB."),
    Problem::detail(
        431,
        "header_fields_too_large",
        "There are more than 100 header fields, or more than 16 KiB of them.",
    ),
    Problem::detail(500, "error", "A bug in the service; its log has it under the request id."),
    Problem::detail(503, "database_unavailable", "The database is not available."),
];

/// Those of operations that need a user.
pub(crate) const OF_USERS: &[Problem] = &[
    Problem::detail(400, "invalid_request", "More than one token was sent."),
    Problem::detail(401, "not_authenticated", "No token was sent."),
    Problem::detail(401, "token_not_valid", "The token is malformed, forged or for another audience."),
    Problem::detail(401, "token_expired", "The token has expired."),
    Problem::detail(401, "session_ended", "The session of the token has ended."),
    Problem::detail(401, "token_without_session", "Tokens without a session are not accepted."),
    Problem::detail(401, "user_not_found", "The user of the token is gone."),
    Problem::detail(401, "user_inactive", "The user of the token has been deactivated."),
];

/// Those of operations that need a user who was authenticated lately.
pub(crate) const OF_RECENT_USERS: &[Problem] = &[Problem::step(
    401,
    "reauthentication_required",
    "The user was authenticated longer ago than `max_age` seconds: see `/reauthenticate`.",
)];

/// Those of operations that need a user with a permission.
pub(crate) const OF_PERMITTED_USERS: &[Problem] = &[Problem::detail(
    403,
    "permission_denied",
    "The user does not have the permission that `security` names.",
)];

/// Those of operations that take a body.
pub(crate) const OF_BODIES: &[Problem] = &[
    Problem::detail(400, "parse_error", "The body is malformed."),
    Problem::fields("A field is missing or wrong."),
    Problem::detail(408, "timeout", "The body took more than 30 s."),
    Problem::detail(413, "too_large", "The body is larger than 64 KiB."),
    Problem::detail(415, "unsupported_media_type", "The body is neither JSON nor a form."),
    Problem::detail(415, "unsupported_content_coding", "The body is compressed."),
];

pub(super) const WRONG_CREDENTIALS: Problem = Problem::fields("The email address or the password is wrong.");
pub(super) const WRONG_PASSWORD: Problem = Problem::fields("The password is wrong.");
pub(super) const NO_ACTIVE_ACCOUNT: Problem =
    Problem::detail(401, "no_active_account", "The email address or the password is wrong.");
pub(super) const BUSY: Problem = Problem::detail(503, "busy", "Too many passwords are being checked.");
pub(super) const STOPPING: Problem = Problem::detail(503, "stopping", "The service is stopping.");
pub(super) const INVALID_SCOPE: Problem =
    Problem::detail(400, "invalid_scope", "The scope is none of this, others and all.");
pub(super) const INVALID_CURSOR: Problem =
    Problem::detail(400, "invalid_cursor", "The cursor is not one of a `Link`.");
pub(super) const INVALID_FILTER: Problem =
    Problem::detail(400, "invalid_filter", "A condition of the list is not valid.");
pub(super) const INVALID_TARGET: Problem =
    Problem::detail(400, "invalid_target", "No token can be requested for the resource.");
pub(super) const NO_SESSION: Problem = Problem::detail(404, "not_found", "There is no such active session.");
pub(super) const TOKEN_NOT_VALID: Problem =
    Problem::detail(401, "token_not_valid", "The token is not valid.");
pub(super) const TOKEN_WITHOUT_SESSION: Problem = Problem::detail(
    400,
    "token_without_session",
    "The token belongs to no session and cannot be revoked by itself.",
);
pub(super) const REFRESH_REUSED: Problem =
    Problem::detail(401, "refresh_reused", "The refresh token was used before; its session has ended.");
pub(super) const COOKIE_MISSING: Problem =
    Problem::detail(401, "refresh_cookie_missing", "The browser sent no refresh cookie.");
pub(super) const COOKIE_CROSS_SITE: Problem =
    Problem::detail(400, "refresh_cookie_cross_site", "The browser would drop the refresh cookie.");
pub(super) const CSRF_FAILED: Problem =
    Problem::detail(403, "csrf_failed", "With the refresh cookie: another site sent the request.");
pub(super) const ACCOUNT_CREATED: Problem = Problem::detail(
    503,
    "account_created",
    "The account was created, but no session could be opened: log in.",
);
pub(super) const TOO_MANY_STREAMS: Problem =
    Problem::detail(503, "too_many_streams", "There are too many streams.");
pub(super) const OAUTH_INVALID_REQUEST: Problem =
    Problem::oauth(400, "invalid_request", "The request is malformed.");
pub(super) const OAUTH_INVALID_CLIENT: Problem =
    Problem::oauth(401, "invalid_client", "The service is unknown.");
pub(super) const OAUTH_UNSUPPORTED_TOKEN: Problem =
    Problem::oauth(400, "unsupported_token_type", "The token belongs to no session.");
pub(super) const READ_ONLY: Problem = Problem::fields("A field cannot be changed here.");
pub(super) const TOKEN_NOT_EXCHANGED: Problem =
    Problem::detail(401, "token_not_valid", "The session token is refused.");
pub(super) const PENDING: Problem = Problem::step(
    401,
    "login_pending",
    "Something else must be done first; `flows` says what. The code is `email_verification_required`, \
     `password_required`, `mfa_required`, `factor_enrolment_required`, `password_change_required`, `stage_required` or \
     `deletion_planned` where it is that.",
);
pub(super) const REGISTRATION_CLOSED: Problem =
    Problem::detail(403, "registration_closed", "Nobody can register, or only who was invited.");
pub(super) const THROTTLED: Problem = Problem::step(
    429,
    "throttled",
    "Too many requests came before this one. `Retry-After` says how many seconds to wait, `proof_of_work` what to compute \
     instead. The code is `password_locked`, and `flows` names other ways in, where too many wrong passwords came.",
);
pub(super) const INVALID_PURPOSE: Problem = Problem::fields("`for` is missing or none of its values.");
pub(super) const NO_PROOF_OF_WORK: Problem =
    Problem::detail(404, "not_found", "The service asks for no proof of work.");
pub(super) const LINK_INVALID: Problem =
    Problem::detail(400, "link_invalid", "The link was used, has expired, or is for something else.");
pub(super) const CODE_INVALID: Problem =
    Problem::step(400, "code_invalid", "The code is wrong; `attempts_left` says how many more may be tried.");
pub(super) const ANSWER_MISSING: Problem =
    Problem::detail(400, "answer_missing", "Neither `key` nor `login_token` and `code` were sent.");
pub(super) const LOGIN_EXPIRED: Problem = Problem::detail(
    401,
    "login_expired",
    "The login token was used, has expired, or waits for another step.",
);
pub(super) const NO_MAIL: Problem = Problem::detail(501, "mail_not_configured", "The service sends no mail.");
pub(super) const NO_EMAIL_CHANGE: Problem =
    Problem::detail(404, "not_found", "No change of the email address waits to be confirmed.");
pub(super) const NO_INVITATION: Problem =
    Problem::detail(404, "not_found", "There is no such invitation that can be accepted.");
pub(super) const SIGNED_IN_AS_ANOTHER: Problem = Problem::detail(
    409,
    "signed_in_as_another",
    "The token is of a user with another email address. The invitation can still be accepted.",
);
pub(super) const NO_PAGE: Problem = Problem::detail(404, "not_found", "The page was left out.");
pub(super) const NO_FACTOR: Problem = Problem::detail(404, "not_found", "There is no such factor.");
pub(super) const CODE_WRONG: Problem = Problem::detail(400, "code_invalid", "The code is wrong.");
pub(super) const CLOCK_SKEW: Problem = Problem::step(
    400,
    "clock_skew",
    "The code is of another time: the clock of the device is wrong by `skew_seconds`.",
);
pub(super) const NOT_RECENT: Problem = OF_RECENT_USERS[0];
pub(super) const TOO_MANY_FACTORS: Problem =
    Problem::detail(409, "too_many_factors", "There are as many factors as there may be.");
pub(super) const FACTOR_EXISTS: Problem =
    Problem::detail(409, "factor_exists", "The authenticator is registered already.");
pub(super) const LAST_FACTOR: Problem =
    Problem::detail(409, "last_factor_required", "A factor is required, and this is the last one.");
pub(super) const NO_PASSKEYS: Problem =
    Problem::detail(404, "passkeys_not_configured", "The service has no passkeys.");
pub(super) const PASSKEY_UNKNOWN: Problem =
    Problem::detail(400, "passkey_unknown", "No account has the passkey: tell the browser so.");
pub(super) const PASSKEY_INVALID: Problem =
    Problem::detail(400, "passkey_invalid", "The passkey is refused.");
pub(super) const CHALLENGE_EXPIRED: Problem =
    Problem::detail(400, "challenge_expired", "The challenge was made too long ago, or answered before.");
