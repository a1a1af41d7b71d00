//! Prompts, on standard error and the terminal.

use crate::failure::Failure;
use crate::output::{clean_line, tell};
use doorwarden::core::factor::totp::qr_blocks;
use doorwarden::core::identity::text::python_strip;
use doorwarden::core::password::{PasswordPolicy, Weakness};
use doorwarden::{Doorwarden, Password};
use parking_lot::Mutex;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::sync::{Arc, OnceLock};
use tokio::signal::unix::{SignalKind, signal};

/// Whether prompts can be answered.
pub(super) fn is_possible() -> bool {
    std::io::stdin().is_terminal()
}

/// Prompts for a line.
pub(super) fn line(question: &str) -> Result<String, Failure> {
    end_on_signals()?;
    // Standard error is locked only here, so that a signal handler can write to it.
    write!(std::io::stderr(), "{}", clean_line(question))?;
    read_line()
}

/// One line of standard input, without its end.
pub(super) fn read_line() -> Result<String, Failure> {
    line_of(&mut std::io::stdin().lock())
}

fn line_of(input: &mut impl BufRead) -> Result<String, Failure> {
    let mut line = String::new();
    if input.read_line(&mut line)? == 0 {
        return Err(Failure::interrupted());
    }
    let end = line.trim_end_matches('\n').trim_end_matches('\r').len();
    line.truncate(end);
    Ok(line)
}

/// Asks for confirmation, unless `--yes` was given.
pub(super) fn confirm(yes: bool, question: &str) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !is_possible() {
        return Err(Failure::usage("this cannot be undone, and there is no terminal to prompt on")
            .hint("use `--yes`"));
    }
    match agrees(&format!("{question} [y/N] "))? {
        true => Ok(()),
        false => Err(Failure::no("nothing was changed")),
    }
}

/// Whether the answer is yes.
pub(super) fn agrees(question: &str) -> Result<bool, Failure> {
    Ok(matches!(line(question)?.to_lowercase().as_str(), "y" | "yes"))
}

/// Shows a text as a QR code, on a terminal that has colours: with those of the terminal, readers might see
/// its negative.
pub(super) fn picture(text: &str) {
    let mut terminal = std::io::stderr().lock();
    let is_plain = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    let Some(picture) = qr_blocks(text).filter(|_| terminal.is_terminal() && !is_plain) else { return };
    for row in picture.lines() {
        // As with messages, nothing depends on it.
        let _ = writeln!(terminal, "\x1b[97;40m{row}\x1b[0m");
    }
}

/// The terminal whose echo is disabled, and its previous state.
static HIDDEN: Mutex<Option<(Arc<File>, Termios)>> = Mutex::new(None);

/// Disables the terminal's echo until it is dropped.
struct Hidden;

impl Hidden {
    fn on(terminal: &Arc<File>) -> Result<Self, Failure> {
        // Held until the change is made, so that a signal in between restores the previous state.
        let mut hidden = HIDDEN.lock();
        let before = tcgetattr(terminal).map_err(std::io::Error::from)?;
        let mut modes = before.clone();
        modes.local_modes.remove(LocalModes::ECHO);
        modes.local_modes.insert(LocalModes::ECHONL);
        *hidden = Some((Arc::clone(terminal), before));
        tcsetattr(terminal, OptionalActions::Now, &modes).map_err(std::io::Error::from)?;
        Ok(Self)
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        show_again();
    }
}

fn show_again() {
    if let Some((terminal, before)) = HIDDEN.lock().take() {
        // If the terminal is gone, there is nothing to restore.
        let _ = tcsetattr(terminal, OptionalActions::Now, &before);
    }
}

/// From the first prompt on, a signal ends the program immediately, even while it waits for input, and
/// restores the terminal.
fn end_on_signals() -> Result<(), Failure> {
    static ARMED: OnceLock<()> = OnceLock::new();
    if ARMED.set(()).is_err() {
        return Ok(());
    }
    for (kind, number) in [
        (SignalKind::interrupt(), 2),
        (SignalKind::terminate(), 15),
        (SignalKind::hangup(), 1),
        (SignalKind::quit(), 3),
    ] {
        let mut signals = signal(kind)?;
        tokio::spawn(async move {
            signals.recv().await;
            show_again();
            tell("");
            let _ = Failure::interrupted().report();
            std::process::exit(128 + number);
        });
    }
    Ok(())
}

/// Prompts for a hidden line on the terminal, even if standard streams are redirected.
fn hidden_line(question: &str) -> Result<Password, Failure> {
    let terminal = Arc::new(File::options().read(true).write(true).open("/dev/tty")?);
    write!(&mut &*terminal, "{}", clean_line(question))?;
    let _hidden = Hidden::on(&terminal)?;
    line_of(&mut BufReader::new(&*terminal)).map(Password::new)
}

/// Prompts for a hidden password once.
pub(super) fn known_password() -> Result<Password, Failure> {
    end_on_signals()?;
    hidden_line("Password: ")
}

/// Prompts twice for a hidden password; `None`, with a message, if the two differ or are blank.
pub(super) fn password(differ: &str) -> Result<Option<Password>, Failure> {
    end_on_signals()?;
    let first = hidden_line("Password: ")?;
    let second = hidden_line("Password (again): ")?;
    if first.expose() != second.expose() {
        tell(differ);
    } else if is_blank(&first) {
        tell("Error: Blank passwords aren't allowed.");
    } else {
        return Ok(Some(first));
    }
    Ok(None)
}

/// Whether a text is empty or whitespace.
pub(super) fn is_blank(password: &Password) -> bool {
    python_strip(password.expose()).is_empty()
}

/// Django's messages about a password for this username and email address.
pub(super) fn weaknesses(auth: &Doorwarden, password: &Password, username: &str, email: &str) -> Vec<String> {
    let policy: &PasswordPolicy = &auth.context().settings.password_policy;
    let found = policy.check(password, &[("username", username), ("email", email)]);
    found.err().unwrap_or_default().iter().map(Weakness::to_string).collect()
}
