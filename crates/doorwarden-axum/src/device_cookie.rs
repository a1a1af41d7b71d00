//! The marks of devices: a cookie for browsers, and a member of the answer and a header for everybody else.

use doorwarden_core::limit::device::{DeviceMark, SentMarks};
use http::header::COOKIE;
use http::{HeaderMap, HeaderName, HeaderValue};

/// The prefix makes browsers insist on `Secure`, on `Path=/`, and on no `Domain` (RFC 6265bis, section
/// 4.1.3.2).
const NAME: &str = "__Host-doorwarden-device";
const HEADER: HeaderName = HeaderName::from_static("x-device-token");

/// The marks of a request: those of the header, and those of the cookie.
pub(crate) fn sent(headers: &HeaderMap) -> SentMarks {
    let by_header = headers.get_all(HEADER).iter().filter_map(|value| value.to_str().ok());
    let all: Vec<&str> = by_header.chain(of_cookie(headers)).collect();
    SentMarks::new(all.join("."))
}

/// The value of `Set-Cookie` that stores a mark in front of those that the browser has, of other accounts.
pub(crate) fn set(mark: &DeviceMark, headers: &HeaderMap) -> Option<HeaderValue> {
    let others = of_cookie(headers).flat_map(|marks| marks.split('.'));
    let kept: Vec<&str> = [mark.expose()]
        .into_iter()
        .chain(others.filter(|other| !mark.is_of_same_device(other) && is_mark(other)))
        .take(SentMarks::MOST)
        .collect();
    let (marks, seconds) = (kept.join("."), DeviceMark::LIFETIME.as_secs());
    let text = format!("{NAME}={marks}; Max-Age={seconds}; HttpOnly; Secure; SameSite=Lax; Path=/");
    HeaderValue::from_str(&text).ok()
}

fn is_mark(text: &str) -> bool {
    text.len() < 100 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

fn of_cookie(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';'));
    pairs
        .filter_map(|pair| pair.trim().strip_prefix(NAME)?.trim_start().strip_prefix('='))
        .map(str::trim)
        .take(1)
}
