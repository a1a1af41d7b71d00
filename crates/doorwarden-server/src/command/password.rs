use crate::failure::Failure;
use doorwarden::core::flow::manage;
use doorwarden::{Doorwarden, Password};
use std::io::{BufRead, IsTerminal};

/// Gives a user a new password, which must be strong enough, and ends his sessions.
pub(super) async fn change(accounts: &Doorwarden, email: &str, from_stdin: bool) -> Result<(), Failure> {
    let user = super::user(accounts, email).await?;
    let password = if from_stdin { read_line()? } else { ask()? };
    let (username, address) = (user.username.as_str(), user.email.as_str());
    manage::check_password_strength(accounts.context(), &password, username, address)?;
    accounts.users().set_password(user.id, Some(password.expose())).await?;
    eprintln!("The password of {email} was changed; all sessions have ended.");
    accounts.close().await;
    Ok(())
}

/// One line of standard input.
pub(super) fn read_line() -> Result<Password, Failure> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    let line = line.strip_suffix('\n').unwrap_or(&line);
    Ok(Password::new(line.strip_suffix('\r').unwrap_or(line)))
}

/// Asks twice, hidden.
pub(super) fn ask() -> Result<Password, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage("there is no terminal to ask on. hint: --password-stdin"));
    }
    loop {
        let first = rpassword::prompt_password("Password: ")?;
        let second = rpassword::prompt_password("Password (again): ")?;
        if first != second {
            eprintln!("Error: Your passwords didn't match.");
        } else if first.is_empty() {
            eprintln!("Error: Blank passwords aren't allowed.");
        } else {
            return Ok(Password::new(first));
        }
    }
}
