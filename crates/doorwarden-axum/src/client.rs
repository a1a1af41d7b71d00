//! The origin of a request: the client's address and program.

use crate::device_cookie;
use crate::settings::HttpSettings;
use axum::extract::ConnectInfo;
use doorwarden_core::session::ClientInfo;
use http::header::{FORWARDED, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::net::{IpAddr, SocketAddr};
use std::sync::Once;

const X_ALTCHA: HeaderName = HeaderName::from_static("x-altcha");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Logged once: every request would say the same.
static WARNED: Once = Once::new();

/// The id that the middleware has given to a request, also in the header `X-Request-Id` of its response.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(pub(crate) HeaderValue);

/// The address and the user agent of the client, and the id of the request. The headers of a proxy are used
/// only if the proxy is trusted, and then only the last address that no trusted proxy added: of
/// `X-Forwarded-For`, or without it of `Forwarded` (RFC 7239).
pub(crate) fn client_info(parts: &Parts, settings: &HttpSettings) -> ClientInfo {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip());
    let user_agent =
        parts.headers.get(USER_AGENT).map(|v| String::from_utf8_lossy(v.as_bytes()).replace('\0', ""));
    if peer.is_some_and(|peer| hides_clients(peer.to_canonical(), &parts.headers, settings)) {
        WARNED.call_once(|| {
            tracing::warn!(
                peer = peer.map(|peer| peer.to_string()),
                "a proxy says for whom it asks and is not trusted: all of its clients count as one; add it to http.trusted_proxies"
            );
        });
    }
    let address = peer.map(|peer| address(peer.to_canonical(), &parts.headers, settings));
    let request_id = parts.extensions.get::<RequestId>().and_then(|id| id.0.to_str().ok()).map(str::to_owned);
    let proof_of_work = parts.headers.get(X_ALTCHA).and_then(|value| value.to_str().ok()).map(str::to_owned);
    ClientInfo { address, user_agent, request_id, marks: device_cookie::sent(&parts.headers), proof_of_work }
}

/// Whether a proxy of this machine or network, which is not trusted, says for whom it asks.
fn hides_clients(peer: IpAddr, headers: &HeaderMap, settings: &HttpSettings) -> bool {
    let is_near = match peer {
        IpAddr::V4(peer) => peer.is_loopback() || peer.is_private(),
        IpAddr::V6(peer) => peer.is_loopback() || peer.is_unique_local(),
    };
    let is_proxy = headers.contains_key(X_FORWARDED_FOR) || headers.contains_key(FORWARDED);
    is_near && is_proxy && !settings.trusted_proxies.iter().any(|net| net.contains(&peer))
}

fn address(peer: IpAddr, headers: &HeaderMap, settings: &HttpSettings) -> IpAddr {
    let trusted = |address: &IpAddr| settings.trusted_proxies.iter().any(|net| net.contains(address));
    let mut client = peer;
    // A proxy that writes one of the headers passes the other on unchanged.
    let is_usual = headers.contains_key(X_FORWARDED_FOR);
    let name = if is_usual { X_FORWARDED_FOR } else { FORWARDED };
    let lines: Vec<&[u8]> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    // Commas within quotes separate as well: an opening quote from the client must not hide what a proxy
    // appended.
    let hops = lines.iter().rev().flat_map(|line| line.rsplit(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    for hop in hops.filter(|hop| !hop.is_empty()) {
        if !trusted(&client) {
            break;
        }
        // A trusted proxy did not write what cannot be parsed: the last address that could be parsed is used.
        let Some(previous) = (if is_usual { node(hop) } else { forwarded_for(hop) }) else { break };
        client = previous;
    }
    client
}

/// The address of an element of `Forwarded`, `for=192.0.2.60;proto=https`.
fn forwarded_for(element: &[u8]) -> Option<IpAddr> {
    element.split(|byte| *byte == b';').find_map(|pair| {
        let at = pair.iter().position(|byte| *byte == b'=')?;
        pair[..at]
            .trim_ascii()
            .eq_ignore_ascii_case(b"for")
            .then(|| node(pair[at + 1..].trim_ascii()))
            .flatten()
    })
}

/// An address as proxies write it: optionally in quotes, in brackets, with a port, with a zone.
fn node(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text).trim();
    let is_port = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let host = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            (port.is_empty() || port.strip_prefix(':').is_some_and(is_port)).then_some(host)?
        }
        None => match text.split_once(':') {
            // One colon: an IPv4 address and a port.
            Some((host, port)) if is_port(port) => host,
            _ => text,
        },
    };
    // Only IPv6 addresses have a zone.
    let address = match host.split_once('%') {
        Some((address, zone)) if !zone.is_empty() => IpAddr::V6(address.parse().ok()?),
        _ => host.parse().ok()?,
    };
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(peer: &str, name: &HeaderName, lines: &[&[u8]]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name, HeaderValue::from_bytes(line).unwrap());
        }
        let trusted_proxies = ["10.0.0.0/8", "fd00::/8"].map(|net| net.parse().unwrap()).to_vec();
        let settings = HttpSettings { trusted_proxies, ..HttpSettings::default() };
        address(peer.parse().unwrap(), &headers, &settings).to_string()
    }

    fn seen(peer: &str, lines: &[&[u8]]) -> String {
        told(peer, &X_FORWARDED_FOR, lines)
    }

    #[test]
    fn only_trusted_proxies_are_believed_and_only_the_last_untrusted_address() {
        assert_eq!(seen("203.0.113.9", &[b"10.1.1.1"]), "203.0.113.9");
        assert_eq!(seen("10.0.0.1", &[b"198.51.100.7"]), "198.51.100.7");
        assert_eq!(seen("10.0.0.1", &[b"1.2.3.4, 198.51.100.7, 10.0.0.2"]), "198.51.100.7");
        assert_eq!(seen("10.0.0.1", &[b"1.2.3.4", b"198.51.100.7"]), "198.51.100.7");
        assert_eq!(seen("fd00::1", &[b"1.2.3.4, 2001:db8::7, [fd00::2]:443"]), "2001:db8::7");
    }

    #[test]
    fn a_near_proxy_that_is_not_trusted_hides_its_clients() {
        let trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
        let settings = HttpSettings { trusted_proxies, ..HttpSettings::default() };
        let (nothing, mut forwarded) = (HeaderMap::new(), HeaderMap::new());
        forwarded.insert(X_FORWARDED_FOR, HeaderValue::from_static("198.51.100.7"));
        for (peer, is_one) in [
            ("127.0.0.1", true),
            ("172.17.0.1", true),
            ("::1", true),
            ("fd00::1", true),
            ("10.0.0.1", false),
            ("203.0.113.9", false),
        ] {
            let peer = peer.parse().unwrap();
            assert_eq!(hides_clients(peer, &forwarded, &settings), is_one, "{peer}");
            assert!(!hides_clients(peer, &nothing, &settings), "{peer}");
        }
    }

    #[test]
    fn every_spelling_of_an_address_is_read() {
        for (text, expected) in [
            ("198.51.100.7", "198.51.100.7"),
            ("198.51.100.7:51234", "198.51.100.7"),
            ("\"198.51.100.7\"", "198.51.100.7"),
            ("\"198.51.100.7:51234\"", "198.51.100.7"),
            ("[198.51.100.7]:51234", "198.51.100.7"),
            ("::ffff:198.51.100.7", "198.51.100.7"),
            ("[::ffff:198.51.100.7]:1", "198.51.100.7"),
            ("2001:DB8::7", "2001:db8::7"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("[2001:db8::7]:51234", "2001:db8::7"),
            ("\"[2001:db8::7]:51234\"", "2001:db8::7"),
            ("fe80::7%eth0", "fe80::7"),
            ("[fe80::7%25eth0]:51234", "fe80::7"),
            ("  198.51.100.7\t", "198.51.100.7"),
        ] {
            assert_eq!(seen("10.0.0.1", &[text.as_bytes()]), expected, "{text}");
            let behind = format!("1.2.3.4, {text} ,, 10.0.0.2:80,");
            assert_eq!(seen("10.0.0.1", &[behind.as_bytes()]), expected, "{behind}");
            let quoted = text.trim().trim_matches('"');
            let element = format!("for=1.2.3.4, proto=https; FOR=\"{quoted}\";by=_x, For=10.0.0.2");
            assert_eq!(told("10.0.0.1", &FORWARDED, &[element.as_bytes()]), expected, "{element}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_one_hop_and_hides_nobody() {
        for garbage in [
            &b"a"[..],
            b"unknown",
            b"_hidden",
            b"\xe9",
            b"\"",
            b"[",
            b"1.2.3.4:x",
            b"1.2.3.4%eth0",
            b"[::1",
            b"::1]",
            b"1.2.3.4:1:2",
            b"300.1.1.1",
        ] {
            assert_eq!(seen("10.0.0.1", &[garbage]), "10.0.0.1", "{garbage:?}");
            let appended = [garbage, b", 198.51.100.7"].concat();
            assert_eq!(seen("10.0.0.1", &[&appended]), "198.51.100.7", "{garbage:?}");
            assert_eq!(seen("10.0.0.1", &[garbage, b"198.51.100.7"]), "198.51.100.7", "{garbage:?}");
            let element = [b"for=", garbage, b", for=198.51.100.7;proto=http"].concat();
            assert_eq!(told("10.0.0.1", &FORWARDED, &[&element]), "198.51.100.7", "{garbage:?}");
        }
        assert_eq!(seen("10.0.0.1", &["9".repeat(5000).as_bytes()]), "10.0.0.1");
        assert_eq!(told("10.0.0.1", &FORWARDED, &[b"for=198.51.100.7, proto=https"]), "10.0.0.1");
        assert_eq!(told("203.0.113.9", &FORWARDED, &[b"for=198.51.100.7"]), "203.0.113.9");
    }

    #[test]
    fn a_proxy_that_writes_the_usual_header_passes_no_client_off_as_another() {
        let mut headers = HeaderMap::new();
        headers.insert(X_FORWARDED_FOR, HeaderValue::from_static("198.51.100.7"));
        headers.insert(FORWARDED, HeaderValue::from_static("for=1.2.3.4"));
        let settings =
            HttpSettings { trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()], ..HttpSettings::default() };
        assert_eq!(address("10.0.0.1".parse().unwrap(), &headers, &settings).to_string(), "198.51.100.7");
    }
}
