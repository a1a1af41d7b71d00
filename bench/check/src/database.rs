//! Databases with many users and sessions, written by SQL because hashing passwords would take hours.

use doorwarden::Doorwarden;
use doorwarden::core::time::{Clock, SystemClock};
use rusqlite::{Connection, params};
use std::path::Path;
use uuid::Uuid;

/// Sessions of one user.
pub const EACH: u64 = 5;

pub const PAIR_LIFETIME_SECS: i64 = 30 * 86_400;

/// Opens `DIRECTORY/accounts.db` with caches that hold everything in it.
pub async fn open(directory: &Path) -> Doorwarden {
    let url = format!("sqlite://{}", directory.join("accounts.db").display());
    let settings = |settings: &mut doorwarden::Settings| {
        settings.live.sessions = 2_500_000;
        settings.live.users = 500_000;
    };
    Doorwarden::builder().database_url(url).settings(settings).build().await.expect("a database")
}

/// Fills the empty tables with `count` sessions of `count / EACH` users, each with a token pair.
pub fn fill(directory: &Path, count: u64) {
    let mut connection = Connection::open(directory.join("accounts.db")).expect("a migrated database");
    connection
        .execute_batch(
            "PRAGMA synchronous = OFF; PRAGMA cache_size = -1000000; PRAGMA wal_autocheckpoint = 100000;",
        )
        .expect("settings");
    let now = SystemClock.now().as_micros();
    let transaction = connection.transaction().expect("a transaction");
    {
        let mut user = transaction
            .prepare(
                "INSERT OR IGNORE INTO users (id, username, email, password, username_key, email_key)
                 VALUES (?1, ?2, ?3, '!unusable', ?2, ?3)",
            )
            .expect("SQL");
        let mut session = transaction
            .prepare(
                "INSERT INTO doorwarden_sessions (id, user_id, created_at, last_seen_at, expires_at, auth_time,
                     assurance_level, refresh_counter, idle_seconds, amr, client_id, address, user_agent)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?3, 1, 0, 1209600, 'pwd', 'doorwarden', '203.0.113.7', ?6)",
            )
            .expect("SQL");
        for number in 0..count {
            let user_id = owner(number, count);
            let name = format!("user{user_id}");
            let email = format!("{name}@example.com");
            user.execute(params![user_id, name, email]).expect("a user");
            let agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
            let expires = now + PAIR_LIFETIME_SECS * 1_000_000;
            session
                .execute(params![id(number), user_id, now - 1_000_000, now, expires, agent])
                .expect("a session");
        }
    }
    transaction.commit().expect("committed");
    connection.execute_batch("ANALYZE; PRAGMA wal_checkpoint(TRUNCATE);").expect("a checkpoint");
    drop(connection);
    // Otherwise the first measured commit would wait for all of this to reach the disk.
    let file = std::fs::File::open(directory.join("accounts.db")).expect("the database");
    file.sync_all().expect("on the disk");
}

/// The user of a session: neighbours in the table belong to different users.
pub fn owner(number: u64, count: u64) -> i64 {
    (number % (count / EACH).max(1) + 1).cast_signed()
}

/// The id of the session with this number: a UUIDv7, each a millisecond after the previous one.
pub fn id(number: u64) -> Uuid {
    let stirred = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut random = [0; 10];
    random[..8].copy_from_slice(&stirred.to_be_bytes());
    uuid::Builder::from_unix_timestamp_millis(1_760_000_000_000 + number, &random).into_uuid()
}

/// Numbers below `count` in a random order that is the same each time.
pub fn picks(count: u64, many: u64) -> impl Iterator<Item = u64> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    (0..many).map(move |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % count
    })
}
