//! The part of HTTP/1.1 that a client of known servers needs: responses with a length.

/// The head of a response.
#[derive(Debug, Clone, Copy)]
pub struct Head {
    pub status: u16,
    /// Bytes of head and body together.
    pub length: usize,
    /// The offset of the body.
    pub body: usize,
    /// Whether the server closes the connection.
    pub close: bool,
}

/// The head at the beginning of the received bytes, if it is complete.
pub fn head(bytes: &[u8]) -> Option<Head> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let status = std::str::from_utf8(&bytes[9..12]).ok()?.parse().ok()?;
    let (mut length, mut close) = (0, bytes.starts_with(b"HTTP/1.0"));
    for line in bytes[..end].split(|byte| *byte == b'\n').skip(1) {
        if let Some(value) = value(line, b"content-length:") {
            length = std::str::from_utf8(value).ok()?.parse().ok()?;
        } else if let Some(value) = value(line, b"connection:") {
            close |= value.eq_ignore_ascii_case(b"close");
        }
    }
    Some(Head { status, length: end + length, body: end, close })
}

fn value<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let matches = line.len() > name.len() && line[..name.len()].eq_ignore_ascii_case(name);
    matches.then(|| line[name.len()..].trim_ascii())
}

/// The value of a text member of a JSON object; enough for tokens, which need no escapes.
pub fn member(body: &[u8], name: &str) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let (_, rest) = text.split_once(&format!("\"{name}\":\""))?;
    Some(rest.split_once('"')?.0.to_owned())
}
