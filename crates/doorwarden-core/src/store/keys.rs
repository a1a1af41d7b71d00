use super::StoreError;
use crate::audit::Effects;
use crate::time::Timestamp;
use async_trait::async_trait;

/// The keys that access tokens are signed with, in the store so that every instance has them. What a key may
/// do at an instant follows from the list alone (see [`SigningKey`]), so that instances agree without
/// communicating.
#[async_trait]
pub trait KeyStore {
    /// Every key, by [`signs_from`](SigningKey::signs_from), those of the same instant by
    /// [`created_at`](SigningKey::created_at).
    async fn signing_keys(&self) -> Result<Vec<SigningKey>, StoreError>;

    /// Adds a key. `false` if another key of the same algorithm already has the same
    /// [`predecessor`](SigningKey::predecessor): of several instances that rotate at once exactly one
    /// succeeds, by a unique constraint.
    async fn add_signing_key(&self, key: SigningKey, effects: Effects) -> Result<bool, StoreError>;

    /// Marks a key as revoked; `false` if there is no such key, or it is already revoked.
    async fn revoke_signing_key(
        &self,
        kid: &str,
        at: Timestamp,
        effects: Effects,
    ) -> Result<bool, StoreError>;

    /// Marks every key as revoked that is not revoked yet; returns their number.
    async fn revoke_signing_keys(&self, at: Timestamp, effects: Effects) -> Result<u64, StoreError>;

    /// Changes when a key signs. `false`, and nothing happens, if the key is gone or revoked, or its times
    /// are no longer the known ones.
    async fn schedule_signing_key(
        &self,
        known: &SigningKey,
        signs_from: Timestamp,
        signs_until: Option<Timestamp>,
        effects: Effects,
    ) -> Result<bool, StoreError>;

    /// Writes a private key that was sealed again. `false` if the key is gone, or another instance has sealed
    /// it again.
    async fn reseal_signing_key(
        &self,
        known: &SigningKey,
        sealed: Vec<u8>,
        effects: Effects,
    ) -> Result<bool, StoreError>;

    /// Deletes a key that no longer signs by the database's clock: the key was revoked, its chain has ended,
    /// or another key of its algorithm has begun to sign. `false` if there was no such key, or the key may
    /// still sign, whatever the clock of the calling instance shows.
    async fn delete_signing_key(&self, kid: &str, effects: Effects) -> Result<bool, StoreError>;
}

/// A signing key as stored. The keys of an algorithm are a chain. A key is announced from `created_at`, signs
/// from `signs_from` until its successor does, or until `signs_until`, then only verifies. From `revoked_at`
/// on the key neither signs nor verifies, and its successor takes its place at once.
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
    /// When the key was announced.
    pub created_at: Timestamp,
    /// When the key begins to sign.
    pub signs_from: Timestamp,
    /// When the key stops signing without a successor: the algorithm is no longer offered.
    pub signs_until: Option<Timestamp>,
    /// When the key was revoked in an emergency.
    pub revoked_at: Option<Timestamp>,
}
