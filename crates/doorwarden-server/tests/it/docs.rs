//! The generated references in the documentation match the program. `UPDATE_DOCS=1` rewrites them.

use crate::site::Site;
use doorwarden_testkit::pinned;
use std::fmt::Write;

const REFERENCE: (&str, &str) = ("<!-- reference: begin -->\n", "<!-- reference: end -->");

#[test]
fn the_configuration_reference_matches_the_program() {
    let reference = Site::empty().run(&["config", "--reference"]).succeeds().stdout;
    pinned("docs/configuration.md", REFERENCE, &reference);
}

#[test]
fn the_command_line_reference_matches_the_program() {
    let site = Site::empty();
    let mut reference = String::new();
    describe(&site, &[], &mut reference);
    pinned("docs/command-line.md", REFERENCE, &reference);
}

/// The help of a command, then that of its subcommands.
fn describe(site: &Site, path: &[&str], reference: &mut String) {
    let help = site.run(&[path, &["--help"]].concat()).succeeds().stdout;
    // Options of every command are listed once.
    let own = if path.is_empty() { &*help } else { help.split("\nGlobal options:").next().unwrap() };
    let title = [&["doorwarden"], path].concat().join(" ");
    write!(reference, "### `{title}`\n\n```text\n{}\n```\n\n", own.trim_end()).unwrap();
    let commands = help.split_once("Commands:\n").map_or("", |(_, rest)| rest.split("\n\n").next().unwrap());
    let names = commands.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    for name in names.filter(|name| !name.is_empty() && *name != "help") {
        describe(site, &[path, &[name]].concat(), reference);
    }
}
