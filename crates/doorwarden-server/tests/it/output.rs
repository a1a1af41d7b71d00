use crate::site::Site;
use crate::terminal::Terminal;
use std::io::Read;
use std::process::Stdio;

#[test]
fn a_closed_pipe_is_not_a_failure() {
    let site = Site::sqlite();
    site.user("ada");
    let mut child =
        site.command(&["user", "list"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut complaint = String::new();
    child.stderr.take().unwrap().read_to_string(&mut complaint).unwrap();
    assert_eq!((child.wait().unwrap().code(), complaint.as_str()), (Some(0), ""));
}

#[test]
fn every_shell_gets_its_completions() {
    let site = Site::empty();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = site.run(&["completions", shell]).succeeds().stdout;
        assert!(script.contains("createsuperuser") && script.contains("doorwarden"), "{shell}");
    }
    site.run(&["completions", "cmd"]).fails(2, "invalid value");
}

#[test]
fn a_wrong_command_line_is_reported() {
    let site = Site::empty();
    site.run(&[]).fails(2, "Usage: doorwarden");
    site.run(&["usr"]).fails(2, "unrecognized subcommand 'usr'");
    site.run(&["user", "list", "--staf"]).fails(2, "--staff");
    site.run(&["--help"]).succeeds();
}

/// Control sequences written by SQL into a name do not reach the terminal.
#[test]
fn control_sequences_are_not_written() {
    let site = Site::sqlite();
    let id = site.user("ada");
    let hostile = "\u{1b}]0;PWNED\u{7}\u{1b}[2J\u{9b}31m\u{202e}\u{2066}@example.com";
    let connection = rusqlite::Connection::open(site.path("doorwarden.db")).unwrap();
    connection.execute("UPDATE users SET email = ?1, username = ?1", [hostile]).unwrap();
    let taken = ["user", "update", &id, "--username", hostile];
    for (arguments, input) in [
        (&["changepassword", &id, "--password-stdin"][..], "12345\n"),
        (&["changepassword", &id], ""),
        (&["token", "issue", &id], ""),
        (&["user", "show", hostile], ""),
        (&["user", "delete", &id], ""),
        (&["group", "add", "nobody", &id], ""),
        (&taken, ""),
        (&["user", "create", "--no-password", hostile, "\u{1b}[2J"], ""),
    ] {
        let ran = site.run_with(arguments, input);
        let obeyed = |c: char| c.is_control() && c != '\n' || ('\u{2028}'..='\u{2069}').contains(&c);
        assert!(!ran.stderr.contains(obeyed), "{:?}", ran.stderr);
    }
    let Some(mut terminal) = Terminal::start(&site, &["changepassword", &id]) else { return };
    terminal
        .sees("Changing password for user '\u{fffd}]0;PWNED\u{fffd}\u{fffd}[2J\u{fffd}31m\u{fffd}\u{fffd}@");
    terminal.sees("Password: ");
    terminal.types_hidden("");
    terminal.sees("Password (again): ");
    terminal.types_hidden("");
    terminal.sees("Blank passwords");
}

/// An email address that sets the title of a terminal, clears it, reverses the direction of text and begins a
/// new line, as SQL can store it.
const HOSTILE: &str = "'e' || char(27) || ']0;PWNED' || char(7) || char(155) || '2J' || char(8238) || char(10) || 'root@example.com'";

#[test]
fn stored_control_sequences_do_not_reach_the_terminal() {
    let site = Site::sqlite().env("NO_COLOR", "1");
    let id = site.user("eve");
    let database = rusqlite::Connection::open(site.path("doorwarden.db")).unwrap();
    database
        .execute(&format!("UPDATE users SET email = {HOSTILE}, username = {HOSTILE} WHERE id = {id}"), [])
        .unwrap();
    let obeyed =
        |text: &str| text.chars().find(|c| (c.is_control() && !"\r\n\t".contains(*c)) || *c == '\u{202e}');
    for arguments in [
        &["user", "list"][..],
        &["user", "show", &id],
        &["user", "deactivate", &id],
        &["user", "sign-out", &id],
        &["token", "issue", &id],
        &["changepassword", &id],
        &["doctor"],
    ] {
        let ran = site.run_with(&[arguments, &["--json"]].concat(), "");
        assert_eq!(obeyed(&(ran.stdout.clone() + &ran.stderr)), None, "{ran:?}");
        let Some(mut terminal) = Terminal::start(&site, arguments) else { return };
        terminal.press("\x04");
        let (_, screen) = terminal.ends();
        assert_eq!(obeyed(&screen), None, "{arguments:?}\n{screen}");
        assert!(!screen.lines().any(|line| line.starts_with("root@example.com")), "{screen}");
    }
}
