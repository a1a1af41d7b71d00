//! The repetition of mails that were not delivered.

use crate::audit::Origin;
use crate::context::Context;
use crate::event::{Event, Found};
use crate::mail::MailId;
use crate::store::StoreError;

/// Makes a mail due that failed or waits for another attempt, or every mail that failed, and returns how
/// many. An instance that has a mailer sends them, within ten seconds.
///
/// # Errors
/// [`StoreError`] if the database operation failed.
pub async fn retry_mails(
    context: &Context,
    mail: Option<MailId>,
    origin: &Origin,
) -> Result<u64, StoreError> {
    let effects = context.effects(origin, [Event::MailsRetried { count: 0 }]);
    let count = context.store.retry_mails(mail, effects.at, effects.clone()).await?;
    if count > 0 {
        context.notify(&effects.with(Found::Count(count))).await;
    }
    Ok(count)
}
