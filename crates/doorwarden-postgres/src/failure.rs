//! What can go wrong with a statement, and what it means.

use doorwarden_core::store::{MigrateError, Reason, StoreError};
use rustls::CertificateError;
use std::error::Error as _;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

/// A statement that did not succeed. No message holds a parameter's value or a part of the URL.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    /// The connection or the server is gone, or is not the one that it should be.
    Lost(Reason),
    /// A server refuses the connection because of what the URL says, until the URL or the server is changed.
    Denied(Reason),
    /// No response in time; the statement may still be running.
    Silent,
    /// The server responds but is overloaded or full, or lacks a required object.
    Busy(String),
    /// The server refused the statement.
    Refused { state: SqlState, constraint: Option<String>, message: String },
    /// The challenge that allows the change is no longer open.
    Spent,
    /// The answer cannot be read, or the question could not be written.
    Unreadable(String),
}

impl Failure {
    /// Whatever else keeps a connection from being made (TLS, a limit) makes the server one that cannot be
    /// reached.
    pub(crate) fn connecting(error: Error) -> Self {
        match Self::from(error) {
            Self::Unreadable(message) => Self::lost(message),
            Self::Refused { state, message, .. } => match denied(&state) {
                Some(hint) => Self::Denied(Reason::new(message).with_hint(hint)),
                None => Self::lost(message),
            },
            other => other,
        }
    }

    /// Names the host that could not be reached.
    pub(crate) fn at(self, host: &str, port: u16) -> Self {
        match self {
            Self::Lost(reason) => Self::Lost(reason.at(format_args!("{host}:{port}"))),
            Self::Denied(reason) => Self::Denied(reason.at(format_args!("{host}:{port}"))),
            Self::Silent => Self::lost(format_args!("{host}:{port}: no answer in time")),
            other => other,
        }
    }

    /// The connection or the server is gone for this reason.
    pub(crate) fn lost(why: impl std::fmt::Display) -> Self {
        Self::Lost(Reason::new(why))
    }

    /// The store was closed.
    pub(crate) fn closed() -> Self {
        Self::lost("the store is closed")
    }

    /// The statement was rolled back because of others, and may be tried again.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused { state, .. }
            if *state == SqlState::T_R_DEADLOCK_DETECTED || *state == SqlState::T_R_SERIALIZATION_FAILURE)
    }

    /// A parameter holds a character that no stored text can hold: U+0000.
    pub(crate) fn is_impossible_text(&self) -> bool {
        matches!(self, Self::Refused { state, .. } if *state == SqlState::CHARACTER_NOT_IN_REPERTOIRE)
    }

    /// The name of the violated constraint.
    pub(crate) fn constraint(&self) -> Option<&str> {
        match self {
            Self::Refused { constraint, .. } => constraint.as_deref(),
            _ => None,
        }
    }
}

/// Advice for a server that refuses the connection.
fn denied(state: &SqlState) -> Option<&'static str> {
    match state.code() {
        "28P01" => Some("user or password in the database URL is wrong; in them @ is written %40"),
        "28000" => Some("the server's pg_hba.conf lets nobody in under this name from here"),
        "3D000" => Some("createdb makes one, or the database URL means another"),
        _ => None,
    }
}

/// What is wrong with the server's certificate, if that is what kept a connection from being made.
fn certificate(error: &Error) -> Option<Reason> {
    let cause = error.source()?;
    let inner = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    let tls = cause.downcast_ref().or_else(|| inner?.downcast_ref::<rustls::Error>())?;
    let rustls::Error::InvalidCertificate(wrong) = tls else { return None };
    Some(match wrong {
        CertificateError::UnknownIssuer => {
            Reason::new("the server's certificate is of an authority that is not trusted (UnknownIssuer)")
                .with_hint("sslrootcert=FILE in the database URL")
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            Reason::new("the server's certificate is for another host name than the database URL has")
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            Reason::new("the server's certificate has expired")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            Reason::new("the server's certificate is not valid yet")
        }
        CertificateError::Other(other) => {
            Reason::new(format_args!("the server's certificate cannot be used: {}", other.0))
        }
        other => Reason::new(format_args!("the server's certificate cannot be used: {other:?}")),
    })
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let Some(refusal) = error.as_db_error() else {
            if let Some(reason) = certificate(&error) {
                return Self::Lost(reason);
            }
            let text = match error.source() {
                Some(cause) => format!("{error}: {cause}"),
                None => error.to_string(),
            };
            let lost = error.is_closed()
                || error.source().is_some_and(<dyn std::error::Error>::is::<std::io::Error>);
            return if lost { Self::lost(text) } else { Self::Unreadable(text) };
        };
        let state = refusal.code().clone();
        // The detail is left out: it shows values.
        let message = format!("{} ({})", refusal.message(), state.code());
        match state.code() {
            // Shutting down, starting, failing over; a standby that cannot write.
            "57P01" | "57P02" | "57P03" | "57P05" | "25006" => Self::lost(message),
            "57014" | "55P03" => Self::Busy(message),
            code if code.starts_with("08") => Self::lost(message),
            code if code.starts_with("53") => Self::Busy(message),
            // No such table, column, function or schema, or no privilege for it: the database is being
            // changed, or it is another one.
            "42P01" | "42703" | "42883" | "42501" | "3F000" => Self::Busy(message),
            _ => Self::Refused { state, constraint: refusal.constraint().map(str::to_owned), message },
        }
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Lost(reason) | Failure::Denied(reason) => Self::Unavailable(reason),
            Failure::Busy(message) => Self::unavailable(message),
            Failure::Silent => Self::unavailable("no answer in time"),
            Failure::Spent => Self::Spent,
            Failure::Refused { message, .. } | Failure::Unreadable(message) => Self::failed(message),
        }
    }
}

impl From<Failure> for MigrateError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Denied(reason) => Self::Denied(reason),
            other => Self::Store(other.into()),
        }
    }
}
