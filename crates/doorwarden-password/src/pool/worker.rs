use super::queue::{Queue, Take};
use crate::arena::Arena;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

/// A thread without work for this long frees its memory.
const RELEASE_AFTER: Duration = Duration::from_mins(1);

pub(super) fn start(queue: Arc<Queue>, niceness: u8) -> io::Result<JoinHandle<()>> {
    Builder::new().name("doorwarden-hash".to_owned()).spawn(move || {
        lower_priority(niceness);
        work(&queue);
    })
}

fn work(queue: &Queue) {
    let mut arena = Arena::new();
    loop {
        // The memory is wiped only when no job waits: the next hash would overwrite it anyway.
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

/// On Linux priorities belong to threads; elsewhere they would apply to the whole process.
#[cfg(target_os = "linux")]
fn lower_priority(niceness: u8) {
    if niceness > 0
        && let Err(error) = rustix::process::nice(i32::from(niceness.min(19)))
    {
        tracing::debug!(%error, "the priority of a hashing thread was not lowered");
    }
}

#[cfg(not(target_os = "linux"))]
fn lower_priority(_niceness: u8) {}
