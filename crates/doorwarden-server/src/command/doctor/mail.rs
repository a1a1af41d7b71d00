//! Checks whether mails can be sent, and whether they were.

use super::Report;
use crate::config::{Config, is_local_host};
use crate::output::count;
use doorwarden::core::store::{MailState, Store, StoreError};
use doorwarden::core::time::{Clock, SystemClock};
use std::time::Duration;

const CHECK: &str = "mail";

/// How long a mail may wait without a warning. Most mails have a link that can be used for ten minutes or an
/// hour.
const LONG: Duration = Duration::from_mins(10);

/// Top-level domains that no mail server finds (RFC 2606, RFC 6762).
const NOWHERE: [&str; 5] = ["local", "localhost", "test", "example", "invalid"];

/// The configuration, whose errors are reported elsewhere.
pub(super) async fn check(config: &Config, report: &mut Report) {
    let Ok(mailing) = config.mailing() else { return };
    let Some(mailing) = mailing else {
        return report.ok(CHECK, "`mail.url` is not set: nothing is mailed");
    };
    for problem in mailing.templates.problems() {
        report.warning(CHECK, format!("a template is not used: {problem}"), "correct or delete the file");
    }
    if mailing.mailbox.is_some() {
        return report.ok(CHECK, "`mail.url` is not set: mails can only be read at `/dev/mailbox`");
    }
    match mailing.transport.check().await {
        Ok(text) => report.ok(CHECK, text),
        Err(error) => report.error(
            CHECK,
            error.message,
            error.hint.unwrap_or_else(|| "check `mail.url`, and that the mail server is running".to_owned()),
        ),
    }
    let domain = mailing.from.domain();
    let last = domain.rsplit('.').next().unwrap_or(domain);
    if !domain.contains('.') || NOWHERE.contains(&last) || is_local_host(domain) {
        report.warning(
            CHECK,
            format!("mails are from an address at `{domain}`, which other mail servers do not know"),
            "set `mail.from` to an address at a domain of yours",
        );
    }
}

/// The outbox.
pub(super) async fn queue(store: &dyn Store, report: &mut Report) -> Result<(), StoreError> {
    let now = SystemClock.now();
    let queue = store.mail_queue(now).await?;
    let waiting = store.mails(Some(MailState::Queued), None, 1000).await?;
    match waiting.last().filter(|oldest| now.since(oldest.created_at) > LONG) {
        Some(oldest) => {
            let minutes = now.since(oldest.created_at).as_secs() / 60;
            let why = oldest.error.as_deref().unwrap_or("no instance that sends mails is running");
            let text = format!("a mail has waited for {}: {why}", count(minutes, "minute"));
            report.warning("outbox", text, "`doorwarden mail list --state queued` lists what waits");
        }
        None => report.ok("outbox", format!("{} queued", count(queue.queued, "mail"))),
    }
    if queue.failed > 0 {
        report.warning(
            "outbox",
            format!("{} could not be sent", count(queue.failed, "mail")),
            "`doorwarden mail show` tells why, and `doorwarden mail retry --failed` sends them again",
        );
    }
    Ok(())
}
