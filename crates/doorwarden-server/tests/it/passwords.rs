use crate::site::{Site, on_both};
use crate::terminal::Terminal;

on_both!(a_new_password_is_validated_and_ends_every_session, a_password_comes_from_standard_input);

fn a_new_password_is_validated_and_ends_every_session(site: &Site) {
    let id = site.user("ada");
    let issued = site.run(&["token", "issue", &id]).json();
    let change = ["changepassword", "ada@example.com", "--password-stdin"];
    site.run_with(&change, "12345\n")
        .fails(1, "This password is too short. It must contain at least 8 characters.")
        .fails(1, "This password is too common.")
        .fails(1, "This password is entirely numeric.");
    site.run_with(&change, "ada@example.com\n").fails(1, "The password is too similar to the email.");
    for blank in ["\n", "         \n", "\u{a0}\u{2003}\u{3000}\t\x1c\x1d\x1e\x1f\u{85}\n"] {
        site.run_with(&change, blank).fails(1, "Blank passwords aren't allowed.");
    }
    site.run_with(&change, "").fails(130, "Operation cancelled.");
    site.run(&["changepassword", "ada@example.com"]).fails(2, "hint: use `--password-stdin`");
    assert_eq!(site.run(&["user", "show", &id]).json()["password"], "unusable", "nothing was changed yet");

    let changed = site.run_with(&change, "a tolerable password\r\nmore\n");
    assert_eq!(changed.json()["password_changed"], true);
    assert_eq!(site.run(&["user", "show", &id]).json()["password"], "argon2");
    let token = issued["token"].as_str().unwrap();
    let inspected = site.run(&["token", "inspect", token]).fails(1, "password_changed").value();
    assert_eq!(inspected["session"]["end_reason"], "password_changed");
    let mails = site.run(&["mail", "list"]).json();
    assert_eq!(mails[0]["kind"], "password_changed", "the user is told: {mails}");
}

fn a_password_comes_from_standard_input(site: &Site) {
    let create = ["user", "create", "--password-stdin", "bob@example.com", "bob"];
    site.run_with(&create, "bob@example.co\n").fails(1, "The password is too similar to the email.");
    let created = site.run_with(&create, "a tolerable password").json();
    assert_eq!(created["password"], "argon2");
    site.run(&["user", "create", "eve@example.com", "eve"]).fails(2, "hint: use `--password-stdin`");
}

#[test]
fn a_password_prompt_allows_three_attempts() {
    let site = Site::sqlite();
    site.user("ada");
    let Some(mut terminal) = Terminal::start(&site, &["changepassword", "ada@example.com"]) else { return };
    terminal.sees("Changing password for user 'ada@example.com'");
    for (first, second, answer) in [
        ("hunter2hunter2", "hunter3hunter3", "Passwords do not match. Please try again."),
        ("12345678", "12345678", "This password is entirely numeric."),
        ("short", "short", "aborted after 3 attempts"),
    ] {
        terminal.sees("Password: ");
        terminal.types_hidden(first);
        terminal.sees("Password (again): ");
        terminal.types_hidden(second);
        terminal.sees(answer);
    }
    let (code, screen) = terminal.ends();
    assert_eq!(code, Some(1), "{screen}");
    assert!(!screen.contains("hunter"), "{screen}");
}
