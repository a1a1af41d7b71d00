//! Where an application's own code takes part.

use crate::error::FieldErrors;
use crate::event::Event;
use crate::session::{ClientInfo, Session};
use crate::user::{Account, NewUser, User};
use async_trait::async_trait;
use serde_json::{Map, Value};

/// Code of the application that runs before and after registration and login. Every method has a default that
/// does nothing.
///
/// ```
/// use doorwarden_core::error::{FieldError, FieldErrors};
/// use doorwarden_core::hook::Hooks;
/// use doorwarden_core::session::ClientInfo;
/// use doorwarden_core::user::NewUser;
///
/// #[derive(Debug)]
/// struct OnlyCompany;
///
/// #[doorwarden_core::async_trait]
/// impl Hooks for OnlyCompany {
///     async fn before_registration(&self, user: &mut NewUser, _: &ClientInfo) -> Result<(), FieldErrors> {
///         if user.email.as_str().ends_with("@example.com") {
///             return Ok(());
///         }
///         Err(FieldErrors::one("email", FieldError::new("not_allowed", "Use your company's address.")))
///     }
/// }
/// ```
#[async_trait]
pub trait Hooks: Send + Sync + std::fmt::Debug + 'static {
    /// The input is valid; the account is not created yet. May change it, or refuse.
    async fn before_registration(
        &self,
        _user: &mut NewUser,
        _client: &ClientInfo,
    ) -> Result<(), FieldErrors> {
        Ok(())
    }

    /// The account exists, its session does not yet. If this refuses, the account is deleted again, even if
    /// the client has disconnected. If the process is killed in between, the account exists without what this
    /// method creates, so create it where it is missing, for instance in
    /// [`before_login`](Self::before_login).
    async fn after_registration(&self, _user: &User) -> Result<(), FieldErrors> {
        Ok(())
    }

    /// The password was right; the session is not opened yet. May refuse.
    async fn before_login(&self, _user: &User, _client: &ClientInfo) -> Result<(), FieldErrors> {
        Ok(())
    }

    /// Everything that Doorwarden needs was proved; the session is not opened yet. The name of something of
    /// the application's that the user must do first, such as `terms` to be accepted: the login waits for it,
    /// with the flow `stage`. The application finds the user by the login token
    /// ([`stage_of_login`](crate::flow::continue_login::stage_of_login)), lets them do it, and the client
    /// goes on with [`Step::Continue`](crate::flow::continue_login::Step::Continue), which asks here again.
    async fn stage(&self, _user: &User) -> Option<&'static str> {
        None
    }

    /// The session is open; its token is not returned yet. If this refuses, the session is ended again.
    async fn after_login(&self, _user: &User, _session: &Session) -> Result<(), FieldErrors> {
        Ok(())
    }

    /// Claims to add to an access token. Members that the token has already are left out.
    async fn access_claims(&self, _account: &Account, _session: &Session) -> Map<String, Value> {
        Map::new()
    }

    /// Called after an event; must not take long.
    async fn on_event(&self, _event: &Event) {}
}
