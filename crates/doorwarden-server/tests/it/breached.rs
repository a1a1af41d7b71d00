//! Files of breached passwords: how they are built, looked at and used.

use crate::service::{Service, free_port, send};
use crate::site::{Ran, Site};
use crate::terminal::Terminal;
use doorwarden::core::password::breached::sha1;
use rustix::process::Signal;
use std::io::Write;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// The hashes of these passwords as a list, ordered by hash.
fn list(passwords: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let part = |bytes: &[u8]| bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    let hex = |hash: [u8; 20]| {
        format!("{:08X}{:016X}{:016X}", part(&hash[..4]), part(&hash[4..12]), part(&hash[12..]))
    };
    let mut lines: Vec<_> =
        passwords.into_iter().map(|password| hex(sha1(password.as_ref())) + ":3\r\n").collect();
    lines.sort();
    lines.concat()
}

fn numbers(range: std::ops::Range<u32>) -> String {
    list(range.map(|number| format!("number {number}")))
}

fn check(site: &Site, file: &str, password: &str) -> Ran {
    site.run_with(&["breached", "check", "--file", file, "--password-stdin"], &format!("{password}\n"))
}

fn is_known(site: &Site, file: &str, password: &str) -> bool {
    let ran = check(site, file, password);
    let leaked = ran.value()["leaked"].as_bool().unwrap();
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(i32::from(leaked)), ""));
    leaked
}

#[test]
fn a_file_is_built_from_each_form_of_the_list() {
    let three = list(["number 1", "number 2", "number 3"]);
    let site = Site::empty().file("pwned.txt", &three).file("empty.txt", "");
    std::fs::create_dir(site.path("ranges")).unwrap();
    std::fs::write(site.path("ranges/README"), "not a range").unwrap();
    let mut names = Vec::new();
    for (number, line) in three.lines().enumerate() {
        let name = format!("ranges/{}{}", &line[..5], if number == 0 { "" } else { ".txt" });
        std::fs::write(site.path(&name), &line[5..]).unwrap();
        names.push(name);
    }
    names.reverse();
    let files: Vec<&str> = names.iter().map(String::as_str).collect();
    for lists in [vec!["pwned.txt"], vec!["ranges"], files, vec!["-"], vec!["ranges", "-", "pwned.txt"]] {
        let build = [&["breached", "build", "--output", "filter"], lists.as_slice()].concat();
        let built = site.run_with(&build, &three).json();
        assert_eq!(
            (built["passwords"].as_u64(), built["complete"].as_bool()),
            (Some(3), Some(true)),
            "{built}"
        );
        assert!(!site.path("filter.partial").exists());
        let info = site.run(&["breached", "info", "filter", "--verify"]).json();
        assert_eq!((&info["passwords"], &info["verified"]), (&built["passwords"], &true.into()));
        for number in 0..5 {
            assert_eq!(is_known(&site, "filter", &format!("number {number}")), (1..=3).contains(&number));
        }
    }
    assert!(is_known(&site, "filter", "123456"), "it is in the program");
    site.run_with(&["breached", "check", "--file", "filter"], "x").fails(2, "--password-stdin");
    site.run(&["breached", "build", "pwned.txt"]).fails(2, "hint: use `--output FILE`");
    site.run(&["breached", "build", "empty.txt", "-o", "no"]).fails(1, "there is no hash in the lists");
    assert!(!site.path("no.partial").exists());
    let common = site.run(&["breached", "info"]).json();
    assert_eq!(common["passwords"], 100_000);
}

#[test]
fn what_is_no_list_is_refused_with_the_reason() {
    let line = list(["number 1"]);
    let digits = &line[..40];
    let site = Site::empty()
        .file("by_count.txt", &format!("F{}:9\n0{}:3\n", &digits[1..], &digits[1..]))
        .file("ntlm.txt", "00000011059407D743D40689940F858C:2\n")
        .file("suffixes.txt", &line[5..])
        .file("cut.txt", &format!("{line}FFFF{}", &digits[4..30]))
        .file("packed.gz", "\u{1f}")
        .file("00000.txt", "nothing\n")
        .file("filter", "123456");
    std::fs::write(site.path("packed.gz"), b"\x1f\x8b\x08\x00").unwrap();
    std::fs::create_dir(site.path("none")).unwrap();
    std::fs::create_dir(site.path("twice")).unwrap();
    std::fs::write(site.path("twice/00000"), "").unwrap();
    for (lists, code, message) in [
        (&["by_count.txt"][..], 74, "error: line 2 of `by_count.txt` is out of order\nhint: "),
        (
            &["ntlm.txt"],
            74,
            "error: line 1 of `ntlm.txt` has an NTLM hash, and SHA-1 hashes are needed\nhint: ",
        ),
        (&["suffixes.txt"], 74, "line 1 of `suffixes.txt` has only the end of a hash"),
        (&["cut.txt"], 74, "line 2 of `cut.txt` is not a SHA-1 hash, a colon and a count\nhint: "),
        (&["packed.gz"], 74, "line 1 of `packed.gz` is compressed\nhint: unpack it first"),
        (&["00000.txt"], 74, "line 1 of `00000.txt` is not a SHA-1 hash"),
        (&["missing.txt"], 74, "cannot read `missing.txt`: "),
        (&["none"], 2, "`none` has no file that is named after a range"),
        (&["twice", "00000.txt"], 2, "`00000.txt` and `twice/00000` are of the same range"),
    ] {
        let build = [&["breached", "build", "--restart", "--output", "new"], lists].concat();
        site.run(&build).fails(code, message);
        assert!(!site.path("new").exists());
    }
    site.run(&["breached", "info", "filter"]).fails(74, "cannot read `filter`: it is not a filter");
    check(&site, "filter", "x").fails(74, "hint: make the file with `doorwarden breached build`");
}

#[test]
fn an_interrupted_build_goes_on_where_it_ended() {
    let all = numbers(0..140_000);
    let site = Site::empty().file("pwned.txt", &all);
    let built = |name: &str| {
        let bytes = std::fs::read(site.path(name)).unwrap();
        // Without the source at the beginning and the time at the end.
        bytes[256..bytes.len() - 24].to_vec()
    };
    site.run(&["breached", "build", "pwned.txt", "--output", "whole"]).succeeds();
    for signal in [Signal::KILL, Signal::INT] {
        let mut building = site.command(&["breached", "build", "-", "--output", "filter"]);
        building.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut building = building.spawn().unwrap();
        let mut input = building.stdin.take().unwrap();
        input.write_all(&all.as_bytes()[..all.len() * 2 / 3]).unwrap();
        let began = Instant::now();
        while std::fs::metadata(site.path("filter.partial")).map_or(0, |file| file.len()) < 100_000 {
            assert!(began.elapsed() < Duration::from_secs(30), "no part is kept");
            std::thread::sleep(Duration::from_millis(10));
        }
        let other = site.run(&["breached", "build", "-", "--output", "filter"]);
        other.fails(1, "another build writes `filter.partial`");
        send(&building, signal);
        let rest = all[all.len() * 2 / 3..].to_owned();
        std::thread::spawn(move || input.write_all(rest.as_bytes()));
        let ended = building.wait_with_output().unwrap();
        if signal == Signal::INT {
            let said = String::from_utf8(ended.stderr).unwrap();
            assert_eq!(ended.status.code(), Some(130), "{said}");
            assert!(said.contains("hint: run the same command again to go on"), "{said}");
        }
        assert!(!site.path("filter").exists());
        site.run(&["breached", "build", "pwned.txt", "--output", "filter"])
            .fails(1, "it is built from standard input\nhint: begin again with `--restart`");
        let went_on = site.run_with(&["breached", "build", "-", "--output", "filter"], &all);
        assert!(went_on.stderr.starts_with("Going on after 65,536 passwords"), "{}", went_on.stderr);
        assert_eq!(went_on.value()["passwords"], 140_000);
        assert!(built("filter") == built("whole"));
        std::fs::remove_file(site.path("filter")).unwrap();
    }
    // A file need not be read again from its beginning.
    let part = std::fs::read(site.path("whole")).unwrap();
    std::fs::write(site.path("again.partial"), &part[..200_000]).unwrap();
    let went_on = site.run(&["breached", "build", "pwned.txt", "--output", "again"]);
    assert!(went_on.stderr.starts_with("Going on after 65,536 passwords"), "{}", went_on.stderr);
    assert!(built("again") == built("whole"));
    std::fs::write(site.path("again.partial"), &part[..200_000]).unwrap();
    std::fs::write(site.path("pwned.txt"), numbers(0..10)).unwrap();
    let changed = ["breached", "build", "pwned.txt", "--output", "again"];
    site.run(&changed).fails(1, "hint: begin again with `--restart`");
    let restarted = site.run(&[&changed[..], &["--restart"]].concat()).json();
    assert_eq!(restarted["passwords"], 10);
}

#[test]
fn the_progress_is_shown_on_a_terminal() {
    let site = Site::empty().file("pwned.txt", &numbers(0..200_000));
    let build = ["breached", "build", "pwned.txt", "--output", "filter"];
    let Some(mut terminal) = Terminal::start(&site, &build) else { return };
    terminal.sees("building: ");
    terminal.sees("Built `filter` of 200,000 passwords");
    let (code, screen) = terminal.ends();
    assert_eq!(code, Some(0), "{screen}");

    let mut terminal = Terminal::start(&site, &["breached", "check", "--file", "filter"]).unwrap();
    terminal.sees("Password: ");
    terminal.types_hidden("number 17");
    terminal.sees("The password is known from a breach: it is in the list of the file");
    let (code, screen) = terminal.ends();
    assert_eq!(code, Some(1), "{screen}");
    assert!(!screen.contains("number 17"), "{screen}");
}

fn registered(service: &Service, name: &str, password: &str) -> (u16, String) {
    let body =
        format!(r#"{{"email": "{name}@example.com", "username": "{name}", "password": "{password}"}}"#);
    service.call("POST", "/registration", "", &body).unwrap()
}

#[test]
fn a_service_uses_the_file_and_the_one_that_replaces_it() {
    let site = Site::empty()
        .file("first.txt", &list(["number 1"]))
        .file("second.txt", &list(["number 2"]))
        .env("DOORWARDEN_PASSWORDS_BREACHED_FILE", "filter");
    let missing = "cannot use the breached passwords in `filter`: ";
    site.run(&["serve"]).fails(78, missing);
    site.run(&["doctor"]).fails(1, "").value();
    site.run(&["breached", "build", "first.txt"]).succeeds();
    let service = Service::start(&site, free_port());
    let refused = |name, password| {
        let (status, answer) = registered(&service, name, password);
        assert!(status == 201 || answer.contains("This password has appeared in a data breach."), "{answer}");
        status == 400
    };
    assert!(refused("ada", "number 1") && !refused("bob", "number 2"));
    site.run(&["breached", "build", "second.txt"]).succeeds();
    assert!(!refused("ada", "number 1") && refused("eve", "number 2"));
    let change = ["changepassword", "ada@example.com", "--password-stdin"];
    site.run_with(&change, "number 2\n").fails(1, "This password has appeared in a data breach.");

    let report = site.run(&["doctor"]).value();
    let found = report["checks"].as_array().unwrap().iter().find(|found| found["check"] == "leaked").unwrap();
    assert_eq!(found["level"], "ok");
    let text = found["text"].as_str().unwrap();
    assert!(
        text.starts_with("`filter` has 1 breached passwords, built 20") && text.ends_with(", 0 days ago")
    );

    // Without the file, the service goes on, and commands that have nothing to do with it warn.
    std::fs::remove_file(site.path("filter")).unwrap();
    assert!(refused("eve", "number 2"));
    let listed = site.run(&["user", "list"]);
    assert_eq!(listed.code, Some(0));
    assert!(listed.stderr.starts_with(&format!("warning: {missing}")), "{}", listed.stderr);
}

/// Who has switched Django's common passwords off has these off, too, unless they say otherwise.
#[test]
fn leaked_passwords_are_refused_together_with_common_ones() {
    let site = Site::sqlite().file("pwned.txt", &list(["number 1"]));
    site.run(&["breached", "build", "pwned.txt", "-o", "filter"]).succeeds();
    site.user("ada");
    let file = "passwords.breached_file=filter";
    for (settings, refused) in [
        (&[][..], true),
        (&["passwords.validators=common"], true),
        (&["passwords.validators=none"], false),
        (&["passwords.validators=similarity,numeric"], false),
        (&["passwords.validators=none", "passwords.refuse_leaked=true"], true),
        (&["passwords.validators=none", "passwords.refuse_leaked=auto", file], true),
        (&["passwords.refuse_leaked=false"], false),
        (&["passwords.refuse_leaked=false", file], false),
    ] {
        let mut change = vec!["changepassword", "ada@example.com", "--password-stdin"];
        change.extend(settings.iter().flat_map(|setting| ["--set", setting]));
        let changed = site.run_with(&change, "sasha_007\n");
        assert_eq!(changed.code == Some(1), refused, "{settings:?} {changed:?}");
    }
}

#[test]
fn a_hole_in_the_list_is_told() {
    let all = numbers(0..3000);
    let lines: Vec<_> = all.lines().collect();
    let holed = [&lines[..1000], &lines[1200..]].concat().join("\n");
    let site = Site::sqlite().file("pwned.txt", &holed).env("DOORWARDEN_PASSWORDS_BREACHED_FILE", "filter");
    let built = site.run(&["breached", "build", "pwned.txt"]);
    let range = format!("there is no hash from {} to {}:", &lines[999][..16], &lines[1200][..16]);
    assert!(built.stderr.starts_with(&format!("warning: {range}")), "{}", built.stderr);
    assert_eq!(built.value()["complete"], false);
    let report = site.run(&["doctor"]).value();
    let found = report["checks"].as_array().unwrap().iter().find(|found| found["check"] == "leaked").unwrap();
    assert_eq!(found["level"], "warning");
    assert!(found["text"].as_str().unwrap().contains(&range), "{found}");
}
