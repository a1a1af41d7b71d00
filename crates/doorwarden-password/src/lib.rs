//! Every password hash that Django can have written, a bounded hashing pool, and password strength rules.
