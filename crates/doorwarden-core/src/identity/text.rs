//! Text as Python takes it.

/// Cuts off the white space at both ends that Python's `str.strip()` cuts, which Django REST framework calls
/// on every text field: Unicode's `White_Space`, and also the four ASCII separators U+001C to U+001F.
///
/// ```
/// use doorwarden_core::text::python_strip;
///
/// assert_eq!(python_strip("\u{3000}\x1f a b\r\n"), "a b");
/// assert_eq!(python_strip("\u{200b}a"), "\u{200b}a", "a zero-width space is no white space");
/// ```
pub fn python_strip(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || ('\x1c'..='\x1f').contains(&c))
}

/// Whether a terminal obeys a character, or it changes the direction in which the text around it is shown
/// (Unicode's `Bidi_Control`, and the separators of lines and paragraphs).
///
/// ```
/// use doorwarden_core::text::is_control;
///
/// assert!("\x1b\u{9b}\n\u{202e}".chars().all(is_control));
/// assert!(!"a\u{301}\u{200d}".contains(is_control));
/// ```
pub fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
