//! What commands say: tables and colour for people on a terminal, JSON for programs.

use serde_json::Value;
use std::io::{IsTerminal, Write};

/// Whether to print JSON: when asked for, or when nobody is looking.
pub(crate) fn is_json(asked: bool) -> bool {
    asked || !std::io::stdout().is_terminal()
}

/// Prints a line to standard output. A reader that went away is no error: `doorwarden user list | head`.
pub(crate) fn line(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Prints a value as JSON.
pub(crate) fn json(value: &Value) {
    line(&format!("{value:#}"));
}

/// Prints rows as a table with a heading.
pub(crate) fn table<const N: usize>(heading: [&str; N], rows: &[[String; N]]) {
    let mut widths = heading.map(|text| text.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let print = |cells: [&str; N]| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        line(padded.collect::<Vec<_>>().join("  ").trim_end());
    };
    print(heading);
    for row in rows {
        print(row.each_ref().map(String::as_str));
    }
}
