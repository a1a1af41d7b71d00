//! What an application may decide about the HTTP interface.

pub use crate::endpoint::Endpoint;
use crate::oauth_client::OauthClients;
use http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;
use std::collections::HashMap;
use std::time::Duration;

/// Every decision, with its default.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// Endpoints that were moved (`Some`) or left out (`None`).
    pub endpoints: HashMap<Endpoint, Option<String>>,
    /// Which other origins may call from a browser. By default none.
    pub cors: Option<CorsSettings>,
    /// Proxies whose `X-Forwarded-For` is believed, or without it their `Forwarded` (RFC 7239). By default none.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether browsers get refresh tokens as a cookie that scripts cannot read, instead of in the body. By default not.
    ///
    /// The cookie is `__Host-doorwarden-refresh` (`HttpOnly`, `Secure`, `SameSite=Strict`). It counts only in a request that has
    /// `X-Requested-With` or a JSON body, and comes from this origin or one that [`CorsSettings`] name. Clients that are no browsers
    /// (neither `Origin` nor `Sec-Fetch-Site`) go on as without it.
    pub refresh_cookie: bool,
    /// What stands on every answer of the [`layer`](crate::Auth::layer) that does not have its own. By default what is right for an interface:
    /// a page of the application's own needs a `Content-Security-Policy` that lets its styles and scripts be, here or on its own answer.
    pub headers: HeaderMap,
    /// The services that may call `/oauth/revoke` and `/oauth/introspect`. By default none.
    pub oauth_clients: OauthClients,
    /// How far in the future `exp` of an introspection answer lies at most, so that services that keep answers until then hear of the
    /// end of a session. By default 60 s.
    pub introspection_lifetime: Duration,
}

impl Default for HttpSettings {
    fn default() -> Self {
        let headers = [
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (X_FRAME_OPTIONS, "DENY"),
            (REFERRER_POLICY, "no-referrer"),
            (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'; base-uri 'none'"),
            (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        ];
        Self {
            endpoints: HashMap::new(),
            cors: None,
            trusted_proxies: Vec::new(),
            refresh_cookie: false,
            headers: headers
                .map(|(name, value)| (name, HeaderValue::from_static(value)))
                .into_iter()
                .collect(),
            oauth_clients: OauthClients::default(),
            introspection_lifetime: Duration::from_mins(1),
        }
    }
}

/// Cross-origin requests from browsers.
#[derive(Debug, Clone, Default)]
pub struct CorsSettings {
    /// The origins that may call, exactly as a browser sends them (`https://app.example.com`). `*` lets every origin call,
    /// without cookies.
    pub origins: Vec<HeaderValue>,
}

/// An endpoint was moved to a path where it cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointPathError {
    /// It is no path.
    #[error("{0:?} cannot be at {1:?}: a path begins with / and has no empty part, blank, ? or #")]
    NoPath(Endpoint, String),
    /// It has other parameters than the endpoint's own.
    #[error("{0:?} cannot be at {1:?}: it needs the parameters of {default} once each, and whole parts for them", default = .0.default_path())]
    Parameters(Endpoint, String),
    /// Two endpoints would be at one path.
    #[error("{0:?} and {1:?} cannot both be at {2:?}")]
    Twice(Endpoint, Endpoint, String),
}

impl HttpSettings {
    /// Whether every endpoint can be served where it lies.
    ///
    /// # Errors
    /// [`EndpointPathError`].
    pub fn check_paths(&self) -> Result<(), EndpointPathError> {
        let mut taken: HashMap<String, Endpoint> = HashMap::new();
        for endpoint in Endpoint::ALL {
            let Some(path) = self.path(endpoint) else { continue };
            let inner = path.strip_suffix('/').unwrap_or(path);
            let is_path = path.starts_with('/')
                && inner.split('/').skip(1).all(|part| !part.is_empty())
                && path.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#".contains(&byte));
            if !is_path {
                return Err(EndpointPathError::NoPath(endpoint, path.to_owned()));
            }
            let parameters = |path: &str| {
                let mut all: Vec<_> =
                    path.split('/').filter(|part| part.contains(['{', '}'])).map(str::to_owned).collect();
                all.sort();
                all
            };
            let is_whole = |part: &String| {
                let name = part.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
                name.is_some_and(|name| !name.is_empty() && !name.contains(['{', '}', '*']))
            };
            if !parameters(path).iter().all(is_whole) {
                return Err(EndpointPathError::Parameters(endpoint, path.to_owned()));
            }
            let own = parameters(endpoint.default_path());
            if !own.is_empty() && parameters(path) != own {
                return Err(EndpointPathError::Parameters(endpoint, path.to_owned()));
            }
            if let Some(other) = taken.insert(inner.to_owned(), endpoint) {
                return Err(EndpointPathError::Twice(other, endpoint, path.to_owned()));
            }
        }
        Ok(())
    }

    /// Where an endpoint lies; `None` if it is left out.
    pub fn path(&self, endpoint: Endpoint) -> Option<&str> {
        match self.endpoints.get(&endpoint) {
            Some(choice) => choice.as_deref(),
            None => Some(endpoint.default_path()),
        }
    }
}
