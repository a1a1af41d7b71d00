//! How long the cache may be used without news from the change feed.

use crate::store::Look;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// For this long after the beginning of a read of the change log, the cache is used instead of the database.
pub const LEASE: Duration = Duration::from_millis(500);

/// Two clocks that were read one after the other on a busy machine differ by less; a clock that was set, or
/// that went on while the other stood still, by more. In microseconds.
const JUMP: u64 = 1_000_000;

/// A process may be stopped for minutes and not know of it: SIGSTOP, a virtual machine that moves, a laptop's
/// lid. Its cache is then equally stale, so the cache is used only for a moment after the last successful
/// read of the change log.
#[derive(Debug, Default)]
pub(super) struct Lease {
    /// In microseconds of uptime; 0 while there is none.
    until: AtomicU64,
    /// [`Look::ahead`] of the read that renewed it.
    ahead: AtomicI64,
}

impl Lease {
    /// Everything before `look` was received; its result came at `now`.
    pub(super) fn renew(&self, look: Look, now: Look) {
        if is_jump(look.ahead(), now.ahead()) {
            return self.end();
        }
        self.ahead.store(look.ahead(), Ordering::SeqCst);
        self.until.store(micros(look.uptime() + LEASE), Ordering::SeqCst);
    }

    /// The cache is not used until the next read of the change log.
    pub(super) fn end(&self) {
        self.until.store(0, Ordering::SeqCst);
    }

    /// Whether the cache may be used.
    pub(super) fn is_fresh(&self, now: Look) -> bool {
        let until = self.until.load(Ordering::SeqCst);
        micros(now.uptime()) < until && !is_jump(self.ahead.load(Ordering::SeqCst), now.ahead())
    }
}

fn is_jump(one: i64, other: i64) -> bool {
    one.abs_diff(other) > JUMP
}

fn micros(uptime: Duration) -> u64 {
    u64::try_from(uptime.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    /// A second and a half after a start at noon, say: both clocks in milliseconds.
    fn at(uptime: u64, wall: i64) -> Look {
        Look::at(Duration::from_millis(uptime), Timestamp::from_micros(1_700_000_000_000_000 + wall * 1000))
    }

    #[test]
    fn it_lasts_half_a_second_from_the_beginning_of_a_look() {
        let lease = Lease::default();
        assert!(!lease.is_fresh(at(0, 0)), "nothing was heard yet");
        lease.renew(at(1000, 1000), at(1200, 1200));
        assert!(lease.is_fresh(at(1499, 1499)));
        assert!(!lease.is_fresh(at(1500, 1500)));
        lease.renew(at(1400, 1400), at(1410, 1410));
        assert!(lease.is_fresh(at(1899, 1899)));
        lease.end();
        assert!(!lease.is_fresh(at(1450, 1450)));
    }

    #[test]
    fn an_answer_that_comes_late_renews_nothing() {
        let lease = Lease::default();
        lease.renew(at(1000, 1000), at(71_000, 71_000));
        assert!(!lease.is_fresh(at(71_000, 71_000)));
    }

    #[test]
    fn a_wall_clock_that_jumps_voids_it_in_both_directions_until_the_next_look() {
        for jump in [-70_000, -1_001, 1_001, 70_000] {
            let lease = Lease::default();
            lease.renew(at(1000, 1000), at(1001, 1001));
            assert!(!lease.is_fresh(at(1002, 1002 + jump)), "{jump}");
            lease.renew(at(1001, 1001), at(1002, 1002 + jump));
            assert!(!lease.is_fresh(at(1003, 1003 + jump)), "the look began before it");
            lease.renew(at(1004, 1004 + jump), at(1005, 1005 + jump));
            assert!(lease.is_fresh(at(1006, 1006 + jump)), "{jump}");
        }
    }
}
