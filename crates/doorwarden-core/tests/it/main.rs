//! What must hold of accounts. One module per subject.

mod authentication;
mod email;
mod hostile_names;
mod text;
mod username;
