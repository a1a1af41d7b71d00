//! The list of common passwords, searched in the program's read-only data, without memory or time at start.

use zeroize::Zeroizing;

/// All entries, sorted by length and then by bytes, each followed by a line feed: the entries of one length
/// are records of one size.
static LIST: &[u8] = include_bytes!("../../data/common_passwords.txt");

/// The number of entries of each length in bytes.
const COUNTS: [usize; 67] = [
    0, 41, 37, 249, 519, 739, 5332, 4364, 4502, 2072, 1430, 161, 104, 29, 12, 18, 8, 2, 4, 2, 6, 1, 0, 0, 1,
    0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0,
    1, 0, 0, 0, 0, 0, 1,
];

/// Whether the password is on the list, ignoring case and surrounding whitespace.
pub(super) fn contains(password: &str) -> bool {
    let lower = Zeroizing::new(password.to_lowercase());
    let wanted = lower.trim_matches(is_whitespace).as_bytes();
    let Some(count) = COUNTS.get(wanted.len()) else { return false };
    let start: usize = COUNTS[..wanted.len()].iter().enumerate().map(|(length, n)| (length + 1) * n).sum();
    let record = |index: usize| &LIST[start + index * (wanted.len() + 1)..][..wanted.len()];

    let (mut low, mut high) = (0, *count);
    while low < high {
        let middle = low.midpoint(high);
        match record(middle).cmp(wanted) {
            std::cmp::Ordering::Equal => return true,
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Greater => high = middle,
        }
    }
    false
}

/// What Python's `str.strip` removes: Unicode whitespace and four ASCII separators.
fn is_whitespace(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\x1c'..='\x1f')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> impl Iterator<Item = &'static str> {
        std::str::from_utf8(LIST).unwrap().lines()
    }

    #[test]
    fn the_list_is_complete_and_sorted() {
        assert_eq!(entries().count(), 19_640);
        assert!(entries().is_sorted_by(|a, b| (a.len(), a.as_bytes()) < (b.len(), b.as_bytes())));
        for (length, count) in COUNTS.into_iter().enumerate() {
            assert_eq!(entries().filter(|entry| entry.len() == length).count(), count, "of length {length}");
        }
    }

    #[test]
    fn every_entry_is_found_in_any_case_and_with_surrounding_whitespace() {
        for entry in entries() {
            assert!(contains(entry), "{entry}");
            assert!(contains(&format!("\u{1c} \u{3000}{}\t\u{a0}", entry.to_uppercase())), "{entry}");
            assert!(!contains(&format!("{entry}\u{10348}")), "{entry}");
        }
    }

    #[test]
    fn nothing_else_is_found() {
        for password in ["", " ", "\n", "qwerty\nqwert1", "correct horse battery staple", "ſ\0", "𝕢𝕨𝕖𝕣𝕥𝕪"]
        {
            assert!(!contains(password), "{password:?}");
        }
    }
}
