//! A table that answers 16-bit values for known hashes, and any value for others (Dillinger and Walzer,
//! "Ribbon filter: practically smaller than Bloom and Xor", 2021).
//!
//! Each hash selects some of [`BAND`] consecutive slots, and their exclusive or is its value. The slots solve
//! these equations, which takes 2 to 3 % more slots than hashes.

use super::Hash;

/// The number of consecutive slots that one hash selects from.
pub(super) const BAND: usize = 128;

/// What the slots must satisfy for one hash.
struct Equation {
    /// The first selected slot.
    start: usize,
    /// The selected slots, from `start` on; the lowest bit is set.
    selected: u128,
    /// Their exclusive or.
    value: u16,
}

impl Equation {
    fn of(hash: &Hash, seed: u32, slots: usize) -> Self {
        let [a, b, c] = [&hash[..8], &hash[8..16], &hash[16..]].map(number);
        let key = mix(mix(mix(mix(u64::from(seed)) ^ a) ^ b) ^ c);
        let [high, low, value] = [1, 2, 3].map(|n: u64| mix(key.wrapping_add(n.wrapping_mul(STEP))));
        let starts = (slots - BAND + 1) as u128;
        Self {
            start: usize::try_from((u128::from(key) * starts) >> 64).unwrap_or_default(),
            selected: u128::from(high) << 64 | u128::from(low) | 1,
            value: u16::from_be_bytes(value.to_be_bytes().first_chunk().copied().unwrap_or_default()),
        }
    }
}

/// The increment and the finalizer of SplitMix64 (Steele, Lea, Flood, 2014).
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Where the slots are that answer for a hash, in a table of so many.
pub(super) fn start(hash: &Hash, seed: u32, slots: usize) -> usize {
    Equation::of(hash, seed, slots).start
}

/// Whether the [`BAND`] slots from [`start`] on answer the value of the hash. Each is two bytes, the low one
/// first.
pub(super) fn answers(hash: &Hash, seed: u32, slots: usize, band: &[u8; 2 * BAND]) -> bool {
    let Equation { selected, value, .. } = Equation::of(hash, seed, slots);
    let (pairs, _) = band.as_chunks::<2>();
    let answer = pairs.iter().enumerate().fold(0, |answer, (place, slot)| {
        answer ^ (u16::from_le_bytes(*slot) & u16::from(selected >> place & 1 == 1).wrapping_neg())
    });
    answer == value
}

/// The seed and the slots that answer for these hashes, which are all different.
pub(super) fn solve(hashes: &[Hash]) -> (u32, Vec<u16>) {
    // With 2.5 % more slots than hashes most seeds have a solution, among 65,536 hashes.
    let mut slots = hashes.len() + hashes.len() / 40 + BAND;
    let mut seed = 0;
    loop {
        if let Some(rows) = eliminate(hashes, seed, slots) {
            return (seed, substitute(&rows));
        }
        seed += 1;
        if seed.is_multiple_of(8) {
            slots += slots / 256 + 1;
        }
    }
}

/// Equations in a form in which each has another first slot: its place here. A slot without any may have any
/// value.
fn eliminate(hashes: &[Hash], seed: u32, slots: usize) -> Option<Vec<(u128, u16)>> {
    let mut rows = vec![(0, 0); slots];
    for hash in hashes {
        let Equation { start: mut place, mut selected, mut value } = Equation::of(hash, seed, slots);
        loop {
            let row: &mut (u128, u16) = &mut rows[place];
            if row.0 == 0 {
                *row = (selected, value);
                break;
            }
            selected ^= row.0;
            value ^= row.1;
            match (selected, value) {
                (0, 0) => break,
                (0, _) => return None,
                _ => {}
            }
            let skipped = selected.trailing_zeros();
            selected >>= skipped;
            place += skipped as usize;
        }
    }
    Some(rows)
}

/// The slots, from the last one back.
fn substitute(rows: &[(u128, u16)]) -> Vec<u16> {
    let mut slots = vec![0; rows.len()];
    for (place, (selected, value)) in rows.iter().enumerate().rev() {
        let (mut rest, mut answer) = (selected & !1, *value);
        while rest != 0 {
            answer ^= slots[place + rest.trailing_zeros() as usize];
            rest &= rest - 1;
        }
        slots[place] = answer;
    }
    slots
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::breached::sample;

    fn holds(hash: &Hash, seed: u32, slots: &[u16]) -> bool {
        let start = start(hash, seed, slots.len());
        let bytes: Vec<u8> = slots[start..start + BAND].iter().flat_map(|slot| slot.to_le_bytes()).collect();
        answers(hash, seed, slots.len(), bytes.first_chunk().unwrap())
    }

    #[test]
    fn every_number_of_hashes_has_a_solution_that_answers_for_each() {
        for count in [0, 1, 2, 3, 127, 128, 129, 1000, 10_000, 65_536] {
            let hashes: Vec<_> = (0..count).map(sample).collect();
            let (seed, slots) = solve(&hashes);
            assert!(hashes.iter().all(|hash| holds(hash, seed, &slots)), "{count}");
            let most = hashes.len() + hashes.len() / 30 + BAND;
            assert!(slots.len() <= most, "{count} hashes, {} slots", slots.len());
        }
    }

    #[test]
    fn other_hashes_are_answered_wrongly_once_in_65536_times() {
        let hashes: Vec<_> = (0..10_000).map(sample).collect();
        let (seed, slots) = solve(&hashes);
        let others = 1 << 17;
        let found = (0..others).filter(|n| holds(&sample(1 << 40 | n), seed, &slots)).count();
        // 2 expected.
        assert!(found <= 12, "{found} of {others}");
    }
}
