//! What the store does per second: `cargo bench -p doorwarden-sqlite`. Durable, in a file in the folder that
//! `TMPDIR` names.

#![expect(clippy::unwrap_used, reason = "a measurement that fails ends")]

use doorwarden_core::session::{Session, SessionId};
use doorwarden_core::store::{Rotation, SessionStore, Store, UserStore};
use doorwarden_core::user::UserId;
use doorwarden_sqlite::{SqliteOptions, SqliteStore};
use doorwarden_testkit::{NOON, new_session, new_user, no_effects, presented, sqlite_path};
use rusqlite::Connection;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const SESSIONS: usize = 100_000;
const SPAN: Duration = Duration::from_secs(3);

#[tokio::main(worker_threads = 2)]
async fn main() {
    let (_folder, path) = sqlite_path();
    let store = Arc::new(SqliteStore::open(&SqliteOptions::new(&path)).unwrap());
    store.migrate().await.unwrap();
    let user = store.create_user(new_user("ada"), no_effects()).await.unwrap().id;
    let sessions = Arc::new(fill(&path, user));

    for callers in [1, 8, 32, 128] {
        let (store, sessions) = (store.clone(), sessions.clone());
        let name = format!("rotations, {callers} callers, {SESSIONS} sessions");
        measure(&name, callers, &store.clone(), move |caller, n| {
            let (store, sessions) = (store.clone(), sessions.clone());
            async move {
                // Scattered over the table: 7919 is prime, so each session has its turn before one has its
                // second.
                let place = (caller + callers * n) * 7919 % SESSIONS;
                let counter = i64::try_from((caller + callers * n) / SESSIONS).unwrap();
                let rotation = store
                    .rotate_refresh(presented(sessions[place], counter, NOON), no_effects())
                    .await
                    .unwrap();
                assert!(matches!(rotation, Rotation::Rotated(_)), "{rotation:?}");
            }
        })
        .await;
        reset(&path);
    }
    for callers in [1, 32] {
        let store = store.clone();
        let name = format!("registrations without hashing, {callers} callers");
        measure(&name, callers, &store.clone(), move |caller, n| {
            let store = store.clone();
            async move {
                store
                    .create_user(new_user(&format!("user-{callers}-{caller}-{n}")), no_effects())
                    .await
                    .unwrap();
            }
        })
        .await;
    }
    for callers in [1, 2] {
        let (store, sessions) = (store.clone(), sessions.clone());
        measure(&format!("sessions read, {callers} callers"), callers, &store.clone(), move |caller, n| {
            let (store, id) = (store.clone(), sessions[(caller + callers * n) * 7919 % SESSIONS]);
            async move {
                store.session(id).await.unwrap().unwrap();
            }
        })
        .await;
    }
    store.close().await;
}

/// Sessions of a user, written in one transaction.
fn fill(path: &Path, user: UserId) -> Vec<SessionId> {
    let mut connection = Connection::open(path).unwrap();
    let transaction = connection.transaction().unwrap();
    let sql = "INSERT INTO doorwarden_sessions (id, user_id, created_at, last_seen_at, expires_at, amr, auth_time, \
               assurance_level, refresh_counter, address, user_agent) VALUES (?1, ?2, ?3, ?3, ?4, 'pwd', ?3, 1, 0, \
               '203.0.113.7', 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0')";
    let mut insert = transaction.prepare(sql).unwrap();
    let mut ids = Vec::with_capacity(SESSIONS);
    for n in 0..SESSIONS {
        let at = NOON.after(Duration::from_millis(n as u64));
        let Session { id, created_at, expires_at, .. } = new_session(user, at);
        insert.execute((id.0, user.0, created_at.as_micros(), expires_at.as_micros())).unwrap();
        ids.push(id);
    }
    drop(insert);
    transaction.commit().unwrap();
    ids
}

/// Every counter is 0 again.
fn reset(path: &Path) {
    let connection = Connection::open(path).unwrap();
    connection.execute("UPDATE doorwarden_sessions SET refresh_counter = 0", []).unwrap();
}

/// The processor time that this process has used; on a busy machine it says more than the rate. 0 where
/// `/proc` is not Linux's.
fn processor_micros() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
    // utime and stime, in hundredths of a second.
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>() * 10_000
}

/// Lets so many callers call one after the other, each for itself.
async fn measure<F: Future<Output = ()> + Send + 'static>(
    name: &str,
    callers: usize,
    store: &SqliteStore,
    call: impl Fn(usize, usize) -> F + Clone + Send + 'static,
) {
    let (begun, commits, processor) = (Instant::now(), store.commits(), processor_micros());
    let mut running = JoinSet::new();
    for caller in 0..callers {
        let call = call.clone();
        running.spawn(async move {
            let mut delays = Vec::new();
            while begun.elapsed() < SPAN {
                let called = Instant::now();
                call(caller, delays.len()).await;
                delays.push(called.elapsed());
            }
            delays
        });
    }
    let mut delays: Vec<_> = running.join_all().await.into_iter().flatten().collect();
    delays.sort();
    let count = delays.len();
    let per_second = count as u128 * 1_000_000 / begun.elapsed().as_micros();
    let at = |share: usize| delays[count * share / 1000].as_secs_f64() * 1000.0;
    let mut out = std::io::stdout();
    writeln!(
        out,
        "{name:<44} {per_second:>6}/s  {:>3} µs CPU  p50 {:.3} ms  p99 {:.3}  p99.9 {:.3}  {} commits",
        (processor_micros() - processor) / count as u64,
        at(500),
        at(990),
        at(999),
        store.commits() - commits
    )
    .unwrap();
}
