//! Every password hash that Django can have written, a bounded hashing pool, and password strength rules.
//!
//! Nothing here knows users, HTTP or SQL, and the only files are those of [breached passwords](breached).
//!
//! | Stored string | [`Algorithm`] | Made here |
//! |---|---|---|
//! | `argon2$argon2id$v=19$m=19456,t=2,p=1$salt$hash` | `Argon2` | yes |
//! | `argon2$argon2i$…`, `argon2$argon2d$…`, without `v=` (version 16) | `Argon2` | read |
//! | `pbkdf2_sha256$rounds$salt$hash` | `Pbkdf2Sha256` | read |
//! | `pbkdf2_sha1$rounds$salt$hash` | `Pbkdf2Sha1` | read |
//! | `bcrypt_sha256$$2b$12$…` | `BcryptSha256` | read |
//! | `bcrypt$$2b$12$…` | `Bcrypt` | read |
//! | `scrypt$N$salt$r$p$hash` | `Scrypt` | read |
//! | `md5$salt$hash`, `sha1$salt$hash` | `Md5`, `Sha1` | read |
//! | `md5$$hash` or the 32 digits alone, `sha1$$hash` | `UnsaltedMd5`, `UnsaltedSha1` | read |
//! | `!…` | `Unusable` | yes |
//!
//! What is made here, Django reads: its `PASSWORD_HASHERS` only has to name `Argon2PasswordHasher`.
//!
//! - [`HashPool`] is what a service uses: it bounds the memory and the processor time that passwords may
//!   take.
//! - [`Hasher`] computes on the calling thread, for programs that hash one password and end.
//! - [`PasswordPolicy`] says what is wrong with a new password.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use doorwarden_password::{
//!     Ceilings, HashPool, HashSettings, Hasher, Password, PasswordPolicy, PoolSettings, Verdict,
//! };
//!
//! let password = Password::new("correct horse battery staple");
//! PasswordPolicy::default().check(&password, &[("username", "jane")]).expect("it is strong enough");
//!
//! # let (random_salt, random_dummy) = ([7; 16], [9; 48]);
//! let hasher = Hasher::new(HashSettings::default(), Ceilings::default())?;
//! let pool = HashPool::start(PoolSettings::default(), hasher, random_dummy)?;
//! let hash = pool.hash(&password, random_salt).await?;
//! assert!(hash.as_str().starts_with("argon2$argon2id$v=19$m=19456,t=2,p=1$"));
//! assert_eq!(pool.verify(&password, &hash).await?, Verdict::Match { needs_rehash: false });
//! # Ok(())
//! # }
//! ```

mod arena;
pub mod breached;
mod encoded;
mod format;
mod hasher;
mod pool;
mod secret;
mod settings;
pub mod strength;

pub use arena::Arena;
pub use breached::LeakedPasswords;
pub use encoded::{Algorithm, PasswordHash};
pub use hasher::{Hasher, Verdict};
pub use pool::{HashPool, PoolError, PoolSettings, PoolStats};
pub use secret::Password;
pub use settings::{Ceilings, HashSettings, HashSettingsError};
pub use strength::{PasswordPolicy, Weakness};
