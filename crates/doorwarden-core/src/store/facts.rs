use crate::time::Timestamp;

/// What a database reports about itself, for its operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreFacts {
    /// The database program and its version: `PostgreSQL 17.2`, `SQLite 3.51.1`.
    pub version: String,
    /// The time by the database's clock; `None` if the database runs in this process and so has the same
    /// clock.
    pub now: Option<Timestamp>,
    /// The settings that decide whether every acknowledged write survives a crash.
    pub durability: Vec<DurabilitySetting>,
}

/// A setting of the database on which durability depends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DurabilitySetting {
    /// The name in the database: `synchronous_commit`.
    pub name: &'static str,
    /// The value in the database.
    pub value: String,
    /// Whether no acknowledged write is lost with this value.
    pub safe: bool,
}
