//! SMTP: which server, when to connect, and what an error means for the mail.

mod connection;
mod error;

use crate::Message;
use crate::transport::{CheckError, Transport};
use crate::url::{SmtpUrl, Tls};
use connection::Connection;
use doorwarden_core::async_trait;
use doorwarden_core::mail::SendError;
use error::{SmtpError, Step};
use parking_lot::Mutex;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

/// How long one attempt to connect may take, when the host has several addresses.
const CONNECT: Duration = Duration::from_secs(10);
/// Servers may close a connection that is idle for five minutes (RFC 5321, section 4.5.3.2).
const IDLE: Duration = Duration::from_mins(1);
const IDLE_CONNECTIONS: usize = 4;

/// Delivers by SMTP (RFC 5321) to one server, which passes the mails on.
///
/// Certificates are verified against the system's authorities, or those that `SSL_CERT_FILE` names. A few
/// connections are kept for the next mails, each for at most 60 s.
///
/// | the server | the mail |
/// |---|---|
/// | refuses the recipient or the content with 5xx | is refused: [`SendError::Permanent`] |
/// | does not support a recipient beyond ASCII (SMTPUTF8) | is refused: [`SendError::Permanent`] |
/// | refuses the login, the sender or anything else with 5xx | is kept: [`SendError::Temporary`] |
/// | answers 4xx, is not reachable, not trusted or too slow | is kept: [`SendError::Temporary`] |
///
/// The login and the sender are the operator's to correct, so no mail is lost because of them.
pub struct Smtp {
    url: SmtpUrl,
    tls: Arc<ClientConfig>,
    limit: Duration,
    idle: Mutex<Vec<(Connection, Instant)>>,
}

impl Smtp {
    /// The most time that the delivery of one mail may take, unless [`Smtp::limit`] says otherwise.
    pub const LIMIT: Duration = Duration::from_secs(30);

    /// The server of this URL.
    pub fn new(url: SmtpUrl) -> Self {
        let tls = doorwarden_tls::client_with_system_roots().with_no_client_auth();
        Self { url, tls: Arc::new(tls), limit: Self::LIMIT, idle: Mutex::default() }
    }

    /// With this configuration of TLS, to trust other authorities.
    #[must_use]
    pub fn tls(mut self, config: Arc<ClientConfig>) -> Self {
        self.tls = config;
        self
    }

    /// With this limit on the time that the delivery of one mail may take.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs the work within the limit. `step` is where it is, for the error.
    async fn within<T>(
        &self,
        step: &Mutex<Step>,
        work: impl Future<Output = Result<T, SmtpError>> + Send,
    ) -> Result<T, SmtpError> {
        let timeout = tokio::time::timeout(self.limit, work).await;
        timeout.unwrap_or_else(|_| Err(SmtpError::Timeout { step: *step.lock(), limit: self.limit }))
    }

    async fn connect(&self, step: &Mutex<Step>) -> Result<Connection, SmtpError> {
        *step.lock() = Step::Connect;
        let tcp = self.tcp().await?;
        let hello = match (&self.url.hello, tcp.local_addr().map(|address| address.ip())) {
            (Some(name), _) => name.clone(),
            (None, Ok(std::net::IpAddr::V6(ip))) => format!("[IPv6:{ip}]"),
            (None, Ok(ip)) => format!("[{ip}]"),
            (None, Err(_)) => "[127.0.0.1]".to_owned(),
        };
        let mut connection = if self.url.tls == Tls::Implicit {
            let (stream, version) = self.encrypt(tcp, step).await?;
            let mut connection = connection::Smtp::new(stream, version);
            connection.greeting(step).await?;
            connection.hello(&hello, step).await?;
            connection
        } else {
            let mut plain = connection::Smtp::new(tcp, None);
            plain.greeting(step).await?;
            plain.hello(&hello, step).await?;
            let offered = plain.offers_starttls();
            match self.url.tls {
                Tls::Required if !offered => return Err(SmtpError::NoStartTls),
                Tls::Required | Tls::IfOffered if offered => {
                    let (stream, version) = self.encrypt(plain.starttls(step).await?, step).await?;
                    let mut connection = connection::Smtp::new(stream, version);
                    connection.hello(&hello, step).await?;
                    connection
                }
                _ => plain.boxed(),
            }
        };
        if let Some((user, password)) = &self.url.login {
            connection.log_in(user, password, step).await?;
        }
        Ok(connection)
    }

    async fn tcp(&self) -> Result<TcpStream, SmtpError> {
        let unreachable = |error: std::io::Error| SmtpError::Unreachable(error.to_string());
        let mut last = SmtpError::Unreachable("the host has no address".to_owned());
        let host = (self.url.host.as_str(), self.url.port);
        for address in tokio::net::lookup_host(host).await.map_err(unreachable)? {
            match tokio::time::timeout(CONNECT.min(self.limit), TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = unreachable(error),
                Err(_) => last = SmtpError::Unreachable("no response".to_owned()),
            }
        }
        Err(last)
    }

    async fn encrypt(
        &self,
        stream: TcpStream,
        step: &Mutex<Step>,
    ) -> Result<(Box<dyn Stream>, Option<&'static str>), SmtpError> {
        *step.lock() = Step::Tls;
        let name = ServerName::try_from(self.url.host.clone())
            .map_err(|_| SmtpError::Tls("the host name is not valid in a certificate".to_owned()))?;
        let stream = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await;
        let stream = stream.map_err(|error| SmtpError::Tls(error.to_string()))?;
        let version = match stream.get_ref().1.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3",
            _ => "TLS 1.2",
        };
        Ok((Box::new(stream), Some(version)))
    }

    /// A connection that was used before, if one is left.
    fn kept(&self) -> Option<Connection> {
        let mut idle = self.idle.lock();
        idle.retain(|(_, since)| since.elapsed() < IDLE);
        idle.pop().map(|(connection, _)| connection)
    }

    fn keep(&self, connection: Connection) {
        let mut idle = self.idle.lock();
        if idle.len() < IDLE_CONNECTIONS {
            idle.push((connection, Instant::now()));
        }
    }

    async fn transmit(&self, message: &Message, step: &Mutex<Step>) -> Result<(), SmtpError> {
        let eml = message.eml();
        let (from, to) = (message.from.address(), message.to.as_str());
        if let Some(mut connection) = self.kept() {
            match connection.send(from, to, &eml, step).await {
                // The server has closed it in the meantime.
                Err(SmtpError::Lost { step: Step::Sender, .. }) => {}
                Err(SmtpError::Refused { step: Step::Sender, reply }) if reply.code == 421 => {}
                Err(error) => return Err(error),
                Ok(()) => {
                    self.keep(connection);
                    return Ok(());
                }
            }
        }
        let mut connection = self.connect(step).await?;
        connection.send(from, to, &eml, step).await?;
        self.keep(connection);
        Ok(())
    }
}

#[async_trait]
impl Transport for Smtp {
    async fn deliver(&self, message: &Message) -> Result<(), SendError> {
        let step = Mutex::new(Step::Connect);
        let result = self.within(&step, self.transmit(message, &step)).await;
        result.map_err(|error| {
            let text = error.text(&self.url);
            if error.is_permanent() { SendError::Permanent(text) } else { SendError::Temporary(text) }
        })
    }

    /// Connects, encrypts, logs in and quits.
    async fn check(&self) -> Result<String, CheckError> {
        let step = Mutex::new(Step::Connect);
        let work = async {
            let mut connection = self.connect(&step).await?;
            connection.quit().await;
            Ok(connection.encryption())
        };
        let encryption = self.within(&step, work).await.map_err(|error| CheckError {
            message: error.text(&self.url),
            hint: error.hint(self.url.tls).map(str::to_owned),
        })?;
        let login = self
            .url
            .login
            .as_ref()
            .map_or("without a login".to_owned(), |(user, _)| format!("logged in as `{user}`"));
        Ok(format!(
            "connected to `{}`, {}, {login}",
            self.url.server(),
            encryption.unwrap_or("not encrypted")
        ))
    }
}

impl fmt::Debug for Smtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Smtp").field("url", &self.url).field("limit", &self.limit).finish_non_exhaustive()
    }
}

/// What a connection runs over.
trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for S {}
