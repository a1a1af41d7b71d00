//! Rules that several flows apply to user input.

use crate::context::Context;
use crate::error::{FieldError, FieldErrors, Input};
use crate::field::{Fields, Raw};
use crate::identity::text::python_strip;
use crate::identity::{EmailAddress, Username};
use crate::password::{Password, PasswordPolicy, PoolError, Verdict, Weakness};
use crate::settings::RegistrationSettings;
use crate::store::{StoreError, WriteUserError};
use crate::user::{METADATA_MAX_BYTES, User};
use serde_json::{Map, Value};
use std::collections::HashMap;

/// A new email address, or complaints about `email`.
pub(super) fn new_email(input: Input<String>, errors: &mut FieldErrors) -> Option<EmailAddress> {
    let typed = match input {
        // As Django REST framework: a list or an object is turned into text, which is not an email address.
        Input::NotText => Err(FieldError::new("invalid", "Enter a valid email address.")),
        other => other.required(),
    };
    checked("email", typed, EmailAddress::check, errors)
}

/// A new email address that people may choose by themselves, or complaints about `email`. Whether it has an
/// account makes no difference.
pub(super) fn chosen_email(
    input: Input<String>,
    allowed: &RegistrationSettings,
    errors: &mut FieldErrors,
) -> Option<EmailAddress> {
    let email = new_email(input, errors)?;
    if allowed.allows(&email.domain()) {
        return Some(email);
    }
    let complaint = "Email addresses of this domain are not allowed.";
    errors.add("email", [FieldError::new("domain_not_allowed", complaint)]);
    None
}

/// A new username, or complaints about `username`.
pub(super) fn new_username(input: Input<String>, errors: &mut FieldErrors) -> Option<Username> {
    checked("username", input.required(), Username::check, errors)
}

fn checked<T, E: Into<FieldError>>(
    field: &'static str,
    typed: Result<String, FieldError>,
    check: impl FnOnce(&str) -> Result<T, Vec<E>>,
    errors: &mut FieldErrors,
) -> Option<T> {
    let complaints = match typed {
        Ok(text) => match check(&text) {
            Ok(value) => return Some(value),
            Err(complaints) => complaints.into_iter().map(Into::into).collect(),
        },
        Err(complaint) => vec![complaint],
    };
    errors.add(field, complaints);
    None
}

/// A password as typed, or a complaint. The strength is not checked.
pub(super) fn typed_password(
    field: &'static str,
    input: Input<String>,
    errors: &mut FieldErrors,
) -> Option<Password> {
    match input.required() {
        Ok(text) => {
            let password = Password::new(text);
            match unfit_password(&password) {
                Some(complaint) => errors.add(field, [complaint]),
                None => return Some(password),
            }
        }
        Err(complaint) => errors.add(field, [complaint]),
    }
    None
}

/// What no password may be: whitespace only, or text with a NUL. Other whitespace is part of the password.
pub(super) fn unfit_password(password: &Password) -> Option<FieldError> {
    match password.expose() {
        text if python_strip(text).is_empty() => Some(FieldError::blank()),
        text if text.contains('\0') => Some(FieldError::null_characters()),
        _ => None,
    }
}

/// A complaint if a form sent the new password a second time, and it differs: `re_password` as djoser's
/// clients do, `password2` as Django's forms, `password_confirmation` as Rails', in any spelling. A declared
/// field of such a name is that field.
pub(super) fn typed_twice(
    field: &'static str,
    password: Option<&Password>,
    others: &HashMap<String, Input<Raw>>,
    declared: &Fields,
    errors: &mut FieldErrors,
) {
    let folded = |name: &str| name.replace(['_', '-'], "").to_ascii_lowercase();
    let is_repetition = |name: &String| {
        let name = folded(name);
        [field, "password"].into_iter().map(folded).any(|of| {
            ["re", "retype", "repeat", "confirm"].iter().any(|prefix| name == format!("{prefix}{of}"))
                || ["2", "confirm", "confirmation", "repeat", "again"]
                    .iter()
                    .any(|suffix| name == format!("{of}{suffix}"))
        })
    };
    let is_declared = |name: &String| declared.iter().any(|declared| declared.name == *name);
    let differs = |again: &Input<Raw>| match again {
        Input::Missing => false,
        Input::Given(Raw::Text(text) | Raw::Json(Value::String(text))) => {
            password.is_none_or(|password| password.expose() != text)
        }
        Input::Given(Raw::Json(Value::Number(number))) => {
            password.is_none_or(|password| password.expose() != number.to_string())
        }
        Input::Null | Input::NotText | Input::Given(Raw::Json(_)) => true,
    };
    if others.iter().any(|(name, again)| is_repetition(name) && !is_declared(name) && differs(again)) {
        let complaint = FieldError::new("password_mismatch", "The two password fields didn't match.");
        errors.add(crate::error::NON_FIELD_ERRORS, [complaint]);
    }
}

/// Complaints about the strength of a new password, all of them, lengths in Django REST framework's words.
pub(super) fn strength(
    field: &'static str,
    policy: &PasswordPolicy,
    password: &Password,
    attributes: &[(&str, &str)],
    errors: &mut FieldErrors,
) {
    let Err(weaknesses) = policy.check(password, attributes) else { return };
    errors.add(
        field,
        weaknesses.into_iter().map(|weakness| match weakness {
            Weakness::TooShort { min } => {
                FieldError::new("min_length", format!("Ensure this field has at least {min} characters."))
            }
            Weakness::TooLong { max } => FieldError::max_length(max),
            Weakness::ContainsNul => FieldError::null_characters(),
            other => FieldError::new(other.code(), other.to_string()),
        }),
    );
}

/// Whether the password of a login was leaked, so that another one must be chosen.
pub(super) fn is_leaked_at_login(context: &Context, password: &Password) -> bool {
    let settings = &context.settings;
    settings.leaked_at_login && settings.password_policy.leaked_passwords.contains(password)
}

/// Complains about a new password that the user has or had, as far as [earlier ones are
/// remembered](crate::settings::Settings::password_history). Does nothing about one that breaks other rules:
/// this takes as long as many logins.
pub(super) async fn not_used_before<E: From<PoolError> + From<StoreError>>(
    context: &Context,
    field: &'static str,
    user: &User,
    password: Option<&Password>,
    errors: &mut FieldErrors,
) -> Result<(), E> {
    let remembered = context.settings.password_history;
    let Some(password) = password.filter(|_| remembered > 0 && errors.is_empty()) else { return Ok(()) };
    let earlier = context.store.earlier_passwords(user.id, remembered).await?;
    for hash in [&user.password].into_iter().chain(&earlier) {
        if let Verdict::Match { .. } = context.pool.verify(password, hash).await? {
            errors.add(field, [FieldError::new("password_reused", "This password was used before.")]);
            break;
        }
    }
    Ok(())
}

/// Checks that the members fit into `metadata`; if not, a complaint about no field in particular.
pub(super) fn metadata_fits(metadata: &Map<String, Value>, errors: &mut FieldErrors) {
    let bytes = serde_json::to_vec(metadata).map_or(usize::MAX, |json| json.len());
    if bytes > METADATA_MAX_BYTES {
        errors.add(crate::error::NON_FIELD_ERRORS, [too_large()]);
    }
}

/// The complaint about too much metadata.
fn too_large() -> FieldError {
    FieldError::new(
        "too_large",
        format!("The fields of an account may take at most {METADATA_MAX_BYTES} bytes."),
    )
}

/// What a constraint of the database said, as a complaint about its field.
pub(super) fn complaint(error: WriteUserError) -> Result<FieldErrors, StoreError> {
    let (field, complaint) = match error {
        WriteUserError::EmailTaken => ("email", FieldError::taken("email")),
        WriteUserError::UsernameTaken => ("username", FieldError::taken("username")),
        WriteUserError::MetadataTooLarge => (crate::error::NON_FIELD_ERRORS, too_large()),
        WriteUserError::Store(error) => return Err(error),
    };
    Ok(FieldErrors::one(field, complaint))
}
