use doorwarden_core::audit::Origin;
use doorwarden_core::challenge::ChallengeId;
use doorwarden_core::context::Context;
use doorwarden_core::error::Input;
use doorwarden_core::factor::{Factor, FactorId};
use doorwarden_core::flow::continue_login::stage_of_login;
use doorwarden_core::flow::factors;
use doorwarden_core::flow::groups::{self, CreateGroupError};
use doorwarden_core::flow::invite::{self, Invitation, InviteError};
use doorwarden_core::flow::manage::{
    self, CreateUserError, NewAccount, SetPasswordError, UpdateUserError, UserError,
};
use doorwarden_core::flow::permissions;
use doorwarden_core::flow::throttle;
use doorwarden_core::identity::{EmailKey, UsernameKey};
use doorwarden_core::password::Password;
use doorwarden_core::permission::{Group, Permission, PermissionName};
use doorwarden_core::store::{GrantError, SignedOut, StoreError, UserFilter};
use doorwarden_core::user::{Account, User, UserChange, UserId};
use std::sync::Arc;

/// The manager, as Django's `User.objects`, from [`Doorwarden::users`](crate::Doorwarden::users). Its changes
/// apply from the next request on in this instance, and within a second in every other instance.
///
/// ```no_run
/// # async fn run(auth: doorwarden::Doorwarden) -> Result<(), Box<dyn std::error::Error>> {
/// let users = auth.users();
/// let jane = users.create_user("jane", "jane@example.com", Some("correct horse battery")).await?;
/// users.create_group("editors").await?;
/// users.grant_to_group("editors", &"blog.add_post".parse()?).await?;
/// users.add_to_group(jane.id, "editors").await?;
/// let account = users.account(jane.id).await?.ok_or("she was just created")?;
/// assert!(account.has_perm("blog.add_post"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Users {
    context: Arc<Context>,
    origin: Origin,
}

impl Users {
    pub(crate) fn new(context: Arc<Context>, origin: Origin) -> Self {
        Self { context, origin }
    }

    /// Creates an account, with an unusable password if `password` is `None`.
    ///
    /// # Errors
    /// [`CreateUserError`] if a value is not valid or is taken, or the database operation failed.
    pub async fn create_user(
        &self,
        username: &str,
        email: &str,
        password: Option<&str>,
    ) -> Result<User, CreateUserError> {
        manage::create_user(&self.context, account(username, email, password), &self.origin).await
    }

    /// Creates an account that has every permission.
    ///
    /// # Errors
    /// [`CreateUserError`] if a value is not valid or is taken, or the database operation failed.
    pub async fn create_superuser(
        &self,
        username: &str,
        email: &str,
        password: &str,
    ) -> Result<User, CreateUserError> {
        manage::create_superuser(&self.context, account(username, email, Some(password)), &self.origin).await
    }

    /// Creates an account with every value that an account can have.
    ///
    /// # Errors
    /// [`CreateUserError`] if a value is not valid or is taken, or the database operation failed.
    pub async fn create(&self, account: NewAccount) -> Result<User, CreateUserError> {
        manage::create_user(&self.context, account, &self.origin).await
    }

    /// Whose login waits for something of the application's, and for what
    /// ([`Hooks::stage`](crate::Hooks::stage)): by the login token, which the client has. `None` if it waits
    /// for nothing, or for something else.
    ///
    /// # Errors
    /// [`StoreError`] if the database operation failed.
    pub async fn stage_of_login(&self, login_token: &str) -> Result<Option<(User, String)>, StoreError> {
        stage_of_login(&self.context, login_token).await
    }

    /// Mails an invitation to this address: whoever has its link may register with it, whatever the mode of
    /// registration. Ends an earlier one.
    ///
    /// # Errors
    /// [`InviteError`] if the text is not an email address or has an account, no mail can be sent, or the
    /// database operation failed.
    pub async fn invite(&self, email: &str) -> Result<Invitation, InviteError> {
        invite::invite(&self.context, Input::Given(email.to_owned()), Input::Missing, None, &self.origin)
            .await
    }

    /// The invitations that can be accepted, oldest first: those after `after`, and at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] if the database operation failed.
    pub async fn invitations(
        &self,
        after: Option<ChallengeId>,
        limit: u32,
    ) -> Result<Vec<Invitation>, StoreError> {
        invite::invitations(&self.context, after, limit).await
    }

    /// Ends the invitation of this address, compared without regard to case: its link is no longer valid.
    /// `false` if there is none.
    ///
    /// # Errors
    /// [`StoreError`] if the database operation failed.
    pub async fn revoke_invitation(&self, email: &str) -> Result<bool, StoreError> {
        invite::revoke_invitation_of(&self.context, &EmailKey::of(email), &self.origin).await
    }

    /// The user with this id.
    ///
    /// # Errors
    /// [`StoreError`] if the database operation failed.
    pub async fn get(&self, id: UserId) -> Result<Option<User>, StoreError> {
        self.context.store.user(id).await
    }

    /// The user with this email address, compared without regard to case: Django's `get_by_natural_key`.
    ///
    /// # Errors
    /// [`StoreError`] if the database operation failed.
    pub async fn get_by_email(&self, email: &str) -> Result<Option<User>, StoreError> {
        self.context.store.user_by_email(&EmailKey::of(email)).await
    }

    /// The user with this username, compared in its folded form.
    ///
    /// # Errors
    /// [`StoreError`] if the database operation failed.
    pub async fn get_by_username(&self, username: &str) -> Result<Option<User>, StoreError> {
        self.context.store.user_by_username(&UsernameKey::of(username)).await
    }

    /// The user with groups and permissions, for [`Account::has_perm`] and its like.
    ///
    /// # Errors
    /// [`StoreError`] if the database operation failed.
    pub async fn account(&self, id: UserId) -> Result<Option<Account>, StoreError> {
        self.context.store.account(id).await
    }

    /// The users that match, ordered by id: at most `limit` users after the id `after`.
    ///
    /// # Errors
    /// [`StoreError`] if the database operation failed.
    pub async fn list(
        &self,
        filter: &UserFilter,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Vec<User>, StoreError> {
        self.context.store.users(filter, after, limit).await
    }

    /// The users who have this permission, directly, through a group or as an active superuser: Django's
    /// `with_perm`. At most `limit` users, ordered by id.
    ///
    /// # Errors
    /// [`StoreError`] if the database operation failed.
    pub async fn with_perm(&self, permission: &PermissionName, limit: u32) -> Result<Vec<User>, StoreError> {
        let filter = UserFilter { permission: Some(permission.as_str().to_owned()), ..UserFilter::default() };
        self.list(&filter, None, limit).await
    }

    /// Changes a user's fields and returns the updated user.
    ///
    /// # Errors
    /// [`UpdateUserError`] if there is no such user, a value is not valid or is taken, or the database
    /// operation failed.
    pub async fn update(&self, id: UserId, change: UserChange) -> Result<User, UpdateUserError> {
        manage::update_user(&self.context, id, change, &self.origin).await
    }

    /// Sets a user's password and ends all of their sessions and tokens. `None` sets an unusable password.
    /// Where mails are sent, the user is told.
    ///
    /// # Errors
    /// [`SetPasswordError`] if there is no such user, or the password is not valid, or was not hashed or
    /// stored.
    pub async fn set_password(&self, id: UserId, password: Option<&str>) -> Result<(), SetPasswordError> {
        manage::set_password(&self.context, id, password.map(Password::new).as_ref(), &self.origin).await
    }

    /// Ends all sessions and tokens of a user, in a time that does not depend on their number. Returns how
    /// many sessions ended; above 1,000 only that there were more.
    ///
    /// # Errors
    /// [`UserError`] if there is no such user, or the database operation failed.
    pub async fn sign_out(&self, id: UserId) -> Result<u64, UserError> {
        manage::sign_out(&self.context, id, &self.origin).await
    }

    /// Ends all sessions and tokens of all users, some hundred users at a time, and returns the number of
    /// users. See [`sign_out`](Self::sign_out).
    ///
    /// # Errors
    /// [`StoreError`] if the database operation failed. Some users are signed out then; the call can be
    /// repeated.
    pub async fn sign_out_everybody(&self) -> Result<SignedOut, StoreError> {
        manage::sign_out_everybody(&self.context, &self.origin).await
    }

    /// The second factors and passkeys of a user, oldest first, and the recovery codes last.
    ///
    /// # Errors
    /// [`StoreError`] if the database operation failed.
    pub async fn factors(&self, id: UserId) -> Result<Vec<Factor>, StoreError> {
        factors::factors(&self.context, id).await
    }

    /// Removes a factor of a user, for example of a device that is lost, and ends all of the user's sessions;
    /// `false` if there is no such factor. With the last one the recovery codes go.
    ///
    /// # Errors
    /// [`UserError`] if there is no such user, or the database operation failed.
    pub async fn remove_factor(&self, id: UserId, factor: FactorId) -> Result<bool, UserError> {
        factors::remove_factor_of(&self.context, id, factor, &self.origin).await
    }

    /// Lets the authenticator apps of a user count again that too many wrong codes have disabled; whether
    /// there were any.
    ///
    /// # Errors
    /// [`UserError`] if there is no such user, or the database operation failed.
    pub async fn unlock_factors(&self, id: UserId) -> Result<bool, UserError> {
        factors::unlock_factors(&self.context, id, &self.origin).await
    }

    /// How many wrong passwords of a user strangers have tried in a row. From [`LimitSettings::attempts`] on
    /// none of theirs is compared.
    ///
    /// # Errors
    /// The database operation failed.
    ///
    /// [`LimitSettings::attempts`]: doorwarden_core::limit::LimitSettings::attempts
    pub async fn password_failures(&self, id: UserId) -> Result<u32, StoreError> {
        self.context.store.failures(id).await
    }

    /// Lets strangers' passwords be compared again, however many were wrong; whether any were.
    ///
    /// # Errors
    /// [`UserError`] if there is no such user, or the database operation failed.
    pub async fn unlock_password(&self, id: UserId) -> Result<bool, UserError> {
        throttle::unlock_password(&self.context, id, &self.origin).await
    }

    /// Deletes a user. The user's id is never reused.
    ///
    /// # Errors
    /// [`UserError`] if there is no such user, or the database operation failed.
    pub async fn delete(&self, id: UserId) -> Result<(), UserError> {
        manage::delete_user(&self.context, id, &self.origin).await
    }

    /// Grants a user a permission; `false` if the user already has it directly.
    ///
    /// # Errors
    /// [`GrantError::NoSuchPermission`] if it was never declared.
    pub async fn grant(&self, id: UserId, permission: &PermissionName) -> Result<bool, GrantError> {
        permissions::grant(&self.context, id, permission, &self.origin).await
    }

    /// Revokes a user's direct permission; `false` if the user did not have it directly.
    ///
    /// # Errors
    /// [`GrantError`] if the user or the permission does not exist, or the database operation failed.
    pub async fn revoke(&self, id: UserId, permission: &PermissionName) -> Result<bool, GrantError> {
        permissions::revoke(&self.context, id, permission, &self.origin).await
    }

    /// Every declared permission, sorted.
    ///
    /// # Errors
    /// [`StoreError`] if the database operation failed.
    pub async fn permissions(&self) -> Result<Vec<Permission>, StoreError> {
        self.context.store.permissions().await
    }

    /// Creates a permission with this label, or updates the label of an existing one.
    ///
    /// # Errors
    /// [`StoreError`] if the database operation failed.
    pub async fn declare_permission(&self, permission: Permission) -> Result<(), StoreError> {
        permissions::declare_permission(&self.context, permission, &self.origin).await
    }

    /// Deletes a permission and revokes it from all users and groups; `false` if it did not exist.
    ///
    /// # Errors
    /// [`StoreError`] if the database operation failed.
    pub async fn delete_permission(&self, permission: &PermissionName) -> Result<bool, StoreError> {
        permissions::delete_permission(&self.context, permission, &self.origin).await
    }

    /// The permissions that the user has directly, sorted.
    ///
    /// # Errors
    /// [`StoreError`] if the database operation failed.
    pub async fn direct_permissions(&self, id: UserId) -> Result<Vec<String>, StoreError> {
        self.context.store.user_permissions(id).await
    }

    /// Every group, sorted.
    ///
    /// # Errors
    /// [`StoreError`] if the database operation failed.
    pub async fn groups(&self) -> Result<Vec<Group>, StoreError> {
        self.context.store.groups().await
    }

    /// Creates a group; `false` if a group with this name exists already.
    ///
    /// # Errors
    /// [`CreateGroupError`] if the name is not valid, or the database operation failed.
    pub async fn create_group(&self, name: &str) -> Result<bool, CreateGroupError> {
        groups::create_group(&self.context, name, &self.origin).await
    }

    /// Deletes a group with its memberships and grants; `false` if there was no such group.
    ///
    /// # Errors
    /// [`StoreError`] if the database operation failed.
    pub async fn delete_group(&self, name: &str) -> Result<bool, StoreError> {
        groups::delete_group(&self.context, name, &self.origin).await
    }

    /// Adds a user to a group; `false` if the user is a member already.
    ///
    /// # Errors
    /// [`GrantError`] if the user or the group does not exist, or the database operation failed.
    pub async fn add_to_group(&self, id: UserId, group: &str) -> Result<bool, GrantError> {
        groups::add_to_group(&self.context, id, group, &self.origin).await
    }

    /// Removes a user from a group; `false` if the user was not a member.
    ///
    /// # Errors
    /// [`GrantError`] if the user or the group does not exist, or the database operation failed.
    pub async fn remove_from_group(&self, id: UserId, group: &str) -> Result<bool, GrantError> {
        groups::remove_from_group(&self.context, id, group, &self.origin).await
    }

    /// Grants a group a permission; `false` if the group has it already.
    ///
    /// # Errors
    /// [`GrantError`] if the group or the permission does not exist, or the database operation failed.
    pub async fn grant_to_group(&self, group: &str, permission: &PermissionName) -> Result<bool, GrantError> {
        groups::grant_to_group(&self.context, group, permission, &self.origin).await
    }

    /// Revokes a permission from a group; `false` if the group did not have it.
    ///
    /// # Errors
    /// [`GrantError`] if the group or the permission does not exist, or the database operation failed.
    pub async fn revoke_from_group(
        &self,
        group: &str,
        permission: &PermissionName,
    ) -> Result<bool, GrantError> {
        groups::revoke_from_group(&self.context, group, permission, &self.origin).await
    }
}

fn account(username: &str, email: &str, password: Option<&str>) -> NewAccount {
    NewAccount {
        username: username.to_owned(),
        email: email.to_owned(),
        password: password.map(Password::new),
        ..NewAccount::default()
    }
}
