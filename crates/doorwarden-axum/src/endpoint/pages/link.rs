//! Where a mailed link leads: a page that says what it is for, and a form that uses it. Opening the page uses
//! nothing up, because mail scanners open links.

use super::super::operation::{Anybody, Call, Data, Unread};
use super::{FOREIGN, Field, Kind, Page, Text, complaint, hidden};
use crate::auth::Auth;
use crate::body::{NewPassword, Password, Text as Typed, Username};
use crate::device_cookie;
use crate::error::ApiError;
use crate::page::InSessionCookie;
use crate::refresh_cookie::is_same_origin;
use doorwarden_core::challenge::ChallengePurpose;
use doorwarden_core::error::{FieldError, FieldErrors, Input};
use doorwarden_core::field::{self as declared, FieldKind, Raw, Writer};
use doorwarden_core::flow::change_email::{confirm_email_change, revert_email_change};
use doorwarden_core::flow::continue_login::{
    ContinueError, LoginTokens, Step, continue_login, pending_login,
};
use doorwarden_core::flow::invite::{AcceptError, accept_invitation};
use doorwarden_core::flow::links::{Answer, Link, RedeemError, inspect_link};
use doorwarden_core::flow::log_in::LoginError;
use doorwarden_core::flow::pending::{Pending, PendingStep, WantedTokens};
use doorwarden_core::flow::register::{RegisterError, Registration};
use doorwarden_core::flow::reset_password::{ResetPassword, ResetPasswordError, reset_password};
use doorwarden_core::flow::revoke_token::{RevokeError, Revoker, revoke_token};
use doorwarden_core::flow::throttle::device_mark;
use doorwarden_core::flow::verify_registration::{
    VerifyRegistration, VerifyRegistrationError, verify_registration,
};
use doorwarden_core::locale::Locale;
use doorwarden_core::session::ClientInfo;
use http::header::SET_COOKIE;
use http::{HeaderMap, StatusCode};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::HashMap;

const USERNAME: Field<'static> = Field {
    id: "username",
    label: ["Username", "Benutzername"],
    hint: None,
    kind: Kind::Input("text"),
    autocomplete: "username",
};
const PASSWORD: Field<'static> = Field {
    id: "new_password",
    label: ["New password", "Neues Passwort"],
    hint: Some(["At least {min} characters.", "Mindestens {min} Zeichen."]),
    kind: Kind::Input("password"),
    autocomplete: "new-password",
};
/// Whoever knows it has set it, and keeps it.
const OWN_PASSWORD: Field<'static> = Field {
    id: "password",
    label: ["Password that you registered with", "Passwort, mit dem Sie sich registriert haben"],
    hint: Some([
        "Leave it empty to choose a new one, if you do not know it or did not register yourself.",
        "Lassen Sie das Feld leer, um ein neues zu wählen, wenn Sie es nicht kennen oder sich nicht selbst registriert haben.",
    ]),
    kind: Kind::Optional("password"),
    autocomplete: "current-password",
};
/// A new password is typed twice because no script can show it.
const AGAIN: Field<'static> = Field {
    id: "new_password_again",
    label: ["New password, once more", "Neues Passwort, noch einmal"],
    hint: None,
    ..PASSWORD
};

const CODE: Field<'static> = Field {
    id: "code",
    label: [
        "Code of your authenticator app, or a recovery code",
        "Code der Authenticator-App oder Wiederherstellungscode",
    ],
    hint: None,
    kind: Kind::Input("text"),
    autocomplete: "one-time-code",
};

/// What the page says of a link or a step, and what its button does.
struct Offer {
    heading: Text,
    text: Text,
    /// `None` where there is nothing to do here.
    button: Option<Text>,
    fields: &'static [Field<'static>],
}

const REGISTER: Offer = Offer {
    heading: ["Create your account", "Konto anlegen"],
    text: [
        "Choose the password of your new account for {email}. If you can still enter the code of the mail where you registered, do \
         that instead: the password that you chose there is kept.",
        "Wählen Sie das Passwort Ihres neuen Kontos für {email}. Wenn Sie den Code der E-Mail noch dort eingeben können, wo Sie sich \
         registriert haben, tun Sie lieber das: Das dort gewählte Passwort gilt dann.",
    ],
    button: Some(["Create account", "Konto anlegen"]),
    fields: &[PASSWORD, AGAIN],
};
const INVITATION: Offer = Offer {
    heading: ["Create your account", "Konto anlegen"],
    text: [
        "You were invited. Choose the username and the password of your new account for {email}.",
        "Sie wurden eingeladen. Wählen Sie den Benutzernamen und das Passwort Ihres neuen Kontos für {email}.",
    ],
    button: Some(["Create account", "Konto anlegen"]),
    fields: &[USERNAME, PASSWORD, AGAIN],
};
const VERIFY_EMAIL: Offer = Offer {
    heading: ["Confirm your email address", "E-Mail-Adresse bestätigen"],
    text: [
        "Confirm that {email} belongs to you. If a login waits on another device, enter the code of the mail there instead.",
        "Bestätigen Sie, dass {email} Ihnen gehört. Wenn auf einem anderen Gerät eine Anmeldung wartet, geben Sie den Code der E-Mail \
         lieber dort ein.",
    ],
    button: Some(["Confirm", "Bestätigen"]),
    fields: &[OWN_PASSWORD],
};
const RESET_PASSWORD: Offer = Offer {
    heading: ["Choose a new password", "Neues Passwort wählen"],
    text: [
        "For the account with the email address {email}. You will be logged out on every device.",
        "Für das Konto mit der E-Mail-Adresse {email}. Sie werden auf allen Geräten abgemeldet.",
    ],
    button: Some(["Save the password", "Passwort speichern"]),
    fields: &[PASSWORD, AGAIN],
};
const LOG_IN: Offer = Offer {
    heading: ["Log in", "Anmelden"],
    text: [
        "Log in with {email} in this browser. Or enter the code of the mail where you asked for it.",
        "Melden Sie sich mit {email} in diesem Browser an. Oder geben Sie den Code der E-Mail dort ein, wo Sie die Anmeldung begonnen \
         haben.",
    ],
    button: Some(["Log in", "Anmelden"]),
    fields: &[],
};
const ENTER_CODE: Offer = Offer {
    heading: ["Enter the code of the mail", "Code der E-Mail eingeben"],
    text: [
        "Enter the code that was mailed to {email} where you asked for it. There is nothing to do on this page.",
        "Geben Sie den Code, der an {email} geschickt wurde, dort ein, wo Sie ihn angefordert haben. Auf dieser Seite ist nichts zu tun.",
    ],
    button: None,
    fields: &[],
};
const EMAIL_CHANGE: Offer = Offer {
    heading: ["Confirm your new email address", "Neue E-Mail-Adresse bestätigen"],
    text: [
        "{email} becomes the email address of your account.",
        "{email} wird die E-Mail-Adresse Ihres Kontos.",
    ],
    button: Some(["Confirm", "Bestätigen"]),
    fields: &[],
};
const EMAIL_REVERT: Offer = Offer {
    heading: ["Undo the change of your email address", "Änderung der E-Mail-Adresse rückgängig machen"],
    text: [
        "{email} becomes the email address of your account again. You will be logged out on every device, and the present password \
         no longer works: reset it afterwards.",
        "{email} wird wieder die E-Mail-Adresse Ihres Kontos. Sie werden auf allen Geräten abgemeldet, und das jetzige Passwort gilt \
         nicht mehr: Setzen Sie es danach zurück.",
    ],
    button: Some(["Undo the change", "Änderung rückgängig machen"]),
    fields: &[],
};
const CHANGE_PASSWORD: Offer = Offer {
    heading: ["Choose a new password", "Neues Passwort wählen"],
    text: [
        "Your account needs a new password. You will be logged out on every device.",
        "Ihr Konto braucht ein neues Passwort. Sie werden auf allen Geräten abgemeldet.",
    ],
    button: Some(["Save the password", "Passwort speichern"]),
    fields: &[PASSWORD, AGAIN],
};
const CANCEL_DELETION: Offer = Offer {
    heading: ["Keep your account?", "Konto behalten?"],
    text: [
        "This account will be deleted. To keep it, cancel its deletion.",
        "Dieses Konto wird gelöscht. Wenn Sie es behalten möchten, brechen Sie die Löschung ab.",
    ],
    button: Some(["Keep the account", "Konto behalten"]),
    fields: &[],
};

const SECOND_FACTOR: Offer = Offer {
    heading: ["Confirm that it is you", "Bestätigen Sie, dass Sie es sind"],
    text: [
        "This account has a second factor. If it is a passkey alone, use a recovery code here.",
        "Dieses Konto hat einen zweiten Faktor. Wenn das nur ein Passkey ist, verwenden Sie hier einen Wiederherstellungscode.",
    ],
    button: Some(["Continue", "Weiter"]),
    fields: &[CODE],
};
const ENROLL_FACTOR: Offer = Offer {
    heading: ["Set up a second factor", "Zweiten Faktor einrichten"],
    text: [
        "This account needs a second factor. Log in where you usually do, and set it up there.",
        "Dieses Konto braucht einen zweiten Faktor. Melden Sie sich dort an, wo Sie es sonst tun, und richten Sie ihn ein.",
    ],
    button: None,
    fields: &[],
};

const STAGE: Offer = Offer {
    heading: ["One more step", "Noch ein Schritt"],
    text: [
        "Log in where you usually do: something else must be done there first.",
        "Melden Sie sich dort an, wo Sie es sonst tun: Dort ist zuerst noch etwas zu erledigen.",
    ],
    button: None,
    fields: &[],
};

const INVALID: [Text; 2] = [
    ["This link is no longer valid", "Dieser Link gilt nicht mehr"],
    [
        "It was used already or has expired. Ask for another mail where you asked for this one.",
        "Er wurde schon benutzt oder ist abgelaufen. Fordern Sie dort, wo Sie ihn angefordert haben, eine neue E-Mail an.",
    ],
];
const LOGGED_IN: [Text; 2] = [
    ["You are logged in", "Sie sind angemeldet"],
    ["This browser is logged in to your account.", "Dieser Browser ist bei Ihrem Konto angemeldet."],
];
const CAN_LOG_IN: [Text; 2] = [
    ["Done", "Fertig"],
    ["You can log in to your account now.", "Sie können sich jetzt bei Ihrem Konto anmelden."],
];
const PASSWORD_SAVED: [Text; 2] = [
    ["The password was changed", "Das Passwort wurde geändert"],
    ["You can log in with the new password now.", "Sie können sich jetzt mit dem neuen Passwort anmelden."],
];
const EMAIL_CHANGED: [Text; 2] = [
    ["The email address was changed", "Die E-Mail-Adresse wurde geändert"],
    ["The email address of your account is {email}.", "Die E-Mail-Adresse Ihres Kontos ist {email}."],
];
const EMAIL_REVERTED: [Text; 2] = [
    ["The change was undone", "Die Änderung wurde rückgängig gemacht"],
    [
        "The email address of your account is {email}. Reset your password to log in again.",
        "Die E-Mail-Adresse Ihres Kontos ist {email}. Setzen Sie Ihr Passwort zurück, um sich wieder anzumelden.",
    ],
];

/// What stands in the form of the page.
#[derive(Debug, Deserialize, JsonSchema)]
pub(in super::super) struct LinkForm {
    /// Of the link.
    #[serde(default)]
    key: Typed,
    /// Of a login that the link began, and that needs another step.
    #[serde(default)]
    login_token: Typed,
    /// Of the account of an invitation.
    #[serde(default)]
    username: Username,
    #[serde(default)]
    new_password: NewPassword,
    /// The same once more.
    #[serde(default)]
    new_password_again: NewPassword,
    /// Of the account whose address is confirmed; empty: a new one is to be chosen.
    #[serde(default)]
    password: Password,
    /// Of an authenticator app, or a recovery code.
    #[serde(default)]
    code: Typed,
}

/// What a page needs to know of the request.
struct Visit {
    auth: Auth,
    locale: Locale,
    client: ClientInfo,
    headers: HeaderMap,
    /// Whether the application uses the session cookie.
    has_cookie: bool,
}

/// What the form was sent with.
enum Ticket {
    Key(String),
    LoginToken(String),
}

pub(in super::super) async fn get(call: Call<Anybody>) -> Result<Page, ApiError> {
    let visit = Visit::of(&call);
    let key = call.query::<String>("key", ApiError::not_found)?.unwrap_or_default();
    match inspect_link(visit.auth.context(), &key).await {
        Ok(Some(link)) => Ok(visit.offer(&visit.of_link(&link), &link.email, &Ticket::Key(key), None)),
        Ok(None) => Ok(visit.says(StatusCode::BAD_REQUEST, INVALID, "")),
        Err(error) => Page::of_error(visit.locale, error.into()),
    }
}

pub(in super::super) async fn post(call: Call<Anybody, Unread<LinkForm>>) -> Result<Page, ApiError> {
    let visit = Visit::of(&call);
    // A page of somebody else could log the user in to the account of its author.
    if !is_same_origin(&call.parts.headers) {
        return Ok(visit.says(StatusCode::FORBIDDEN, FOREIGN, ""));
    }
    let Data { fields: form, others } = match call.body.read(&call.parts).await {
        Ok(body) => body,
        Err(error) if error.status() == StatusCode::BAD_REQUEST => {
            return Ok(visit.says(StatusCode::BAD_REQUEST, FOREIGN, ""));
        }
        Err(error) => return Err(error),
    };
    let entered = Entered {
        username: form.username.0,
        password: form.new_password.0,
        again: form.new_password_again.0,
        own_password: match form.password.0 {
            Input::Given(password) if password.is_empty() => Input::Missing,
            password => password,
        },
        others,
        code: form.code.0,
    };
    let result = match (form.login_token.0, form.key.0) {
        (Input::Given(token), _) => visit.go_on(token, entered).await,
        (_, Input::Given(key)) => visit.redeem(key, entered).await,
        _ => Err(RedeemError::LinkInvalid.into()),
    };
    match result {
        Ok(page) => Ok(page),
        Err(error) if ["link_invalid", "login_expired", "code_invalid"].contains(&error.code()) => {
            Ok(visit.says(StatusCode::BAD_REQUEST, INVALID, ""))
        }
        Err(error) => Page::of_error(visit.locale, error),
    }
}

impl Visit {
    fn of<B>(call: &Call<Anybody, B>) -> Self {
        let locale = call.locale().unwrap_or(call.auth.context().settings.mail.locale);
        let has_cookie = call.parts.extensions.get::<InSessionCookie>().is_some();
        let headers = call.parts.headers.clone();
        Self { auth: call.auth.clone(), locale, client: call.client(), headers, has_cookie }
    }

    /// What can be done with a link here.
    fn of_link(&self, link: &Link) -> Offer {
        match link.purpose {
            ChallengePurpose::Register => REGISTER,
            ChallengePurpose::Invitation => INVITATION,
            ChallengePurpose::VerifyEmail => VERIFY_EMAIL,
            ChallengePurpose::ResetPassword => RESET_PASSWORD,
            // Only the session cookie logs in a browser: tokens would be of no use on this page.
            ChallengePurpose::LogIn if self.has_cookie && link.tokens == WantedTokens::Session => LOG_IN,
            ChallengePurpose::EmailChange => EMAIL_CHANGE,
            ChallengePurpose::EmailRevert => EMAIL_REVERT,
            _ => ENTER_CODE,
        }
    }

    /// A page with a text and nothing to do.
    fn says(&self, status: StatusCode, [heading, text]: [Text; 2], email: &str) -> Page {
        Page::new(self.locale, status, heading).text(text, email)
    }

    /// The fields of a form: those of the offer, and of an invitation those that the application declared and
    /// requires.
    fn fields(&self, offer: &Offer) -> Vec<Declared<'_>> {
        let declared = self.auth.context().fields.iter().filter(|field| {
            offer.fields.iter().any(|own| own.id == USERNAME.id)
                && field.required
                && field.writer == Writer::User
        });
        declared.map(Declared::of).collect()
    }

    /// A page with a form, and with the complaints about what was sent in it before. Of that, everything but
    /// passwords is shown again.
    fn offer(
        &self,
        offer: &Offer,
        email: &str,
        ticket: &Ticket,
        before: Option<(&FieldErrors, &HashMap<String, String>)>,
    ) -> Page {
        let declared = self.fields(offer);
        let all: Vec<_> = offer.fields.iter().copied().chain(declared.iter().map(Declared::field)).collect();
        let status = if before.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
        let min = self.auth.context().settings.password_policy.min_length;
        let page = Page::new(self.locale, status, offer.heading).text(offer.text, email);
        let Some(button) = offer.button else { return page };
        let (mut alerts, mut of_fields) = (Vec::new(), vec![Vec::new(); all.len()]);
        for (name, list) in before.into_iter().flat_map(|(errors, _)| errors.iter()) {
            let is_its = |field: &Field<'_>| {
                field.id == name
                    || field.id.strip_prefix(DECLARED) == Some(name)
                    || name == "password" && field.id == PASSWORD.id
            };
            let place = all.iter().position(is_its);
            let place = place.map_or(&mut alerts, |place| &mut of_fields[place]);
            place.extend(list.iter().map(|error| complaint(self.locale, error, min)));
        }
        let first = of_fields.iter().position(|list| !list.is_empty());
        let mut fields = String::new();
        for (place, field) in all.iter().enumerate() {
            let value = before.and_then(|(_, entered)| entered.get(field.id)).map_or("", String::as_str);
            fields += &field.html(self.locale, min, value, &of_fields[place], first == Some(place));
        }
        let hidden = match ticket {
            Ticket::Key(key) => hidden("key", key),
            Ticket::LoginToken(token) => hidden("login_token", token),
        };
        page.alerts(&alerts).form(&(hidden + &fields), button)
    }

    /// Uses a link.
    async fn redeem(&self, key: String, entered: Entered) -> Result<Page, ApiError> {
        let context = self.auth.context();
        let link = inspect_link(context, &key).await?.ok_or(RedeemError::LinkInvalid)?;
        let (offer, ticket) = (self.of_link(&link), Ticket::Key(key.clone()));
        if offer.button.is_none() {
            return Ok(self.offer(&offer, &link.email, &ticket, None));
        }
        let shown = entered.shown();
        let result = match !offer.fields.is_empty() && entered.differs() {
            true => Err(mismatch()),
            false => self.redeem_for(link.purpose, key, entered).await,
        };
        result.or_else(|error| match error.complaints() {
            Some(errors) => Ok(self.offer(&offer, &link.email, &ticket, Some((errors, &shown)))),
            None => Err(error),
        })
    }

    async fn redeem_for(
        &self,
        purpose: ChallengePurpose,
        key: String,
        entered: Entered,
    ) -> Result<Page, ApiError> {
        let (context, client) = (self.auth.context(), self.client.clone());
        let answer = Answer { key: Input::Given(key.clone()), ..Answer::default() };
        let Entered { username, password, own_password, mut others, .. } = entered;
        match purpose {
            ChallengePurpose::Invitation => {
                let locale = Some(self.locale);
                let declared = self.fields(&INVITATION).into_iter();
                let others = declared.filter_map(|field| field.read(&mut others)).collect();
                let email = Input::Missing;
                let request = Registration { email, username, password, others, client, locale };
                match accept_invitation(context, None, &key, request).await {
                    Ok(registered) => self.done(LoginTokens::Session(registered.token), CAN_LOG_IN).await,
                    Err(AcceptError::Register(RegisterError::Pending(pending))) => Ok(self.next(&pending)),
                    Err(error) => Err(error.into()),
                }
            }
            ChallengePurpose::Register => {
                let request = VerifyRegistration { answer, password, client };
                match verify_registration(context, request).await {
                    Ok(tokens) => self.done(tokens, CAN_LOG_IN).await,
                    Err(
                        VerifyRegistrationError::Register(RegisterError::Pending(pending))
                        | VerifyRegistrationError::Login(ContinueError::Login(LoginError::Pending(pending))),
                    ) => Ok(self.next(&pending)),
                    Err(error) => Err(error.into()),
                }
            }
            ChallengePurpose::ResetPassword => {
                match reset_password(context, ResetPassword { answer, new_password: password, client }).await
                {
                    Ok(()) => Ok(self.says(StatusCode::OK, PASSWORD_SAVED, "")),
                    Err(ResetPasswordError::Pending(pending)) => Ok(self.next(&pending)),
                    Err(error) => Err(error.into()),
                }
            }
            ChallengePurpose::EmailChange => {
                let user = confirm_email_change(context, None, answer.key, Input::Missing, client).await?;
                Ok(self.says(StatusCode::OK, EMAIL_CHANGED, user.email.as_str()))
            }
            ChallengePurpose::EmailRevert => {
                let user = revert_email_change(context, &key, client).await?;
                Ok(self.says(StatusCode::OK, EMAIL_REVERTED, user.email.as_str()))
            }
            ChallengePurpose::VerifyEmail => {
                let password = own_password;
                self.step(Step::Mail(Answer { password, ..answer }), CAN_LOG_IN).await
            }
            _ => self.step(Step::Mail(answer), CAN_LOG_IN).await,
        }
    }

    /// Takes the next step of a login that a link began.
    async fn go_on(&self, token: String, entered: Entered) -> Result<Page, ApiError> {
        let (offer, done) = match pending_login(self.auth.context(), &token).await?.step {
            PendingStep::ChangePassword => (CHANGE_PASSWORD, PASSWORD_SAVED),
            PendingStep::CancelDeletion => (CANCEL_DELETION, CAN_LOG_IN),
            PendingStep::SecondFactor { .. } => (SECOND_FACTOR, CAN_LOG_IN),
            _ => return Err(RedeemError::LoginExpired.into()),
        };
        let login_token = Input::Given(token.clone());
        let result = match offer.fields.is_empty() {
            false if offer.heading == SECOND_FACTOR.heading => {
                self.step(entered.second_factor(login_token), done).await
            }
            true => self.step(Step::CancelDeletion { login_token }, done).await,
            false if entered.differs() => Err(mismatch()),
            false => self.step(Step::NewPassword { login_token, new_password: entered.password }, done).await,
        };
        result.or_else(|error| match error.complaints() {
            Some(errors) => {
                Ok(self.offer(&offer, "", &Ticket::LoginToken(token), Some((errors, &HashMap::new()))))
            }
            None => Err(error),
        })
    }

    async fn step(&self, step: Step, done: [Text; 2]) -> Result<Page, ApiError> {
        match continue_login(self.auth.context(), step, self.client.clone()).await {
            Ok(tokens) => self.done(tokens, done).await,
            Err(ContinueError::Login(LoginError::Pending(pending))) => Ok(self.next(&pending)),
            Err(ContinueError::Redeem(RedeemError::CodeInvalid { attempts_left: 1.. })) => {
                let complaint = FieldError::new("code_invalid", "This code is wrong.");
                Err(ApiError::fields(FieldErrors::one(CODE.id, complaint)))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The page of the next step.
    fn next(&self, pending: &Pending) -> Page {
        let offer = match pending.step {
            PendingStep::ChangePassword => CHANGE_PASSWORD,
            PendingStep::CancelDeletion => CANCEL_DELETION,
            PendingStep::SecondFactor { .. } => SECOND_FACTOR,
            PendingStep::EnrollFactor { .. } => ENROLL_FACTOR,
            PendingStep::Stage(_) => STAGE,
            _ => ENTER_CODE,
        };
        self.offer(&offer, "", &Ticket::LoginToken(pending.login_token.0.clone()), None)
    }

    /// The session is the browser's where the application uses the cookie. Elsewhere nobody gets its token,
    /// and so it ends.
    async fn done(&self, tokens: LoginTokens, done: [Text; 2]) -> Result<Page, ApiError> {
        let token = match tokens {
            LoginTokens::Session(issued) if self.has_cookie => {
                let page = self.says(StatusCode::OK, LOGGED_IN, "").home();
                let mark = device_mark(self.auth.context(), issued.user, &self.client);
                let mark = mark.and_then(|mark| device_cookie::set(&mark, &self.headers));
                let session = self.auth.set_session_cookie(&issued.token);
                let cookies = [Some(session), mark].into_iter().flatten();
                return Ok(Page { headers: cookies.map(|cookie| (SET_COOKIE, cookie)).collect(), ..page });
            }
            LoginTokens::Session(issued) => Some(issued.token),
            LoginTokens::Pair(pair) => Some(pair.refresh),
            LoginTokens::Reauthenticated(_) => None,
            LoginTokens::PasswordReset => return Ok(self.says(StatusCode::OK, PASSWORD_SAVED, "")),
        };
        if let Some(token) = token {
            match revoke_token(self.auth.context(), &token, Revoker::Holder, self.client.clone()).await {
                Err(RevokeError::Store(error)) => return Err(error.into()),
                Ok(()) | Err(RevokeError::Token(_) | RevokeError::WithoutSession) => {}
            }
        }
        Ok(self.says(StatusCode::OK, done, ""))
    }
}

/// What the id of a declared field begins with: no other field of the form has its name.
const DECLARED: &str = "field.";

/// A field that the application declared.
struct Declared<'a> {
    id: String,
    label: String,
    field: &'a declared::Field,
}

impl<'a> Declared<'a> {
    fn of(field: &'a declared::Field) -> Self {
        let id = format!("{DECLARED}{}", field.name);
        // The description if there is one, else the name in words: `display_name` is "Display name".
        let label = field.description.clone().unwrap_or_else(|| {
            let words = field.name.replace('_', " ");
            words[..1].to_ascii_uppercase() + &words[1..]
        });
        Self { id, label, field }
    }

    fn field(&self) -> Field<'_> {
        let kind = match &self.field.kind {
            FieldKind::Text { max_length } => Kind::Text { max_length: *max_length },
            FieldKind::Integer { min, max } => Kind::Integer { min: *min, max: *max },
            FieldKind::Boolean => Kind::Checkbox,
            FieldKind::Choice(choices) => Kind::Choice(choices),
        };
        Field { id: &self.id, label: [&self.label; 2], hint: None, kind, autocomplete: "" }
    }

    /// What was sent for it, under its own name. A checkbox that is not checked sends nothing.
    fn read(&self, sent: &mut HashMap<String, Input<Raw>>) -> Option<(String, Input<Raw>)> {
        let sent = match sent.remove(&self.id) {
            None if self.field.kind == FieldKind::Boolean => Input::Given(Raw::Text("false".to_owned())),
            sent => sent?,
        };
        Some((self.field.name.clone(), sent))
    }
}

/// What was typed into the fields of a form.
#[derive(Debug, Default)]
struct Entered {
    username: Input<String>,
    password: Input<String>,
    again: Input<String>,
    own_password: Input<String>,
    others: HashMap<String, Input<Raw>>,
    code: Input<String>,
}

impl Entered {
    /// What the form shows again: everything but passwords.
    fn shown(&self) -> HashMap<String, String> {
        let declared = self.others.iter().filter_map(|(name, value)| match value {
            Input::Given(Raw::Text(text)) if name.starts_with(DECLARED) => Some((name.clone(), text.clone())),
            _ => None,
        });
        let username = match &self.username {
            Input::Given(username) => username.clone(),
            _ => String::new(),
        };
        declared.chain([(USERNAME.id.to_owned(), username)]).collect()
    }

    /// The step that the code is for: those of apps have six digits.
    fn second_factor(self, login_token: Input<String>) -> Step {
        let digits = |code: &String| code.chars().filter(char::is_ascii_digit).count();
        match &self.code {
            Input::Given(code) if digits(code) == 6 && !code.chars().any(char::is_alphabetic) => {
                Step::Totp { login_token, code: self.code }
            }
            _ => Step::RecoveryCode { login_token, code: self.code },
        }
    }

    /// Whether the new password was typed differently the second time.
    fn differs(&self) -> bool {
        match (&self.password, &self.again) {
            (Input::Given(first), Input::Given(second)) => first != second,
            (Input::Given(_), _) => true,
            // The flow complains about the first.
            _ => false,
        }
    }
}

fn mismatch() -> ApiError {
    let complaint = FieldError::new("password_mismatch", "The two password fields didn't match.");
    ApiError::fields(FieldErrors::one("new_password_again", complaint))
}
