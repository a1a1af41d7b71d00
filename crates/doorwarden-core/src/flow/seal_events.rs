//! The sealing of the audit log, by one instance at a time, while events are written without waiting for it.

use crate::audit::Effects;
use crate::audit::seal::{AuditKey, AuditState, AuditVault, Mark, MarkKind, Seal};
use crate::context::Context;
use crate::random::RandomSource;
use crate::store::{Store, StoreError};
use crate::tally::Counted;
use crate::time::Timestamp;
use std::sync::{Arc, Weak};
use std::time::Duration;
use uuid::Uuid;

/// How long after it was written an event is sealed at most, unless there are very many.
const EVERY: Duration = Duration::from_millis(500);
/// How many events one seal covers at most.
const BATCH: u32 = 1000;
/// How long an instance may make seals without asking again; after that another one may.
const LEASE: Duration = Duration::from_secs(10);
/// How long before its end the lease is renewed.
const RENEW: Duration = Duration::from_secs(3);

/// Why no seal was made.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SealError {
    /// The head was not set by Doorwarden: somebody has changed the audit log, or cut off its end.
    #[error("the head of the audit log is not genuine: the log was changed by somebody else")]
    Forged,
    /// The log ends before what this instance has sealed itself.
    #[error("the audit log ends at seal {found}, and seal {known} was made: its end was removed")]
    SetBack {
        /// The number of the newest seal.
        found: i64,
        /// The number of the newest seal that this instance knows of.
        known: i64,
    },
    /// The key of the head does not open with the secret key.
    #[error("the key of the audit log, `{0}`, does not open with the secret key")]
    UnknownKey(String),
    /// The database operation failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SealError {
    /// Advice on how to fix the problem.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Forged | Self::SetBack { .. } => Some(
                "run `doorwarden audit verify`; nothing is sealed until a copy of the database is restored",
            ),
            Self::UnknownKey(_) => Some("add the former secret key to `old_secret_keys`"),
            Self::Store(error) => error.hint(),
        }
    }
}

/// What one instance remembers from one seal to the next.
#[derive(Debug)]
pub struct EventSealer {
    holder: Uuid,
    /// Until when no other instance makes seals, with the place in the chain.
    lease: Option<(Timestamp, Mark, AuditKey)>,
    /// The number of the newest seal that was seen.
    newest: i64,
}

impl EventSealer {
    /// An instance that has sealed nothing yet.
    pub fn new(now: Timestamp, random: &dyn RandomSource) -> Self {
        Self { holder: crate::random::uuid(now, random.bytes()), lease: None, newest: 0 }
    }

    /// Seals events that are committed, at most 1,000; returns how many. None if all
    /// are sealed, or another instance seals.
    ///
    /// # Errors
    /// [`SealError`] if the log is not as it was left, or the database operation failed.
    pub async fn seal(
        &mut self,
        store: &dyn Store,
        vault: &AuditVault,
        now: Timestamp,
        random: &dyn RandomSource,
    ) -> Result<u32, SealError> {
        let events = store.unsealed_events(BATCH).await?;
        if events.is_empty() {
            return Ok(0);
        }
        let lease = match self.lease.take().filter(|(until, ..)| now.after(RENEW) < *until) {
            Some(lease) => lease,
            None => match self.lease(store, vault, now, random).await? {
                Some(lease) => lease,
                None => return Ok(0),
            },
        };
        let (until, head, key) = lease;
        let seal = Seal::new(&events, &head, now, &key);
        let next = Mark::after(&head, &seal, MarkKind::Head, now, &key);
        if !store.add_seal(self.holder, seal, next.clone()).await? {
            // Another instance was faster; where the chain is now is read again.
            return Ok(0);
        }
        self.newest = next.number;
        self.lease = Some((until, next, key));
        Ok(u32::try_from(events.len()).unwrap_or(BATCH))
    }

    async fn lease(
        &mut self,
        store: &dyn Store,
        vault: &AuditVault,
        now: Timestamp,
        random: &dyn RandomSource,
    ) -> Result<Option<(Timestamp, Mark, AuditKey)>, SealError> {
        let until = now.after(LEASE);
        if !store.lease_sealer(self.holder, now, until).await? {
            return Ok(None);
        }
        let state = store.audit_state().await?;
        if state.head.number < self.newest {
            return Err(SealError::SetBack { found: state.head.number, known: self.newest });
        }
        self.newest = state.head.number;
        let keys = store.audit_keys().await?;
        if state.head.is_untouched() {
            if !keys.is_empty() {
                return Err(SealError::Forged);
            }
            let begun = begin_chain(store, vault, state, now, random).await?;
            return Ok(begun.map(|(head, key)| (until, head, key)));
        }
        let id = &state.head.key_id;
        let stored = keys.iter().find(|key| key.id == *id);
        let Some(key) = stored.and_then(|stored| vault.open(stored)) else {
            return Err(SealError::UnknownKey(id.clone()));
        };
        if !key.has_set(MarkKind::Head, &state.head) {
            return Err(SealError::Forged);
        }
        for stored in &keys {
            if let Some(sealed) = vault.resealed(stored, random) {
                store.reseal_audit_key(&stored.id, &stored.sealed, &sealed).await?;
            }
        }
        Ok(Some((until, state.head, key)))
    }
}

/// Lets the chain go on from these marks under a new key; the head, unless another instance was faster.
async fn begin_chain(
    store: &dyn Store,
    vault: &AuditVault,
    AuditState { head, cut, .. }: AuditState,
    now: Timestamp,
    random: &dyn RandomSource,
) -> Result<Option<(Mark, AuditKey)>, StoreError> {
    let (key, stored) = vault.generate(now, random);
    let next = head.clone().signed(MarkKind::Head, &key);
    let is_first = store.add_audit_key(stored, &head, next.clone(), cut.signed(MarkKind::Cut, &key)).await?;
    Ok(is_first.then_some((next, key)))
}

/// Lets the chain go on under a new key, because the secret key was lost or is known to somebody else. The
/// seals so far stay, and cannot be changed unseen: those that follow name them.
///
/// # Errors
/// [`StoreError`] if the database operation failed.
pub async fn renew_audit_key(
    store: &dyn Store,
    vault: &AuditVault,
    now: Timestamp,
    random: &dyn RandomSource,
) -> Result<(), StoreError> {
    loop {
        let state = store.audit_state().await?;
        let is_begun = !state.head.is_untouched();
        if !is_begun || begin_chain(store, vault, state, now, random).await?.is_some() {
            return Ok(());
        }
    }
}

/// Writes what was refused, and `everything` of it rather than what is due.
pub async fn write_refusals(context: &Context, everything: bool) {
    let effects = context.refusals.take(context.now(), everything);
    if effects.is_empty() {
        return;
    }
    if let Err(error) = context.store.record_all(effects.clone()).await {
        tracing::warn!(%error, "refused operations could not be written to the audit log; retrying");
        context.refusals.put_back(effects);
        return;
    }
    for summary in effects.iter().filter(|effects| is_summary(effects)) {
        summary.log();
    }
}

fn is_summary(effects: &Effects) -> bool {
    effects.events.iter().any(|event| event.name() == "refusals_counted")
}

/// Starts the sealing, and the writing of what was refused, until the context is dropped.
pub(crate) fn start(context: &Arc<Context>) {
    let sealer = EventSealer::new(context.now(), context.random.as_ref());
    tokio::spawn(run(Arc::downgrade(context), sealer));
}

async fn run(context: Weak<Context>, mut sealer: EventSealer) {
    let mut complaint = None;
    loop {
        tokio::time::sleep(EVERY).await;
        let Some(context) = context.upgrade() else { return };
        write_refusals(&context, false).await;
        let result = seal_all(&context, &mut sealer).await;
        let error = result.err();
        context.tally.add(Counted::SealFailed, error.is_some().into());
        let text = error.as_ref().map(SealError::to_string);
        if let Some(error) = error.filter(|_| text != complaint) {
            if let SealError::Store(error) = &error {
                tracing::warn!(%error, hint = error.hint(), "the audit log could not be sealed; retrying");
            } else {
                tracing::error!(%error, hint = error.hint(), "the audit log is not sealed");
            }
        }
        complaint = text;
    }
}

/// Seals everything that is committed.
///
/// # Errors
/// [`SealError`] if the log is not as it was left, or the database operation failed.
pub async fn seal_all(context: &Context, sealer: &mut EventSealer) -> Result<u64, SealError> {
    let mut sealed = 0;
    loop {
        let (store, random) = (context.store.as_ref(), context.random.as_ref());
        let count = sealer.seal(store, &context.audit, context.now(), random).await?;
        sealed += u64::from(count);
        context.tally.add(Counted::EventSealed, count.into());
        if count < BATCH {
            return Ok(sealed);
        }
    }
}
