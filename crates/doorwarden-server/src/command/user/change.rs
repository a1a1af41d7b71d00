use super::show::value;
use crate::command::{prompt, user};
use crate::failure::Failure;
use crate::output::{Output, count};
use clap::Args;
use doorwarden::core::identity::{EmailAddress, Username};
use doorwarden::core::user::UserChange;
use doorwarden::{Doorwarden, FieldError, FieldErrors, SignedOut};
use serde_json::{Value, json};

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true))]
pub(crate) struct Update {
    /// The user's email or id
    user: String,
    /// New username
    #[arg(long, value_name = "NAME", group = "change")]
    username: Option<String>,
    /// New email
    #[arg(long, value_name = "ADDRESS", group = "change")]
    email: Option<String>,
    /// Mark as staff (may use the admin): true or false
    #[arg(long, value_name = "BOOL", group = "change")]
    staff: Option<bool>,
    /// Mark as superuser (has every permission): true or false
    #[arg(long, value_name = "BOOL", group = "change")]
    superuser: Option<bool>,
    /// Metadata to set, as a JSON object; null removes a member, others are kept
    #[arg(long, value_name = "JSON", value_parser = metadata, group = "change")]
    metadata: Option<Value>,
}

/// A JSON object.
pub(super) fn metadata(text: &str) -> Result<Value, String> {
    match serde_json::from_str(text) {
        Ok(object @ Value::Object(_)) => Ok(object),
        Ok(_) => Err("must be a JSON object".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

pub(super) async fn update(auth: &Doorwarden, update: Update, out: Output) -> Result<(), Failure> {
    let found = user(auth, &update.user).await?;
    let mut errors = FieldErrors::new();
    // The stored values may predate the current rules.
    let username = update.username.filter(|name| name != found.username.as_str());
    let email = update.email.filter(|address| address != found.email.as_str());
    let username = checked("username", username, Username::check, &mut errors);
    let email = checked("email", email, EmailAddress::check, &mut errors);
    if !errors.is_empty() {
        return Err(errors.into());
    }
    let change = UserChange {
        username,
        email,
        is_staff: update.staff,
        is_superuser: update.superuser,
        metadata: update.metadata.as_ref().and_then(|object| object.as_object().cloned()).unwrap_or_default(),
        ..UserChange::default()
    };
    let changed = auth.users().update(found.id, change).await?;
    out.done(&format!("Updated user `{}`", changed.email), &value(&changed))
}

fn checked<T, E: Into<FieldError>>(
    field: &'static str,
    text: Option<String>,
    check: impl FnOnce(&str) -> Result<T, Vec<E>>,
    errors: &mut FieldErrors,
) -> Option<T> {
    let found = check(&text?).map_err(|wrong| errors.add(field, wrong.into_iter().map(Into::into)));
    found.ok()
}

pub(super) async fn activate(
    auth: &Doorwarden,
    named: &str,
    is_active: bool,
    out: Output,
) -> Result<(), Failure> {
    let found = user(auth, named).await?;
    let change = UserChange { is_active: Some(is_active), ..UserChange::default() };
    let changed = auth.users().update(found.id, change).await?;
    let sentence = match is_active {
        true => format!("Reactivated user `{}`", changed.email),
        false => format!("Deactivated user `{}` and ended all of their sessions", changed.email),
    };
    out.done(&sentence, &value(&changed))
}

pub(super) async fn unlock(auth: &Doorwarden, named: &str, out: Output) -> Result<(), Failure> {
    let found = user(auth, named).await?;
    let unlocked = auth.users().unlock_password(found.id).await?;
    let sentence = match unlocked {
        true => format!("The password of `{}` can be tried again on every device", found.email),
        false => format!("Nobody had tried a wrong password of `{}`", found.email),
    };
    out.done(&sentence, &json!({"id": found.id, "email": found.email.as_str(), "unlocked": unlocked}))
}

pub(super) async fn delete(auth: &Doorwarden, named: &str, yes: bool, out: Output) -> Result<(), Failure> {
    let found = user(auth, named).await?;
    let question = format!("Permanently delete {} ({}, id {})?", found.email, found.username, found.id);
    prompt::confirm(yes, &question)?;
    auth.users().delete(found.id).await?;
    let deleted = json!({"id": found.id, "email": found.email.as_str(), "deleted": true});
    out.done(&format!("Deleted user `{}`", found.email), &deleted)
}

pub(super) async fn sign_out(auth: &Doorwarden, named: &str, out: Output) -> Result<(), Failure> {
    let found = user(auth, named).await?;
    let ended = auth.users().sign_out(found.id).await?;
    let sentence = format!("Signed out user `{}`: {} ended", found.email, count(ended, "session"));
    out.done(&sentence, &json!({"id": found.id, "email": found.email.as_str(), "sessions_ended": ended}))
}

pub(super) async fn sign_out_everybody(auth: &Doorwarden, yes: bool, out: Output) -> Result<(), Failure> {
    let users = auth.context().store.count_users().await?;
    let question = format!("End all sessions and tokens of {}?", count(users, "user"));
    prompt::confirm(yes, &question)?;
    let SignedOut { users, sessions, .. } = auth.users().sign_out_everybody().await?;
    let sentence = format!("Signed out {}: {} ended", count(users, "user"), count(sessions, "session"));
    out.done(&sentence, &json!({"users": users, "sessions_ended": sessions}))
}
