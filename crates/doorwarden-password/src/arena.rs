use argon2::Block;
use std::fmt;
use zeroize::Zeroize;

/// The memory that Argon2 fills, kept from one hash to the next so that its pages are allocated once.
///
/// Empty until the first hash. The arena keeps the memory that hashes of the current cost need; that of a
/// more expensive hash is allocated for this hash alone, wiped and freed.
#[derive(Default)]
pub struct Arena {
    blocks: Vec<Block>,
    used: bool,
    filled_kib: u64,
}

impl Arena {
    /// An empty arena.
    pub fn new() -> Self {
        Self::default()
    }

    /// KiB currently held.
    pub fn held_kib(&self) -> usize {
        self.blocks.len()
    }

    /// KiB that hashes have filled so far, counting each pass.
    pub fn filled_kib(&self) -> u64 {
        self.filled_kib
    }

    /// Whether the memory of the last hash has not been wiped yet.
    pub(crate) fn is_dirty(&self) -> bool {
        self.used
    }

    /// Overwrites the memory of the last hash, with which guesses can be tested more cheaply than with the
    /// hash.
    pub(crate) fn wipe(&mut self) {
        self.blocks.iter_mut().for_each(Zeroize::zeroize);
        self.used = false;
    }

    /// Frees the memory.
    pub(crate) fn release(&mut self) {
        self.wipe();
        self.blocks = Vec::new();
    }

    /// Runs `fill` on `count` blocks. They are kept if `keep` is at least that many.
    pub(crate) fn lend<T>(
        &mut self,
        count: usize,
        passes: u32,
        keep: usize,
        fill: impl FnOnce(&mut [Block]) -> T,
    ) -> T {
        self.filled_kib += count as u64 * u64::from(passes);
        if count > keep {
            let mut blocks = vec![Block::new(); count];
            let out = fill(&mut blocks);
            blocks.zeroize();
            return out;
        }
        if self.blocks.len() < count {
            // The old blocks go first, so that both are never held at once.
            self.blocks = Vec::new();
            self.blocks = vec![Block::new(); count];
        }
        self.used = true;
        fill(&mut self.blocks[..count])
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        self.wipe();
    }
}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arena").field("held_kib", &self.held_kib()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_a_hash_is_wiped() {
        let mut arena = Arena::new();
        assert!(!arena.is_dirty());
        arena.lend(4, 1, 4, |blocks| blocks.iter_mut().for_each(|block| block.as_mut().fill(7)));
        assert!(arena.is_dirty());
        arena.wipe();
        assert!(!arena.is_dirty());
        assert!(arena.blocks.iter().all(|block| block.as_ref().iter().all(|word| *word == 0)));
        assert_eq!(arena.held_kib(), 4);
        arena.release();
        assert_eq!(arena.held_kib(), 0);
    }

    #[test]
    fn it_keeps_no_more_than_the_current_cost_needs() {
        let mut arena = Arena::new();
        for (count, held) in [(2, 2), (4, 4), (5, 4), (1_000, 4), (3, 4)] {
            assert_eq!(arena.lend(count, 2, 4, |blocks| blocks.len()), count);
            assert_eq!(arena.held_kib(), held, "after {count}");
        }
        assert_eq!(arena.filled_kib(), 2 * (2 + 4 + 5 + 1_000 + 3));
    }
}
