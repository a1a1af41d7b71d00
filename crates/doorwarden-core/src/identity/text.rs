//! Text as Python takes it.

/// Cuts off the white space at both ends that Python's `str.strip()` cuts, which Django REST framework calls on every
/// text field: Unicode's `White_Space`, and also the four ASCII separators U+001C to U+001F.
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
