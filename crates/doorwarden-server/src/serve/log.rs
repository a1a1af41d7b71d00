//! The log. Nothing depends on it: lines that cannot be written, because a disk is full or the reader of a
//! pipe is gone or stalled, are counted and dropped.

use crate::config::Config;
use crate::failure::Failure;
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// The maximum number of lines queued for a slow reader.
const WAITING: usize = 4096;
/// How long the program waits at its end for the last lines to be written.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The running log.
pub(super) struct Log(Lines);

/// Starts the log: text for people, JSON for programs, on standard error. A panic is logged as a line.
pub(super) fn start(config: &Config) -> Result<Log, Failure> {
    let filter = EnvFilter::try_new(&config.log)
        .map_err(|error| Failure::config(format!("invalid `log.level`: {error}")))?;
    let terminal = std::io::stderr().is_terminal();
    let lines = Lines::start(std::io::stderr())?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(lines.clone())
        .with_ansi(terminal)
        .log_internal_errors(false);
    if config.log_json.unwrap_or(!terminal) {
        log.json().flatten_event(true).init();
    } else {
        log.with_target(false).init();
    }
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let what = panic.payload_as_str().unwrap_or("no text");
        tracing::error!(place, "panic: {what}");
    }));
    Ok(Log(lines))
}

impl Log {
    /// The counter of lost lines.
    pub(super) fn lost(&self) -> Lost {
        Lost(Arc::clone(&self.0.count))
    }
}

/// The number of lines that could not be written.
#[derive(Clone)]
pub(super) struct Lost(Arc<Count>);

impl Lost {
    /// The counter in Prometheus' text format.
    pub(super) fn metric(&self) -> String {
        let lost = self.0.lost.load(Ordering::Relaxed);
        format!(
            "# HELP doorwarden_log_lines_lost_total Log lines that could not be written.\n\
             # TYPE doorwarden_log_lines_lost_total counter\ndoorwarden_log_lines_lost_total {lost}\n"
        )
    }
}

/// Waits until the queued lines are written, up to a time limit.
impl Drop for Log {
    fn drop(&mut self) {
        let (written, wait) = channel();
        if self.0.sender.send(Line::Mark(written)).is_ok() {
            let _ = wait.recv_timeout(LAST_WORDS);
        }
    }
}

#[derive(Debug, Default)]
struct Count {
    waiting: AtomicUsize,
    lost: AtomicU64,
}

enum Line {
    Text(Vec<u8>),
    /// Acknowledged when every line before it is written.
    Mark(Sender<()>),
}

/// The queue of lines to the thread that writes them.
#[derive(Clone)]
struct Lines {
    sender: Sender<Line>,
    count: Arc<Count>,
}

impl Lines {
    fn start(to: impl Write + Send + 'static) -> Result<Self, Failure> {
        let (sender, lines) = channel();
        let count = Arc::new(Count::default());
        let counted = Arc::clone(&count);
        std::thread::Builder::new().name("log".to_owned()).spawn(move || write(&lines, to, &counted))?;
        Ok(Self { sender, count })
    }

    fn lose(&self) {
        self.count.lost.fetch_add(1, Ordering::Relaxed);
    }
}

fn write(lines: &Receiver<Line>, mut to: impl Write, count: &Count) {
    while let Ok(line) = lines.recv() {
        match line {
            Line::Text(text) => {
                if to.write_all(&text).is_err() {
                    count.lost.fetch_add(1, Ordering::Relaxed);
                }
                count.waiting.fetch_sub(1, Ordering::Relaxed);
            }
            Line::Mark(written) => drop(written.send(())),
        }
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> &'a Self {
        self
    }
}

/// Each call is one line.
impl Write for &Lines {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        if self.count.waiting.fetch_add(1, Ordering::Relaxed) >= WAITING
            || self.sender.send(Line::Text(line.to_vec())).is_err()
        {
            self.count.waiting.fetch_sub(1, Ordering::Relaxed);
            self.lose();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
