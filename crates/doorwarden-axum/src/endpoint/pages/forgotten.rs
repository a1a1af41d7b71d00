//! Where somebody who has forgotten the password asks for the mail that resets it.

use super::super::docs::root;
use super::super::operation::{Anybody, Call, Unread};
use super::{FOREIGN, Field, Kind, Page, Redirect, Text, complaint};
use crate::body::Email;
use crate::error::ApiError;
use crate::refresh_cookie::is_same_origin;
use crate::settings::Endpoint;
use doorwarden_core::error::{FieldErrors, Input};
use doorwarden_core::flow::log_in_by_mail::{MailedLogin, RequestMailError};
use doorwarden_core::flow::pending::WantedTokens;
use doorwarden_core::flow::reset_password::request_reset;
use doorwarden_core::locale::Locale;
use http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;

const EMAIL: Field<'static> = Field {
    id: "email",
    label: ["Email address", "E-Mail-Adresse"],
    hint: None,
    kind: Kind::Input("email"),
    autocomplete: "email",
};
const ASK: [Text; 3] = [
    ["Forgot your password?", "Passwort vergessen?"],
    [
        "Enter the email address of your account. You get a mail with a link to choose a new password.",
        "Geben Sie die E-Mail-Adresse Ihres Kontos ein. Sie erhalten eine E-Mail mit einem Link, um ein neues Passwort zu wählen.",
    ],
    ["Send the mail", "E-Mail senden"],
];
const ASKED: [Text; 2] = [
    ["Look into your mailbox", "Sehen Sie in Ihr Postfach"],
    [
        "If {email} has an account, a mail to it is on its way.",
        "Wenn es für {email} ein Konto gibt, ist eine E-Mail dorthin unterwegs.",
    ],
];

#[derive(Debug, Deserialize, JsonSchema)]
pub(in super::super) struct EmailForm {
    #[serde(default)]
    email: Email,
}

fn locale<B>(call: &Call<Anybody, B>) -> Locale {
    call.locale().unwrap_or(call.auth.context().settings.mail.locale)
}

fn form(locale: Locale, email: &str, errors: Option<&FieldErrors>) -> Page {
    let status = if errors.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    let complaints = errors.into_iter().flat_map(FieldErrors::iter).flat_map(|(_, list)| list);
    let complaints: Vec<_> = complaints.map(|error| complaint(locale, error, 0)).collect();
    let field = EMAIL.html(locale, 0, email, &complaints, errors.is_some());
    Page::new(locale, status, ASK[0]).text(ASK[1], "").form(&field, ASK[2])
}

pub(in super::super) async fn get(call: Call<Anybody>) -> Result<Page, ApiError> {
    match call.auth.context().outbox.is_open() {
        true => Ok(form(locale(&call), "", None)),
        false => Err(RequestMailError::NoMail.into()),
    }
}

pub(in super::super) async fn post(call: Call<Anybody, Unread<EmailForm>>) -> Result<Page, ApiError> {
    let (shown, locale, client) = (locale(&call), call.locale(), call.client());
    let foreign = |status| Page::new(shown, status, FOREIGN[0]).text(FOREIGN[1], "");
    // A page of somebody else could have mails sent from the addresses of its visitors.
    if !is_same_origin(&call.parts.headers) {
        return Ok(foreign(StatusCode::FORBIDDEN));
    }
    let email = match call.body.read(&call.parts).await {
        Ok(body) => body.fields.email.0,
        Err(error) if error.status() == StatusCode::BAD_REQUEST => return Ok(foreign(error.status())),
        Err(error) => return Err(error),
    };
    let typed = match &email {
        Input::Given(text) => text.clone(),
        _ => String::new(),
    };
    let asked = MailedLogin { email, tokens: WantedTokens::Session, locale, client };
    match request_reset(call.auth.context(), asked).await {
        Ok(_) => Ok(Page::new(shown, StatusCode::OK, ASKED[0]).text(ASKED[1], &typed)),
        Err(RequestMailError::Invalid(errors)) => Ok(form(shown, &typed, Some(&errors))),
        Err(error) => Page::of_error(shown, error.into()),
    }
}

/// Where password managers look for the page that changes a password ("A Well-Known URL for Changing
/// Passwords", W3C).
pub(in super::super) async fn redirect(call: Call<Anybody>) -> Result<Redirect, ApiError> {
    let page = call.auth.settings().path(Endpoint::PasswordForgotten).ok_or_else(ApiError::not_found)?;
    Ok(Redirect(format!("{}{}", root(call.parts.uri.path()), page.trim_start_matches('/'))))
}
