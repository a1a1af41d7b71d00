use crate::site::Site;
use std::io::Read;
use std::process::Stdio;

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
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
fn a_wrong_command_line_is_told() {
    let site = Site::empty();
    site.run(&[]).fails(2, "Usage: doorwarden");
    site.run(&["usr"]).fails(2, "unrecognized subcommand 'usr'");
    site.run(&["user", "list", "--staf"]).fails(2, "--staff");
    site.run(&["--help"]).succeeds();
}
