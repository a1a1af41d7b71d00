use super::queue::Lane;
use super::*;
use crate::settings::{Ceilings, HashSettings};
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::task::{Context, Waker};
use std::time::Instant;
use tokio::task::JoinHandle as Task;

const LONG: Duration = Duration::from_mins(1);

fn pool(threads: usize, queue: usize, deadline: Duration) -> Arc<HashPool> {
    let settings = PoolSettings { threads, queue, deadline, niceness: 0 };
    let hasher = Hasher::new(HashSettings::insecure_for_tests(), Ceilings::default()).unwrap();
    Arc::new(HashPool::start(settings, hasher, [7; 48]).unwrap())
}

/// A job that runs until the test ends it.
struct Gate {
    open: mpsc::Sender<()>,
    task: Task<Result<(), PoolError>>,
}

impl Gate {
    /// Submits a job, without waiting for its turn.
    async fn submit(pool: &Arc<HashPool>, lane: Lane) -> (Self, oneshot::Receiver<()>) {
        let (open, gate) = mpsc::channel::<()>();
        let (begin, begun) = oneshot::channel();
        let task = spawn(pool, lane, move |_| {
            begin.send(()).unwrap();
            gate.recv().unwrap();
        })
        .await;
        (Self { open, task }, begun)
    }

    /// Submits a job and waits until it runs.
    async fn occupy(pool: &Arc<HashPool>, lane: Lane) -> Self {
        let (gate, begun) = Self::submit(pool, lane).await;
        begun.await.unwrap();
        gate
    }

    async fn open(self) -> Result<(), PoolError> {
        self.open.send(()).unwrap();
        self.task.await.unwrap()
    }
}

/// Submits a job; when this returns it waits in the queue or was refused.
async fn spawn<T: Send + 'static>(
    pool: &Arc<HashPool>,
    lane: Lane,
    work: impl FnOnce(&mut crate::Arena) -> T + Send + 'static,
) -> Task<Result<T, PoolError>> {
    let pool = Arc::clone(pool);
    let task = tokio::spawn(async move { pool.run(lane, work).await });
    tokio::task::yield_now().await;
    task
}

/// The stats once the threads have entered their last job.
async fn settled(pool: &HashPool) -> PoolStats {
    loop {
        let stats = pool.stats();
        if stats.busy == 0 && stats.queued == 0 {
            return stats;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let pool = pool(1, 2, LONG);
    let running = Gate::occupy(&pool, Lane::Normal).await;
    let waiting = [spawn(&pool, Lane::Normal, |_| 1).await, spawn(&pool, Lane::Normal, |_| 2).await];
    assert_eq!((pool.stats().queued, pool.stats().busy), (2, 1));

    assert!(matches!(pool.run(Lane::Normal, |_| ()).await, Err(PoolError::Busy { .. })));
    assert_eq!(pool.stats().rejected, 1);

    assert_eq!(running.open().await, Ok(()));
    for (task, answer) in waiting.into_iter().zip([1, 2]) {
        assert_eq!(task.await.unwrap(), Ok(answer));
    }
    assert_eq!(settled(&pool).await.total, 3);
}

#[tokio::test]
async fn a_wait_beyond_the_deadline_is_refused_at_once() {
    let deadline = Duration::from_millis(200);
    let pool = pool(1, 1_000, deadline);
    pool.run(Lane::Normal, |_| std::thread::sleep(Duration::from_millis(30))).await.unwrap();
    let mean = settled(&pool).await.mean;
    assert!(mean >= Duration::from_millis(30));

    let running = Gate::occupy(&pool, Lane::Normal).await;
    let mut waiting = Vec::new();
    while mean * u32::try_from(waiting.len()).unwrap() <= deadline {
        waiting.push(spawn(&pool, Lane::Normal, |_| ()).await);
    }
    assert_eq!(pool.stats().queued, waiting.len());
    let retry_after = mean * u32::try_from(waiting.len()).unwrap();
    assert_eq!(pool.run(Lane::Normal, |_| ()).await, Err(PoolError::Busy { retry_after }));
    for task in waiting {
        task.abort();
    }
    running.open().await.unwrap();
}

#[tokio::test]
async fn a_job_that_waited_too_long_is_not_computed() {
    let deadline = Duration::from_millis(200);
    let pool = pool(1, 10, deadline);
    let running = Gate::occupy(&pool, Lane::Normal).await;
    let late = spawn(&pool, Lane::Normal, |_| panic!("computed")).await;
    tokio::time::sleep(deadline * 2).await;
    running.open().await.unwrap();
    assert!(matches!(late.await.unwrap(), Err(PoolError::Busy { .. })));
    let stats = settled(&pool).await;
    assert_eq!((stats.total, stats.rejected), (1, 1));
}

#[tokio::test]
async fn one_large_hash_at_a_time() {
    let pool = pool(3, 100, LONG);
    let large = Gate::occupy(&pool, Lane::Large).await;
    let (next, begun) = Gate::submit(&pool, Lane::Large).await;
    // Two threads are idle: they skip the waiting large job and run the small one after it.
    assert_eq!(pool.run(Lane::Normal, |_| 5).await, Ok(5));
    assert_eq!(pool.stats().queued, 1);
    large.open().await.unwrap();
    begun.await.unwrap();
    next.open().await.unwrap();

    let running = Arc::new(AtomicUsize::new(0));
    let mut tasks = Vec::new();
    for _ in 0..20 {
        let running = Arc::clone(&running);
        let work = move |_: &mut crate::Arena| {
            let alone = running.fetch_add(1, Ordering::SeqCst) == 0;
            std::thread::sleep(Duration::from_millis(1));
            running.fetch_sub(1, Ordering::SeqCst);
            alone
        };
        tasks.push(spawn(&pool, Lane::Large, work).await);
    }
    for task in tasks {
        assert_eq!(task.await.unwrap(), Ok(true));
    }
}

#[tokio::test]
async fn an_abandoned_job_is_skipped() {
    let pool = pool(1, 1, LONG);
    let running = Gate::occupy(&pool, Lane::Normal).await;
    let dropped = spawn(&pool, Lane::Normal, |_| panic!("computed")).await;
    dropped.abort();
    assert!(dropped.await.unwrap_err().is_cancelled());

    // Its place in the full queue is free again.
    let next = spawn(&pool, Lane::Normal, |_| 5).await;
    running.open().await.unwrap();
    assert_eq!(next.await.unwrap(), Ok(5));
    let stats = settled(&pool).await;
    assert_eq!((stats.total, stats.abandoned, stats.rejected), (2, 1, 0));
}

#[tokio::test]
async fn shutdown_finishes_running_hashes() {
    let pool = pool(1, 10, LONG);
    let running = Gate::occupy(&pool, Lane::Normal).await;
    let waiting = spawn(&pool, Lane::Normal, |_| ()).await;
    let stopping = {
        let pool = Arc::clone(&pool);
        tokio::task::spawn_blocking(move || pool.shutdown())
    };
    assert_eq!(waiting.await.unwrap(), Err(PoolError::Stopped));
    assert!(!stopping.is_finished());
    assert_eq!(running.open().await, Ok(()));
    stopping.await.unwrap();
    assert_eq!(pool.run(Lane::Normal, |_| ()).await, Err(PoolError::Stopped));
    assert_eq!(Arc::strong_count(&pool.queue), 1, "a thread is left");
}

#[tokio::test]
async fn a_panic_ends_one_request_only() {
    let pool = pool(1, 10, LONG);
    for lane in [Lane::Normal, Lane::Large] {
        let failed = pool.run(lane, |_| std::panic::resume_unwind(Box::new("on purpose"))).await;
        assert_eq!(failed, Err::<(), _>(PoolError::Stopped));
    }
    assert_eq!(pool.run(Lane::Large, |_| 5).await, Ok(5));
}

#[tokio::test]
async fn refusing_takes_no_wait() {
    let pool = pool(1, 1, LONG);
    let running = Gate::occupy(&pool, Lane::Normal).await;
    let waiting = spawn(&pool, Lane::Normal, |_| ()).await;
    let mut refused = std::pin::pin!(pool.run(Lane::Normal, |_| ()));
    let started = Instant::now();
    let answer = refused.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(answer.is_ready(), "refusing took a second poll");
    assert!(started.elapsed() < Duration::from_millis(100));
    running.open().await.unwrap();
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn every_login_does_the_same_work() {
    let pool = pool(1, 10, LONG);
    let password = Password::new("correct horse");
    let current = pool.hash(&Password::new("another"), [3; 16]).await.unwrap();
    let mut before = settled(&pool).await.filled_kib;
    let cost = pool.hasher().settings();
    assert_eq!(before, u64::from(cost.memory_kib() * cost.iterations()));

    let dear = "argon2$argon2id$v=19$m=4194304,t=2,p=1$c2FsdHNhbHQ$YC9+jJCrQhs5R6db7LlN8Q";
    for (stored, verdict) in [
        (current, Verdict::NoMatch),
        (pool.dummy.clone(), Verdict::NoMatch),
        (PasswordHash::unusable([1; 40]), Verdict::Unusable),
        (PasswordHash::from_stored("!".to_owned()), Verdict::Unusable),
        (PasswordHash::from_stored(String::new()), Verdict::Unreadable),
        (PasswordHash::from_stored("argon2$damaged".to_owned()), Verdict::Unreadable),
        (PasswordHash::from_stored(dear.to_owned()), Verdict::TooExpensive),
    ] {
        assert!(!pool.hasher().is_large(&stored));
        assert_eq!(pool.verify(&password, &stored).await, Ok(verdict), "{stored:?}");
        let after = settled(&pool).await.filled_kib;
        assert_eq!(after - before, u64::from(cost.memory_kib() * cost.iterations()), "{stored:?}");
        before = after;
    }
    assert_eq!(pool.verify_dummy(&password).await, Ok(()));
    assert_eq!(settled(&pool).await.filled_kib - before, u64::from(cost.memory_kib() * cost.iterations()));
}

#[tokio::test]
async fn the_dummy_hash_has_the_current_cost_and_matches_no_placeholder() {
    let pool = pool(2, 10, LONG);
    assert!(pool.hasher().is_current(&pool.dummy));
    for password in ["", "hunter2", "password", "dummy", "!", pool.dummy.as_str(), "\u{7}\u{7}\u{7}"] {
        assert_eq!(pool.verify(&Password::new(password), &pool.dummy).await, Ok(Verdict::NoMatch));
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn only_the_threads_of_the_pool_have_a_lower_priority() {
    fn niceness() -> i32 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        // The name may contain spaces: count from the bracket after it (proc(5), field 19).
        stat.rsplit_once(')').unwrap().1.split_whitespace().nth(16).unwrap().parse().unwrap()
    }
    let before = niceness();
    let settings = PoolSettings { threads: 1, ..PoolSettings::default() };
    let hasher = Hasher::new(HashSettings::insecure_for_tests(), Ceilings::default()).unwrap();
    let pool = HashPool::start(settings, hasher, [7; 48]).unwrap();
    assert_eq!(pool.run(Lane::Normal, |_| niceness()).await, Ok((before + 10).min(19)));
    assert_eq!(niceness(), before);
}

#[tokio::test]
async fn memory_of_large_hashes_is_freed() {
    let pool = pool(1, 10, LONG);
    assert_eq!(
        pool.run(Lane::Normal, |arena| arena.held_kib()).await,
        Ok(0),
        "allocated before the first hash"
    );
    let large = "argon2$argon2id$v=19$m=64,t=1,p=1$TmFDbDAxMjM0NTY3ODlhYmNkZWZnaA$l54O6ATIpdN3XyiCyoNAxljOAodftwUv6kpnAwA3eHI";
    let large = PasswordHash::from_stored(large.to_owned());
    assert!(pool.hasher().is_large(&large));
    let verdict = pool.verify(&Password::new("пароль123!"), &large).await;
    assert_eq!(verdict, Ok(Verdict::Match { needs_rehash: true }));
    assert_eq!(pool.run(Lane::Normal, |arena| arena.held_kib()).await, Ok(0));
    pool.hash(&Password::new("x"), [1; 16]).await.unwrap();
    let kept = usize::try_from(pool.hasher().settings().memory_kib()).unwrap();
    assert_eq!(pool.run(Lane::Normal, |arena| arena.held_kib()).await, Ok(kept));
    // A thread without work wipes the memory of the last hash.
    while pool.run(Lane::Normal, |arena| arena.is_dirty()).await.unwrap() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
