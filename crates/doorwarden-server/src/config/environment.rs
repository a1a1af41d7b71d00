//! The environment variables of Doorwarden.

use super::keys::{Key, keys, nearest};
use super::load::{Layer, Source};
use crate::failure::{Failure, Message};
use std::collections::BTreeMap;
use std::ffi::OsString;

const PREFIX: &str = "DOORWARDEN_";

/// The configuration file.
pub(super) const CONFIG: &str = "DOORWARDEN_CONFIG";

/// Variables that set no key: the configuration file, and what `createsuperuser --no-input` reads.
const OTHERS: [&str; 5] = [
    CONFIG,
    "DOORWARDEN_SUPERUSER_USERNAME",
    "DOORWARDEN_SUPERUSER_EMAIL",
    "DOORWARDEN_SUPERUSER_PASSWORD",
    "DOORWARDEN_SUPERUSER_PASSWORD_FILE",
];

/// Variables that are set by others: by the tests, and by Kubernetes for a service called `doorwarden`.
const FOREIGN: [&str; 5] =
    ["DOORWARDEN_TEST_", "DOORWARDEN_SKIPPED", "DOORWARDEN_DRILL", "DOORWARDEN_SERVICE_", "DOORWARDEN_PORT"];

/// Every variable whose name begins with `DOORWARDEN_`.
pub(crate) struct Environment(BTreeMap<String, String>);

impl Environment {
    /// From the variables of the process.
    ///
    /// # Errors
    /// If one of them is not Unicode.
    pub(crate) fn new(variables: impl Iterator<Item = (OsString, OsString)>) -> Result<Self, Failure> {
        let ours = variables.filter_map(|(name, value)| {
            let name = name.into_string().ok().filter(|name| name.starts_with(PREFIX))?;
            let not_unicode =
                |_| Failure::config(format!("the environment variable `{name}` is not Unicode"));
            Some(value.into_string().map_err(not_unicode).map(|value| (name.clone(), value)))
        });
        ours.collect::<Result<_, _>>().map(Self)
    }

    /// The value of a variable.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// What the variables set.
    pub(super) fn layer(&self) -> Layer {
        let set = self.0.iter().filter_map(|(name, text)| {
            let value = toml::Value::String(text.clone());
            Some((Key::path_of(name)?, (value, Source::Environment(name.clone()))))
        });
        set.collect()
    }

    /// A warning for each unknown variable: a misspelt name would otherwise go unnoticed.
    pub(super) fn warnings(&self) -> Vec<Message> {
        let is_read = |name: &str| OTHERS.contains(&name) || Key::path_of(name).is_some();
        let unread = self
            .0
            .keys()
            .filter(|name| !is_read(name) && !FOREIGN.iter().any(|prefix| name.starts_with(prefix)));
        let warning = |name: &String| {
            let known = keys().iter().map(Key::variable).chain(OTHERS.map(str::to_owned));
            let meant = nearest(name, known);
            Message::new(format!("unknown environment variable `{name}`"))
                .hint(format!("did you mean `{meant}`?"))
        };
        unread.map(warning).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(names: &[&str]) -> Environment {
        let pairs = names.iter().map(|name| (OsString::from(name), OsString::from("1")));
        Environment::new(pairs).unwrap_or_else(|_| panic!("these are Unicode"))
    }

    #[test]
    fn a_misspelt_variable_is_told_with_the_one_that_was_meant() {
        let warnings = environment(&["DOORWARDEN_SECRETKEY", "DOORWARDEN_LISTEN", "PATH"]).warnings();
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].text().contains("`DOORWARDEN_SECRETKEY`"), "{warnings:?}");
        assert!(warnings[0].to_string().ends_with("did you mean `DOORWARDEN_SECRET_KEY`?"), "{warnings:?}");
    }

    #[test]
    fn what_others_set_is_left_alone() {
        let set_by_others = [
            "DOORWARDEN_CONFIG",
            "DOORWARDEN_DRILL",
            "DOORWARDEN_PORT",
            "DOORWARDEN_PORT_8000_TCP_ADDR",
            "DOORWARDEN_SERVICE_HOST",
            "DOORWARDEN_SKIPPED",
            "DOORWARDEN_SUPERUSER_PASSWORD",
            "DOORWARDEN_TEST_POSTGRES_URL",
        ];
        assert_eq!(environment(&set_by_others).warnings(), []);
    }
}
