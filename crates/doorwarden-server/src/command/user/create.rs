use super::change::metadata;
use super::show::value;
use crate::command::password::strong;
use crate::failure::Failure;
use crate::output::Output;
use clap::Args;
use doorwarden::core::flow::manage;
use doorwarden::{Doorwarden, NewAccount};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Email
    #[arg(value_name = "EMAIL")]
    email: String,
    /// Username
    #[arg(value_name = "USERNAME")]
    username: String,
    /// Read the password from standard input (one line)
    #[arg(long)]
    password_stdin: bool,
    /// Set no password: nobody can log in until `changepassword`
    #[arg(long, conflicts_with = "password_stdin")]
    no_password: bool,
    /// Mark as staff (may use the admin)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    staff: Option<bool>,
    /// Mark as superuser (has every permission), and as staff
    #[arg(long)]
    superuser: bool,
    /// The email address counts as proved
    #[arg(long)]
    verified: bool,
    /// Create the account deactivated
    #[arg(long)]
    inactive: bool,
    /// Metadata of the application, as a JSON object
    #[arg(long, value_name = "JSON", value_parser = metadata)]
    metadata: Option<serde_json::Value>,
}

pub(super) async fn run(auth: &Doorwarden, arguments: Arguments, out: Output) -> Result<(), Failure> {
    let Arguments { email, username, .. } = arguments;
    let password = match arguments.no_password {
        true => None,
        false => Some(strong(auth, &username, &email, arguments.password_stdin)?),
    };
    let metadata = arguments.metadata.as_ref().and_then(|object| object.as_object().cloned());
    let account = NewAccount {
        username,
        email,
        password,
        is_active: Some(!arguments.inactive),
        is_staff: arguments.staff,
        is_superuser: arguments.superuser.then_some(true),
        metadata: metadata.unwrap_or_default(),
        is_email_verified: arguments.verified,
    };
    let user = match arguments.superuser {
        true => manage::create_superuser(auth.context(), account, auth.origin()).await?,
        false => manage::create_user(auth.context(), account, auth.origin()).await?,
    };
    out.done(&format!("Created user `{}` with id {}", user.email, user.id), &value(&user))
}
