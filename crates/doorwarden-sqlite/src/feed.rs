//! The log of changes, polled. Reading it costs what `PRAGMA data_version` costs, so it is read at once.

use crate::connection::SqliteOptions;
use crate::failure::Failure;
use crate::rows::{all, get, one};
use doorwarden_core::session::SessionId;
use doorwarden_core::store::{Change, ChangeSink};
use doorwarden_core::user::UserId;
use rusqlite::{Connection, Row};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

/// How often others' changes are looked for.
const EVERY: Duration = Duration::from_millis(5);
/// How long to wait before another try when the log cannot be read.
const RETRY: Duration = Duration::from_millis(100);
/// How many changes are read at a time.
const BATCH: i64 = 1000;

/// Wakes the follower when this process has written; ends it when dropped.
pub(crate) type Poke = SyncSender<()>;

/// A channel that holds one wake-up call: more would say nothing new.
pub(crate) fn channel() -> (Poke, Receiver<()>) {
    sync_channel(1)
}

/// Follows the log on a thread of its own until the other end of `pokes` is gone.
pub(crate) fn start(options: SqliteOptions, pokes: Receiver<()>, sink: Arc<dyn ChangeSink>) {
    let follower = Follower { options, sink };
    let started =
        std::thread::Builder::new().name("doorwarden-changes".to_owned()).spawn(move || follower.run(&pokes));
    if let Err(error) = started {
        // Without the feed every look-up reads the database: slow, but never stale.
        tracing::error!(%error, "the change log cannot be followed");
    }
}

struct Follower {
    options: SqliteOptions,
    sink: Arc<dyn ChangeSink>,
}

impl Follower {
    fn run(&self, pokes: &Receiver<()>) {
        let mut known_once = false;
        loop {
            if let Err(failure) = self.follow(pokes, known_once) {
                self.sink.disconnected();
                tracing::warn!(?failure, "the change log cannot be read; every look-up reads the database");
            } else {
                return;
            }
            known_once = true;
            if pokes.recv_timeout(RETRY) == Err(RecvTimeoutError::Disconnected) {
                return;
            }
        }
    }

    /// Tells changes until the store is closed.
    fn follow(&self, pokes: &Receiver<()>, again: bool) -> Result<(), Failure> {
        let connection = self.options.reader()?;
        let newest = "SELECT coalesce(max(seq), 0) FROM doorwarden_changes";
        let mut last = one(&connection, newest, (), |row| get::<i64>(row, 0))?.unwrap_or(0);
        if again {
            self.sink.changed(Change::Everything);
        }
        self.sink.connected();
        loop {
            match pokes.recv_timeout(EVERY) {
                Err(RecvTimeoutError::Disconnected) => {
                    self.sink.disconnected();
                    return Ok(());
                }
                Ok(()) | Err(RecvTimeoutError::Timeout) => {}
            }
            while self.tell(&connection, &mut last)? == BATCH {}
        }
    }

    /// Tells what came after `last`; how many changes.
    fn tell(&self, connection: &Connection, last: &mut i64) -> Result<i64, Failure> {
        let sql = "SELECT seq, kind, ref FROM doorwarden_changes WHERE seq > ?1 ORDER BY seq LIMIT ?2";
        let changes = all(connection, sql, (*last, BATCH), |row| Ok((get::<i64>(row, 0)?, change(row))))?;
        for (seq, change) in &changes {
            self.sink.changed(*change);
            *last = *seq;
        }
        Ok(i64::try_from(changes.len()).unwrap_or(BATCH))
    }
}

/// What cannot be understood may mean anything.
fn change(row: &Row<'_>) -> Change {
    let kind: String = row.get(1).unwrap_or_default();
    match kind.as_str() {
        "user" => row.get(2).map_or(Change::Everything, |id| Change::User(UserId(id))),
        "all_users" => Change::AllUsers,
        "session" => row.get(2).map_or(Change::Everything, |id| Change::Session(SessionId(id))),
        "keys" => Change::Keys,
        _ => Change::Everything,
    }
}
