//! Failures of commands: a message for people and an exit status for scripts.

use doorwarden::core::flow::factors::FactorError;
use doorwarden::core::flow::groups::CreateGroupError;
use doorwarden::core::flow::manage::{SetPasswordError, UpdateUserError, UserError};
use doorwarden::core::keys::KeysError;
use doorwarden::core::password::PoolError;
use doorwarden::core::store::{GrantError, MigrateError, StoreError};
use doorwarden::{BuildError, CreateUserError, FieldErrors, WebhookError};
use std::fmt;
use std::process::ExitCode;

/// The message of a failure, with its hint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    text: String,
    hint: Option<Hint>,
}

/// A hint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hint(String);

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hint: {}", self.0)
    }
}

impl Hint {
    /// The advice without the word `hint`.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Message {
    /// The message.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), hint: None }
    }

    /// Advice on how to fix the problem.
    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(Hint(hint.into())), ..self }
    }

    /// The message.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Advice on how to fix the problem.
    pub(crate) fn advice(&self) -> Option<&Hint> {
        self.hint.as_ref()
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        self.hint.iter().try_for_each(|hint| write!(f, "\n{hint}"))
    }
}

/// A command failed. Exit statuses follow `sysexits.h` where they apply.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    message: Message,
}

impl Failure {
    fn new(code: u8, text: impl Into<String>) -> Self {
        Self { code, message: Message::new(text) }
    }

    /// Advice on how to fix the problem.
    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { message: self.message.hint(hint), ..self }
    }

    /// The hint of an error that may have one.
    pub(crate) fn maybe_hint(self, hint: Option<impl Into<String>>) -> Self {
        match hint {
            Some(hint) => self.hint(hint),
            None => self,
        }
    }

    /// 1: the command found a problem, or a rule was violated.
    pub(crate) fn no(text: impl Into<String>) -> Self {
        Self::new(1, text)
    }

    /// 2: the command line is not valid.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self::new(2, text)
    }

    /// 3: the user, group or permission was not found.
    pub(crate) fn not_found(text: impl Into<String>) -> Self {
        Self::new(3, text)
    }

    /// 69: the database cannot be reached.
    pub(crate) fn unavailable(text: impl Into<String>) -> Self {
        Self::new(69, text)
    }

    /// 70: a bug in the program.
    pub(crate) fn software(text: impl Into<String>) -> Self {
        Self::new(70, text)
    }

    /// 74: a file or stream cannot be read or written.
    pub(crate) fn io(text: impl Into<String>) -> Self {
        Self::new(74, text)
    }

    /// 78: the configuration is not valid.
    pub(crate) fn config(text: impl Into<String>) -> Self {
        Self::new(78, text)
    }

    /// 130: interrupted.
    pub(crate) fn interrupted() -> Self {
        Self::new(130, "Operation cancelled.")
    }

    /// Whether a retry may succeed: the database cannot be reached.
    pub(crate) fn may_pass(&self) -> bool {
        self.code == 69
    }

    /// The message.
    pub(crate) fn message(&self) -> &Message {
        &self.message
    }

    /// Prints the failure, and returns the exit status.
    pub(crate) fn report(&self) -> ExitCode {
        if !self.message.text.is_empty() {
            crate::output::tell(&format!("error: {}", self.message));
        }
        ExitCode::from(self.code)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::Interrupted => Self::interrupted(),
            // A closed pipe, as in `doorwarden user list | head`, is not a failure.
            std::io::ErrorKind::BrokenPipe => Self::new(0, ""),
            _ => Self::io(error.to_string()),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let failure = match error {
            StoreError::Unavailable(_) => Self::unavailable(error.to_string()),
            StoreError::Failed(_) | StoreError::Spent => Self::software(error.to_string()),
        };
        failure.maybe_hint(error.hint())
    }
}

impl From<MigrateError> for Failure {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Store(error) => error.into(),
            MigrateError::Denied(_) => Self::unavailable(error.to_string()).maybe_hint(error.hint()),
            MigrateError::Taken(_) => Self::config(error.to_string()).hint(
                "name another file in `database_url`, or on PostgreSQL another database, or another schema with \
                 `?options=-csearch_path%3Ddoorwarden`",
            ),
            MigrateError::Forbidden { ref role, ref schema } => Self::config(error.to_string()).hint(format!(
                "`GRANT USAGE, CREATE ON SCHEMA {schema} TO {role}`, or let another role run `doorwarden migrate`"
            )),
            other => Self::config(other.to_string()).maybe_hint(other.hint()),
        }
    }
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        match error {
            BuildError::Store(error) | BuildError::Webhook(WebhookError::Store(error)) => error.into(),
            BuildError::Keys(error) => error.into(),
            BuildError::Migrate(error) => error.into(),
            BuildError::DatabaseUrl(error) => Self::config(error.to_string()).maybe_hint(error.hint()),
            BuildError::Postgres(error) => Self::config(error.to_string()).maybe_hint(error.hint()),
            BuildError::SecretKey(error) => Self::config(error.to_string()).maybe_hint(error.hint()),
            BuildError::Pending(_) => Self::config(error.to_string()).hint("run `doorwarden migrate`"),
            BuildError::NoSecretKey => Self::config(error.to_string()).hint(
                "this line generates one; keep it, and give it to every instance:\n\n  \
                 export DOORWARDEN_SECRET_KEY=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \\n')\n",
            ),
            other => Self::config(other.to_string()),
        }
    }
}

impl From<KeysError> for Failure {
    fn from(error: KeysError) -> Self {
        match error {
            KeysError::Store(error) => error.into(),
            other => Self::config(other.to_string()).maybe_hint(other.hint()),
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

impl From<PoolError> for Failure {
    fn from(error: PoolError) -> Self {
        Self::unavailable(error.to_string())
    }
}

impl From<UserError> for Failure {
    fn from(error: UserError) -> Self {
        match error {
            UserError::NoSuchUser => Self::not_found(error.to_string()),
            UserError::Store(error) => error.into(),
        }
    }
}

impl From<FactorError> for Failure {
    fn from(error: FactorError) -> Self {
        match error {
            FactorError::Store(error) => error.into(),
            FactorError::Invalid(errors) => errors.into(),
            other => Self::no(other.to_string()),
        }
    }
}

impl From<UpdateUserError> for Failure {
    fn from(error: UpdateUserError) -> Self {
        match error {
            UpdateUserError::NoSuchUser => Self::not_found(error.to_string()),
            UpdateUserError::Invalid(errors) => errors.into(),
            UpdateUserError::Store(error) => error.into(),
        }
    }
}

impl From<SetPasswordError> for Failure {
    fn from(error: SetPasswordError) -> Self {
        match error {
            SetPasswordError::NoSuchUser => Self::not_found(error.to_string()),
            SetPasswordError::Invalid(errors) => errors.into(),
            SetPasswordError::Pool(error) => error.into(),
            SetPasswordError::Store(error) => error.into(),
        }
    }
}

impl From<CreateGroupError> for Failure {
    fn from(error: CreateGroupError) -> Self {
        match error {
            CreateGroupError::Invalid(errors) => errors.into(),
            CreateGroupError::Store(error) => error.into(),
        }
    }
}

impl From<CreateUserError> for Failure {
    fn from(error: CreateUserError) -> Self {
        match error {
            CreateUserError::Invalid(errors) => errors.into(),
            CreateUserError::Pool(error) => error.into(),
            CreateUserError::Store(error) => error.into(),
            other => Self::no(other.to_string()),
        }
    }
}
