use serde::Deserialize;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What to send, and how.
#[derive(Debug, Deserialize)]
pub struct Job {
    /// `127.0.0.1:8000`
    pub address: String,
    pub connections: usize,
    pub seconds: f64,
    /// Requests per second, sent when they are due whether or not earlier ones were answered. Without a rate
    /// each connection sends the next request as soon as it has the response.
    pub rate: Option<f64>,
    /// The requests, sent in turn. `{n}` in a body becomes a number that no other request has.
    #[serde(default)]
    pub requests: Vec<Request>,
    /// Instead of `requests`: one refresh token for each connection, exchanged again and again at
    /// `POST /token/refresh`.
    #[serde(default)]
    pub refresh: Vec<String>,
    /// The first value of `{n}`.
    #[serde(default)]
    pub first_number: u64,
    /// How long each connection waits after a response other than 2xx, so that refusals do not cause a flood
    /// of requests.
    #[serde(default)]
    pub pause_ms: u64,
    #[serde(skip)]
    sent: AtomicU64,
}

#[derive(Debug, Deserialize)]
pub struct Request {
    pub method: String,
    pub path: String,
    #[serde(default)]
    pub token: Option<String>,
    #[serde(default)]
    pub body: Option<String>,
}

impl Job {
    /// What connection `index` sends as its `turn`-th request.
    pub fn bytes(&self, index: usize, turn: usize, refresh: Option<&str>) -> Vec<u8> {
        if let Some(token) = refresh {
            return render("POST", "/token/refresh", None, Some(&format!("{{\"refresh\":\"{token}\"}}")));
        }
        // Connections begin at different requests, and go through all.
        let place = (index * self.requests.len() / self.connections + turn) % self.requests.len();
        let request = &self.requests[place];
        let body = request.body.as_deref().map(|body| match body.contains("{n}") {
            true => body.replace("{n}", &(self.first_number + self.sent.fetch_add(1, Relaxed)).to_string()),
            false => body.to_owned(),
        });
        render(&request.method, &request.path, request.token.as_deref(), body.as_deref())
    }

    /// The request, if the job has only one.
    pub fn constant(&self) -> Option<Vec<u8>> {
        let [only] = &self.requests[..] else { return None };
        let varies = only.body.as_deref().is_some_and(|body| body.contains("{n}"));
        (!varies).then(|| self.bytes(0, 0, None))
    }
}

fn render(method: &str, path: &str, token: Option<&str>, body: Option<&str>) -> Vec<u8> {
    let mut text =
        format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\naccept: */*\r\nuser-agent: bench\r\n");
    if let Some(token) = token {
        text += &format!("authorization: Bearer {token}\r\n");
    }
    if let Some(body) = body {
        text += &format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len());
    }
    text += "\r\n";
    text += body.unwrap_or_default();
    text.into_bytes()
}
