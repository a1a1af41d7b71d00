//! Checks which passwords are refused because they were leaked.

use super::Report;
use crate::command::breached;
use crate::command::progress::grouped;
use crate::config::Config;
use doorwarden::core::password::LeakedPasswords;
use doorwarden::core::password::breached::{About, Filter, FilterError};
use std::fs::File;

const CHECK: &str = "leaked";

/// The configuration, whose errors are reported elsewhere.
pub(super) fn check(config: &Config, report: &mut Report) {
    if !config.refuses_leaked() {
        return report.ok(CHECK, "passwords that are known from breaches can be chosen, as configured");
    }
    let Some(path) = &config.breached_file else {
        let entries = LeakedPasswords::about_commonest().map_or(0, |about| about.entries);
        return report.ok(CHECK, format!("{} breached passwords in the program", grouped(entries)));
    };
    let opened = File::open(path).map_err(FilterError::Io).and_then(Filter::open);
    let Ok(filter) = opened else { return };
    let about: &About = filter.about();
    let text = format!(
        "`{path}` has {} breached passwords, built {}",
        grouped(about.entries),
        breached::built(about)
    );
    match breached::missing(about) {
        Some(missing) => {
            report.warning(
                CHECK,
                format!("{text}; {missing}"),
                "fetch the whole list, and build the file again",
            );
        }
        None => report.ok(CHECK, text),
    }
}
