//! What somebody probably meant.

/// The candidate that takes the fewest letters to change, as Levenshtein counts them. A name with a dot is also compared by what follows the
/// dot, so that `memory_kib` finds `argon2.memory_kib`.
pub(crate) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let cost = |known: &str| {
        let short = known.rsplit_once('.').map_or(usize::MAX, |(_, last)| distance(name, last) + 1);
        distance(name, known).min(short)
    };
    candidates.into_iter().min_by_key(|known| cost(known))
}

fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let cost = diagonal + usize::from(left != *right);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_finds_what_was_meant() {
        let known = ["listen", "log.level", "argon2.memory_kib", "ceilings.argon2_memory_kib"];
        for (typed, meant) in [
            ("lisen", "listen"),
            ("loglevel", "log.level"),
            ("level", "log.level"),
            ("memory_kib", "argon2.memory_kib"),
            ("argon.memory_kb", "argon2.memory_kib"),
        ] {
            assert_eq!(nearest(typed, known), Some(meant), "{typed}");
        }
        assert_eq!(nearest("anything", []), None);
    }

    #[test]
    fn distance_counts_insertions_deletions_and_replacements() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("same", "same"), 0);
    }
}
