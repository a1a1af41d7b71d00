//! Characters that people cannot tell apart or cannot see.

use unicode_normalization::UnicodeNormalization as _;
use unicode_properties::{GeneralCategory as Category, UnicodeGeneralCategory as _};

/// Folding may bring out what folds again; two rounds are enough for every character alone, so four leave
/// room for marks that change places.
const ROUNDS: usize = 4;

/// Unicode's compatibility and case folding (`toNFKC_Casefold` without its removal of invisible characters),
/// until it changes nothing more. Letters fold decomposed, because the iota below a Greek vowel becomes a
/// letter of its own, after all other marks.
pub(super) fn compatibility_fold(text: &str) -> String {
    let mut folded = text.to_owned();
    for _ in 0..ROUNDS {
        let mut next = String::with_capacity(folded.len());
        folded.nfkd().for_each(|c| push_case_folded(&mut next, c));
        let next = next.nfkc().collect();
        if folded == next {
            break;
        }
        folded = next;
    }
    folded
}

/// Full case folding: the lower case of the upper case, as in `ß` to `SS` to `ss`. Only the dotless `ı` has
/// the upper case of another letter, and stays itself.
fn push_case_folded(text: &mut String, c: char) {
    for lower in c.to_lowercase() {
        if lower == 'ı' {
            text.push(lower);
        } else {
            text.extend(lower.to_uppercase().flat_map(char::to_lowercase));
        }
    }
}

/// Lower case letter by letter, which never turns text that is not ASCII into ASCII: the Kelvin sign, the
/// only letter that would, stays (CVE-2019-19844).
pub(super) fn lower_case(text: &str) -> String {
    let mut lower = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\u{212a}' => lower.push(c),
            _ => lower.extend(c.to_lowercase()),
        }
    }
    lower
}

/// Whether a reader sees a character, even if only as a gap: no control or format character, nothing that is
/// drawn as nothing, no private use, and nothing unassigned, whose folding a later Unicode would change.
pub(super) fn is_visible(c: char) -> bool {
    const BRAILLE_BLANK: char = '\u{2800}';
    !is_default_ignorable(c)
        && c != BRAILLE_BLANK
        && !matches!(
            c.general_category(),
            Category::Control
                | Category::Format
                | Category::LineSeparator
                | Category::ParagraphSeparator
                | Category::PrivateUse
                | Category::Surrogate
                | Category::Unassigned
        )
}

/// Unicode's `Default_Ignorable_Code_Point` (DerivedCoreProperties.txt), with the places that are kept free
/// for more of them.
pub(super) fn is_default_ignorable(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}
