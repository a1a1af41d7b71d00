use super::{PoolError, PoolSettings, PoolStats};
use crate::arena::Arena;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// The queue in which a job waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// Any thread may run the job, in its own memory.
    Normal,
    /// The job needs more memory: one of these runs at a time in the whole pool.
    Large,
}

/// The waiting jobs, and the state of the threads.
pub(super) struct Queue {
    settings: PoolSettings,
    state: Mutex<State>,
    wake: Condvar,
}

/// Work whose result a future awaits.
pub(super) trait Job: Send {
    /// Whether the future that awaits the result was dropped.
    fn is_abandoned(&self) -> bool;

    /// Computes and sends the result.
    fn run(self: Box<Self>, arena: &mut Arena);

    /// Sends an error without computing.
    fn refuse(self: Box<Self>, error: PoolError);
}

/// The one kind of [`Job`]: a function, and where its result goes.
pub(super) struct Request<F, T> {
    work: F,
    reply: oneshot::Sender<Result<T, PoolError>>,
}

#[derive(Default)]
struct State {
    normal: Waiting,
    large: Waiting,
    large_running: bool,
    tickets: u64,
    stopping: bool,
    stats: PoolStats,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Ticket>,
    /// A moving average over some eight jobs.
    mean: Duration,
}

struct Ticket {
    number: u64,
    since: Instant,
    job: Box<dyn Job>,
}

impl Queue {
    pub(super) fn new(settings: PoolSettings) -> Self {
        let settings =
            PoolSettings { threads: settings.threads.max(1), queue: settings.queue.max(1), ..settings };
        Self { settings, state: Mutex::default(), wake: Condvar::new() }
    }

    /// Queues a job, or refuses it at once if it would wait too long.
    pub(super) fn submit(&self, lane: Lane, job: Box<dyn Job>) -> Result<(), PoolError> {
        let mut state = self.state.lock();
        if state.stopping {
            return Err(PoolError::Stopped);
        }
        if self.is_over(&state, lane) {
            state.forget_abandoned();
            if self.is_over(&state, lane) {
                state.stats.rejected += 1;
                let retry_after = state.expected_wait(lane, self.settings.threads);
                return Err(PoolError::Busy { retry_after });
            }
        }
        state.tickets += 1;
        let ticket = Ticket { number: state.tickets, since: Instant::now(), job };
        state.waiting(lane).jobs.push_back(ticket);
        drop(state);
        self.wake.notify_one();
        Ok(())
    }

    /// The next job; waits for one for at most `patience`.
    pub(super) fn take(&self, patience: Duration) -> Take {
        let mut state = self.state.lock();
        let until = Instant::now() + patience;
        loop {
            if let Some((lane, job)) = self.next(&mut state) {
                return Take::Job(lane, job);
            }
            if state.stopping {
                return Take::Stop;
            }
            if self.wake.wait_until(&mut state, until).timed_out() {
                return Take::Nothing;
            }
        }
    }

    /// Records a finished job: its duration, and the KiB that it filled.
    pub(super) fn finished(&self, lane: Lane, took: Duration, filled_kib: u64) {
        let mut state = self.state.lock();
        let mean = &mut state.waiting(lane).mean;
        *mean = if mean.is_zero() { took } else { (*mean * 7 + took) / 8 };
        state.stats.busy -= 1;
        state.stats.total += 1;
        state.stats.filled_kib += filled_kib;
        if lane == Lane::Large {
            state.large_running = false;
            drop(state);
            // A thread may have been waiting for a large job to finish.
            self.wake.notify_one();
        }
    }

    /// Refuses all waiting jobs, and wakes the threads so that they end.
    pub(super) fn stop(&self) {
        let mut state = self.state.lock();
        state.stopping = true;
        let waiting: Vec<_> = [Lane::Normal, Lane::Large]
            .into_iter()
            .flat_map(|lane| std::mem::take(&mut state.waiting(lane).jobs))
            .collect();
        drop(state);
        self.wake.notify_all();
        for ticket in waiting {
            ticket.job.refuse(PoolError::Stopped);
        }
    }

    pub(super) fn stats(&self) -> PoolStats {
        let state = self.state.lock();
        PoolStats { queued: state.queued(), mean: state.normal.mean, ..state.stats }
    }

    fn is_over(&self, state: &State, lane: Lane) -> bool {
        state.queued() >= self.settings.queue
            || state.expected_wait(lane, self.settings.threads) > self.settings.deadline
    }

    /// The oldest job that may run now. Jobs that waited too long are refused, abandoned ones dropped.
    fn next(&self, state: &mut State) -> Option<(Lane, Box<dyn Job>)> {
        loop {
            let lane = state.oldest()?;
            let ticket = state.waiting(lane).jobs.pop_front()?;
            if ticket.job.is_abandoned() {
                state.stats.abandoned += 1;
            } else if ticket.since.elapsed() > self.settings.deadline {
                state.stats.rejected += 1;
                let retry_after = state.expected_wait(lane, self.settings.threads);
                ticket.job.refuse(PoolError::Busy { retry_after });
            } else {
                state.stats.busy += 1;
                state.large_running |= lane == Lane::Large;
                return Some((lane, ticket.job));
            }
        }
    }
}

/// What a thread does next.
pub(super) enum Take {
    /// Run this job.
    Job(Lane, Box<dyn Job>),
    /// No job came in time.
    Nothing,
    /// The pool has stopped.
    Stop,
}

impl State {
    fn waiting(&mut self, lane: Lane) -> &mut Waiting {
        match lane {
            Lane::Normal => &mut self.normal,
            Lane::Large => &mut self.large,
        }
    }

    fn queued(&self) -> usize {
        self.normal.jobs.len() + self.large.jobs.len()
    }

    /// The lane whose first job is the oldest of those that may run.
    fn oldest(&self) -> Option<Lane> {
        let normal = self.normal.jobs.front().map(|ticket| (ticket.number, Lane::Normal));
        let large = self.large.jobs.front().filter(|_| !self.large_running);
        let large = large.map(|ticket| (ticket.number, Lane::Large));
        normal.into_iter().chain(large).min_by_key(|(number, _)| *number).map(|(_, lane)| lane)
    }

    /// How long a new job would wait: for all waiting jobs, spread over the threads; a large job at least for
    /// the large jobs before it, one after the other.
    fn expected_wait(&self, lane: Lane, threads: usize) -> Duration {
        let threads = u32::try_from(threads).unwrap_or(u32::MAX);
        let large = self.large.work(0);
        let all = self.normal.work(0).saturating_add(large) / threads;
        match lane {
            Lane::Normal => all,
            Lane::Large => all.max(self.large.work(usize::from(self.large_running))),
        }
    }

    fn forget_abandoned(&mut self) {
        let before = self.queued();
        for lane in [Lane::Normal, Lane::Large] {
            self.waiting(lane).jobs.retain(|ticket| !ticket.job.is_abandoned());
        }
        self.stats.abandoned += (before - self.queued()) as u64;
    }
}

impl Waiting {
    /// The time that the waiting jobs and `more` others will take.
    fn work(&self, more: usize) -> Duration {
        self.mean.saturating_mul(u32::try_from(self.jobs.len() + more).unwrap_or(u32::MAX))
    }
}

impl<F, T> Request<F, T> {
    pub(super) fn new(work: F, reply: oneshot::Sender<Result<T, PoolError>>) -> Self {
        Self { work, reply }
    }
}

impl<F: FnOnce(&mut Arena) -> T + Send, T: Send> Job for Request<F, T> {
    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    fn run(self: Box<Self>, arena: &mut Arena) {
        let Self { work, reply } = *self;
        // The receiver may have been dropped by now.
        let _ = reply.send(Ok(work(arena)));
    }

    fn refuse(self: Box<Self>, error: PoolError) {
        let _ = self.reply.send(Err(error));
    }
}
