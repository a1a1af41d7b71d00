//! The shortest program, tried as a user would.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const LINES: usize = 12;

#[test]
fn the_program_has_at_most_twelve_lines() {
    let program = include_str!("../src/main.rs");
    let code = program.lines().filter(|line| !line.trim().is_empty() && !line.starts_with("//")).count();
    assert!(code <= LINES, "{code} lines");
    assert!(program.lines().all(|line| line.len() <= 110), "no line is two");
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // The program may have ended already, which has failed the test.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn it_registers_logs_in_and_protects_a_route() {
    let (directory, _) = doorwarden_testkit::sqlite_path();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mut program = Command::new(env!("CARGO_BIN_EXE_example-minimal"));
    program.arg(&address).current_dir(directory.path()).stderr(Stdio::null());
    let _running = Running(program.spawn().unwrap());
    let start = Instant::now();
    while TcpStream::connect(&address).is_err() {
        assert!(start.elapsed() < Duration::from_secs(20), "it does not listen");
        std::thread::sleep(Duration::from_millis(5));
    }

    let jane = json!({"email": "jane@example.com", "username": "jane", "password": "correct horse battery"})
        .to_string();
    assert_eq!(call(&address, "GET", "/hello", "", "").0, 401);
    assert_eq!(call(&address, "POST", "/registration", "", &jane).0, 201);
    let (status, body) = call(&address, "POST", "/login", "", &jane);
    assert_eq!(status, 200, "{body}");
    let answer: Value = serde_json::from_str(&body).unwrap();
    let token = answer["token"].as_str().unwrap();
    assert_eq!(call(&address, "GET", "/hello", token, ""), (200, "Hello jane".to_owned()));
}

fn call(address: &str, method: &str, path: &str, token: &str, body: &str) -> (u16, String) {
    let authorization =
        if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{authorization}\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}
