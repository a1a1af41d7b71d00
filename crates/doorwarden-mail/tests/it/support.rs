//! Mails as the core queues them, and who writes them.

use doorwarden_core::mail::{Locale, Mail, MailContent, MailId, MailKind};
use doorwarden_core::time::Timestamp;
use doorwarden_mail::{Mailbox, Message, TemplateMailer};
use std::sync::Arc;
use std::time::Duration;

pub(crate) const LINK: &str = "https://example.org/account/action#token=dwx_x7Jk2mQv8sLp3nRt5wYz9aBc4dEf6gHi";

/// 2026-11-27T07:30:05Z.
pub(crate) const QUEUED: Timestamp = Timestamp::from_seconds(1_795_764_605);

/// A mail that says no more than its kind.
pub(crate) fn bare(kind: MailKind, locale: Locale) -> Mail {
    let index = MailKind::ALL.iter().position(|other| *other == kind).unwrap();
    let id = MailId::new(QUEUED, [u8::try_from(index).unwrap(); 10]);
    Mail::new(id, kind, "kim@example.org", locale, QUEUED)
}

/// A mail with everything that is known when it is queued.
pub(crate) fn full(kind: MailKind, locale: Locale) -> Mail {
    let minutes = match kind {
        MailKind::LogIn | MailKind::Reauthenticate => 10,
        MailKind::Invitation | MailKind::EmailChanged | MailKind::DeletionPlanned => 14 * 24 * 60,
        MailKind::VerifyEmail | MailKind::EmailChange => 24 * 60,
        _ => 30,
    };
    let mut content = MailContent::default();
    if kind.has_link() {
        content.link = Some(LINK.to_owned());
        content.expires_at = Some(QUEUED.after(Duration::from_mins(minutes)));
    }
    if matches!(kind, MailKind::VerifyEmail | MailKind::LogIn | MailKind::Reauthenticate) {
        content.code = Some("WDJB-MJHT".to_owned());
    }
    content.username = Some("kim".to_owned());
    content.other_email = Some("kim@example.net".to_owned());
    content.factor = Some("Phone".to_owned());
    content.codes_left = Some(2);
    content.webhook = Some("crm".to_owned());
    content.reason = Some("the response was 500".to_owned());
    content.at = Some(QUEUED);
    content.address = Some("192.0.2.1".to_owned());
    content.device = Some("Firefox on Linux".to_owned());
    let mut mail = bare(kind, locale);
    mail.content = content;
    mail
}

pub(crate) fn mailer() -> TemplateMailer {
    let from = "Example <accounts@example.org>".parse().unwrap();
    TemplateMailer::new(from, "Example", Arc::new(Mailbox::default()))
}

pub(crate) fn written(mail: &Mail) -> Message {
    mailer().write(mail).unwrap()
}

/// Every kind in every language.
pub(crate) fn every() -> impl Iterator<Item = (MailKind, Locale)> {
    Locale::ALL.into_iter().flat_map(|locale| MailKind::ALL.into_iter().map(move |kind| (kind, locale)))
}

/// An empty directory.
pub(crate) fn directory() -> doorwarden_testkit::TempDir {
    doorwarden_testkit::sqlite_path().0
}
