//! A mailer that keeps what it is given.

use crate::app::App;
use async_trait::async_trait;
use doorwarden::core::flow::send_mails::send_due;
use doorwarden::core::mail::{Mail, MailKind, Mailer, SendError};
use std::sync::{Arc, Mutex};

/// Every mail that was sent, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Post(Arc<Mutex<Vec<Mail>>>, Arc<Mutex<Option<SendError>>>);

#[async_trait]
impl Mailer for Post {
    async fn send(&self, mail: &Mail) -> Result<(), SendError> {
        if let Some(error) = self.1.lock().unwrap().take() {
            return Err(error);
        }
        self.0.lock().unwrap().push(mail.clone());
        Ok(())
    }
}

impl Post {
    /// The next mail cannot be sent.
    pub(crate) fn fails_once(&self, error: SendError) {
        *self.1.lock().unwrap() = Some(error);
    }

    /// The mails that have not been read yet, after the outbox was emptied.
    pub(crate) async fn read(&self, app: &App) -> Vec<Mail> {
        while send_due(app.auth.context(), true).await.unwrap() > 0 {}
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    /// This many mails that have not been read yet.
    pub(crate) async fn all(&self, app: &App, count: usize) -> Vec<Letter> {
        let mut mails = Vec::new();
        for _ in 0..500 {
            mails.extend(self.read(app).await.into_iter().map(Letter));
            if mails.len() >= count {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        assert_eq!(mails.len(), count);
        mails
    }

    /// The only mail that has not been read yet.
    pub(crate) async fn one(&self, app: &App, kind: MailKind) -> Letter {
        // The background task may have claimed it a moment ago.
        for _ in 0..500 {
            let mut mails = self.read(app).await;
            if let Some(mail) = mails.pop() {
                assert!(mails.is_empty() && mail.kind == kind, "{mail:?} after {mails:?}");
                return Letter(mail);
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("no mail came");
    }

    /// The first mail of a kind that has not been read yet; those before it count as read.
    pub(crate) async fn first(&self, app: &App, kind: MailKind) -> Letter {
        for _ in 0..500 {
            if let Some(mail) = self.read(app).await.into_iter().find(|mail| mail.kind == kind) {
                return Letter(mail);
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("no mail of the kind {kind:?} came");
    }
}

/// A mail as its reader sees it.
pub(crate) struct Letter(pub(crate) Mail);

impl Letter {
    pub(crate) fn key(&self) -> String {
        let link = self.0.content.link.as_deref().unwrap();
        link.split_once("key=").unwrap().1.to_owned()
    }

    pub(crate) fn code(&self) -> String {
        self.0.content.code.clone().unwrap()
    }
}
