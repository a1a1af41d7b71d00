use crate::command::permission::{Tally, granted, names};
use crate::command::user;
use crate::failure::Failure;
use crate::output::Output;
use doorwarden::{Doorwarden, User};
use serde_json::{Value, json};

pub(super) async fn grant(
    auth: &Doorwarden,
    named: &str,
    permissions: &[String],
    out: Output,
) -> Result<(), Failure> {
    let (permissions, user) = (names(permissions)?, user(auth, named).await?);
    let mut tally = Tally::default();
    for permission in &permissions {
        let given = auth.users().grant(user.id, permission).await;
        let changed = granted(given, permission)?;
        let sentence = match changed {
            true => format!("Granted `{permission}` to user `{}`", user.email),
            false => format!("User `{}` already has `{permission}`", user.email),
        };
        tally.note(permission, changed, sentence);
    }
    tally.say(out, about(&user))
}

pub(super) async fn revoke(
    auth: &Doorwarden,
    named: &str,
    permissions: &[String],
    out: Output,
) -> Result<(), Failure> {
    let (permissions, user) = (names(permissions)?, user(auth, named).await?);
    let mut tally = Tally::default();
    for permission in &permissions {
        let changed = auth.users().revoke(user.id, permission).await?;
        let sentence = match changed {
            true => format!("Revoked `{permission}` from user `{}`", user.email),
            false => format!("User `{}` did not have `{permission}` directly", user.email),
        };
        tally.note(permission, changed, sentence);
    }
    tally.say(out, about(&user))
}

pub(super) async fn join(auth: &Doorwarden, named: &str, group: &str, out: Output) -> Result<(), Failure> {
    let user = user(auth, named).await?;
    let changed = auth.users().add_to_group(user.id, group).await?;
    let sentence = match changed {
        true => format!("Added user `{}` to group `{group}`", user.email),
        false => format!("User `{}` is already in group `{group}`", user.email),
    };
    out.done(&sentence, &membership(&user, group, changed))
}

pub(super) async fn leave(auth: &Doorwarden, named: &str, group: &str, out: Output) -> Result<(), Failure> {
    let user = user(auth, named).await?;
    let changed = auth.users().remove_from_group(user.id, group).await?;
    let sentence = match changed {
        true => format!("Removed user `{}` from group `{group}`", user.email),
        false => format!("User `{}` was not in group `{group}`", user.email),
    };
    out.done(&sentence, &membership(&user, group, changed))
}

fn about(user: &User) -> Value {
    json!({"id": user.id, "email": user.email.as_str()})
}

fn membership(user: &User, group: &str, changed: bool) -> Value {
    json!({"id": user.id, "email": user.email.as_str(), "group": group, "changed": changed})
}
