//! The mails that Doorwarden sends to users: their texts in English and German, templates for other texts,
//! and delivery by SMTP or in another way.
//!
//! [`TemplateMailer`] implements [`Mailer`](doorwarden_core::mail::Mailer): it writes a [`Message`] with
//! [`Templates`] and hands it to a [`Transport`], which is one of this crate ([`MailUrl`]) or the
//! application's own.
//!
//! # Templates
//!
//! Each mail is one file in each language, `<locale>/<kind>.txt`: `de/verify_email.txt`. The locale is `en`
//! or `de`, the kind is that of [`MailKind::as_str`](doorwarden_core::mail::MailKind::as_str). Both parts
//! of a mail, plain text and HTML, are made from the file. The first line is the subject; then follow blocks,
//! separated by blank lines:
//!
//! ```text
//! Subject: Choose a new password
//!
//! # This is a heading
//!
//! This is a paragraph for {{ username }}.
//!
//! [The text of a button]({{ link }})
//!
//! `{{ code }}`
//!
//! > A note, in small print.
//! ```
//!
//! The files are templates of [MiniJinja](https://docs.rs/minijinja), whose language is Jinja2's. Their
//! variables are:
//!
//! | variable | meaning |
//! |---|---|
//! | `service` | name of the service |
//! | `email` | recipient's email address |
//! | `locale` | `en` or `de` |
//! | `link`, `code` | link to open, code to type |
//! | `expires` | date and time until which they are valid, in UTC: `27 November 2026 at 08:00 UTC` |
//! | `valid_for` | the same, as the time since the mail was queued: `30 minutes` |
//! | `username` | username of the account, unless the recipient may not own it |
//! | `other_email` | new email address, in mails about its change |
//! | `factor` | name of a second factor, in mails about it |
//! | `codes_left` | how many recovery codes are left, in the mail about it |
//! | `at`, `address`, `device` | when, from which IP address and with which browser it was requested |
//!
//! Each may be `none`, except `service`, `email` and `locale`. A value is never read as markup: a username
//! cannot be a link or a heading. What the mail is for, its link and its code, must appear in it.
//!
//! The file `layout.html` is the frame of the HTML part, and has `subject`, `locale`, `service` and `blocks`,
//! each with `kind` (`heading`, `paragraph`, `button`, `code` or `note`), `text` and `link`. Files whose name
//! begins with `_` are parts for `{% include %}`. [`Templates::sources`] returns the built-in files.
//!
//! A template that cannot be used is replaced by the built-in one and logged as an error; a template may run
//! for at most 50,000 instructions. [`Templates::problems`] tries all of them.

mod facts;
mod layout;
mod mailer;
mod message;
mod smtp;
mod templates;
mod transport;
mod url;

pub use mailer::TemplateMailer;
pub use message::{Message, Sender, SenderError};
pub use smtp::Smtp;
pub use templates::{ReadError, TemplateProblem, Templates};
pub use transport::{CheckError, Console, Files, Mailbox, Transport};
pub use url::{MailUrl, MailUrlError, SmtpUrl};
