use doorwarden_core::audit::AuditRecord;
use doorwarden_core::audit::seal::AuditState;
use doorwarden_core::context::Context;
use doorwarden_core::flow::seal_events::{EventSealer, SealError, seal_all, write_refusals};
use doorwarden_core::flow::verify_audit::{
    CheckpointError, Progress, Verified, read_checkpoint, sign_checkpoint, verify_audit,
};
use doorwarden_core::store::{EventFilter, StoreError};
use doorwarden_core::token::checkpoint::Checkpoint;
use std::sync::Arc;

/// The audit log, from [`Doorwarden::audit`](crate::Doorwarden::audit): what happened that matters to
/// security, who did it, and from where. It is sealed in the background, so that a change of it shows.
#[derive(Debug, Clone)]
pub struct Audit {
    context: Arc<Context>,
}

impl Audit {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self { context }
    }

    /// At most `limit` events that match, the newest first, those before `before`.
    ///
    /// # Errors
    /// The database operation failed.
    pub async fn find(
        &self,
        filter: &EventFilter,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<AuditRecord>, StoreError> {
        self.context.store.find_events(filter, before, limit).await
    }

    /// At most `limit` events by their number, those after `after`.
    ///
    /// # Errors
    /// The database operation failed.
    pub async fn list(&self, after: Option<i64>, limit: u32) -> Result<Vec<AuditRecord>, StoreError> {
        self.context.store.audit_records(after, limit).await
    }

    /// The newest seal, and what is not sealed yet.
    ///
    /// # Errors
    /// The database operation failed.
    pub async fn state(&self) -> Result<AuditState, StoreError> {
        self.context.store.audit_state().await
    }

    /// Seals what is not sealed yet, for programs without the [background
    /// tasks](crate::Builder::background), which do that twice a second. Returns how many events; 0 also if
    /// another instance is about to.
    ///
    /// # Errors
    /// The log is not as it was left, or the database operation failed.
    pub async fn seal(&self) -> Result<u64, SealError> {
        write_refusals(&self.context, true).await;
        let mut sealer = EventSealer::new(self.context.now(), self.context.random.as_ref());
        seal_all(&self.context, &mut sealer).await
    }

    /// Signs the state of the log, a text to be kept elsewhere: [`verify`](Self::verify) tells later whether
    /// the log still begins with it.
    ///
    /// # Errors
    /// Nothing was sealed yet, the newest seal is not genuine, or the database operation failed.
    pub async fn checkpoint(&self) -> Result<(Checkpoint, String), CheckpointError> {
        sign_checkpoint(&self.context).await
    }

    /// Reads a text of [`checkpoint`](Self::checkpoint), and verifies that it was signed for this log.
    ///
    /// # Errors
    /// The text is not a checkpoint, it was not signed for this log, or the database operation failed.
    pub async fn read_checkpoint(&self, signed: &str) -> Result<Checkpoint, CheckpointError> {
        read_checkpoint(self.context.store.as_ref(), signed).await
    }

    /// Compares every event with its seal, and the log with these checkpoints. `progress` is told now and
    /// then how far it is.
    ///
    /// # Errors
    /// The database operation failed.
    pub async fn verify(
        &self,
        checkpoints: &[Checkpoint],
        progress: impl FnMut(Progress) + Send,
    ) -> Result<Verified, StoreError> {
        verify_audit(self.context.store.as_ref(), &self.context.audit, checkpoints, progress).await
    }
}
