use crate::{Console, Files, Mailbox, Smtp, Transport};
use doorwarden_core::password::Password;
use percent_encoding::percent_decode_str;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

/// How mails are delivered, as one setting.
///
/// | text | meaning |
/// |---|---|
/// | `smtps://user:password@host` | SMTP over TLS, port 465 |
/// | `smtp://user:password@host` | SMTP with STARTTLS, port 587; without it only if the host is this one |
/// | `smtp://host?tls=none` | SMTP without TLS. A password is only accepted for this host. |
/// | `file:DIRECTORY` | one file for each mail |
/// | `console` | on standard error, for development |
/// | `memory` | the last 100 in memory, for development |
///
/// User name and password are percent-encoded where they have other characters than letters, digits and
/// `-._~`. A port follows the host: `smtp://host:25`. The parameter `hello` is the name that the client gives
/// itself in `EHLO`; without one it is the client's IP address.
///
/// `Debug` and `Display` do not show the password.
///
/// ```
/// use doorwarden_mail::MailUrl;
///
/// let url: MailUrl = "smtp://kim%40example.org:hunter2@mail.example.org".parse().unwrap();
/// assert_eq!(url.to_string(), "smtp://mail.example.org:587");
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum MailUrl {
    /// By SMTP.
    Smtp(SmtpUrl),
    /// Into this directory.
    Files(PathBuf),
    /// On standard error.
    Console,
    /// In memory.
    Memory,
}

/// A server for outgoing mail, and how to use it.
#[derive(Debug, Clone)]
pub struct SmtpUrl {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: Tls,
    pub(crate) login: Option<(String, Password)>,
    pub(crate) hello: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tls {
    /// From the first byte.
    Implicit,
    /// By STARTTLS, or not at all.
    Required,
    /// By STARTTLS if the server, which is this host, offers it.
    IfOffered,
    None,
}

/// Why a text is not a [`MailUrl`]. No variant contains the text, which may have a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MailUrlError {
    /// The scheme is not known.
    #[error("does not begin with `smtp://`, `smtps://`, `file:`, `console` or `memory`")]
    Scheme,
    /// `file:` without a directory.
    #[error("`file:` is not followed by a directory")]
    Directory,
    /// The host is missing or not valid.
    #[error("the host is missing or not valid")]
    Host,
    /// The port is not a number from 1 to 65535.
    #[error("the port is not a number from 1 to 65535")]
    Port,
    /// User name or password are not valid.
    #[error("user name and password are not `user:password` in percent-encoded UTF-8")]
    Login,
    /// There is something after the host that has no meaning.
    #[error("there is a path or a fragment after the host")]
    Path,
    /// A parameter is not known or its value is not valid.
    #[error("a parameter is not known: there are `tls=none`, for `smtp://`, and `hello=NAME`")]
    Parameter,
    /// A password would be sent without TLS.
    #[error("with `tls=none`, the password would cross the network unencrypted")]
    PasswordInClear,
}

impl MailUrlError {
    /// What the operator can do.
    pub fn hint(self) -> Option<&'static str> {
        match self {
            Self::Scheme => Some("for example \"smtps://user:password@mail.example.org\""),
            Self::Directory => Some("for example \"file:/var/lib/doorwarden/mails\""),
            Self::Login | Self::Path => Some("write \"/\" as %2F, \"@\" as %40, \":\" as %3A, \"#\" as %23"),
            Self::PasswordInClear => Some("leave out \"tls=none\", or use \"smtps://\""),
            Self::Host | Self::Port | Self::Parameter => None,
        }
    }
}

impl MailUrl {
    /// The transport that delivers in this way. With [`MailUrl::Memory`] it is a new [`Mailbox`]; to read the
    /// messages, create the mailbox yourself.
    pub fn transport(&self) -> Arc<dyn Transport> {
        match self {
            Self::Smtp(url) => Arc::new(Smtp::new(url.clone())),
            Self::Files(directory) => Arc::new(Files::new(directory)),
            Self::Console => Arc::new(Console),
            Self::Memory => Arc::new(Mailbox::default()),
        }
    }
}

impl FromStr for MailUrl {
    type Err = MailUrlError;

    fn from_str(text: &str) -> Result<Self, MailUrlError> {
        let text = text.trim();
        let (scheme, rest) = match text {
            "console" | "memory" => (text, ""),
            _ => text.split_once(':').ok_or(MailUrlError::Scheme)?,
        };
        match (scheme.to_ascii_lowercase().as_str(), rest.strip_prefix("//")) {
            ("smtp", Some(rest)) => smtp(rest, false).map(Self::Smtp),
            ("smtps", Some(rest)) => smtp(rest, true).map(Self::Smtp),
            ("file", authority) => {
                // `file:///path` is the same as `file:/path`; a host in between is an error.
                let path = authority.unwrap_or(rest);
                let is_path = !path.is_empty() && authority.is_none_or(|path| path.starts_with('/'));
                is_path.then(|| Self::Files(path.into())).ok_or(MailUrlError::Directory)
            }
            ("console", None) if rest.is_empty() => Ok(Self::Console),
            ("memory", None) if rest.is_empty() => Ok(Self::Memory),
            _ => Err(MailUrlError::Scheme),
        }
    }
}

fn smtp(rest: &str, implicit: bool) -> Result<SmtpUrl, MailUrlError> {
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (login, rest) = match rest.rsplit_once('@') {
        Some((login, rest)) => (Some(login_of(login)?), rest),
        None => (None, rest),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains(['/', '#']) || query.contains('#') {
        return Err(MailUrlError::Path);
    }
    let (host, port) = host_and_port(rest)?;
    let is_local = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let mut url = SmtpUrl {
        port: port.unwrap_or(if implicit { 465 } else { 587 }),
        tls: match implicit {
            true => Tls::Implicit,
            false if is_local => Tls::IfOffered,
            false => Tls::Required,
        },
        host,
        login,
        hello: None,
    };
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        match parameter.split_once('=') {
            Some(("tls", "none")) if !implicit => url.tls = Tls::None,
            Some(("hello", name)) if is_host(name) => url.hello = Some(name.to_owned()),
            _ => return Err(MailUrlError::Parameter),
        }
    }
    if url.tls == Tls::None && url.login.is_some() && !is_local {
        return Err(MailUrlError::PasswordInClear);
    }
    Ok(url)
}

fn login_of(text: &str) -> Result<(String, Password), MailUrlError> {
    let (user, password) = text.split_once(':').ok_or(MailUrlError::Login)?;
    if text.contains(['/', '#']) {
        return Err(MailUrlError::Login);
    }
    let decoded = |text: &str| {
        let text = percent_decode_str(text).decode_utf8().map_err(|_| MailUrlError::Login)?;
        let is_valid = !text.is_empty() && !text.chars().any(char::is_control);
        is_valid.then(|| text.into_owned()).ok_or(MailUrlError::Login)
    };
    Ok((decoded(user)?, Password::new(decoded(password)?)))
}

fn host_and_port(text: &str) -> Result<(String, Option<u16>), MailUrlError> {
    let (host, port) = if let Some((address, rest)) = text.strip_prefix('[').and_then(|t| t.split_once(']')) {
        let address: std::net::Ipv6Addr = address.parse().map_err(|_| MailUrlError::Host)?;
        (address.to_string(), rest)
    } else {
        let (host, rest) = text.split_at(text.find(':').unwrap_or(text.len()));
        let host = idna::domain_to_ascii(host).ok().filter(|host| is_host(host));
        (host.ok_or(MailUrlError::Host)?, rest)
    };
    if port.is_empty() {
        return Ok((host, None));
    }
    let port = port.strip_prefix(':').and_then(|port| port.parse().ok()).filter(|port| *port > 0);
    Ok((host, Some(port.ok_or(MailUrlError::Port)?)))
}

fn is_host(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
}

impl SmtpUrl {
    /// `host:port`, with an IPv6 address in brackets.
    pub(crate) fn server(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for SmtpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.tls == Tls::Implicit { "smtps" } else { "smtp" }, self.server())
    }
}

impl fmt::Display for MailUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Smtp(url) => url.fmt(f),
            Self::Files(directory) => write!(f, "file:{}", directory.display()),
            Self::Console => f.write_str("console"),
            Self::Memory => f.write_str("memory"),
        }
    }
}
