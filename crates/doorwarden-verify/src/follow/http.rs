//! The little of an HTTP client that is needed: GET from one host. No redirect is followed, to wherever it leads.

use super::BuildError;
use bytes::Bytes;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HOST, IF_NONE_MATCH, USER_AGENT};
use http::uri::Scheme;
use http::{HeaderMap, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// How long connecting and answering may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where the issuer is reached.
pub(super) struct Issuer {
    /// Without a slash at the end.
    url: String,
    /// Of the URL, without a slash at the end.
    path: String,
    /// For the header `Host`.
    authority: String,
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

/// Something was not fetched.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("there is no connection: {0}")]
    Connect(#[from] std::io::Error),
    #[error("the connection broke: {0}")]
    Broken(#[from] hyper::Error),
    #[error("there was no answer in time")]
    Timeout,
    #[error("the answer was {0}")]
    Status(StatusCode),
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
    #[error("the answer is not of the expected kind")]
    NotExpected,
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
        let tls = match is_tls {
            true => {
                let name = ServerName::try_from(host.clone()).map_err(|_| BuildError::Address)?;
                Some((connector()?, name))
            }
            false => None,
        };
        Ok(Self {
            url: url.trim_end_matches('/').to_owned(),
            path: uri.path().trim_end_matches('/').to_owned(),
            authority: authority.as_str().to_owned(),
            port: authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 }),
            host,
            tls,
        })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// The answer to GET, if it is 200 and of one of these media types, or 304. `is_fresh`: no cache in between may answer by itself.
    pub(super) async fn get(
        &self,
        path: &str,
        accept: &[&'static str],
        etag: Option<&http::HeaderValue>,
        is_fresh: bool,
    ) -> Result<Response<Incoming>, FetchError> {
        let mut request = Request::get(format!("{}{path}", self.path))
            .header(HOST, &self.authority)
            .header(USER_AGENT, concat!("doorwarden-verify/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, accept.join(", "));
        if let Some(etag) = etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        if is_fresh {
            request = request.header(CACHE_CONTROL, "no-cache");
        }
        let request = request.body(Empty::new()).map_err(|_| FetchError::NotExpected)?;
        let response = timeout(PATIENCE, self.send(request)).await.map_err(|_| FetchError::Timeout)??;
        match response.status() {
            StatusCode::NOT_MODIFIED if etag.is_some() => Ok(response),
            StatusCode::OK if is_one_of(response.headers(), accept) => Ok(response),
            StatusCode::OK => Err(FetchError::NotExpected),
            status => Err(FetchError::Status(status)),
        }
    }

    async fn send(&self, request: Request<Empty<Bytes>>) -> Result<Response<Incoming>, FetchError> {
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await?;
        tcp.set_nodelay(true)?;
        // Each connection ends with its answer: the body drives it, and nobody can send on it again.
        let mut sender = if let Some((connector, name)) = &self.tls {
            let tls = connector.connect(name.clone(), tcp).await?;
            let (sender, connection) = http1::handshake(TokioIo::new(tls)).await?;
            tokio::spawn(connection);
            sender
        } else {
            let (sender, connection) = http1::handshake(TokioIo::new(tcp)).await?;
            tokio::spawn(connection);
            sender
        };
        Ok(sender.send_request(request).await?)
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

fn connector() -> Result<TlsConnector, BuildError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map_or_else(|| "there are none".to_owned(), ToString::to_string);
        return Err(BuildError::Roots(why));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider supports the default versions of TLS")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_that_of_the_issuer_and_nothing_more() {
        let issuer = Issuer::parse("http://[::1]:8000/id/", false).unwrap();
        assert_eq!((issuer.host.as_str(), issuer.port, issuer.path.as_str()), ("::1", 8000, "/id"));
        assert_eq!((issuer.authority.as_str(), issuer.url()), ("[::1]:8000", "http://[::1]:8000/id"));
        for wrong in
            ["", "id.example", "ftp://id.example", "https://", "https://a@id.example", "https://id.example?a"]
        {
            assert!(matches!(Issuer::parse(wrong, true), Err(BuildError::Address)), "{wrong}");
        }
    }

    #[test]
    fn plain_http_must_be_asked_for_beyond_this_machine() {
        assert!(matches!(Issuer::parse("http://id.example", false), Err(BuildError::Insecure)));
        assert_eq!(Issuer::parse("http://id.example", true).map(|issuer| issuer.port).ok(), Some(80));
        for here in ["http://localhost:1", "http://127.0.0.2:1"] {
            assert!(Issuer::parse(here, false).is_ok(), "{here}");
        }
    }
}
