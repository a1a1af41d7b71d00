//! The embedded store of Doorwarden: SQLite through one writer thread with group commit.
