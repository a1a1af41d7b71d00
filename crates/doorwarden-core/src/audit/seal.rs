//! Seals: a chain of hashes over the events, from which it shows whether one was changed, removed, inserted
//! or moved.
//!
//! A [`Seal`] names the events that it covers, each with a hash of its content, and the hash of the seal
//! before. Its own hash is authenticated with a key that the database holds only encrypted under the secret
//! key ([`AuditKey`]), so whoever can write to the database cannot make one. The [head](Mark) names the
//! newest seal, so an end that was cut off is missed; the [cut](Mark) names the seal up to which the chain
//! was deleted because of its age.

use crate::random::RandomSource;
use crate::session::SessionId;
use crate::time::Timestamp;
use crate::token::seal::Sealer;
use crate::token::{KeyPair, SecretKey};
use crate::user::UserId;
use aws_lc_rs::hmac;
use sha2::{Digest, Sha256};
use std::fmt;
use zeroize::Zeroizing;

/// The length of the hash of an event in a seal, in bytes.
const RECORD_HASH: usize = 24;
/// The length of an event in a seal: its number and its hash.
const RECORD: usize = 8 + RECORD_HASH;

/// An event exactly as it is stored, for its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its number.
    pub id: i64,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub kind: String,
    /// The kind of the actor.
    pub actor: String,
    /// The id of the actor.
    pub actor_id: Option<String>,
    /// The user.
    pub user: Option<UserId>,
    /// The session.
    pub session: Option<SessionId>,
    /// The request.
    pub request_id: Option<String>,
    /// The [hash](client_hash) of where the request came from.
    pub client: Option<Vec<u8>>,
    /// The outcome.
    pub result: String,
    /// The data, as text.
    pub data: String,
    /// What the hash in [`client`](Self::client) is of, until it is forgotten: salt, address and user agent.
    pub known: Option<(Vec<u8>, Option<String>, Option<String>)>,
}

impl StoredEvent {
    /// The hash of everything but the number and [`known`](Self::known).
    pub fn hash(&self) -> RecordHash {
        let mut digest = Sha256::new();
        digest.update(b"doorwarden audit event v1\0");
        digest.update(self.at.as_micros().to_be_bytes());
        let user = self.user.map(|user| user.0.to_be_bytes());
        for field in [
            Some(self.kind.as_bytes()),
            Some(self.actor.as_bytes()),
            self.actor_id.as_deref().map(str::as_bytes),
            user.as_ref().map(<[u8; 8]>::as_slice),
            self.session.as_ref().map(|session| session.0.as_bytes().as_slice()),
            self.request_id.as_deref().map(str::as_bytes),
            self.client.as_deref(),
            Some(self.result.as_bytes()),
            Some(self.data.as_bytes()),
        ] {
            // A length that no field has stands for none.
            digest.update(field.map_or(u64::MAX, |field| field.len() as u64).to_be_bytes());
            digest.update(field.unwrap_or_default());
        }
        let mut hash = [0; RECORD_HASH];
        hash.copy_from_slice(&digest.finalize()[..RECORD_HASH]);
        RecordHash(hash)
    }

    /// Whether what is still known of the client is what the event says.
    pub fn is_client_genuine(&self) -> bool {
        match (&self.client, &self.known) {
            (Some(hash), Some((salt, address, agent))) => {
                *hash == client_hash(salt, address.as_deref(), agent.as_deref())
            }
            // Forgotten; or from before clients were hashed.
            (Some(_), None) | (None, _) => true,
        }
    }
}

/// The hash that stands for where a request came from, and tells nothing once the salt is gone.
pub fn client_hash(salt: &[u8], address: Option<&str>, user_agent: Option<&str>) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update(salt);
    digest.update(address.unwrap_or_default());
    digest.update([0]);
    digest.update(user_agent.unwrap_or_default());
    digest.finalize().into()
}

/// The hash of the content of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RecordHash([u8; RECORD_HASH]);

/// A seal over events that were committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    /// Its number, from 1.
    pub number: i64,
    /// When it was made.
    pub at: Timestamp,
    /// The highest number of its events.
    pub last_id: i64,
    /// How many events all seals so far cover together.
    pub total: i64,
    /// Its events by their number, each with its hash.
    pub records: Vec<u8>,
    /// The hash of the seal before; zeros if there is none.
    pub previous: Vec<u8>,
    /// The hash of all of this.
    pub hash: Vec<u8>,
    /// The [key](AuditKey) that authenticates the hash.
    pub key_id: String,
    /// The authentication code of the hash.
    pub mac: Vec<u8>,
}

impl Seal {
    /// The seal over these events, the next after the head.
    pub fn new(events: &[StoredEvent], head: &Mark, at: Timestamp, key: &AuditKey) -> Self {
        let mut records = Vec::with_capacity(events.len() * RECORD);
        for event in events {
            records.extend_from_slice(&event.id.to_be_bytes());
            records.extend_from_slice(&event.hash().0);
        }
        let count = i64::try_from(events.len()).unwrap_or(i64::MAX);
        let mut seal = Self {
            number: head.number.saturating_add(1),
            at,
            last_id: events.iter().map(|event| event.id).max().unwrap_or_default(),
            total: head.total.saturating_add(count),
            records,
            previous: head.hash.clone(),
            hash: Vec::new(),
            key_id: key.id().to_owned(),
            mac: Vec::new(),
        };
        seal.hash = seal.computed_hash().to_vec();
        seal.mac = key.mac("seal", &seal.hash);
        seal
    }

    /// What [`hash`](Self::hash) must be.
    pub fn computed_hash(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        digest.update(b"doorwarden audit seal v1\0");
        for number in [self.number, self.at.as_micros(), self.last_id, self.total] {
            digest.update(number.to_be_bytes());
        }
        digest.update((self.previous.len() as u64).to_be_bytes());
        digest.update(&self.previous);
        digest.update(&self.records);
        digest.finalize().into()
    }

    /// Its events, by their number.
    pub fn records(&self) -> impl Iterator<Item = (i64, RecordHash)> + '_ {
        self.records.chunks_exact(RECORD).map(|record| {
            let (mut id, mut hash) = ([0; 8], [0; RECORD_HASH]);
            id.copy_from_slice(&record[..8]);
            hash.copy_from_slice(&record[8..]);
            (i64::from_be_bytes(id), RecordHash(hash))
        })
    }

    /// How many events it covers.
    pub fn count(&self) -> i64 {
        i64::try_from(self.records.len() / RECORD).unwrap_or(i64::MAX)
    }
}

/// Which place of the chain a [`Mark`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarkKind {
    /// The newest seal.
    Head,
    /// The newest seal that was deleted because of its age.
    Cut,
}

impl MarkKind {
    /// The stored word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Cut => "cut",
        }
    }
}

/// A place in the chain, authenticated so that no other can be put in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The number of the seal; 0 before the first.
    pub number: i64,
    /// When the mark was set.
    pub at: Timestamp,
    /// The highest number of an event in the seals so far.
    pub last_id: i64,
    /// How many events the seals so far cover together.
    pub total: i64,
    /// The hash of the seal; zeros before the first.
    pub hash: Vec<u8>,
    /// The [key](AuditKey) that authenticates the mark; empty before there is any.
    pub key_id: String,
    /// The authentication code of the mark.
    pub mac: Vec<u8>,
}

impl Mark {
    /// The mark behind this seal, whose predecessor is marked by `former`.
    pub fn after(former: &Self, seal: &Seal, kind: MarkKind, at: Timestamp, key: &AuditKey) -> Self {
        let mark = Self {
            number: seal.number,
            at,
            last_id: former.last_id.max(seal.last_id),
            total: seal.total,
            hash: seal.hash.clone(),
            key_id: String::new(),
            mac: Vec::new(),
        };
        mark.signed(kind, key)
    }

    /// The same, authenticated with this key.
    #[must_use]
    pub fn signed(self, kind: MarkKind, key: &AuditKey) -> Self {
        let mac = key.mac(kind.as_str(), &self.text());
        Self { key_id: key.id().to_owned(), mac, ..self }
    }

    /// Whether nothing was ever marked.
    pub fn is_untouched(&self) -> bool {
        self.number == 0 && self.key_id.is_empty()
    }

    fn text(&self) -> Vec<u8> {
        let numbers = [self.number, self.at.as_micros(), self.last_id, self.total];
        numbers.iter().flat_map(|number| number.to_be_bytes()).chain(self.hash.iter().copied()).collect()
    }
}

/// The place of the audit log in the chain, and what is not sealed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditState {
    /// The newest seal.
    pub head: Mark,
    /// The newest seal that was deleted because of its age.
    pub cut: Mark,
    /// How many events are not sealed yet.
    pub unsealed: u64,
    /// When the oldest of them happened.
    pub unsealed_since: Option<Timestamp>,
}

/// A key of the chain as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAuditKey {
    /// The id: the thumbprint of the public key.
    pub id: String,
    /// The seed, encrypted under the secret key.
    pub sealed: Vec<u8>,
    /// The public key that verifies checkpoints.
    pub public_jwk: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Since when it makes no more seals.
    pub retired_at: Option<Timestamp>,
}

/// A key of the chain: it authenticates seals, and signs checkpoints.
pub struct AuditKey {
    mac: hmac::Key,
    pair: KeyPair,
}

impl AuditKey {
    /// The length of a seed, in bytes.
    const SEED: usize = 32;

    fn new(seed: &[u8]) -> Option<Self> {
        let seed = SecretKey::new(seed).ok()?;
        let mac = hmac::Key::new(hmac::HMAC_SHA256, &*seed.derive("doorwarden audit seal v1"));
        let pair = KeyPair::ed25519(&seed.derive("doorwarden audit checkpoint v1")).ok()?;
        Some(Self { mac, pair })
    }

    /// The id: the thumbprint of the public key.
    pub fn id(&self) -> &str {
        self.pair.id()
    }

    /// The key pair that signs checkpoints.
    pub fn pair(&self) -> &KeyPair {
        &self.pair
    }

    fn text(purpose: &str, bytes: &[u8]) -> Vec<u8> {
        [purpose.as_bytes(), &[0], bytes].concat()
    }

    fn mac(&self, purpose: &str, bytes: &[u8]) -> Vec<u8> {
        hmac::sign(&self.mac, &Self::text(purpose, bytes)).as_ref().to_vec()
    }

    /// Whether this key has authenticated the seal.
    pub fn has_made(&self, seal: &Seal) -> bool {
        hmac::verify(&self.mac, &Self::text("seal", &seal.hash), &seal.mac).is_ok()
    }

    /// Whether this key has authenticated the mark as one of this kind.
    pub fn has_set(&self, kind: MarkKind, mark: &Mark) -> bool {
        hmac::verify(&self.mac, &Self::text(kind.as_str(), &mark.text()), &mark.mac).is_ok()
    }
}

impl fmt::Debug for AuditKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuditKey({})", self.id())
    }
}

/// Encrypts the keys of the chain under the secret key, and opens them.
#[derive(Debug)]
pub struct AuditVault(Sealer);

impl AuditVault {
    /// Encrypts under a key of this secret key, and opens also what was encrypted under one of an older one.
    pub fn new(secret: &SecretKey, old: &[SecretKey]) -> Self {
        Self(Sealer::of_audit(secret, old))
    }

    /// A new key of the chain.
    pub fn generate(&self, now: Timestamp, random: &dyn RandomSource) -> (AuditKey, StoredAuditKey) {
        let seed = Zeroizing::new(random.bytes::<{ AuditKey::SEED }>());
        let key = AuditKey::new(&*seed).expect("32 bytes are the seed of a key");
        let stored = StoredAuditKey {
            id: key.id().to_owned(),
            sealed: self.0.seal(random.bytes(), key.id().as_bytes(), &*seed),
            public_jwk: key.pair().public().to_jwk(),
            created_at: now,
            retired_at: None,
        };
        (key, stored)
    }

    /// The key; `None` if it was encrypted under another secret key.
    pub fn open(&self, stored: &StoredAuditKey) -> Option<AuditKey> {
        let seed = self.0.open(stored.id.as_bytes(), &stored.sealed).ok()?;
        AuditKey::new(&seed).filter(|key| key.id() == stored.id)
    }

    /// The key encrypted again, if that was done under an older secret key.
    pub fn resealed(&self, stored: &StoredAuditKey, random: &dyn RandomSource) -> Option<Vec<u8>> {
        self.0.resealed(random.bytes(), stored.id.as_bytes(), &stored.sealed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> StoredEvent {
        StoredEvent {
            id: 7,
            at: Timestamp::from_seconds(1_795_435_200),
            kind: "logged_in".to_owned(),
            actor: "user".to_owned(),
            actor_id: Some("7".to_owned()),
            user: Some(UserId(7)),
            session: None,
            request_id: None,
            client: None,
            result: "success".to_owned(),
            data: "{}".to_owned(),
            known: None,
        }
    }

    #[test]
    fn every_field_of_an_event_is_in_its_hash_except_its_number() {
        let hash = event().hash();
        assert_eq!(StoredEvent { id: 8, ..event() }.hash(), hash);
        let text = |text: &str| Some(text.to_owned());
        for other in [
            StoredEvent { at: Timestamp::from_micros(event().at.as_micros() + 1), ..event() },
            StoredEvent { kind: "logged_out".to_owned(), ..event() },
            StoredEvent { actor: "operator".to_owned(), ..event() },
            StoredEvent { actor_id: None, ..event() },
            StoredEvent { actor_id: text("8"), ..event() },
            StoredEvent { user: None, ..event() },
            StoredEvent { user: Some(UserId(8)), ..event() },
            StoredEvent { session: Some(SessionId::UNKNOWN), ..event() },
            StoredEvent { request_id: text(""), ..event() },
            StoredEvent { client: Some(vec![0; 32]), ..event() },
            StoredEvent { result: "failure".to_owned(), ..event() },
            StoredEvent { data: "{} ".to_owned(), ..event() },
        ] {
            assert_ne!(other.hash(), hash, "{other:?}");
        }
    }

    #[test]
    fn a_client_that_was_replaced_shows_and_one_that_was_forgotten_does_not() {
        let (salt, address) = (vec![1; 16], Some("192.0.2.1".to_owned()));
        let known = Some((salt.clone(), address.clone(), None));
        let client = Some(client_hash(&salt, address.as_deref(), None).to_vec());
        let genuine = StoredEvent { client, known, ..event() };
        assert!(genuine.is_client_genuine());
        assert!(StoredEvent { known: None, ..genuine.clone() }.is_client_genuine());
        let other = Some((salt, Some("192.0.2.2".to_owned()), None));
        assert!(!StoredEvent { known: other, ..genuine }.is_client_genuine());
    }
}
