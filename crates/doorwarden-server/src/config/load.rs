//! The sources, one over the other.

use super::declared::{field, lists_as_text, pairs_as_text, plain};
use super::environment::Environment;
use super::nearest::nearest;
use super::{Config, KEYS};
use crate::cli::Global;
use crate::failure::Failure;
use std::fmt;
use std::path::{Path, PathBuf};

/// The file that is read if none is named.
const DEFAULT_FILE: &str = "doorwarden.toml";

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    Default,
    File(PathBuf),
    Environment(String),
    Flag,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(variable) => f.write_str(variable),
            Self::Flag => f.write_str("flag"),
        }
    }
}

/// The configuration, and what can be shown of it.
pub(crate) struct Loaded {
    pub(crate) config: Config,
    /// Beside each key of [`KEYS`]: its value as it may be shown, and where it came from.
    pub(crate) values: Vec<(String, Source)>,
    /// The file that was read.
    pub(crate) file: Option<PathBuf>,
}

impl Loaded {
    /// Reads the file, the environment and the flags.
    pub(crate) fn read(global: &Global, environment: &Environment) -> Result<Self, Failure> {
        let mut loaded = Self {
            config: Config { warnings: environment.warnings(), ..Config::default() },
            values: KEYS.iter().map(|key| (key.shown(key.default), Source::Default)).collect(),
            file: file(global, environment),
        };
        if let Some(path) = loaded.file.clone() {
            loaded.read_file(&path)?;
        }
        for key in KEYS {
            let variable = key.variable();
            if let Some(text) = environment.get(&variable) {
                loaded.set(key.name, text, Source::Environment(variable))?;
            }
        }
        if let Some(url) = &global.database_url {
            loaded.set("database_url", url, Source::Flag)?;
        }
        for pair in &global.set {
            let (name, text) = pair.split_once('=').ok_or_else(|| Failure::usage("--set takes KEY=VALUE"))?;
            loaded.set(name.trim(), text, Source::Flag)?;
        }
        Ok(loaded)
    }

    /// Sets one key.
    pub(crate) fn set(&mut self, name: &str, text: &str, source: Source) -> Result<(), Failure> {
        let index = KEYS.iter().position(|key| key.name == name).ok_or_else(|| unknown(name, &source))?;
        let key = &KEYS[index];
        (key.set)(&mut self.config, text)
            .map_err(|wrong| Failure::config(format!("{} ({source}) {wrong}", key.name)))?;
        self.values[index] = (key.shown(text), source);
        Ok(())
    }

    fn read_file(&mut self, path: &Path) -> Result<(), Failure> {
        let fail = |why: String| Failure::config(format!("{}: {why}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
        // Not the error as it would print itself: that quotes the line, which may hold a secret.
        let file: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            let line = error.span().map_or(1, |span| text[..span.start].lines().count().max(1));
            fail(format!("line {line}: {}", error.message().replace('\n', ", ")))
        })?;
        let source = Source::File(path.to_owned());
        for (name, value) in file {
            match (name.as_str(), value) {
                ("fields", toml::Value::Table(fields)) => {
                    for (name, about) in fields {
                        self.config.fields.push(field(name, about).map_err(fail)?);
                    }
                }
                ("permissions", toml::Value::Table(permissions)) => {
                    for (name, label) in permissions {
                        let label =
                            label.as_str().ok_or_else(|| fail(format!("permissions.{name} must be text")))?;
                        self.config.permissions.push((name, label.to_owned()));
                    }
                }
                ("old_secret_keys", value @ toml::Value::Table(_)) => {
                    self.set_from_file("old_secret_keys", &value, &source)?;
                }
                (table, toml::Value::Table(values)) => {
                    for (name, value) in values {
                        self.set_from_file(&format!("{table}.{name}"), &value, &source)?;
                    }
                }
                (name, value) => self.set_from_file(name, &value, &source)?,
            }
        }
        Ok(())
    }

    fn set_from_file(&mut self, name: &str, value: &toml::Value, source: &Source) -> Result<(), Failure> {
        let text = match value {
            toml::Value::Table(pairs) if name == "oauth.clients" => pairs_as_text(pairs),
            toml::Value::Table(lists) if name == "old_secret_keys" => {
                let known = ["opens_keys", "verifies_tokens"];
                if let Some(unknown) = lists.keys().find(|name| !known.contains(&name.as_str())) {
                    return Err(Failure::config(format!(
                        "old_secret_keys ({source}) has no \"{unknown}\", only opens_keys and verifies_tokens"
                    )));
                }
                lists_as_text(lists)
            }
            value => plain(value),
        };
        match text {
            Some(text) => self.set(name, &text, source.clone()),
            None if KEYS.iter().any(|key| key.name == name) => {
                Err(Failure::config(format!("{name} ({source}) cannot be a {}", value.type_str())))
            }
            None => Err(unknown(name, source)),
        }
    }
}

/// The file to read.
fn file(global: &Global, environment: &Environment) -> Option<PathBuf> {
    let named = global.config.clone().or_else(|| environment.get("DOORWARDEN_CONFIG").map(PathBuf::from));
    named.or_else(|| Path::new(DEFAULT_FILE).exists().then(|| DEFAULT_FILE.into()))
}

/// There is no such key; the nearest one is named.
fn unknown(name: &str, source: &Source) -> Failure {
    let meant = nearest(name, KEYS.iter().map(|key| key.name)).unwrap_or_default();
    Failure::config(format!("there is no key \"{name}\" ({source}). hint: did you mean {meant}?"))
}
