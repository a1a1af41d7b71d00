use super::StoreError;
use crate::audit::Effects;
use crate::time::Timestamp;
use async_trait::async_trait;

/// The keys that access tokens are signed with, in the store so that every instance has them. What a key may do at an
/// instant follows from the list alone (see [`SigningKey`]), so that instances agree without asking each other.
#[async_trait]
pub trait KeyStore {
    /// Every key, by [`signs_from`](SigningKey::signs_from), those of the same instant by [`created_at`](SigningKey::created_at).
    async fn signing_keys(&self) -> Result<Vec<SigningKey>, StoreError>;

    /// Adds a key. `false` if another key of the same algorithm already has the same [`predecessor`](SigningKey::predecessor): of
    /// several instances that rotate at once exactly one succeeds, by a unique constraint.
    async fn add_signing_key(&self, key: SigningKey, effects: Effects) -> Result<bool, StoreError>;

    /// Marks a key as revoked; `false` if there is none, or it is revoked already.
    async fn revoke_signing_key(
        &self,
        kid: &str,
        at: Timestamp,
        effects: Effects,
    ) -> Result<bool, StoreError>;

    /// Marks every key as revoked that is not yet; how many.
    async fn revoke_signing_keys(&self, at: Timestamp, effects: Effects) -> Result<u64, StoreError>;

    /// Changes when a key signs. `false`, and nothing happens, if it is gone, is revoked, or its times are no longer the known ones.
    async fn schedule_signing_key(
        &self,
        known: &SigningKey,
        signs_from: Timestamp,
        signs_until: Option<Timestamp>,
        effects: Effects,
    ) -> Result<bool, StoreError>;

    /// Writes a private key that was sealed anew. `false` if the key is gone, or was sealed anew by somebody else.
    async fn reseal_signing_key(
        &self,
        known: &SigningKey,
        sealed: Vec<u8>,
        effects: Effects,
    ) -> Result<bool, StoreError>;

    /// Deletes a key that signs no more, by the database's clock: it was revoked, its chain was ended, or another of its algorithm signs
    /// since. `false` if there was none, or it may still sign, whatever the clock of the instance says that asks.
    async fn delete_signing_key(&self, kid: &str, effects: Effects) -> Result<bool, StoreError>;
}

/// A signing key as stored. The keys of an algorithm are a chain. A key is announced from `created_at`, signs from `signs_from` until its
/// successor does, or until `signs_until`, then only verifies. From `revoked_at` on it does nothing at all, and its successor takes its
/// place at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// The RFC 7638 thumbprint of the public key.
    pub kid: String,
    /// `EdDSA`, `ES256` or `RS256`.
    pub algorithm: String,
    /// The private key, sealed with a key derived from the secret key.
    pub sealed: Vec<u8>,
    /// The public key as a JWK (JSON text).
    pub public_jwk: String,
    /// The `kid` of the key that this one follows in the chain of its algorithm; empty for the first.
    pub predecessor: String,
    /// Since when it is announced.
    pub created_at: Timestamp,
    /// From when on it signs.
    pub signs_from: Timestamp,
    /// From when on it signs no more although no other key of its algorithm does: the algorithm is no longer offered.
    pub signs_until: Option<Timestamp>,
    /// When it was revoked in an emergency.
    pub revoked_at: Option<Timestamp>,
}
