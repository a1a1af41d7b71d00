//! Whose email address was proved in the application that accounts come from.

use super::layout::Layout;
use crate::failure::Failure;
use doorwarden::core::flow::import::{Doubt, SourceAccount};
use doorwarden::core::time::{Clock, SystemClock, Timestamp};
use serde_json::Value;

/// Which addresses count as proved.
#[derive(Debug, Clone)]
pub(super) enum Verified {
    None,
    All {
        at: Timestamp,
    },
    /// Those of the rows where this column says so.
    Column {
        table: String,
        name: String,
        at: Timestamp,
    },
}

impl Verified {
    /// What the options say: all, or those where a column says so.
    pub(super) fn find(all: bool, column: Option<String>, layout: &Layout) -> Result<Self, Failure> {
        let at = SystemClock.now();
        match column {
            None if all => Ok(Self::All { at }),
            None => Ok(Self::None),
            Some(name) if layout.others.contains(&name) => {
                Ok(Self::Column { table: layout.users.clone(), name, at })
            }
            Some(name) => {
                Err(Failure::usage(format!("the table {} has no other column {name}", layout.users)))
            }
        }
    }

    /// The column that decides.
    pub(super) fn column(&self) -> Option<&String> {
        match self {
            Self::None | Self::All { .. } => None,
            Self::Column { name, .. } => Some(name),
        }
    }

    /// The columns to be read, so that [`mark`](Self::mark) finds its own among them.
    pub(super) fn with_column(&self, keep: &[String]) -> Vec<String> {
        let missing = self.column().filter(|column| !keep.contains(column));
        keep.iter().chain(missing).cloned().collect()
    }

    /// Says of a row whether its address was proved. The column stays in the metadata if it is kept there.
    pub(super) fn mark(&self, row: &mut SourceAccount, keep: &[String]) {
        match self {
            Self::None => {}
            Self::All { at } => row.email_verified_at = Some(*at),
            Self::Column { table, name, at } => {
                let value = match keep.contains(name) {
                    true => row.metadata.get(name).cloned(),
                    false => row.metadata.remove(name),
                };
                match instant(value.as_ref(), *at) {
                    Ok(instant) => row.email_verified_at = instant,
                    Err(value) => row.doubtful.push(Doubt { column: format!("{table}.{name}"), value }),
                }
            }
        }
    }
}

/// When the address was proved, if it was: a flag, of which `at` is the instant, or an instant. The value, if
/// it is neither.
fn instant(value: Option<&Value>, at: Timestamp) -> Result<Option<Timestamp>, String> {
    match value {
        None | Some(Value::Null | Value::Bool(false)) => Ok(None),
        Some(Value::Bool(true)) => Ok(Some(at)),
        Some(Value::Number(number)) if number.as_i64() == Some(0) => Ok(None),
        Some(Value::Number(number)) if number.as_i64() == Some(1) => Ok(Some(at)),
        Some(Value::String(text)) => text.parse().map(Some).map_err(|_| text.chars().take(40).collect()),
        Some(other) => Err(other.to_string().chars().take(40).collect()),
    }
}
