//! A server that speaks Redis's protocol, for one test.

#![expect(clippy::unwrap_used, reason = "these are tests: what must not fail ends the test with its line")]

use crate::skip;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The password of the server.
const PASSWORD: &str = "a-password-of-the-cache";

/// A Valkey or Redis that keeps nothing on disk. It ends when it is dropped.
#[derive(Debug)]
pub struct RedisServer {
    program: &'static str,
    port: u16,
    child: Option<Child>,
}

impl RedisServer {
    /// `None`, noted as skipped, if there is no such program.
    pub fn start() -> Option<Self> {
        let programs = ["/usr/bin/valkey-server", "/usr/bin/redis-server", "/usr/local/bin/redis-server"];
        let Some(program) = programs.into_iter().find(|path| std::path::Path::new(path).exists()) else {
            let test = std::thread::current().name().unwrap_or("a test of Redis").to_owned();
            skip(&test, "neither valkey-server nor redis-server was found");
            return None;
        };
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = Self { program, port, child: None };
        server.run();
        Some(server)
    }

    /// Starts it, again if it was stopped: it has forgotten everything.
    pub fn run(&mut self) {
        let port = self.port.to_string();
        let child = Command::new(self.program)
            .args(["--bind", "127.0.0.1", "--port", &port, "--requirepass", PASSWORD, "--save", ""])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        self.child = Some(child.unwrap());
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(began.elapsed() < Duration::from_secs(20), "{} does not come up", self.program);
            sleep(Duration::from_millis(5));
        }
    }

    /// Where it is, with its password.
    pub fn url(&self) -> String {
        format!("redis://:{PASSWORD}@127.0.0.1:{}", self.port)
    }

    /// Kills it.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.stop();
    }
}
