use crate::time::Timestamp;

/// What a database says of itself, for whoever looks after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreFacts {
    /// Its program and version: `PostgreSQL 17.2`, `SQLite 3.51.1`.
    pub version: String,
    /// What its clock says; `None` if it runs in this process and so has the same clock.
    pub now: Option<Timestamp>,
    /// What decides whether everything that was answered survives a crash.
    pub durability: Vec<DurabilitySetting>,
}

/// A setting of the database on which durability depends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DurabilitySetting {
    /// Its name in the database: `synchronous_commit`.
    pub name: &'static str,
    /// Its value there.
    pub value: String,
    /// Whether with this value nothing is lost that was answered.
    pub safe: bool,
}
