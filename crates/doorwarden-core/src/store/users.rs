use super::StoreError;
use crate::audit::Effects;
use crate::identity::{EmailKey, UsernameKey};
use crate::password::PasswordHash;
use crate::session::{EndReason, SessionId};
use crate::time::Timestamp;
use crate::user::{Account, METADATA_MAX_BYTES, NewUser, User, UserChange, UserId};
use async_trait::async_trait;
use serde_json::{Map, Value};

/// Users in the store.
#[async_trait]
pub trait UserStore {
    /// Creates a user and returns it with its id, which is also that of the user in `effects`.
    ///
    /// # Errors
    /// [`WriteUserError::EmailTaken`] or [`WriteUserError::UsernameTaken`] if another user has the email
    /// address or username in its folded form, decided by the database's constraints, so that of many
    /// simultaneous calls exactly one succeeds; [`WriteUserError::MetadataTooLarge`] if the metadata exceeds
    /// its limit.
    async fn create_user(&self, user: NewUser, effects: Effects) -> Result<User, WriteUserError>;

    /// The user with this id; `None` if there is no such user.
    async fn user(&self, id: UserId) -> Result<Option<User>, StoreError>;

    /// The user whose email address folds to this key; `None` if there is no such user.
    async fn user_by_email(&self, email: &EmailKey) -> Result<Option<User>, StoreError>;

    /// The user whose username folds to this key; `None` if there is no such user.
    async fn user_by_username(&self, username: &UsernameKey) -> Result<Option<User>, StoreError>;

    /// The user with groups and effective permissions, read in one snapshot; `None` if there is no such user.
    async fn account(&self, id: UserId) -> Result<Option<Account>, StoreError>;

    /// Which of these values a user other than `except` has. Suitable for a message only; the write decides.
    async fn taken(
        &self,
        email: Option<&EmailKey>,
        username: Option<&UsernameKey>,
        except: Option<UserId>,
    ) -> Result<Taken, StoreError>;

    /// The users that match, by id, those after `after` and at most `limit`.
    async fn users(
        &self,
        filter: &UserFilter,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Vec<User>, StoreError>;

    /// How many users there are.
    async fn count_users(&self) -> Result<u64, StoreError>;

    /// How many users have each kind of password hash: the text before the first `$` of the encoded hash
    /// (`argon2`, `pbkdf2_sha256`, ...), `unsalted_md5` and `unsalted_sha1` for hashes without a salt, `!`
    /// for unusable passwords.
    async fn count_users_by_algorithm(&self) -> Result<Vec<(String, u64)>, StoreError>;

    /// Changes a user and returns the updated user; `None` if there is no such user.
    ///
    /// # Errors
    /// As [`create_user`](Self::create_user).
    async fn update_user(
        &self,
        id: UserId,
        change: UserChange,
        effects: Effects,
    ) -> Result<Option<User>, WriteUserError>;

    /// Stores a new password, ends the user's sessions except `keep_session` with
    /// [`EndReason::PasswordChanged`] (or the given reason), and sets `tokens_valid_after`, all at once. The
    /// user need not [change it](crate::user::User::must_change_password) any more. The password of before,
    /// if it was usable, becomes the newest of the [earlier ones](Self::earlier_passwords), of which
    /// [`keep_earlier`](PasswordChange::keep_earlier) are kept; simultaneous changes may leave more of them
    /// until the next change.
    /// `false` if the user is gone, or the stored hash is no longer `expected`.
    async fn change_password(
        &self,
        id: UserId,
        change: PasswordChange,
        effects: Effects,
    ) -> Result<bool, StoreError>;

    /// The hashes of the earlier passwords of a user that were kept, newest first, at most `limit`. They go
    /// with the user.
    async fn earlier_passwords(&self, id: UserId, limit: u8) -> Result<Vec<PasswordHash>, StoreError>;

    /// Ends all sessions of a user and sets `tokens_valid_after`, in constant time; returns how many were
    /// ended, or only that there were more than 1,000. `None` if there is no such user.
    async fn sign_out_user(
        &self,
        id: UserId,
        reason: EndReason,
        at: Timestamp,
        effects: Effects,
    ) -> Result<Option<u64>, StoreError>;

    /// Gives users who were written by SQL the keys of [`EmailKey`] and [`UsernameKey`]; returns how many. Of
    /// two users with the same key the older keeps it, and the younger gets a key that nothing folds to, so
    /// that no login finds the younger one. Every operation that reads or writes a key does this first.
    async fn resolve_keys(&self) -> Result<u64, StoreError>;

    /// Lets the next [`resolve_keys`](Self::resolve_keys) check every user whose keys may not be those of the
    /// core.
    async fn doubt_keys(&self) -> Result<(), StoreError>;

    /// The users whose key belongs to an older user.
    async fn key_collisions(&self) -> Result<Vec<KeyCollision>, StoreError>;

    /// [`sign_out_user`](Self::sign_out_user) for at most `limit` users, by id, those after `after`; `None`
    /// if there are no more.
    async fn sign_out_users(
        &self,
        after: Option<UserId>,
        limit: u32,
        reason: EndReason,
        at: Timestamp,
        effects: Effects,
    ) -> Result<Option<SignedOut>, StoreError>;

    /// The users whose [time of deletion](crate::user::User::deletion_at) has come, at most `limit`.
    async fn users_to_delete(&self, now: Timestamp, limit: u32) -> Result<Vec<UserId>, StoreError>;

    /// [`delete_user`](Self::delete_user) if the user's time of deletion has come.
    async fn delete_user_due(&self, id: UserId, now: Timestamp, effects: Effects)
    -> Result<bool, StoreError>;

    /// Deletes a user with groups and permissions and ends the sessions with [`EndReason::UserDeleted`] (a
    /// trigger, so that SQL by hand does it too); `false` if there was no such user. The id is never used
    /// again.
    async fn delete_user(&self, id: UserId, effects: Effects) -> Result<bool, StoreError>;
}

/// The users who were signed out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SignedOut {
    /// The last user.
    pub last: Option<UserId>,
    /// How many users.
    pub users: u64,
    /// How many sessions ended; at most 1,000 are counted for each user.
    pub sessions: u64,
}

/// A new password for a user.
#[derive(Debug, Clone)]
pub struct PasswordChange {
    /// The new encoded hash.
    pub password: PasswordHash,
    /// The hash that must still be the stored one.
    pub expected: Option<PasswordHash>,
    /// The time of the operation.
    pub at: Timestamp,
    /// The session that stays open.
    pub keep_session: Option<SessionId>,
    /// Why the other sessions end.
    pub reason: EndReason,
    /// The change also proves the email address: it was allowed by a mail.
    pub proves_email: bool,
    /// How many earlier passwords are kept, the one that is replaced included.
    pub keep_earlier: u8,
}

/// A user whose email address or username, in its folded form, is that of an older user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyCollision {
    /// `email`, and no login finds the user; or `username`.
    pub field: &'static str,
    /// The user.
    pub younger: UserId,
    /// The user who has the key; `None` if no user has it any more.
    pub older: Option<UserId>,
}

/// Which of the values another user has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Taken {
    /// The email address.
    pub email: bool,
    /// The username.
    pub username: bool,
}

/// Which users to list; the default is all.
#[derive(Debug, Clone, Default)]
pub struct UserFilter {
    /// Only active ones, or only inactive ones.
    pub is_active: Option<bool>,
    /// Only staff, or only others.
    pub is_staff: Option<bool>,
    /// Only superusers, or only others.
    pub is_superuser: Option<bool>,
    /// Only those who have this permission (`app_label.codename`), directly or through a group, as Django's
    /// `with_perm`. Active superusers have every permission that exists; inactive users have none.
    pub permission: Option<String>,
    /// Only members of the group of this name.
    pub group: Option<String>,
    /// Only users whose username or email address begins with this text, ignoring ASCII case.
    pub starts_with: Option<String>,
}

/// A user could not be written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WriteUserError {
    /// Another user has the email address.
    #[error("user with this email already exists.")]
    EmailTaken,
    /// Another user has the username.
    #[error("user with this username already exists.")]
    UsernameTaken,
    /// `metadata` would take more than [`METADATA_MAX_BYTES`](crate::user::METADATA_MAX_BYTES).
    #[error("metadata must be at most 16 KiB of JSON")]
    MetadataTooLarge,
    /// The database operation failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A user's `metadata` as JSON text.
///
/// # Errors
/// [`WriteUserError::MetadataTooLarge`] if the text exceeds the limit.
pub fn metadata_text(metadata: &Map<String, Value>) -> Result<String, WriteUserError> {
    let text = serde_json::to_string(metadata).map_err(StoreError::failed)?;
    if text.len() > METADATA_MAX_BYTES { Err(WriteUserError::MetadataTooLarge) } else { Ok(text) }
}

/// A user's `metadata` with the members of `patch` set, and without those that are null there.
///
/// # Errors
/// [`WriteUserError::MetadataTooLarge`] if the text exceeds the limit.
pub fn merge_metadata(
    mut members: Map<String, Value>,
    patch: &Map<String, Value>,
) -> Result<String, WriteUserError> {
    for (name, value) in patch {
        if value.is_null() {
            members.remove(name);
        } else {
            members.insert(name.clone(), value.clone());
        }
    }
    metadata_text(&members)
}
