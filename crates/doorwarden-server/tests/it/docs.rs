//! The references in the documentation are what the program says of itself. `UPDATE_DOCS=1` writes them anew.

use crate::site::Site;
use std::fmt::Write;
use std::path::Path;

const BEGIN: &str = "<!-- reference: begin -->\n";
const END: &str = "<!-- reference: end -->";

/// Compares what stands between the marks of a document with what should.
fn pinned(document: &str, reference: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(document);
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the document has a mark where the reference begins");
    let (written, after) = rest.split_once(END).expect("the document has a mark where the reference ends");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{reference}{END}{after}")).unwrap();
    } else {
        assert!(
            written == reference,
            "{document} is not what the program says. hint: UPDATE_DOCS=1 cargo test"
        );
    }
}

#[test]
fn the_reference_of_the_configuration_is_the_programs_own() {
    let reference = Site::empty().run(&["config", "--reference"]).succeeds().stdout;
    pinned("configuration.md", &reference);
}

#[test]
fn the_reference_of_the_commands_is_the_programs_own() {
    let site = Site::empty();
    let mut reference = String::new();
    describe(&site, &[], &mut reference);
    pinned("command-line.md", &reference);
}

/// The help of a command, then that of its subcommands.
fn describe(site: &Site, path: &[&str], reference: &mut String) {
    let help = site.run(&[path, &["--help"]].concat()).succeeds().stdout;
    // What every command takes is told once.
    let own = if path.is_empty() { &*help } else { help.split("\nGlobal options:").next().unwrap() };
    let title = [&["doorwarden"], path].concat().join(" ");
    write!(reference, "### `{title}`\n\n```text\n{}\n```\n\n", own.trim_end()).unwrap();
    let commands = help.split_once("Commands:\n").map_or("", |(_, rest)| rest.split("\n\n").next().unwrap());
    let names = commands.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    for name in names.filter(|name| !name.is_empty() && *name != "help") {
        describe(site, &[path, &[name]].concat(), reference);
    }
}
