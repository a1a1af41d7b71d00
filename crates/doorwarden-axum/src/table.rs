//! The table of endpoints, one row for each: its name, its label in the metrics, its path and its operations.
//! A macro that is given the rows: `settings` makes the names and paths from them, and `endpoint` the
//! operations, without one of these modules using the other.

macro_rules! endpoint_table {
    ($make:ident) => {
        $make! {
            Config, "config", "/config": [
                operation::<Anybody, (), Json<config::PublicConfig>>(
                    Method::GET, "read_config", "What a front end needs to know to draw its forms.", config::get,
                )
                .answers(&["The settings that anybody may know."]),
            ];
            ProofOfWork, "proof_of_work", "/pow/challenge": [
                operation::<Anybody, (), Json<WorkChallenge>>(
                    Method::GET, "read_work_challenge", "A challenge of proof of work, for a request that would have to wait.", pow::get,
                )
                .query::<WorkPurpose>("for", "What the request does.")
                .answers(&["A challenge of ALTCHA, version 2. Its solution is sent as `altcha`, or in the header `X-Altcha`."])
                .errors(&[problem::INVALID_PURPOSE, problem::NO_PROOF_OF_WORK]),
            ];
            Registration, "registration", "/registration": [
                operation::<Anybody, Data<registration::Registration>, registration::Registered>(
                    Method::POST, "create_account", "Create an account and log in to it.", registration::post,
                )
                .answers(&[
                    "The account was created.",
                    "A mail was sent, with which the account is created. An address that has an account is answered alike.",
                ])
                .errors(&[problem::THROTTLED, problem::PENDING, problem::REGISTRATION_CLOSED, problem::ACCOUNT_CREATED, problem::BUSY, problem::STOPPING]),
            ];
            RegistrationVerify, "registration_verify", "/registration/verify-email": [
                operation::<Anybody, Data<registration::VerifyEmail>, login_steps::TokenAnswer<201>>(
                    Method::POST, "verify_email", "Prove an email address with the mail that was sent to it.", registration::verify,
                )
                .answers(&["Proved, and logged in."])
                .errors(&[
                    problem::THROTTLED,
                    problem::LINK_INVALID, problem::CODE_INVALID, problem::ANSWER_MISSING, problem::LOGIN_EXPIRED,
                    problem::PENDING, problem::COOKIE_CROSS_SITE, problem::CSRF_FAILED, problem::ACCOUNT_CREATED,
                    problem::BUSY, problem::STOPPING,
                ]),
            ];
            RegistrationResend, "registration_resend", "/registration/resend-email": [
                operation::<Anybody, Data<login_steps::Resending>, login_steps::Asked>(
                    Method::POST,
                    "resend_email",
                    "Send the mail of a registration or a login once more, with a new link and code, at most every 30 s.",
                    login_steps::resend,
                )
                .answers(&["Sent, unless it was sent a moment ago."])
                .errors(&[problem::THROTTLED, problem::LOGIN_EXPIRED]),
            ];
            Login, "login", "/login": [
                operation::<Anybody, Data<login::Login>, WithCookies<Json<login::Token>>>(
                    Method::POST, "create_login", "Log in with an email address and a password.", login::post,
                )
                .answers(&["Logged in."])
                .errors(&[problem::THROTTLED, problem::WRONG_CREDENTIALS, problem::PENDING, problem::BUSY, problem::STOPPING]),
            ];
            LoginEmail, "login_email", "/login/email": [
                operation::<Anybody, Data<login_steps::EmailLogin>, login_steps::Asked>(
                    Method::POST, "create_login_by_mail", "Mail a link and a code for a login without a password.", login_steps::email,
                )
                .answers(&["Sent, if the address has an account."])
                .errors(&[problem::THROTTLED, problem::INVALID_TARGET, problem::NO_MAIL]),
            ];
            LoginVerify, "login_verify", "/login/verify": [
                operation::<Anybody, Data<login_steps::LoginStep>, login_steps::StepAnswer>(
                    Method::POST, "continue_login", "Take the next step of a login.", login_steps::verify,
                )
                .answers(&["Logged in.", "The new password of a reset was stored. Nobody is logged in by this."])
                .errors(&[
                    problem::THROTTLED,
                    problem::CODE_INVALID, problem::LINK_INVALID, problem::LOGIN_EXPIRED, problem::PENDING,
                    problem::COOKIE_CROSS_SITE, problem::CSRF_FAILED, problem::BUSY, problem::STOPPING,
                ]),
            ];
            LoginLink, "login_link", "/login/link": [
                operation::<Anybody, Data<login_steps::LinkLogin>, login_steps::TokenAnswer<200>>(
                    Method::POST, "create_login_by_link", "Log in with the key of a link.", login_steps::link,
                )
                .answers(&["Logged in."])
                .errors(&[
                    problem::THROTTLED,
                    problem::LINK_INVALID, problem::PENDING, problem::COOKIE_CROSS_SITE, problem::CSRF_FAILED,
                ]),
            ];
            LoginState, "login_state", "/login/state": [
                operation::<Anybody, Data<login_steps::PendingLogin>, NoContent>(
                    Method::POST, "read_login", "The next step of a login, for a page that was loaded again.", login_steps::state,
                )
                .answers(&["Never: what is pending is an error, as it was the first time."])
                .errors(&[problem::PENDING, problem::LOGIN_EXPIRED]),
            ];
            LoginCancel, "login_cancel", "/login/cancel": [
                operation::<Anybody, Data<login_steps::PendingLogin>, NoContent>(
                    Method::POST, "cancel_login", "End a login that waits for another step, with its link and code.", login_steps::cancel,
                )
                .answers(&["Ended, now or before."]),
            ];
            LinkInspect, "link_inspect", "/links/inspect": [
                operation::<Anybody, Data<links::Key>, Json<links::Link>>(
                    Method::POST, "read_link", "What a link is for. Uses nothing up.", links::inspect,
                )
                .answers(&["The purpose of the link."])
                .errors(&[problem::LINK_INVALID]),
            ];
            InvitationAccept, "invitation_accept", "/invitations/accept": [
                operation::<AnybodyOrUser, Data<registration::Acceptance>, WithCookies<Created<login::Token>>>(
                    Method::POST, "accept_invitation", "Create the account of an invitation and log in to it.", registration::accept,
                )
                .answers(&["The account was created."])
                .errors(&[problem::LINK_INVALID, problem::PENDING, problem::SIGNED_IN_AS_ANOTHER, problem::ACCOUNT_CREATED, problem::BUSY, problem::STOPPING]),
            ];
            Invitations, "invitations", "/invitations": [
                operation::<Permitted<Inviting>, (), Page<invitations::Invitation>>(
                    Method::GET,
                    "list_invitations",
                    "The invitations that can be accepted, the oldest 100. The header `Link` leads to the next page.",
                    invitations::get,
                )
                .query::<String>("cursor", "Where the page begins, of the header `Link`.")
                .answers(&["The invitations."])
                .errors(&[problem::INVALID_CURSOR]),
                operation::<Permitted<Inviting>, Data<invitations::NewInvitation>, Created<invitations::Invitation>>(
                    Method::POST,
                    "create_invitation",
                    "Mail an invitation. Ends an earlier one of the address, and the one that it replaces.",
                    invitations::post,
                )
                .answers(&["Sent."])
                .errors(&[problem::NO_MAIL]),
            ];
            Invitation, "invitation", "/invitations/{id}": [
                operation::<Permitted<Inviting>, (), NoContent>(
                    Method::DELETE, "delete_invitation", "End an invitation: its link is no longer valid.", invitations::delete,
                )
                .path::<ChallengeId>("id", "The id of an invitation.")
                .answers(&["It has ended."])
                .errors(&[problem::NO_INVITATION]),
            ];
            Link, "link", "/link": [
                operation::<Anybody, (), pages::Page>(
                    Method::GET, "show_link", "A page about the link of a mail, without a front end. Uses nothing up.", pages::link::get,
                )
                .query::<String>("key", "Of the link.")
                .answers(PAGE),
                operation::<Anybody, Unread<pages::link::LinkForm>, pages::Page>(
                    Method::POST, "use_link", "The form of that page.", pages::link::post,
                )
                .form()
                .answers(PAGE),
            ];
            PasswordReset, "password_reset", "/password/reset": [
                operation::<Anybody, Data<password_reset::PasswordReset>, login_steps::Asked>(
                    Method::POST, "request_password", "Mail a link and a code with which a new password can be chosen.", password_reset::ask,
                )
                .answers(&["Sent, if the address has an account."])
                .errors(&[problem::THROTTLED, problem::NO_MAIL]),
            ];
            PasswordResetConfirm, "password_reset_confirm", "/password/reset/confirm": [
                operation::<Anybody, Data<password_reset::PasswordResetConfirm>, NoContent>(
                    Method::POST,
                    "reset_password",
                    "Choose a new password. Ends every session, open link and pending login of the account.",
                    password_reset::confirm,
                )
                .answers(&["The password was changed. Nobody is logged in by this."])
                .errors(&[
                    problem::THROTTLED,
                    problem::PENDING,
                    problem::LINK_INVALID, problem::CODE_INVALID, problem::ANSWER_MISSING, problem::LOGIN_EXPIRED,
                    problem::BUSY, problem::STOPPING,
                ]),
            ];
            PasswordForgotten, "password_forgotten", "/password/forgotten": [
                operation::<Anybody, (), pages::Page>(
                    Method::GET, "show_password_forgotten", "A page that asks for the mail of `/password/reset`, without a front end.", pages::forgotten::get,
                )
                .answers(PAGE)
                .errors(&[problem::NO_MAIL]),
                operation::<Anybody, Unread<pages::forgotten::EmailForm>, pages::Page>(
                    Method::POST, "use_password_forgotten", "The form of that page.", pages::forgotten::post,
                )
                .form()
                .answers(PAGE)
                .errors(&[problem::NO_MAIL]),
            ];
            ChangePassword, "change_password", "/.well-known/change-password": [
                operation::<Anybody, (), pages::Redirect>(
                    Method::GET, "find_password_page", "Leads password managers to `/password/forgotten`.", pages::forgotten::redirect,
                )
                .answers(&["The page."])
                .errors(&[problem::NO_PAGE]),
            ];
            Me, "me", "/me": [
                operation::<CurrentUser, (), Rendered<me::Me>>(
                    Method::GET, "read_me", "The user of the token.", me::get,
                )
                .answers(&["The user."]),
                operation::<CurrentUser, Data<me::WholeProfile>, Rendered<me::User>>(
                    Method::PUT, "replace_me", "As PATCH, with everything that a registration must give.", me::put,
                )
                .answers(&["The updated user."])
                .errors(&[problem::READ_ONLY]),
                operation::<CurrentUser, Data<me::Profile>, Rendered<me::User>>(
                    Method::PATCH,
                    "update_me",
                    "Change the username or the fields that a user may write. What is not sent stays as it is.",
                    me::patch,
                )
                .answers(&["The updated user."])
                .errors(&[problem::READ_ONLY]),
                operation::<CurrentUser, Data<me::Confirmation>, Option<Json<me::PlannedDeletion, 202>>>(
                    Method::DELETE, "delete_me", "Delete the account. Asks for the password.", me::delete,
                )
                .answers(&["The account will be deleted then; until then a login can keep it.", "The account was deleted."])
                .errors(&[problem::THROTTLED, problem::NOT_RECENT, problem::WRONG_PASSWORD, problem::BUSY, problem::STOPPING]),
            ];
            Export, "export", "/me/export": [
                operation::<Recent, (), Json<export::Export>>(
                    Method::GET, "export_me", "Everything that is held about the user, without secrets.", export::get,
                )
                .answers(&["The data."]),
            ];
            OwnEvents, "own_events", "/me/events": [
                operation::<CurrentUser, (), Page<OwnEventView<'static>>>(
                    Method::GET,
                    "list_own_events",
                    "What happened to the account that matters to security, the newest 100. The header `Link` leads to the next page.",
                    events::own,
                )
                .query::<i64>("cursor", "Where the page begins, of the header `Link`.")
                .answers(&["The events."])
                .errors(&[problem::INVALID_CURSOR]),
            ];
            Events, "events", "/events": [
                operation::<Permitted<Auditing>, (), Page<EventView<'static>>>(
                    Method::GET,
                    "list_events",
                    "The audit log, the newest 100 events that match. The header `Link` leads to the next page.",
                    events::all,
                )
                .query::<UserId>("user", "Only events that concern this user.")
                .query::<String>("event", "Only events of this name, such as `logged_in`.")
                .query::<Timestamp>("since", "Only events at this time or later.")
                .query::<Timestamp>("until", "Only events before this time.")
                .query::<i64>("cursor", "Where the page begins, of the header `Link`.")
                .answers(&["The events."])
                .errors(&[problem::INVALID_CURSOR, problem::INVALID_FILTER]),
            ];
            Logout, "logout", "/logout": [
                operation::<CurrentUser, (), NoContent>(
                    Method::POST,
                    "delete_login",
                    "End this session, or with ?scope=others or ?scope=all the others or all.",
                    logout::post,
                )
                .query::<logout::Scope>("scope", "Which sessions end.")
                .answers(&["The sessions have ended."])
                .errors(&[problem::INVALID_SCOPE]),
            ];
            PasswordChange, "password_change", "/password/change": [
                operation::<CurrentUser, Data<password::PasswordChange>, Option<Json<login::Token>>>(
                    Method::POST, "update_password", "Change the password. Ends the other sessions.", password::post,
                )
                .answers(&["Changed; the caller's own session has ended too, so here is a new token.", "Changed."])
                .errors(&[problem::THROTTLED, problem::NOT_RECENT, problem::WRONG_PASSWORD, problem::BUSY, problem::STOPPING]),
            ];
            EmailChange, "email_change", "/email/change": [
                operation::<CurrentUser, (), Json<email_change::EmailChangeState>>(
                    Method::GET, "read_email_change", "The change of the email address that waits to be confirmed.", email_change::get,
                )
                .answers(&["The change, or `null`."]),
                operation::<Recent, Data<email_change::EmailChange>, Json<email_change::EmailChangeState, 202>>(
                    Method::POST,
                    "create_email_change",
                    "Change the email address. The new one gets a link and a code, the old one a notice, and works until then.",
                    email_change::post,
                )
                .answers(&["Sent."])
                .errors(&[problem::THROTTLED, problem::NO_MAIL]),
                operation::<CurrentUser, (), NoContent>(
                    Method::DELETE, "delete_email_change", "Cancel a change that is not confirmed.", email_change::delete,
                )
                .answers(&["Cancelled."])
                .errors(&[problem::NO_EMAIL_CHANGE]),
            ];
            EmailChangeConfirm, "email_change_confirm", "/email/change/confirm": [
                operation::<AnybodyOrUser, Data<email_change::EmailChangeConfirm>, Json<email_change::EmailOfAccount>>(
                    Method::POST,
                    "confirm_email_change",
                    "Confirm the new email address: with the key of the link, or with the code and a token of the user.",
                    email_change::confirm,
                )
                .answers(&["Changed."])
                .errors(&[
                    problem::THROTTLED,
                    problem::LINK_INVALID, problem::CODE_INVALID, problem::ANSWER_MISSING,
                ]),
            ];
            EmailChangeRevert, "email_change_revert", "/email/change/revert": [
                operation::<Anybody, Data<email_change::EmailChangeRevert>, Json<email_change::EmailOfAccount>>(
                    Method::POST,
                    "revert_email_change",
                    "Take a change back with the link that the old address got. Ends every session and the password.",
                    email_change::revert,
                )
                .answers(&["The account has its old address again."])
                .errors(&[problem::LINK_INVALID]),
            ];
            Reauthenticate, "reauthenticate", "/reauthenticate": [
                operation::<CurrentUser, Data<reauthenticate::Reauthentication>, Json<reauthenticate::Authentication>>(
                    Method::POST,
                    "update_authentication",
                    "Confirm that it is you: with the password, or without one by a mail.",
                    reauthenticate::post,
                )
                .answers(&["Confirmed."])
                .errors(&[problem::THROTTLED, problem::PENDING, problem::WRONG_PASSWORD, problem::NO_MAIL, problem::BUSY, problem::STOPPING]),
            ];
            LoginPasskeyOptions, "login_passkey_options", "/login/passkey/options": [
                operation::<Anybody, Data<passkeys::OptionsFor>, Json<passkeys::Ceremony<RequestOptions>>>(
                    Method::POST,
                    "create_passkey_challenge",
                    "What `navigator.credentials.get` is asked: any passkey, or with `login_token` one as a second factor.",
                    passkeys::request_options,
                )
                .body_optional()
                .answers(&["The options."])
                .errors(&[problem::NO_PASSKEYS, problem::PASSKEY_UNKNOWN, problem::LOGIN_EXPIRED]),
            ];
            LoginPasskey, "login_passkey", "/login/passkey": [
                operation::<Anybody, Data<passkeys::PasskeyLogin>, login_steps::StepAnswer>(
                    Method::POST, "create_login_by_passkey", "Log in with a passkey, or take the next step of a login with it.", passkeys::log_in,
                )
                .answers(&["Logged in.", "The new password of a reset was stored. Nobody is logged in by this."])
                .errors(&[
                    problem::THROTTLED,
                    problem::PASSKEY_UNKNOWN, problem::PASSKEY_INVALID, problem::CHALLENGE_EXPIRED, problem::NO_PASSKEYS,
                    problem::LOGIN_EXPIRED, problem::PENDING, problem::INVALID_TARGET, problem::LINK_INVALID,
                    problem::COOKIE_CROSS_SITE, problem::CSRF_FAILED,
                ]),
            ];
            Factors, "factors", "/factors": [
                operation::<CurrentUser, (), Json<Vec<factors::FactorView>>>(
                    Method::GET, "list_factors", "The factors of the user: authenticator apps, passkeys, recovery codes.", factors::get,
                )
                .answers(&["The factors."]),
            ];
            FactorsTotp, "factors_totp", "/factors/totp": [
                operation::<RecentUserOrLogin, Data<factors::NewTotp>, Created<factors::TotpSetUp>>(
                    Method::POST,
                    "create_totp",
                    "Set up an authenticator app. It counts once it was confirmed with a code. Without a token: `login_token` of a login that waits for it.",
                    factors::post_totp,
                )
                .body_optional()
                .answers(&["The secret, as text and as a picture."])
                .errors(&[
                    problem::THROTTLED, problem::PENDING, problem::LOGIN_EXPIRED, problem::TOO_MANY_FACTORS,
                ]),
            ];
            FactorsTotpConfirm, "factors_totp_confirm", "/factors/totp/{id}/confirm": [
                operation::<RecentUserOrLogin, Data<factors::FirstCode>, factors::EnrolledAnswer<200>>(
                    Method::POST,
                    "confirm_totp",
                    "Confirm an authenticator app with a code of it. The first factor ends the other sessions.",
                    factors::confirm,
                )
                .path::<FactorId>("id", "The id of the factor.")
                .answers(&["It counts. A login that has waited for it is done, or `flows` says what is next."])
                .errors(&[
                    problem::CODE_WRONG, problem::CLOCK_SKEW, problem::NO_FACTOR, problem::PENDING,
                    problem::LOGIN_EXPIRED, problem::COOKIE_CROSS_SITE, problem::CSRF_FAILED,
                ]),
            ];
            FactorsPasskeyOptions, "factors_passkeys_options", "/factors/passkeys/options": [
                operation::<RecentUserOrLogin, Data<passkeys::CreationFor>, Json<passkeys::Ceremony<CreationOptions>>>(
                    Method::POST, "create_passkey_options", "What `navigator.credentials.create` is asked.", passkeys::creation_options,
                )
                .body_optional()
                .answers(&["The options."])
                .errors(&[problem::THROTTLED, problem::NO_PASSKEYS, problem::PENDING, problem::LOGIN_EXPIRED]),
            ];
            FactorsPasskeys, "factors_passkeys", "/factors/passkeys": [
                operation::<RecentUserOrLogin, Data<passkeys::NewPasskey>, factors::EnrolledAnswer<201>>(
                    Method::POST, "create_passkey", "Register a passkey. The first factor ends the other sessions.", passkeys::post,
                )
                .answers(&["It counts. A login that has waited for it is done, or `flows` says what is next."])
                .errors(&[
                    problem::PASSKEY_INVALID, problem::CHALLENGE_EXPIRED, problem::NO_PASSKEYS, problem::FACTOR_EXISTS,
                    problem::TOO_MANY_FACTORS, problem::PENDING, problem::LOGIN_EXPIRED,
                    problem::COOKIE_CROSS_SITE, problem::CSRF_FAILED,
                ]),
            ];
            FactorsPasskeySignals, "factors_passkeys_signals", "/factors/passkeys/signals": [
                operation::<CurrentUser, (), Json<passkeys::Signals>>(
                    Method::GET,
                    "read_passkey_signals",
                    "What tells the browser's passkey manager which passkeys are good.",
                    passkeys::signals,
                )
                .answers(&["For `signalAllAcceptedCredentials` and `signalCurrentUserDetails`."])
                .errors(&[problem::NO_PASSKEYS]),
            ];
            FactorsRecoveryCodes, "factors_recovery_codes", "/factors/recovery-codes": [
                operation::<Recent, (), Json<factors::Codes>>(
                    Method::POST, "create_recovery_codes", "New recovery codes; the old ones are no longer good.", factors::post_codes,
                )
                .answers(&["The codes. They are not shown again."])
                .errors(&[problem::NO_FACTOR]),
            ];
            Factor, "factor", "/factors/{id}": [
                operation::<CurrentUser, Data<factors::NewName>, Json<factors::FactorView>>(
                    Method::PATCH, "update_factor", "Give a factor another name.", factors::patch,
                )
                .path::<FactorId>("id", "The id of the factor.")
                .answers(&["The factor."])
                .errors(&[problem::NO_FACTOR]),
                operation::<Recent, (), NoContent>(
                    Method::DELETE, "delete_factor", "Remove a factor. Ends the other sessions.", factors::delete,
                )
                .path::<FactorId>("id", "The id of the factor.")
                .answers(&["Removed."])
                .errors(&[problem::NO_FACTOR, problem::LAST_FACTOR]),
            ];
            RelatedOrigins, "related_origins", "/.well-known/webauthn": [
                operation::<Anybody, (), Document<passkeys::RelatedOrigins>>(
                    Method::GET, "read_related_origins", "Where else passkeys of this service are good (WebAuthn, section 5.11).", passkeys::well_known,
                )
                .answers(&["The origins.", "It has not changed."])
                .errors(&[problem::NO_PASSKEYS]),
            ];
            Sessions, "sessions", "/sessions": [
                operation::<CurrentUser, (), Page<sessions::UserSession<'static>>>(
                    Method::GET,
                    "list_sessions",
                    "The sessions of the user, the newest 100; the one of the token is marked. The header `Link` leads to the next page.",
                    sessions::get,
                )
                .query::<String>("cursor", "Where the page begins, of the header `Link`.")
                .answers(&["The sessions."])
                .errors(&[problem::INVALID_CURSOR]),
            ];
            Session, "session", "/sessions/{id}": [
                operation::<CurrentUser, (), NoContent>(
                    Method::DELETE, "delete_session", "End a session of the user.", sessions::delete,
                )
                .path::<SessionId>("id", "The id of a session.")
                .answers(&["The session has ended."])
                .errors(&[problem::NO_SESSION]),
            ];
            Token, "token", "/token": [
                operation::<AnybodyOrUser, Unread<token::TokenLogin>, WithCookies<Json<token::TokenPair>>>(
                    Method::POST,
                    "create_token",
                    "Log in for an access token and a refresh token. With a session token and no body: a pair for its session, whose refresh token is newer than any before.",
                    token::post,
                )
                .body_optional()
                .answers(&["Logged in."])
                .errors(&[
                    problem::THROTTLED,
                    problem::INVALID_TARGET, problem::COOKIE_CROSS_SITE, problem::NO_ACTIVE_ACCOUNT, problem::PENDING, problem::TOKEN_NOT_EXCHANGED, problem::CSRF_FAILED, problem::BUSY, problem::STOPPING,
                ]),
            ];
            TokenRefresh, "token_refresh", "/token/refresh": [
                operation::<Anybody, Unread<token_refresh::Refresh>, WithCookies<Json<token::TokenPair>>>(
                    Method::POST,
                    "update_token",
                    "Exchange a refresh token for a new pair. The one before the newest gives the newest again, free within the grace; the third late one and an older one end the session.",
                    token_refresh::post,
                )
                .answers(&["The new pair."])
                .errors(&[problem::THROTTLED, problem::TOKEN_NOT_VALID, problem::REFRESH_REUSED, problem::COOKIE_MISSING, problem::CSRF_FAILED, problem::STOPPING]),
            ];
            TokenVerify, "token_verify", "/token/verify": [
                operation::<Anybody, Data<token_verify::TokenInBody>, Json<token_verify::Nothing>>(
                    Method::POST, "verify_token", "Whether a token of any kind is valid at this moment.", token_verify::post,
                )
                .answers(&["The token is valid."])
                .errors(&[problem::TOKEN_NOT_VALID]),
            ];
            TokenRevoke, "token_revoke", "/token/revoke": [
                operation::<Anybody, Unread<token_revoke::Revocation>, WithCookies<NoContent>>(
                    Method::POST,
                    "delete_token",
                    "End the session of a token: refresh, access or session token.",
                    token_revoke::post,
                )
                .answers(&["The session has ended, now or before."])
                .errors(&[problem::TOKEN_WITHOUT_SESSION, problem::TOKEN_NOT_VALID, problem::COOKIE_MISSING, problem::CSRF_FAILED]),
            ];
            OauthRevoke, "oauth_revoke", "/oauth/revoke": [
                operation::<Service, Unread<oauth::TokenInForm>, Json<token_verify::Nothing>>(
                    Method::POST, "revoke_for_client", "Revoke a token and its session (RFC 7009).", oauth::revoke,
                )
                .form()
                .answers(&["The token is not valid, whether it was before or not."])
                .errors(&[problem::THROTTLED, problem::OAUTH_INVALID_REQUEST, problem::OAUTH_UNSUPPORTED_TOKEN, problem::OAUTH_INVALID_CLIENT]),
            ];
            OauthIntrospect, "oauth_introspect", "/oauth/introspect": [
                operation::<Service, Unread<oauth::TokenInForm>, Json<oauth::Introspection>>(
                    Method::POST,
                    "introspect_for_client",
                    "Whether a token is valid at this moment, and what it says (RFC 7662).",
                    oauth::introspect,
                )
                .form()
                .answers(&["What is known of the token, or only that it is not active."])
                .errors(&[problem::THROTTLED, problem::OAUTH_INVALID_REQUEST, problem::OAUTH_INVALID_CLIENT]),
            ];
            Jwks, "jwks", "/.well-known/jwks.json": [
                operation::<Anybody, (), Document<jwks::KeySet>>(
                    Method::GET,
                    "read_keys",
                    "The public keys that access tokens and revocation statements are verified with (RFC 7517).",
                    jwks::get,
                )
                .answers(&["The key set.", "It has not changed."]),
            ];
            Metadata, "metadata", "/.well-known/oauth-authorization-server": [
                operation::<Anybody, (), Document<metadata::Metadata>>(
                    Method::GET, "read_metadata", "Where the endpoints are, and what they support (RFC 8414).", metadata::get,
                )
                .answers(&["The metadata.", "It has not changed."]),
            ];
            OpenIdConfiguration, "openid_configuration", "/.well-known/openid-configuration": [
                operation::<Anybody, (), Document<metadata::Metadata>>(
                    Method::GET, "read_openid_configuration", "The same where OpenID Connect looks for it.", metadata::get,
                )
                .answers(&["The metadata.", "It has not changed."]),
            ];
            Revocations, "revocations", "/.well-known/revocations": [
                operation::<Anybody, (), Document<revocations::Statement>>(
                    Method::GET, "read_revocations", "What was revoked lately, as a signed statement.", revocations::get,
                )
                .answers(&["The statement, a compact JWS.", "It has not changed."]),
            ];
            RevocationStream, "revocation_stream", "/.well-known/revocations/stream": [
                operation::<Anybody, (), revocations::EventStream>(
                    Method::GET,
                    "stream_revocations",
                    "The statement now, and a new one whenever something is revoked, at least every five seconds.",
                    revocations::stream,
                )
                .answers(&["Server-sent events named `revocations`."])
                .errors(&[problem::TOO_MANY_STREAMS]),
            ];
            OpenApi, "openapi", "/openapi.json": [
                operation::<Anybody, (), Document<docs::OpenApi>>(
                    Method::GET, "read_openapi", "This document.", docs::openapi,
                )
                .answers(&["The OpenAPI document.", "It has not changed."]),
            ];
            Docs, "docs", "/docs": [
                operation::<Anybody, (), docs::Page>(
                    Method::GET, "read_docs", "An interactive page about this interface.", docs::page,
                )
                .answers(&["The page."]),
            ];
            Health, "health", "/healthz": [
                operation::<Anybody, (), Json<health::Status>>(
                    Method::GET, "read_health", "Whether the process answers.", health::alive,
                )
                .answers(&["The process is up."]),
            ];
            Ready, "ready", "/readyz": [
                operation::<Anybody, (), health::Ready>(
                    Method::GET,
                    "read_readiness",
                    "Whether the service can work: the database answers, and holds what requests need. An answer is up to 250 ms old.",
                    health::ready,
                )
                .answers(&["Ready.", "Not ready."]),
            ];
        }
    };
}

pub(crate) use endpoint_table;
