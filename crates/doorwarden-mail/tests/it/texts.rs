//! What the mails say.

use crate::support::{LINK, bare, every, full, written};
use doorwarden_core::mail::{Locale, MailKind};
use std::path::Path;

/// Compares a text with its file in `tests/snapshots`; with the environment variable `UPDATE_SNAPSHOTS` the
/// file is written instead.
fn compare(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots").join(name);
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        expected == text,
        "{name} is out of date. hint: UPDATE_SNAPSHOTS=1 cargo test -p doorwarden-mail"
    );
}

#[test]
fn every_mail_in_every_language_is_as_its_snapshot() {
    for (kind, locale) in every() {
        let name = format!("{locale}/{}", kind.as_str());
        let message = written(&full(kind, locale));
        compare(&format!("{name}.txt"), &format!("Subject: {}\n\n{}", message.subject, message.text));
        compare(&format!("{name}.html"), &message.html);
        let message = written(&bare(kind, locale));
        compare(&format!("{name}.least.txt"), &format!("Subject: {}\n\n{}", message.subject, message.text));
    }
}

#[test]
fn a_mail_on_the_wire_is_as_its_snapshot() {
    compare("reset_password.eml", &written(&full(MailKind::ResetPassword, Locale::German)).eml());
}

#[test]
fn both_parts_show_the_same_link_and_code() {
    for (kind, locale) in every() {
        let mail = full(kind, locale);
        let message = written(&mail);
        let links = usize::from(mail.content.link.is_some());
        assert_eq!(message.text.matches("https://").count(), links, "{kind:?}");
        assert_eq!(message.text.matches(LINK).count(), links, "{kind:?}");
        assert_eq!(
            message.html.matches(&format!("<a class=\"button\" href=\"{LINK}\"")).count(),
            links,
            "{kind:?}"
        );
        let codes = usize::from(mail.content.code.is_some());
        assert_eq!(message.text.matches("WDJB-MJHT").count(), codes, "{kind:?}");
        assert_eq!(message.html.matches("WDJB-MJHT").count(), codes, "{kind:?}");
    }
}

#[test]
fn html_fetches_nothing_and_runs_nothing() {
    for (kind, locale) in every() {
        let html = written(&full(kind, locale)).html.replace(LINK, "");
        for forbidden in
            ["http", "//", "<img", "<script", "<link", "<iframe", "<form", "url(", "@import", "onload"]
        {
            assert!(!html.contains(forbidden), "{forbidden} in {kind:?}");
        }
        assert!(html.contains("<meta name=\"color-scheme\" content=\"light dark\">"));
        assert!(html.contains("max-width: 600px"));
        assert!(html.contains(&format!("<html lang=\"{locale}\">")));
    }
}

#[test]
fn a_mail_that_somebody_may_have_asked_for_says_who_and_until_when() {
    for (kind, locale) in every() {
        let text = written(&full(kind, locale)).text.replace('\n', " ");
        let is_silent = matches!(
            kind,
            MailKind::Invitation | MailKind::AccountDeleted | MailKind::WebhookStopped | MailKind::Test
        );
        for fact in ["192.0.2.1", "Firefox on Linux"] {
            assert_eq!(text.contains(fact), !is_silent, "{fact}, {kind:?}");
        }
        if full(kind, locale).content.link.is_some() {
            assert!(text.contains("UTC") && text.contains("2026"), "{kind:?}");
        }
    }
}

#[test]
fn whoever_enters_the_address_of_somebody_else_chooses_no_word_of_the_mail() {
    for kind in [MailKind::VerifyEmail, MailKind::Invitation, MailKind::EmailChange] {
        let mut mail = full(kind, Locale::English);
        mail.content.username = Some("Cheap pills at evil.example".to_owned());
        mail.content.device = Some("Pills https://evil.example".to_owned());
        mail.content.address = Some("evil.example".to_owned());
        let message = written(&mail);
        assert!(!message.text.contains("evil") && !message.html.contains("evil"), "{kind:?}");
        assert!(!message.subject.contains("evil"));
    }
}

#[test]
fn durations_are_rounded_and_in_the_unit_that_people_use() {
    let shown = |seconds, locale| {
        let mut mail = full(MailKind::ResetPassword, locale);
        mail.content.expires_at = Some(mail.created_at.after(std::time::Duration::from_secs(seconds)));
        let text = written(&mail).text.replace('\n', " ");
        let (start, end) = match locale {
            Locale::German => ("Der Link gilt ", ", bis zum"),
            _ => ("The link is valid for ", ", until"),
        };
        text.split_once(start).unwrap().1.split_once(end).unwrap().0.to_owned()
    };
    for (seconds, english, german) in [
        (60, "1 minute", "1 Minute"),
        (599, "10 minutes", "10 Minuten"),
        (3600, "60 minutes", "60 Minuten"),
        (86_399, "24 hours", "24 Stunden"),
        (7 * 86_400 + 1, "7 days", "7 Tage"),
    ] {
        assert_eq!(shown(seconds, Locale::English), english);
        assert_eq!(shown(seconds, Locale::German), german);
    }
}
