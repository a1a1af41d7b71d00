//! A mail as it is delivered, and its form on the wire (RFC 5322, MIME).

use doorwarden_core::identity::EmailAddress;
use doorwarden_core::mail::{Locale, MailId, MailKind};
use doorwarden_core::time::Timestamp;
use std::fmt::{self, Write as _};
use std::str::FromStr;

/// Who mails are from: an email address, with a name or without.
///
/// ```
/// use doorwarden_mail::Sender;
///
/// let sender: Sender = "Example <accounts@example.org>".parse().unwrap();
/// assert_eq!((sender.name(), sender.address()), (Some("Example"), "accounts@example.org"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    name: Option<String>,
    address: String,
}

/// The text is not a sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SenderError {
    /// The email address is missing or not valid.
    #[error("not a sender such as `Example <accounts@example.org>`: the email address is not valid")]
    Address,
    /// The name contains a line break or another control character.
    #[error("not a sender such as `Example <accounts@example.org>`: the name has a control character")]
    Name,
}

impl Sender {
    /// The name, which mail programs show instead of the address.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The email address, its domain in ASCII.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The domain of the email address, in ASCII.
    pub fn domain(&self) -> &str {
        self.address.rsplit_once('@').map_or("localhost", |(_, domain)| domain)
    }
}

impl FromStr for Sender {
    type Err = SenderError;

    fn from_str(text: &str) -> Result<Self, SenderError> {
        let text = text.trim();
        let (name, address) = match text.strip_suffix('>').and_then(|text| text.rsplit_once('<')) {
            Some((name, address)) => (name.trim(), address),
            None => ("", text),
        };
        let unquoted = name.strip_prefix('"').and_then(|name| name.strip_suffix('"')).unwrap_or(name);
        if unquoted.chars().any(char::is_control) {
            return Err(SenderError::Name);
        }
        let address = EmailAddress::check(address).map_err(|_| SenderError::Address)?;
        let address = on_the_wire(address.as_str()).ok_or(SenderError::Address)?;
        Ok(Self { name: Some(unquoted.to_owned()).filter(|name| !name.is_empty()), address })
    }
}

/// The address with its domain in ASCII; `None` if SMTP cannot transport it (RFC 5321, section 4.1.2, and RFC
/// 6531, section 3.3).
pub(crate) fn on_the_wire(address: &str) -> Option<String> {
    let (local, domain) = address.rsplit_once('@')?;
    let quoted = local.strip_prefix('"').and_then(|local| local.strip_suffix('"'));
    let is_usable = match quoted {
        Some(content) => is_quoted_content(content),
        None => local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atom)),
    };
    if !is_usable {
        return None;
    }
    let is_literal = domain.starts_with('[') && domain.ends_with(']');
    let domain = if is_literal { domain.to_owned() } else { idna::domain_to_ascii(domain).ok()? };
    let inner = domain.trim_start_matches('[').trim_end_matches(']');
    let is_domain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c) || is_literal && c == ':';
    (!inner.is_empty() && inner.chars().all(is_domain)).then(|| format!("{local}@{domain}"))
}

/// What may be between the quotes: printable, with `"` and `\` escaped.
fn is_quoted_content(content: &str) -> bool {
    let mut chars = content.chars();
    while let Some(c) = chars.next() {
        let escaped = if c == '\\' { chars.next() } else { Some(c).filter(|c| *c != '"') };
        if escaped.is_none_or(|c| !matches!(c, ' '..='~') && !is_beyond_ascii(c)) {
            return false;
        }
    }
    true
}

fn is_atom(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || is_beyond_ascii(c)
}

fn is_beyond_ascii(c: char) -> bool {
    !c.is_ascii() && !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}')
}

/// A mail, written and ready to be delivered.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// The id of the mail.
    pub id: MailId,
    /// What it is about.
    pub kind: MailKind,
    /// The language of the texts.
    pub locale: Locale,
    /// Who it is from.
    pub from: Sender,
    /// The only recipient, its domain in ASCII. The part before the `@` may be beyond ASCII; then SMTPUTF8 is
    /// needed.
    pub to: String,
    /// The subject.
    pub subject: String,
    /// When the mail was queued.
    pub date: Timestamp,
    /// The mail as plain text; lines end with `\n`.
    pub text: String,
    /// The same as HTML.
    pub html: String,
}

impl Message {
    /// The `Message-ID` with its angle brackets: the id of the mail at the domain of the sender, so that it
    /// is the same in every attempt.
    pub fn message_id(&self) -> String {
        format!("<{}@{}>", self.id, self.from.domain())
    }

    /// The whole message with its headers, as it is handed to an SMTP server or saved as a file (RFC 5322);
    /// lines end with `\r\n`. All of it is ASCII, unless the recipient's address is not.
    pub fn eml(&self) -> String {
        // No encoded body contains it: there, `=` is followed by a digit or the end of the line.
        let boundary = format!("=_{}", self.id);
        let mut eml = String::with_capacity(2 * (self.text.len() + self.html.len()));
        header(&mut eml, "From", &mailbox(&self.from));
        header(&mut eml, "To", &self.to);
        header(&mut eml, "Subject", &unstructured(&self.subject));
        header(&mut eml, "Date", &date(self.date));
        header(&mut eml, "Message-ID", &self.message_id());
        header(&mut eml, "Auto-Submitted", "auto-generated");
        header(&mut eml, "Content-Language", self.locale.as_str());
        header(&mut eml, "MIME-Version", "1.0");
        header(&mut eml, "Content-Type", &format!("multipart/alternative;\r\n boundary=\"{boundary}\""));
        for (subtype, body) in [("plain", &self.text), ("html", &self.html)] {
            let _ = write!(eml, "\r\n--{boundary}\r\n");
            header(&mut eml, "Content-Type", &format!("text/{subtype}; charset=utf-8"));
            header(&mut eml, "Content-Transfer-Encoding", "quoted-printable");
            eml.push_str("\r\n");
            quoted_printable(&mut eml, body);
        }
        let _ = write!(eml, "\r\n--{boundary}--\r\n");
        eml
    }
}

/// Shows no text, address or link.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message").field("id", &self.id).field("kind", &self.kind).finish_non_exhaustive()
    }
}

fn header(eml: &mut String, name: &str, value: &str) {
    let _ = write!(eml, "{name}: {value}\r\n");
}

fn date(at: Timestamp) -> String {
    civil(at).strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

/// The date and time in UTC.
pub(crate) fn civil(at: Timestamp) -> jiff::civil::DateTime {
    let epoch = jiff::civil::date(1970, 1, 1).at(0, 0, 0, 0);
    epoch.saturating_add(jiff::SignedDuration::from_secs(at.as_seconds()))
}

/// `"name" <address>` (RFC 5322, section 3.4), on two lines if it is long.
fn mailbox(sender: &Sender) -> String {
    let Some(name) = sender.name() else { return sender.address().to_owned() };
    let name = if is_plain(name) {
        format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        encoded_words(name)
    };
    let is_short = name.len() + sender.address().len() < 64;
    format!("{name}{}<{}>", if is_short { " " } else { "\r\n " }, sender.address())
}

fn unstructured(text: &str) -> String {
    if is_plain(text) { text.to_owned() } else { encoded_words(text) }
}

/// Whether the text can stand in a header as it is, on one line.
fn is_plain(text: &str) -> bool {
    let fits = text.len() <= 64 && text.trim() == text && !text.is_empty();
    fits && !text.contains("=?") && text.bytes().all(|b| matches!(b, b' '..=b'~'))
}

/// As encoded words (RFC 2047), one on each line, which has at most 76 characters with `Subject: `.
fn encoded_words(text: &str) -> String {
    const BYTES: usize = 39;
    let mut words = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (word, behind) = rest.split_at(rest.floor_char_boundary(BYTES));
        words.push(format!("=?utf-8?B?{}?=", base64_simd::STANDARD.encode_to_string(word)));
        rest = behind;
    }
    words.join("\r\n ")
}

/// Quoted-printable (RFC 2045, section 6.7): ASCII, lines of at most 76 characters.
fn quoted_printable(out: &mut String, text: &str) {
    const COLUMNS: usize = 76;
    for line in text.trim_end_matches('\n').split('\n') {
        let mut column = 0;
        let bytes = line.as_bytes();
        for (i, &byte) in bytes.iter().enumerate() {
            let is_last = i + 1 == bytes.len();
            let is_literal = matches!(byte, b'!'..=b'<' | b'>'..=b'~') || byte == b' ' && !is_last;
            let width = if is_literal { 1 } else { 3 };
            // The last column is for the `=` that continues the line.
            if column + width > COLUMNS - usize::from(!is_last) {
                out.push_str("=\r\n");
                column = 0;
            }
            if is_literal {
                out.push(char::from(byte));
            } else {
                let _ = write!(out, "={byte:02X}");
            }
            column += width;
        }
        out.push_str("\r\n");
    }
}
