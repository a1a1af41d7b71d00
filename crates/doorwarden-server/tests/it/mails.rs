//! Mails of the running service: how they are configured, and what reaches people.

use crate::service::{Service, exchange, free_port};
use crate::site::{Site, on_both};
use std::time::{Duration, Instant};

on_both! {
    a_file_for_each_mail_has_the_link_that_resets_the_password,
}

const JANE: &str =
    r#"{"email": "jane@example.com", "username": "jane", "password": "correct horse battery"}"#;
const RESET: &str = r#"{"email": "jane@example.com"}"#;

fn log(site: &Site) -> String {
    std::fs::read_to_string(site.path("log")).unwrap_or_default()
}

/// What the function returns as soon as it returns something.
fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The key of the link in a mail, whose lines may be broken as in RFC 2045, section 6.7.
fn key(mail: &str) -> String {
    let text = mail.replace("=\r\n", "").replace("=\n", "").replace("key=3D", "key=");
    let rest = text.split_once("key=").unwrap_or_else(|| panic!("no link in {mail}")).1;
    rest.chars().take_while(|c| c.is_ascii_alphanumeric() || "-_.~".contains(*c)).collect()
}

/// The key chooses a new password, once.
fn resets(service: &Service, key: &str) {
    let body = format!(r#"{{"key": "{key}", "new_password": "another battery horse"}}"#);
    assert_eq!(service.status("POST", "/password/reset/confirm", &body), Some(204), "{key}");
    assert_eq!(service.status("POST", "/password/reset/confirm", &body), Some(400));
    let login = JANE.replace("correct horse battery", "another battery horse");
    assert_eq!(service.status("POST", "/login", &login), Some(200));
}

/// The page under this path, for a browser that asks for this host and sends this header line.
fn page(service: &Service, path: &str, host: &str, header: &str) -> (u16, String) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{header}Connection: close\r\n\r\n");
    let answer = exchange(service.port, request.as_bytes()).unwrap();
    (answer[9..12].parse().unwrap(), answer)
}

fn a_file_for_each_mail_has_the_link_that_resets_the_password(site: &Site) {
    let service = Service::start_with(
        site,
        free_port(),
        &[
            ("DOORWARDEN_MAIL_URL", "file:mails"),
            ("DOORWARDEN_MAIL_FROM", "Example <accounts@example.org>"),
            ("DOORWARDEN_MAIL_SERVICE", "Example"),
            ("DOORWARDEN_MAIL_LOCALE", "de"),
            ("DOORWARDEN_FRONT_END_URL", "https://app.example.org/account"),
        ],
    );
    assert_eq!(service.status("POST", "/registration", JANE), Some(201));
    assert_eq!(service.status("POST", "/password/reset", RESET), Some(202));
    let file = eventually("no mail came", || {
        let mut files = std::fs::read_dir(site.path("mails")).ok()?.map(|entry| entry.unwrap().path());
        files.find(|path| path.extension().is_some_and(|name| name == "eml"))
    });
    let mail = std::fs::read_to_string(file).unwrap();
    for part in ["<accounts@example.org>\r\n", "To: jane@example.com\r\n", "app.example.org/account"] {
        assert!(mail.contains(part), "{part} is missing in {mail}");
    }
    assert_eq!(service.status("GET", "/dev/mailbox", ""), Some(404));
    resets(&service, &key(&mail));
}

#[test]
fn values_of_mail_are_checked_and_the_password_is_not_shown() {
    let site = Site::empty();
    for (set, message) in [
        ("mail.url=mail.example.org", "`mail.url` (flag): does not begin with `smtp://`"),
        ("mail.url=smtp://user:hunter2@", "the host is missing"),
        ("mail.url=memory", "/dev/mailbox"),
        ("mail.from=Example", "`mail.from` (flag): not a sender"),
        ("mail.locale=fr", "must be `en` or `de`"),
        ("mail.verification=on", "unknown variant `on`"),
        ("mail.login_lifetime=5s", "must be between 1m and 1d"),
        ("registration.mode=shut", "unknown variant `shut`"),
        ("front_end.url=/account", "must be an absolute URL without a fragment"),
        ("front_end.url=https://app.example.org/#/account", "must be an absolute URL without a fragment"),
        ("front_end.url=ftp://app.example.org", "must be an absolute URL without a fragment"),
    ] {
        let ran = site.run(&["config", "--set", set]).fails(78, message);
        assert!(!ran.stderr.contains("hunter2"));
    }
    let config = site.run(&["config", "--set", "mail.url=smtp://user:hunter2@mail.example.org"]).json();
    assert_eq!(config["mail.url"]["value"], "smtp://mail.example.org:587");
}

#[test]
fn a_service_that_needs_mail_and_cannot_send_any_does_not_start() {
    let public = ["serve", "--listen", "127.0.0.1:0", "--set", "tokens.issuer=https://accounts.example.org"];
    for (set, message) in [
        ("registration.mode=verified", "`registration.mode` is `verified`, and no mail can be sent"),
        ("mail.verification=asked", "`mail.verification` is `asked`, and no mail can be sent"),
        ("mail.verification=required", "`mail.verification` is `required`, and no mail can be sent"),
        ("mail.url=console", "`mail.from` is not"),
    ] {
        let site = Site::empty();
        site.run(&[&public[..], &["--set", set]].concat()).fails(78, message);
        assert!(!site.path("doorwarden.db").exists(), "{set}");
    }
    let here = ["serve", "--listen", "127.0.0.1:0", "--set", "mail.templates=nowhere"];
    Site::empty().run(&here).fails(78, "could not read the templates of mails in nowhere");
}

#[test]
fn a_service_of_this_machine_alone_shows_its_mails_in_the_browser() {
    let site = Site::empty();
    let service = Service::start_with(&site, free_port(), &[("DOORWARDEN_REGISTRATION_MODE", "open")]);
    let host = format!("localhost:{}", service.port);
    assert!(log(&site).contains(&format!("http://127.0.0.1:{}/dev/mailbox", service.port)), "{}", log(&site));
    let (status, empty) = page(&service, "/dev/mailbox", &host, "");
    assert!(status == 200 && empty.contains("There are no mails yet"), "{empty}");

    assert_eq!(service.status("POST", "/registration", JANE), Some(201));
    assert_eq!(service.status("POST", "/password/reset", RESET), Some(202));
    let path = eventually("no mail came", || {
        let (_, list) = page(&service, "/dev/mailbox", &host, "");
        Some(list.split_once("<li><a href=\"")?.1.split_once('"')?.0.to_owned())
    });
    let (_, mail) = page(&service, &path, &host, "");
    let (_, html) = page(&service, &format!("{path}/html"), &host, "");
    for (answer, part) in [
        (&mail, "content-security-policy: default-src 'none'; frame-src 'self'"),
        (&mail, "cache-control: no-store"),
        (&mail, "sandbox=\"allow-popups"),
        (&html, "sandbox allow-popups"),
        (&html, "cache-control: no-store"),
        (&html, "<base target=\"_blank\">"),
    ] {
        assert!(answer.contains(part), "{part} is missing in {answer}");
    }
    for (path, host, header) in [
        ("/dev/mailbox", "evil.example.org", ""),
        (path.as_str(), "evil.example.org", ""),
        (path.as_str(), &host, "X-Forwarded-For: 192.0.2.1\r\n"),
        (path.as_str(), &host, "Forwarded: for=192.0.2.1\r\n"),
        ("/dev/mailbox/none", &host, ""),
    ] {
        let (status, answer) = page(&service, path, host, header);
        assert!(status == 404 && !answer.contains("key="), "{answer}");
    }
    resets(&service, &key(&mail));
}

#[test]
fn a_service_that_others_may_reach_shows_no_mails_and_mails_nothing() {
    for (name, value) in [
        ("DOORWARDEN_TOKENS_ISSUER", "https://accounts.example.org"),
        ("DOORWARDEN_HTTP_TRUSTED_PROXIES", "127.0.0.1"),
    ] {
        let site = Site::empty();
        let service = Service::start_with(&site, free_port(), &[(name, value)]);
        assert_eq!(service.status("GET", "/dev/mailbox", ""), Some(404), "{name}");
        assert_eq!(service.status("POST", "/password/reset", RESET), Some(501), "{name}");
    }
}

#[test]
fn a_template_that_cannot_be_used_is_named_at_the_start() {
    let site = Site::empty();
    std::fs::create_dir_all(site.path("mails/en")).unwrap();
    let site = site.file("mails/en/test.txt", "Subject: Test\n\n{{ nothing }}");
    let _service = Service::start_with(&site, free_port(), &[("DOORWARDEN_MAIL_TEMPLATES", "mails")]);
    assert!(log(&site).contains("`en/test.txt`, line 3: undefined value"), "{}", log(&site));
}
