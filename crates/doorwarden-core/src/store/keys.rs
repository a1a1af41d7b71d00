use super::StoreError;
use crate::time::Timestamp;
use async_trait::async_trait;

/// The keys that access tokens are signed with, in the store so that every instance has them. What a key may do at an
/// instant follows from the list alone (see [`SigningKey`]), so that instances agree without asking each other.
#[async_trait]
pub trait KeyStore {
    /// Every key, by [`signs_from`](SigningKey::signs_from).
    async fn signing_keys(&self) -> Result<Vec<SigningKey>, StoreError>;

    /// Adds a key. `false` if another key already has the same [`predecessor`](SigningKey::predecessor): of several instances
    /// that rotate at once exactly one succeeds, by a unique constraint.
    async fn add_signing_key(&self, key: SigningKey) -> Result<bool, StoreError>;

    /// Marks a key as revoked; `false` if there is none, or it is revoked already.
    async fn revoke_signing_key(&self, kid: &str, at: Timestamp) -> Result<bool, StoreError>;

    /// Deletes a key whose last token has expired; `false` if there was none.
    async fn delete_signing_key(&self, kid: &str) -> Result<bool, StoreError>;
}

/// A signing key as stored. It is announced from `created_at`, signs from `signs_from` until its successor does, then
/// only verifies. From `revoked_at` on it does nothing at all.
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
    /// The `kid` of the key that this one follows; empty for the first.
    pub predecessor: String,
    /// Since when it is announced.
    pub created_at: Timestamp,
    /// From when on it signs.
    pub signs_from: Timestamp,
    /// When it was revoked in an emergency.
    pub revoked_at: Option<Timestamp>,
}
