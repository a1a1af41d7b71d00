//! How a command ends that did not do what was asked: a sentence for people, an exit code for scripts.

use doorwarden::core::flow::FlowError;
use doorwarden::core::keys::KeysError;
use doorwarden::core::store::{GrantError, MigrateError, StoreError};
use doorwarden::{BuildError, CreateUserError, FieldErrors};
use std::process::ExitCode;

/// A command failed. Exit codes as in `sysexits.h` where they fit.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    text: String,
}

impl Failure {
    /// 1: the answer is no (something is wrong that the command was to find, or a rule was broken).
    pub(crate) fn no(text: impl Into<String>) -> Self {
        Self { code: 1, text: text.into() }
    }

    /// 2: the command line is wrong.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self { code: 2, text: text.into() }
    }

    /// 3: there is no such user, group or permission.
    pub(crate) fn not_found(text: impl Into<String>) -> Self {
        Self { code: 3, text: text.into() }
    }

    /// 69: the database cannot be reached.
    pub(crate) fn unavailable(text: impl Into<String>) -> Self {
        Self { code: 69, text: text.into() }
    }

    /// 70: a fault of the program.
    pub(crate) fn software(text: impl Into<String>) -> Self {
        Self { code: 70, text: text.into() }
    }

    /// 74: a file or stream cannot be read or written.
    pub(crate) fn io(text: impl Into<String>) -> Self {
        Self { code: 74, text: text.into() }
    }

    /// 78: the configuration is wrong.
    pub(crate) fn config(text: impl Into<String>) -> Self {
        Self { code: 78, text: text.into() }
    }

    /// 130: interrupted.
    pub(crate) fn interrupted() -> Self {
        Self { code: 130, text: "Operation cancelled.".to_owned() }
    }

    /// Whether it may be different in a moment: the database cannot be reached.
    pub(crate) fn may_pass(&self) -> bool {
        self.code == 69
    }

    /// What is told to people.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Tells people, and gives the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        if !self.text.is_empty() {
            crate::output::tell(&format!("doorwarden: {}", self.text));
        }
        ExitCode::from(self.code)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::Interrupted => Self::interrupted(),
            // Nobody reads on, as in `doorwarden user list | head`: that is no failure.
            std::io::ErrorKind::BrokenPipe => Self { code: 0, text: String::new() },
            _ => Self::io(error.to_string()),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => Self::unavailable(error.to_string()),
            StoreError::Failed(_) => Self::software(error.to_string()),
        }
    }
}

impl From<MigrateError> for Failure {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Store(error) => error.into(),
            MigrateError::Taken(_) => Self::config(format!(
                "{error}. hint: name another file in database_url, or on PostgreSQL another database, or another schema with \
                 ?options=-csearch_path%3Ddoorwarden"
            )),
            MigrateError::Forbidden { ref role, ref schema } => Self::config(format!(
                "{error}. hint: GRANT USAGE, CREATE ON SCHEMA {schema} TO {role}, or let another role run doorwarden migrate"
            )),
            other => Self::config(other.to_string()),
        }
    }
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        match error {
            BuildError::Store(error) => error.into(),
            BuildError::Keys(error) => error.into(),
            BuildError::Migrate(error) => error.into(),
            BuildError::Pending(_) => Self::config(format!("{error}. hint: doorwarden migrate")),
            BuildError::NoSecretKey => Self::config(format!(
                "{error}.\nhint: this line makes one; keep it, and give it to every instance:\n\n  \
                 export DOORWARDEN_SECRET_KEY=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \\n')\n"
            )),
            other => Self::config(other.to_string()),
        }
    }
}

impl From<KeysError> for Failure {
    fn from(error: KeysError) -> Self {
        match error {
            KeysError::Store(error) => error.into(),
            other => Self::config(other.to_string()),
        }
    }
}

impl From<GrantError> for Failure {
    fn from(error: GrantError) -> Self {
        match error {
            GrantError::Store(error) => error.into(),
            other => Self::not_found(other.to_string()),
        }
    }
}

impl From<FieldErrors> for Failure {
    fn from(errors: FieldErrors) -> Self {
        let lines =
            errors.iter().flat_map(|(field, list)| list.iter().map(move |e| format!("{field}: {}", e.text)));
        Self::no(lines.collect::<Vec<_>>().join("\n"))
    }
}

impl From<FlowError> for Failure {
    fn from(error: FlowError) -> Self {
        match error {
            FlowError::Invalid(errors) => errors.into(),
            FlowError::NotFound => Self::not_found("there is no such user"),
            FlowError::Store(error) => error.into(),
            other => Self::unavailable(other.to_string()),
        }
    }
}

impl From<CreateUserError> for Failure {
    fn from(error: CreateUserError) -> Self {
        match error {
            CreateUserError::Flow(error) => error.into(),
            other => Self::no(other.to_string()),
        }
    }
}
