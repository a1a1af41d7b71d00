//! Responses that do not end by themselves.

use bytes::Bytes;
use doorwarden_core::feed::Published;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// The maximum number of concurrent streams of anonymous clients, and again of the services of
/// `oauth.clients`. Each stream holds a connection and little else.
const PLACES: usize = 1024;

/// The maximum number of streams of one address; of IPv6, of a network of 64 bits, which any client can have.
const PER_ADDRESS: usize = 128;

/// How long a stream lasts; then the client reconnects. This frees the place of a client that has vanished.
pub(crate) const LIFETIME: Duration = Duration::from_mins(15);

/// The client that asks for a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holder {
    /// A service that has authenticated.
    Known,
    /// An anonymous client at this address, if the address is known.
    Stranger(Option<IpAddr>),
}

impl Holder {
    fn network(self) -> Option<IpAddr> {
        match self {
            Self::Stranger(Some(IpAddr::V6(address))) => {
                Some(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into())
            }
            Self::Stranger(address) => address,
            Self::Known => None,
        }
    }
}

#[derive(Debug, Default)]
struct Taken {
    known: usize,
    strangers: usize,
    addresses: HashMap<IpAddr, usize>,
}

impl Taken {
    fn of(&mut self, holder: Holder) -> &mut usize {
        match holder {
            Holder::Known => &mut self.known,
            Holder::Stranger(_) => &mut self.strangers,
        }
    }
}

/// The places for streams, and the signal that ends all streams.
#[derive(Debug)]
pub(crate) struct Streams {
    taken: Arc<Mutex<Taken>>,
    ended: watch::Sender<bool>,
    /// The newest statement as an event, and its tag: shared by all streams, because a slow client keeps its
    /// unsent events.
    event: Mutex<(String, Bytes)>,
}

impl Default for Streams {
    fn default() -> Self {
        Self { taken: Arc::default(), ended: watch::Sender::new(false), event: Mutex::default() }
    }
}

impl Streams {
    /// A place, which is freed when it is dropped; `None` if no place is left for this client.
    pub(crate) fn place(&self, holder: Holder) -> Option<Place> {
        let mut taken = self.taken.lock();
        if *taken.of(holder) >= PLACES {
            return None;
        }
        if let Some(network) = holder.network() {
            let held = taken.addresses.entry(network).or_default();
            if *held >= PER_ADDRESS {
                return None;
            }
            *held += 1;
        }
        *taken.of(holder) += 1;
        Some(Place { taken: Arc::clone(&self.taken), holder })
    }

    /// Becomes `true` when streams have to end.
    pub(crate) fn ended(&self) -> watch::Receiver<bool> {
        self.ended.subscribe()
    }

    /// A statement as an event.
    pub(crate) fn event(&self, published: &Published) -> Bytes {
        let mut event = self.event.lock();
        if event.0 != published.etag {
            let parts: [&[u8]; 5] = [
                b"event: revocations\nid: ",
                published.etag.as_bytes(),
                b"\ndata: ",
                &published.statement,
                b"\n\n",
            ];
            *event = (published.etag.clone(), parts.concat().into());
        }
        event.1.clone()
    }

    pub(crate) fn end(&self) {
        self.ended.send_replace(true);
    }
}

/// A place that is in use.
#[derive(Debug)]
pub(crate) struct Place {
    taken: Arc<Mutex<Taken>>,
    holder: Holder,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock();
        *taken.of(self.holder) -= 1;
        let Some(network) = self.holder.network() else { return };
        if let Some(held) = taken.addresses.get_mut(&network) {
            *held -= 1;
            if *held == 0 {
                taken.addresses.remove(&network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stranger(address: &str) -> Holder {
        Holder::Stranger(Some(address.parse().expect("an address")))
    }

    fn take(streams: &Streams, holder: impl Fn(usize) -> Holder) -> Vec<Place> {
        (0..3 * PLACES).map_while(|n| streams.place(holder(n))).collect()
    }

    #[test]
    fn one_address_leaves_places_for_others() {
        let streams = Streams::default();
        let held = take(&streams, |_| stranger("192.0.2.1"));
        assert_eq!(held.len(), PER_ADDRESS);
        assert!(streams.place(stranger("192.0.2.2")).is_some());
        drop(held);
        assert!(streams.place(stranger("192.0.2.1")).is_some(), "what was left is free again");
        assert!(streams.taken.lock().addresses.is_empty(), "nothing is kept of who has left");
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_address() {
        let streams = Streams::default();
        let held = take(&streams, |n| stranger(&format!("2001:db8:0:1::{n:x}")));
        assert_eq!(held.len(), PER_ADDRESS);
        assert!(streams.place(stranger("2001:db8:0:2::1")).is_some());
    }

    #[test]
    fn services_that_are_known_have_places_of_their_own() {
        let streams = Streams::default();
        let strangers = take(&streams, |n| stranger(&format!("192.0.{}.{}", n / 256, n % 256)));
        assert_eq!(strangers.len(), PLACES);
        assert!(streams.place(stranger("203.0.113.1")).is_none());
        assert_eq!(take(&streams, |_| Holder::Known).len(), PLACES);
    }

    #[test]
    fn without_addresses_only_the_number_counts() {
        assert_eq!(take(&Streams::default(), |_| Holder::Stranger(None)).len(), PLACES);
    }
}
