//! Where a request came from.

use crate::settings::HttpSettings;
use axum::extract::ConnectInfo;
use doorwarden_core::session::ClientInfo;
use http::header::USER_AGENT;
use http::request::Parts;
use http::{HeaderMap, HeaderName};
use std::net::{IpAddr, SocketAddr};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address and the program of the client. A proxy's word counts only if the proxy is trusted, and then only the last
/// address that no trusted proxy wrote.
pub(crate) fn client_info(parts: &Parts, settings: &HttpSettings) -> ClientInfo {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip());
    let user_agent =
        parts.headers.get(USER_AGENT).map(|v| String::from_utf8_lossy(v.as_bytes()).replace('\0', ""));
    let address = peer.map(|peer| address(peer.to_canonical(), &parts.headers, settings).to_string());
    ClientInfo { address, user_agent }
}

fn address(peer: IpAddr, headers: &HeaderMap, settings: &HttpSettings) -> IpAddr {
    let trusted = |address: &IpAddr| settings.trusted_proxies.iter().any(|net| net.contains(address));
    let mut client = peer;
    let values = headers.get_all(FORWARDED_FOR);
    let lines: Vec<&str> = values.iter().map(|v| v.to_str().unwrap_or("?")).collect();
    for word in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
        if !trusted(&client) {
            break;
        }
        // What cannot be read was not written by a proxy of ours: the last readable address stands.
        let Ok(previous) = word.trim().parse::<IpAddr>() else { break };
        client = previous.to_canonical();
    }
    client
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append(FORWARDED_FOR, line.parse().unwrap());
        }
        let trusted_proxies = trusted.iter().map(|net| net.parse().unwrap()).collect();
        let settings = HttpSettings { trusted_proxies, ..HttpSettings::default() };
        address(peer.parse().unwrap(), &headers, &settings).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed_and_only_the_last_untrusted_address() {
        assert_eq!(seen("203.0.113.9", &["10.1.1.1"], &[]), "203.0.113.9");
        assert_eq!(seen("10.0.0.1", &["198.51.100.7"], &["10.0.0.0/8"]), "198.51.100.7");
        assert_eq!(seen("10.0.0.1", &["1.2.3.4, 198.51.100.7, 10.0.0.2"], &["10.0.0.0/8"]), "198.51.100.7");
        assert_eq!(seen("10.0.0.1", &["1.2.3.4", "198.51.100.7"], &["10.0.0.0/8"]), "198.51.100.7");
    }

    #[test]
    fn what_cannot_be_parsed_changes_nothing() {
        for garbage in ["a", "", "fe80::1%eth0", "unknown", &"9".repeat(5000)] {
            assert_eq!(seen("10.0.0.1", &[garbage], &["10.0.0.0/8"]), "10.0.0.1", "{garbage:?}");
        }
    }
}
