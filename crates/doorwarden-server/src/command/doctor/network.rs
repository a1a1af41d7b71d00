//! Checks which hosts can reach the service, and which proxies are trusted.

use super::Report;
use crate::config::{Config, is_public};

pub(super) fn check(config: &Config, report: &mut Report) {
    listen(config, report);
    proxies(config, report);
    cors(config, report);
    if let Some(address) = &config.metrics_listen {
        match is_public(address) {
            true => report.warning(
                "metrics",
                format!("`{address}` is reachable from other hosts"),
                "set `metrics.listen` to an address that only Prometheus can reach, or to `off`",
            ),
            false => report.ok("metrics", format!("`{address}` is reachable from this machine only")),
        }
    }
}

fn listen(config: &Config, report: &mut Report) {
    let address = &config.listen;
    if !is_public(address) {
        let is_behind_proxy = config.settings.access.issuer.starts_with("https://");
        if is_behind_proxy && config.http.trusted_proxies.is_empty() {
            return report.warning(
                "listen",
                format!("`{address}` is behind a proxy (`tokens.issuer` has https), and no proxy is trusted"),
                "add its address, such as `127.0.0.1`, to `http.trusted_proxies`: without that all clients have one address, and the \
                 limits count them as one",
            );
        }
        return report.ok("listen", format!("`{address}` is reachable from this machine only"));
    }
    if config.http.trusted_proxies.is_empty() {
        return report.warning(
            "listen",
            format!("`{address}` is reachable from other hosts, and no proxy is trusted"),
            "passwords need TLS, which a proxy in front must terminate: add its address to `http.trusted_proxies`, or every client \
             seems to connect from it; a proxy on this machine can reach `127.0.0.1`",
        );
    }
    report.ok("listen", format!("`{address}`, behind a proxy"));
}

fn proxies(config: &Config, report: &mut Report) {
    let everybody = config.http.trusted_proxies.iter().find(|net| net.prefix_len() == 0);
    if let Some(net) = everybody {
        report.error(
            "proxies",
            format!("`http.trusted_proxies` contains `{net}`: any client can claim any address"),
            "list only the addresses of your proxies",
        );
    }
}

fn cors(config: &Config, report: &mut Report) {
    let Some(cors) = &config.http.cors else { return };
    for origin in &cors.origins {
        let origin = origin.to_str().unwrap_or_default();
        if origin == "*" {
            report.warning(
                "cors",
                "`http.cors_origins` is `*`: pages of any origin can call the API",
                "list the origins of your pages, such as `https://app.example.com`",
            );
        } else if !is_origin(origin) {
            report.error(
                "cors",
                format!("`http.cors_origins` contains `{origin}`, which no browser sends"),
                "an origin is a scheme, a host and an optional port, without a trailing slash, such as `https://app.example.com`",
            );
        }
    }
}

/// Whether a browser may send this as `Origin`: `https://host`, `http://host:port`, or an application's own
/// scheme.
fn is_origin(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else { return false };
    let host_is_plain = !host.is_empty() && !host.contains(['/', '?', '#', '@', '*']);
    !scheme.is_empty() && host_is_plain && text == text.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_a_browser_sends() {
        for origin in ["https://app.example.com", "http://localhost:3000", "capacitor://localhost"] {
            assert!(is_origin(origin), "{origin}");
        }
        for wrong in [
            "https://app.example.com/",
            "app.example.com",
            "https://*.example.com",
            "HTTPS://A.example",
            "https://",
        ] {
            assert!(!is_origin(wrong), "{wrong}");
        }
    }
}
