//! The form of a mail on the wire.

use crate::python::{self, run};
use crate::support::{LINK, bare, every, full, mailer, written};
use doorwarden_core::mail::{Locale, MailKind, SendError};
use doorwarden_mail::{Mailbox, Message, Sender, SenderError, TemplateMailer};
use proptest::prelude::*;
use serde_json::Value;
use std::sync::Arc;

const HEADERS: [&str; 9] = [
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Auto-Submitted",
    "Content-Language",
    "MIME-Version",
    "Content-Type",
];

/// The names of the headers of the whole message.
fn headers(eml: &str) -> Vec<&str> {
    let (head, _) = eml.split_once("\r\n\r\n").unwrap();
    let lines = head.split("\r\n").filter(|line| !line.starts_with(' '));
    lines.map(|line| line.split_once(": ").unwrap().0).collect()
}

fn check_form(eml: &str) {
    assert_eq!(headers(eml), HEADERS);
    assert!(eml.is_ascii());
    for line in eml.split("\r\n") {
        assert!(line.len() <= 78, "a line of {} bytes", line.len());
        assert!(!line.contains(['\r', '\n']));
    }
}

#[test]
fn every_mail_has_exactly_these_headers_and_only_short_ascii_lines() {
    for (kind, locale) in every() {
        check_form(&written(&full(kind, locale)).eml());
        check_form(&written(&bare(kind, locale)).eml());
    }
}

#[test]
fn a_second_attempt_has_the_same_message_id() {
    let mail = full(MailKind::ResetPassword, Locale::English);
    let id = format!("<{}@example.org>", mail.id);
    assert_eq!(written(&mail).message_id(), id);
    assert_eq!(written(&mail).eml(), written(&mail).eml());
    assert!(written(&mail).eml().contains(&format!("\r\nMessage-ID: {id}\r\n")));
}

fn named(from: &str, service: &str) -> TemplateMailer {
    TemplateMailer::new(from.parse().unwrap(), service, Arc::new(Mailbox::default()))
}

#[test]
fn a_long_subject_or_name_is_divided_into_short_lines() {
    let name =
        "A name of a service that is longer than any line of a mail may be, in words of the Latin alphabet";
    let mail = full(MailKind::AccountExists, Locale::English);
    check_form(&named(&format!("{name} <a@example.org>"), name).write(&mail).unwrap().eml());
}

#[test]
fn the_recipients_domain_is_in_ascii() {
    let to = |address: &str| {
        let mut mail = bare(MailKind::Test, Locale::English);
        mail.to = address.to_owned();
        mailer().write(&mail).map(|message| message.to)
    };
    assert_eq!(to("kim@bücher.example").unwrap(), "kim@xn--bcher-kva.example");
    assert_eq!(to("kim@[192.0.2.1]").unwrap(), "kim@[192.0.2.1]");
    assert_eq!(to("\"kim l.\"@example.org").unwrap(), "\"kim l.\"@example.org");
    assert_eq!(to("jürgen@example.org").unwrap(), "jürgen@example.org");
    for address in [
        "kim",
        "@example.org",
        "kim@",
        "kim@example.org\r\nBcc: eve@example.org",
        "kim\r\n@example.org",
        "kim>@example.org",
        "kim x@example.org",
        "\"kim\"x\"@example.org",
        "\"kim\\\"@example.org",
        "\"kim\n\"@example.org",
        "kim@example.org>",
        "kim@exa mple.org",
        "kim@example.org, eve@example.org",
    ] {
        assert!(matches!(to(address), Err(SendError::Permanent(_))), "{address}");
    }
}

#[test]
fn a_sender_is_an_address_with_or_without_a_name() {
    let sender: Sender = " \"Kim, Ltd.\" <a@bücher.example>".parse().unwrap();
    assert_eq!((sender.name(), sender.address()), (Some("Kim, Ltd."), "a@xn--bcher-kva.example"));
    assert_eq!("a@example.org".parse::<Sender>().unwrap().name(), None);
    assert_eq!("Kim <a@example.org".parse::<Sender>(), Err(SenderError::Address));
    assert_eq!("Kim".parse::<Sender>(), Err(SenderError::Address));
    assert_eq!("Kim\r\nBcc: x <a@example.org>".parse::<Sender>(), Err(SenderError::Name));
}

#[test]
fn debug_shows_neither_the_text_nor_the_recipient() {
    let shown = format!("{:?}", written(&full(MailKind::ResetPassword, Locale::English)));
    assert!(!shown.contains("kim") && !shown.contains("http") && shown.contains("ResetPassword"), "{shown}");
}

/// The message as Python's parser reads it: its defects, headers and parts.
fn parsed(messages: &[&Message]) -> Option<Vec<Value>> {
    let input: Vec<String> = messages.iter().map(|message| message.eml()).collect();
    let output = run("parse_mail.py", &serde_json::to_string(&input).unwrap())?;
    Some(serde_json::from_str(&output).unwrap())
}

#[test]
fn pythons_parser_reads_every_mail_without_defects() {
    let odd = [
        named(
            "Jürgen Müller & Söhne Gesellschaft für öffentliche Angelegenheiten <a@example.org>",
            "Bücherstube „Zum goldenen Füllfederhalter“ in Gößweinstein",
        ),
        named("\"O'Neill \\ \"Sons\", Ltd.\" <a@example.org>", "=?utf-8?B?AAAA?="),
        named("🦉 <a@bücher.example>", "🦉🦉🦉🦉🦉🦉🦉🦉🦉🦉🦉🦉🦉🦉🦉🦉🦉🦉🦉🦉🦉🦉🦉🦉🦉🦉🦉🦉🦉🦉"),
        named(
            "a@example.org",
            "From here. A name of a service that is longer than any line of a mail may be, in words of the Latin alphabet alone",
        ),
    ];
    let mut messages: Vec<Message> = every()
        .flat_map(|(kind, locale)| [written(&full(kind, locale)), written(&bare(kind, locale))])
        .collect();
    messages.extend(
        odd.iter().map(|mailer| mailer.write(&full(MailKind::AccountExists, Locale::German)).unwrap()),
    );
    let Some(parsed) = parsed(&messages.iter().collect::<Vec<_>>()) else {
        return python::missing("pythons_parser_reads_every_mail_without_defects");
    };
    assert_eq!(parsed.len(), messages.len());
    for (message, parsed) in messages.iter().zip(parsed) {
        assert_eq!(parsed["defects"], serde_json::json!([]), "{}", message.eml());
        let names: Vec<&str> =
            parsed["names"].as_array().unwrap().iter().map(|n| n.as_str().unwrap()).collect();
        assert_eq!(names, HEADERS);
        assert_eq!(parsed["subject"], message.subject.as_str());
        // Python adds a space where a name continues on the next line (RFC 2047, section 6.2, does not).
        let name = parsed["from"][0][0].as_str().unwrap().replace(' ', "");
        assert_eq!(name, message.from.name().unwrap_or_default().replace(' ', ""));
        assert_eq!(parsed["from"][0][1], message.from.address());
        assert_eq!(parsed["to"], serde_json::json!([["", message.to]]));
        assert_eq!(parsed["date"], "2026-11-27T07:30:05+00:00");
        assert_eq!(parsed["type"], "multipart/alternative");
        assert_eq!(parsed["language"], message.locale.as_str());
        assert_eq!(parsed["automatic"], "auto-generated");
        assert_eq!(parsed["id"], message.message_id());
        let content =
            |part: &Value| part["content"].as_str().unwrap().replace("\r\n", "\n").trim_end().to_owned();
        assert_eq!(parsed["parts"][0]["type"], "text/plain");
        assert_eq!(content(&parsed["parts"][0]), message.text.trim_end());
        assert_eq!(parsed["parts"][1]["type"], "text/html");
        assert_eq!(content(&parsed["parts"][1]), message.html.trim_end());
        assert_eq!(parsed["parts"].as_array().unwrap().len(), 2);
    }
}

/// How often each piece of markup occurs that a value could add.
fn markup(message: &Message) -> [usize; 5] {
    let count = |piece: &str| message.html.matches(piece).count();
    [count("<"), count(">"), count("\""), count("href="), message.text.matches(LINK).count()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_value_adds_a_header_a_line_or_markup(
        username in any::<String>(),
        marks in "([#>`] ?|\\[x\\]\\(https://e\\.example\\)|\r\n\r\n|</p>|\\{\\{ link \\}\\}|\u{f0023}|\u{202e})*.{0,3}",
        service in "[^\r\n]{0,9}(\r\nBcc: eve@example\\.org\r\n\r\n)?.{0,90}",
    ) {
        let mut mail = full(MailKind::ResetPassword, Locale::English);
        let expected = markup(&written(&mail));
        for value in [username, marks] {
            mail.content.username = Some(format!("x{value}"));
            let message = written(&mail);
            check_form(&message.eml());
            prop_assert_eq!(markup(&message), expected);
            prop_assert!(!message.text.replace('\n', "").chars().any(char::is_control));
        }
        check_form(&named("a@example.org", &service).write(&mail).unwrap().eml());
    }
}
