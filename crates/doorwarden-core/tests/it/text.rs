use doorwarden_core::text::python_strip;

/// What `str.isspace()` is true of in Python 3, which are the characters that `str.strip()` cuts.
const PYTHON_WHITE_SPACE: [char; 29] = [
    '\t', '\n', '\x0b', '\x0c', '\r', '\x1c', '\x1d', '\x1e', '\x1f', ' ', '\u{85}', '\u{a0}', '\u{1680}',
    '\u{2000}', '\u{2001}', '\u{2002}', '\u{2003}', '\u{2004}', '\u{2005}', '\u{2006}', '\u{2007}',
    '\u{2008}', '\u{2009}', '\u{200a}', '\u{2028}', '\u{2029}', '\u{202f}', '\u{205f}', '\u{3000}',
];

#[test]
fn outer_white_space_is_that_of_python() {
    for c in '\0'..=char::MAX {
        let is_cut = python_strip(&format!("{c}x{c}")) == "x";
        assert_eq!(is_cut, PYTHON_WHITE_SPACE.contains(&c), "{c:?}");
    }
}

#[test]
fn white_space_within_stays() {
    assert_eq!(python_strip("\u{3000}a\u{3000}b\u{3000}"), "a\u{3000}b");
    assert_eq!(python_strip(" \x1c\u{2028} "), "");
}
