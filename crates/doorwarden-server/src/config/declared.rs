//! What an application declares in the file: `[fields.NAME]` and `[permissions]`.

use super::nearest::nearest;
use super::value;
use doorwarden::Field;
use doorwarden::core::field::{FieldKind, Writer};

/// What can be said of a field.
const MEMBERS: [&str; 9] =
    ["type", "max_length", "min", "max", "choices", "required", "writer", "returned", "description"];

/// A declared field: `[fields.NAME]` with `type`, and perhaps the other [`MEMBERS`].
pub(super) fn field(name: String, about: toml::Value) -> Result<Field, String> {
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
        None => Ok(field),
        Some(known) if MEMBERS.contains(&known.as_str()) => {
            Err(format!("{place} is a {kind} and has no {known}"))
        }
        Some(unknown) => {
            let meant = nearest(unknown, MEMBERS).unwrap_or_default();
            Err(format!("{place} has no key \"{unknown}\". hint: did you mean {meant}?"))
        }
    }
}

/// A value of the file as the text that the environment would hold.
pub(super) fn plain(value: &toml::Value) -> Option<String> {
    Some(match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Boolean(yes) => yes.to_string(),
        toml::Value::Datetime(at) => at.to_string(),
        toml::Value::Array(items) => items.iter().map(plain).collect::<Option<Vec<_>>>()?.join(","),
        toml::Value::Float(_) | toml::Value::Table(_) => return None,
    })
}

/// A table of lists as the text that the environment would hold: each item with the name of its list.
pub(super) fn lists_as_text(lists: &toml::Table) -> Option<String> {
    let mut items = Vec::new();
    for (name, list) in lists {
        for item in list.as_array()? {
            items.push(format!("{name}={}", plain(item)?));
        }
    }
    Some(items.join(","))
}

/// A table of the file as the text that the environment would hold.
pub(super) fn pairs_as_text(pairs: &toml::Table) -> Option<String> {
    let pairs = pairs.iter().map(|(name, value)| Some(format!("{name}={}", plain(value)?)));
    Some(pairs.collect::<Option<Vec<_>>>()?.join(","))
}
