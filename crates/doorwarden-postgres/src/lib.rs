//! The shared store of Doorwarden: PostgreSQL with change notification.
