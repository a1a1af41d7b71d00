//! Rotations of refresh tokens, gathered into few commits: while one batch commits, the next one collects. There is no
//! timer, so a rotation that comes alone waits for nobody.

use crate::database::{CALL_LIMIT, Database, Effort};
use crate::failure::Failure;
use crate::rows::{get, judged_session_columns, session, session_columns};
use crate::values::At;
use doorwarden_core::session::{EndReason, Session, SessionId};
use doorwarden_core::store::{Rotation, StoreError, patience};
use doorwarden_core::time::Timestamp;
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio::task::yield_now;
use tokio::time::timeout;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

/// How many batches commit at once: while one waits for the disk, the other uses the processor.
const WORKERS: usize = 2;

/// How many rotations must wait before a second batch is worth its commit: below it, one larger batch costs the database a third less.
const WORTH_ANOTHER: usize = 64;

/// How many rotations one statement takes.
const BATCH: usize = 512;

/// How often a batch goes around while others change the same sessions.
const ROUNDS: usize = 16;

/// The longest idle time that counts, in seconds: a century, which can be added to any instant. `ROTATE` says it too.
const MAX_IDLE: i64 = 3_155_760_000;

/// Rotates the newest token of each session.
const ROTATE: &str = concat!(
    "UPDATE doorwarden_sessions s \
     SET refresh_counter = s.refresh_counter + 1, last_seen_at = greatest(s.last_seen_at, given.at) \
     FROM unnest($1::uuid[], $2::bigint[], $3::timestamptz[]) AS given (id, counter, at), users u \
     WHERE s.id = given.id AND s.refresh_counter = given.counter AND s.ended_at IS NULL AND s.expires_at > given.at \
     AND (s.idle_seconds IS NULL \
         OR s.last_seen_at + least(s.idle_seconds, 3155760000) * interval '1 second' > given.at) \
     AND u.id = s.user_id AND u.is_active AND u.sessions_generation = s.generation RETURNING ",
    session_columns!()
);

/// Why a token did not rotate.
const LOOK: &str = concat!(
    "SELECT ",
    judged_session_columns!(),
    ", coalesce(u.is_active, false) FROM doorwarden_sessions s LEFT JOIN users u ON u.id = s.user_id \
     WHERE s.id = ANY ($1::uuid[])"
);

/// Ends the sessions whose token came back, unless something else has ended them.
const END_REUSED: &str = concat!(
    "UPDATE doorwarden_sessions s SET ended_at = given.at, end_reason = $4 \
     FROM unnest($1::uuid[], $2::bigint[], $3::timestamptz[]) AS given (id, counter, at), users u \
     WHERE s.id = given.id AND s.ended_at IS NULL AND s.refresh_counter - 1 > given.counter \
     AND u.id = s.user_id AND u.sessions_generation = s.generation RETURNING ",
    session_columns!()
);

/// The rotations that wait for the next batch.
#[derive(Debug)]
pub(crate) struct Rotations {
    database: Arc<Database>,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<Job>,
    workers: usize,
}

#[derive(Debug)]
struct Job {
    id: SessionId,
    counter: i64,
    at: Timestamp,
    answer: oneshot::Sender<Result<Rotation, Failure>>,
}

impl Rotations {
    pub(crate) fn new(database: Arc<Database>) -> Self {
        Self { database, queue: Mutex::default() }
    }

    /// Takes part in the next batch and returns its result.
    pub(crate) async fn rotate(
        self: &Arc<Self>,
        id: SessionId,
        counter: i64,
        at: Timestamp,
    ) -> Result<Rotation, StoreError> {
        let _call = self.database.begin()?;
        let (answer, result) = oneshot::channel();
        if self.enqueue(Job { id, counter, at, answer }) {
            tokio::spawn(self.clone().work());
        }
        match patience::call(CALL_LIMIT, |limit| timeout(limit, result)).await {
            Ok(Ok(result)) => Ok(result?),
            _ => Err(Failure::Silent.into()),
        }
    }

    /// Whether a further worker is needed.
    fn enqueue(&self, job: Job) -> bool {
        let mut queue = self.queue.lock();
        queue.waiting.push(job);
        let needed = queue.workers < WORKERS && queue.waiting.len() > queue.workers * WORTH_ANOTHER;
        queue.workers += usize::from(needed);
        needed
    }

    /// Sends the statement of the next batch before it hands out the answers of the last, so that the database need not wait for that.
    async fn work(self: Arc<Self>) {
        let mut answered = None;
        loop {
            let mut jobs = self.take();
            if jobs.is_empty() && answered.is_none() {
                if self.leave() {
                    return;
                }
                continue;
            }
            let last = answered.take();
            let settled = async {
                if let Some((jobs, rows)) = last {
                    yield_now().await;
                    self.settle(jobs, rows).await;
                }
            };
            let (rows, ()) = tokio::join!(biased; self.rotate_all(&mut jobs), settled);
            answered = (!jobs.is_empty()).then_some((jobs, rows));
        }
    }

    /// The next batch, or nothing.
    fn take(&self) -> Vec<Job> {
        let mut queue = self.queue.lock();
        let take = queue.waiting.len().min(BATCH);
        queue.waiting.drain(..take).collect()
    }

    /// Whether the worker may go, because nothing waits.
    fn leave(&self) -> bool {
        let mut queue = self.queue.lock();
        let may = queue.waiting.is_empty();
        queue.workers -= usize::from(may);
        may
    }

    /// Rotates the tokens of these jobs, and returns the sessions of those that did.
    async fn rotate_all(&self, jobs: &mut Vec<Job>) -> Result<Vec<Row>, Failure> {
        // Whoever has stopped waiting must not lose his token to an answer that he will never see.
        jobs.retain(|job| !job.answer.is_closed());
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        jobs.sort_by_key(|job| job.id);
        // One job per session, so that one statement decides about each row once.
        let mut ids = HashSet::with_capacity(jobs.len());
        self.update(ROTATE, jobs.iter().filter(|job| ids.insert(job.id)), None).await
    }

    /// Answers every job. What may still rotate after others have goes around once more.
    async fn settle(&self, mut jobs: Vec<Job>, mut rotated: Result<Vec<Row>, Failure>) {
        for _ in 0..ROUNDS {
            match self.round(&mut jobs, rotated).await {
                Ok(answers) => {
                    for (job, rotation) in answers {
                        // The caller may be gone: the token before the newest gets him the newest again.
                        let _ = job.answer.send(Ok(rotation));
                    }
                }
                Err(failure) => refuse(&mut jobs, &failure),
            }
            if jobs.is_empty() {
                return;
            }
            rotated = self.rotate_all(&mut jobs).await;
        }
        refuse(&mut jobs, &Failure::Busy("others keep changing this session".to_owned()));
    }

    /// Answers those whose token rotated and says of the rest why not. What may still be rotated stays in `jobs`.
    async fn round(
        &self,
        jobs: &mut Vec<Job>,
        rotated: Result<Vec<Row>, Failure>,
    ) -> Result<Vec<(Job, Rotation)>, Failure> {
        let mut rotated = by_id(&rotated?)?;
        let mut answers = Vec::with_capacity(jobs.len());
        let mut others = Vec::new();
        for job in jobs.drain(..) {
            match rotated.remove(&job.id) {
                // Of two with one session the first was sent.
                Some(session) => answers.push((job, Rotation::Rotated(session))),
                None => others.push(job),
            }
        }
        if others.is_empty() {
            return Ok(answers);
        }
        match self.explain(&mut others).await {
            Ok(mut explained) => answers.append(&mut explained),
            Err(failure) => refuse(&mut others, &failure),
        }
        *jobs = others;
        Ok(answers)
    }

    /// Says what is wrong with tokens that did not rotate. Those that turn out to be the newest stay in `jobs`.
    async fn explain(&self, jobs: &mut Vec<Job>) -> Result<Vec<(Job, Rotation)>, Failure> {
        let ids: Vec<_> = jobs.iter().map(|job| job.id.0).collect();
        let rows = self.database.rows_of_begun_call(Effort::Read, LOOK, &[(&ids, Type::UUID_ARRAY)]).await?;
        let mut found = HashMap::with_capacity(rows.len());
        for row in &rows {
            found.insert(SessionId(get(row, 0)?), (session(row)?, get::<bool>(row, 16)?));
        }
        let judged: Vec<_> = jobs
            .iter()
            .map(|job| match found.get(&job.id) {
                Some((session, active)) => judge(session, *active, job),
                None => Verdict::Answer(Box::new(Rotation::Unknown)),
            })
            .collect();
        let reused = judged.iter().zip(&*jobs).filter(|(verdict, _)| matches!(verdict, Verdict::Reused));
        let reused: Vec<&Job> = reused.map(|(_, job)| job).collect();
        let mut ended = if reused.is_empty() {
            HashMap::new()
        } else {
            by_id(&self.update(END_REUSED, reused.into_iter(), Some(EndReason::RefreshReused)).await?)?
        };
        let mut answers = Vec::with_capacity(jobs.len());
        for (job, verdict) in std::mem::take(jobs).into_iter().zip(judged) {
            match verdict {
                Verdict::Answer(rotation) => answers.push((job, *rotation)),
                Verdict::Newest => jobs.push(job),
                // If the row was not ours to end, another has ended the session in between.
                Verdict::Reused => {
                    let rotation = ended.remove(&job.id).map_or(Rotation::Refused, Rotation::Reused);
                    answers.push((job, rotation));
                }
            }
        }
        Ok(answers)
    }

    /// Runs a statement that changes sessions, for these jobs, and returns those that it has changed.
    async fn update(
        &self,
        sql: &str,
        jobs: impl Iterator<Item = &Job>,
        reason: Option<EndReason>,
    ) -> Result<Vec<Row>, Failure> {
        let (mut ids, mut counters, mut instants) = (Vec::new(), Vec::new(), Vec::new());
        for job in jobs {
            ids.push(job.id.0);
            counters.push(job.counter);
            instants.push(At(job.at));
        }
        let reason = reason.map(EndReason::as_str);
        let params = [
            (&ids as _, Type::UUID_ARRAY),
            (&counters as _, Type::INT8_ARRAY),
            (&instants as _, Type::TIMESTAMPTZ_ARRAY),
            (&reason as _, Type::TEXT),
        ];
        let params = if reason.is_some() { &params[..] } else { &params[..3] };
        self.database.rows_of_begun_call(Effort::Write, sql, params).await
    }
}

fn by_id(rows: &[Row]) -> Result<HashMap<SessionId, Session>, Failure> {
    rows.iter().map(|row| session(row).map(|session| (session.id, session))).collect()
}

fn refuse(jobs: &mut Vec<Job>, failure: &Failure) {
    for job in jobs.drain(..) {
        let _ = job.answer.send(Err(failure.clone()));
    }
}

/// What is to be done with a token that did not rotate.
enum Verdict {
    Answer(Box<Rotation>),
    Newest,
    Reused,
}

fn judge(session: &Session, user_is_active: bool, job: &Job) -> Verdict {
    let idle = session.idle_seconds.is_some_and(|limit| {
        let idle_micros = job.at.as_micros().saturating_sub(session.last_seen_at.as_micros());
        idle_micros >= limit.min(MAX_IDLE).saturating_mul(1_000_000)
    });
    let dead = session.ended.is_some() || session.expires_at <= job.at || idle || !user_is_active;
    match session.refresh_counter {
        Some(newest) if !dead && (0..=newest).contains(&job.counter) => match newest - job.counter {
            0 => Verdict::Newest,
            1 => Verdict::Answer(Box::new(Rotation::Repeated(session.clone()))),
            _ => Verdict::Reused,
        },
        _ => Verdict::Answer(Box::new(Rotation::Refused)),
    }
}
