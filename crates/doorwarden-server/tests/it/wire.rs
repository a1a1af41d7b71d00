//! Requests on the socket: limits, malformed and pipelined requests, and what is logged.

use crate::service::{Service, exchange, free_port, token_of};
use crate::site::Site;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

fn service() -> (Site, Service) {
    let site = Site::sqlite();
    let service = Service::start(&site, free_port());
    (site, service)
}

fn status(answer: &str) -> u16 {
    answer.get(9..12).and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

#[test]
fn oversized_requests_are_refused_in_json() {
    let (_site, service) = service();
    let send = |request: String| exchange(service.port, request.as_bytes()).unwrap();
    let many = "X-Many: 1\r\n".repeat(101);
    let long = "a".repeat(17 * 1024);
    for (request, expected) in [
        (format!("GET /me HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{many}\r\n"), 431),
        (format!("GET /me HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Long: {long}\r\n\r\n"), 431),
        (format!("GET /me?{} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", &long[..9 * 1024]), 414),
        // Refused because of its announced length; the body never arrives.
        ("POST /login HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 65537\r\n\r\n".to_owned(), 413),
    ] {
        let answer = send(request);
        assert_eq!(status(&answer), expected, "{answer}");
        assert!(answer.contains("content-type: application/json") && answer.contains("{\"detail\":"), "{answer}");
    }
}

#[test]
fn a_request_of_ambiguous_length_is_refused_and_the_connection_closed() {
    let (_site, service) = service();
    let second = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    for headers in [
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: 5,6\r\n",
        "Content-Length : 5\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "X-Folded: a\r\n b\r\n",
    ] {
        let request = format!("POST /login HTTP/1.1\r\nHost: x\r\n{headers}\r\nhello{second}");
        let answer = exchange(service.port, request.as_bytes()).unwrap();
        assert_eq!(status(&answer), 400, "{headers:?} {answer}");
        assert!(!answer.contains("\"status\":\"ok\""), "what follows is no request: {headers:?} {answer}");
    }
    // With both lengths the chunks are used (RFC 9112, section 6.3), or the request is refused; the rest is
    // never a second request.
    let both = format!(
        "POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\
         Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n{second}"
    );
    let answer = exchange(service.port, both.as_bytes()).unwrap();
    assert_eq!(status(&answer), 400, "{answer}");
    for body in ["zz\r\n", "-1\r\n", "fffffffffffffffff\r\n", "2\r\n{}x\r\n0\r\n\r\n"] {
        let request = format!(
            "POST /login HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Transfer-Encoding: chunked\r\n\r\n{body}"
        );
        let answer = exchange(service.port, request.as_bytes()).unwrap_or_default();
        assert!(matches!(status(&answer), 0 | 400), "{body:?} {answer}");
    }
    assert_eq!(service.status("GET", "/healthz", ""), Some(200));
}

#[test]
fn an_endless_header_times_out_after_ten_seconds() {
    use std::io::{Read, Write};
    use std::time::{Duration, Instant};
    let (_site, service) = service();
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", service.port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\n").unwrap();
    let began = Instant::now();
    // Single bytes do not extend the time limit.
    while stream.write_all(b"X").is_ok() {
        match stream.read(&mut [0; 1024]) {
            Ok(0) => break,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            _ => assert!(began.elapsed() < Duration::from_secs(15), "it is still open"),
        }
    }
    assert!(began.elapsed() > Duration::from_secs(8), "{:?}", began.elapsed());
}

#[test]
fn requests_on_one_connection_are_answered_in_order() {
    let (_site, service) = service();
    let request = |path: &str, close: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n{close}\r\n");
    let three =
        [request("/healthz", ""), request("/nowhere", ""), request("/me", "Connection: close\r\n")].concat();
    let answer = exchange(service.port, three.as_bytes()).unwrap();
    let statuses: Vec<_> =
        answer.match_indices("HTTP/1.1 ").map(|(at, _)| &answer[at + 9..at + 12]).collect();
    assert_eq!(statuses, ["200", "404", "401"], "{answer}");
}

#[test]
fn unusual_methods_and_expectations_get_an_answer() {
    let (_site, service) = service();
    let send = |request: &str| exchange(service.port, request.as_bytes()).unwrap();
    assert_eq!(status(&send("TRACE /me HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")), 405);
    let head = send("HEAD /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(status(&head) == 200 && head.ends_with("\r\n\r\n"), "{head}");
    let expect = "POST /login HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}";
    assert!(send(expect).contains("HTTP/1.1 400"));
    let bytes = exchange(
        service.port,
        b"GET /me HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer \xff\xfe\r\n\r\n",
    );
    assert_eq!(status(&bytes.unwrap()), 401);
    assert_eq!(status(&send("GET /me\r\n\r\n")), 400);
}

#[test]
fn the_log_contains_no_secrets_and_no_forged_lines() {
    let (site, service) = service();
    let canary = "Canary-7f3a-horse";
    let account = format!(
        r#"{{"email": "jane@example.com", "username": "jane\n{{\"level\":\"ERROR\"}}", "password": "{canary}"}}"#
    );
    assert_eq!(
        service.status("POST", "/registration", &account),
        Some(400),
        "a line feed is no part of a name"
    );
    let account = format!(r#"{{"email": "jane@example.com", "username": "jane", "password": "{canary}"}}"#);
    let (_, answer) = service.call("POST", "/registration", "", &account).unwrap();
    let token = token_of(&answer).to_owned();
    assert_eq!(service.status("POST", "/login", &account.replace("Canary-", "Wrong-Canary-")), Some(400));
    assert_eq!(service.call("GET", "/me", &token, "").unwrap().0, 200);
    assert_eq!(service.call("GET", &format!("/me?access_token={token}"), "", "").unwrap().0, 401);
    assert_eq!(service.call("GET", "/\u{1b}[31m", "", "").map_or(400, |(status, _)| status) / 100, 4);
    let (ended, _) = service.terminate();
    assert!(ended.success());
    let log = std::fs::read_to_string(site.path("log")).unwrap();
    assert!(log.contains("an account was created"), "{log}");
    for secret in [canary, &token, token.rsplit('.').next().unwrap(), "jane"] {
        assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
    }
    for line in log.lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line:?}");
        assert!(!line.contains(char::is_control), "{line:?}");
    }
}

#[test]
fn an_ambiguous_request_closes_its_connection() {
    let (_site, service) = service();
    let second = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    let json = "POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    let chunks = "\r\n2\r\n{}\r\n0\r\n\r\n";
    for request in [
        "GET /healthz HTTP/1.1\r\n\r\n".to_owned(),
        "GET /healthz HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n".to_owned(),
        "GET /healthz HTTP/1.1\r\nHost: x\rX: y\r\n\r\n".to_owned(),
        format!("{json}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n{chunks}"),
        format!("{json}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n{chunks}"),
        format!("{json}Transfer-Encoding: gzip, chunked\r\n{chunks}"),
        format!("{json}Transfer-Encoding: chunked, chunked\r\n{chunks}"),
        format!("{json}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n{chunks}"),
        format!("{json}Transfer-Encoding: \u{b}chunked\r\n{chunks}"),
        format!("{json}Transfer-Encoding: chunked\r\n\r\n2;a\n{{}}\r\n0\r\n\r\n"),
        format!("{}Transfer-Encoding: chunked\r\n{chunks}", json.replace("1.1", "1.0")),
    ] {
        let began = std::time::Instant::now();
        let answer = exchange(service.port, format!("{request}{second}").as_bytes()).unwrap();
        assert_eq!(status(&answer), 400, "{request:?} {answer}");
        assert_eq!(answer.matches("HTTP/1.").count(), 1, "what follows is no request: {request:?} {answer}");
        assert!(began.elapsed().as_secs() < 4, "it is closed: {request:?}");
    }
    let two = format!("{json}transfer-encoding: Chunked\r\n{chunks}{json}Connection: close\r\n\r\n");
    let answer = exchange(service.port, two.as_bytes()).unwrap();
    assert_eq!(
        answer.matches("HTTP/1.1 400").count(),
        2,
        "chunks are read to their end, and no further: {answer}"
    );
    let old = exchange(service.port, b"GET /healthz HTTP/1.0\r\n\r\n").unwrap();
    assert_eq!(status(&old), 200, "HTTP/1.0 knows no Host");
}

#[test]
fn a_body_that_is_too_large_is_refused_while_it_is_being_sent() {
    let (_site, service) = service();
    let json = "POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    let chunk = format!("4000\r\n{}\r\n", "a".repeat(0x4000));
    // The end never arrives.
    let endless = format!("{json}Transfer-Encoding: chunked\r\n\r\n{}", chunk.repeat(5));
    assert_eq!(status(&exchange(service.port, endless.as_bytes()).unwrap()), 413);
    let announced = format!("{json}Expect: 100-continue\r\nContent-Length: 70000\r\n\r\n");
    let answer = exchange(service.port, announced.as_bytes()).unwrap();
    assert_eq!(status(&answer), 413, "not asked to go on: {answer}");
}

/// Whether the server closes the connection within this time.
fn closes_within(stream: &TcpStream, time: Duration) -> bool {
    stream.set_read_timeout(Some(time)).unwrap();
    matches!((&mut &*stream).read(&mut [0; 512]), Ok(0))
}

#[test]
fn an_idle_connection_is_closed_after_keep_alive() {
    let site = Site::sqlite().env("DOORWARDEN_HTTP_KEEP_ALIVE", "1s");
    let service = Service::start(&site, free_port());
    let mut stream = TcpStream::connect(("127.0.0.1", service.port)).unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    assert!(stream.read(&mut [0; 2048]).unwrap() > 0);
    assert!(closes_within(&stream, Duration::from_secs(8)), "idle for longer than a second");
}

#[test]
fn a_service_at_its_connection_limit_still_stops_on_a_signal() {
    let site = Site::sqlite().env("DOORWARDEN_MAX_CONNECTIONS", "1");
    let service = Service::start(&site, free_port());
    let mut stream = TcpStream::connect(("127.0.0.1", service.port)).unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    assert!(stream.read(&mut [0; 2048]).unwrap() > 0);
    let (ended, took) = service.terminate();
    assert!(ended.success() && took < Duration::from_secs(8), "{ended} after {took:?}");
}

#[test]
fn one_address_cannot_take_every_stream_and_clients_have_reserved_streams() {
    // The SHA-256 of "secret".
    let hash = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
    let site = Site::sqlite().env("DOORWARDEN_OAUTH_CLIENTS", &format!("billing={hash}"));
    let service = Service::start(&site, free_port());
    let open = |authorization: &str| {
        let mut stream = TcpStream::connect(("127.0.0.1", service.port)).unwrap();
        let request =
            format!("GET /.well-known/revocations/stream HTTP/1.1\r\nHost: x\r\n{authorization}\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        (String::from_utf8_lossy(&answer[9..]).into_owned(), stream)
    };
    let held: Vec<_> = (0..128).map(|_| open("")).collect();
    assert!(held.iter().all(|(status, _)| status == "200"));
    assert_eq!(open("").0, "503");
    assert_eq!(open("Authorization: Basic YmlsbGluZzpndWVzcw==\r\n").0, "503", "a wrong secret");
    assert_eq!(open("Authorization: Basic YmlsbGluZzpzZWNyZXQ=\r\n").0, "200");
}
