//! Values as they may be shown.

use super::keys::Key;
use doorwarden_mail::MailUrl;

/// A value of this key as it may be shown: of URLs without the password, of other secrets only whether they
/// are set.
pub(super) fn shown(key: &Key, text: &str) -> String {
    match (key.secret, text.is_empty()) {
        (true, _) if matches!(&*key.name, "database_url" | "limits.store") => without_password(text),
        (true, false) => match text.parse::<MailUrl>() {
            Ok(url) if key.name == "mail.url" => url.to_string(),
            _ => "(set, hidden)".to_owned(),
        },
        (true, true) => "(not set)".to_owned(),
        (false, _) => text.to_owned(),
    }
}

/// Parameters of a database URL that are not secrets.
const HARMLESS: [&str; 8] = [
    "sslmode",
    "sslrootcert",
    "pgbouncer",
    "application_name",
    "host",
    "port",
    "dbname",
    "target_session_attrs",
];

/// The URL of a server without the password and without parameters that may be secrets.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://").filter(|(scheme, _)| *scheme != "sqlite") else {
        return url.to_owned();
    };
    let at = rest.find('@');
    if at.is_some_and(|at| rest[..at].contains('?')) {
        // A question mark in a password, or an at sign in a parameter, makes the URL ambiguous.
        return format!("{scheme}://***");
    }
    let question = rest[at.unwrap_or(0)..].find('?').map(|place| place + at.unwrap_or(0));
    let (place, parameters) = question.map_or((rest, None), |q| (&rest[..q], Some(&rest[q + 1..])));
    let place = match place.rsplit_once('@') {
        Some((user, host)) => match user.split_once(':') {
            Some((user, _)) => format!("{user}:***@{host}"),
            None => format!("{user}@{host}"),
        },
        None => place.to_owned(),
    };
    let parameter = |pair: &str| match pair.split_once('=') {
        Some((name, _)) if HARMLESS.contains(&name) => pair.to_owned(),
        Some((name, _)) => format!("{name}=***"),
        None => "***".to_owned(),
    };
    let parameters = parameters.map(|list| list.split('&').map(parameter).collect::<Vec<_>>().join("&"));
    let parameters = parameters.map(|list| format!("?{list}")).unwrap_or_default();
    format!("{scheme}://{place}{parameters}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_of_a_database_is_shown() {
        for (url, shown) in [
            ("sqlite://data/doorwarden.db", "sqlite://data/doorwarden.db"),
            ("postgres://h/d", "postgres://h/d"),
            ("postgres://u@h/d", "postgres://u@h/d"),
            ("postgres://u:hunter2@h:5432/d", "postgres://u:***@h:5432/d"),
            ("postgres://u:hunter2@hunter2@h/d", "postgres://u:***@h/d"),
            ("postgres://u:a/hunter2?x@h/d", "postgres://***"),
            (
                "postgres://u@h/d?password=hunter2&sslmode=require",
                "postgres://u@h/d?password=***&sslmode=require",
            ),
            ("postgres://u@h/d?password=hunter2@hunter2", "postgres://u@h/d?password=***"),
            ("postgres://h/d?password=hunter2@hunter2", "postgres://***"),
            ("postgres://u:hunter2?hunter2@h/d", "postgres://***"),
            ("postgres://u:h@x?hunter2@h/d", "postgres://u:***@x?***"),
            ("database", "database"),
            ("rediss://:hunter2@h:6379/1", "rediss://:***@h:6379/1"),
            ("unix:///run/redis.sock?pass=hunter2", "unix:///run/redis.sock?pass=***"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }
}
