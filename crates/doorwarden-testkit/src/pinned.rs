use std::path::Path;

/// Compares a section of a file of this repository with its generated text. With the environment variable
/// `UPDATE_DOCS` the section is rewritten instead.
///
/// The section is between the texts `begin` and `end`, each of which occurs once in the file.
///
/// # Panics
/// If the texts differ, or the file has no such section.
pub fn pinned(file: &str, (begin, end): (&str, &str), generated: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
    let (before, rest) = text.split_once(begin).unwrap_or_else(|| panic!("{file} has no {begin:?}"));
    let (written, after) = rest.split_once(end).unwrap_or_else(|| panic!("{file} has no {end:?}"));
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let text = format!("{before}{begin}{generated}{end}{after}");
        std::fs::write(&path, text).unwrap_or_else(|error| panic!("{file}: {error}"));
    } else {
        assert!(written == generated, "{file} is out of date. hint: UPDATE_DOCS=1 cargo test");
    }
}
