use crate::failure::Failure;
use crate::output::{self, Output, line};
use doorwarden::core::flow::sessions::{SessionPage, sessions_of};
use doorwarden::core::limit::LimitSettings;
use doorwarden::core::session::Session;
use doorwarden::core::view::{SessionView, UserView};
use doorwarden::{Doorwarden, User};
use serde_json::{Value, json};

/// A user as JSON. Of the password, only the algorithm of its hash is shown.
pub(crate) fn value(user: &User) -> Value {
    let mut shown = json!(UserView::from(user));
    shown["metadata"] = json!(user.metadata);
    shown["email_verified_at"] = json!(user.email_verified_at);
    shown["password"] = user.password.algorithm().as_str().into();
    shown
}

/// The user's roles and state, in words.
pub(super) fn flags(user: &User) -> String {
    let flags = [(!user.is_active, "inactive"), (user.is_superuser, "superuser"), (user.is_staff, "staff")];
    let flags: Vec<_> = flags.into_iter().filter(|(set, _)| *set).map(|(_, word)| word).collect();
    if flags.is_empty() { "-".to_owned() } else { flags.join(",") }
}

pub(super) async fn run(auth: &Doorwarden, named: &str, out: Output) -> Result<(), Failure> {
    let user = super::super::user(auth, named).await?;
    let direct = auth.users().direct_permissions(user.id).await?;
    let failures = auth.users().password_failures(user.id).await?;
    let context = auth.context();
    let SessionPage { sessions, next } = sessions_of(context, user.id, None).await?;
    // The user was deleted since the first lookup.
    let account = auth.users().account(user.id).await?;
    let account = account.ok_or_else(|| Failure::not_found("user not found"))?;

    if out.is_json() {
        let mut shown = value(&account.user);
        shown["tokens_valid_after"] = json!(account.user.tokens_valid_after);
        shown["groups"] = json!(account.groups);
        shown["permissions"] = json!(account.permissions);
        shown["direct_permissions"] = json!(direct);
        shown["wrong_passwords"] = json!(failures);
        shown["sessions"] = sessions.iter().map(session_value).collect();
        return output::json(&shown);
    }
    let user = &account.user;
    let list = |items: &[String]| if items.is_empty() { "-".to_owned() } else { items.join(", ") };
    out.facts(&[
        ("id", user.id.to_string()),
        ("username", user.username.to_string()),
        ("email", user.email.to_string()),
        ("email verified", user.email_verified_at.map_or("no".to_owned(), |at| at.to_string())),
        ("flags", flags(user)),
        ("password", user.password.algorithm().to_string()),
        ("wrong passwords", wrong_passwords(failures, &context.settings.limits)),
        ("joined", user.date_joined.to_string()),
        ("last login", user.last_login.map_or("never".to_owned(), |at| at.to_string())),
        ("groups", list(&account.groups)),
        ("permissions", list(&account.permissions)),
        ("direct permissions", list(&direct)),
        ("metadata", Value::from(user.metadata.clone()).to_string()),
        ("sessions", format!("{}{}", sessions.len(), if next.is_some() { " or more" } else { "" })),
    ])?;
    for session in &sessions {
        let device = session.client.device_name().unwrap_or_else(|| "unknown device".to_owned());
        let from = session.client.address.map(|address| address.to_string());
        let from = from.as_deref().unwrap_or("unknown address");
        let late = session.repeats.last_late_at.map(|at| format!(", refresh token repeated late at {at}"));
        let late = late.unwrap_or_default();
        let issued = if session.auth.is_none() { ", opened without a login" } else { "" };
        let text =
            format!("  {}  {device} at {from}, last seen {}{issued}{late}", session.id, session.last_seen_at);
        line(&crate::output::clean_line(&text))?;
    }
    Ok(())
}

/// How many wrong passwords strangers have tried, and what follows from it.
fn wrong_passwords(failures: u32, limits: &LimitSettings) -> String {
    match limits.enabled && failures >= limits.attempts {
        true => format!("{failures}: refused on new devices. hint: doorwarden user unlock"),
        false => failures.to_string(),
    }
}

/// A session as JSON.
pub(crate) fn session_value(session: &Session) -> Value {
    let mut shown = json!(SessionView::from(session));
    shown["user_id"] = json!(session.user);
    shown["ended_at"] = json!(session.ended.map(|(at, _)| at));
    shown["end_reason"] = json!(session.ended.map(|(_, reason)| reason));
    shown
}
