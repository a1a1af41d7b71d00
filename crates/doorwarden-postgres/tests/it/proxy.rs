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
    pub(crate) url: String,
}

impl Proxy {
    /// A proxy in front of the server of `url`, and the URL that leads through it.
    pub(crate) async fn start(url: &str) -> Self {
        let config: tokio_postgres::Config = url.parse().unwrap();
        let [Host::Tcp(host)] = config.get_hosts() else { panic!("one host, over TCP") };
        let server = format!("{host}:{}", config.get_ports()[0]);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let url = url.replace(&server, &address.to_string());
        let (state, watched) = watch::channel(Network::Up);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, server.clone(), watched.clone()));
            }
        });
        Self { state, url }
    }

    pub(crate) fn set(&self, state: Network) {
        self.state.send_replace(state);
    }
}

async fn serve(client: TcpStream, server: String, mut state: watch::Receiver<Network>) {
    if *state.borrow() == Network::Cut {
        return;
    }
    let server = TcpStream::connect(server).await.unwrap();
    let (client_in, client_out) = client.into_split();
    let (server_in, server_out) = server.into_split();
    let (one, other) = (state.clone(), state.clone());
    tokio::select! {
        () = pass(client_in, server_out, one) => {}
        () = pass(server_in, client_out, other) => {}
        _ = state.wait_for(|state| *state == Network::Cut) => {}
    }
}

async fn pass(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut state: watch::Receiver<Network>,
) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        match from.read(&mut buffer).await {
            Ok(length) if length > 0 => {
                // What is swallowed while the network is silent stays swallowed: the connection never recovers.
                if *state.borrow() == Network::Silent {
                    let _ = state.wait_for(|state| *state == Network::Cut).await;
                    return;
                }
                if to.write_all(&buffer[..length]).await.is_err() {
                    return;
                }
            }
            _ => return,
        }
    }
}
