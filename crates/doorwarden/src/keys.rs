use doorwarden_core::audit::Origin;
use doorwarden_core::context::Context;
use doorwarden_core::flow::signing_keys;
use doorwarden_core::keys::KeysError;
use doorwarden_core::keys::state::KeyState;
use doorwarden_core::store::SigningKey;
use std::sync::Arc;

/// The signing keys of access tokens, from [`Doorwarden::keys`](crate::Doorwarden::keys). Signing keys rotate
/// automatically; these methods are for inspection and emergencies.
#[derive(Debug, Clone)]
pub struct Keys {
    context: Arc<Context>,
    origin: Origin,
}

impl Keys {
    pub(crate) fn new(context: Arc<Context>, origin: Origin) -> Self {
        Self { context, origin }
    }

    /// The stored signing keys with their states, ordered by when they begin to sign.
    ///
    /// # Errors
    /// [`KeysError::Store`] if the database operation failed.
    pub async fn list(&self) -> Result<Vec<(SigningKey, KeyState)>, KeysError> {
        signing_keys::reload(&self.context).await?;
        Ok(self.context.keys.list(self.context.now()))
    }

    /// Lets the announced key of each offered algorithm sign early: as soon as verifiers have had time to
    /// fetch it, which is at once if it was announced long enough ago. Returns the `kid` of each of these
    /// keys, in the order in which the algorithms are offered.
    ///
    /// # Errors
    /// [`KeysError`] if a key could not be opened or created, or the database operation failed;
    /// [`KeysError::NoSecretKey`] if the handle was built without keys.
    pub async fn rotate(&self) -> Result<Vec<String>, KeysError> {
        signing_keys::rotate(&self.context, &self.origin).await
    }

    /// Revokes a signing key that may have leaked: within a second every instance refuses all tokens that it
    /// signed, the announced key takes its place, and another key is announced. `false` if there is no such
    /// key, or it was revoked before.
    ///
    /// # Errors
    /// [`KeysError::Store`] if the database operation failed. A failure to announce another key is logged
    /// only.
    pub async fn revoke(&self, kid: &str) -> Result<bool, KeysError> {
        signing_keys::revoke(&self.context, kid, &self.origin).await
    }

    /// Revokes every signing key, because the secret key that sealed them has leaked or is lost, and returns
    /// how many were revoked. New keys are created as soon as an instance with a secret key runs, and sign
    /// immediately.
    ///
    /// # Errors
    /// [`KeysError::Store`] if the database operation failed.
    pub async fn revoke_all(&self) -> Result<u64, KeysError> {
        signing_keys::revoke_all(&self.context, &self.origin).await
    }

    /// Performs the key rotation that is due: announces the next keys and deletes expired ones. An instance
    /// does so automatically once a minute.
    ///
    /// # Errors
    /// [`KeysError`] if a key could not be opened or created, or the database operation failed;
    /// [`KeysError::NoSecretKey`] if the handle was built without keys.
    pub async fn maintain(&self) -> Result<(), KeysError> {
        signing_keys::maintain(&self.context).await
    }
}
