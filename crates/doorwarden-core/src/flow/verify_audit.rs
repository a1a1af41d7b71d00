//! The verification of the audit log, and checkpoints of it.

use crate::audit::seal::{
    AuditKey, AuditState, AuditVault, Mark, MarkKind, RecordHash, Seal, StoredAuditKey, StoredEvent,
};
use crate::context::Context;
use crate::store::{Store, StoreError};
use crate::time::Timestamp;
use crate::token::checkpoint::{self, Checkpoint};
use crate::token::{PublicKey, Refusal};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::fmt::Write as _;

/// How many events are read at once.
const EVENTS: u32 = 2_000;
/// How many seals are read at once.
const SEALS: u32 = 64;
/// How many events that were not read with those around them are looked for one by one: those of
/// transactions that ended late, which are few.
const MOST_LATE: u32 = 10_000;
/// How many findings are listed; further ones are counted.
const MOST_FINDINGS: usize = 1_000;

/// What is wrong with the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// The content of an event is not what was sealed.
    Altered {
        /// The number of the event.
        id: i64,
    },
    /// Where the request of an event came from is not what the event says.
    ClientAltered {
        /// The number of the event.
        id: i64,
    },
    /// An event has the content of another one of the same seal.
    Moved {
        /// The number of the event.
        id: i64,
        /// The number of the event whose content it has.
        from: i64,
    },
    /// An event that was sealed is gone.
    Removed {
        /// The number of the event.
        id: i64,
        /// The number of its seal.
        seal: i64,
    },
    /// An event is in no seal and does not wait for one: it was inserted, or its seal was removed.
    Inserted {
        /// The number of the event.
        id: i64,
    },
    /// Seals are gone.
    SealsRemoved {
        /// The number of the first.
        from: i64,
        /// The number of the last.
        to: i64,
    },
    /// A seal does not say what was authenticated.
    SealAltered {
        /// The number of the seal.
        seal: i64,
    },
    /// A seal does not follow from the one before.
    SealDetached {
        /// The number of the seal.
        seal: i64,
    },
    /// The key of the head does not open with the secret key: nothing is proved.
    Unproven {
        /// The key.
        key: String,
    },
    /// The head was not set by Doorwarden, or is of another time than the seals.
    HeadAltered {
        /// The number of the seal that it names.
        seal: i64,
    },
    /// The cut was not set by Doorwarden, or is of another time than the seals.
    CutAltered {
        /// The number of the seal that it names.
        seal: i64,
    },
    /// There were seals, and nothing is left that says so but their key.
    ChainRemoved,
    /// The log does not contain the state of a checkpoint.
    CheckpointMissed {
        /// The number of the seal in the checkpoint.
        seal: i64,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Altered { id } => write!(f, "event {id} was altered"),
            Self::ClientAltered { id } => write!(f, "the address or user agent of event {id} was altered"),
            Self::Moved { id, from } => {
                write!(f, "event {id} has the content of event {from}: they were reordered")
            }
            Self::Removed { id, seal } => write!(f, "event {id}, of seal {seal}, was removed"),
            Self::Inserted { id } => {
                write!(f, "event {id} is in no seal: it was inserted, or its seal was removed")
            }
            Self::SealsRemoved { from, to } if from == to => write!(f, "seal {from} was removed"),
            Self::SealsRemoved { from, to } => write!(f, "seals {from} to {to} were removed"),
            Self::SealAltered { seal } => write!(f, "seal {seal} was altered"),
            Self::SealDetached { seal } => write!(f, "seal {seal} does not follow from the one before"),
            Self::Unproven { key } => {
                write!(
                    f,
                    "nothing is proved: the key of the head, `{key}`, does not open with the secret key"
                )
            }
            Self::HeadAltered { seal } => {
                write!(f, "the head, which names seal {seal}, was altered: the end of the log may be gone")
            }
            Self::CutAltered { seal } => {
                write!(
                    f,
                    "the cut, which names seal {seal}, was altered: the beginning of the log may be gone"
                )
            }
            Self::ChainRemoved => f.write_str("all seals were removed"),
            Self::CheckpointMissed { seal } => {
                write!(f, "the log does not contain the state of a checkpoint at seal {seal}")
            }
        }
    }
}

/// The result of a verification.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// How many events agree with their seal.
    pub events: u64,
    /// How many seals were verified.
    pub seals: u64,
    /// The number of the newest seal.
    pub head: i64,
    /// How many events were deleted because of their age.
    pub cut: u64,
    /// The number of the newest seal that was deleted because of its age.
    pub cut_seal: i64,
    /// Of how many events it is forgotten where they came from.
    pub forgotten: u64,
    /// How many events are not sealed yet: nothing is known of them.
    pub unsealed: u64,
    /// When the oldest of them happened.
    pub unsealed_since: Option<Timestamp>,
    /// How many checkpoints the log contains.
    pub checkpoints: u64,
    /// How many checkpoints are older than the cut, so that they cannot be compared.
    pub old_checkpoints: u64,
    /// What is wrong, at most the first thousand findings.
    pub findings: Vec<Finding>,
    /// How many further findings there are.
    pub more_findings: u64,
}

impl Verified {
    /// Whether nothing is wrong.
    pub fn is_genuine(&self) -> bool {
        self.findings.is_empty()
    }

    fn find(&mut self, finding: Finding) {
        if self.findings.len() < MOST_FINDINGS {
            self.findings.push(finding);
        } else {
            self.more_findings += 1;
        }
    }
}

/// How far a verification is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// How many events were read.
    pub events: u64,
    /// How many there are, about.
    pub of: u64,
}

/// Why a text is no checkpoint of this log.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CheckpointError {
    /// It is not a checkpoint, or its signature is wrong.
    #[error("not a valid checkpoint: {0}")]
    Invalid(#[from] Refusal),
    /// No key of this log has signed it.
    #[error("the checkpoint was signed by a key that this audit log does not have, `{0}`")]
    UnknownKey(String),
    /// Nothing was sealed yet.
    #[error("the audit log has no seal yet")]
    Empty,
    /// The key of the head does not open with the secret key, or the head is not genuine.
    #[error("the head of the audit log is not genuine, or its key does not open with the secret key")]
    NotGenuine,
    /// The database operation failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Signs the state of the log, to be kept elsewhere.
///
/// # Errors
/// [`CheckpointError`] if nothing was sealed yet, the head is not genuine, or the database operation failed.
pub async fn sign_checkpoint(context: &Context) -> Result<(Checkpoint, String), CheckpointError> {
    let head = context.store.audit_state().await?.head;
    if head.number == 0 {
        return Err(CheckpointError::Empty);
    }
    let keys = context.store.audit_keys().await?;
    let stored = keys.iter().find(|key| key.id == head.key_id);
    let key = stored.and_then(|stored| context.audit.open(stored));
    let key = key.filter(|key| key.has_set(MarkKind::Head, &head)).ok_or(CheckpointError::NotGenuine)?;
    let checkpoint = Checkpoint {
        iss: context.settings.access.issuer.clone(),
        iat: context.now().as_seconds(),
        seal: head.number,
        records: head.total,
        hash: hex(&head.hash),
    };
    let signed = checkpoint::sign(key.pair(), &checkpoint);
    Ok((checkpoint, signed))
}

/// The checkpoint that this text is, if a key of this log has signed it.
///
/// # Errors
/// [`CheckpointError`] if it is not a checkpoint, no key of this log has signed it, or the database operation
/// failed.
pub async fn read_checkpoint(store: &dyn Store, signed: &str) -> Result<Checkpoint, CheckpointError> {
    let id = checkpoint::key_id(signed)?;
    let stored = store.audit_keys().await?.into_iter().find(|key| key.id == id);
    let public = stored.and_then(|key| PublicKey::from_jwk(&key.public_jwk).ok());
    // The id is the thumbprint: another key cannot have it.
    let public = public.filter(|key| key.thumbprint() == id).ok_or(CheckpointError::UnknownKey(id))?;
    Ok(checkpoint::verify(signed, &public)?)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Compares every event with its seal, the seals with each other, and the log with these checkpoints.
/// `progress` is told now and then how far it is.
///
/// # Errors
/// [`StoreError`] if the database operation failed.
pub async fn verify_audit(
    store: &dyn Store,
    vault: &AuditVault,
    checkpoints: &[Checkpoint],
    mut progress: impl FnMut(Progress) + Send,
) -> Result<Verified, StoreError> {
    let state = store.audit_state().await?;
    let keys = store.audit_keys().await?;
    let mut chain = Chain::new(store, vault, &keys, &state, checkpoints);
    chain.check_marks(&state, &keys);
    let total = u64::try_from(state.head.total - state.cut.total).unwrap_or(0) + state.unsealed;
    chain.follow(&mut |events| progress(Progress { events, of: total.max(events) })).await?;
    chain.check_end(&state);
    chain.check_rest(&mut |events| progress(Progress { events, of: total.max(events) })).await?;
    let (mut verified, last) = (chain.verified, chain.at.number);
    // Of now: events were written and sealed meanwhile.
    let now = store.audit_state().await?;
    if now.head.number < last && state.head.number >= now.head.number {
        verified.find(Finding::HeadAltered { seal: now.head.number });
    }
    (verified.unsealed, verified.unsealed_since) = (now.unsealed, now.unsealed_since);
    Ok(verified)
}

/// The part of the chain that was followed.
struct Chain<'a> {
    store: &'a dyn Store,
    keys: HashMap<&'a str, AuditKey>,
    checkpoints: HashMap<i64, Vec<&'a Checkpoint>>,
    /// The place that was reached.
    at: Mark,
    /// Up to which number events were read.
    read_to: i64,
    read: u64,
    /// How many events were looked for one by one.
    late: u32,
    /// Events that were read and are in no seal so far.
    open: BTreeMap<i64, RecordHash>,
    head_hash: Option<Vec<u8>>,
    head_total: i64,
    verified: Verified,
}

impl<'a> Chain<'a> {
    fn new(
        store: &'a dyn Store,
        vault: &AuditVault,
        keys: &'a [StoredAuditKey],
        state: &AuditState,
        checkpoints: &'a [Checkpoint],
    ) -> Self {
        let mut verified = Verified {
            head: state.head.number,
            cut: u64::try_from(state.cut.total).unwrap_or(0),
            cut_seal: state.cut.number,
            ..Verified::default()
        };
        let mut by_seal: HashMap<i64, Vec<&Checkpoint>> = HashMap::new();
        for point in checkpoints {
            if point.seal < state.cut.number {
                verified.old_checkpoints += 1;
            } else {
                by_seal.entry(point.seal).or_default().push(point);
            }
        }
        Self {
            store,
            keys: keys.iter().filter_map(|key| Some((key.id.as_str(), vault.open(key)?))).collect(),
            checkpoints: by_seal,
            at: state.cut.clone(),
            read_to: i64::MIN,
            read: 0,
            late: 0,
            open: BTreeMap::new(),
            head_hash: None,
            head_total: 0,
            verified,
        }
    }

    fn check_marks(&mut self, state: &AuditState, keys: &[StoredAuditKey]) {
        let AuditState { head, cut, .. } = state;
        if head.is_untouched() {
            if !keys.is_empty() || !cut.is_untouched() {
                self.verified.find(Finding::ChainRemoved);
            }
            return;
        }
        match self.keys.get(head.key_id.as_str()) {
            Some(key) if key.has_set(MarkKind::Head, head) => {}
            None if keys.iter().any(|key| key.id == head.key_id) => {
                self.verified.find(Finding::Unproven { key: head.key_id.clone() });
            }
            _ => self.verified.find(Finding::HeadAltered { seal: head.number }),
        }
        let cut_key = self.keys.get(cut.key_id.as_str());
        let is_proved = cut_key.map(|key| key.has_set(MarkKind::Cut, cut));
        // With the same key as the head, whose finding says so already.
        if is_proved == Some(false) || is_proved.is_none() && cut.key_id != head.key_id {
            self.verified.find(Finding::CutAltered { seal: cut.number });
        }
        self.compare_checkpoints(cut.number, cut.total, &cut.hash);
    }

    /// Follows the seals to the last one that there is.
    async fn follow(&mut self, progress: &mut (dyn FnMut(u64) + Send)) -> Result<(), StoreError> {
        loop {
            let seals = self.store.seals(self.at.number, SEALS).await?;
            for seal in &seals {
                self.read_events(seal.last_id, progress).await?;
                self.check_seal(seal).await?;
            }
            if seals.is_empty() {
                return Ok(());
            }
        }
    }

    /// Reads events up to this number.
    async fn read_events(
        &mut self,
        through: i64,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), StoreError> {
        while self.read_to < through {
            let events = self.store.stored_events(self.read_to, through, EVENTS).await?;
            self.read += events.len() as u64;
            for event in &events {
                if !event.is_client_genuine() {
                    self.verified.find(Finding::ClientAltered { id: event.id });
                }
                self.verified.forgotten += u64::from(event.client.is_some() && event.known.is_none());
                self.open.insert(event.id, event.hash());
            }
            progress(self.read);
            let is_full = events.len() == EVENTS as usize;
            match events.last() {
                Some(last) if is_full || through == i64::MAX => self.read_to = last.id,
                _ if through == i64::MAX => {}
                _ => self.read_to = through,
            }
            if !is_full {
                break;
            }
        }
        Ok(())
    }

    async fn check_seal(&mut self, seal: &Seal) -> Result<(), StoreError> {
        let expected = self.at.number.saturating_add(1);
        if seal.number > expected {
            self.verified.find(Finding::SealsRemoved { from: expected, to: seal.number - 1 });
        }
        let is_whole = seal.computed_hash()[..] == seal.hash;
        // Of a seal under a key that does not open any more, the head and the seals between prove the hash.
        let is_made = self.keys.get(seal.key_id.as_str()).is_none_or(|key| key.has_made(seal));
        if !is_whole || !is_made {
            self.verified.find(Finding::SealAltered { seal: seal.number });
        }
        let follows = seal.previous == self.at.hash
            && seal.total == self.at.total.saturating_add(seal.count())
            && seal.number == expected;
        if seal.number == expected && !follows {
            self.verified.find(Finding::SealDetached { seal: seal.number });
        }
        self.check_records(seal).await?;
        self.compare_checkpoints(seal.number, seal.total, &seal.hash);
        if seal.number == self.verified.head {
            (self.head_hash, self.head_total) = (Some(seal.hash.clone()), seal.total);
        }
        self.verified.seals += 1;
        self.at.number = seal.number;
        self.at.total = seal.total;
        self.at.hash.clone_from(&seal.hash);
        self.at.last_id = self.at.last_id.max(seal.last_id);
        Ok(())
    }

    /// Compares the events that a seal names with those that were read.
    async fn check_records(&mut self, seal: &Seal) -> Result<(), StoreError> {
        let mut others = Vec::new();
        for (id, hash) in seal.records() {
            let found = match self.open.remove(&id) {
                Some(found) => Some(found),
                None => self.late(id).await?,
            };
            match found {
                Some(found) if found == hash => self.verified.events += 1,
                Some(found) => others.push((id, found)),
                None => self.verified.find(Finding::Removed { id, seal: seal.number }),
            }
        }
        if others.is_empty() {
            return Ok(());
        }
        let by_hash: HashMap<RecordHash, i64> = seal.records().map(|(id, hash)| (hash, id)).collect();
        for (id, found) in others {
            self.verified.find(match by_hash.get(&found) {
                Some(from) => Finding::Moved { id, from: *from },
                None => Finding::Altered { id },
            });
        }
        Ok(())
    }

    /// An event that was committed after those around it were read.
    async fn late(&mut self, id: i64) -> Result<Option<RecordHash>, StoreError> {
        if self.late == MOST_LATE {
            return Ok(None);
        }
        self.late += 1;
        let found = self.store.stored_events(id.saturating_sub(1), id, 1).await?;
        Ok(found.first().map(StoredEvent::hash))
    }

    fn compare_checkpoints(&mut self, number: i64, total: i64, hash: &[u8]) {
        for point in self.checkpoints.remove(&number).unwrap_or_default() {
            if point.records == total && point.hash == hex(hash) {
                self.verified.checkpoints += 1;
            } else {
                self.verified.find(Finding::CheckpointMissed { seal: number });
            }
        }
    }

    /// Compares the last seal with the head, which was read before the seals.
    fn check_end(&mut self, state: &AuditState) {
        let head = &state.head;
        if self.at.number < head.number {
            self.verified.find(Finding::SealsRemoved { from: self.at.number + 1, to: head.number });
        } else if head.number > state.cut.number
            && (self.head_hash.as_ref() != Some(&head.hash) || self.head_total != head.total)
            || head.number == state.cut.number && head.hash != state.cut.hash
            || head.number < state.cut.number
        {
            self.verified.find(Finding::HeadAltered { seal: head.number });
        }
        let mut missed: Vec<i64> = self.checkpoints.drain().map(|(seal, _)| seal).collect();
        missed.sort_unstable();
        for seal in missed {
            self.verified.find(Finding::CheckpointMissed { seal });
        }
    }

    /// What is left must wait for its seal, or have got it meanwhile.
    async fn check_rest(&mut self, progress: &mut (dyn FnMut(u64) + Send)) -> Result<(), StoreError> {
        self.read_events(i64::MAX, progress).await?;
        let waiting: HashSet<i64> = self.store.unsealed_ids().await?.into_iter().collect();
        let others: Vec<i64> = self.open.keys().filter(|id| !waiting.contains(id)).copied().collect();
        self.follow(progress).await?;
        for id in others {
            if self.open.contains_key(&id) {
                self.verified.find(Finding::Inserted { id });
            }
        }
        Ok(())
    }
}
