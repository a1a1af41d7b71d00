//! Server-sent events (WHATWG HTML, section 9.2.6), as far as the feed uses them: the data of each event.

/// An incremental parser of a stream.
#[derive(Debug, Default)]
pub(super) struct Events {
    buffer: Vec<u8>,
    /// The length of the beginning of the buffer that is known to contain no line end.
    seen: usize,
    data: String,
}

/// An event is longer than a statement can be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

impl Events {
    const MAX_BYTES: usize = doorwarden_token::feed::MAX_BYTES + 1024;

    /// The data of the events that `bytes` complete.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<String>, TooLong> {
        self.buffer.extend_from_slice(bytes);
        let mut events = Vec::new();
        let mut done = 0;
        while let Some(end) = self.buffer[self.seen..].iter().position(|byte| *byte == b'\n') {
            let end = self.seen + end;
            let line = String::from_utf8_lossy(&self.buffer[done..end]);
            let line = line.strip_suffix('\r').unwrap_or(&line);
            if line.is_empty() {
                let data = std::mem::take(&mut self.data);
                events.extend(Some(data).filter(|data| !data.is_empty()));
            } else if let Some(data) = line.strip_prefix("data:") {
                self.data.push_str(data.strip_prefix(' ').unwrap_or(data));
            }
            done = end + 1;
            self.seen = done;
        }
        self.buffer.drain(..done);
        self.seen = self.buffer.len();
        if self.buffer.len() + self.data.len() > Self::MAX_BYTES { Err(TooLong) } else { Ok(events) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str =
        ": hello\r\n\r\nevent: revocations\nid: 7\ndata: a.b.c\n\ndata:d.e.f\r\n\r\ndata: cut";

    #[test]
    fn events_are_found_however_the_stream_is_split() {
        for size in 1..STREAM.len() {
            let mut events = Events::default();
            let chunks = STREAM.as_bytes().chunks(size);
            let found: Vec<String> = chunks.flat_map(|chunk| events.push(chunk).unwrap()).collect();
            assert_eq!(found, ["a.b.c", "d.e.f"], "in pieces of {size}");
        }
    }

    #[test]
    fn an_event_without_end_is_refused() {
        let mut events = Events::default();
        assert_eq!(events.push(&vec![b'a'; Events::MAX_BYTES]), Ok(vec![]));
        assert_eq!(events.push(b"a"), Err(TooLong));
    }
}
