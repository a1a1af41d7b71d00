//! Where the limits count, by the configuration.

use doorwarden_redis::RedisUrl;

/// Where what comes from an address is counted.
#[derive(Clone)]
pub(crate) enum LimitStore {
    /// In the database, if instances can share it; otherwise in memory.
    Database,
    /// In memory, by each instance.
    Memory,
    /// In Valkey or Redis.
    Redis(RedisUrl),
}
