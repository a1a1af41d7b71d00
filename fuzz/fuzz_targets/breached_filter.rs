//! Filters of breached passwords: no file makes a look-up fail otherwise than with an error.
#![no_main]

use doorwarden_fuzz::bytes_or_edited;
use doorwarden_password::breached::{Filter, FilterWriter, sha1};
use libfuzzer_sys::fuzz_target;
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

const PASSWORDS: [&str; 3] = ["123456", "password", "trustno1"];

static SAMPLE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut hashes = PASSWORDS.map(sha1);
    hashes.sort();
    let mut writer = FilterWriter::new(Vec::new(), "a sample").expect("it is written");
    hashes.iter().for_each(|hash| writer.push(*hash).expect("in order"));
    writer.finish(1_700_000_000).expect("it is written")
});

fuzz_target!(|data: &[u8]| {
    let Some(mut bytes) = bytes_or_edited(data, &[&SAMPLE]) else { return };
    let is_sample = bytes == *SAMPLE;
    if data.len() % 2 == 0 {
        sign(&mut bytes);
    }
    let Ok(filter) = Filter::open(&bytes) else {
        assert!(!is_sample);
        return;
    };
    let _ = filter.about().is_incomplete();
    for password in PASSWORDS {
        let found = filter.contains(&sha1(password));
        assert!(!is_sample || found.is_ok_and(|found| found), "{password}");
    }
    // What is not whole cannot be told by opening it, and what is whole can be read.
    if filter.verify(|_, _| true).is_ok() {
        assert!(PASSWORDS.into_iter().all(|password| filter.contains(&sha1(password)).is_ok()));
    }
});

/// Makes the checksums of the header and of the index right, so that what they protect is read.
fn sign(bytes: &mut [u8]) {
    let length = bytes.len();
    if length < 256 + 40 {
        return;
    }
    let header = Sha256::digest(&bytes[..248]);
    bytes[248..256].copy_from_slice(&header[..8]);
    let end = length - 40;
    let shards = u64::from_le_bytes(bytes[end + 8..end + 16].try_into().expect("8 bytes"));
    let index = usize::try_from(shards).ok().and_then(|n| n.checked_mul(56)).and_then(|n| end.checked_sub(n));
    if let Some(index) = index.filter(|index| *index >= 256) {
        let sum = [&bytes[..256], &bytes[index..end], &bytes[end..end + 24]].concat();
        bytes[end + 24..end + 32].copy_from_slice(&Sha256::digest(&sum)[..8]);
    }
}
