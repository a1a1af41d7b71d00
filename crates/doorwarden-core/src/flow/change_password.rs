//! Somebody changes his own password.

use super::finish::finish;
use super::{FlowError, IssuedToken, log_in, rules};
use crate::audit::{Actor, Origin};
use crate::authentication::{PasswordProof, Proof, Purpose};
use crate::context::Context;
use crate::error::{FieldError, FieldErrors, Input};
use crate::event::Event;
use crate::field::Raw;
use crate::flow::authenticate::Authenticated;
use crate::password::Password;
use crate::session::{ClientInfo, EndReason};
use crate::settings::PasswordChangeEnds;
use crate::store::{Change, PasswordChange};
use crate::user::{User, UserId};
use std::collections::HashMap;
use std::sync::Arc;

/// What the request says.
#[derive(Debug, Default)]
pub struct ChangePassword {
    /// The password until now.
    pub current_password: Input<String>,
    /// The one from now on.
    pub new_password: Input<String>,
    /// Everything else that was sent: a repetition of the new password is looked for here.
    pub others: HashMap<String, Input<Raw>>,
    /// Where it came from.
    pub client: ClientInfo,
}

/// Stores the new password and ends the other sessions and every token without a session. Answers with a token if the caller's own
/// session has ended, too: it named none, or [`PasswordChangeEnds::AllSessions`] is set.
///
/// # Errors
/// [`FlowError::Invalid`] if the current password is wrong or the new one breaks rules; [`FlowError::NotFound`] if the account is gone.
pub async fn change_password(
    context: &Arc<Context>,
    who: &Authenticated,
    request: ChangePassword,
) -> Result<Option<IssuedToken>, FlowError> {
    let id = who.user.account.user.id;
    let user = context.store.user(id).await?.ok_or(FlowError::NotFound)?;
    let mut errors = FieldErrors::new();
    let current = rules::typed_password("current_password", request.current_password, &mut errors);
    let new = rules::typed_password("new_password", request.new_password, &mut errors);
    if let Some(new) = &new {
        let attributes = [("username", user.username.as_str()), ("email", user.email.as_str())];
        rules::strength("new_password", &context.settings.password_policy, new, &attributes, &mut errors);
    }
    rules::typed_twice("new_password", new.as_ref(), &request.others, &context.fields, &mut errors);
    if let Some(current) = &current {
        confirm(context, &user, "current_password", current, &mut errors).await?;
    }
    let (Some(new), true) = (new, errors.is_empty()) else { return Err(errors.into()) };

    let keep = match context.settings.password_change_ends {
        PasswordChangeEnds::OtherSessions => who.session,
        PasswordChangeEnds::AllSessions => None,
    };
    let change = PasswordChange {
        password: context.pool.hash(&new, context.salt()).await?,
        expected: Some(user.password.clone()),
        at: context.now(),
        keep_session: keep,
        reason: EndReason::PasswordChanged,
    };
    let context = Arc::clone(context);
    finish(async move { store(&context, id, change, request.client).await }).await
}

/// What begins with the new password.
async fn store(
    context: &Context,
    id: UserId,
    change: PasswordChange,
    client: ClientInfo,
) -> Result<Option<IssuedToken>, FlowError> {
    let keep = change.keep_session;
    let chosen = Proof::Password(PasswordProof::of_new(change.password.clone()));
    let forgetting = context.live.forgetting(Change::User(id));
    let changed = context.store.change_password(id, change).await;
    drop(forgetting);
    if !changed? {
        return Err(wrong("current_password"));
    }
    context.tell(Event::PasswordChanged { user: id }).await;
    if keep.is_some() {
        return Ok(None);
    }
    let origin = Origin::new(Actor::User(id), client.clone());
    let session = context.new_session(id, client, context.settings.session.lifetime);
    // Somebody else may have changed it again.
    let session = context.open(session, Purpose::NewPassword, vec![chosen], &origin).await?;
    let session = session.ok_or_else(|| wrong("current_password"))?;
    Ok(Some(context.session_token(&session)))
}

/// Whether this is the user's password; if not, a complaint.
pub(super) async fn confirm(
    context: &Context,
    user: &User,
    field: &'static str,
    password: &Password,
    errors: &mut FieldErrors,
) -> Result<(), FlowError> {
    if log_in::matching(context, user, password).await?.is_err() {
        errors.add(field, [incorrect()]);
    }
    Ok(())
}

fn wrong(field: &'static str) -> FlowError {
    FieldErrors::one(field, incorrect()).into()
}

fn incorrect() -> FieldError {
    FieldError::new("password_incorrect", "The password was entered incorrectly. Please enter it again.")
}
