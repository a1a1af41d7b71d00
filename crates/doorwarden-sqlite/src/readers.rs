//! Connections that read, on the thread that asks: a look-up takes less time than handing it to another thread.

use crate::connection::SqliteOptions;
use crate::failure::Failure;
use parking_lot::Mutex;
use rusqlite::Connection;
use std::sync::atomic::{AtomicBool, Ordering};

/// How many connections are kept for the next reader.
const KEPT: usize = 8;

pub(crate) struct Readers {
    options: SqliteOptions,
    idle: Mutex<Vec<Connection>>,
    closed: AtomicBool,
}

impl Readers {
    pub(crate) fn new(options: SqliteOptions) -> Self {
        Self { options, idle: Mutex::new(Vec::new()), closed: AtomicBool::new(false) }
    }

    /// Reads over a connection of its own.
    pub(crate) fn read<T, E: From<Failure>>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(Failure::Unavailable("the database is closed").into());
        }
        let idle = self.idle.lock().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.options.reader()?,
        };
        let result = work(&connection);
        // One that failed is not used again: its file may be gone.
        if result.is_ok() {
            let mut idle = self.idle.lock();
            if idle.len() < KEPT && !self.closed.load(Ordering::Relaxed) {
                idle.push(connection);
            }
        }
        result
    }

    /// Closes the connections; later reads are refused.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.idle.lock().clear();
    }
}
