//! How to reach the database.

use crate::server::Servers;
use crate::tls::TlsMode;
use percent_encoding::percent_decode_str;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

/// How long one attempt to reach one address may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// After how long without an answer the operating system gives a connection up.
const PEER_TIMEOUT: Duration = Duration::from_millis(1500);

/// How to reach the database. `Debug` shows no password.
#[derive(Clone)]
pub struct PostgresOptions {
    /// A libpq URL: `postgres://user:password@host:port/database?parameter=value`. Several hosts are
    /// separated by commas; a host that is a percent-encoded path is the directory of a Unix socket. Of
    /// libpq's parameters it knows `host`, `hostaddr`, `port`, `dbname`, `user`, `password`,
    /// `application_name`, `options`, `target_session_attrs`, `channel_binding`, `load_balance_hosts`,
    /// `sslnegotiation`, and:
    ///
    /// - `sslmode`: `disable`; `prefer` (the default) encrypts if the server can; `require` encrypts;
    ///   `verify-full` also checks the certificate and the host's name in it. Unix sockets are never
    ///   encrypted.
    /// - `sslrootcert`: a PEM file with the certificates to trust instead of the operating system's. As in
    ///   libpq, `sslmode=require` then checks the certificate too, here as `verify-full` does.
    /// - `pgbouncer=true`: switches [`statement_cache`](Self::statement_cache) off.
    pub url: String,
    /// The most connections of the pool; as many again may still be busy with what was abandoned, and the
    /// change feed has one more. 8 unless set.
    pub max_connections: usize,
    /// What `pg_stat_activity` shows, unless the URL says it. `doorwarden` unless set.
    pub application_name: String,
    /// Whether statements are prepared once per connection; on unless set. Off works behind PgBouncer in
    /// transaction mode: nothing is left on a connection, no server setting is requested, and the change feed
    /// reads its log every 50 ms, because `LISTEN` does not pass such a pool.
    pub statement_cache: bool,
}

/// The parameters of a URL, but for `sslmode`, whose values have an error of their own.
const KNOWN: [&str; 20] = [
    "sslmode",
    "sslrootcert",
    "pgbouncer",
    "application_name",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "options",
    "target_session_attrs",
    "channel_binding",
    "load_balance_hosts",
    "sslnegotiation",
    "connect_timeout",
    "tcp_user_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_retries",
];

/// The options make no sense. No message repeats any part of the URL, which may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OptionsError {
    /// The URL cannot be read.
    #[error("the database URL cannot be read; it looks like postgres://user:password@host:5432/database")]
    Url,
    /// A parameter of the URL is unknown.
    #[error("the database URL has a parameter that is unknown")]
    Parameter,
    /// A parameter of the URL has a value that it cannot have.
    #[error("the database URL gives {0} a value that it cannot have")]
    Value(&'static str),
    /// `sslmode` is none of those known. `verify-ca` is refused: it takes any host's certificate.
    #[error("sslmode is one of disable, prefer, require and verify-full")]
    SslMode,
    /// The certificates to trust could not be read.
    #[error("the certificates to trust could not be read: {0}")]
    RootCertificates(String),
    /// A pool without connections.
    #[error("max_connections must be at least 1")]
    MaxConnections,
}

impl OptionsError {
    /// Advice on how to fix the problem.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Url => Some(
                "in a user and a password @ : / ? # and % are written %40 %3A %2F %3F %23 and %25".to_owned(),
            ),
            Self::Parameter => Some(format!("known are {}", KNOWN.join(", "))),
            Self::Value(_) | Self::SslMode | Self::RootCertificates(_) | Self::MaxConnections => None,
        }
    }
}

impl PostgresOptions {
    /// The defaults for this URL.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            max_connections: 8,
            application_name: "doorwarden".to_owned(),
            statement_cache: true,
        }
    }

    /// Reads the URL. Opens no connection.
    pub(crate) fn read(&self) -> Result<Access, OptionsError> {
        self.read_with(PEER_TIMEOUT)
    }

    /// The same with another time after which the operating system gives a silent peer up.
    pub(crate) fn read_with(&self, peer_timeout: Duration) -> Result<Access, OptionsError> {
        if self.max_connections == 0 {
            return Err(OptionsError::MaxConnections);
        }
        let own = Parameters::take(&self.url)?;
        let mut config: Config = own.rest.parse().map_err(|_| wrong_parameter(&own.rest))?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(OptionsError::Url);
        }
        let only_sockets = config.get_hostaddrs().is_empty()
            && config.get_hosts().iter().all(|h| !matches!(h, Host::Tcp(_)));
        let mode = match (own.sslmode, &own.sslrootcert) {
            _ if only_sockets => TlsMode::Disable,
            (TlsMode::Require, Some(_)) => TlsMode::VerifyFull,
            (mode, _) => mode,
        };
        config.ssl_mode(match mode {
            TlsMode::Disable => SslMode::Disable,
            TlsMode::Prefer => SslMode::Prefer,
            TlsMode::Require | TlsMode::VerifyFull => SslMode::Require,
        });
        config
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_user_timeout(peer_timeout)
            .keepalives_idle(Duration::from_secs(1))
            .keepalives_interval(Duration::from_secs(1))
            .keepalives_retries(2);
        if config.get_application_name().is_none() {
            config.application_name(&self.application_name);
        }
        let statement_cache = self.statement_cache && !own.pgbouncer;
        let tls = crate::tls::connector(mode, own.sslrootcert.as_deref())?;
        Ok(Access { servers: Arc::new(Servers::new(config, tls, statement_cache)), statement_cache })
    }
}

impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("url", &"..")
            .field("max_connections", &self.max_connections)
            .field("application_name", &self.application_name)
            .field("statement_cache", &self.statement_cache)
            .finish()
    }
}

/// What is needed to open a connection.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    pub(crate) servers: Arc<Servers>,
    /// Off behind a transaction pool.
    pub(crate) statement_cache: bool,
}

/// What is wrong with a URL that the driver does not take: one parameter alone, or all of it.
fn wrong_parameter(url: &str) -> OptionsError {
    let pairs = url.split_once('?').map_or("", |(_, pairs)| pairs).split('&');
    let wrong =
        pairs.filter(|pair| !pair.is_empty() && format!("postgres://h/d?{pair}").parse::<Config>().is_err());
    match wrong.map(|pair| KNOWN.iter().find(|known| pair.split('=').next() == Some(**known))).next() {
        Some(Some(known)) => OptionsError::Value(known),
        Some(None) => OptionsError::Parameter,
        None => OptionsError::Url,
    }
}

/// The parameters of the URL that the driver does not know, and the URL without them.
struct Parameters {
    sslmode: TlsMode,
    sslrootcert: Option<PathBuf>,
    pgbouncer: bool,
    rest: String,
}

impl Parameters {
    fn take(url: &str) -> Result<Self, OptionsError> {
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(OptionsError::Url);
        }
        // Else what follows a password's own @ would be taken for the host, and shown as such.
        let after_credentials = url.split_once('@').map_or("", |(_, rest)| rest);
        if after_credentials.split('?').next().is_some_and(|place| place.contains('@')) {
            return Err(OptionsError::Url);
        }
        // A password may contain a question mark.
        let credentials = url.find('@').map_or(0, |at| at + 1);
        let mut own =
            Self { sslmode: TlsMode::Prefer, sslrootcert: None, pgbouncer: false, rest: url.to_owned() };
        let Some(question) = url[credentials..].find('?').map(|at| credentials + at) else {
            return Ok(own);
        };
        let mut others = Vec::new();
        for pair in url[question + 1..].split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or(OptionsError::Parameter)?;
            let value = percent_decode_str(value).decode_utf8().map_err(|_| OptionsError::Parameter)?;
            match name {
                "sslmode" => own.sslmode = TlsMode::parse(&value).ok_or(OptionsError::SslMode)?,
                "sslrootcert" if value != "system" => own.sslrootcert = Some(value.as_ref().into()),
                "sslrootcert" => {}
                "pgbouncer" => own.pgbouncer = value.parse().map_err(|_| OptionsError::Value("pgbouncer"))?,
                _ => others.push(pair),
            }
        }
        own.rest.truncate(question);
        if !others.is_empty() {
            own.rest.push('?');
            own.rest.push_str(&others.join("&"));
        }
        Ok(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<Access, OptionsError> {
        PostgresOptions::new(url).read()
    }

    fn sslmode(url: &str) -> SslMode {
        read(url).map(|access| access.servers.config().get_ssl_mode()).expect("a good URL")
    }

    #[test]
    fn sslmode_is_read_as_libpq_reads_it() {
        assert_eq!(sslmode("postgres://h/d"), SslMode::Prefer);
        assert_eq!(sslmode("postgres://h/d?sslmode=disable"), SslMode::Disable);
        assert_eq!(sslmode("postgres://h/d?sslmode=require&application_name=x"), SslMode::Require);
        assert_eq!(sslmode("postgres://h/d?sslmode=require&sslrootcert=system"), SslMode::Require);
        for wrong in ["verify-ca", "allow", "", "REQUIRE"] {
            let url = format!("postgres://u:secret@h/d?sslmode={wrong}");
            assert_eq!(read(&url).err(), Some(OptionsError::SslMode), "{wrong}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_url_is_said_without_repeating_it() {
        for (url, expected) in [
            ("postgres://u:p@ss@h/d", OptionsError::Url),
            ("postgres://u:p@s/s@h/d", OptionsError::Url),
            ("postgres://h/d?port=many", OptionsError::Value("port")),
            (
                "postgres://h/d?application_name=x&target_session_attrs=rw",
                OptionsError::Value("target_session_attrs"),
            ),
            ("postgres://h/d?pgbouncer=yes", OptionsError::Value("pgbouncer")),
            ("postgres://h/d?ssl_mode=require", OptionsError::Parameter),
        ] {
            assert_eq!(read(url).err(), Some(expected), "{url}");
        }
        assert!(OptionsError::Url.hint().unwrap().contains("%40"));
        assert!(OptionsError::Parameter.hint().unwrap().contains("sslmode, sslrootcert"));
    }

    #[test]
    fn every_parameter_that_is_named_is_known() {
        for name in KNOWN {
            let value = match name {
                "sslmode" => "require",
                "pgbouncer" => "true",
                "hostaddr" => "127.0.0.1",
                "target_session_attrs" => "any",
                "channel_binding" => "prefer",
                "load_balance_hosts" => "disable",
                "sslnegotiation" => "postgres",
                "sslrootcert" => "system",
                _ => "1",
            };
            assert!(read(&format!("postgres://h/d?{name}={value}")).is_ok(), "{name}");
        }
    }

    #[test]
    fn a_socket_is_never_encrypted() {
        assert_eq!(sslmode("postgres://u@%2Frun%2Fpostgresql/d?sslmode=require"), SslMode::Disable);
    }

    #[test]
    fn certificates_that_cannot_be_read_are_reported_at_the_start() {
        let missing = read("postgres://h/d?sslmode=verify-full&sslrootcert=%2Fnonexistent%2Froot.pem");
        assert!(matches!(missing, Err(OptionsError::RootCertificates(_))));
    }

    #[test]
    fn what_the_driver_does_not_know_is_not_passed_on_and_the_rest_is() {
        let access =
            read("postgres://u:p%3F?x@h:1/d?pgbouncer=true&application_name=mine").expect("a good URL");
        assert!(!access.statement_cache);
        assert_eq!(access.servers.config().get_application_name(), Some("mine"));
        assert_eq!(access.servers.config().get_password(), Some(b"p??x".as_slice()));
        assert_eq!(access.servers.config().get_options(), None);
    }

    #[test]
    fn nothing_but_what_the_url_says_is_sent_at_the_start_of_a_connection() {
        let options =
            |url: &str| read(url).map(|access| access.servers.config().get_options().map(str::to_owned));
        assert_eq!(options("postgres://h/d"), Ok(None));
        let given = options("postgres://h/d?options=-c%20search_path=auth");
        assert_eq!(given, Ok(Some("-c search_path=auth".to_owned())));
    }

    #[test]
    fn no_error_and_no_debug_output_repeats_the_url() {
        for url in [
            "mysql://u:hunter2@h/d",
            "postgres://u:hunter2@h/d?hunter2=1",
            "postgres://u:hunter2@h/d?port=hunter2",
            "postgres://u:hunter2@h/d?sslmode=hunter2",
            "postgres://u:hunter2@h/d?hunter2",
            "postgres://u:hunter2@/d",
        ] {
            let error = read(url).expect_err("a bad URL");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
        assert!(!format!("{:?}", PostgresOptions::new("postgres://u:hunter2@h/d")).contains("hunter2"));
    }
}
