//! The URL of an endpoint, and the addresses that it may lead to.

use crate::address::is_public;
use http::Uri;
use http::uri::{PathAndQuery, Scheme};
use ipnet::IpNet;
use rustls::pki_types::ServerName;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Where messages may be sent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Policy {
    allowed: Vec<IpNet>,
}

impl Policy {
    pub(crate) fn new(allowed: impl IntoIterator<Item = IpNet>) -> Self {
        Self { allowed: allowed.into_iter().collect() }
    }

    fn allows_private(&self, address: IpAddr) -> bool {
        self.allowed.iter().any(|net| net.contains(&address.to_canonical()))
    }

    /// Whether messages may be sent to this address. Without TLS only within a network that is allowed.
    pub(crate) fn check(&self, address: IpAddr, has_tls: bool) -> Result<(), String> {
        if self.allows_private(address) || has_tls && is_public(address) {
            return Ok(());
        }
        Err(match is_public(address) {
            true => format!("{address} is not in a network that is allowed without TLS"),
            false => format!("{address} is not an address of the Internet, nor in a network that is allowed"),
        })
    }

    /// The same for every address of a name: one that also leads to another place leads there deliberately.
    fn check_all(&self, addresses: &[SocketAddr], has_tls: bool) -> Result<(), String> {
        addresses.iter().try_for_each(|address| self.check(address.ip(), has_tls))
    }
}

/// A URL to which messages may be sent, as far as it alone tells.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) host: String,
    /// The address, if the host is one.
    address: Option<IpAddr>,
    pub(crate) port: u16,
    pub(crate) has_tls: bool,
    /// `Host` of the request.
    pub(crate) authority: String,
    pub(crate) path: PathAndQuery,
}

impl Target {
    pub(crate) fn parse(url: &str, policy: &Policy) -> Result<Self, String> {
        if url.contains('#') {
            return Err("must not have a fragment".to_owned());
        }
        let uri: Uri = url.parse().map_err(|_| "is not a URL".to_owned())?;
        let has_tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP && !policy.allowed.is_empty() => false,
            Some(scheme) if *scheme == Scheme::HTTP => {
                return Err("must begin with `https://`".to_owned());
            }
            _ => return Err("must be absolute and begin with `https://`".to_owned()),
        };
        let authority = uri.authority().ok_or("has no host")?;
        if authority.as_str().contains('@') {
            return Err("must not contain a username or password".to_owned());
        }
        let host = authority.host();
        let port = match (authority.port(), has_tls) {
            (Some(port), _) => port.as_u16(),
            (None, true) => 443,
            (None, false) => 80,
        };
        if host.is_empty() || port == 0 || authority.as_str().ends_with(':') {
            return Err("has no valid host and port".to_owned());
        }
        let address = literal(host)?;
        if let Some(address) = address {
            policy.check(address, has_tls)?;
        }
        let path = uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { host, address, port, has_tls, authority: authority.to_string(), path })
    }

    /// The addresses of the host, each of which may be connected to.
    pub(crate) async fn resolve(&self, policy: &Policy) -> Result<Vec<SocketAddr>, String> {
        let addresses: Vec<SocketAddr> = if let Some(address) = self.address {
            vec![SocketAddr::new(address, self.port)]
        } else {
            let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await;
            found.map_err(|error| format!("the host was not found: {error}"))?.collect()
        };
        policy.check_all(&addresses, self.has_tls)?;
        if addresses.is_empty() { Err("the host was not found".to_owned()) } else { Ok(addresses) }
    }

    pub(crate) fn server_name(&self) -> Result<ServerName<'static>, String> {
        match self.address {
            Some(address) => Ok(address.into()),
            None => self.host.clone().try_into().map_err(|_| "has a host that is no domain".to_owned()),
        }
    }
}

/// The address, if the host is one. What the system's resolver would take for an address, and is not written
/// as one (`127.1`, `0x7f000001`, `2130706433`, `0177.0.0.1`), is refused.
fn literal(host: &str) -> Result<Option<IpAddr>, String> {
    if let Some(address) = host.strip_prefix('[') {
        let address = address.strip_suffix(']').and_then(|address| address.parse::<Ipv6Addr>().ok());
        return address.map(|address| Some(address.into())).ok_or_else(|| "has no valid host".to_owned());
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(Some(address));
    }
    let last = host.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    let is_hex = last.len() > 1
        && last.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("0x"))
        && last[2..].chars().all(|c| c.is_ascii_hexdigit());
    let is_number = is_hex || !last.is_empty() && last.chars().all(|c| c.is_ascii_digit());
    let is_domain = host.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
    match is_domain && !is_number && !last.is_empty() {
        true => Ok(None),
        false => Err("has no valid host: a domain, or an address in its usual form".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_tls_and_a_host_of_the_internet() {
        let policy = Policy::default();
        let target = Target::parse("https://example.com/a?b=c", &policy).unwrap();
        assert_eq!((target.host.as_str(), target.port, target.path.as_str()), ("example.com", 443, "/a?b=c"));
        assert_eq!(Target::parse("https://[2606:4700::1]:8443", &policy).unwrap().host, "2606:4700::1");
        for refused in [
            "",
            "example.com",
            "/hooks",
            "ftp://example.com",
            "http://example.com",
            "https://",
            "https://user@example.com",
            "https://user:password@example.com",
            "https://example.com#x",
            "https://example.com:0",
            "https://example.com:",
            "https://exa mple.com",
            "https://127.0.0.1",
            "https://127.0.0.1.",
            "https://127.1",
            "https://127.000.000.001",
            "https://2130706433",
            "https://0x7f000001",
            "https://0x7f.0.0.1",
            "https://0177.0.0.1",
            "https://017700000001",
            "https://0.0.0.0",
            "https://0",
            "https://10.1.2.3",
            "https://192.168.0.1:8443/x",
            "https://169.254.169.254/latest",
            "https://[::1]",
            "https://[::]",
            "https://[::ffff:127.0.0.1]",
            "https://[::ffff:7f00:1]",
            "https://[fd00::1]",
            "https://[fe80::1]",
            "https://[fe80::1%25eth0]",
            "https://[64:ff9b::7f00:1]",
        ] {
            assert!(Target::parse(refused, &policy).is_err(), "{refused}");
        }
    }

    #[test]
    fn private_networks_can_be_allowed_and_then_need_no_tls() {
        let policy = Policy::new(["127.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()]);
        for allowed in ["http://127.0.0.1:8080/x", "https://[::ffff:127.0.0.1]", "http://[fd00::1]"] {
            assert!(Target::parse(allowed, &policy).is_ok(), "{allowed}");
        }
        for refused in ["http://8.8.8.8", "http://10.0.0.1", "https://10.0.0.1", "https://[::1]"] {
            assert!(Target::parse(refused, &policy).is_err(), "{refused}");
        }
    }

    #[test]
    fn a_name_must_lead_to_no_private_address_beside_others() {
        let (public, private) = (([8, 8, 8, 8], 443).into(), ([127, 0, 0, 1], 443).into());
        let check = |addresses: &[SocketAddr]| Policy::default().check_all(addresses, true);
        assert!(check(&[public]).is_ok());
        assert!(check(&[public, private]).is_err() && check(&[private, public]).is_err());
        assert!(Policy::default().check_all(&[public], false).is_err(), "and none without TLS");
    }

    #[tokio::test]
    async fn a_name_is_judged_by_what_it_resolves_to() {
        let target = Target::parse("https://localhost:1", &Policy::default()).unwrap();
        let refused = target.resolve(&Policy::default()).await.unwrap_err();
        assert!(refused.contains("not an address of the Internet"), "{refused}");
        let policy = Policy::new(["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()]);
        assert!(target.resolve(&policy).await.is_ok());
    }
}
