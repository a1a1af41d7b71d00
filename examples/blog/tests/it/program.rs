//! The blog as a program, on a socket.

use doorwarden_testkit::sqlite_path;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

struct Running {
    child: Child,
    address: String,
}

impl Running {
    /// Starts the blog of this directory on a free port, which its log names.
    fn start(directory: &Path) -> Self {
        let mut program = program(directory);
        let mut child = program.env("BLOG_LISTEN", "127.0.0.1:0").spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let line = log.find(|line| line.contains("http://")).expect("the log names the address");
        let address = line.split("http://").nth(1).unwrap().split(',').next().unwrap().to_owned();
        // The log must be read to the end, or the blog could not write any more.
        std::thread::spawn(move || log.for_each(drop));
        Self { child, address }
    }

    fn call(&self, method: &str, path: &str, token: &str, body: &Value) -> (u16, Value) {
        let authorization =
            if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
        let body = body.to_string();
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: blog\r\nConnection: close\r\n{authorization}\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), serde_json::from_str(body).unwrap_or_default())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The blog may have ended already, which has failed the test.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_example-blog"));
    command.current_dir(directory).stderr(Stdio::piped()).env("NO_COLOR", "1");
    command
}

#[test]
fn the_program_keeps_its_data_and_shows_the_address_of_a_session() {
    let (directory, _) = sqlite_path();
    let blog = Running::start(directory.path());
    let jane = json!({"email": "jane@example.com", "username": "jane", "password": "correct horse battery",
                      "display_name": "Jane Doe"});
    let (status, answer) = blog.call("POST", "/registration", "", &jane);
    assert_eq!(status, 201, "{answer}");
    let token = answer["token"].as_str().unwrap();
    let post = json!({"title": "Hello", "body": "Once upon a time."});
    assert_eq!(blog.call("POST", "/posts", token, &post).0, 403);

    let made = program(directory.path()).args(["author", "jane@example.com"]).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let start = std::time::Instant::now();
    while blog.call("POST", "/posts", token, &post).0 != 201 {
        assert!(start.elapsed().as_secs() < 5, "another process granted it long ago");
    }
    let (_, sessions) = blog.call("GET", "/sessions", token, &Value::Null);
    assert_eq!(sessions[0]["address"], "127.0.0.1", "{sessions}");
    drop(blog);

    let blog = Running::start(directory.path());
    assert_eq!(blog.call("GET", "/posts/1", "", &Value::Null).1["author"], "Jane Doe");
    assert_eq!(blog.call("GET", "/profile", token, &Value::Null).1["posts"], 1, "the token is still valid");
}

#[test]
fn an_author_must_be_registered() {
    let (directory, _) = sqlite_path();
    let made = program(directory.path()).args(["author", "nobody@example.com"]).output().unwrap();
    assert!(!made.status.success());
    assert!(
        String::from_utf8(made.stderr)
            .unwrap()
            .contains("no user has the email address `nobody@example.com`")
    );
}
