//! The client's side of SMTP (RFC 5321).

use super::Stream;
use super::error::{SmtpError, Step};
use doorwarden_core::password::Password;
use parking_lot::Mutex;
use std::fmt;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};

/// Limits on what a server may say, more than the 512 bytes of RFC 5321 and than any server's extensions.
const LINE_MAX: u64 = 4096;
const LINES_MAX: usize = 128;
/// How long the server's farewell is waited for.
const FAREWELL: Duration = Duration::from_secs(2);

/// A connection that mails can be sent over.
pub(super) type Connection = Smtp<Box<dyn Stream>>;

pub(super) struct Smtp<S> {
    stream: BufReader<S>,
    /// The version of TLS.
    encryption: Option<&'static str>,
    /// The lines of the response to EHLO, in upper case.
    extensions: Vec<String>,
}

/// What a server answers: a code of three digits and a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) code: u16,
    pub(super) lines: Vec<String>,
}

/// On one line, without control characters, of at most 300 characters, and without email addresses, which do
/// not belong into a log.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.lines.join(" ").replace(char::is_control, " ");
        let is_end =
            |c: char| c.is_whitespace() || matches!(c, '<' | '>' | '(' | ')' | ',' | ';' | '"' | '\'');
        let shown = text.split_inclusive(is_end).map(|word| {
            let bare = word.trim_end_matches(is_end);
            if bare.contains('@') { format!("[address]{}", &word[bare.len()..]) } else { word.to_owned() }
        });
        let shown: String = shown.collect::<String>().chars().take(300).collect();
        write!(f, "{} {}", self.code, shown.trim())
    }
}

impl<S: Stream> Smtp<S> {
    pub(super) fn new(stream: S, encryption: Option<&'static str>) -> Self {
        Self { stream: BufReader::new(stream), encryption, extensions: Vec::new() }
    }

    pub(super) fn encryption(&self) -> Option<&'static str> {
        self.encryption
    }

    pub(super) async fn greeting(&mut self, step: &Mutex<Step>) -> Result<(), SmtpError> {
        *step.lock() = Step::Greeting;
        self.reply(Step::Greeting).await.and_then(|reply| accept(reply, Step::Greeting, 220)).map(drop)
    }

    pub(super) async fn hello(&mut self, name: &str, step: &Mutex<Step>) -> Result<(), SmtpError> {
        *step.lock() = Step::Hello;
        let reply = self.command(&format!("EHLO {name}"), Step::Hello, 250).await?;
        self.extensions = reply.lines.into_iter().skip(1).map(|line| line.to_ascii_uppercase()).collect();
        Ok(())
    }

    pub(super) fn offers_starttls(&self) -> bool {
        self.offers("STARTTLS")
    }

    fn offers(&self, extension: &str) -> bool {
        self.extensions.iter().any(|line| line.split([' ', '=']).next() == Some(extension))
    }

    /// Begins TLS, and returns the stream for it.
    pub(super) async fn starttls(mut self, step: &Mutex<Step>) -> Result<S, SmtpError> {
        *step.lock() = Step::StartTls;
        self.command("STARTTLS", Step::StartTls, 220).await?;
        // Unencrypted bytes behind the reply would be taken for replies inside TLS (CVE-2021-38371).
        if self.stream.buffer().is_empty() {
            Ok(self.stream.into_inner())
        } else {
            Err(SmtpError::Garbled(Step::StartTls))
        }
    }

    pub(super) fn boxed(self) -> Connection
    where
        S: 'static,
    {
        let Self { stream, encryption, extensions } = self;
        // After a reply the buffer is empty: a server that says more than it was asked is not understood.
        let stream: Box<dyn Stream> = Box::new(stream.into_inner());
        Smtp { stream: BufReader::new(stream), encryption, extensions }
    }

    /// AUTH PLAIN or AUTH LOGIN (RFC 4954).
    pub(super) async fn log_in(
        &mut self,
        user: &str,
        password: &Password,
        step: &Mutex<Step>,
    ) -> Result<(), SmtpError> {
        *step.lock() = Step::LogIn;
        let encoded = |text: &str| base64_simd::STANDARD.encode_to_string(text);
        let auth = self.extensions.iter().filter_map(|line| line.strip_prefix("AUTH"));
        let methods: Vec<&str> = auth.flat_map(|line| line.split([' ', '='])).collect();
        if methods.contains(&"PLAIN") {
            let response = encoded(&format!("\0{user}\0{}", password.expose()));
            self.command(&format!("AUTH PLAIN {response}"), Step::LogIn, 235).await?;
        } else if methods.contains(&"LOGIN") {
            self.command("AUTH LOGIN", Step::LogIn, 334).await?;
            self.command(&encoded(user), Step::LogIn, 334).await?;
            self.command(&encoded(password.expose()), Step::LogIn, 235).await?;
        } else {
            return Err(SmtpError::NoLogin);
        }
        Ok(())
    }

    /// Sends one mail. After an error the connection is of no use.
    pub(super) async fn send(
        &mut self,
        from: &str,
        to: &str,
        eml: &str,
        step: &Mutex<Step>,
    ) -> Result<(), SmtpError> {
        *step.lock() = Step::Sender;
        let utf8 = if to.is_ascii() && from.is_ascii() {
            ""
        } else if self.offers("SMTPUTF8") {
            " BODY=8BITMIME SMTPUTF8"
        } else {
            return Err(SmtpError::NoUtf8);
        };
        self.command(&format!("MAIL FROM:<{from}>{utf8}"), Step::Sender, 250).await?;
        *step.lock() = Step::Recipient;
        self.command(&format!("RCPT TO:<{to}>"), Step::Recipient, 250).await?;
        *step.lock() = Step::Content;
        self.command("DATA", Step::Content, 354).await?;
        let mut content = String::with_capacity(eml.len() + 64);
        for line in eml.split_inclusive('\n') {
            // A line of one dot would end the mail (RFC 5321, section 4.5.2).
            if line.starts_with('.') {
                content.push('.');
            }
            content.push_str(line);
        }
        content.push('.');
        self.command(&content, Step::Content, 250).await.map(drop)
    }

    /// Says goodbye. That the server answers is not required.
    pub(super) async fn quit(&mut self) {
        let quit = self.command("QUIT", Step::Hello, 221);
        let _ = tokio::time::timeout(FAREWELL, quit).await;
    }

    async fn command(&mut self, line: &str, step: Step, expected: u16) -> Result<Reply, SmtpError> {
        let lost = |error: io::Error| SmtpError::Lost { step, cause: error.to_string() };
        self.stream.write_all(format!("{line}\r\n").as_bytes()).await.map_err(lost)?;
        self.stream.flush().await.map_err(lost)?;
        accept(self.reply(step).await?, step, expected)
    }

    async fn reply(&mut self, step: Step) -> Result<Reply, SmtpError> {
        let mut lines = Vec::new();
        while lines.len() < LINES_MAX {
            let mut line = Vec::new();
            let read = (&mut self.stream).take(LINE_MAX).read_until(b'\n', &mut line).await;
            match read {
                Ok(0) => return Err(SmtpError::Lost { step, cause: "closed by the server".to_owned() }),
                Err(error) => return Err(SmtpError::Lost { step, cause: error.to_string() }),
                Ok(_) => {}
            }
            let line = String::from_utf8_lossy(&line);
            let Some(line) = line.strip_suffix('\n').map(str::trim_end) else { break };
            let Some((code, rest)) = line.split_at_checked(3) else { break };
            let Ok(code) = code.parse::<u16>() else { break };
            let is_last = !rest.starts_with('-');
            lines.push(rest.strip_prefix(['-', ' ']).unwrap_or(rest).to_owned());
            if is_last {
                return Ok(Reply { code, lines });
            }
        }
        Err(SmtpError::Garbled(step))
    }
}

/// The reply, if it is the expected one or another of the same hundred.
fn accept(reply: Reply, step: Step, expected: u16) -> Result<Reply, SmtpError> {
    match reply.code / 100 {
        hundred if hundred == expected / 100 => Ok(reply),
        4 | 5 => Err(SmtpError::Refused { step, reply }),
        _ => Err(SmtpError::Garbled(step)),
    }
}
