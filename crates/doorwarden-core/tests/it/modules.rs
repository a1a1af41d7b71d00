use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

#[test]
fn no_module_uses_one_that_uses_it() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut uses = BTreeMap::new();
    for entry in source.read_dir().unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        uses.insert(name, used(&path));
    }
    uses.remove("lib");
    assert!(uses["flow"].contains("context") && uses["context"].contains("live"), "{uses:?}");
    for (name, used) in &mut uses {
        used.remove(name);
    }
    // What uses nothing that is left, or is used by nothing that is left, is taken away, until nothing is
    // left.
    while !uses.is_empty() {
        let left = uses.clone();
        let is_used = |name: &String| left.values().any(|used: &BTreeSet<String>| used.contains(name));
        uses.retain(|name, used| used.iter().any(|other| left.contains_key(other)) && is_used(name));
        let names: Vec<_> = uses.keys().collect();
        assert!(uses.len() < left.len(), "these modules use each other: {names:?}");
    }
}

/// The modules that a file, or those in a folder, use: `crate::MODULE`, except in documentation, which may
/// point anywhere.
fn used(path: &Path) -> BTreeSet<String> {
    if path.is_dir() {
        return path
            .read_dir()
            .expect("a folder")
            .flat_map(|entry| used(&entry.expect("an entry").path()))
            .collect();
    }
    let text = std::fs::read_to_string(path).expect("a file");
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let paths = code.flat_map(|line| line.split("crate::").skip(1));
    paths.map(|path| path.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect()).collect()
}
