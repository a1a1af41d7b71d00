//! How mails are sent, by the configuration.

use super::{Config, is_loopback, is_public};
use crate::failure::Failure;
use doorwarden::core::settings::{EmailVerification, RegistrationMode};
use doorwarden_mail::{MailUrl, Mailbox, Sender, TemplateMailer, Templates, Transport};
use std::path::Path;
use std::sync::Arc;

/// The section `[mail]`, without what the library knows.
#[derive(Clone, Default)]
pub(crate) struct Mail {
    pub(crate) url: Option<MailUrl>,
    pub(crate) from: Option<Sender>,
    pub(crate) templates: Option<String>,
    /// `None`: the host of the issuer.
    pub(crate) service: Option<String>,
}

/// Who writes mails, and who delivers them.
pub(crate) struct Mailing {
    pub(crate) from: Sender,
    pub(crate) templates: Templates,
    pub(crate) transport: Arc<dyn Transport>,
    /// Where mails are kept during development.
    pub(crate) mailbox: Option<Mailbox>,
    service: String,
}

impl Mailing {
    /// The mailer.
    pub(crate) fn mailer(&self) -> TemplateMailer {
        TemplateMailer::new(self.from.clone(), self.service.as_str(), Arc::clone(&self.transport))
            .templates(self.templates.clone())
    }
}

impl Config {
    /// How the service sends mails; `None` if it sends none. Without `mail.url` they go to a mailbox in
    /// memory, if nobody but this machine can reach the service.
    ///
    /// # Errors
    /// A key is missing or not valid, or the templates cannot be read.
    pub(crate) fn mailing(&self) -> Result<Option<Mailing>, Failure> {
        let (transport, mailbox): (Arc<dyn Transport>, _) = match &self.mail.url {
            Some(url) => (url.transport(), None),
            None if self.is_local() => {
                let mailbox = Mailbox::default();
                (Arc::new(mailbox.clone()), Some(mailbox))
            }
            None => return self.without_mail().map(|()| None),
        };
        let from = match &self.mail.from {
            Some(from) => from.clone(),
            None if self.is_local() => "doorwarden@localhost".parse().map_err(|error| {
                Failure::software(format!("the sender of mails during development is {error}"))
            })?,
            None => {
                return Err(Failure::config("`mail.url` is set, and `mail.from` is not")
                    .hint("set it to the sender of the mails, such as `Example <accounts@example.org>`"));
            }
        };
        let templates = match &self.mail.templates {
            Some(directory) => Templates::from_directory(Path::new(directory))
                .map_err(|error| Failure::config(format!("`mail.templates`: {error}")))?,
            None => Templates::built_in(),
        };
        let service = self.mail.service.clone().unwrap_or_else(|| host(&self.issuer()));
        Ok(Some(Mailing { from, templates, transport, mailbox, service }))
    }

    /// Whether nothing needs mail.
    fn without_mail(&self) -> Result<(), Failure> {
        let needs = match (self.settings.registration.mode, self.settings.mail.verification) {
            (RegistrationMode::Verified, _) => "`registration.mode` is `verified`",
            (_, EmailVerification::Asked) => "`mail.verification` is `asked`",
            (_, EmailVerification::Required) => "`mail.verification` is `required`",
            _ => return Ok(()),
        };
        Err(Failure::config(format!("{needs}, and no mail can be sent"))
            .hint("set `mail.url`, such as `smtps://user:password@mail.example.org`, and `mail.from`"))
    }

    /// Whether only programs on this machine reach the service, and know it by a name of this machine.
    fn is_local(&self) -> bool {
        !is_public(&self.listen)
            && self.http.trusted_proxies.is_empty()
            && is_local_host(&host(&self.issuer()))
    }
}

/// The host of a URL, or the text itself if it is none.
fn host(url: &str) -> String {
    let host = url.parse::<http::Uri>().ok().and_then(|url| url.host().map(str::to_owned));
    host.unwrap_or_else(|| url.to_owned())
}

/// Whether this is a name or an address of this machine, an IPv6 address in brackets.
pub(crate) fn is_local_host(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || address.parse().is_ok_and(is_loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_local() {
        for url in ["http://127.0.0.1:8000", "http://[::1]:8000", "https://localhost", "http://LOCALHOST/x"] {
            assert!(is_local_host(&host(url)), "{url}");
        }
        for url in
            ["https://accounts.example.org", "http://localhost.example.org", "http://0.0.0.0", "accounts", ""]
        {
            assert!(!is_local_host(&host(url)), "{url}");
        }
    }
}
