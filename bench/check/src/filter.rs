use doorwarden::core::password::breached::{Filter, FilterWriter, Hash};
use serde_json::{Value, json};
use std::fs::File;
use std::path::Path;
use std::time::Instant;

/// How many look-ups of each kind, of known and of other hashes.
const LOOK_UPS: u64 = 10_000_000;

/// Builds a filter of so many hashes in ascending order, evenly distributed as SHA-1 is; looks up every one
/// of them, at most ten million, and as many others.
pub fn measure(directory: &Path, count: u64) -> Value {
    std::fs::create_dir_all(directory).expect("a directory");
    let path = directory.join("filter");
    let file = File::create(&path).expect("a file");
    let begin = Instant::now();
    let mut writer = FilterWriter::new(file, "synthetic hashes").expect("it is written");
    for number in 0..count {
        writer.push(known(number, count)).expect("it is written");
    }
    let file = writer.finish(0).expect("it is written");
    let build = begin.elapsed().as_secs_f64();
    file.sync_all().expect("it is written");
    let peak = peak();

    let filter = Filter::open(File::open(&path).expect("a file")).expect("a filter");
    let open = Instant::now();
    filter.verify(|_, _| true).expect("it is whole");
    let verify = open.elapsed().as_secs_f64();
    let look_ups = count.min(LOOK_UPS);
    let contains = |hash| filter.contains(&hash).expect("it is read");
    let hits = Instant::now();
    // In no order, and each once.
    let missed = (0..look_ups).filter(|n| !contains(known(n.wrapping_mul(1_000_003) % count, count))).count();
    let hits = hits.elapsed().as_secs_f64();
    let misses = Instant::now();
    let found = (0..LOOK_UPS).filter(|n| contains(other(*n))).count();
    let misses = misses.elapsed().as_secs_f64();
    json!({
        "entries": count,
        "bytes_each": filter.about().bytes as f64 / count as f64,
        "build_per_second": count as f64 / build,
        "build_seconds": build,
        "peak_bytes": peak,
        "verify_seconds": verify,
        "hits_per_second": look_ups as f64 / hits,
        "misses_per_second": LOOK_UPS as f64 / misses,
        "missed": missed,
        "found": found,
        "others": LOOK_UPS,
    })
}

/// The most memory that this process has had, where the system says so.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// The hash with this number, of so many in ascending order.
fn known(number: u64, count: u64) -> Hash {
    let width = u64::MAX / count;
    hash(number * width + mix(number) % width, number)
}

fn other(number: u64) -> Hash {
    hash(mix(number ^ 1 << 63), !number)
}

fn hash(first: u64, number: u64) -> Hash {
    let mut hash = [0; 20];
    hash[..8].copy_from_slice(&first.to_be_bytes());
    hash[8..16].copy_from_slice(&mix(number ^ 1 << 62).to_be_bytes());
    hash[16..].copy_from_slice(&mix(number ^ 1 << 61).to_be_bytes()[..4]);
    hash
}

fn mix(number: u64) -> u64 {
    let mut bits = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}
