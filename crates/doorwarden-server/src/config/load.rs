//! The layers, each overriding the one before: file, environment, flags.

use super::environment::Environment;
use super::keys::{Key, keys};
use super::sections::Root;
use super::shown::shown;
use super::value::Setting;
use super::{Config, environment};
use crate::cli::Global;
use crate::failure::Failure;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// The file that is read if none is named.
const DEFAULT_FILE: &str = "doorwarden.toml";

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    Default,
    File(PathBuf),
    Environment(String),
    Flag,
    /// A file that contains only this secret, and the source that named the file.
    Secret(PathBuf, Box<Source>),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(variable) => f.write_str(variable),
            Self::Flag => f.write_str("flag"),
            Self::Secret(path, named_by) => write!(f, "{}, named by {named_by}", path.display()),
        }
    }
}

/// The configuration, and the source of each value.
pub(crate) struct Loaded {
    pub(crate) config: Config,
    /// The values that were set, with their sources.
    set: Layer,
    /// The file that was read.
    pub(crate) file: Option<PathBuf>,
}

/// Values and their sources, by path.
pub(super) type Layer = BTreeMap<Vec<String>, (Value, Source)>;

impl Loaded {
    /// Reads the file, the environment and the flags.
    ///
    /// # Errors
    /// A key is unknown, or its value is not valid.
    pub(crate) fn read(global: &Global, environment: &Environment) -> Result<Self, Failure> {
        let file = file(global, environment);
        let layers =
            [file.as_deref().map_or(Ok(Layer::new()), from_file)?, environment.layer(), flags(global)?];
        let mut set = Layer::new();
        for layer in layers {
            set.extend(with_secrets(layer)?);
        }
        let mut config = Config { warnings: environment.warnings(), ..Config::default() };
        parse(&set)?.store(&mut config);
        Ok(Self { config, set, file })
    }

    /// Every key with its value, as it may be shown, and its source.
    pub(crate) fn values(&self) -> impl Iterator<Item = (String, String, Source)> {
        let default = keys().iter().filter(|key| self.is_default(key));
        let default = default.map(|key| (key.name.clone(), shown(key, &key.default), Source::Default));
        let set = self.set.iter().filter_map(|(path, (value, source))| {
            Some((path.join("."), shown(Key::at(path)?, &text(value)), source.clone()))
        });
        let mut values: Vec<_> = default.chain(set).collect();
        values.sort_by_key(|(name, ..)| (name.contains('.'), name.clone()));
        values.into_iter()
    }

    fn is_default(&self, key: &Key) -> bool {
        let path: Vec<String> = key.name.split('.').map(str::to_owned).collect();
        !key.has_name() && Key::secret_of(&path).is_none() && !self.set.contains_key(&path)
    }

    /// Whether the file itself contains a secret.
    pub(crate) fn file_holds_secrets(&self) -> bool {
        let is_sqlite = self.config.database_url.sqlite_path().is_some();
        self.set.iter().any(|(path, (value, source))| {
            let is_secret = |key: &Key| match key.name.as_str() {
                "database_url" => !is_sqlite && text(value).contains('@'),
                "mail.url" | "limits.store" => text(value).contains('@'),
                _ => key.secret,
            };
            matches!(source, Source::File(_)) && Key::at(path).is_some_and(is_secret)
        })
    }
}

/// The file to read.
fn file(global: &Global, environment: &Environment) -> Option<PathBuf> {
    let named = global.config.clone().or_else(|| environment.get(environment::CONFIG).map(PathBuf::from));
    named.or_else(|| Path::new(DEFAULT_FILE).exists().then(|| DEFAULT_FILE.into()))
}

fn from_file(path: &Path) -> Result<Layer, Failure> {
    let fail = |why: String| Failure::config(format!("{}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
    // toml's own message quotes the line, which may contain a secret.
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        let line = error.span().map_or(1, |span| text[..span.start].lines().count().max(1));
        fail(format!("line {line}: {}", error.message().replace('\n', ", ")))
    })?;
    let mut layer = Layer::new();
    flatten(table, &[], &Source::File(path.to_owned()), &mut layer)?;
    Ok(layer)
}

fn flatten(table: Table, path: &[String], source: &Source, layer: &mut Layer) -> Result<(), Failure> {
    for (name, value) in table {
        let path = [path, &[name]].concat();
        match (Key::at(&path), value) {
            (Some(key), Value::Table(inner)) if !key.is_table => flatten(inner, &path, source, layer)?,
            (Some(key), value) => {
                let cannot_be =
                    |kind| Failure::config(format!("`{}` ({source}): cannot be a {kind}", key.name));
                layer.insert(path, (texts(value).map_err(cannot_be)?, source.clone()));
            }
            (None, Value::Table(inner)) if !inner.is_empty() => flatten(inner, &path, source, layer)?,
            (None, value @ Value::Table(_)) if Key::are_in(&path) => {
                layer.insert(path, (value, source.clone()));
            }
            (None, _) => return Err(unknown(&path, source)),
        }
    }
    Ok(())
}

/// A value with numbers and booleans as text, as in the other layers; or why it is not valid.
fn texts(value: Value) -> Result<Value, &'static str> {
    Ok(match value {
        Value::String(_) => value,
        Value::Integer(_) | Value::Boolean(_) | Value::Datetime(_) => Value::String(value.to_string()),
        Value::Float(_) => return Err(value.type_str()),
        Value::Array(items) => Value::Array(items.into_iter().map(texts).collect::<Result<_, _>>()?),
        Value::Table(table) => {
            let member = |(name, value)| texts(value).map(|value| (name, value));
            Value::Table(table.into_iter().map(member).collect::<Result<_, _>>()?)
        }
    })
}

fn flags(global: &Global) -> Result<Layer, Failure> {
    let mut layer = Layer::new();
    if let Some(url) = &global.database_url {
        layer.insert(vec!["database_url".to_owned()], (Value::String(url.clone()), Source::Flag));
    }
    for pair in &global.set {
        let (name, text) = pair.split_once('=').ok_or_else(|| Failure::usage("`--set` takes KEY=VALUE"))?;
        let path: Vec<String> = name.trim().split('.').map(str::to_owned).collect();
        if Key::at(&path).is_none() {
            return Err(unknown(&path, &Source::Flag));
        }
        layer.insert(path, (Value::String(text.to_owned()), Source::Flag));
    }
    Ok(layer)
}

/// A layer in which each `…_file` is replaced by the secret that is in that file.
fn with_secrets(mut layer: Layer) -> Result<Layer, Failure> {
    let files: Vec<Vec<String>> =
        layer.keys().filter(|path| Key::secret_of(path).is_some()).cloned().collect();
    for path in files {
        let (Some((secret, key)), Some((Value::String(file), source))) =
            (Key::secret_of(&path), layer.remove(&path))
        else {
            continue;
        };
        let fail = |why: &str| Failure::config(format!("`{}` ({source}): {why}", path.join(".")));
        if let Some((_, other)) = layer.get(&secret) {
            return Err(fail(&format!("`{}` is set as well ({other})", secret.join("."))));
        }
        let text = secret_in(Path::new(&file)).map_err(|why| fail(&why))?;
        let value = match key.is_text {
            true => Value::String(text),
            false => Value::Array(text.lines().map(|line| Value::String(line.to_owned())).collect()),
        };
        layer.insert(secret, (value, Source::Secret(file.into(), Box::new(source))));
    }
    Ok(layer)
}

/// The secret in a file, without the final line break.
///
/// # Errors
/// The file cannot be read, or its contents are not valid.
pub(crate) fn secret_in(file: &Path) -> Result<String, String> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).map_err(|error| format!("cannot read `{shown}`: {error}"))?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(format!("`{shown}` is empty")),
        text => Ok(text.to_owned()),
    }
}

/// The sections of the values that were set.
fn parse(set: &Layer) -> Result<Root, Failure> {
    let mut root = Table::new();
    for (path, (value, _)) in set {
        let Some((last, tables)) = path.split_last() else { continue };
        let table = tables.iter().try_fold(&mut root, |table, name| {
            table.entry(name).or_insert_with(|| Value::Table(Table::new())).as_table_mut()
        });
        if let Some(table) = table {
            table.insert(last.clone(), value.clone());
        }
    }
    serde_path_to_error::deserialize(Value::Table(root)).map_err(|error| {
        let place = error.path().to_string();
        let is_there =
            |path: &&Vec<String>| path.iter().zip(place.split('.')).all(|(name, part)| name == part);
        let source = set.keys().find(is_there).map_or(&Source::Default, |path| &set[path].1);
        Failure::config(format!("`{place}` ({source}): {}", error.inner().message()))
    })
}

/// A value as an environment variable has it.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(","),
        Value::Table(pairs) => {
            pairs.iter().map(|(name, value)| format!("{name}={}", text(value))).collect::<Vec<_>>().join(",")
        }
        other => other.to_string(),
    }
}

/// The error for an unknown key, with the nearest one as its hint.
fn unknown(path: &[String], source: &Source) -> Failure {
    let meant = Key::nearest(path);
    Failure::config(format!("unknown key `{}` ({source})", path.join(".")))
        .hint(format!("did you mean `{meant}`?"))
}
