//! Entity tags.

use sha2::{Digest, Sha256};
use uuid::Uuid;

/// A name for exactly these bytes, for `ETag`: the first 16 bytes of their SHA-256 in hexadecimal digits.
pub fn etag(bytes: &[u8]) -> String {
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    digest.first_chunk().map(|half| Uuid::from_bytes(*half).simple().to_string()).unwrap_or_default()
}
