//! Access tokens whose signature was checked, so that it is checked once a token and not once a request.

use doorwarden_token::access::AccessClaims;
use parking_lot::RwLock;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

const SHARDS: usize = 16;

/// SHA-256 of the whole token: whoever finds another text with the same digest has broken more than this.
pub(crate) type TokenDigest = [u8; 32];

/// A bounded map of claims by the digest of their token. Each shard holds two generations: when the young one is full, it
/// becomes the old one, and the old one is forgotten.
pub(crate) struct VerifiedTokens {
    shards: [RwLock<Generations>; SHARDS],
    generation: usize,
}

type Tokens = HashMap<TokenDigest, Arc<AccessClaims>, BuildHasherDefault<Prefix>>;

#[derive(Default)]
struct Generations {
    young: Tokens,
    old: Tokens,
}

/// A digest needs no further hashing: whoever chooses tokens so that these bytes collide must also have them signed.
#[derive(Default)]
struct Prefix(u64);

impl Hasher for Prefix {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    /// The length of the array is the same for all.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

pub(crate) fn digest(token: &str) -> TokenDigest {
    Sha256::digest(token).into()
}

impl VerifiedTokens {
    /// Remembers at most `capacity` tokens.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { shards: Default::default(), generation: (capacity / SHARDS / 2).max(1) }
    }

    pub(crate) fn get(&self, digest: &TokenDigest) -> Option<Arc<AccessClaims>> {
        let claims = {
            let known = self.shard(digest).read();
            if let Some(claims) = known.young.get(digest) {
                return Some(Arc::clone(claims));
            }
            Arc::clone(known.old.get(digest)?)
        };
        self.insert(*digest, &claims);
        Some(claims)
    }

    pub(crate) fn insert(&self, digest: TokenDigest, claims: &Arc<AccessClaims>) {
        let mut known = self.shard(&digest).write();
        if known.young.len() >= self.generation && !known.young.contains_key(&digest) {
            known.old = std::mem::take(&mut known.young);
        }
        known.young.insert(digest, Arc::clone(claims));
    }

    pub(crate) fn remove(&self, digest: &TokenDigest) {
        let mut known = self.shard(digest).write();
        known.young.remove(digest);
        known.old.remove(digest);
    }

    fn shard(&self, digest: &TokenDigest) -> &RwLock<Generations> {
        &self.shards[usize::from(digest[31]) % SHARDS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_is_bounded() {
        let tokens = VerifiedTokens::new(320);
        let claims = Arc::new(AccessClaims::default());
        let used = digest("used");
        tokens.insert(used, &claims);
        for n in 0..10_000 {
            tokens.insert(digest(&n.to_string()), &claims);
            assert!(tokens.get(&used).is_some(), "after {n}");
        }
        let held: usize = tokens.shards.iter().map(|s| s.read().young.len() + s.read().old.len()).sum();
        assert!(held <= 320, "{held}");
        assert!(tokens.get(&digest("0")).is_none());
        tokens.remove(&used);
        assert!(tokens.get(&used).is_none());
    }
}
