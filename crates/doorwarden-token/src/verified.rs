//! A cache of verified access tokens, so that a signature is checked once per token and not once per request.

use crate::access::AccessClaims;
use parking_lot::RwLock;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

const SHARDS: usize = 16;

/// The SHA-256 of a whole token, by which [`VerifiedTokens`] finds its claims.
pub type TokenDigest = [u8; 32];

/// A bounded cache of the claims of verified tokens, for concurrent use.
///
/// It says nothing of the present: whether a cached token has expired or was revoked is for the caller to
/// check. A key set that changes needs a new cache.
///
/// Each shard holds two generations: when the young one is full, it replaces the old one, whose entries are
/// dropped.
pub struct VerifiedTokens {
    shards: [RwLock<Generations>; SHARDS],
    generation: usize,
}

type Tokens = HashMap<TokenDigest, Arc<AccessClaims>, BuildHasherDefault<Prefix>>;

#[derive(Default)]
struct Generations {
    young: Tokens,
    old: Tokens,
}

/// A digest needs no further hashing: an attacker who makes these bytes collide still needs the tokens
/// signed.
#[derive(Default)]
struct Prefix(u64);

impl Hasher for Prefix {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    /// Every digest has the same length.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

impl VerifiedTokens {
    /// Holds at most `capacity` tokens, and at least 32.
    pub fn new(capacity: usize) -> Self {
        Self { shards: Default::default(), generation: (capacity / SHARDS / 2).max(1) }
    }

    /// The key of a token in this cache.
    pub fn digest(token: &str) -> TokenDigest {
        Sha256::digest(token).into()
    }

    /// The claims of a cached token, which then stays in the cache for longer.
    pub fn get(&self, digest: &TokenDigest) -> Option<Arc<AccessClaims>> {
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

    /// Adds the claims of a token whose signature was verified.
    pub fn insert(&self, digest: TokenDigest, claims: &Arc<AccessClaims>) {
        let mut known = self.shard(&digest).write();
        if known.young.len() >= self.generation && !known.young.contains_key(&digest) {
            known.old = std::mem::take(&mut known.young);
        }
        known.young.insert(digest, Arc::clone(claims));
    }

    /// Removes a token.
    pub fn remove(&self, digest: &TokenDigest) {
        let mut known = self.shard(digest).write();
        known.young.remove(digest);
        known.old.remove(digest);
    }

    fn shard(&self, digest: &TokenDigest) -> &RwLock<Generations> {
        &self.shards[usize::from(digest[31]) % SHARDS]
    }
}

impl fmt::Debug for VerifiedTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VerifiedTokens(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn used_tokens_stay_and_the_number_of_the_others_is_bounded() {
        let tokens = VerifiedTokens::new(320);
        let claims = Arc::new(AccessClaims::default());
        let used = VerifiedTokens::digest("used");
        tokens.insert(used, &claims);
        for n in 0..10_000 {
            tokens.insert(VerifiedTokens::digest(&n.to_string()), &claims);
            assert!(tokens.get(&used).is_some(), "after {n}");
        }
        let held: usize = tokens.shards.iter().map(|s| s.read().young.len() + s.read().old.len()).sum();
        assert!(held <= 320, "{held}");
        assert!(tokens.get(&VerifiedTokens::digest("0")).is_none());
        tokens.remove(&used);
        assert!(tokens.get(&used).is_none());
    }
}
