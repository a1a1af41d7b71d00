//! The sending of the mails that were queued, each by one instance.

use crate::context::Context;
use crate::mail::{Mail, Mailer, SendError};
use crate::store::{QueuedMail, StoreError};
use crate::tally::Counted;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How long an instance may take for the mails that it has claimed; after that another one may send them.
const LEASE: Duration = Duration::from_mins(5);
/// How long one attempt may take, whatever the mailer does.
const SEND_LIMIT: Duration = Duration::from_secs(45);
/// How many mails are claimed at once: even if each takes as long as it may, the lease is not over.
const BATCH: u32 = 5;
/// How often the outbox is looked at without being woken: for mails that another instance queued and did not
/// send, and for retries.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// The wait after the first failed attempt. Each further one is four times as long.
const FIRST_WAIT: Duration = Duration::from_secs(30);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_hours(6);

/// Starts the sending until the context is dropped. Mails that failed before have a task of their own, so
/// that an address that keeps failing delays nobody else.
pub(crate) fn start(context: &Arc<Context>) {
    if context.outbox.is_open() {
        for first in [true, false] {
            tokio::spawn(send_all(Arc::downgrade(context), first));
        }
    }
}

async fn send_all(context: Weak<Context>, first: bool) {
    let mut has_failed = false;
    loop {
        let Some(strong) = context.upgrade() else { return };
        let sent = send_due(&strong, first).await;
        if let Err(error) = &sent
            && !has_failed
        {
            tracing::warn!(%error, "the outbox could not be read; trying again");
        }
        has_failed = sent.is_err();
        if !matches!(sent, Ok(count) if count > 0) {
            // Without a reference to the context, which would never be dropped.
            let wake = first.then(|| strong.outbox.alarm());
            drop(strong);
            match wake {
                Some(wake) => drop(tokio::time::timeout(LOOK_EVERY, wake.notified()).await),
                None => tokio::time::sleep(5 * LOOK_EVERY).await,
            }
        }
    }
}

/// Sends the mails that are due, a few at most; returns how many were tried.
///
/// # Errors
/// [`StoreError`] if the database operation failed. What was claimed is tried again later.
pub async fn send_due(context: &Context, first: bool) -> Result<usize, StoreError> {
    let Some(mailer) = context.outbox.mailer() else { return Ok(0) };
    let now = context.now();
    let claimed = context.store.claim_mails(now, now.after(LEASE), first, BATCH).await?;
    let count = claimed.len();
    for mail in claimed {
        send(context, mailer.as_ref(), mail).await?;
    }
    Ok(count)
}

async fn send(context: &Context, mailer: &dyn Mailer, queued: QueuedMail) -> Result<(), StoreError> {
    let (id, attempt, kind) = (queued.id, queued.attempt, queued.kind.as_str());
    if context.now() >= queued.expires_at {
        let reason = "expired before it could be sent";
        tracing::warn!(mail.id = %id, kind, reason, "a mail was given up");
        context.tally.add(Counted::MailGivenUp, 1);
        return context.store.mail_failed(id, context.now(), reason, None).await;
    }
    let result = match context.outbox.open(&queued) {
        Some(content) => {
            let mut mail = Mail::new(id, queued.kind, queued.to, queued.locale, queued.created_at);
            mail.content = content;
            let late = Err(SendError::Temporary("the mail server took too long".to_owned()));
            tokio::time::timeout(SEND_LIMIT, mailer.send(&mail)).await.unwrap_or(late)
        }
        None => Err(SendError::Permanent("it was sealed under another secret key".to_owned())),
    };
    let now = context.now();
    match result {
        Ok(()) => {
            tracing::info!(mail.id = %id, kind, attempt, "a mail was sent");
            context.tally.add(Counted::MailSent, 1);
            context.store.mail_sent(id, now).await
        }
        Err(SendError::Temporary(reason)) => {
            let retry_at = now.after(wait_after(attempt, context.random.bytes()));
            let retry_at = Some(retry_at).filter(|at| *at < queued.expires_at);
            tracing::warn!(mail.id = %id, kind, attempt, reason, is_last = retry_at.is_none(), "a mail was not sent");
            let counted = if retry_at.is_some() { Counted::MailDeferred } else { Counted::MailGivenUp };
            context.tally.add(counted, 1);
            context.store.mail_failed(id, now, &reason, retry_at).await
        }
        Err(SendError::Permanent(reason)) => {
            tracing::warn!(mail.id = %id, kind, attempt, reason, "a mail was given up");
            context.tally.add(Counted::MailGivenUp, 1);
            context.store.mail_failed(id, now, &reason, None).await
        }
    }
}

/// How long to wait after this attempt, give or take a fifth: many mails that failed together do not come
/// back together.
fn wait_after(attempt: u32, random: [u8; 2]) -> Duration {
    let steps = attempt.saturating_sub(1).min(8);
    let wait = (FIRST_WAIT * 4_u32.pow(steps)).min(LONGEST_WAIT);
    let fifth = wait / 5;
    fifth * 4 + fifth * 2 * u32::from(u16::from_le_bytes(random)) / u32::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_waits_grow_to_six_hours_and_differ() {
        let wait = |attempt, random| wait_after(attempt, [random, random]).as_secs();
        assert_eq!((wait(1, 0), wait(1, 255)), (24, 36));
        assert_eq!((wait(2, 0), wait(2, 255)), (96, 144));
        assert_eq!((wait(9, 0), wait(900, 255)), (17_280, 25_920));
    }
}
