use axum::response::Response;
use doorwarden::ApiError;
use http::header::{CONNECTION, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Request, StatusCode, Version};

/// The response to an ambiguous request that hyper accepts: RFC 9112 requires exactly one `Host` (section
/// 3.2), and `chunked` is the only transfer coding supported here (section 6.1). The connection is closed,
/// because the bytes that follow may not be a request.
pub(super) fn refused<B>(request: &Request<B>) -> Option<Response> {
    let text = if request.version() == Version::HTTP_11 && !is_single(request.headers(), HOST) {
        "Exactly one Host header field is needed."
    } else if request.headers().contains_key(TRANSFER_ENCODING) && !is_chunked(request.headers()) {
        "No transfer coding but chunked is understood."
    } else {
        return None;
    };
    let error = ApiError::detail(StatusCode::BAD_REQUEST, "invalid_request", text);
    Some(error.header(CONNECTION, HeaderValue::from_static("close")).render(request.headers()))
}

fn is_single(headers: &HeaderMap, name: http::HeaderName) -> bool {
    headers.get_all(name).iter().count() == 1
}

fn is_chunked(headers: &HeaderMap) -> bool {
    is_single(headers, TRANSFER_ENCODING)
        && headers
            .get(TRANSFER_ENCODING)
            .is_some_and(|value| value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"))
}
