//! Which server answers. Hosts are tried one after the other without waiting for one that is silent, and what
//! answers must be the newest primary that was ever seen: a proxy or a name may lead to another server at any
//! time, also while connections are open.

use crate::failure::Failure;
use crate::tls::{Tls, TlsStream};
use doorwarden_core::store::Reason;
use futures_util::stream::{FuturesUnordered, StreamExt};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_postgres::config::{Host, LoadBalanceHosts};
use tokio_postgres::{Client, Config, Connection, SimpleQueryMessage, Socket};

/// Timeout of a name look-up and of a background check of a host. A slower address delays nothing: the others
/// are tried in the meantime.
const ADDRESS_LIMIT: Duration = Duration::from_secs(1);

/// After how long without an answer the next address is tried beside.
const STAGGER: Duration = Duration::from_millis(100);

/// Set on every connection: a statement ends on the server before its caller gives up, an abandoned
/// transaction does not hold its locks, and two statements that meet see each other's result. Not at the
/// start of the connection, where PgBouncer refuses them.
const SETTINGS: [(&str, &str); 3] = [
    ("statement_timeout", "1500"),
    ("idle_in_transaction_session_timeout", "10000"),
    ("default_transaction_isolation", "'read committed'"),
];

/// The identity of the server. A promotion increments the timeline, and the name of the log says so at once.
const IDENTITY: &str = "SELECT pg_is_in_recovery(), (SELECT oid FROM pg_database WHERE datname = current_database()), \
    (SELECT system_identifier FROM pg_control_system()), \
    CASE WHEN NOT pg_is_in_recovery() THEN left(pg_walfile_name(pg_current_wal_lsn()), 8) END";

/// The same where a server shows nothing of its log.
const ROLE: &str =
    "SELECT pg_is_in_recovery(), (SELECT oid FROM pg_database WHERE datname = current_database()), '', '0'";

/// Who may answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The newest primary, which the store works with.
    Primary,
    /// Whoever it is, for what only reads and keeps nothing.
    Any,
}

/// A connection without a task that drives it.
pub(crate) struct Line {
    pub(crate) client: Client,
    pub(crate) connection: Connection<Socket, TlsStream>,
    /// See [`Servers::generation`].
    pub(crate) generation: u64,
}

/// The servers that the URL may lead to.
pub(crate) struct Servers {
    config: Config,
    tls: Tls,
    /// What is run first on each connection; empty behind a transaction pool.
    settings: String,
    known: Mutex<Known>,
    generation: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Known {
    current: Option<Identity>,
    /// The highest timeline of each system that was seen.
    highest: HashMap<String, u32>,
    last_good: Option<Place>,
    connections: usize,
}

/// A database of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Identity {
    system: String,
    timeline: u32,
    database: String,
}

/// The number of a host in the URL, and the address that its name led to.
type Place = (usize, Option<IpAddr>);

type Attempt<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'a>>;

impl Servers {
    pub(crate) fn new(config: Config, tls: Tls, with_settings: bool) -> Self {
        let given = config.get_options().unwrap_or_default().to_owned();
        let ours = SETTINGS.iter().filter(|(name, _)| with_settings && !given.contains(name));
        let settings =
            ours.map(|(name, value)| format!("SET {name} = {value}; ")).collect::<Vec<_>>().concat();
        Self { config, tls, settings, known: Mutex::default(), generation: watch::Sender::new(0) }
    }

    /// Counts how often another server answered than before. What an older generation said is not believed.
    pub(crate) fn generation(&self) -> u64 {
        *self.generation.borrow()
    }

    /// Tells when another server answers.
    pub(crate) fn generations(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    /// Opens a connection to the first that may answer.
    pub(crate) async fn connect(&self, role: Role, limit: Duration) -> Result<Line, Failure> {
        let attempts = self.order().into_iter().map(|host| self.host(host, role)).collect();
        timeout(limit, staggered(attempts)).await.unwrap_or_else(|_| Err(Failure::Silent))
    }

    /// Asks each host whether it has become the primary, since a connection to the former primary is not
    /// notified.
    pub(crate) async fn ask_around(&self) {
        let hosts = 0..self.hosts();
        let asked: FuturesUnordered<_> =
            hosts.map(|host| timeout(ADDRESS_LIMIT, self.host(host, Role::Primary))).collect();
        asked.for_each(|_| std::future::ready(())).await;
    }

    #[cfg(test)]
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    fn hosts(&self) -> usize {
        self.config.get_hosts().len().max(self.config.get_hostaddrs().len())
    }

    /// The hosts, the last good one first.
    fn order(&self) -> Vec<usize> {
        let mut known = self.known.lock();
        known.connections = known.connections.wrapping_add(1);
        let first = match (self.config.get_load_balance_hosts(), known.last_good) {
            (LoadBalanceHosts::Random, _) => known.connections,
            (_, Some((host, _))) => host,
            _ => 0,
        };
        let count = self.hosts();
        (0..count).map(|place| (first % count.max(1) + place) % count).collect()
    }

    /// Opens a connection to one host, whichever of its addresses answers.
    fn host(&self, host: usize, role: Role) -> Attempt<'_, Line> {
        Box::pin(async move {
            let port = self
                .config
                .get_ports()
                .get(host)
                .or(self.config.get_ports().first())
                .copied()
                .unwrap_or(5432);
            let mut addresses: Vec<Option<IpAddr>> =
                match (self.config.get_hostaddrs().get(host), self.config.get_hosts().get(host)) {
                    (Some(address), _) => vec![Some(*address)],
                    (None, Some(Host::Tcp(name))) => {
                        let unknown =
                            |error| Failure::lost(format_args!("the name of the host is not known: {error}"));
                        let found =
                            timeout(ADDRESS_LIMIT, tokio::net::lookup_host((name.as_str(), port))).await;
                        let found = found.map_err(|_| Failure::Silent)?.map_err(unknown)?;
                        found.map(|address| Some(address.ip())).collect()
                    }
                    _ => vec![None],
                };
            if let Some((_, last)) = self.known.lock().last_good.filter(|(last, _)| *last == host) {
                addresses.sort_by_key(|address| *address != last);
            }
            let attempt =
                |address| -> Attempt<'_, Line> { Box::pin(self.address((host, address), port, role)) };
            let connected = staggered(addresses.into_iter().map(attempt).collect()).await;
            connected.map_err(|failure| failure.at(&self.name(host), port))
        })
    }

    /// A host as the URL names it.
    fn name(&self, host: usize) -> String {
        match (self.config.get_hosts().get(host), self.config.get_hostaddrs().get(host)) {
            (Some(Host::Tcp(name)), _) => name.clone(),
            (_, Some(address)) => address.to_string(),
            _ => "the socket".to_owned(),
        }
    }

    async fn address(&self, place: Place, port: u16, role: Role) -> Result<Line, Failure> {
        let config = alone(&self.config, place, port);
        let (client, mut connection) = config.connect(self.tls.clone()).await.map_err(Failure::connecting)?;
        let answer = while_driven(&mut connection, self.introduce(&client)).await??;
        let generation = match role {
            Role::Primary => self.adopt(&answer)?,
            Role::Any => 0,
        };
        self.known.lock().last_good = Some(place);
        Ok(Line { client, connection, generation })
    }

    /// Makes the settings, and reads the identity of the server: in recovery or not, the database, the
    /// system, the timeline.
    async fn introduce(&self, client: &Client) -> Result<[String; 4], Failure> {
        let answer = match client.simple_query(&format!("{}{IDENTITY}", self.settings)).await {
            Err(refused) if refused.as_db_error().is_some() => {
                client.simple_query(&format!("{}{ROLE}", self.settings)).await
            }
            answer => answer,
        };
        let answer = answer.map_err(Failure::connecting)?;
        let row = answer.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let row = row.ok_or_else(|| Failure::lost("it does not say who it is"))?;
        Ok(std::array::from_fn(|place| row.get(place).unwrap_or_default().to_owned()))
    }

    /// The generation of the responding server; a new one begins if this is another server than before.
    fn adopt(&self, [in_recovery, database, system, timeline]: &[String; 4]) -> Result<u64, Failure> {
        if in_recovery == "t" {
            return Err(Failure::lost("the server is a standby"));
        }
        let timeline = u32::from_str_radix(timeline, 16).unwrap_or(0);
        let mut known = self.known.lock();
        let highest = known.highest.entry(system.clone()).or_default();
        if timeline < *highest {
            let reason = Reason::new(format_args!(
                "a server of timeline {timeline} answers, and one of timeline {highest} has answered before: it is \
                 the primary of before"
            ));
            let hint = "fence it off; if the database was really set back, restart";
            return Err(Failure::Lost(reason.with_hint(hint)));
        }
        *highest = timeline;
        let identity = Identity { system: system.clone(), timeline, database: database.clone() };
        if known.current.as_ref() != Some(&identity) {
            let before = known.current.replace(identity);
            if before.is_some() {
                tracing::warn!(
                    timeline,
                    "another database server answers; what the one of before said is forgotten"
                );
                self.generation.send_modify(|generation| *generation += 1);
            }
        }
        Ok(self.generation())
    }
}

impl std::fmt::Debug for Servers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Servers").field("known", &*self.known.lock()).finish_non_exhaustive()
    }
}

/// What the first attempt that succeeds gives. The next one begins when the one before has failed, or has not
/// answered for a while.
async fn staggered<T>(attempts: Vec<Attempt<'_, T>>) -> Result<T, Failure> {
    let mut waiting = attempts.into_iter();
    let mut running = FuturesUnordered::new();
    let mut failure = Failure::lost("the URL names no host");
    running.extend(waiting.next());
    loop {
        let more = waiting.len() > 0;
        tokio::select! {
            Some(result) = running.next() => match result {
                Ok(done) => return Ok(done),
                // A server that responded knows better than one that did not.
                Err(_) if matches!(failure, Failure::Denied(_)) => {}
                Err(failed) => failure = failed,
            },
            () = sleep(STAGGER), if more && !running.is_empty() => {}
            else => {}
        }
        match waiting.next() {
            Some(next) => running.push(next),
            None if running.is_empty() => return Err(failure),
            None => {}
        }
    }
}

/// Runs work that needs exclusive use of a connection.
async fn while_driven<T>(
    connection: &mut Connection<Socket, TlsStream>,
    work: impl Future<Output = T>,
) -> Result<T, Failure> {
    let mut work = pin!(work);
    poll_fn(|context| {
        if let Poll::Ready(done) = work.as_mut().poll(context) {
            return Poll::Ready(Ok(done));
        }
        loop {
            match connection.poll_message(context) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(Failure::connecting(error))),
                Poll::Ready(None) => {
                    return Poll::Ready(Err(Failure::lost("the connection was closed")));
                }
                Poll::Pending => return work.as_mut().poll(context).map(Ok),
            }
        }
    })
    .await
}

/// The same configuration with one of its hosts.
fn alone(config: &Config, (host, address): Place, port: u16) -> Config {
    let mut one = Config::new();
    match config.get_hosts().get(host) {
        Some(Host::Tcp(name)) => one.host(name),
        #[cfg(unix)]
        Some(Host::Unix(path)) => one.host_path(path),
        None => &mut one,
    };
    if let Some(address) = address {
        one.hostaddr(address);
    }
    one.port(port)
        .ssl_mode(config.get_ssl_mode())
        .ssl_negotiation(config.get_ssl_negotiation())
        .target_session_attrs(config.get_target_session_attrs())
        .channel_binding(config.get_channel_binding())
        .keepalives(config.get_keepalives())
        .keepalives_idle(config.get_keepalives_idle());
    if let Some(user) = config.get_user() {
        one.user(user);
    }
    if let Some(password) = config.get_password() {
        one.password(password);
    }
    if let Some(name) = config.get_dbname() {
        one.dbname(name);
    }
    if let Some(options) = config.get_options() {
        one.options(options);
    }
    if let Some(name) = config.get_application_name() {
        one.application_name(name);
    }
    if let Some(limit) = config.get_connect_timeout() {
        one.connect_timeout(*limit);
    }
    if let Some(limit) = config.get_tcp_user_timeout() {
        one.tcp_user_timeout(*limit);
    }
    if let Some(interval) = config.get_keepalives_interval() {
        one.keepalives_interval(interval);
    }
    if let Some(retries) = config.get_keepalives_retries() {
        one.keepalives_retries(retries);
    }
    one
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PostgresOptions;
    use std::sync::Arc;
    use tokio::time::Instant;

    fn servers() -> Arc<Servers> {
        PostgresOptions::new("postgres://u@a,b:2/d").read().expect("a good URL").servers
    }

    fn answer(in_recovery: &str, database: &str, system: &str, timeline: &str) -> [String; 4] {
        [in_recovery, database, system, timeline].map(str::to_owned)
    }

    #[test]
    fn another_server_timeline_or_database_is_another_generation() {
        let servers = servers();
        assert_eq!(servers.adopt(&answer("f", "5", "71", "00000001")).ok(), Some(0), "the first");
        assert_eq!(servers.adopt(&answer("f", "5", "71", "00000001")).ok(), Some(0), "the same");
        assert_eq!(servers.adopt(&answer("f", "5", "71", "00000002")).ok(), Some(1), "it was promoted");
        assert_eq!(servers.adopt(&answer("f", "5", "72", "00000001")).ok(), Some(2), "another one");
        assert_eq!(
            servers.adopt(&answer("f", "6", "72", "00000001")).ok(),
            Some(3),
            "another database there"
        );
        assert_eq!(servers.generation(), 3);
    }

    #[test]
    fn the_primary_of_before_and_standbys_are_refused_and_change_nothing() {
        let servers = servers();
        assert_eq!(servers.adopt(&answer("f", "5", "71", "0000000A")).ok(), Some(0));
        for refused in
            [answer("f", "5", "71", "00000009"), answer("t", "5", "71", ""), answer("t", "5", "72", "")]
        {
            assert!(matches!(servers.adopt(&refused), Err(Failure::Lost(_))), "{refused:?}");
        }
        assert_eq!(servers.adopt(&answer("f", "5", "72", "00000001")).ok(), Some(1));
        let old = servers.adopt(&answer("f", "5", "71", "00000009"));
        assert!(matches!(old, Err(Failure::Lost(_))), "also after others have answered");
        assert_eq!(servers.generation(), 1);
    }

    #[tokio::test]
    async fn who_is_silent_holds_up_nobody_for_longer_than_the_stagger() {
        let silent = || -> Attempt<'_, u8> { Box::pin(std::future::pending()) };
        let good = || -> Attempt<'_, u8> { Box::pin(async { Ok(7) }) };
        let bad = || -> Attempt<'_, u8> { Box::pin(async { Err(Failure::lost("refused")) }) };
        let began = Instant::now();
        assert_eq!(staggered(vec![silent(), silent(), good()]).await.ok(), Some(7));
        assert!((STAGGER * 2..STAGGER * 8).contains(&began.elapsed()), "{:?}", began.elapsed());
        let began = Instant::now();
        assert_eq!(staggered(vec![bad(), bad(), good()]).await.ok(), Some(7));
        assert!(began.elapsed() < STAGGER, "nobody waits after a refusal: {:?}", began.elapsed());
        assert!(staggered(vec![bad(), bad()]).await.is_err());
        assert!(staggered(Vec::<Attempt<'_, u8>>::new()).await.is_err());
    }

    #[test]
    fn the_last_good_host_is_tried_first() {
        let servers = servers();
        assert_eq!(servers.order(), [0, 1]);
        servers.known.lock().last_good = Some((1, None));
        assert_eq!(servers.order(), [1, 0]);
    }

    #[test]
    fn each_host_keeps_everything_that_the_url_says() {
        let url = "postgres://u:p@a,b:2/d?application_name=x&options=-c%20search_path=s&sslmode=require&channel_binding=require";
        let access = PostgresOptions::new(url).read().expect("a good URL");
        let (all, one) = (&access.servers.config, alone(&access.servers.config, (1, None), 2));
        assert_eq!(one.get_hosts(), &all.get_hosts()[1..]);
        let shown = |config: &Config| {
            let text = format!("{config:?}");
            let cut = |name: &str| text.find(name).unwrap_or_default();
            (text[..cut("host: ")].to_owned(), text[cut("connect_timeout")..].to_owned())
        };
        assert_eq!(shown(&one), shown(all));
        assert_eq!((one.get_password(), one.get_ports()), (all.get_password(), [2].as_slice()));
    }

    #[test]
    fn a_setting_that_the_url_makes_is_left_alone() {
        let url = "postgres://a/d?options=-c%20statement_timeout=9";
        let access = PostgresOptions::new(url).read().expect("a good URL");
        assert!(!access.servers.settings.contains("statement_timeout"));
        assert!(access.servers.settings.contains("default_transaction_isolation"));
    }
}
