//! The limit of open files: every connection is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files other than clients' connections: the database, the log, metrics, files read briefly.
const RESERVED: u64 = 64;

/// Raises the soft limit of open files as far as needed and allowed, and returns how many of the wanted
/// connections fit.
pub(super) fn connections(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let needed = u64::try_from(wanted).unwrap_or(u64::MAX).saturating_add(RESERVED);
    let current = limit.current.unwrap_or(u64::MAX);
    let raised = needed.min(limit.maximum.unwrap_or(u64::MAX));
    let allowed = if raised > current
        && setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum: limit.maximum }).is_ok()
    {
        raised
    } else {
        current
    };
    let room = usize::try_from(room(allowed)).unwrap_or(usize::MAX);
    if room < wanted {
        tracing::warn!(
            max_connections = room,
            hint = "raise `ulimit -n`, systemd's `LimitNOFILE`, or Docker's `--ulimit nofile`",
            "fewer connections than `max_connections` ({wanted}) are possible: this process may open only {allowed} files"
        );
    }
    room.min(wanted)
}

/// If few files are allowed, half of them are for clients.
fn room(files: u64) -> u64 {
    (files / 2).max(files.saturating_sub(RESERVED)).max(1)
}

#[cfg(test)]
mod tests {
    use super::room;

    #[test]
    fn the_database_never_goes_without_files() {
        for (files, clients) in [(20, 10), (64, 32), (128, 64), (1024, 960), (1_048_576, 1_048_512)] {
            assert_eq!(room(files), clients, "{files}");
        }
    }
}
