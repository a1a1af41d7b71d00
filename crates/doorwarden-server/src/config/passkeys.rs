//! The relying party of passkeys, by the configuration.

use super::Config;
use crate::failure::Failure;
use doorwarden::core::webauthn::{RelyingParty, RelyingPartyError};
use http::Uri;

/// The section `[factors.passkeys]`.
#[derive(Clone, Default)]
pub(crate) struct Passkeys {
    pub(crate) rp_id: RpId,
    /// Empty: those of the issuer and of the application's page.
    pub(crate) origins: Vec<String>,
    pub(crate) related_origins: Vec<String>,
    pub(crate) top_origins: Vec<String>,
}

/// The domain that passkeys belong to.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) enum RpId {
    /// The host of the issuer.
    #[default]
    OfIssuer,
    /// There are no passkeys.
    Off,
    /// This domain.
    Domain(String),
}

/// Why there are no passkeys, although the configuration is valid.
pub(crate) enum NoPasskeys {
    /// They are switched off.
    Off,
    /// The issuer has no domain that passkeys can belong to.
    NoDomain {
        /// The issuer.
        issuer: String,
    },
}

impl Config {
    /// For which domain and on which pages passkeys are good.
    ///
    /// # Errors
    /// The domain or an origin is not one, or browsers would refuse passkeys of the domain at an origin.
    pub(crate) fn relying_party(&self) -> Result<Result<RelyingParty, NoPasskeys>, Failure> {
        let Passkeys { rp_id, origins, related_origins, top_origins } = &self.passkeys;
        let name = self.service_name();
        let of_issuer = origin(&self.issuer()).filter(|origin| is_at(&host(origin), origin));
        let id = match (rp_id, &of_issuer) {
            (RpId::Off, _) => return Ok(Err(NoPasskeys::Off)),
            (RpId::Domain(id), _) => id.clone(),
            (RpId::OfIssuer, Some(origin)) => host(origin),
            (RpId::OfIssuer, None) if origins.is_empty() && related_origins.is_empty() => {
                return Ok(Err(NoPasskeys::NoDomain { issuer: self.issuer() }));
            }
            (RpId::OfIssuer, None) => {
                return Err(Failure::config(format!(
                    "`factors.passkeys` has origins, and `{}`, the issuer, has no domain that passkeys can belong to",
                    self.issuer()
                ))
                .hint("set `factors.passkeys.rp_id` to a domain, such as `example.org`"));
            }
        };
        let at_id: Vec<String> = match origins.is_empty() {
            // An application's page at another domain needs a decision: see `doctor`.
            true => {
                let page = self.settings.mail.front_end.as_deref().and_then(origin);
                let mut known: Vec<_> = of_issuer.into_iter().chain(page).collect();
                known.retain(|origin| is_at(&id, origin));
                known.dedup();
                known
            }
            false => origins.iter().filter(|origin| !related_origins.contains(origin)).cloned().collect(),
        };
        let party = RelyingParty::new(&id, &name, at_id).map_err(|error| refused("origins", &error))?;
        let party = party.with_related_origins(related_origins.iter().cloned());
        let party = party.map_err(|error| refused("related_origins", &error))?;
        let party = party.with_top_origins(top_origins.iter().cloned());
        party.map(Ok).map_err(|error| refused("top_origins", &error))
    }

    /// The origin of the application's page, if passkeys cannot be used there.
    pub(crate) fn page_without_passkeys(&self, party: &RelyingParty) -> Option<String> {
        let page = origin(self.settings.mail.front_end.as_deref()?)?;
        let is_known = party.origins().contains(&page) || party.related_origins().contains(&page);
        (!is_known).then_some(page)
    }
}

fn refused(key: &str, error: &RelyingPartyError) -> Failure {
    let (key, hint) = match error {
        RelyingPartyError::BadId(_) => {
            ("rp_id", "set it to a domain, such as `example.org`, or to `off`".to_owned())
        }
        RelyingPartyError::NoOrigin => (
            "origins",
            "list the origins of the pages that use passkeys, such as `https://app.example.org`".to_owned(),
        ),
        RelyingPartyError::BadOrigin(_) => (
            key,
            "write it as browsers do: `https://`, a domain in lower case, and nothing after it".to_owned(),
        ),
        RelyingPartyError::OriginOutsideId(origin) => (
            key,
            format!(
                "set `factors.passkeys.rp_id` to a domain that all origins share, or add `{origin}` to \
                 `factors.passkeys.related_origins`"
            ),
        ),
    };
    Failure::config(format!("`factors.passkeys.{key}`: {error}")).hint(hint)
}

/// Whether passkeys of this domain can be used at this origin.
fn is_at(id: &str, origin: &str) -> bool {
    RelyingParty::new(id, "", [origin]).is_ok()
}

/// The origin of a URL, as browsers write it; `None` if the text is no URL.
fn origin(url: &str) -> Option<String> {
    let url: Uri = url.parse().ok()?;
    let (scheme, host) = (url.scheme_str()?.to_ascii_lowercase(), url.host()?.to_ascii_lowercase());
    let default = if scheme == "https" { 443 } else { 80 };
    let port = url.port_u16().filter(|port| *port != default);
    Some(format!("{scheme}://{host}{}", port.map(|port| format!(":{port}")).unwrap_or_default()))
}

/// The host of an origin.
fn host(origin: &str) -> String {
    let authority = origin.split_once("://").map_or(origin, |(_, authority)| authority);
    authority.split_once(':').map_or(authority, |(host, _)| host).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_as_browsers_write_it() {
        for (url, written) in [
            ("https://Accounts.Example.org/auth", Some("https://accounts.example.org")),
            ("https://example.org:443", Some("https://example.org")),
            ("https://example.org:8443/", Some("https://example.org:8443")),
            ("http://localhost:8000", Some("http://localhost:8000")),
            ("http://localhost:80", Some("http://localhost")),
            ("example.org", None),
            ("/account", None),
        ] {
            assert_eq!(origin(url).as_deref(), written, "{url}");
        }
    }
}
