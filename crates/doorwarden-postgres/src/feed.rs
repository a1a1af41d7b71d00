//! Follows the log of changes.
//!
//! A notification is only a wake-up call; what happened stands in `doorwarden_changes`, where every row
//! carries the number of its transaction. Each read returns the rows that are visible now and were not
//! visible in the snapshot of the previous read. So nothing is missed and nothing is reported twice, also
//! across reconnects and behind long transactions, whose rows appear late and with old numbers.

use crate::failure::Failure;
use crate::options::Access;
use crate::rows::get;
use crate::server::Role;
use crate::tls::TlsStream;
use crate::values::At;
use doorwarden_core::session::SessionId;
use doorwarden_core::store::{Change, ChangeSink, Connected, Look};
use doorwarden_core::user::UserId;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, Connection, Row, Socket, Statement};
use uuid::Uuid;

/// How often the log is looked at unasked: so often that one slow answer does not yet end what memory may
/// answer. With [`DEADLINE`] this bounds how long a silent peer goes unnoticed.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How often without notifications.
const POLL_EVERY: Duration = Duration::from_millis(50);

/// Minimum time between two reads, so that many changes cost few reads.
const PAUSE: Duration = Duration::from_millis(10);

/// How long a read may take.
const DEADLINE: Duration = Duration::from_millis(300);

/// How long connecting and the first read may take.
const CONNECT_LIMIT: Duration = Duration::from_millis(1500);

/// How long to wait before the next attempt to connect.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// How long the log is trusted to hold what was missed; it is purged after five minutes at the earliest.
const REMEMBERED: Duration = Duration::from_mins(1);

/// More changes than this are reported as [`Change::Everything`].
const MOST: usize = 10_000;

/// One row per new change, or one row without a change. A number above the newest is from another server (a
/// restored dump) and is ignored. A lower number may be used again after a crash; then the time decides.
const LOOK: &str = "SELECT pg_current_snapshot()::text, clock_timestamp(), pg_postmaster_start_time(), \
    news.kind, news.ref, 'doorwarden_changes'::regclass::oid, pg_is_in_recovery() FROM (SELECT) AS always LEFT JOIN (\
        SELECT kind, ref FROM doorwarden_changes, (SELECT $1::text::pg_snapshot AS seen) AS last \
        WHERE xid >= pg_snapshot_xmin($1::text::pg_snapshot) AND xid < pg_snapshot_xmax(pg_current_snapshot()) \
        AND NOT pg_visible_in_snapshot(xid, last.seen) OR at > $2 ORDER BY xid, seq LIMIT $3\
    ) AS news ON true";

const LOOK_TYPES: [Type; 3] = [Type::TEXT, Type::TIMESTAMPTZ, Type::INT8];

/// The task behind the change feed.
pub(crate) struct Follower {
    access: Access,
    closing: watch::Receiver<bool>,
    sink: Arc<dyn ChangeSink>,
    position: Option<Position>,
    /// The generation of the server whose log was reported up to that point.
    follows: Option<u64>,
}

/// The position up to which the log has been reported.
struct Position {
    snapshot: String,
    /// By the server's clock, later than every reported change.
    clock: At,
    /// When the server was started: after a restart or a failover, numbers of transactions cannot be
    /// compared.
    server: At,
    /// The table of the log: after a restore in its place it is another one.
    table: u32,
    look: Look,
}

impl Follower {
    pub(crate) fn new(access: Access, closing: watch::Receiver<bool>, sink: Arc<dyn ChangeSink>) -> Self {
        Self { access, closing, sink, position: None, follows: None }
    }

    /// Follows until the store closes.
    pub(crate) async fn run(mut self) {
        let mut closing = self.closing.clone();
        tokio::select! {
            // Also when the store was dropped.
            _ = closing.wait_for(|closing| *closing) => {}
            () = self.follow() => {}
        }
    }

    async fn follow(&mut self) {
        loop {
            match timeout(CONNECT_LIMIT, self.connect()).await.unwrap_or_else(|_| Err(Failure::Silent)) {
                Ok(line) => {
                    let told = Connected::tell(self.sink.clone());
                    let failure = self.listen(&line).await;
                    drop(told);
                    tracing::warn!(reason = ?failure, "lost the change feed");
                }
                Err(failure) => tracing::debug!(reason = ?failure, "the change feed cannot connect"),
            }
            sleep(RETRY_AFTER).await;
        }
    }

    /// Connects, listens, and then reports missed changes.
    async fn connect(&mut self) -> Result<Line, Failure> {
        let connected = self.access.servers.connect(Role::Primary, CONNECT_LIMIT).await?;
        let call = Arc::new(Notify::new());
        let driver = tokio::spawn(drive(connected.connection, call.clone()));
        let mut line =
            Line { client: connected.client, generation: connected.generation, look: None, call, driver };
        if self.access.statement_cache {
            let sql = "SELECT 'doorwarden_changes'::regclass::oid";
            let rows = line.client.query_typed(sql, &[]).await?;
            let table: u32 = rows.first().map_or(Ok(0), |row| get(row, 0))?;
            line.client.batch_execute(&format!("LISTEN doorwarden_changes_{table}")).await?;
            line.look = Some(line.client.prepare_typed(LOOK, &LOOK_TYPES).await?);
        }
        self.look(&line).await?;
        Ok(line)
    }

    /// Tells what happens until the connection is lost.
    async fn listen(&mut self, line: &Line) -> Failure {
        let pause = if self.access.statement_cache { LOOK_EVERY } else { POLL_EVERY };
        let mut generations = self.access.servers.generations();
        loop {
            if *generations.borrow_and_update() != line.generation {
                return Failure::lost("another server answers now");
            }
            tokio::select! {
                _ = timeout(pause, line.call.notified()) => {}
                _ = generations.changed() => continue,
            }
            match timeout(DEADLINE, self.look(line)).await {
                Ok(Ok(())) => sleep(PAUSE).await,
                Ok(Err(failure)) => return failure,
                Err(_) => return Failure::Silent,
            }
        }
    }

    /// Reports changes since the last read.
    async fn look(&mut self, line: &Line) -> Result<(), Failure> {
        let look = self.sink.look();
        let (snapshot, clock) = self.position.as_ref().map(|last| (&last.snapshot, last.clock)).unzip();
        let most = i64::try_from(MOST).unwrap_or(i64::MAX) + 1;
        let params: [&(dyn ToSql + Sync); 3] = [&snapshot, &clock, &most];
        let rows = match &line.look {
            Some(statement) => line.client.query(statement, &params).await?,
            None => {
                line.client
                    .query_typed(
                        LOOK,
                        &std::array::from_fn::<_, 3, _>(|i| (params[i], LOOK_TYPES[i].clone())),
                    )
                    .await?
            }
        };
        let Some(first) = rows.first() else {
            return Err(Failure::Unreadable("no snapshot".to_owned()));
        };
        if get::<bool>(first, 6)? {
            return Err(Failure::lost("the server is a standby, whose log is late"));
        }
        let next = Position {
            snapshot: get(first, 0)?,
            clock: get(first, 1)?,
            server: get(first, 2)?,
            table: get(first, 5)?,
            look,
        };
        let has_all = |last: &Position| {
            last.server == next.server
                && look.uptime().saturating_sub(last.look.uptime()) < REMEMBERED
                && rows.len() <= MOST
        };
        match &self.position {
            // Nobody keeps anything before the first `connected`.
            None => {}
            // A transaction pool may lead to another server over the same connection: the server is
            // identified again.
            Some(last)
                if (last.server, last.table) != (next.server, next.table)
                    && self.follows == Some(line.generation) =>
            {
                self.follows = None;
                return Err(Failure::lost(
                    "the server was started anew, or it or the log of changes is another one",
                ));
            }
            Some(last) if self.follows == Some(line.generation) && has_all(last) => {
                for row in &rows {
                    if let Some(change) = change(row)? {
                        self.sink.changed(change);
                    }
                }
            }
            Some(_) => self.sink.changed(Change::Everything),
        }
        self.position = Some(next);
        self.follows = Some(line.generation);
        self.sink.heard(look);
        Ok(())
    }
}

/// One connection and the task that drives it.
struct Line {
    client: Client,
    /// Which server it leads to; see [`Servers`](crate::server::Servers).
    generation: u64,
    /// [`LOOK`], where statements may be prepared.
    look: Option<Statement>,
    /// Called at each notification, and when the connection ends.
    call: Arc<Notify>,
    driver: tokio::task::JoinHandle<()>,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

async fn drive(mut connection: Connection<Socket, TlsStream>, call: Arc<Notify>) {
    while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
        if let AsyncMessage::Notification(_) = message {
            call.notify_one();
        }
    }
    call.notify_one();
}

fn change(row: &Row) -> Result<Option<Change>, Failure> {
    let (kind, concerned) = (get::<Option<&str>>(row, 3)?, get::<Option<&str>>(row, 4)?);
    let user = || concerned.and_then(|id| id.parse().ok()).map(UserId);
    let session = || concerned.and_then(|id| Uuid::parse_str(id).ok()).map(SessionId);
    Ok(kind.map(|kind| Change::parse(kind, user, session)))
}
