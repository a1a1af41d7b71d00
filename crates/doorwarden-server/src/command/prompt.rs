//! Questions to people, on standard error and the terminal.

use crate::failure::Failure;
use crate::output::{clean, tell};
use doorwarden::core::identity::text::python_strip;
use doorwarden::core::password::{PasswordPolicy, Weakness};
use doorwarden::{Doorwarden, Password};
use std::io::{BufRead, IsTerminal, Write};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// Whether there is somebody to ask.
pub(super) fn is_possible() -> bool {
    std::io::stdin().is_terminal()
}

/// Asks for a line.
pub(super) fn line(question: &str) -> Result<String, Failure> {
    let mut stderr = std::io::stderr().lock();
    write!(stderr, "{}", clean(question))?;
    stderr.flush()?;
    read_line()
}

/// One line of standard input, without its end.
pub(super) fn read_line() -> Result<String, Failure> {
    let mut line = String::new();
    if std::io::stdin().lock().read_line(&mut line)? == 0 {
        return Err(Failure::interrupted());
    }
    let text = line.strip_suffix('\n').unwrap_or(&line);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

/// Goes on only after a yes, from `--yes` or from somebody at the terminal.
pub(super) fn confirm(yes: bool, question: &str) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !is_possible() {
        return Err(Failure::usage("this cannot be undone, and there is no terminal to ask on. hint: --yes"));
    }
    match line(&format!("{question} [y/N] "))?.to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::no("nothing was changed")),
    }
}

/// Makes Ctrl-C leave the terminal as it was: rpassword raises the signal first, restores the terminal, and then reports an
/// error, on which the program ends with 130. Only if it asks for something else by then, this ends it.
fn survive_interrupt() -> Result<(), Failure> {
    let mut interrupts = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        interrupts.recv().await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        tell("");
        let _ = Failure::interrupted().report();
        std::process::exit(130);
    });
    Ok(())
}

/// Asks twice for a password, hidden; `None` if the answers differ or are blank, which is said.
pub(super) fn password(differ: &str) -> Result<Option<Password>, Failure> {
    survive_interrupt()?;
    let first = Password::new(rpassword::prompt_password("Password: ")?);
    let second = Password::new(rpassword::prompt_password("Password (again): ")?);
    if first.expose() != second.expose() {
        tell(differ);
    } else if is_blank(&first) {
        tell("Error: Blank passwords aren't allowed.");
    } else {
        return Ok(Some(first));
    }
    Ok(None)
}

/// Whether it is nothing but white space.
pub(super) fn is_blank(password: &Password) -> bool {
    python_strip(password.expose()).is_empty()
}

/// What is wrong with a password for somebody of this name and address, in Django's words.
pub(super) fn weaknesses(
    accounts: &Doorwarden,
    password: &Password,
    username: &str,
    email: &str,
) -> Vec<String> {
    let policy: &PasswordPolicy = &accounts.context().settings.password_policy;
    let found = policy.check(password, &[("username", username), ("email", email)]);
    found.err().unwrap_or_default().iter().map(Weakness::to_string).collect()
}
