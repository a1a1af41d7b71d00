//! The buckets of Doorwarden's limits in a server that speaks Redis's protocol (Valkey 7.2, Redis 6.2, and
//! whatever else runs Lua scripts), so that several instances count together.
//!
//! A bucket is one key, whose name is a MAC, and which expires once the bucket is empty. Each method is one
//! script: nothing is looked at and then written. The clock is the server's.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use doorwarden_redis::{RedisBuckets, RedisUrl};
//!
//! let url: RedisUrl = "redis://:password@cache.example.org:6379".parse()?;
//! let buckets = RedisBuckets::new(&url);
//! buckets.ping().await?; // and then `Doorwarden::builder(…).limit_store(buckets)`
//! # Ok(())
//! # }
//! ```

use async_trait::async_trait;
use doorwarden_core::limit::{Bucket, Quota, SharedBuckets, SharedBucketsError, Verdict};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, RedisError, Script};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OnceCell;

/// How long it takes to connect at most. The flows wait less long than this for an answer, and count alone
/// meanwhile.
const CONNECT: Duration = Duration::from_secs(1);
/// How often in a row it is tried to connect again; each request that comes after that begins anew.
const RETRIES: usize = 1;

/// The generic cell rate algorithm. `ARGV`: the interval and the room in microseconds, and whether to count.
/// The answer is the time to wait, 0 if there is room.
///
/// The key holds when the bucket will be empty, in microseconds of the server's clock: less than 2⁵³, so that
/// Lua's numbers are exact.
const DECIDE: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local level = math.max((tonumber(redis.call('GET', KEYS[1])) or 0) - now, 0)
local wait = level - ARGV[2]
if wait > 0 then return math.ceil(wait) end
if ARGV[3] == '1' then
    level = level + ARGV[1]
    redis.call('SET', KEYS[1], string.format('%.0f', now + level), 'PX', math.ceil(level / 1000))
end
return 0
";

/// Where a server is, and how to log in: `redis://`, `valkey://`, with TLS `rediss://` and `valkeys://`,
/// `unix://` for a socket. `Debug` does not show the password.
#[derive(Clone)]
pub struct RedisUrl {
    text: String,
    client: Arc<Client>,
}

impl RedisUrl {
    /// The text, with the password.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// This is not the URL of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisUrlError;

impl fmt::Display for RedisUrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not the URL of a Redis or Valkey server, such as `redis://:PASSWORD@HOST:6379`")
    }
}

impl std::error::Error for RedisUrlError {}

impl FromStr for RedisUrl {
    type Err = RedisUrlError;

    fn from_str(text: &str) -> Result<Self, RedisUrlError> {
        let client = Client::open(text).map_err(|_| RedisUrlError)?;
        Ok(Self { text: text.to_owned(), client: Arc::new(client) })
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RedisUrl").field(&self.client.get_connection_info().addr().to_string()).finish()
    }
}

/// Buckets that instances share. They need not be there when the service starts: while they do not answer,
/// each instance counts alone.
pub struct RedisBuckets {
    url: RedisUrl,
    script: Script,
    connection: OnceCell<ConnectionManager>,
}

impl RedisBuckets {
    /// Connects when the first request is counted.
    pub fn new(url: &RedisUrl) -> Self {
        Self { url: url.clone(), script: Script::new(DECIDE), connection: OnceCell::new() }
    }

    /// Whether the server answers, and runs scripts.
    ///
    /// # Errors
    /// [`SharedBucketsError`] if it does not.
    pub async fn ping(&self) -> Result<(), SharedBucketsError> {
        self.look(Bucket { key: [0; 16], quota: Quota::new(1, CONNECT) }).await.map(drop)
    }

    async fn connection(&self) -> Result<ConnectionManager, RedisError> {
        let connect = async || {
            let config = ConnectionManagerConfig::new()
                .set_connection_timeout(Some(CONNECT))
                .set_response_timeout(Some(CONNECT))
                .set_number_of_retries(RETRIES);
            ConnectionManager::new_lazy_with_config(Client::clone(&self.url.client), config)
        };
        self.connection.get_or_try_init(connect).await.cloned()
    }

    async fn decide(&self, bucket: Bucket, counts: bool) -> Result<Verdict, SharedBucketsError> {
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        let interval = bucket.quota.interval();
        let room = interval * bucket.quota.count().saturating_sub(1);
        let mut call = self.script.key(key(bucket.key));
        call.arg(micros(interval)).arg(micros(room)).arg(u8::from(counts));
        let asked = async { call.invoke_async(&mut self.connection().await?).await };
        let wait: u64 = asked.await.map_err(|error: RedisError| SharedBucketsError(error.to_string()))?;
        Ok(match wait {
            0 => Verdict::Allowed(Duration::ZERO),
            wait => Verdict::Denied(Duration::from_micros(wait)),
        })
    }
}

/// The key of a bucket.
fn key(name: [u8; 16]) -> String {
    format!("doorwarden:limit:{:032x}", u128::from_be_bytes(name))
}

#[async_trait]
impl SharedBuckets for RedisBuckets {
    async fn take(&self, bucket: Bucket) -> Result<Verdict, SharedBucketsError> {
        self.decide(bucket, true).await
    }

    async fn look(&self, bucket: Bucket) -> Result<Verdict, SharedBucketsError> {
        self.decide(bucket, false).await
    }
}

impl fmt::Debug for RedisBuckets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBuckets").field("url", &self.url).finish_non_exhaustive()
    }
}
