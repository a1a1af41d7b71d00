use crate::config::{KEYS, Loaded};
use crate::output;
use serde_json::{Map, json};

/// Prints each value and where it came from; secrets only as set or not set.
pub(super) fn show(loaded: &Loaded, json: bool) {
    let rows: Vec<[String; 3]> = KEYS
        .iter()
        .zip(&loaded.values)
        .map(|(key, (text, source))| {
            let shown = match (key.secret, text.is_empty()) {
                (true, false) => "(set, hidden)".to_owned(),
                (true, true) => "(not set)".to_owned(),
                (false, _) if key.name == "database_url" => without_password(text),
                (false, _) => text.clone(),
            };
            [key.name.to_owned(), shown, source.to_string()]
        })
        .collect();
    if output::is_json(json) {
        let values =
            rows.into_iter().map(|[key, value, source]| (key, json!({"value": value, "source": source})));
        output::json(&values.collect::<Map<_, _>>().into());
    } else {
        output::table(["KEY", "VALUE", "FROM"], &rows);
    }
}

/// Prints every key with its default and what it is for.
pub(super) fn reference() {
    output::line("| Key | Environment | Default | What it is for |\n|---|---|---|---|");
    for key in KEYS {
        let default = if key.default.is_empty() { String::new() } else { format!("`{}`", key.default) };
        output::line(&format!("| `{}` | `{}` | {default} | {} |", key.name, key.variable(), key.help));
    }
}

/// A database URL whose password is not shown.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    match rest.rsplit_once('@') {
        Some((user, host)) if user.contains(':') => {
            let user = user.split(':').next().unwrap_or_default();
            format!("{scheme}://{user}:***@{host}")
        }
        _ => url.to_owned(),
    }
}
