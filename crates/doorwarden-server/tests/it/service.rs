//! The running service, and requests to it over sockets.

use crate::site::Site;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A service that is killed when it is dropped.
pub(crate) struct Service {
    pub(crate) port: u16,
    pub(crate) child: Child,
}

/// A free port.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Service {
    /// Starts the service and waits until it answers.
    pub(crate) fn start(site: &Site, port: u16) -> Self {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(site.path("log")).unwrap();
        Self::start_as(site, port, &[], log.into())
    }

    /// As [`start`](Self::start), with these variables.
    pub(crate) fn start_with(site: &Site, port: u16, variables: &[(&str, &str)]) -> Self {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(site.path("log")).unwrap();
        let mut command = site.command(&[]);
        command.envs(variables.iter().copied());
        Self::run(site, port, command, log.into())
    }

    /// As [`start`](Self::start), through a command that executes the service, and with this as standard
    /// error.
    pub(crate) fn start_as(site: &Site, port: u16, behind: &[&str], log: Stdio) -> Self {
        Self::run(site, port, site.command_behind(behind, &[]), log)
    }

    fn run(site: &Site, port: u16, mut command: Command, log: Stdio) -> Self {
        command.args(["serve", "--listen", &format!("127.0.0.1:{port}")]);
        if !site.environment().contains_key("DOORWARDEN_METRICS_LISTEN") {
            command.env("DOORWARDEN_METRICS_LISTEN", "off");
        }
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.stderr(log).spawn().unwrap();
        let service = Self { port, child };
        let began = Instant::now();
        while service.status("GET", "/readyz", "") != Some(200) {
            let log = || std::fs::read_to_string(site.path("log")).unwrap_or_default();
            assert!(began.elapsed() < Duration::from_secs(30), "the service does not come up:\n{}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
        service
    }

    /// The status of a response; `None` if there is none.
    pub(crate) fn status(&self, method: &str, path: &str, body: &str) -> Option<u16> {
        self.call(method, path, "", body).map(|(status, _)| status)
    }

    /// Status and complete response; `None` if there is none.
    pub(crate) fn call(&self, method: &str, path: &str, token: &str, body: &str) -> Option<(u16, String)> {
        call(self.port, method, path, token, body).ok()
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// As `kill -9` does.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends SIGTERM; returns the exit status and the time until it.
    pub(crate) fn terminate(mut self) -> (ExitStatus, Duration) {
        let began = Instant::now();
        send(&self.child, Signal::TERM);
        (self.child.wait().unwrap(), began.elapsed())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal to a child process.
pub(crate) fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// The token in the answer of a login.
pub(crate) fn token_of(answer: &str) -> &str {
    answer.split("\"token\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap()
}

/// Sends one request over a new connection.
pub(crate) fn call(
    port: u16,
    method: &str,
    path: &str,
    token: &str,
    body: &str,
) -> std::io::Result<(u16, String)> {
    let authorization =
        if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{authorization}\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let answer = exchange(port, &[head.as_bytes(), body.as_bytes()].concat())?;
    let status = answer.get(9..12).and_then(|digits| digits.parse().ok());
    let status = status.ok_or_else(|| std::io::Error::other(format!("no answer: {answer:?}")))?;
    Ok((status, answer))
}

/// Sends bytes and reads until the other side closes, or five seconds pass without a byte.
pub(crate) fn exchange(port: u16, bytes: &[u8]) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    // A server that refuses early may close before everything is sent.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let mut piece = [0; 16 * 1024];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => answer.extend_from_slice(&piece[..read]),
            Err(error) if answer.is_empty() => return Err(error),
            Err(_) => break,
        }
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
