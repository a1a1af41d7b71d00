//! Invisible characters that are a part of spelling: without them a reader sees another word or another
//! picture.

use super::fold::is_visible;
use unicode_normalization::char::canonical_combining_class;
use unicode_properties::{GeneralCategoryGroup as Group, UnicodeEmoji as _, UnicodeGeneralCategory as _};

const NON_JOINER: char = '\u{200c}';
const JOINER: char = '\u{200d}';

/// The canonical combining class of viramas, the marks that join consonants.
const VIRAMA: u8 = 9;

/// Whether a reader sees every character of a text, or its spelling.
pub(super) fn is_seen(text: &str) -> bool {
    let mut before = None;
    let mut base = None;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if is_visible(c) {
            base = Some(c);
        } else if !is_spelling(before, base, c, rest.peek().copied()) {
            return false;
        }
        before = Some(c);
    }
    true
}

/// Whether an invisible character stands where scripts or emoji use it. `base`: the last one before it that
/// is visible.
fn is_spelling(before: Option<char>, base: Option<char>, c: char, after: Option<char>) -> bool {
    let Some((before, base)) = before.zip(base) else { return false };
    match c {
        NON_JOINER | JOINER if canonical_combining_class(before) == VIRAMA => true,
        NON_JOINER | JOINER if joins(before) => after.is_some_and(joins),
        JOINER => before != JOINER && is_picture(base) && after.is_some_and(is_picture),
        // As text or as a picture; before the enclosing keycap also digits.
        '\u{fe0e}' | '\u{fe0f}' => before.is_emoji_char(),
        '\u{fe00}'..='\u{fe02}' => {
            is_ideograph(before) || matches!(before, '\u{1000}'..='\u{109f}' | '\u{aa60}'..='\u{aa7f}')
        }
        '\u{e0100}'..='\u{e01ef}' => is_ideograph(before),
        '\u{180b}'..='\u{180f}' => matches!(before, '\u{1820}'..='\u{18aa}'),
        _ => false,
    }
}

/// Letters and marks of the scripts that write joiners: from Arabic to the scripts of India and South East
/// Asia.
fn joins(c: char) -> bool {
    let in_script = matches!(c,
        '\u{600}'..='\u{77f}' | '\u{7c0}'..='\u{7ff}' | '\u{840}'..='\u{dff}' | '\u{f00}'..='\u{109f}'
        | '\u{1700}'..='\u{18af}' | '\u{1900}'..='\u{1cff}' | '\u{a800}'..='\u{abff}' | '\u{fb50}'..='\u{fdff}'
        | '\u{fe70}'..='\u{fefe}' | '\u{10a00}'..='\u{10fff}' | '\u{11000}'..='\u{11fff}'
        | '\u{1e900}'..='\u{1e95f}');
    in_script && matches!(c.general_category_group(), Group::Letter | Group::Mark)
}

fn is_picture(c: char) -> bool {
    !c.is_ascii() && c.is_emoji_char()
}

fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3007}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{323af}')
}
