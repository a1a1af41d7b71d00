//! `doorwarden audit`: what happened, and whether the log of it is complete.

use crate::config::Config;
use crate::failure::Failure;
use crate::output::{self, List, Output, count, tell};
use clap::{Args, Subcommand, ValueEnum};
use doorwarden::core::audit::AuditRecord;
use doorwarden::core::flow::verify_audit::{Progress, Verified};
use doorwarden::core::store::EventFilter;
use doorwarden::core::time::{Clock as _, SystemClock};
use doorwarden::core::view::EventView;
use doorwarden::{Doorwarden, Timestamp, UserId};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The number of events that are read at once.
const PAGE: u32 = 500;
/// How often `tail` looks for new events.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How many numbers before the newest one `tail` looks at again: transactions do not end in the order in
/// which their events were numbered.
const LOOK_BACK: i64 = 1_000;

/// Subcommands of `audit`.
#[derive(Debug, Subcommand)]
pub(crate) enum Subcommands {
    /// List events, the newest first: a table on a terminal, otherwise one JSON object per line
    List {
        #[command(flatten)]
        filter: Filter,
        /// Maximum number of events to list
        #[arg(long, value_name = "COUNT")]
        limit: Option<u64>,
    },
    /// Print the newest events, and further ones as they happen
    Tail {
        #[command(flatten)]
        filter: Filter,
        /// Number of events to begin with
        #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 10)]
        lines: u32,
    },
    /// Write events to standard output, the oldest first
    Export {
        #[command(flatten)]
        filter: Filter,
        /// One JSON object per line, or comma-separated values
        #[arg(long, value_enum, default_value_t = Format::Jsonl)]
        format: Format,
    },
    /// Find out whether an event was altered, removed, inserted or moved; exit with status 1 if so
    Verify {
        /// File with checkpoints, one per line, or directory of such files: the log must contain their
        /// states
        #[arg(long, value_name = "PATH")]
        checkpoint: Vec<PathBuf>,
    },
    /// Print a signed checkpoint: the state of the log, to be kept elsewhere
    Checkpoint,
}

/// Which events.
#[derive(Debug, Args)]
pub(crate) struct Filter {
    /// Only events that concern this user: an email address or id
    #[arg(long)]
    user: Option<String>,
    /// Only events of this name, such as `login_failed`
    #[arg(long)]
    event: Option<String>,
    /// Only events since then: a time such as `2026-01-31T12:00:00Z`, or how long ago, such as `90m`, `24h`
    /// or `7d`
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,
    /// Only events before then
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Timestamp>,
}

/// The format of an export.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Format {
    /// One JSON object per line.
    Jsonl,
    /// Comma-separated values (RFC 4180).
    Csv,
}

/// A time, or how long ago it was.
fn moment(text: &str) -> Result<Timestamp, String> {
    if let Ok(at) = text.parse() {
        return Ok(at);
    }
    let wrong = || "neither a time such as `2026-01-31T12:00:00Z` nor a duration such as `24h`".to_owned();
    let unit = text.chars().last().ok_or_else(wrong)?;
    let number: u64 = text.strip_suffix(unit).and_then(|number| number.parse().ok()).ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        _ => return Err(wrong()),
    };
    Ok(SystemClock.now().before(Duration::from_secs(number.saturating_mul(seconds))))
}

pub(super) async fn run(config: &Config, command: Subcommands, out: Output) -> Result<(), Failure> {
    let auth = match command {
        Subcommands::Verify { .. } | Subcommands::Checkpoint => super::open_with_keys(config).await?,
        _ => super::open(config).await?,
    };
    let result = match command {
        Subcommands::List { filter, limit } => list(&auth, filter, limit.unwrap_or(u64::MAX), out).await,
        Subcommands::Tail { filter, lines } => tail(&auth, filter, lines, out).await,
        Subcommands::Export { filter, format } => export(&auth, filter, format).await,
        Subcommands::Verify { checkpoint } => verify(&auth, &checkpoint, out).await,
        Subcommands::Checkpoint => checkpoint(&auth).await,
    };
    auth.close().await;
    result
}

async fn read(auth: &Doorwarden, filter: Filter) -> Result<EventFilter, Failure> {
    let Filter { user, event, since, until } = filter;
    // An account that was deleted still has events.
    let user = match user {
        Some(named) => Some(match named.parse() {
            Ok(id) => UserId(id),
            Err(_) => super::user(auth, &named).await?.id,
        }),
        None => None,
    };
    Ok(EventFilter { user, kind: event, since, until })
}

fn value(event: &AuditRecord) -> Value {
    serde_json::to_value(EventView::from(event)).unwrap_or_default()
}

const HEADING: &[&str] = &["ID", "TIME", "EVENT", "ACTOR", "USER", "ADDRESS", "RESULT", "DETAILS"];

fn cells(event: &AuditRecord) -> Vec<String> {
    let none = || "-".to_owned();
    let actor = match event.actor.id() {
        Some(id) => format!("{} {id}", event.actor.kind()),
        None => event.actor.kind().to_owned(),
    };
    let details: Vec<String> = event
        .data
        .iter()
        .map(|(name, value)| match value {
            Value::String(text) => format!("{name}={text}"),
            value => format!("{name}={value}"),
        })
        .collect();
    vec![
        event.id.to_string(),
        event.at.to_string(),
        event.kind.clone(),
        actor,
        event.user.map_or_else(none, |user| user.to_string()),
        event.client.address.map_or_else(none, |address| address.to_string()),
        event.outcome.as_str().to_owned(),
        details.join(" "),
    ]
}

/// Events as a table, or one JSON object per line.
enum Printer {
    Table(List),
    Lines,
}

impl Printer {
    fn new(out: Output) -> Self {
        if out.is_json() { Self::Lines } else { Self::Table(List::new(out, HEADING)) }
    }

    fn page(&mut self, events: &[AuditRecord]) -> Result<(), Failure> {
        match self {
            Self::Table(list) => {
                list.page(&events.iter().map(|event| (Value::Null, cells(event))).collect::<Vec<_>>())
            }
            Self::Lines => output::json_lines(events.iter().map(value)),
        }
    }

    fn end(self) -> Result<(), Failure> {
        match self {
            Self::Table(list) => list.end("No events found"),
            Self::Lines => Ok(()),
        }
    }
}

async fn list(auth: &Doorwarden, filter: Filter, mut left: u64, out: Output) -> Result<(), Failure> {
    let (audit, filter) = (auth.audit(), read(auth, filter).await?);
    let (mut printer, mut before) = (Printer::new(out), None);
    loop {
        let size = u32::try_from(left).unwrap_or(PAGE).min(PAGE);
        let page = audit.find(&filter, before, size).await?;
        printer.page(&page)?;
        left -= page.len() as u64;
        match page.last() {
            Some(last) if page.len() == size as usize && left > 0 => before = Some(last.id),
            _ => return printer.end(),
        }
    }
}

async fn tail(auth: &Doorwarden, filter: Filter, lines: u32, out: Output) -> Result<(), Failure> {
    let (audit, filter) = (auth.audit(), read(auth, filter).await?);
    let mut printer = Printer::new(out);
    // Everything that is there, so that nothing which is written from now on is missed.
    let newest = audit.find(&EventFilter::default(), None, PAGE).await?;
    let mut seen: BTreeSet<i64> = newest.iter().map(|event| event.id).collect();
    let mut high = seen.last().copied().unwrap_or_default();
    let floor = seen.first().copied().unwrap_or_default();
    let mut page = audit.find(&filter, None, lines).await?;
    page.retain(|event| event.id <= high);
    page.reverse();
    printer.page(&page)?;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let mut after = high.saturating_sub(LOOK_BACK).max(floor.saturating_sub(1));
        loop {
            let page = audit.list(Some(after), PAGE).await?;
            let news: Vec<AuditRecord> = page.iter().filter(|event| seen.insert(event.id)).cloned().collect();
            let news: Vec<AuditRecord> = news.into_iter().filter(|event| filter.matches(event)).collect();
            printer.page(&news)?;
            high = page.last().map_or(high, |last| last.id.max(high));
            match page.last() {
                Some(last) if page.len() == PAGE as usize => after = last.id,
                _ => break,
            }
        }
        seen = seen.split_off(&high.saturating_sub(LOOK_BACK));
    }
}

async fn export(auth: &Doorwarden, filter: Filter, format: Format) -> Result<(), Failure> {
    let (audit, filter) = (auth.audit(), read(auth, filter).await?);
    let mut writer = BufWriter::new(std::io::stdout().lock());
    if let Format::Csv = format {
        write!(writer, "{}\r\n", COLUMNS.join(","))?;
    }
    let mut after = None;
    loop {
        let page = audit.list(after, PAGE).await?;
        for event in page.iter().filter(|event| filter.matches(event)) {
            match format {
                Format::Jsonl => writeln!(writer, "{}", value(event))?,
                Format::Csv => write!(writer, "{}\r\n", csv(event))?,
            }
        }
        match page.last() {
            Some(last) if page.len() == PAGE as usize => after = Some(last.id),
            _ => return Ok(writer.flush()?),
        }
    }
}

const COLUMNS: [&str; 12] = [
    "id",
    "at",
    "event",
    "actor",
    "actor_id",
    "user",
    "session",
    "request_id",
    "address",
    "user_agent",
    "result",
    "data",
];

fn csv(event: &AuditRecord) -> String {
    let value = value(event);
    let cells = COLUMNS.map(|column| match &value[column] {
        Value::Null => String::new(),
        Value::String(text) => quoted(text),
        other => quoted(&other.to_string()),
    });
    cells.join(",")
}

/// A cell. What a spreadsheet would take for a formula begins with an apostrophe: the user agent is what the
/// client says.
fn quoted(text: &str) -> String {
    let text =
        if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() };
    if text.contains(['"', ',', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

/// Prints the text as it is, also into a pipe: it is what is to be kept.
async fn checkpoint(auth: &Doorwarden) -> Result<(), Failure> {
    let (_, signed) = auth.audit().checkpoint().await.map_err(|error| Failure::no(error.to_string()))?;
    output::line(&signed)
}

/// The checkpoints in a file, or in the files of a directory.
fn texts(path: &Path) -> Result<Vec<String>, Failure> {
    let fail = |error: std::io::Error| Failure::no(format!("cannot read `{}`: {error}", path.display()));
    if !path.is_dir() {
        let text = std::fs::read_to_string(path).map_err(fail)?;
        return Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect());
    }
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(path).map_err(fail)? {
        let file = entry.map_err(fail)?.path();
        if file.extension().is_some_and(|extension| extension == "jws") {
            files.push(file);
        }
    }
    files.sort();
    files.iter().map(|file| texts(file)).collect::<Result<Vec<_>, _>>().map(|texts| texts.concat())
}

async fn verify(auth: &Doorwarden, paths: &[PathBuf], out: Output) -> Result<(), Failure> {
    let audit = auth.audit();
    let mut checkpoints = Vec::new();
    for path in paths {
        let texts = texts(path)?;
        if texts.is_empty() {
            return Err(Failure::no(format!("`{}` has no checkpoint", path.display())));
        }
        for text in texts {
            let read = audit.read_checkpoint(&text).await;
            checkpoints.push(read.map_err(|error| Failure::no(format!("`{}`: {error}", path.display())))?);
        }
    }
    let verified = audit.verify(&checkpoints, teller()).await?;
    if out.is_json() {
        output::json(&report(&verified))?;
    } else {
        print(&verified, out)?;
    }
    if verified.is_genuine() {
        return Ok(());
    }
    let findings = verified.findings.len() as u64 + verified.more_findings;
    Err(Failure::no(format!("the audit log was changed: {}", count(findings, "finding")))
        .hint("keep a copy of the database, and compare it with a backup"))
}

/// Tells how far it is once a second, on a terminal, once it takes longer than that.
fn teller() -> impl FnMut(Progress) + Send {
    let is_watched = std::io::stderr().is_terminal();
    let mut told = Instant::now();
    move |Progress { events, of }| {
        if is_watched && told.elapsed() >= Duration::from_secs(1) {
            told = Instant::now();
            tell(&format!("{events} of {of} events read"));
        }
    }
}

fn report(verified: &Verified) -> Value {
    json!({
        "genuine": verified.is_genuine(),
        "events": verified.events,
        "seals": verified.seals,
        "head": verified.head,
        "deleted_events": verified.cut,
        "deleted_seals": verified.cut_seal,
        "forgotten_clients": verified.forgotten,
        "unsealed_events": verified.unsealed,
        "unsealed_since": verified.unsealed_since,
        "checkpoints": verified.checkpoints,
        "old_checkpoints": verified.old_checkpoints,
        "findings": verified.findings.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "more_findings": verified.more_findings,
    })
}

fn print(verified: &Verified, out: Output) -> Result<(), Failure> {
    let mut lines = Vec::new();
    lines.extend(verified.findings.iter().map(ToString::to_string));
    if verified.more_findings > 0 {
        lines.push(format!("{} more", count(verified.more_findings, "finding")));
    }
    let (events, seals) = (count(verified.events, "event"), count(verified.seals, "seal"));
    lines.push(format!("Verified {events} in {seals}; the newest is seal {}", verified.head));
    if verified.cut > 0 {
        let deleted = count(verified.cut, "event");
        lines.push(format!(
            "{deleted} before them, up to seal {}, deleted because of their age",
            verified.cut_seal
        ));
    }
    if verified.forgotten > 0 {
        lines.push(format!(
            "{} without the address and user agent, which are forgotten",
            count(verified.forgotten, "event")
        ));
    }
    if let Some(since) = verified.unsealed_since {
        lines.push(format!(
            "{} not sealed yet, the oldest of {since}: nothing is known of them",
            count(verified.unsealed, "event")
        ));
    }
    if verified.checkpoints > 0 {
        lines.push(format!("The log contains the state of {}", count(verified.checkpoints, "checkpoint")));
    }
    if verified.old_checkpoints > 0 {
        lines.push(format!(
            "{} older than what was deleted cannot be compared",
            count(verified.old_checkpoints, "checkpoint")
        ));
    }
    out.done_each(&lines, &Value::Null)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_that_looks_like_a_formula_is_text() {
        assert_eq!(quoted("=HYPERLINK(\"http://x\",\"y\")"), "\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\"");
        assert_eq!(quoted("Mozilla/5.0 (X11)"), "Mozilla/5.0 (X11)");
        assert_eq!(quoted("a,b\nc"), "\"a,b\nc\"");
    }

    #[test]
    fn a_time_can_be_said_as_how_long_ago_it_was() {
        let now = SystemClock.now();
        for (text, seconds) in [("90s", 90), ("2m", 120), ("24h", 86_400), ("7d", 604_800)] {
            let age = now.since(moment(text).unwrap());
            assert!(age.as_secs().abs_diff(seconds) <= 1, "{text}: {age:?}");
        }
        assert_eq!(moment("2026-01-31T12:00:00Z").unwrap().to_string(), "2026-01-31T12:00:00.000000Z");
        for wrong in ["", "h", "24", "24w", "-1h", "yesterday"] {
            assert!(moment(wrong).is_err(), "{wrong}");
        }
    }
}
