//! `createsuperuser`: Django's prompts and messages.

use super::prompt;
use crate::config::{Config, Environment, secret_in};
use crate::failure::Failure;
use crate::output::{Output, tell};
use clap::Args;
use doorwarden::core::error::{FieldError, Input};
use doorwarden::core::flow::factors::{self, Enroller, FactorError};
use doorwarden::core::flow::manage;
use doorwarden::core::identity::{EmailAddress, Username};
use doorwarden::{ClientInfo, Doorwarden, NewAccount, Password, User};
use std::path::Path;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Email
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// Username
    #[arg(long, value_name = "NAME")]
    username: Option<String>,
    /// The email address counts as proved
    #[arg(long)]
    verified: bool,
    /// Do not prompt; values not given as options are read from DOORWARDEN_SUPERUSER_EMAIL,
    /// DOORWARDEN_SUPERUSER_USERNAME and DOORWARDEN_SUPERUSER_PASSWORD (or
    /// DOORWARDEN_SUPERUSER_PASSWORD_FILE). Without a password, nobody can log in until `changepassword`
    #[arg(long, visible_alias = "noinput")]
    no_input: bool,
}

pub(super) async fn run(
    config: &Config,
    arguments: Arguments,
    environment: &Environment,
    out: Output,
) -> Result<(), Failure> {
    if !arguments.no_input && !prompt::is_possible() {
        return Err(Failure::usage("no terminal to prompt on").hint(
            "use `--no-input`, with `DOORWARDEN_SUPERUSER_EMAIL`, `DOORWARDEN_SUPERUSER_USERNAME` and \
             `DOORWARDEN_SUPERUSER_PASSWORD`",
        ));
    }
    let auth = open(config).await?;
    let result = create(config, &auth, arguments, environment, out).await;
    auth.close().await;
    result
}

/// The first command of a new installation: it creates the SQLite database if there is none.
async fn open(config: &Config) -> Result<Doorwarden, Failure> {
    match config.sqlite_path().filter(|path| !path.exists()) {
        Some(path) => {
            tell(&format!("No database at `{}`; creating it", path.display()));
            super::build(config.command_builder()?.without_keys().migrate(true)).await
        }
        None => super::open(config).await,
    }
}

async fn create(
    config: &Config,
    auth: &Doorwarden,
    arguments: Arguments,
    environment: &Environment,
    out: Output,
) -> Result<(), Failure> {
    let is_email_verified = arguments.verified;
    let (account, keyed) = if arguments.no_input {
        (given(auth, arguments, environment)?, None)
    } else {
        let account = asked(auth, arguments).await?;
        let keyed = match prompt::agrees("Set up an authenticator app? [y/N]: ")? {
            // The secret of the app is sealed with the secret key.
            true => Some(super::open_with_keys(config).await?),
            false => None,
        };
        (account, keyed)
    };
    let account = NewAccount { is_email_verified, ..account };
    let user = manage::create_superuser(auth.context(), account, auth.origin()).await?;
    out.done("Superuser created successfully.", &super::user::value(&user))?;
    let Some(keyed) = keyed else { return Ok(()) };
    let result = set_up_app(&keyed, &user).await;
    keyed.close().await;
    result
}

/// Sets up an authenticator app of a user who sits at the terminal.
async fn set_up_app(auth: &Doorwarden, user: &User) -> Result<(), Failure> {
    let context = auth.context();
    let enroller = || Enroller::Managed(user.id, auth.origin());
    let new = factors::begin_totp(context, enroller(), Input::Missing, ClientInfo::default()).await?;
    prompt::picture(&new.uri);
    tell(&format!("Scan the picture with the app, or type this secret: {}", new.secret.expose()));
    tell(&new.uri);
    let enrolled = loop {
        let code = Input::Given(prompt::line("Code that the app shows: ")?);
        match factors::confirm_totp(context, enroller(), new.id, code, ClientInfo::default()).await {
            Ok(enrolled) => break enrolled,
            Err(error @ (FactorError::CodeInvalid | FactorError::ClockSkew(_))) => {
                tell(&format!("Error: {error}."));
            }
            Err(error) => return Err(error.into()),
        }
    };
    tell(
        "The app is set up. Each of these recovery codes logs in once without it. They are not shown again:",
    );
    for code in enrolled.recovery_codes.iter().flatten() {
        tell(&format!("  {}", code.shown()));
    }
    Ok(())
}

fn given(auth: &Doorwarden, arguments: Arguments, environment: &Environment) -> Result<NewAccount, Failure> {
    let take = |option: Option<String>, name: &str| {
        let variable = format!("DOORWARDEN_SUPERUSER_{}", name.to_uppercase());
        let value = option.or_else(|| environment.get(&variable).map(str::to_owned));
        value.filter(|text| !text.is_empty()).ok_or_else(|| {
            Failure::usage(format!("You must use --{name} with --no-input."))
                .hint(format!("or set `{variable}`"))
        })
    };
    let (email, username) = (take(arguments.email, "email")?, take(arguments.username, "username")?);
    let get = |name| environment.get(name).filter(|text| !text.is_empty());
    let password = match (get("DOORWARDEN_SUPERUSER_PASSWORD"), get("DOORWARDEN_SUPERUSER_PASSWORD_FILE")) {
        (Some(_), Some(_)) => {
            return Err(Failure::config(
                "`DOORWARDEN_SUPERUSER_PASSWORD` and `DOORWARDEN_SUPERUSER_PASSWORD_FILE` are both set",
            ));
        }
        (password, None) => password.map(Password::new),
        (None, Some(file)) => {
            let fail = |why| Failure::config(format!("`DOORWARDEN_SUPERUSER_PASSWORD_FILE`: {why}"));
            Some(Password::new(secret_in(Path::new(file)).map_err(fail)?))
        }
    };
    // As in Django, the password is accepted nevertheless.
    for weakness in password.iter().flat_map(|p| prompt::weaknesses(auth, p, &username, &email)) {
        tell(&format!("warning: {weakness}"));
    }
    Ok(NewAccount { username, email, password, ..NewAccount::default() })
}

async fn asked(auth: &Doorwarden, arguments: Arguments) -> Result<NewAccount, Failure> {
    let email = ask(auth, "email", arguments.email).await?;
    let username = ask(auth, "username", arguments.username).await?;
    let password = loop {
        let Some(password) = prompt::password("Error: Your passwords didn't match.")? else { continue };
        let found = prompt::weaknesses(auth, &password, &username, &email);
        if found.is_empty() {
            break password;
        }
        tell(&found.join("\n"));
        let answer = prompt::line("Bypass password validation and create user anyway? [y/N]: ")?;
        if answer.eq_ignore_ascii_case("y") {
            break password;
        }
    };
    Ok(NewAccount { username, email, password: Some(password), ..NewAccount::default() })
}

/// Prompts until the value is valid and not taken.
async fn ask(auth: &Doorwarden, field: &str, option: Option<String>) -> Result<String, Failure> {
    let mut option = option;
    let question = if field == "email" { "Email: " } else { "Username: " };
    loop {
        let text = match option.take() {
            Some(text) => text,
            None => prompt::line(question)?,
        };
        let complaint = complaint(auth, field, &text).await?;
        match complaint {
            None => return Ok(text),
            Some(complaint) => tell(&format!("Error: {complaint}")),
        }
    }
}

async fn complaint(auth: &Doorwarden, field: &str, text: &str) -> Result<Option<String>, Failure> {
    if text.trim().is_empty() {
        return Ok(Some("This field cannot be blank.".to_owned()));
    }
    let store = &auth.context().store;
    let (valid, taken) = if field == "email" {
        match EmailAddress::check(text) {
            Ok(email) => (Ok(()), store.taken(Some(&email.key()), None, None).await?.email),
            Err(wrong) => (Err(wrong.into_iter().map(FieldError::from).collect()), false),
        }
    } else {
        match Username::check(text) {
            Ok(username) => (Ok(()), store.taken(None, Some(&username.key()), None).await?.username),
            Err(wrong) => (Err(wrong.into_iter().map(FieldError::from).collect::<Vec<_>>()), false),
        }
    };
    Ok(match valid {
        Err(wrong) => Some(wrong.iter().map(|error| error.text.as_ref()).collect::<Vec<_>>().join("; ")),
        Ok(()) if taken => Some(format!("That {field} is already taken.")),
        Ok(()) => None,
    })
}
