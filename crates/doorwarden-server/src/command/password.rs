use super::prompt;
use crate::failure::Failure;
use crate::output::{Output, clean_line, tell};
use clap::Args;
use doorwarden::{Doorwarden, Password};
use serde_json::json;

/// The maximum number of attempts, as in Django's `changepassword`.
const TRIES: u32 = 3;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The user's email or id
    user: String,
    /// Read the password from standard input (one line)
    #[arg(long)]
    password_stdin: bool,
}

/// Sets a user's password, which must pass the validators, and ends the user's sessions.
pub(super) async fn run(auth: &Doorwarden, arguments: &Arguments, out: Output) -> Result<(), Failure> {
    let user = super::user(auth, &arguments.user).await?;
    let (username, email) = (user.username.as_str(), user.email.as_str());
    if !arguments.password_stdin {
        tell(&format!("Changing password for user '{}'", clean_line(email)));
    }
    let password = strong(auth, username, email, arguments.password_stdin)?;
    auth.users().set_password(user.id, Some(password.expose())).await?;
    out.done(
        &format!("Password changed successfully for user '{email}', and all sessions ended"),
        &json!({"id": user.id, "email": email, "password_changed": true}),
    )
}

/// A password that passes the validators for this username and email address, from standard input or a
/// prompt.
pub(super) fn strong(
    auth: &Doorwarden,
    username: &str,
    email: &str,
    from_stdin: bool,
) -> Result<Password, Failure> {
    if from_stdin {
        let password = Password::new(prompt::read_line()?);
        if prompt::is_blank(&password) {
            return Err(Failure::no("Blank passwords aren't allowed."));
        }
        return match prompt::weaknesses(auth, &password, username, email) {
            none if none.is_empty() => Ok(password),
            found => Err(Failure::no(found.join("\n"))),
        };
    }
    if !prompt::is_possible() {
        return Err(Failure::usage("no terminal to prompt on").hint("use `--password-stdin`"));
    }
    for _ in 0..TRIES {
        let typed = prompt::password("Passwords do not match. Please try again.")?;
        let Some(password) = typed else { continue };
        let found = prompt::weaknesses(auth, &password, username, email);
        if found.is_empty() {
            return Ok(password);
        }
        tell(&found.join("\n"));
    }
    Err(Failure::no(format!("aborted after {TRIES} attempts; nothing was changed")))
}
