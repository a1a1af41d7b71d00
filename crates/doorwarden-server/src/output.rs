//! The output of commands: on standard output text and tables on a terminal, otherwise JSON; on standard
//! error everything that is not the result.

use crate::failure::Failure;
use doorwarden::core::identity::text::is_control;
use serde_json::Value;
use std::borrow::Cow;
use std::io::{BufWriter, IsTerminal, Write};

/// The format of a command's results.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
    colour: bool,
}

/// A terminal's colour or emphasis. It never carries information alone.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Style {
    Bold,
    Green,
    Yellow,
    Red,
}

impl Output {
    /// JSON with `--json`, or if standard output is no terminal. Colour on a terminal, unless `NO_COLOR` is
    /// set (no-color.org).
    pub(crate) fn new(json: bool) -> Self {
        let terminal = std::io::stdout().is_terminal();
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self { json: json || !terminal, colour: terminal && !set("NO_COLOR") && !dumb }
    }

    /// Whether results are JSON.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// Prints a result.
    pub(crate) fn done(self, sentence: &str, value: &Value) -> Result<(), Failure> {
        self.done_each(&[sentence], value)
    }

    /// Prints a result of several sentences, one per line.
    pub(crate) fn done_each(self, sentences: &[impl AsRef<str>], value: &Value) -> Result<(), Failure> {
        if self.json {
            return json(value);
        }
        sentences.iter().try_for_each(|sentence| line(&clean_line(sentence.as_ref())))
    }

    /// Prints names and values, one pair per line.
    pub(crate) fn facts(self, facts: &[(&str, String)]) -> Result<(), Failure> {
        let width = facts.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        for (name, fact) in facts {
            line(&format!("{}  {}", self.paint(Style::Bold, &format!("{name:<width$}")), clean_line(fact)))?;
        }
        Ok(())
    }

    /// The text in this style, if styles are on.
    pub(crate) fn paint(self, style: Style, text: &str) -> String {
        let code = match style {
            Style::Bold => "1",
            Style::Green => "32",
            Style::Yellow => "33",
            Style::Red => "31",
        };
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// A list, written page by page: a table whose column widths fit its first page, or a JSON array with one
/// element per line.
pub(crate) struct List {
    out: Output,
    heading: &'static [&'static str],
    widths: Vec<usize>,
    begun: bool,
    writer: BufWriter<std::io::Stdout>,
}

impl List {
    /// An empty list.
    pub(crate) fn new(out: Output, heading: &'static [&'static str]) -> Self {
        Self { out, heading, widths: Vec::new(), begun: false, writer: BufWriter::new(std::io::stdout()) }
    }

    /// Writes rows, each as JSON and as cells of the table.
    pub(crate) fn page(&mut self, rows: &[(Value, Vec<String>)]) -> Result<(), Failure> {
        if self.out.json {
            for (value, _) in rows {
                let before = if self.begun { ",\n" } else { "[\n" };
                self.begun = true;
                write!(self.writer, "{before}{}", escaped(value.to_string()))?;
            }
        } else if !rows.is_empty() {
            let rows: Vec<Vec<Cow<'_, str>>> =
                rows.iter().map(|(_, cells)| cells.iter().map(|cell| clean_line(cell)).collect()).collect();
            if !self.begun {
                self.begun = true;
                self.widths = self.heading.iter().map(|text| text.chars().count()).collect();
                for (width, cell) in rows.iter().flat_map(|row| row.iter().enumerate()) {
                    self.widths[width] = self.widths[width].max(cell.chars().count());
                }
                let heading: Vec<_> = self.heading.iter().map(|text| Cow::Borrowed(*text)).collect();
                let heading = self.row(&heading);
                writeln!(self.writer, "{}", self.out.paint(Style::Bold, &heading))?;
            }
            for row in &rows {
                let row = self.row(row);
                writeln!(self.writer, "{row}")?;
            }
        }
        Ok(self.writer.flush()?)
    }

    /// Writes the end. `none` is the text for an empty list.
    pub(crate) fn end(mut self, none: &str) -> Result<(), Failure> {
        match (self.out.json, self.begun) {
            (true, true) => writeln!(self.writer, "\n]")?,
            (true, false) => writeln!(self.writer, "[]")?,
            (false, true) => {}
            (false, false) => writeln!(self.writer, "{none}")?,
        }
        Ok(self.writer.flush()?)
    }

    fn row(&self, cells: &[Cow<'_, str>]) -> String {
        let padded = cells.iter().zip(&self.widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    }
}

/// Writes a line to standard output.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    Ok(writeln!(std::io::stdout().lock(), "{text}")?)
}

/// Writes a value as JSON to standard output.
pub(crate) fn json(value: &Value) -> Result<(), Failure> {
    line(&escaped(format!("{value:#}")))
}

/// Writes values to standard output, one per line.
pub(crate) fn json_lines(values: impl Iterator<Item = Value>) -> Result<(), Failure> {
    let mut writer = BufWriter::new(std::io::stdout().lock());
    for value in values {
        writeln!(writer, "{}", escaped(value.to_string()))?;
    }
    Ok(writer.flush()?)
}

/// Writes a message to standard error. Write errors are ignored: nothing depends on the message.
pub(crate) fn tell(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", clean(text));
}

/// Replaces control characters in a message that may contain foreign text.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    without(text, |c| is_control(c) && c != '\n' && c != '\t')
}

/// Replaces control characters and line breaks in foreign text, so that it cannot look like a line of our
/// output.
pub(crate) fn clean_line(text: &str) -> Cow<'_, str> {
    without(text, is_control)
}

fn without(text: &str, bad: impl Fn(char) -> bool + Copy) -> Cow<'_, str> {
    if text.contains(bad) { text.replace(bad, "\u{fffd}").into() } else { text.into() }
}

/// JSON in which control characters that JSON permits are escaped.
fn escaped(json: String) -> String {
    let bad = |c| is_control(c) && c != '\n';
    if !json.contains(bad) {
        return json;
    }
    let escape = |c| if bad(c) { format!("\\u{:04x}", u32::from(c)) } else { String::from(c) };
    json.chars().map(escape).collect()
}

/// `1 session`, `2 sessions`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
