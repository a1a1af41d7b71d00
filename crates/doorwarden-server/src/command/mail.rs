//! `doorwarden mail`: the mails that were queued. What they say is shown to nobody but their recipient.

use crate::config::Config;
use crate::failure::Failure;
use crate::output::{self, List, Output, count};
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Args, Subcommand};
use doorwarden::core::mail::{Mail, MailId, MailKind, Mailer as _};
use doorwarden::core::random::{RandomSource, SystemRandom};
use doorwarden::core::store::{MailRecord, MailState};
use doorwarden::core::time::{Clock as _, SystemClock};
use doorwarden::{Doorwarden, Mails};
use serde_json::{Value, json};

/// The number of mails per page.
const PAGE: u32 = 500;

/// Subcommands of `mail`.
#[derive(Debug, Subcommand)]
pub(crate) enum Subcommands {
    /// List the mails of the last week, the newest first
    List {
        /// Only mails in this state
        #[arg(long, value_parser = PossibleValuesParser::new(MailState::ALL.map(MailState::as_str))
            .try_map(|word| MailState::from_stored(&word).ok_or("not a state")))]
        state: Option<MailState>,
        /// Maximum number of mails to list
        #[arg(long, value_name = "COUNT")]
        limit: Option<u64>,
    },
    /// Show the state of a mail, and why its last attempt failed
    Show {
        /// Mail id
        id: MailId,
    },
    /// Let the service send mails again that failed or wait for another attempt
    Retry(Retry),
    /// Send a test mail with the configured transport, without the queue
    Test {
        /// Email address of the recipient
        address: String,
    },
}

/// Arguments of `mail retry`.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Retry {
    /// Mail id
    id: Option<MailId>,
    /// Every mail that failed
    #[arg(long)]
    failed: bool,
}

pub(super) async fn run(config: &Config, command: Subcommands, out: Output) -> Result<(), Failure> {
    if let Subcommands::Test { address } = command {
        return test(config, &address, out).await;
    }
    let auth = super::open(config).await?;
    let result = on_the_queue(&auth, command, out).await;
    auth.close().await;
    result
}

async fn on_the_queue(auth: &Doorwarden, command: Subcommands, out: Output) -> Result<(), Failure> {
    let mails = auth.mails();
    match command {
        Subcommands::List { state, limit } => list(&mails, state, limit.unwrap_or(u64::MAX), out).await,
        Subcommands::Show { id } => {
            let mail = mails.get(id).await?;
            show(&mail.ok_or_else(|| Failure::not_found(format!("mail `{id}` not found")))?, out)
        }
        Subcommands::Retry(Retry { id: Some(id), .. }) => match mails.retry(id).await? {
            true => out.done(&format!("Made mail `{id}` due"), &json!({"id": id.to_string(), "retried": 1})),
            false => Err(Failure::not_found(format!("no mail `{id}` that was not sent yet found"))),
        },
        Subcommands::Retry(Retry { id: None, .. }) => {
            let retried = mails.retry_failed().await?;
            out.done(&format!("Made {} due", count(retried, "mail")), &json!({"retried": retried}))
        }
        Subcommands::Test { .. } => Ok(()),
    }
}

async fn list(mails: &Mails, state: Option<MailState>, mut left: u64, out: Output) -> Result<(), Failure> {
    let mut list = List::new(out, &["ID", "KIND", "TO", "STATE", "ATTEMPTS", "QUEUED"]);
    let mut before = None;
    loop {
        let size = u32::try_from(left).unwrap_or(PAGE).min(PAGE);
        let page = mails.list(state, before, size).await?;
        let row = |mail: &MailRecord| {
            let cells = vec![
                mail.id.to_string(),
                mail.kind.as_str().to_owned(),
                mail.to.clone(),
                mail.state.as_str().to_owned(),
                mail.attempts.to_string(),
                mail.created_at.to_string(),
            ];
            (value(mail), cells)
        };
        list.page(&page.iter().map(row).collect::<Vec<_>>())?;
        left -= page.len() as u64;
        match page.last() {
            Some(last) if page.len() == size as usize && left > 0 => before = Some(last.id),
            _ => return list.end("No mails found"),
        }
    }
}

fn value(mail: &MailRecord) -> Value {
    let is_queued = mail.state == MailState::Queued;
    json!({
        "id": mail.id.to_string(),
        "kind": mail.kind.as_str(),
        "to": mail.to,
        "user_id": mail.user,
        "locale": mail.locale,
        "state": mail.state.as_str(),
        "attempts": mail.attempts,
        "queued_at": mail.created_at,
        "due_at": Some(mail.due_at).filter(|_| is_queued),
        "ended_at": Some(mail.due_at).filter(|_| !is_queued),
        "error": mail.error,
    })
}

fn show(mail: &MailRecord, out: Output) -> Result<(), Failure> {
    if out.is_json() {
        return output::json(&value(mail));
    }
    let moment = match mail.state {
        MailState::Queued => "due",
        MailState::Sent => "sent",
        MailState::Failed => "given up",
    };
    out.facts(&[
        ("id", mail.id.to_string()),
        ("kind", mail.kind.as_str().to_owned()),
        ("to", mail.to.clone()),
        ("user", mail.user.map_or("-".to_owned(), |user| user.to_string())),
        ("locale", mail.locale.to_string()),
        ("state", mail.state.as_str().to_owned()),
        ("attempts", mail.attempts.to_string()),
        ("queued", mail.created_at.to_string()),
        (moment, mail.due_at.to_string()),
        ("error", mail.error.clone().unwrap_or_else(|| "-".to_owned())),
    ])
}

async fn test(config: &Config, address: &str, out: Output) -> Result<(), Failure> {
    let (Some(url), Some(mailing)) = (&config.mail.url, config.mailing()?) else {
        return Err(Failure::config("`mail.url` is not set")
            .hint("set it, for example to `smtps://user:password@mail.example.org`"));
    };
    let (now, random): (_, &dyn RandomSource) = (SystemClock.now(), &SystemRandom);
    let (id, locale) = (MailId::new(now, random.bytes()), config.settings.mail.locale);
    let mail = Mail::new(id, MailKind::Test, address, locale, now);
    if let Err(error) = mailing.mailer().send(&mail).await {
        let check = mailing.transport.check().await;
        return Err(Failure::no(format!("no mail was sent to `{address}` with {url}: {error}"))
            .maybe_hint(check.err().and_then(|error| error.hint)));
    }
    let value = json!({"id": id.to_string(), "to": address, "transport": url.to_string()});
    out.done(&format!("Sent mail `{id}` to `{address}` with {url}"), &value)
}
