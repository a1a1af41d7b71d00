/// Whether drills (tests with `drill` in their name) run in their short or in their full form; see [`drill`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drill {
    /// The long form was requested.
    pub full: bool,
}

impl Drill {
    /// How often to repeat: `short` in an ordinary test run, `full` in a drill.
    pub fn rounds(self, short: usize, full: usize) -> usize {
        if self.full { full } else { short }
    }
}

/// The form that the environment requests: full with `DOORWARDEN_DRILL=full`, as `make drill` sets it.
pub fn drill() -> Drill {
    Drill { full: std::env::var("DOORWARDEN_DRILL").is_ok_and(|v| v == "full") }
}
