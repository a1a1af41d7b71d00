//! Rotations of refresh tokens, gathered into few commits: while one batch commits, the next one collects.
//! There is no timer, so a single rotation does not wait.

use crate::audit::{self, write_effects};
use crate::database::{CALL_LIMIT, Database, Effort};
use crate::failure::Failure;
use crate::rows::{SESSION_COLUMNS, get, judged_session_columns, session, session_columns};
use crate::values::At;
use doorwarden_core::audit::Effects;
use doorwarden_core::event::Event;
use doorwarden_core::refresh::{self, Decision, MAX_IDLE_SECONDS, Presented};
use doorwarden_core::session::{Session, SessionId};
use doorwarden_core::store::{Renewal, Rotation, StoreError, patience};
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

/// How many rotations must wait before a second batch is worth its commit: below it, one larger batch costs
/// the database a third less.
const WORTH_ANOTHER: usize = 64;

/// How many rotations one statement takes.
const BATCH: usize = 512;

/// How often a batch goes around while others change the same sessions.
const ROUNDS: usize = 16;

/// Rotates the newest token of each session: what [`refresh::decide`] says of the usual case, for many at
/// once.
const ROTATE: &str = concat!(
    "UPDATE doorwarden_sessions s \
     SET refresh_counter = s.refresh_counter + 1, rotated_at = given.at, \
         last_seen_at = greatest(s.last_seen_at, given.at), \
         late_repeats = CASE WHEN s.repeated_at_counter = s.refresh_counter THEN s.late_repeats ELSE 0 END \
     FROM unnest($1::uuid[], $2::bigint[], $3::timestamptz[]) AS given (id, counter, at), users u \
     WHERE s.id = given.id AND s.refresh_counter = given.counter AND s.ended_at IS NULL AND s.expires_at > given.at \
     AND (s.idle_seconds IS NULL OR s.last_seen_at + least(s.idle_seconds, $4) * interval '1 second' > given.at) \
     AND u.id = s.user_id AND u.is_active AND u.sessions_generation = s.generation RETURNING ",
    session_columns!()
);

/// What the rule has to know about sessions.
const LOOK: &str = concat!(
    "SELECT ",
    judged_session_columns!(),
    ", coalesce(u.is_active, false) FROM doorwarden_sessions s LEFT JOIN users u ON u.id = s.user_id \
     WHERE s.id = ANY ($1::uuid[])"
);

/// Stores what the rule has decided, where nothing that it looked at has changed since.
const STORE: &str = concat!(
    "WITH stored AS (UPDATE doorwarden_sessions s \
     SET refresh_counter = new.counter, rotated_at = new.rotated_at, \
         last_seen_at = greatest(s.last_seen_at, new.last_seen_at), expires_at = new.expires_at, \
         idle_seconds = new.idle_seconds, late_repeats = new.late_repeats, repeated_at_counter = new.repeated_at_counter, \
         late_repeat_at = new.late_repeat_at, audience = new.audience, ended_at = new.ended_at, end_reason = new.end_reason \
     FROM unnest($1::uuid[], $2::bigint[], $3::smallint[], $4::bigint[], $5::bigint[], $6::timestamptz[], $7::timestamptz[], \
         $8::timestamptz[], $9::bigint[], $10::smallint[], $11::bigint[], $12::timestamptz[], $13::text[], $14::timestamptz[], \
         $15::text[]) AS new (id, seen_counter, seen_late_repeats, seen_repeated_at_counter, counter, rotated_at, last_seen_at, \
         expires_at, idle_seconds, late_repeats, repeated_at_counter, late_repeat_at, audience, ended_at, end_reason), users u \
     WHERE s.id = new.id AND s.refresh_counter IS NOT DISTINCT FROM new.seen_counter \
     AND s.late_repeats = new.seen_late_repeats \
     AND s.repeated_at_counter IS NOT DISTINCT FROM new.seen_repeated_at_counter AND s.ended_at IS NULL \
     AND u.id = s.user_id AND u.is_active AND u.sessions_generation = s.generation RETURNING s.id), audited AS (",
    write_effects!(
        "given.effects",
        from: "stored JOIN unnest($1::uuid[], $16::text[]) AS given (id, effects) ON given.id = stored.id"
    ),
    ") SELECT id FROM stored"
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
    shown: Presented,
    /// Who shows it.
    cause: Effects,
    answer: oneshot::Sender<Result<Rotation, Failure>>,
}

impl Rotations {
    pub(crate) fn new(database: Arc<Database>) -> Self {
        Self { database, queue: Mutex::default() }
    }

    /// Takes part in the next batch and returns its result.
    pub(crate) async fn rotate(
        self: &Arc<Self>,
        shown: Presented,
        cause: Effects,
    ) -> Result<Rotation, StoreError> {
        let _call = self.database.begin()?;
        let (answer, result) = oneshot::channel();
        if self.enqueue(Job { shown, cause, answer }) {
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

    /// Sends the statement of the next batch before it hands out the answers of the last, so that the
    /// database need not wait for that.
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
        // A client that no longer waits must not lose its token to a response that it will never receive.
        jobs.retain(|job| !job.answer.is_closed());
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        jobs.sort_by_key(|job| job.shown.session);
        // One job per session, so that one statement decides about each row once.
        let mut seen = HashSet::with_capacity(jobs.len());
        let (mut ids, mut counters, mut instants) = (Vec::new(), Vec::new(), Vec::new());
        for Presented { session, counter, at, .. } in jobs.iter().map(|job| job.shown) {
            if seen.insert(session) {
                ids.push(session.0);
                counters.push(counter);
                instants.push(At(at));
            }
        }
        let params = [
            (&ids as _, Type::UUID_ARRAY),
            (&counters as _, Type::INT8_ARRAY),
            (&instants as _, Type::TIMESTAMPTZ_ARRAY),
            (&MAX_IDLE_SECONDS as _, Type::INT8),
        ];
        self.database.rows_of_begun_call(Effort::Write, ROTATE, &params).await
    }

    /// Answers every job. What may still rotate after others have goes around once more.
    async fn settle(&self, mut jobs: Vec<Job>, mut rotated: Result<Vec<Row>, Failure>) {
        for _ in 0..ROUNDS {
            match self.round(&mut jobs, rotated).await {
                Ok(answers) => {
                    for (job, rotation) in answers {
                        // The caller may be gone: with the token before the newest they get the newest again.
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

    /// Answers those whose token rotated and says of the rest why not. What may still be rotated stays in
    /// `jobs`.
    async fn round(
        &self,
        jobs: &mut Vec<Job>,
        rotated: Result<Vec<Row>, Failure>,
    ) -> Result<Vec<(Job, Rotation)>, Failure> {
        let mut rotated = by_id(&rotated?)?;
        let mut answers = Vec::with_capacity(jobs.len());
        let mut others = Vec::new();
        for job in jobs.drain(..) {
            match rotated.remove(&job.shown.session) {
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

    /// Decides about tokens that did not rotate. What must be decided once more stays in `jobs`: a token that
    /// turns out to be the newest, and one whose session others change at the same time.
    async fn explain(&self, jobs: &mut Vec<Job>) -> Result<Vec<(Job, Rotation)>, Failure> {
        let found = self.look(jobs.iter().map(|job| job.shown.session)).await?;
        let mut answers = Vec::with_capacity(jobs.len());
        let (mut again, mut decided, mut changes) = (Vec::new(), Vec::new(), Vec::new());
        // One change per session, so that the next one is decided by what the first has left.
        let mut changing = HashSet::new();
        for job in jobs.drain(..) {
            let Some((seen, has_owner)) = found.get(&job.shown.session) else {
                answers.push((job, Rotation::Unknown));
                continue;
            };
            let decision = refresh::decide(seen, *has_owner, &job.shown);
            let effects = job.cause.causing(Event::of_decision(&decision));
            let (new, rotation) = match decision {
                Decision::Rotate(_) => {
                    again.push(job);
                    continue;
                }
                Decision::Refuse => {
                    answers.push((job, Rotation::Refused));
                    continue;
                }
                Decision::Repeat(new, repeat) => (new.clone(), Rotation::Repeated(new, repeat)),
                Decision::Reuse(new) => (new.clone(), Rotation::Reused(new)),
            };
            if new == *seen {
                answers.push((job, rotation));
            } else if changing.insert(new.id) {
                changes.push((seen, new, effects));
                decided.push((job, rotation));
            } else {
                again.push(job);
            }
        }
        if !changes.is_empty() {
            match self.store(&changes).await {
                Ok(stored) => {
                    let (done, raced): (Vec<_>, Vec<_>) =
                        decided.into_iter().partition(|(job, _)| stored.contains(&job.shown.session));
                    answers.extend(done);
                    again.extend(raced.into_iter().map(|(job, _)| job));
                }
                Err(failure) => refuse(&mut decided.into_iter().map(|(job, _)| job).collect(), &failure),
            }
        }
        *jobs = again;
        Ok(answers)
    }

    /// These sessions as they are, each with whether its user is there and active.
    async fn look(
        &self,
        ids: impl Iterator<Item = SessionId>,
    ) -> Result<HashMap<SessionId, (Session, bool)>, Failure> {
        let ids: Vec<_> = ids.map(|id| id.0).collect();
        let rows = self.database.rows_of_begun_call(Effort::Read, LOOK, &[(&ids, Type::UUID_ARRAY)]).await?;
        rows.iter()
            .map(|row| Ok((SessionId(get(row, 0)?), (session(row)?, get(row, SESSION_COLUMNS)?))))
            .collect()
    }

    /// Stores sessions as they were decided to be, each beside what it was decided by. Returns those where
    /// that still held.
    async fn store(&self, changes: &[(&Session, Session, Effects)]) -> Result<HashSet<SessionId>, Failure> {
        fn column<T>(
            changes: &[(&Session, Session, Effects)],
            of: impl Fn(&Session, &Session) -> T,
        ) -> Vec<T> {
            changes.iter().map(|(seen, new, _)| of(seen, new)).collect()
        }
        let ids = column(changes, |_, new| new.id.0);
        let seen_counters = column(changes, |seen, _| seen.refresh_counter);
        let seen_late = column(changes, |seen, _| i16::from(seen.repeats.late));
        let seen_repeated = column(changes, |seen, _| seen.repeats.last_at_counter);
        let counters = column(changes, |_, new| new.refresh_counter);
        let rotated = column(changes, |_, new| new.rotated_at.map(At));
        let last_seen = column(changes, |_, new| At(new.last_seen_at));
        let expires = column(changes, |_, new| At(new.expires_at));
        let idle = column(changes, |_, new| new.idle_seconds);
        let late = column(changes, |_, new| i16::from(new.repeats.late));
        let repeated = column(changes, |_, new| new.repeats.last_at_counter);
        let late_at = column(changes, |_, new| new.repeats.last_late_at.map(At));
        let audiences = column(changes, |_, new| new.audience.clone());
        let ended = column(changes, |_, new| new.ended.map(|(at, _)| At(at)));
        let reasons = column(changes, |_, new| new.ended.map(|(_, reason)| reason.as_str()));
        let effects: Vec<_> = changes.iter().map(|(.., effects)| audit::parameter(effects)).collect();
        let params = [
            (&ids as _, Type::UUID_ARRAY),
            (&seen_counters as _, Type::INT8_ARRAY),
            (&seen_late as _, Type::INT2_ARRAY),
            (&seen_repeated as _, Type::INT8_ARRAY),
            (&counters as _, Type::INT8_ARRAY),
            (&rotated as _, Type::TIMESTAMPTZ_ARRAY),
            (&last_seen as _, Type::TIMESTAMPTZ_ARRAY),
            (&expires as _, Type::TIMESTAMPTZ_ARRAY),
            (&idle as _, Type::INT8_ARRAY),
            (&late as _, Type::INT2_ARRAY),
            (&repeated as _, Type::INT8_ARRAY),
            (&late_at as _, Type::TIMESTAMPTZ_ARRAY),
            (&audiences as _, Type::TEXT_ARRAY),
            (&ended as _, Type::TIMESTAMPTZ_ARRAY),
            (&reasons as _, Type::TEXT_ARRAY),
            (&effects as _, Type::TEXT_ARRAY),
        ];
        let rows = self.database.rows_of_begun_call(Effort::Write, STORE, &params).await?;
        rows.iter().map(|row| Ok(SessionId(get(row, 0)?))).collect()
    }

    /// Gives a session a newer refresh token; `None` if the session is not live.
    pub(crate) async fn renew(
        &self,
        id: SessionId,
        renewal: &Renewal,
        effects: &Effects,
    ) -> Result<Option<Session>, Failure> {
        let _call = self.database.begin()?;
        for _ in 0..ROUNDS {
            let found = self.look([id].into_iter()).await?;
            let Some((seen, has_owner)) = found.get(&id) else { return Ok(None) };
            let Some(new) = renewal.of(seen, *has_owner) else { return Ok(None) };
            if self.store(&[(seen, new.clone(), effects.clone())]).await?.contains(&id) {
                return Ok(Some(new));
            }
        }
        Err(Failure::Busy("others keep changing this session".to_owned()))
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
