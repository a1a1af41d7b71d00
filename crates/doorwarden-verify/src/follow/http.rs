//! A minimal HTTP client: GET from one host. Redirects are never followed.

use super::BuildError;
use bytes::Bytes;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, IF_NONE_MATCH, USER_AGENT};
use http::uri::Scheme;
use http::{HeaderMap, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::error::Error as _;
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::timeout;

/// The time limit of connecting and of a response.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a connection is kept for the next request: less than the 75 s after which Doorwarden closes it.
const KEPT: Duration = Duration::from_secs(30);

/// The URL under which the issuer is reached.
pub(super) struct Issuer {
    /// Without a slash at the end.
    url: String,
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
}

/// Why a fetch failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("could not connect: {0}")]
    Connect(String),
    #[error("the connection was lost: {0}")]
    Broken(#[from] hyper::Error),
    #[error("there was no response in time")]
    Timeout,
    #[error("the response was {0}")]
    Status(StatusCode),
    #[error("the response is longer than {0} bytes")]
    TooLong(usize),
    #[error("the response does not have the expected media type")]
    NotExpected,
}

impl From<hyper_util::client::legacy::Error> for FetchError {
    /// The causes, from the outermost: the client's own error says only "client error (Connect)".
    fn from(error: hyper_util::client::legacy::Error) -> Self {
        let causes = std::iter::successors(error.source(), |cause| (*cause).source());
        let mut causes: Vec<_> = causes.map(ToString::to_string).collect();
        // An outer error may end with the text of the inner one already.
        causes.dedup_by(|inner, outer| outer.ends_with(inner.as_str()));
        Self::Connect(causes.join(": "))
    }
}

impl Issuer {
    pub(super) fn parse(url: &str, allow_http: bool) -> Result<Self, BuildError> {
        let uri: Uri = url.parse().map_err(|_| BuildError::Address)?;
        let is_tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(BuildError::Address),
        };
        let authority = uri.authority().ok_or(BuildError::Address)?;
        if uri.query().is_some() || authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(BuildError::Address);
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if !is_tls && !allow_http && !is_this_machine(&host) {
            return Err(BuildError::Insecure);
        }
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(doorwarden_tls::client_with_system_roots().with_no_client_auth())
            .https_or_http()
            .enable_http1()
            .build();
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(KEPT)
            .build(connector);
        Ok(Self { url: url.trim_end_matches('/').to_owned(), client })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// The response to GET, if it is 200 with one of these media types, or 304. With `is_fresh`, caches in
    /// between must revalidate.
    pub(super) async fn get(
        &self,
        path: &str,
        accept: &[&'static str],
        etag: Option<&http::HeaderValue>,
        is_fresh: bool,
    ) -> Result<Response<Incoming>, FetchError> {
        let mut request = Request::get(format!("{}{path}", self.url))
            .header(USER_AGENT, concat!("doorwarden-verify/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, accept.join(", "));
        if let Some(etag) = etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        if is_fresh {
            request = request.header(CACHE_CONTROL, "no-cache");
        }
        let request = request.body(Empty::new()).map_err(|_| FetchError::NotExpected)?;
        let response =
            timeout(PATIENCE, self.client.request(request)).await.map_err(|_| FetchError::Timeout)??;
        match response.status() {
            StatusCode::NOT_MODIFIED if etag.is_some() => Ok(response),
            StatusCode::OK if is_one_of(response.headers(), accept) => Ok(response),
            StatusCode::OK => Err(FetchError::NotExpected),
            status => Err(FetchError::Status(status)),
        }
    }
}

/// The whole body as text.
pub(super) async fn text(response: Response<Incoming>, max: usize) -> Result<String, FetchError> {
    let body = timeout(PATIENCE, Limited::new(response.into_body(), max).collect());
    let body = body.await.map_err(|_| FetchError::Timeout)?.map_err(|error| {
        error.downcast::<hyper::Error>().map_or(FetchError::TooLong(max), |error| FetchError::Broken(*error))
    })?;
    String::from_utf8(body.to_bytes().into()).map_err(|_| FetchError::NotExpected)
}

fn is_one_of(headers: &HeaderMap, expected: &[&str]) -> bool {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = media_type.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
    expected.iter().any(|expected| media_type.eq_ignore_ascii_case(expected))
}

fn is_this_machine(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_has_only_scheme_host_port_and_path() {
        assert_eq!(Issuer::parse("http://[::1]:8000/id/", false).unwrap().url(), "http://[::1]:8000/id");
        for wrong in
            ["", "id.example", "ftp://id.example", "https://", "https://a@id.example", "https://id.example?a"]
        {
            assert!(matches!(Issuer::parse(wrong, true), Err(BuildError::Address)), "{wrong}");
        }
    }

    #[test]
    fn plain_http_to_another_machine_must_be_allowed() {
        assert!(matches!(Issuer::parse("http://id.example", false), Err(BuildError::Insecure)));
        assert!(Issuer::parse("http://id.example", true).is_ok());
        for here in ["http://localhost:1", "http://127.0.0.2:1"] {
            assert!(Issuer::parse(here, false).is_ok(), "{here}");
        }
    }
}
