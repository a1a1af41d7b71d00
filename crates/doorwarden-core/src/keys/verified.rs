//! Access tokens whose signature was checked, so that it is checked once a token and not once a request.

use crate::token::access::AccessClaims;
use parking_lot::RwLock;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::Arc;

const SHARDS: usize = 16;

/// SHA-256 of the whole token: whoever finds another text with the same digest has broken more than this.
type TokenDigest = [u8; 32];

/// A bounded map of claims by the digest of their token. Each shard holds two generations: when the young one is full, it
/// becomes the old one, and the old one is forgotten.
pub(super) struct VerifiedTokens {
    shards: [RwLock<Generations>; SHARDS],
    generation: usize,
}

#[derive(Default)]
struct Generations {
    young: HashMap<TokenDigest, Arc<AccessClaims>>,
    old: HashMap<TokenDigest, Arc<AccessClaims>>,
}

pub(super) fn digest(token: &str) -> TokenDigest {
    Sha256::digest(token).into()
}

impl VerifiedTokens {
    /// Remembers at most `capacity` tokens.
    pub(super) fn new(capacity: usize) -> Self {
        Self { shards: Default::default(), generation: (capacity / SHARDS / 2).max(1) }
    }

    pub(super) fn get(&self, digest: &TokenDigest) -> Option<Arc<AccessClaims>> {
        let shard = self.shard(digest);
        let claims = {
            let known = shard.read();
            if let Some(claims) = known.young.get(digest) {
                return Some(Arc::clone(claims));
            }
            Arc::clone(known.old.get(digest)?)
        };
        self.insert(*digest, &claims);
        Some(claims)
    }

    pub(super) fn insert(&self, digest: TokenDigest, claims: &Arc<AccessClaims>) {
        let mut known = self.shard(&digest).write();
        if known.young.len() >= self.generation && !known.young.contains_key(&digest) {
            known.old = std::mem::take(&mut known.young);
        }
        known.young.insert(digest, Arc::clone(claims));
    }

    fn shard(&self, digest: &TokenDigest) -> &RwLock<Generations> {
        &self.shards[usize::from(digest[0]) % SHARDS]
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
    }
}
