use crate::site::{Site, on_both};
use crate::terminal::{PROGRAM, Terminal};

on_both!(
    a_superuser_is_created_from_options_and_the_environment,
    an_address_counts_as_proved_if_the_operator_says_so,
    no_input_requires_every_value,
    a_superuser_must_be_staff,
);

const OPTIONS: [&str; 6] =
    ["createsuperuser", "--no-input", "--email", "root@example.com", "--username", "root"];

fn a_superuser_is_created_from_options_and_the_environment(site: &Site) {
    let user = site.run(&OPTIONS).json();
    assert_eq!(user["is_superuser"], true);
    assert_eq!(user["is_staff"], true);
    assert_eq!(user["password"], "unusable", "no password was given");
    let again = ["createsuperuser", "--no-input", "--email", "ROOT@example.com", "--username", "other"];
    site.run(&again).fails(1, "email: user with this email already exists.");
}

fn an_address_counts_as_proved_if_the_operator_says_so(site: &Site) {
    assert!(site.run(&OPTIONS).json()["email_verified_at"].is_null());
    let verified =
        ["createsuperuser", "--no-input", "--email", "a@example.com", "--username", "a", "--verified"];
    assert!(site.run(&verified).json()["email_verified_at"].is_string());
    let create = |name: &str, verified: &[&str]| {
        let email = format!("{name}@example.com");
        let command = [&["user", "create", "--no-password", &email, name], verified].concat();
        site.run(&command).json()["email_verified_at"].is_string()
    };
    assert_eq!((create("b", &["--verified"]), create("c", &[])), (true, false));
}

fn no_input_requires_every_value(site: &Site) {
    site.run(&["createsuperuser"]).fails(2, "hint: use `--no-input`");
    site.run(&["createsuperuser", "--noinput"]).fails(2, "You must use --email with --no-input.");
    let no_name = ["createsuperuser", "--no-input", "--email", "root@example.com"];
    site.run(&no_name).fails(2, "DOORWARDEN_SUPERUSER_USERNAME");
    let wrong = ["createsuperuser", "--no-input", "--email", "nonsense", "--username", "root"];
    site.run(&wrong).fails(1, "email: Enter a valid email address.");
}

fn a_superuser_must_be_staff(site: &Site) {
    let create =
        ["user", "create", "--no-password", "--superuser", "--staff=false", "root@example.com", "root"];
    site.run(&create).fails(1, "Superuser must have is_staff=True.");
    let create = ["user", "create", "--no-password", "--superuser", "root@example.com", "root"];
    assert_eq!(site.run(&create).json()["is_staff"], true);
}

#[test]
fn the_environment_supplies_missing_options_and_a_weak_password_is_a_warning() {
    let site = Site::empty()
        .env("DOORWARDEN_SUPERUSER_EMAIL", "root@example.com")
        .env("DOORWARDEN_SUPERUSER_USERNAME", "admiral")
        .env("DOORWARDEN_SUPERUSER_PASSWORD", "password");
    let made = site.run(&["createsuperuser", "--no-input", "--username", "root"]);
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    assert!(made.stderr.contains("No database at `doorwarden.db`; creating it"), "{}", made.stderr);
    assert!(made.stderr.contains("warning: This password is too common."), "{}", made.stderr);
    let user = made.value();
    assert_eq!((user["username"].as_str(), user["password"].as_str()), (Some("root"), Some("argon2")));
}

#[test]
fn createsuperuser_does_not_migrate_a_postgres_database() {
    let Some(site) = Site::empty_postgres() else { return };
    site.run(&OPTIONS).fails(78, "hint: run `doorwarden migrate`");
}

#[test]
fn createsuperuser_prompts_as_django_does() {
    let site = Site::sqlite();
    site.user("ada");
    let Some(mut terminal) = Terminal::start(&site, &["createsuperuser", "--username", "ada"]) else {
        return;
    };
    terminal.sees("Email: ");
    terminal.types("");
    terminal.sees("Error: This field cannot be blank.");
    terminal.sees("Email: ");
    terminal.types("root@");
    terminal.sees("Error: Enter a valid email address.");
    terminal.sees("Email: ");
    terminal.types("ADA@example.com");
    terminal.sees("Error: That email is already taken.");
    terminal.sees("Email: ");
    terminal.types("root@example.com");
    terminal.sees("Error: That username is already taken.");
    terminal.sees("Username: ");
    terminal.types("rooty");
    terminal.sees("Password: ");
    terminal.types_hidden("hunter2hunter2");
    terminal.sees("Password (again): ");
    terminal.types_hidden("hunter3hunter3");
    terminal.sees("Error: Your passwords didn't match.");
    terminal.sees("Password: ");
    terminal.types_hidden(" ");
    terminal.sees("Password (again): ");
    terminal.types_hidden(" ");
    terminal.sees("Error: Blank passwords aren't allowed.");
    for (answer, next) in [("n", "Password: "), ("y", "Set up an authenticator app? [y/N]: ")] {
        if answer == "n" {
            terminal.sees("Password: ");
        }
        terminal.types_hidden("rooty1");
        terminal.sees("Password (again): ");
        terminal.types_hidden("rooty1");
        terminal.sees("The password is too similar to the username.");
        terminal.sees("This password is too short. It must contain at least 8 characters.");
        terminal.sees("Bypass password validation and create user anyway? [y/N]: ");
        terminal.types(answer);
        terminal.sees(next);
    }
    terminal.types("");
    terminal.sees("Superuser created successfully.");
    let (code, screen) = terminal.ends();
    assert_eq!(code, Some(0), "{screen}");
    for secret in ["hunter2", "hunter3", "rooty1"] {
        assert!(!screen.contains(secret), "{screen}");
    }
    let user = site.run(&["user", "show", "root@example.com"]).json();
    assert_eq!((user["is_superuser"].as_bool(), user["password"].as_str()), (Some(true), Some("argon2")));
}

#[test]
fn a_cancelled_createsuperuser_creates_no_user() {
    let site = Site::sqlite();
    let options = ["createsuperuser", "--username", "root", "--email", "root@example.com"];
    let Some(mut terminal) = Terminal::start(&site, &options) else { return };
    terminal.sees("Password: ");
    terminal.press("\u{3}");
    let (code, screen) = terminal.ends();
    assert_eq!(code, Some(130), "{screen}");
    assert!(screen.contains("Operation cancelled."), "{screen}");

    let Some(mut terminal) = Terminal::start(&site, &["createsuperuser"]) else { return };
    terminal.sees("Email: ");
    terminal.press("\u{4}");
    assert_eq!(terminal.ends().0, Some(130));
    assert_eq!(site.run(&["user", "list"]).json().as_array().map(Vec::len), Some(0));
}

/// At any prompt, the program exits immediately, and the terminal echoes again.
#[test]
fn ctrl_c_at_any_prompt_restores_the_terminal() {
    const STEPS: [(&str, &str); 5] = [
        ("Email: ", "root@example.com"),
        ("Username: ", "root"),
        ("Password: ", "password"),
        ("Password (again): ", "password"),
        ("create user anyway? [y/N]: ", ""),
    ];
    let site = Site::sqlite();
    for answered in 0..STEPS.len() {
        let line = format!("trap : INT; {PROGRAM} createsuperuser; echo \"code $?\"; stty -a");
        let Some(mut terminal) = Terminal::start_line(&site, &line) else { return };
        for (question, answer) in &STEPS[..answered] {
            terminal.sees(question);
            terminal.types_hidden(answer);
        }
        terminal.sees(STEPS[answered].0);
        std::thread::sleep(std::time::Duration::from_millis(150));
        terminal.press("\x03");
        terminal.sees("Operation cancelled.");
        terminal.sees("code 130");
        let (_, screen) = terminal.ends();
        assert!(
            screen.contains(" echo ") && !screen.contains("-echo "),
            "at {}\n{screen}",
            STEPS[answered].0
        );
    }
    assert_eq!(site.run(&["user", "list"]).json().as_array().unwrap().len(), 0);
}

#[test]
fn ctrl_c_ends_a_confirmation_prompt() {
    let site = Site::sqlite();
    let ada = site.user("ada");
    let Some(mut terminal) = Terminal::start(&site, &["user", "delete", "ada@example.com"]) else { return };
    terminal.sees("[y/N] ");
    terminal.press("\x03");
    terminal.sees("Operation cancelled.");
    assert_eq!(terminal.ends().0, Some(130));
    site.run(&["user", "show", &ada]).succeeds();
}
