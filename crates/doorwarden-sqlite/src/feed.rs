//! Follows the change log: polls it every few milliseconds, and at once after this program's own commits. A
//! poll that finds nothing reads one cached row.

use crate::connection::{Opened, SqliteOptions};
use crate::failure::Failure;
use crate::files::Identity;
use crate::poke::Poke;
use crate::rows::{all, get, one};
use doorwarden_core::session::SessionId;
use doorwarden_core::store::{Change, ChangeSink, Connected};
use doorwarden_core::user::UserId;
use rusqlite::{Connection, Row};
use std::sync::Arc;
use std::time::Duration;

/// The polling interval.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// How long a poll waits for a program that has locked the whole database.
const LOCK_LIMIT: Duration = Duration::from_millis(200);

/// How long to wait before the next attempt to open the file.
const RETRY_AFTER: Duration = Duration::from_millis(50);

/// More changes than this are reported as [`Change::Everything`].
const MOST: i64 = 10_000;

/// The number of the last change, also if the log was purged since. Numbers go up by one.
const LAST: &str = "SELECT coalesce(max(seq), 0) FROM (\
    SELECT seq FROM sqlite_sequence WHERE name = 'doorwarden_changes' UNION ALL \
    SELECT max(seq) FROM doorwarden_changes)";

const NEWS: &str = "SELECT kind, ref FROM doorwarden_changes WHERE seq > ?1 AND seq <= ?2 ORDER BY seq";

/// The thread behind the change feed.
pub(crate) struct Follower {
    options: SqliteOptions,
    poke: Arc<Poke>,
    sink: Arc<dyn ChangeSink>,
    /// The number of the last reported change, and its file.
    told: Option<(Identity, i64)>,
}

impl Follower {
    pub(crate) fn new(options: SqliteOptions, poke: Arc<Poke>, sink: Arc<dyn ChangeSink>) -> Self {
        Self { options, poke, sink, told: None }
    }

    /// Follows until the store closes.
    pub(crate) fn run(mut self) {
        let mut goes_on = true;
        while goes_on {
            match self.connect() {
                Ok(opened) => {
                    let _connected = Connected::tell(self.sink.clone());
                    match self.follow(&opened) {
                        Ok(()) => return,
                        Err(failure) => tracing::warn!(?failure, "lost the change feed"),
                    }
                }
                Err(failure) => tracing::debug!(?failure, "the change feed cannot connect"),
            }
            goes_on = self.poke.wait(RETRY_AFTER);
        }
    }

    /// Opens the file and reports missed changes.
    fn connect(&mut self) -> Result<Opened, Failure> {
        let opened = self.options.reader()?;
        opened.connection.busy_timeout(LOCK_LIMIT)?;
        self.look(&opened)?;
        Ok(opened)
    }

    fn follow(&mut self, opened: &Opened) -> Result<(), Failure> {
        while self.poke.wait(LOOK_EVERY) {
            if !self.options.is_current(opened)? {
                return Err(Failure::Unavailable("another file lies there now, or its log was removed"));
            }
            self.look(opened)?;
        }
        Ok(())
    }

    /// Reports changes since the last poll.
    fn look(&mut self, opened: &Opened) -> Result<(), Failure> {
        let look = self.sink.look();
        let last = one(&opened.connection, LAST, (), |row| get(row, 0))?.unwrap_or(0);
        let now = (opened.identity, last);
        match self.told {
            // Nobody keeps anything before the first `connected`.
            None => {}
            Some(told) if told == now => {}
            Some((identity, told)) if identity == opened.identity => {
                self.tell(&opened.connection, told, last)?;
            }
            Some(_) => self.sink.changed(Change::Everything),
        }
        self.told = Some(now);
        self.sink.heard(look);
        Ok(())
    }

    /// Reports the changes with the numbers from `told` to `last`, if all are there: some may have been
    /// purged, or the database is an older copy.
    fn tell(&self, connection: &Connection, told: i64, last: i64) -> Result<(), Failure> {
        let missing = last.saturating_sub(told);
        if (1..=MOST).contains(&missing) {
            let mut changes = all(connection, NEWS, (told, last), |row| Ok(change(row)))?;
            if i64::try_from(changes.len()) == Ok(missing) {
                // A statement may write the same for each of its rows.
                changes.dedup();
                for change in changes {
                    self.sink.changed(change);
                }
                return Ok(());
            }
        }
        self.sink.changed(Change::Everything);
        Ok(())
    }
}

fn change(row: &Row<'_>) -> Change {
    let kind: String = row.get(0).unwrap_or_default();
    Change::parse(&kind, || row.get(1).ok().map(UserId), || row.get(1).ok().map(SessionId))
}
