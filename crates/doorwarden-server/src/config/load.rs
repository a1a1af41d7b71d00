use super::keys::{KEYS, Key};
use super::{Config, value};
use crate::cli::Global;
use crate::failure::Failure;
use doorwarden::Field;
use doorwarden::core::field::{FieldKind, Writer};
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

/// The configuration with the text and the origin of each value.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    /// Beside each key of [`KEYS`].
    pub(crate) values: Vec<(String, Source)>,
}

impl Loaded {
    /// Reads the file, the environment and the flags.
    pub(crate) fn read(
        global: &Global,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Failure> {
        let mut loaded = Self {
            config: Config::default(),
            values: KEYS.iter().map(|key| (key.default.to_owned(), Source::Default)).collect(),
        };
        let path = global.config.clone().or_else(|| environment("DOORWARDEN_CONFIG").map(PathBuf::from));
        match &path {
            Some(path) => loaded.file(path)?,
            None if Path::new(DEFAULT_FILE).exists() => loaded.file(Path::new(DEFAULT_FILE))?,
            None => {}
        }
        for key in KEYS {
            let variable = key.variable();
            if let Some(text) = environment(&variable) {
                loaded.set(key.name, &text, Source::Environment(variable))?;
            }
        }
        if let Some(url) = &global.database_url {
            loaded.set("database_url", url, Source::Flag)?;
        }
        for pair in &global.set {
            let (name, text) = pair
                .split_once('=')
                .ok_or_else(|| Failure::usage(format!("--set takes KEY=VALUE, not \"{pair}\"")))?;
            loaded.set(name.trim(), text, Source::Flag)?;
        }
        Ok(loaded)
    }

    /// Sets one key.
    pub(crate) fn set(&mut self, name: &str, text: &str, source: Source) -> Result<(), Failure> {
        let index = KEYS.iter().position(|key| key.name == name).ok_or_else(|| unknown(name, &source))?;
        let key: &Key = &KEYS[index];
        (key.set)(&mut self.config, text)
            .map_err(|wrong| Failure::config(format!("{} ({source}) {wrong}", key.name)))?;
        self.values[index] = (text.to_owned(), source);
        Ok(())
    }

    fn file(&mut self, path: &Path) -> Result<(), Failure> {
        let fail = |why: String| Failure::config(format!("{}: {why}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
        let file: toml::Table = text.parse().map_err(|error: toml::de::Error| fail(error.to_string()))?;
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
                (table, toml::Value::Table(values)) => {
                    for (name, value) in values {
                        let name = format!("{table}.{name}");
                        let text = match &value {
                            toml::Value::Table(pairs) if name == "oauth.clients" => pairs_as_text(pairs),
                            value => plain(value),
                        };
                        let text = text.ok_or_else(|| unknown(&name, &source))?;
                        self.set(&name, &text, source.clone())?;
                    }
                }
                (name, value) => {
                    let text = plain(&value).ok_or_else(|| unknown(name, &source))?;
                    self.set(name, &text, source.clone())?;
                }
            }
        }
        Ok(())
    }
}

/// A value of the file as the text that the environment would hold.
fn plain(value: &toml::Value) -> Option<String> {
    Some(match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Boolean(yes) => yes.to_string(),
        toml::Value::Datetime(at) => at.to_string(),
        toml::Value::Array(items) => items.iter().map(plain).collect::<Option<Vec<_>>>()?.join(","),
        toml::Value::Float(_) | toml::Value::Table(_) => return None,
    })
}

/// A table of the file as the text that the environment would hold.
fn pairs_as_text(pairs: &toml::Table) -> Option<String> {
    let pairs = pairs.iter().map(|(name, value)| Some(format!("{name}={}", plain(value)?)));
    Some(pairs.collect::<Option<Vec<_>>>()?.join(","))
}

/// A declared field: `[fields.NAME]` with `type`, and perhaps `max_length`, `min`, `max`, `choices`, `required`, `writer`, `returned`,
/// `description`.
fn field(name: String, about: toml::Value) -> Result<Field, String> {
    let place = format!("fields.{name}");
    let toml::Value::Table(mut about) = about else { return Err(format!("{place} must be a table")) };
    let mut take = |key: &str| about.remove(key).map(|value| plain(&value).unwrap_or_default());
    let kind =
        take("type").ok_or_else(|| format!("{place} needs a type: text, integer, boolean or choice"))?;
    let mut field = match kind.as_str() {
        "text" => {
            let longest = take("max_length").map_or(Ok(255), |text| value::number(&text, 1, 16_384));
            Field::text(name, longest.map_err(|wrong| format!("{place}.max_length {wrong}"))?)
        }
        "integer" => {
            let bound = |text: Option<String>, otherwise: i64| {
                text.map_or(Ok(otherwise), |text| value::number(&text, i64::MIN, i64::MAX))
            };
            let least = bound(take("min"), i64::MIN).map_err(|wrong| format!("{place}.min {wrong}"))?;
            let most = bound(take("max"), i64::MAX).map_err(|wrong| format!("{place}.max {wrong}"))?;
            Field::integer(name).between(least, most)
        }
        "boolean" => Field::boolean(name),
        "choice" => Field::choice(name, value::list(&take("choices").unwrap_or_default())),
        _ => return Err(format!("{place}.type must be text, integer, boolean or choice")),
    };
    if matches!(&field.kind, FieldKind::Choice(of) if of.is_empty()) {
        return Err(format!("{place} needs choices"));
    }
    let flag =
        |text: Option<String>, otherwise: bool| text.map_or(Ok(otherwise), |text| value::boolean(&text));
    field.required = flag(take("required"), false).map_err(|wrong| format!("{place}.required {wrong}"))?;
    field.returned = flag(take("returned"), true).map_err(|wrong| format!("{place}.returned {wrong}"))?;
    field.description = take("description");
    field.writer = match take("writer").as_deref() {
        None | Some("user") => Writer::User,
        Some("server") => Writer::Server,
        Some(_) => return Err(format!("{place}.writer must be user or server")),
    };
    match about.keys().next() {
        Some(unknown) => Err(format!("{place} has no key \"{unknown}\"")),
        None => Ok(field),
    }
}

/// There is no such key; the nearest one is named.
fn unknown(name: &str, source: &Source) -> Failure {
    let nearest = KEYS.iter().map(|key| key.name).min_by_key(|known| distance(name, known));
    let hint = nearest.map(|key| format!(". hint: did you mean {key}?")).unwrap_or_default();
    Failure::config(format!("there is no key \"{name}\" ({source}){hint}"))
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let cost = diagonal + usize::from(left != *right);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
