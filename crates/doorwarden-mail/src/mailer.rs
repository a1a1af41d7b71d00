use crate::facts::Facts;
use crate::message::on_the_wire;
use crate::{Message, Sender, Templates, Transport};
use doorwarden_core::async_trait;
use doorwarden_core::mail::{Mail, Mailer, SendError};
use std::sync::Arc;

/// Writes mails with templates and hands them to a transport.
///
/// ```
/// # async fn example(mail: &doorwarden_core::mail::Mail) -> Result<(), Box<dyn std::error::Error>> {
/// use doorwarden_core::mail::Mailer as _;
/// use doorwarden_mail::{MailUrl, TemplateMailer, Templates};
///
/// let url: MailUrl = "smtps://accounts:secret@mail.example.org".parse()?;
/// let from = "Example <accounts@example.org>".parse()?;
/// let mailer = TemplateMailer::new(from, "Example", url.transport())
///     .templates(Templates::from_directory("/etc/doorwarden/mails".as_ref())?);
/// mailer.send(mail).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct TemplateMailer {
    from: Sender,
    service: String,
    templates: Templates,
    transport: Arc<dyn Transport>,
}

impl TemplateMailer {
    /// Mails from this sender, about the service of this name, delivered by this transport. The texts are the
    /// built-in ones.
    pub fn new(from: Sender, service: impl Into<String>, transport: Arc<dyn Transport>) -> Self {
        Self { from, service: service.into(), templates: Templates::built_in(), transport }
    }

    /// With these templates.
    #[must_use]
    pub fn templates(mut self, templates: Templates) -> Self {
        self.templates = templates;
        self
    }

    /// Writes a mail without delivering it.
    ///
    /// # Errors
    /// [`SendError::Permanent`] if the recipient's address cannot be used in a mail, or no template can be.
    pub fn write(&self, mail: &Mail) -> Result<Message, SendError> {
        let Some(to) = on_the_wire(&mail.to) else {
            return Err(SendError::Permanent("the recipient's address cannot be used in a mail".to_owned()));
        };
        let facts = Facts::of(mail, mail.locale, &self.service);
        let written = self.templates.write(mail.locale, mail.kind, &facts);
        let (locale, written) = written.map_err(|problem| SendError::Permanent(problem.to_string()))?;
        Ok(Message {
            id: mail.id,
            kind: mail.kind,
            locale,
            from: self.from.clone(),
            to,
            subject: written.subject,
            date: mail.created_at,
            text: written.text,
            html: written.html,
        })
    }
}

#[async_trait]
impl Mailer for TemplateMailer {
    async fn send(&self, mail: &Mail) -> Result<(), SendError> {
        self.transport.deliver(&self.write(mail)?).await
    }
}
