//! The settings of the HTTP interface.

use crate::oauth_client::OauthClients;
use http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;
use std::collections::HashMap;
use std::time::Duration;

// The names and paths in the table; the module `endpoint` makes the operations from the same rows.
macro_rules! endpoints {
    ($($name:ident, $label:literal, $path:literal: [$($operation:expr),+ $(,)?];)+) => {
        /// The endpoints that [`Auth::router`](crate::Auth::router) offers. Each can be left out or moved.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Endpoint {
            $(#[doc = concat!("`", $path, "`")] $name),+
        }

        impl Endpoint {
            /// Every endpoint.
            pub const ALL: [Self; [$($label),+].len()] = [$(Self::$name),+];

            /// Where it lies unless it is moved.
            pub const fn default_path(self) -> &'static str {
                match self {
                    $(Self::$name => $path),+
                }
            }

            /// The value of the metrics' label `endpoint`, which stays the same if the endpoint is moved.
            pub(crate) const fn label(self) -> &'static str {
                match self {
                    $(Self::$name => $label),+
                }
            }
        }
    };
}

crate::table::endpoint_table!(endpoints);

/// All settings, with their defaults.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HttpSettings {
    /// Endpoints that were moved (`Some`) or left out (`None`).
    pub endpoints: HashMap<Endpoint, Option<String>>,
    /// The other origins that may call from a browser. None by default.
    pub cors: Option<CorsSettings>,
    /// Proxies whose `X-Forwarded-For`, or without it `Forwarded` (RFC 7239), is trusted. None by default.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether browsers receive refresh tokens as a cookie that scripts cannot read, instead of in the body.
    /// Disabled by default.
    ///
    /// The cookie is `__Host-doorwarden-refresh` (`HttpOnly`, `Secure`, `SameSite=Strict`). It is accepted
    /// only in a request that has `X-Requested-With` or a JSON body, and comes from this origin or one that
    /// [`CorsSettings`] name. For clients other than browsers (neither `Origin` nor `Sec-Fetch-Site`) nothing
    /// changes.
    pub refresh_cookie: bool,
    /// Headers that the [`layer`](crate::Auth::layer) adds to every response that does not set them itself.
    /// The defaults suit an API: a page of the application needs a `Content-Security-Policy` that allows its
    /// styles and scripts, here or on its own response.
    pub headers: HeaderMap,
    /// The services that may call `/oauth/revoke` and `/oauth/introspect`. None by default.
    pub oauth_clients: OauthClients,
    /// The maximum time from now to `exp` of an introspection response, so that services that cache responses
    /// until then notice the end of a session. 60 s by default.
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
#[non_exhaustive]
pub struct CorsSettings {
    /// The origins that may call, exactly as a browser sends them (`https://app.example.com`). `*` allows
    /// every origin, without credentials.
    pub origins: Vec<HeaderValue>,
}

impl CorsSettings {
    /// Lets pages of these origins call.
    ///
    /// ```
    /// use doorwarden_axum::CorsSettings;
    ///
    /// let cors = CorsSettings::new(["https://app.example.com".parse()?]);
    /// # Ok::<(), axum::http::header::InvalidHeaderValue>(())
    /// ```
    pub fn new(origins: impl IntoIterator<Item = HeaderValue>) -> Self {
        Self { origins: origins.into_iter().collect() }
    }
}

/// An endpoint was moved to a path where it cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointPathError {
    /// The path is not valid.
    #[error("{0:?} cannot be at {1:?}: a path begins with / and has no empty part, blank, ? or #")]
    NoPath(Endpoint, String),
    /// The path has other parameters than the endpoint's own.
    #[error("{0:?} cannot be at {1:?}: it needs the parameters of {default} once each, and whole parts for them", default = .0.default_path())]
    Parameters(Endpoint, String),
    /// Two endpoints would have the same path.
    #[error("{0:?} and {1:?} cannot both be at {2:?}")]
    Twice(Endpoint, Endpoint, String),
}

impl HttpSettings {
    /// Checks that every endpoint can be served at its path.
    ///
    /// # Errors
    /// [`EndpointPathError`] if a path is not valid, has other parameters than the endpoint's own, or is used
    /// twice.
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

    /// The path of an endpoint; `None` if the endpoint is left out.
    pub fn path(&self, endpoint: Endpoint) -> Option<&str> {
        match self.endpoints.get(&endpoint) {
            Some(choice) => choice.as_deref(),
            None => Some(endpoint.default_path()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn labels_and_paths_are_unique() {
        for names in [Endpoint::ALL.map(Endpoint::label), Endpoint::ALL.map(Endpoint::default_path)] {
            assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len(), "{names:?}");
        }
    }
}
