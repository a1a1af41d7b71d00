use aws_lc_rs::digest::{SHA256, digest};
use serde::Serialize;

/// The service that credentials are for: its id, and the origins at which they may be used.
///
/// A credential belongs to the id for ever, so the id is chosen once, and never taken from a request.
///
/// ```
/// use doorwarden_webauthn::RelyingParty;
///
/// let party = RelyingParty::new("example.org", "Example", ["https://app.example.org"])?
///     .with_related_origins(["https://example.de"])?;
/// assert!(RelyingParty::new("example.org", "Example", ["https://example.com"]).is_err());
/// # Ok::<(), doorwarden_webauthn::RelyingPartyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelyingParty {
    id: String,
    id_hash: [u8; 32],
    name: String,
    origins: Vec<String>,
    related_origins: Vec<String>,
    top_origins: Vec<String>,
}

/// Why a relying party is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RelyingPartyError {
    /// Not a domain in lower case with at least two labels, nor `localhost`. An IP address is not a domain.
    #[error("{0:?} is not a domain in lower case, nor localhost")]
    BadId(String),
    /// There is no origin.
    #[error("there is no origin")]
    NoOrigin,
    /// Not an origin as browsers write it: a scheme, a domain in lower case and a port only if it is not the
    /// default one, with nothing after it. The scheme is `https`, or for localhost `http`.
    #[error("{0:?} is not an origin such as https://app.example.org")]
    BadOrigin(String),
    /// Browsers refuse the id at this origin, because its domain is another one. It may be a related origin.
    #[error("the origin {0:?} is neither at the id of the relying party nor at a subdomain of it")]
    OriginOutsideId(String),
}

impl RelyingParty {
    /// The relying party with this id, which is a domain, and a name to show to users. The origins are those
    /// of the pages that use credentials; each is at the domain or at a subdomain of it (WebAuthn section
    /// 5.1.3).
    pub fn new<S: Into<String>>(
        id: &str,
        name: &str,
        origins: impl IntoIterator<Item = S>,
    ) -> Result<Self, RelyingPartyError> {
        if !is_domain(id) {
            return Err(RelyingPartyError::BadId(id.to_owned()));
        }
        let origins = checked(origins)?;
        let is_outside = |origin: &&String| !host(origin).is_some_and(|host| is_within(host, id));
        if let Some(outside) = origins.iter().find(is_outside) {
            return Err(RelyingPartyError::OriginOutsideId(outside.clone()));
        }
        if origins.is_empty() {
            return Err(RelyingPartyError::NoOrigin);
        }
        let mut id_hash = [0; 32];
        id_hash.copy_from_slice(digest(&SHA256, id.as_bytes()).as_ref());
        let (id, name) = (id.to_owned(), name.to_owned());
        Ok(Self { id, id_hash, name, origins, related_origins: Vec::new(), top_origins: Vec::new() })
    }

    /// Also accepts these origins at other domains. Browsers do so if `/.well-known/webauthn` at the id lists
    /// them (WebAuthn section 5.11): serve [`Self::well_known`] there. Browsers read the first five domains
    /// or so.
    pub fn with_related_origins<S: Into<String>>(
        mut self,
        origins: impl IntoIterator<Item = S>,
    ) -> Result<Self, RelyingPartyError> {
        self.related_origins = checked(origins)?;
        Ok(self)
    }

    /// Accepts ceremonies in a frame of a page of one of these origins. Without any, ceremonies in frames of
    /// other origins are refused. A browser that does not tell the origin of the outermost page is believed
    /// if there is one here.
    pub fn with_top_origins<S: Into<String>>(
        mut self,
        origins: impl IntoIterator<Item = S>,
    ) -> Result<Self, RelyingPartyError> {
        self.top_origins = checked(origins)?;
        Ok(self)
    }

    /// The id: a domain.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The SHA-256 of the id, as in authenticator data.
    pub const fn id_hash(&self) -> &[u8; 32] {
        &self.id_hash
    }

    /// The name that is shown to users.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The origins at the id or at its subdomains.
    pub fn origins(&self) -> &[String] {
        &self.origins
    }

    /// The origins at other domains.
    pub fn related_origins(&self) -> &[String] {
        &self.related_origins
    }

    /// The origins of pages that may have a ceremony in a frame.
    pub fn top_origins(&self) -> &[String] {
        &self.top_origins
    }

    /// The document to serve at `/.well-known/webauthn` of the id, as `application/json`.
    pub fn well_known(&self) -> WellKnown {
        WellKnown { origins: self.related_origins.clone() }
    }
}

/// The document at `/.well-known/webauthn` (WebAuthn section 5.11).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WellKnown {
    /// The related origins.
    pub origins: Vec<String>,
}

fn checked<S: Into<String>>(origins: impl IntoIterator<Item = S>) -> Result<Vec<String>, RelyingPartyError> {
    let check = |origin: String| match host(&origin) {
        Some(_) => Ok(origin),
        None => Err(RelyingPartyError::BadOrigin(origin)),
    };
    origins.into_iter().map(|origin| check(origin.into())).collect()
}

/// The domain of an origin, if it is one.
fn host(origin: &str) -> Option<&str> {
    let (scheme, authority) = origin.split_once("://")?;
    let (host, port) = authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
    let default = match scheme {
        "https" => 443,
        "http" if is_within(host, "localhost") => 80,
        _ => return None,
    };
    let is_port = |text: &str| {
        text.parse::<u16>().is_ok_and(|port| port != 0 && port != default && port.to_string() == text)
    };
    (is_domain(host) && port.is_none_or(is_port)).then_some(host)
}

/// A domain is itself within it.
fn is_within(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// In lower case, with letters, digits and hyphens only, and at least two labels (RFC 1123, section 2.1).
fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_numeric = |label: &str| label.bytes().all(|c| c.is_ascii_digit());
    let last = text.rsplit('.').next().unwrap_or_default();
    text == "localhost"
        || text.len() <= 253 && text.contains('.') && text.split('.').all(is_label) && !is_numeric(last)
}
