//! A terminal for the program, from util-linux' `script`.

use crate::site::Site;
use doorwarden_testkit::skip;
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How long output may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// The program's path, quoted for the shell.
pub(crate) const PROGRAM: &str = concat!("'", env!("CARGO_BIN_EXE_doorwarden"), "'");

/// A command that runs on a terminal.
pub(crate) struct Terminal {
    child: Child,
    keyboard: ChildStdin,
    screen: Receiver<String>,
    seen: String,
    /// The output before the last input.
    read: usize,
}

impl Terminal {
    /// Starts a command. `None`, and a note of the skipped test, if there is no `script`.
    pub(crate) fn start(site: &Site, arguments: &[&str]) -> Option<Self> {
        let quoted = arguments.iter().map(|argument| format!("'{argument}'"));
        let line = [PROGRAM.to_owned()].into_iter().chain(quoted).collect::<Vec<_>>().join(" ");
        Self::start_line(site, &line)
    }

    /// Starts a line of the shell. `None`, and a note of the skipped test, if there is no `script`.
    pub(crate) fn start_line(site: &Site, line: &str) -> Option<Self> {
        let version = Command::new("script").arg("--version").output();
        if !version.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("util-linux")) {
            skip("a test on a terminal", "there is no `script` of util-linux");
            return None;
        }
        let mut child = Command::new("script")
            .args(["-qec", line, "/dev/null"])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(site.environment())
            .current_dir(site.folder())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let (sender, screen) = channel();
        let mut output = child.stdout.take().unwrap();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                if sender.send(String::from_utf8_lossy(&bytes[..count]).into_owned()).is_err() {
                    return;
                }
            }
        });
        let keyboard = child.stdin.take().unwrap();
        Some(Self { child, keyboard, screen, seen: String::new(), read: 0 })
    }

    /// Waits until this text is printed after the last input.
    #[track_caller]
    pub(crate) fn sees(&mut self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(place) = self.seen[self.read..].find(text) {
                self.read += place + text.len();
                return;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(more) = self.screen.recv_timeout(left) else {
                panic!("\"{text}\" did not appear:\n{}", self.seen);
            };
            self.seen += &more;
        }
    }

    /// The rest of the line after what was seen last.
    #[track_caller]
    pub(crate) fn line(&mut self) -> String {
        let before = self.read;
        self.sees("\n");
        self.seen[before..self.read].trim_end().to_owned()
    }

    /// Types a line.
    pub(crate) fn types(&mut self, line: &str) {
        self.press(&format!("{line}\n"));
    }

    /// Types a line at a password prompt, a moment after it appeared, because echo is disabled only then.
    pub(crate) fn types_hidden(&mut self, line: &str) {
        std::thread::sleep(Duration::from_millis(150));
        self.types(line);
    }

    /// Presses keys.
    pub(crate) fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
        self.keyboard.flush().unwrap();
    }

    /// Waits for the exit; returns the exit status and the whole output.
    pub(crate) fn ends(mut self) -> (Option<i32>, String) {
        while let Ok(more) = self.screen.recv_timeout(PATIENCE) {
            self.seen += &more;
        }
        let code = self.child.wait().unwrap().code();
        (code, self.seen)
    }
}
