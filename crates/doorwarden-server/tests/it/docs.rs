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

#[test]
fn the_types_of_webhooks_are_those_of_the_events() {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../doorwarden-core/src/event.rs");
    let source = std::fs::read_to_string(source).unwrap();
    let variants = source.split_once("pub enum Event {").unwrap().1.split_once("\n}\n").unwrap().0;
    let names = source.split_once("    names! {\n").unwrap().1.split_once("\n    }\n").unwrap().0;
    let mut table = "\n| type | event | meaning |\n|---|---|---|\n".to_owned();
    for (name, webhook) in doorwarden::Event::NAMES {
        let row = names.lines().find(|line| line.contains(&format!("\"{webhook}\""))).unwrap();
        let variant = row.trim().split(':').next().unwrap();
        let place = variants.lines().position(|line| {
            line.strip_prefix("    ")
                .is_some_and(|line| line == format!("{variant} {{") || line == format!("{variant},"))
        });
        let before: Vec<_> = variants.lines().take(place.unwrap()).collect();
        let about: Vec<_> =
            before.iter().rev().map_while(|line| line.trim().strip_prefix("/// ")).collect::<Vec<_>>();
        let about = about.into_iter().rev().collect::<Vec<_>>().join(" ");
        writeln!(table, "| `{webhook}` | `{name}` | {} |", about.trim_end_matches('.')).unwrap();
    }
    table.push('\n');
    pinned("docs/webhooks.md", ("<!-- types: begin -->\n", "<!-- types: end -->"), &table);
}
