//! Connections that read, on the calling thread: a look-up takes less time than handing it to another thread.

use crate::connection::{Opened, SqliteOptions};
use crate::failure::Failure;
use parking_lot::Mutex;
use rusqlite::Connection;
use std::sync::atomic::{AtomicBool, Ordering};

/// How many connections are kept for the next reader.
const KEPT: usize = 8;

pub(crate) struct Readers {
    options: SqliteOptions,
    idle: Mutex<Vec<Opened>>,
    closed: AtomicBool,
}

impl Readers {
    pub(crate) fn new(options: SqliteOptions) -> Self {
        Self { options, idle: Mutex::new(Vec::new()), closed: AtomicBool::new(false) }
    }

    pub(crate) fn check_open(&self) -> Result<(), Failure> {
        if self.closed.load(Ordering::Acquire) { Err(Failure::CLOSED) } else { Ok(()) }
    }

    /// Reads over a connection of its own.
    pub(crate) fn read<T, E: From<Failure>>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        self.check_open()?;
        let idle = self.idle.lock().pop();
        let opened = match idle {
            Some(opened) if self.options.is_current(&opened)? => opened,
            Some(opened) => {
                // The others have the same files.
                drop(opened);
                self.idle.lock().clear();
                self.options.reader()?
            }
            None => self.options.reader()?,
        };
        let result = work(&opened.connection);
        // One that failed is not used again: its file may be gone.
        if result.is_ok() {
            let mut idle = self.idle.lock();
            if idle.len() < KEPT && !self.closed.load(Ordering::Relaxed) {
                idle.push(opened);
            }
        }
        result
    }

    /// Closes the connections; later reads are refused.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.idle.lock().clear();
    }
}
