use doorwarden_core::audit::Origin;
use doorwarden_core::context::Context;
use doorwarden_core::flow::signing_keys;
use doorwarden_core::keys::KeysError;
use doorwarden_core::keys::state::KeyState;
use doorwarden_core::store::SigningKey;
use std::sync::Arc;

/// The keys of access tokens. They rotate by themselves; this is for looking and for emergencies. From
/// [`Doorwarden::keys`](crate::Doorwarden::keys).
#[derive(Debug, Clone)]
pub struct Keys {
    context: Arc<Context>,
    origin: Origin,
}

impl Keys {
    pub(crate) fn new(context: Arc<Context>, origin: Origin) -> Self {
        Self { context, origin }
    }

    /// The stored keys and what each may do, by when they begin to sign.
    ///
    /// # Errors
    /// [`KeysError::Store`].
    pub async fn list(&self) -> Result<Vec<(SigningKey, KeyState)>, KeysError> {
        signing_keys::reload(&self.context).await?;
        Ok(self.context.keys.list(self.context.now()))
    }

    /// Lets the announced key of each offered algorithm sign before its time: as soon as verifiers have had the time to learn of it, which
    /// is at once if it was announced long enough ago. Their `kid`s, in the order in which the algorithms are offered.
    ///
    /// # Errors
    /// [`KeysError`].
    pub async fn rotate(&self) -> Result<Vec<String>, KeysError> {
        signing_keys::rotate(&self.context, &self.origin).await
    }

    /// Revokes a key that may have leaked: every token that it signed is refused by every instance within a second, the announced one
    /// takes its place, and another one is announced. `false` if there is no such key, or it was revoked before.
    ///
    /// # Errors
    /// [`KeysError`].
    pub async fn revoke(&self, kid: &str) -> Result<bool, KeysError> {
        signing_keys::revoke(&self.context, kid, &self.origin).await
    }

    /// Revokes every key, without opening any: the secret key that has sealed them has leaked, or is lost. How many. Whoever can makes
    /// new ones, which sign at once.
    ///
    /// # Errors
    /// [`KeysError::Store`].
    pub async fn revoke_all(&self) -> Result<u64, KeysError> {
        signing_keys::revoke_all(&self.context, &self.origin).await
    }

    /// Does what the calendar asks for at this instant: announces the next keys if it is time, deletes those that are over. Happens by
    /// itself once a minute.
    ///
    /// # Errors
    /// [`KeysError`].
    pub async fn maintain(&self) -> Result<(), KeysError> {
        signing_keys::maintain(&self.context).await
    }
}
