//! A network between store and server that can fall silent or be cut.

use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_postgres::config::Host;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    Up,
    /// Takes connections and bytes, and delivers nothing.
    Silent,
    /// Closes every connection, and each new one at once.
    Cut,
}

pub(crate) struct Proxy {
    state: watch::Sender<Network>,
    target: watch::Sender<Target>,
    pub(crate) url: String,
}

/// Where new connections lead: to a server, and there to another database than the client has asked for.
#[derive(Debug, Clone)]
struct Target {
    server: String,
    asked: Vec<u8>,
    given: Vec<u8>,
}

impl Target {
    fn of(url: &str) -> Self {
        let config: tokio_postgres::Config = url.parse().unwrap();
        let [Host::Tcp(host)] = config.get_hosts() else { panic!("one host, over TCP") };
        let name = format!("database\0{}\0", config.get_dbname().unwrap()).into_bytes();
        Self { server: format!("{host}:{}", config.get_ports()[0]), asked: name.clone(), given: name }
    }
}

impl Proxy {
    /// A proxy in front of the server of `url`, and the URL that leads through it.
    pub(crate) async fn start(url: &str) -> Self {
        let target = Target::of(url);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let url = url.replace(&target.server, &address.to_string());
        let (target, leads_to) = watch::channel(target);
        let (state, watched) = watch::channel(Network::Up);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let target = leads_to.borrow().clone();
                tokio::spawn(serve(client, target, watched.clone()));
            }
        });
        Self { state, target, url }
    }

    /// As after a reload: new connections lead to the server and database of `url`, those that are open stay.
    pub(crate) fn lead_to(&self, url: &str) {
        let Target { server, given, .. } = Target::of(url);
        self.target.send_modify(|target| {
            assert_eq!(
                target.asked.len(),
                given.len(),
                "the packet that names the database keeps its length"
            );
            target.server = server;
            target.given = given;
        });
    }

    pub(crate) fn set(&self, state: Network) {
        self.state.send_replace(state);
    }
}

async fn serve(client: TcpStream, target: Target, mut state: watch::Receiver<Network>) {
    if *state.borrow() == Network::Cut {
        return;
    }
    let server = TcpStream::connect(&target.server).await.unwrap();
    let (client_in, client_out) = client.into_split();
    let (server_in, server_out) = server.into_split();
    let (one, other) = (state.clone(), state.clone());
    tokio::select! {
        () = pass(client_in, server_out, one, Some(&target)) => {}
        () = pass(server_in, client_out, other, None) => {}
        _ = state.wait_for(|state| *state == Network::Cut) => {}
    }
}

async fn pass(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut state: watch::Receiver<Network>,
    target: Option<&Target>,
) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        match from.read(&mut buffer).await {
            Ok(length) if length > 0 => {
                // What is swallowed while the network is silent stays swallowed: the connection never
                // recovers.
                if *state.borrow() == Network::Silent {
                    let _ = state.wait_for(|state| *state == Network::Cut).await;
                    return;
                }
                if let Some(Target { asked, given, .. }) = target
                    && let Some(at) = buffer[..length].windows(asked.len()).position(|part| part == asked)
                {
                    buffer[at..at + given.len()].copy_from_slice(given);
                }
                if to.write_all(&buffer[..length]).await.is_err() {
                    return;
                }
            }
            _ => return,
        }
    }
}
