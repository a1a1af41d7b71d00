//! Email addresses and usernames: what is accepted, and in which folded form they are unique.
//!
//! What a person types goes through [`EmailAddress::check`] or [`Username::check`], which answer with every
//! complaint at once, in the words and the order of Django REST framework. What a database holds already is
//! taken as it is (`from_stored`), so that an imported account never becomes unreadable.
//!
//! Each has a key, the form in which it is unique and looked up. Keys of ASCII text are its ASCII lower case,
//! so SQL written by hand may use `lower()`.

mod domain;
mod email;
mod fold;
mod spelling;
pub mod text;
mod username;

pub use email::{Domain, DomainError, EmailAddress, EmailError, EmailKey};
pub use username::{Username, UsernameError, UsernameKey};
