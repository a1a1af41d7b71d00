use super::connection::Reply;
use crate::url::{SmtpUrl, Tls};
use std::time::Duration;

/// Where in the conversation with the server something happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Connect,
    Greeting,
    Hello,
    StartTls,
    Tls,
    LogIn,
    Sender,
    Recipient,
    Content,
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Self::Connect => "the connection",
            Self::Greeting => "the greeting",
            Self::Hello => "EHLO",
            Self::StartTls => "STARTTLS",
            Self::Tls => "the TLS handshake",
            Self::LogIn => "the login",
            Self::Sender => "the sender",
            Self::Recipient => "the recipient",
            Self::Content => "the content",
        }
    }
}

#[derive(Debug)]
pub(super) enum SmtpError {
    Unreachable(String),
    Timeout {
        step: Step,
        limit: Duration,
    },
    Lost {
        step: Step,
        cause: String,
    },
    /// The server does not speak SMTP.
    Garbled(Step),
    NoStartTls,
    Tls(String),
    /// The server offers no method to log in that we have.
    NoLogin,
    NoUtf8,
    Refused {
        step: Step,
        reply: Reply,
    },
}

impl SmtpError {
    /// Whether no later attempt can succeed. Everything that is not about this mail alone is temporary, since
    /// the operator can correct it.
    pub(super) fn is_permanent(&self) -> bool {
        match self {
            Self::NoUtf8 => true,
            Self::Refused { step: Step::Recipient | Step::Content, reply } => {
                // These four say that the client has to log in or encrypt first (RFC 4954, RFC 3207).
                reply.code >= 500 && !matches!(reply.code, 530 | 534 | 535 | 538)
            }
            _ => false,
        }
    }

    pub(super) fn text(&self, url: &SmtpUrl) -> String {
        let server = url.server();
        match self {
            Self::Unreachable(cause) => format!("could not connect to `{server}`: {cause}"),
            Self::Timeout { step, limit } => {
                format!("`{server}` took longer than {} s, last for {}", limit.as_secs_f32(), step.name())
            }
            Self::Lost { step, cause } => {
                format!("lost the connection to `{server}` at {}: {cause}", step.name())
            }
            Self::Garbled(step) => {
                format!("`{server}` does not speak SMTP: no valid reply at {}", step.name())
            }
            Self::NoStartTls => format!("`{server}` does not offer STARTTLS, so nothing was sent"),
            Self::Tls(cause) => format!("no TLS with `{server}`: {cause}"),
            Self::NoLogin => format!("`{server}` offers neither AUTH PLAIN nor AUTH LOGIN"),
            Self::NoUtf8 => {
                format!("the recipient's address is not ASCII, and `{server}` does not support SMTPUTF8")
            }
            Self::Refused { step: Step::LogIn, reply } if reply.code >= 500 => {
                format!("`{server}` refused the user name and password of the mail URL: {reply}")
            }
            Self::Refused { step: Step::Sender, reply } if reply.code >= 500 => {
                format!("`{server}` refused the configured sender: {reply}")
            }
            Self::Refused { step, reply } => format!("`{server}` refused {}: {reply}", step.name()),
        }
    }

    pub(super) fn hint(&self, tls: Tls) -> Option<&'static str> {
        match self {
            Self::Timeout { step: Step::Greeting, .. } | Self::Lost { step: Step::Greeting, .. }
                if tls != Tls::Implicit =>
            {
                Some("if the port expects TLS from the beginning, as 465 does, use \"smtps://\"")
            }
            Self::Tls(cause) if tls == Tls::Implicit && cause.contains("corrupt message") => {
                Some("if the port expects STARTTLS, as 587 does, use \"smtp://\"")
            }
            Self::Tls(cause) if cause.contains("certificate") => Some(
                "name the authority's certificate with SSL_CERT_FILE, and the host as the certificate does",
            ),
            Self::NoStartTls => Some("use \"smtps://\", or \"?tls=none\" in a network that you trust"),
            Self::NoLogin => Some("leave the login out of the mail URL, or use TLS"),
            Self::Refused { step: Step::LogIn, reply } if reply.code >= 500 => {
                Some("special characters in user name and password are percent-encoded")
            }
            _ => None,
        }
    }
}
