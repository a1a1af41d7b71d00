//! What a client accepts (RFC 9110, section 12.5.1), as far as it decides the format of errors.

use http::header::ACCEPT;
use http::{HeaderMap, HeaderValue};

/// Whether the client asks for problem details (RFC 9457): `application/problem+json` is named, is acceptable
/// (not `q=0`), and is not ranked below `application/json`.
pub(crate) fn wants_problem(request: &HeaderMap) -> bool {
    let lines = || request.get_all(ACCEPT).iter().map(HeaderValue::as_bytes);
    // Runs for every request; no other common media range has a plus sign.
    if !lines().any(|line| memchr::memchr(b'+', line).is_some()) {
        return false;
    }
    let weight = |kind: &str| {
        let ranges = lines().flat_map(|line| parts(line, b','));
        ranges.filter_map(|range| weight_of(range, kind)).max()
    };
    match weight("application/problem+json") {
        None | Some(0) => false,
        Some(problem) => problem >= weight("application/json").unwrap_or(0),
    }
}

/// The weight of a media range in thousandths, if it is this media type.
fn weight_of(range: &[u8], kind: &str) -> Option<u16> {
    let mut parts = parts(range, b';');
    if !parts.next()?.trim_ascii().eq_ignore_ascii_case(kind.as_bytes()) {
        return None;
    }
    let weight = parts.find_map(|parameter| {
        let (name, value) = std::str::from_utf8(parameter).ok()?.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then(|| thousandths(value.trim())).flatten()
    });
    Some(weight.unwrap_or(1000))
}

/// A weight from 0 to 1 with at most three decimals; a weight that is not valid is ignored.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if !["0", "1"].contains(&whole) || decimals.len() > 3 || !decimals.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(format!("{whole}{decimals:0<3}").parse::<u16>().ok()?.min(1000))
}

/// The parts between separators. A separator within quotes does not separate.
fn parts(value: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    value.split(move |byte| {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_quoted,
            b'"' => is_quoted = !is_quoted,
            byte => return *byte == separator && !is_quoted,
        }
        false
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wants(lines: &[&[u8]]) -> bool {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(ACCEPT, HeaderValue::from_bytes(line).unwrap());
        }
        wants_problem(&headers)
    }

    #[test]
    fn problem_details_are_for_who_names_them() {
        for lines in [
            &[&b"application/problem+json"[..]][..],
            &[b"Application/Problem+JSON ; q=0.001"],
            &[b"text/html", b"application/json, application/problem+json"],
            &[b"text/\xe9, application/problem+json"],
            &[b"application/problem+json;profile=\"a,b;q=0\""],
            &[b"application/problem+json;q=2"],
            &[b"application/json;q=0.5,application/problem+json;q=0.5"],
        ] {
            assert!(wants(lines), "{lines:?}");
        }
    }

    #[test]
    fn what_is_not_acceptable_or_behind_json_is_not_chosen() {
        for lines in [
            &[][..],
            &[&b"*/*"[..]],
            &[b"application/*"],
            &[b"application/problem+xml"],
            &[b"application/problem+json;q=0"],
            &[b"application/problem+json; Q=0.000, */*"],
            &[b"application/problem+json;profile=\"a,b\";q=0."],
            &[b"application/json", b"application/problem+json;q=0.9"],
        ] {
            assert!(!wants(lines), "{lines:?}");
        }
    }
}
