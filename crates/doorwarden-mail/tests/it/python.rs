//! Programs of Python in `tests`, with the packages that `scripts/setup python` installs.

use doorwarden_testkit::skip;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The command that runs a program of this crate's tests, if Python is there.
pub(crate) fn command(program: &str) -> Option<Command> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("../../target/python/bin/python");
    let mut command = Command::new(&python);
    command.arg(root.join("tests").join(program));
    python.exists().then_some(command)
}

/// What the program prints for this input, if Python is there.
pub(crate) fn run(program: &str, input: &str) -> Option<String> {
    let mut child = command(program)?.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    Some(String::from_utf8(output.stdout).unwrap())
}

/// Records that a test was skipped.
pub(crate) fn missing(test: &str) {
    skip(test, "its Python packages are not installed. hint: scripts/setup python");
}
