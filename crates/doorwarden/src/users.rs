use doorwarden_core::audit::Origin;
use doorwarden_core::context::Context;
use doorwarden_core::flow::groups::{self, CreateGroupError};
use doorwarden_core::flow::manage::{
    self, CreateUserError, NewAccount, SetPasswordError, UpdateUserError, UserError,
};
use doorwarden_core::flow::permissions;
use doorwarden_core::identity::{EmailKey, UsernameKey};
use doorwarden_core::password::Password;
use doorwarden_core::permission::{Group, Permission, PermissionName};
use doorwarden_core::store::{GrantError, SignedOut, StoreError, UserFilter};
use doorwarden_core::user::{Account, User, UserChange, UserId};
use std::sync::Arc;

/// The manager, as Django's `User.objects`. From [`Doorwarden::users`](crate::Doorwarden::users). What it changes counts from the next
/// request on, here and, within a second, in every other instance.
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

    /// Creates an account. Without a password it gets an unusable one.
    ///
    /// # Errors
    /// [`CreateUserError`].
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
    /// [`CreateUserError`].
    pub async fn create_superuser(
        &self,
        username: &str,
        email: &str,
        password: &str,
    ) -> Result<User, CreateUserError> {
        manage::create_superuser(&self.context, account(username, email, Some(password)), &self.origin).await
    }

    /// Creates an account with everything that can be said of one.
    ///
    /// # Errors
    /// [`CreateUserError`].
    pub async fn create(&self, account: NewAccount) -> Result<User, CreateUserError> {
        manage::create_user(&self.context, account, &self.origin).await
    }

    /// The user of this id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn get(&self, id: UserId) -> Result<Option<User>, StoreError> {
        self.context.store.user(id).await
    }

    /// The user of this address, without regard to case: Django's `get_by_natural_key`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn get_by_email(&self, email: &str) -> Result<Option<User>, StoreError> {
        self.context.store.user_by_email(&EmailKey::of(email)).await
    }

    /// The user of this name, in its folded form.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn get_by_username(&self, username: &str) -> Result<Option<User>, StoreError> {
        self.context.store.user_by_username(&UsernameKey::of(username)).await
    }

    /// The user with groups and permissions: [`Account::has_perm`] and its like.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn account(&self, id: UserId) -> Result<Option<Account>, StoreError> {
        self.context.store.account(id).await
    }

    /// The users that match, by id: those after `after`, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list(
        &self,
        filter: &UserFilter,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Vec<User>, StoreError> {
        self.context.store.users(filter, after, limit).await
    }

    /// Who has this permission, directly, through a group or as an active superuser: Django's `with_perm`. The first
    /// `limit` by id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn with_perm(&self, permission: &PermissionName, limit: u32) -> Result<Vec<User>, StoreError> {
        let filter = UserFilter { permission: Some(permission.as_str().to_owned()), ..UserFilter::default() };
        self.list(&filter, None, limit).await
    }

    /// Changes a user's fields; the user as he then is.
    ///
    /// # Errors
    /// [`UpdateUserError`].
    pub async fn update(&self, id: UserId, change: UserChange) -> Result<User, UpdateUserError> {
        manage::update_user(&self.context, id, change, &self.origin).await
    }

    /// Gives a user a new password and ends all of his sessions and tokens. `None`: an unusable password.
    ///
    /// # Errors
    /// [`SetPasswordError`].
    pub async fn set_password(&self, id: UserId, password: Option<&str>) -> Result<(), SetPasswordError> {
        manage::set_password(&self.context, id, password.map(Password::new).as_ref(), &self.origin).await
    }

    /// Ends all sessions and tokens of a user, in a time that does not depend on how many there are; how many sessions it ended, of more
    /// than 1,000 only that.
    ///
    /// # Errors
    /// [`UserError`].
    pub async fn sign_out(&self, id: UserId) -> Result<u64, UserError> {
        manage::sign_out(&self.context, id, &self.origin).await
    }

    /// Ends all sessions and tokens of everybody, some hundred users at a time; how many. See [`sign_out`](Self::sign_out).
    ///
    /// # Errors
    /// [`StoreError`]; those whose turn had come are signed out, and it may be called again.
    pub async fn sign_out_everybody(&self) -> Result<SignedOut, StoreError> {
        manage::sign_out_everybody(&self.context, &self.origin).await
    }

    /// Deletes a user. His id is never given to anybody else.
    ///
    /// # Errors
    /// [`UserError`].
    pub async fn delete(&self, id: UserId) -> Result<(), UserError> {
        manage::delete_user(&self.context, id, &self.origin).await
    }

    /// Gives a user a permission; `false` if he has it already.
    ///
    /// # Errors
    /// [`GrantError::NoSuchPermission`] if it was never declared.
    pub async fn grant(&self, id: UserId, permission: &PermissionName) -> Result<bool, GrantError> {
        permissions::grant(&self.context, id, permission, &self.origin).await
    }

    /// Takes a direct permission from a user; `false` if he had none.
    ///
    /// # Errors
    /// [`GrantError`].
    pub async fn revoke(&self, id: UserId, permission: &PermissionName) -> Result<bool, GrantError> {
        permissions::revoke(&self.context, id, permission, &self.origin).await
    }

    /// Every permission that was declared, sorted.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn permissions(&self) -> Result<Vec<Permission>, StoreError> {
        self.context.store.permissions().await
    }

    /// Makes sure that a permission exists, with this label.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn declare_permission(&self, permission: Permission) -> Result<(), StoreError> {
        permissions::declare_permission(&self.context, permission, &self.origin).await
    }

    /// Deletes a permission and takes it from everybody; `false` if there was none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn delete_permission(&self, permission: &PermissionName) -> Result<bool, StoreError> {
        permissions::delete_permission(&self.context, permission, &self.origin).await
    }

    /// The permissions that a user was given directly, sorted.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn direct_permissions(&self, id: UserId) -> Result<Vec<String>, StoreError> {
        self.context.store.user_permissions(id).await
    }

    /// Every group, sorted.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn groups(&self) -> Result<Vec<Group>, StoreError> {
        self.context.store.groups().await
    }

    /// Creates a group; `false` if there is one of this name.
    ///
    /// # Errors
    /// [`CreateGroupError`].
    pub async fn create_group(&self, name: &str) -> Result<bool, CreateGroupError> {
        groups::create_group(&self.context, name, &self.origin).await
    }

    /// Deletes a group with its memberships and grants; `false` if there was none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn delete_group(&self, name: &str) -> Result<bool, StoreError> {
        groups::delete_group(&self.context, name, &self.origin).await
    }

    /// Puts a user into a group; `false` if he is in it.
    ///
    /// # Errors
    /// [`GrantError`].
    pub async fn add_to_group(&self, id: UserId, group: &str) -> Result<bool, GrantError> {
        groups::add_to_group(&self.context, id, group, &self.origin).await
    }

    /// Takes a user out of a group; `false` if he was not in it.
    ///
    /// # Errors
    /// [`GrantError`].
    pub async fn remove_from_group(&self, id: UserId, group: &str) -> Result<bool, GrantError> {
        groups::remove_from_group(&self.context, id, group, &self.origin).await
    }

    /// Gives a group a permission; `false` if it has it already.
    ///
    /// # Errors
    /// [`GrantError`].
    pub async fn grant_to_group(&self, group: &str, permission: &PermissionName) -> Result<bool, GrantError> {
        groups::grant_to_group(&self.context, group, permission, &self.origin).await
    }

    /// Takes a permission from a group; `false` if it had none.
    ///
    /// # Errors
    /// [`GrantError`].
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
