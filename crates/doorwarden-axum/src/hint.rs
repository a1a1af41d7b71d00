//! Hints for clients, sent beside an error, whose own text is the article's.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

/// A mistake that is common enough for a hint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hint {
    JsonAsForm,
    FormAsJson,
    OtherContentType,
    NotBearer,
    TokenExpired,
    SessionEnded,
    WithoutSession,
    OtherAudience,
    UnknownToken,
}

impl Hint {
    const COUNT: usize = 9;

    /// The text in characters that `error_description` may have (RFC 6750, section 3).
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::JsonAsForm => {
                "The body looks like JSON, but its Content-Type says that it is a form. Send Content-Type: application/json."
            }
            Self::FormAsJson => {
                "The body looks like a form, but its Content-Type says that it is JSON. Send Content-Type: application/x-www-form-urlencoded."
            }
            Self::OtherContentType => {
                "Send the header Content-Type: application/json, application/x-www-form-urlencoded or multipart/form-data."
            }
            Self::NotBearer => "The header must be two words, Authorization: Bearer TOKEN.",
            Self::TokenExpired => "The token has expired. Log in again, or refresh it.",
            Self::SessionEnded => "The session of the token has ended. Log in again.",
            Self::WithoutSession => "Tokens without a session are not accepted here. Log in again.",
            Self::OtherAudience => "The token is meant for another audience.",
            Self::UnknownToken => "The token is not complete, or was not issued here.",
        }
    }
}

/// Logs each mistake at most once a minute.
#[derive(Debug, Default)]
pub(crate) struct Said([AtomicI64; Hint::COUNT]);

impl Said {
    /// Whether the mistake is to be logged at this time, in seconds.
    pub(crate) fn is_due(&self, hint: Hint, now: i64) -> bool {
        let next = &self.0[hint as usize];
        let due = next.load(Relaxed);
        // If the clock steps back, the mistake is logged once too often rather than suppressed for long.
        (now >= due || due - now > 60) && next.compare_exchange(due, now + 60, Relaxed, Relaxed).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_said_once_a_minute() {
        let said = Said::default();
        assert!(said.is_due(Hint::NotBearer, 1000) && !said.is_due(Hint::NotBearer, 1059));
        assert!(said.is_due(Hint::TokenExpired, 1001), "each by itself");
        assert!(said.is_due(Hint::NotBearer, 1060) && !said.is_due(Hint::NotBearer, 1061));
        assert!(said.is_due(Hint::NotBearer, 500), "the clock was set back");
    }

    #[test]
    fn a_hint_can_stand_in_a_header() {
        for hint in
            [Hint::JsonAsForm, Hint::FormAsJson, Hint::OtherContentType, Hint::NotBearer, Hint::UnknownToken]
        {
            assert!(hint.text().bytes().all(|b| (b' '..=b'~').contains(&b) && !b"\"\\".contains(&b)));
        }
    }
}
