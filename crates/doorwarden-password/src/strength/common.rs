//! The list of common passwords, searched where it lies in the program: no memory and no time at start.

use zeroize::Zeroizing;

/// All entries, sorted by length and then by bytes, each with a line feed behind it: entries of one length lie side by
/// side like records.
static LIST: &[u8] = include_bytes!("../../data/common_passwords.txt");

/// How many entries there are of each length in bytes.
const COUNTS: [usize; 67] = [
    0, 41, 37, 249, 519, 739, 5332, 4364, 4502, 2072, 1430, 161, 104, 29, 12, 18, 8, 2, 4, 2, 6, 1, 0, 0, 1,
    0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0,
    1, 0, 0, 0, 0, 0, 1,
];

/// True if the password is on the list, without regard to case and outer blanks.
pub(super) fn contains(password: &str) -> bool {
    let lower = Zeroizing::new(password.to_lowercase());
    let wanted = lower.trim_matches(is_blank).as_bytes();
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

/// What Python's `str.strip` takes away: Unicode's white space and four separators of ASCII.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\x1c'..='\x1f')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> impl Iterator<Item = &'static str> {
        std::str::from_utf8(LIST).unwrap().lines()
    }

    #[test]
    fn the_list_is_whole_and_in_order() {
        assert_eq!(entries().count(), 19_640);
        assert!(entries().is_sorted_by(|a, b| (a.len(), a.as_bytes()) < (b.len(), b.as_bytes())));
        for (length, count) in COUNTS.into_iter().enumerate() {
            assert_eq!(entries().filter(|entry| entry.len() == length).count(), count, "of length {length}");
        }
    }

    #[test]
    fn every_entry_is_found_in_any_case_and_between_blanks() {
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
