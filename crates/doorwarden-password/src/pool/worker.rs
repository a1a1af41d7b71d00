use super::queue::{Queue, Take};
use crate::arena::Arena;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

/// After so long without work a thread gives its memory back.
const RELEASE_AFTER: Duration = Duration::from_mins(1);

pub(super) fn start(queue: Arc<Queue>, niceness: u8) -> io::Result<JoinHandle<()>> {
    Builder::new().name("doorwarden-hash".to_owned()).spawn(move || {
        step_back(niceness);
        work(&queue);
    })
}

fn work(queue: &Queue) {
    let mut arena = Arena::new();
    loop {
        // What a hash left is wiped only when nothing waits: the next one would overwrite it anyway.
        let patience = if arena.is_dirty() { Duration::ZERO } else { RELEASE_AFTER };
        match queue.take(patience) {
            Take::Job(lane, job) => {
                let (started, before) = (Instant::now(), arena.filled_kib());
                if catch_unwind(AssertUnwindSafe(|| job.run(&mut arena))).is_err() {
                    tracing::error!("a password hash panicked; its request fails, the thread goes on");
                }
                queue.finished(lane, started.elapsed(), arena.filled_kib() - before);
            }
            Take::Nothing if arena.is_dirty() => arena.wipe(),
            Take::Nothing => arena.release(),
            Take::Stop => return,
        }
    }
}

/// On Linux priorities belong to threads; elsewhere this would slow the whole process down.
#[cfg(target_os = "linux")]
fn step_back(niceness: u8) {
    if niceness > 0
        && let Err(error) = rustix::process::nice(i32::from(niceness.min(19)))
    {
        tracing::debug!(%error, "hashing threads keep the priority of the others");
    }
}

#[cfg(not(target_os = "linux"))]
fn step_back(_niceness: u8) {}
