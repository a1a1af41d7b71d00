use argon2::{Algorithm, Argon2, Block, Params, Version};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Hashes per second on all cores, with reused memory.
pub fn measure(seconds: f64) -> Value {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (count, begin) = (AtomicU64::new(0), Instant::now());
    let end = begin + Duration::from_secs_f64(seconds);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                let params = Params::new(19_456, 2, 1, Some(32)).expect("the default cost");
                let mut memory = vec![Block::default(); params.block_count()];
                let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
                let mut tag = [0; 32];
                while Instant::now() < end {
                    argon2
                        .hash_password_into_with_memory(
                            b"correct horse battery",
                            &[7; 16],
                            &mut tag,
                            &mut memory,
                        )
                        .expect("valid lengths");
                    count.fetch_add(1, Relaxed);
                }
            });
        }
    });
    let per_second = count.into_inner() as f64 / begin.elapsed().as_secs_f64();
    json!({"per_second": per_second, "cores": cores})
}
