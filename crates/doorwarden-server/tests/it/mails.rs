//! Mails of the running service: how they are configured, and what reaches people.

use crate::service::{Service, exchange, free_port};
use crate::site::{Site, on_both};
use crate::smtp::SmtpServer;
use serde_json::Value;
use std::time::{Duration, Instant};

on_both! {
    a_mail_arrives_once_and_its_link_resets_the_password,
    a_mail_waits_for_a_mail_server_that_is_down,
    a_mail_of_a_killed_service_comes_again_under_the_same_id,
    a_mail_that_was_refused_is_listed_with_the_reason_and_can_be_repeated,
    a_file_for_each_mail_has_the_link_that_resets_the_password,
    an_operator_invites_people_and_the_service_mails_the_invitations,
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

/// A service that sends its mails to this port, and logs everything.
fn mailing(site: &Site, smtp: u16) -> Service {
    let url = SmtpServer::url(smtp);
    let variables = [
        ("DOORWARDEN_MAIL_URL", url.as_str()),
        ("DOORWARDEN_MAIL_FROM", "Example <accounts@example.org>"),
        ("DOORWARDEN_LOG_LEVEL", "trace"),
    ];
    Service::start_with(site, free_port(), &variables)
}

/// A user with this name asks for a new password.
fn asks(service: &Service, name: &str) {
    assert_eq!(service.status("POST", "/registration", &JANE.replace("jane", name)), Some(201));
    assert_eq!(service.status("POST", "/password/reset", &RESET.replace("jane", name)), Some(202));
}

/// The only mail for a new password, as soon as it is so.
fn only(site: &Site, is_so: impl Fn(&Value) -> bool) -> Value {
    eventually("the mail is not so", || {
        let list = site.run(&["mail", "list"]).json();
        let mut mails = list.as_array()?.iter().filter(|mail| mail["kind"] == "reset_password");
        let mail = mails.next().filter(|mail| is_so(mail))?.clone();
        mails.next().is_none().then_some(mail)
    })
}

/// Whether there was no further mail for a new password.
fn is_over(smtp: &SmtpServer) -> bool {
    smtp.rest().iter().all(|mail| !mail.contains("Subject: Choose a new password"))
}

fn message_id(mail: &str) -> &str {
    mail.lines().find_map(|line| line.strip_prefix("Message-ID: ")).unwrap()
}

fn a_mail_arrives_once_and_its_link_resets_the_password(site: &Site) {
    let port = free_port();
    let Some(smtp) = SmtpServer::start(port) else { return };
    let service = mailing(site, port);
    asks(&service, "jane");
    let (to, mail) = smtp.accepted();
    assert_eq!(to, "jane@example.com");
    let key = key(&mail);
    let is_code = |line: &&str| line.len() == 9 && line.as_bytes()[4] == b'-';
    let code = mail.lines().map(str::trim).find(is_code).unwrap_or_else(|| panic!("no code in {mail}"));
    resets(&service, &key);

    let sent = only(site, |mail| mail["state"] == "sent");
    assert_eq!((&sent["kind"], &sent["attempts"]), (&"reset_password".into(), &1.into()));
    let id = sent["id"].as_str().unwrap();
    assert!(message_id(&mail).starts_with(&format!("<{id}@")), "{mail}");
    let shown = site.run(&["mail", "show", id]).succeeds().stdout;
    let retry = site.run(&["mail", "retry", id]).fails(3, "that was not sent yet found");
    assert!(service.terminate().0.success());
    for text in [&shown, &retry.stderr, &log(site)] {
        for secret in [key.as_str(), code, "p/w #2", "p%2Fw"] {
            assert!(!text.contains(secret), "{secret} is in {text}");
        }
    }
    assert!(log(site).contains("a mail was sent") && !log(site).contains("jane@"), "{}", log(site));
    assert!(is_over(&smtp));
}

fn a_mail_waits_for_a_mail_server_that_is_down(site: &Site) {
    let port = free_port();
    if SmtpServer::start(port).is_none() {
        return;
    }
    let service = mailing(site, port);
    let began = Instant::now();
    asks(&service, "jane");
    assert!(began.elapsed() < Duration::from_secs(5), "a request waits for no mail server");
    let waiting = only(site, |mail| mail["attempts"] == 1 && !mail["error"].is_null());
    assert_eq!(waiting["state"], "queued");
    assert!(waiting["error"].as_str().unwrap().contains("127.0.0.1"), "{waiting}");

    let smtp = SmtpServer::start(port).unwrap();
    site.run(&["mail", "retry", waiting["id"].as_str().unwrap()]).succeeds();
    resets(&service, &key(&smtp.accepted().1));
    assert_eq!(only(site, |mail| mail["state"] == "sent")["attempts"], 2);
    assert!(is_over(&smtp) && !log(site).contains("jane@"));
}

fn a_mail_of_a_killed_service_comes_again_under_the_same_id(site: &Site) {
    let port = free_port();
    let Some(smtp) = SmtpServer::start(port) else { return };
    let service = mailing(site, port);
    asks(&service, "late");
    // The server has the mail, and has not said so yet.
    let (_, first) = smtp.accepted();
    service.kill();
    let claimed = only(site, |mail| mail["state"] == "queued" && mail["attempts"] == 1);
    site.run(&["mail", "retry", claimed["id"].as_str().unwrap()]).succeeds();
    let service = mailing(site, port);
    let (_, second) = smtp.accepted();
    assert_eq!(message_id(&first), message_id(&second));
    assert_eq!(key(&first), key(&second));
    drop(service);
    assert!(is_over(&smtp));
}

fn a_mail_that_was_refused_is_listed_with_the_reason_and_can_be_repeated(site: &Site) {
    let port = free_port();
    let Some(smtp) = SmtpServer::start(port) else { return };
    let service = mailing(site, port);
    asks(&service, "missing");
    let refused = only(site, |mail| mail["state"] == "failed");
    assert!(refused["error"].as_str().unwrap().contains("550"), "{refused}");
    let doctor = site.run(&["doctor"]).stdout;
    assert!(doctor.contains("1 mail could not be sent"), "{doctor}");
    assert_eq!(site.run(&["mail", "list", "--state", "sent"]).json(), Value::Array(Vec::new()));
    assert_eq!(site.run(&["mail", "list", "--state", "failed", "--limit", "1"]).json()[0], refused);
    assert_eq!(site.run(&["mail", "retry", "--failed"]).json()["retried"], 1);
    only(site, |mail| mail["state"] == "failed" && mail["attempts"] == 2);
    assert!(service.terminate().0.success() && is_over(&smtp));
    site.run(&["mail", "retry"]).fails(2, "<ID|--failed>");
    site.run(&["mail", "show", "x"]).fails(2, "invalid value 'x'");
    site.run(&["mail", "show", "01a21c2f-ebc8-7805-9a63-367c13963cfb"]).fails(3, "not found");
}

#[test]
fn doctor_says_whether_mails_can_be_sent_and_were() {
    let port = free_port();
    let site = Site::sqlite().env("DOORWARDEN_MAIL_URL", &SmtpServer::url(port));
    let doctor = |more: &[&str]| site.run(&[&["doctor"], more].concat()).value().to_string();
    let down = doctor(&[]);
    assert!(down.contains(&format!("127.0.0.1:{port}")) && !down.contains("p%2Fw"), "{down}");
    assert!(down.contains("mails are from an address at `localhost`"), "{down}");
    let said = doctor(&["--set", "mail.url=file:mails", "--set", "mail.from=accounts@example.org"]);
    assert!(said.contains("mails are written into mails") && !said.contains("mails are from"), "{said}");
    assert!(said.contains("0 mails queued"), "{said}");

    let hour_ago = "INSERT INTO doorwarden_outbox (id, kind, recipient, locale, sealed, state, attempts, created_at, \
                    due_at, expires_at, error) VALUES (x'01a21c2febc878059a63367c13963cfb', 'test', 'a@example.org', \
                    'en', x'', 'queued', 3, (unixepoch() - 3600) * 1000000, 0, 0, '450 try again')";
    rusqlite::Connection::open(site.path("doorwarden.db")).unwrap().execute_batch(hour_ago).unwrap();
    assert!(doctor(&[]).contains("a mail has waited for 60 minutes: 450 try again"), "{}", doctor(&[]));
}

#[test]
fn a_test_mail_is_sent_without_a_database() {
    let site = Site::empty();
    site.run(&["mail", "test", "kim@example.org"]).fails(78, "`mail.url` is not set");
    let port = free_port();
    let Some(smtp) = SmtpServer::start(port) else { return };
    let site = site.env("DOORWARDEN_MAIL_URL", &SmtpServer::url(port));
    let sent = site.run(&["mail", "test", "kim@example.org"]).json();
    assert_eq!(sent["transport"], format!("smtp://127.0.0.1:{port}"));
    let (to, mail) = smtp.accepted();
    assert!(to == "kim@example.org" && mail.contains(sent["id"].as_str().unwrap()), "{mail}");
    site.run(&["mail", "test", "missing@example.org"]).fails(1, "550");
    site.run(&["mail", "test", "kim"]).fails(1, "address");
    drop(smtp);
    let down =
        site.run(&["mail", "test", "kim@example.org"]).fails(1, "no mail was sent to `kim@example.org`");
    assert!(!down.stderr.contains("p%2Fw") && !down.stderr.contains("p/w"), "{down:?}");
    assert!(!site.path("doorwarden.db").exists());
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

fn an_operator_invites_people_and_the_service_mails_the_invitations(site: &Site) {
    let mail = [
        ("DOORWARDEN_MAIL_URL", "file:mails"),
        ("DOORWARDEN_MAIL_FROM", "Example <accounts@example.org>"),
        ("DOORWARDEN_REGISTRATION_MODE", "invitation"),
    ];
    let service = Service::start_with(site, free_port(), &mail);
    let run = |command: &[&str]| {
        let set = mail.map(|(name, value)| {
            format!(
                "{}={value}",
                name.strip_prefix("DOORWARDEN_").unwrap().to_lowercase().replacen('_', ".", 1)
            )
        });
        let set = set.iter().flat_map(|set| ["--set", set]);
        site.run(&command.iter().copied().chain(set).collect::<Vec<_>>())
    };
    assert_eq!(service.status("POST", "/registration", JANE), Some(403));
    run(&["invitation", "send", "jane"]).fails(1, "email: ");
    let mut keys = Vec::new();
    for sent in 1..=2 {
        let queued = run(&["invitation", "send", "jane@example.com"]).json();
        assert_eq!(queued["email"], "jane@example.com");
        let invitations = run(&["invitation", "list"]).json();
        assert_eq!(invitations.as_array().unwrap().len(), 1, "{invitations}");
        assert_eq!(invitations[0]["expires_at"], queued["expires_at"]);
        keys.push(eventually("no invitation came", || {
            let mails = std::fs::read_dir(site.path("mails")).ok()?.map(|entry| entry.unwrap().path());
            let mut mails: Vec<_> =
                mails.filter(|path| path.extension().is_some_and(|name| name == "eml")).collect();
            mails.sort();
            (mails.len() == sent).then(|| key(&std::fs::read_to_string(&mails[sent - 1]).unwrap()))
        }));
    }
    let accept = |key: &str, name: &str| {
        let body =
            format!(r#"{{"key": "{key}", "username": "{name}", "password": "correct horse battery"}}"#);
        service.status("POST", "/invitations/accept", &body)
    };
    assert_eq!(accept(&keys[0], "jane"), Some(400), "the second invitation ended the first");
    assert_eq!(accept(&keys[1], "jane"), Some(201));
    run(&["invitation", "send", "jane@example.com"]).fails(1, "already exists");
    run(&["invitation", "send", "kim@example.com"]).succeeds();
    run(&["invitation", "revoke", "kim@example.com"]).succeeds();
    run(&["invitation", "revoke", "kim@example.com"]).fails(3, "no invitation of `kim@example.com`");
    assert_eq!(run(&["invitation", "list"]).json(), Value::Array(Vec::new()));
    let public =
        ["invitation", "send", "kim@example.com", "--set", "tokens.issuer=https://accounts.example.org"];
    site.run(&public).fails(78, "this service sends no mail");
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
