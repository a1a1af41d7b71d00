//! An installation to try commands on.

use doorwarden_testkit::{PostgresDatabase, TempDir, postgres_database, sqlite_path};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A key that looks random.
pub(crate) const SECRET_KEY: &str = "5f1c9e0a7d3b84621e7f90ac3d5b2846c0ffee11d2a94b7e83f5061a9b8c7d6e";

/// A directory, an environment, and possibly a PostgreSQL database.
pub(crate) struct Site {
    folder: TempDir,
    environment: BTreeMap<String, String>,
    _database: Option<PostgresDatabase>,
}

impl Site {
    /// An empty directory: SQLite, by default.
    pub(crate) fn empty() -> Self {
        let (folder, _) = sqlite_path();
        Self { folder, environment: BTreeMap::new(), _database: None }
    }

    /// A migrated SQLite database.
    pub(crate) fn sqlite() -> Self {
        let site = Self::empty();
        site.run(&["migrate"]).succeeds();
        site
    }

    /// A migrated PostgreSQL database, if a server is available.
    pub(crate) fn postgres() -> Option<Self> {
        let site = Self::empty_postgres()?;
        site.run(&["migrate"]).succeeds();
        Some(site)
    }

    /// An empty PostgreSQL database, if a server is available.
    pub(crate) fn empty_postgres() -> Option<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let database = runtime.block_on(postgres_database())?;
        let url = database.url.clone();
        let site = Self { _database: Some(database), ..Self::empty() };
        Some(site.env("DOORWARDEN_DATABASE_URL", &url).env("DOORWARDEN_SECRET_KEY", SECRET_KEY))
    }

    /// Sets an environment variable.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Writes a file to the directory.
    pub(crate) fn file(self, name: &str, text: &str) -> Self {
        std::fs::write(self.path(name), text).unwrap();
        self
    }

    /// A path in the directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The variables.
    pub(crate) fn environment(&self) -> &BTreeMap<String, String> {
        &self.environment
    }

    /// A command, not yet started.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.command_behind(&[], arguments)
    }

    /// A command executed through another one, such as `prlimit`.
    pub(crate) fn command_behind(&self, behind: &[&str], arguments: &[&str]) -> Command {
        let line = [behind, &[env!("CARGO_BIN_EXE_doorwarden")], arguments].concat();
        let mut command = Command::new(line[0]);
        command.args(&line[1..]).env_clear().envs(&self.environment).current_dir(self.folder.path());
        command
    }

    /// Runs a command with empty standard input.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(arguments, "")
    }

    /// Runs a command with this standard input.
    pub(crate) fn run_with(&self, arguments: &[&str], input: &str) -> Ran {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A program that does not read its input has not failed.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        Ran {
            what: arguments.join(" "),
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Creates a user without a password; returns the id as text.
    pub(crate) fn user(&self, name: &str) -> String {
        let email = format!("{name}@example.com");
        let user = self.run(&["user", "create", "--no-password", &email, name]).json();
        user["id"].to_string()
    }
}

/// The result of a command.
#[derive(Debug)]
pub(crate) struct Ran {
    what: String,
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// Asserts success, without warnings.
    #[track_caller]
    pub(crate) fn succeeds(self) -> Self {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{}\n{}", self.what, self.stdout);
        self
    }

    /// Asserts this exit status, and a message that contains this text.
    #[track_caller]
    pub(crate) fn fails(self, code: i32, message: &str) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}{}", self.what, self.stdout, self.stderr);
        assert!(self.stderr.contains(message), "{}\n{}", self.what, self.stderr);
        self
    }

    /// Asserts success, and returns the printed JSON.
    #[track_caller]
    pub(crate) fn json(self) -> Value {
        self.succeeds().value()
    }

    /// The printed JSON, whatever the exit status.
    #[track_caller]
    pub(crate) fn value(&self) -> Value {
        let Ok(value) = serde_json::from_str(&self.stdout) else { panic!("{}\n{}", self.what, self.stdout) };
        value
    }
}

/// Runs functions that take a [`Site`] as tests on each database.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[test] fn $name() { super::$name(&$crate::site::Site::sqlite()); })+
        }
        mod postgres {
            $(#[test] fn $name() {
                if let Some(site) = $crate::site::Site::postgres() {
                    super::$name(&site);
                }
            })+
        }
    };
}
pub(crate) use on_both;
