use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory as _};
use zeroize::Zeroizing;

/// The name of the first attribute that the password resembles, as a whole or in one of its words.
pub(super) fn find<'a>(
    password: &str,
    attributes: &[(&'a str, &str)],
    max_similarity: f64,
) -> Option<&'a str> {
    let password = sorted(&Zeroizing::new(password.to_lowercase()));
    attributes.iter().find_map(|(name, value)| {
        let value = value.to_lowercase();
        let words = value.split(|c| !is_word(c)).chain([value.as_str()]).filter(|word| !word.is_empty());
        let mut words = words.map(sorted).filter(|word| !is_far_shorter(word, &password, max_similarity));
        words.any(|word| quick_ratio(&password, &word) >= max_similarity).then_some(*name)
    })
}

/// `difflib.SequenceMatcher.quick_ratio` of two sorted texts: the share of characters that they have in
/// common, in any order.
fn quick_ratio(a: &[char], b: &[char]) -> f64 {
    let (mut i, mut j, mut common) = (0, 0, 0);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        let order = x.cmp(y);
        common += usize::from(order.is_eq());
        i += usize::from(order.is_le());
        j += usize::from(order.is_ge());
    }
    let length = a.len() + b.len();
    if length == 0 { 1.0 } else { 2.0 * float(common) / float(length) }
}

/// Django's `exceeds_maximum_length_ratio`.
fn is_far_shorter(word: &[char], password: &[char], max_similarity: f64) -> bool {
    password.len() >= 10 * word.len() && float(word.len()) < max_similarity / 2.0 * float(password.len())
}

fn sorted(text: &str) -> Zeroizing<Vec<char>> {
    // Allocated at full size: growing would leave copies behind that are not wiped.
    let mut chars = Zeroizing::new(Vec::with_capacity(text.len()));
    chars.extend(text.chars());
    chars.sort_unstable();
    chars
}

/// `\w` of Python's `re`.
fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric()
        || c == '_'
        || matches!(c.general_category_group(), GeneralCategoryGroup::Letter | GeneralCategoryGroup::Number)
}

fn float(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::float_cmp, reason = "the figures are Python's, to the last bit")]
    fn quick_ratio_is_that_of_difflib() {
        let vectors = include_str!("../../tests/data/django_password_validators.json");
        let vectors: serde_json::Value = serde_json::from_str(vectors).unwrap();
        let cases = vectors["quick_ratio"].as_array().unwrap();
        assert_eq!(cases.len(), 10);
        for case in cases {
            let (a, b) = (case["a"].as_str().unwrap(), case["b"].as_str().unwrap());
            assert_eq!(
                quick_ratio(&sorted(a), &sorted(b)),
                case["quick_ratio"].as_f64().unwrap(),
                "{a:?} {b:?}"
            );
        }
    }
}
