//! The configuration keys, from the schema of the file: names, variables, defaults and descriptions.

use super::sections::Root;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use std::sync::LazyLock;
use strsim::levenshtein;

/// The placeholder in a key for a name that the file chooses.
const NAME: &str = "NAME";

/// A key of the configuration.
pub(crate) struct Key {
    /// The path in the file, with the tables separated by dots: `tokens.lifetime`, `fields.NAME.type`.
    pub(crate) name: String,
    /// The default, as it would be written.
    pub(crate) default: String,
    /// The description of the key.
    pub(crate) help: String,
    /// Whether the value must never be shown.
    pub(crate) secret: bool,
    /// Whether the value is text, neither a list nor a table.
    pub(super) is_text: bool,
    /// Whether the value may be a table.
    pub(super) is_table: bool,
}

/// Every key, sorted: those outside of tables first.
pub(crate) fn keys() -> &'static [Key] {
    static KEYS: LazyLock<Vec<Key>> = LazyLock::new(|| {
        let mut keys = Vec::new();
        collect(schema().as_value(), &[], &mut keys);
        keys.sort_by_key(|key: &Key| key.name.contains('.'));
        keys
    });
    &KEYS
}

impl Key {
    /// The environment variable of the key.
    pub(crate) fn variable(&self) -> String {
        format!("DOORWARDEN_{}", self.name.replace('.', "_").to_ascii_uppercase())
    }

    /// Whether a table before it may have any name.
    pub(super) fn has_name(&self) -> bool {
        self.name.split('.').any(|part| part == NAME)
    }

    /// The key that the file has at this path.
    pub(super) fn at(path: &[String]) -> Option<&'static Self> {
        keys().iter().find(|key| {
            let names = key.name.split('.');
            names.clone().count() == path.len() && matches(names, path)
        })
    }

    /// Whether there are keys in the table at this path.
    pub(super) fn are_in(path: &[String]) -> bool {
        keys()
            .iter()
            .any(|key| key.name.split('.').count() > path.len() && matches(key.name.split('.'), path))
    }

    /// The path that a variable sets.
    pub(super) fn path_of(variable: &str) -> Option<Vec<String>> {
        let path = |key: &Self| {
            let pattern = key.variable();
            let name = match pattern.split_once(&format!("_{NAME}_")) {
                Some((before, after)) => {
                    let rest = variable.strip_prefix(before)?.strip_prefix('_')?;
                    rest.strip_suffix(after)?.strip_suffix('_').filter(|name| !name.is_empty())?
                }
                None => (variable == pattern).then_some("")?,
            };
            let names = key.name.split('.');
            Some(
                names
                    .map(|part| if part == NAME { name.to_ascii_lowercase() } else { part.to_owned() })
                    .collect(),
            )
        };
        keys().iter().find_map(path)
    }

    /// The secret for which a key names a file.
    pub(super) fn secret_of(path: &[String]) -> Option<(Vec<String>, &'static Self)> {
        let (last, before) = path.split_last()?;
        let path = [before, &[last.strip_suffix("_file")?.to_owned()]].concat();
        Self::at(&path).filter(|key| key.secret).map(|key| (path, key))
    }

    /// The key that was probably meant.
    pub(super) fn nearest(path: &[String]) -> String {
        let named = |key: &Key| {
            let mut given = path.iter();
            let parts = key.name.split('.').map(|part| {
                let given = given.next();
                given.filter(|_| part == NAME).map_or(part, String::as_str)
            });
            parts.collect::<Vec<_>>().join(".")
        };
        nearest(&path.join("."), keys().iter().map(named))
    }
}

fn matches<'a>(pattern: impl Iterator<Item = &'a str>, path: &[String]) -> bool {
    pattern.zip(path).all(|(part, name)| part == NAME || part == name)
}

/// The candidate with the smallest edit distance. A name with a dot is also compared by what follows the dot,
/// so that `memory_kib` finds `argon2.memory_kib`.
pub(super) fn nearest(name: &str, candidates: impl IntoIterator<Item = String>) -> String {
    let cost = |known: &String| {
        let short = known.rsplit_once('.').map_or(usize::MAX, |(_, last)| levenshtein(name, last) + 1);
        levenshtein(name, known).min(short)
    };
    candidates.into_iter().min_by_key(cost).unwrap_or_default()
}

/// The JSON Schema of the file.
pub(crate) fn schema() -> schemars::Schema {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = SchemaGenerator::new(settings).into_root_schema_for::<Root>();
    complete(schema.as_object_mut());
    schema
}

/// Adds the key `…_file` of each secret, and removes what TOML does not have: empty defaults and `null`.
fn complete(schema: Option<&mut Map<String, Value>>) {
    let Some(schema) = schema else { return };
    complete(schema.get_mut("additionalProperties").and_then(Value::as_object_mut));
    let Some(Value::Object(properties)) = schema.get_mut("properties") else { return };
    let secrets = properties.iter().filter(|(_, about)| about["writeOnly"] == true);
    let file = |(name, about): (&String, &Value)| {
        let lines = if is_text(about) { "" } else { ", one item per line" };
        let help = format!("File that contains `{name}`{lines}.");
        (format!("{name}_file"), json!({"type": "string", "description": help}))
    };
    let files: Vec<_> = secrets.map(file).collect();
    properties.extend(files);
    for about in properties.values_mut() {
        complete_property(about);
    }
}

fn complete_property(about: &mut Value) {
    if let Some(kinds) = about["type"].as_array() {
        about["type"] = kinds.iter().find(|kind| *kind != "null").cloned().unwrap_or_default();
    }
    if let Some(Value::Array(values)) = about.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    if about["default"].is_string() && about["type"] != "string" {
        // `true` and `10` are written without quotation marks.
        let bare = about["default"].as_str().and_then(|text| serde_json::from_str(text).ok());
        about["default"] = bare.unwrap_or_else(|| about["default"].take());
    }
    let Value::Object(about) = about else { return };
    if about.contains_key("properties") || about.get("default").is_some_and(|value| text(value).is_empty()) {
        about.remove("default");
    }
    if let Some(Value::String(help)) = about.get_mut("description") {
        *help = help.replace('\n', " ");
    }
    complete(Some(about));
}

/// Whether a value of this schema may be of this type.
fn may_be(schema: &Value, kind: &str) -> bool {
    let forms = schema["anyOf"].as_array().into_iter().flatten();
    schema["type"] == kind || forms.into_iter().any(|form| form["type"] == kind)
}

/// Whether a value of this schema is neither a list nor a table.
fn is_text(schema: &Value) -> bool {
    !may_be(schema, "array") && !may_be(schema, "object")
}

fn collect(schema: &Value, path: &[&str], keys: &mut Vec<Key>) {
    if let Some(properties) = schema["properties"].as_object() {
        for (name, about) in properties {
            collect(about, &[path, &[name]].concat(), keys);
        }
    } else if schema["additionalProperties"]["properties"].is_object() {
        collect(&schema["additionalProperties"], &[path, &[NAME]].concat(), keys);
    } else {
        keys.push(Key {
            name: path.join("."),
            default: text(&schema["default"]),
            help: schema["description"].as_str().unwrap_or_default().to_owned(),
            secret: schema["writeOnly"] == true,
            is_text: is_text(schema),
            is_table: may_be(schema, "object"),
        });
    }
}

/// A value as an environment variable has it.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(","),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_finds_what_was_meant() {
        let known = ["listen", "log.level", "argon2.memory_kib", "ceilings.argon2_memory_kib"];
        for (typed, meant) in [
            ("lisen", "listen"),
            ("loglevel", "log.level"),
            ("level", "log.level"),
            ("memory_kib", "argon2.memory_kib"),
            ("argon.memory_kb", "argon2.memory_kib"),
        ] {
            assert_eq!(nearest(typed, known.map(str::to_owned)), meant, "{typed}");
        }
    }

    #[test]
    fn a_variable_can_set_a_key_in_a_table_of_any_name() {
        let path = |variable| Key::path_of(variable).map(|path| path.join("."));
        assert_eq!(path("DOORWARDEN_FIELDS_PLAN_MAX_LENGTH").as_deref(), Some("fields.plan.max_length"));
        assert_eq!(path("DOORWARDEN_FIELDS_FREE_TRIAL_TYPE").as_deref(), Some("fields.free_trial.type"));
        assert_eq!(path("DOORWARDEN_FIELDS_TYPE"), None);
    }

    #[test]
    fn every_key_has_a_variable_of_its_own_and_says_what_it_is_for() {
        let variables: std::collections::BTreeSet<String> = keys().iter().map(Key::variable).collect();
        assert_eq!(variables.len(), keys().len());
        for key in keys() {
            assert!(key.help.ends_with('.'), "{}: {}", key.name, key.help);
        }
    }
}
