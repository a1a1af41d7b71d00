use crate::config::{KEYS, Loaded};
use crate::failure::Failure;
use crate::output::{self, List, Output, line};
use serde_json::{Map, Value, json};

/// Prints each value and where it came from; secrets only as set or not set.
pub(super) fn show(loaded: &Loaded, out: Output) -> Result<(), Failure> {
    let rows = KEYS.iter().zip(&loaded.values);
    if out.is_json() {
        let values = rows.map(|(key, (value, source))| {
            (key.name.to_owned(), json!({"value": value, "source": source.to_string()}))
        });
        return output::json(&values.collect::<Map<_, _>>().into());
    }
    let mut list = List::new(out, &["KEY", "VALUE", "FROM"]);
    let row =
        |name: &str, value: &str, from: String| (Value::Null, vec![name.to_owned(), value.to_owned(), from]);
    let rows: Vec<_> = rows.map(|(key, (value, source))| row(key.name, value, source.to_string())).collect();
    list.page(&rows)?;
    list.end("")
}

/// Prints every key with its default and what it is for.
pub(super) fn reference() -> Result<(), Failure> {
    line("| Key | Environment | Default | What it is for |\n|---|---|---|---|")?;
    for key in KEYS {
        let default = if key.default.is_empty() { String::new() } else { format!("`{}`", key.default) };
        line(&format!("| `{}` | `{}` | {default} | {} |", key.name, key.variable(), key.help))?;
    }
    Ok(())
}
