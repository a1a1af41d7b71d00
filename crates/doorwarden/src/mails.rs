use doorwarden_core::audit::Origin;
use doorwarden_core::context::Context;
use doorwarden_core::flow::retry_mails::retry_mails;
use doorwarden_core::mail::MailId;
use doorwarden_core::store::{MailQueue, MailRecord, MailState, StoreError};
use std::sync::Arc;

/// The mails that were queued, from [`Doorwarden::mails`](crate::Doorwarden::mails). What they say is shown
/// to nobody but their recipient; those that were delivered or given up are deleted after a week.
#[derive(Debug, Clone)]
pub struct Mails {
    context: Arc<Context>,
    origin: Origin,
}

impl Mails {
    pub(crate) fn new(context: Arc<Context>, origin: Origin) -> Self {
        Self { context, origin }
    }

    /// At most `limit` mails, the newest first, those before `before`; only those in a state, if one is
    /// given.
    ///
    /// # Errors
    /// The database operation failed.
    pub async fn list(
        &self,
        state: Option<MailState>,
        before: Option<MailId>,
        limit: u32,
    ) -> Result<Vec<MailRecord>, StoreError> {
        self.context.store.mails(state, before, limit).await
    }

    /// The mail with this id.
    ///
    /// # Errors
    /// The database operation failed.
    pub async fn get(&self, id: MailId) -> Result<Option<MailRecord>, StoreError> {
        self.context.store.mail(id).await
    }

    /// How many mails wait, and how many were given up.
    ///
    /// # Errors
    /// The database operation failed.
    pub async fn queue(&self) -> Result<MailQueue, StoreError> {
        self.context.store.mail_queue(self.context.now()).await
    }

    /// Makes a mail due that failed or waits for another attempt. `false` if there is no such mail, or it was
    /// delivered.
    ///
    /// # Errors
    /// The database operation failed.
    pub async fn retry(&self, id: MailId) -> Result<bool, StoreError> {
        Ok(retry_mails(&self.context, Some(id), &self.origin).await? > 0)
    }

    /// Makes every mail due that failed, and returns how many.
    ///
    /// # Errors
    /// The database operation failed.
    pub async fn retry_failed(&self) -> Result<u64, StoreError> {
        retry_mails(&self.context, None, &self.origin).await
    }
}
