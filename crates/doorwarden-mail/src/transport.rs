//! What delivers mails, and the transports other than SMTP.

use crate::Message;
use doorwarden_core::async_trait;
use doorwarden_core::mail::{MailId, SendError};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::fmt;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Delivers messages that are written already.
///
/// ```
/// use doorwarden_core::async_trait;
/// use doorwarden_core::mail::SendError;
/// use doorwarden_mail::{Message, Transport};
///
/// /// Hands mails to the API of a provider.
/// #[derive(Debug)]
/// struct Provider;
///
/// #[async_trait]
/// impl Transport for Provider {
///     async fn deliver(&self, message: &Message) -> Result<(), SendError> {
///         let request = [("to", &message.to), ("subject", &message.subject), ("html", &message.html)];
///         // …
///         # let _ = request;
///         Ok(())
///     }
/// }
/// ```
#[async_trait]
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Delivers a message. A message may come twice, with the same id; see
    /// [`Mailer::send`](doorwarden_core::mail::Mailer::send).
    ///
    /// # Errors
    /// [`SendError::Temporary`] if a later attempt may succeed, as after an error of the configuration, and
    /// [`SendError::Permanent`] if none will. The texts must not contain what the mail says, nor to whom.
    async fn deliver(&self, message: &Message) -> Result<(), SendError>;

    /// Tries, without a mail, whether messages could be delivered, and says what was tried.
    ///
    /// # Errors
    /// If they could not.
    async fn check(&self) -> Result<String, CheckError> {
        Ok("nothing to check".to_owned())
    }
}

/// Messages could not be delivered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
#[non_exhaustive]
pub struct CheckError {
    /// What failed.
    pub message: String,
    /// What the operator can do.
    pub hint: Option<String>,
}

impl CheckError {
    /// What failed, without advice.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }
}

/// Writes each message into a directory, as the file `<id>.eml` that only its owner can read. A directory
/// that is missing is created.
#[derive(Debug, Clone)]
pub struct Files(PathBuf);

impl Files {
    /// Files in this directory.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self(directory.into())
    }

    /// Writes the file aside and renames it, so that a reader never sees a part of it.
    fn write(directory: &Path, name: &str, content: &[u8]) -> io::Result<()> {
        let mut folder = DirBuilder::new();
        folder.recursive(true);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        {
            std::os::unix::fs::DirBuilderExt::mode(&mut folder, 0o700);
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        }
        folder.create(directory)?;
        let aside = directory.join(format!(".{name}.tmp"));
        // A file of an earlier attempt may have another mode.
        match fs::remove_file(&aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = options.open(&aside)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&aside, directory.join(name))
    }

    async fn run(&self, work: impl FnOnce(&Path) -> io::Result<()> + Send + 'static) -> Result<(), String> {
        let directory = self.0.clone();
        let failed = format!("could not write a mail into {}", self.0.display());
        match tokio::task::spawn_blocking(move || work(&directory)).await {
            Ok(result) => result.map_err(|error| format!("{failed}: {error}")),
            Err(_) => Err(failed),
        }
    }
}

#[async_trait]
impl Transport for Files {
    async fn deliver(&self, message: &Message) -> Result<(), SendError> {
        let (name, content) = (format!("{}.eml", message.id), message.eml());
        let written = self.run(move |directory| Self::write(directory, &name, content.as_bytes())).await;
        written.map_err(SendError::Temporary)
    }

    async fn check(&self) -> Result<String, CheckError> {
        let written = self.run(|directory| {
            Self::write(directory, "check", b"")?;
            fs::remove_file(directory.join("check"))
        });
        written.await.map_err(CheckError::new)?;
        Ok(format!("mails are written into {}", self.0.display()))
    }
}

/// Prints the text of each message on standard error, with its link. Only for development.
#[derive(Debug, Clone, Copy, Default)]
pub struct Console;

#[async_trait]
impl Transport for Console {
    async fn deliver(&self, message: &Message) -> Result<(), SendError> {
        // Control characters could move the cursor; texts have none but line breaks.
        let shown = format!("To: {}\nSubject: {}\n\n{}\n", message.to, message.subject, message.text);
        io::stderr().write_all(shown.as_bytes()).map_err(|error| SendError::Temporary(error.to_string()))
    }

    async fn check(&self) -> Result<String, CheckError> {
        Ok("mails are printed on standard error".to_owned())
    }
}

/// Keeps the last 100 messages in memory, to show them during development and in tests. Clones share them.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use doorwarden_core::mail::{Locale, Mail, MailId, MailKind, Mailer as _};
/// use doorwarden_core::time::Timestamp;
/// use doorwarden_mail::{Mailbox, TemplateMailer};
/// use std::sync::Arc;
///
/// let mailbox = Mailbox::default();
/// let from = "accounts@example.org".parse().unwrap();
/// let mailer = TemplateMailer::new(from, "Example", Arc::new(mailbox.clone()));
///
/// let now = Timestamp::from_seconds(1_795_460_165);
/// let mail = Mail::new(MailId::new(now, [0; 10]), MailKind::Test, "kim@example.org", Locale::English, now);
/// mailer.send(&mail).await.unwrap();
/// assert_eq!(mailbox.messages()[0].subject, "Test from Example");
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Mailbox(Arc<Mutex<VecDeque<Message>>>);

impl Mailbox {
    /// How many messages are kept.
    pub const CAPACITY: usize = 100;

    /// The messages, the newest first.
    pub fn messages(&self) -> Vec<Message> {
        self.0.lock().iter().cloned().collect()
    }

    /// The message with this id, if it is still kept.
    pub fn message(&self, id: MailId) -> Option<Message> {
        self.0.lock().iter().find(|message| message.id == id).cloned()
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mailbox({} messages)", self.0.lock().len())
    }
}

#[async_trait]
impl Transport for Mailbox {
    async fn deliver(&self, message: &Message) -> Result<(), SendError> {
        let mut messages = self.0.lock();
        messages.retain(|kept| kept.id != message.id);
        messages.truncate(Self::CAPACITY - 1);
        messages.push_front(message.clone());
        Ok(())
    }

    async fn check(&self) -> Result<String, CheckError> {
        Ok("mails are kept in memory".to_owned())
    }
}
