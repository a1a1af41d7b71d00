//! Progress of long commands, and their interruption.

use crate::failure::Failure;
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

/// How often the line on a terminal is rewritten.
const EVERY: Duration = Duration::from_millis(200);
/// How often a line is logged.
const EVERY_IN_A_LOG: Duration = Duration::from_secs(10);

/// Progress on standard error: one line that is rewritten on a terminal, or periodic lines in a log.
pub(super) struct Progress {
    doing: &'static str,
    total: u64,
    done: u64,
    started: Instant,
    shown: Instant,
    terminal: bool,
}

impl Progress {
    /// `total`: 0 if unknown.
    pub(super) fn start(doing: &'static str, total: u64) -> Self {
        let now = Instant::now();
        Self { doing, total, done: 0, started: now, shown: now, terminal: std::io::stderr().is_terminal() }
    }

    /// The total, as it is known by now.
    pub(super) fn expect(&mut self, total: u64) {
        self.total = total;
    }

    pub(super) fn advance(&mut self, by: usize) {
        self.done += u64::try_from(by).unwrap_or(0);
        let every = if self.terminal { EVERY } else { EVERY_IN_A_LOG };
        if self.shown.elapsed() >= every {
            self.shown = Instant::now();
            let (start, end) = if self.terminal { ("\r\x1b[K", "") } else { ("", "\n") };
            // A closed terminal is not an error.
            let _ = write!(std::io::stderr().lock(), "{start}{}{end}", self.line());
        }
    }

    /// Clears the line on the terminal.
    pub(super) fn clear(&self) {
        if self.terminal {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
        }
    }

    fn line(&self) -> String {
        let seconds = self.started.elapsed().as_secs().max(1);
        let rate = (self.done / seconds).max(1);
        let Some(percent) = (self.done * 100).checked_div(self.total) else {
            return format!("{}: {}, {}/s", self.doing, grouped(self.done), grouped(rate));
        };
        let left = self.total.saturating_sub(self.done) / rate;
        format!(
            "{}: {} of {} ({percent} %), {}/s, {} s left",
            self.doing,
            grouped(self.done),
            grouped(self.total),
            grouped(rate),
            grouped(left)
        )
    }
}

/// A number with thousands separators.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// SIGINT or SIGTERM: the command finishes what it must not leave. A second signal ends the program
/// immediately.
#[derive(Clone)]
pub(super) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    pub(super) fn listen() -> Result<Self, Failure> {
        let wanted = Arc::new(AtomicBool::new(false));
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let heard = Arc::clone(&wanted);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if heard.swap(true, Ordering::Relaxed) {
                    std::process::exit(130);
                }
            }
        });
        Ok(Self(wanted))
    }

    /// Whether the command should stop.
    pub(super) fn is_wanted(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Fails if the command should stop.
    pub(super) fn check(&self) -> Result<(), Failure> {
        if self.is_wanted() { Err(Failure::interrupted()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn thousands_are_set_apart() {
        let cases = [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")];
        for (number, text) in cases {
            assert_eq!(grouped(number), text);
        }
    }
}
