//! The transports that need no server.

use crate::support::{directory, full, written};
use doorwarden_core::mail::{Locale, MailId, MailKind, SendError};
use doorwarden_mail::{Files, Mailbox, Transport as _};
use std::os::unix::fs::PermissionsExt as _;

#[tokio::test]
async fn a_second_attempt_writes_the_same_file_which_only_its_owner_reads() {
    let directory = directory();
    let mails = directory.path().join("mails");
    let transport = Files::new(&mails);
    let message = written(&full(MailKind::ResetPassword, Locale::English));
    transport.deliver(&message).await.unwrap();
    transport.deliver(&message).await.unwrap();
    transport.check().await.unwrap();
    let files: Vec<_> = std::fs::read_dir(&mails).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files, [mails.join(format!("{}.eml", message.id))]);
    assert_eq!(std::fs::read_to_string(&files[0]).unwrap(), message.eml());
    assert_eq!(std::fs::metadata(&files[0]).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::metadata(&mails).unwrap().permissions().mode() & 0o777, 0o700);
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_keeps_the_mail_for_later() {
    let directory = directory();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let transport = Files::new(&file);
    let message = written(&full(MailKind::Test, Locale::English));
    assert!(matches!(transport.deliver(&message).await, Err(SendError::Temporary(_))));
    let error = transport.check().await.unwrap_err();
    assert!(error.message.starts_with(&format!("could not write a mail into {}", file.display())), "{error}");
}

#[tokio::test]
async fn a_mailbox_keeps_the_newest_messages_each_once() {
    let mailbox = Mailbox::default();
    let mut message = written(&full(MailKind::Test, Locale::English));
    for n in 0..=Mailbox::CAPACITY {
        message.id = MailId::new(message.date, [u8::try_from(n).unwrap(); 10]);
        mailbox.deliver(&message).await.unwrap();
        mailbox.deliver(&message).await.unwrap();
    }
    let kept = mailbox.messages();
    assert_eq!(kept.len(), Mailbox::CAPACITY);
    assert_eq!(kept[0].id, message.id);
    assert_eq!(kept.last().unwrap().id, MailId::new(message.date, [1; 10]));
    assert_eq!(mailbox.message(message.id), Some(message.clone()));
    assert_eq!(mailbox.message(MailId::new(message.date, [0; 10])), None);
}
