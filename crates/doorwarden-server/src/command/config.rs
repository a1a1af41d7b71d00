use crate::config::{self, Loaded};
use crate::failure::Failure;
use crate::output::{self, List, Output, line};
use serde_json::{Map, Value, json};

/// Prints each value and its source; of secrets only whether they are set.
pub(super) fn show(loaded: &Loaded, out: Output) -> Result<(), Failure> {
    if out.is_json() {
        let values = loaded
            .values()
            .map(|(name, value, source)| (name, json!({"value": value, "source": source.to_string()})));
        return output::json(&values.collect::<Map<_, _>>().into());
    }
    let mut list = List::new(out, &["KEY", "VALUE", "FROM"]);
    let row = |(name, value, source): (String, String, config::Source)| {
        (Value::Null, vec![name, value, source.to_string()])
    };
    list.page(&loaded.values().map(row).collect::<Vec<_>>())?;
    list.end("")
}

/// Prints every key with its default and description.
pub(super) fn reference() -> Result<(), Failure> {
    line("| Key | Environment variable | Default | Description |\n|---|---|---|---|")?;
    for key in config::keys() {
        let default = if key.default.is_empty() { String::new() } else { format!("`{}`", key.default) };
        line(&format!("| `{}` | `{}` | {default} | {} |", key.name, key.variable(), key.help))?;
    }
    Ok(())
}

/// Prints the JSON Schema of the file.
pub(super) fn schema() -> Result<(), Failure> {
    output::json(config::schema().as_value())
}
