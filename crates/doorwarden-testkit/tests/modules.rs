//! The direction of the arrows between the modules of a crate.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

type Uses = BTreeMap<String, BTreeSet<String>>;

#[test]
fn no_module_uses_one_that_uses_it() {
    assert!(uses("doorwarden-core")["flow"].contains("context"));
    assert!(uses("doorwarden-axum")["layer"].contains("auth"));
    for krate in [
        "doorwarden",
        "doorwarden-axum",
        "doorwarden-core",
        "doorwarden-password",
        "doorwarden-tls",
        "doorwarden-verify",
        "doorwarden-webauthn",
    ] {
        let circle = circle(uses(krate));
        assert!(circle.is_empty(), "{krate}: these modules use each other: {circle:?}");
    }
}

/// The other modules that each top module of a crate uses.
fn uses(krate: &str) -> Uses {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(krate).join("src");
    let mut uses = Uses::new();
    for entry in source.read_dir().expect("a crate") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_str().expect("plain ASCII").to_owned();
        let mut used = used(&path);
        used.remove(&name);
        uses.insert(name, used);
    }
    uses.remove("lib");
    uses
}

/// What is left when modules that use none, or that none uses, have been removed again and again.
fn circle(mut uses: Uses) -> Vec<String> {
    loop {
        let left = uses.clone();
        let is_used = |name: &String| left.values().any(|used| used.contains(name));
        uses.retain(|name, used| used.iter().any(|other| left.contains_key(other)) && is_used(name));
        if uses.len() == left.len() {
            return uses.into_keys().collect();
        }
    }
}

/// The modules that a file, or those in a directory, use: `crate::MODULE`, except in documentation, which may
/// point anywhere.
fn used(path: &Path) -> BTreeSet<String> {
    if path.is_dir() {
        return path
            .read_dir()
            .expect("a directory")
            .flat_map(|entry| used(&entry.expect("an entry").path()))
            .collect();
    }
    let text = std::fs::read_to_string(path).expect("a file");
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let paths = code.flat_map(|line| line.split("crate::").skip(1));
    paths.map(|path| path.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect()).collect()
}
