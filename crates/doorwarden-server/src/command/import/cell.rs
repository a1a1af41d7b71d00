//! Values of a row, and how they are read: in the same way from both databases.

use super::layout::{Kind, Layout};
use crate::failure::Failure;
use doorwarden::core::flow::import::{Doubt, SourceAccount};
use doorwarden::core::time::Timestamp;
use serde_json::Value;
use std::borrow::Cow;

/// The maximum number of characters of a value that are shown.
const SHOWN: usize = 40;

/// A value as the database returns it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell<'r> {
    Null,
    Integer(i64),
    Real(f64),
    Text(Cow<'r, str>),
    Bytes(Cow<'r, [u8]>),
}

impl<'r> Cell<'r> {
    /// A value as PostgreSQL's text.
    pub(super) fn written(text: Option<&'r str>, kind: Kind) -> Self {
        match text {
            None => Self::Null,
            Some(text) => match text.strip_prefix("\\x").and_then(bytes).filter(|_| kind == Kind::Bytes) {
                Some(bytes) => Self::Bytes(bytes.into()),
                None => Self::Text(text.into()),
            },
        }
    }

    /// The value as a flag, in any spelling of the databases and of tools that copy tables between them. NULL
    /// and empty text are false, as in Python.
    fn truth(&self) -> Option<bool> {
        let word = match self {
            Self::Null | Self::Integer(0) => return Some(false),
            Self::Integer(number) => return (*number == 1).then_some(true),
            Self::Real(number) if *number == 0.0 => return Some(false),
            #[expect(clippy::float_cmp, reason = "exactly one")]
            Self::Real(number) => return (*number == 1.0).then_some(true),
            Self::Text(text) => text.trim().to_ascii_lowercase(),
            Self::Bytes(bytes) => match **bytes {
                [0] => return Some(false),
                [1] => return Some(true),
                [byte] => char::from(byte).to_ascii_lowercase().to_string(),
                _ => return None,
            },
        };
        match word.as_str() {
            "1" | "1.0" | "t" | "true" | "y" | "yes" | "on" => Some(true),
            "0" | "0.0" | "f" | "false" | "n" | "no" | "off" => Some(false),
            _ => None,
        }
    }

    /// The value as text; NULL is empty text.
    fn text(&self) -> Option<String> {
        match self {
            Self::Null => Some(String::new()),
            Self::Text(text) => Some(text.clone().into_owned()),
            Self::Integer(number) => Some(number.to_string()),
            Self::Real(_) | Self::Bytes(_) => None,
        }
    }

    /// The value as a timestamp, if it can be parsed.
    fn instant(&self) -> Option<Timestamp> {
        match self {
            Self::Text(text) => instant(text),
            _ => None,
        }
    }

    /// Whether the value is NULL or infinite.
    fn is_never(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Text(text) => matches!(text.as_ref(), "infinity" | "-infinity"),
            _ => false,
        }
    }

    /// The value as a member of `metadata`; `None` for NULL.
    fn member(self, kind: Kind) -> Option<Value> {
        if self == Self::Null {
            return None;
        }
        let read = match kind {
            Kind::Flag => self.truth().map(Value::from),
            Kind::Json => self.text().and_then(|text| serde_json::from_str(&text).ok()),
            Kind::Instant => self.instant().map(|moment| moment.to_string().into()),
            Kind::Bytes | Kind::Other => None,
        };
        let value = read.unwrap_or_else(|| match self {
            Self::Null => Value::Null,
            Self::Integer(number) => number.into(),
            Self::Real(number) => number.into(),
            Self::Text(text) => text.into_owned().into(),
            Self::Bytes(bytes) => hexadecimal(&bytes).into(),
        });
        (!value.is_null()).then_some(value)
    }

    /// The value as it is shown in messages, shortened.
    fn shown(&self) -> String {
        let text = match self {
            Self::Null => String::new(),
            Self::Integer(number) => number.to_string(),
            Self::Real(number) => number.to_string(),
            Self::Text(text) => text.clone().into_owned(),
            Self::Bytes(bytes) => hexadecimal(bytes),
        };
        text.chars().take(SHOWN).collect()
    }
}

/// The columns of an account, in the order of [`account`]. Columns to keep as metadata follow them.
pub(super) const COLUMNS: [&str; 9] = [
    "id",
    "username",
    "email",
    "password",
    "is_active",
    "is_staff",
    "is_superuser",
    "last_login",
    "date_joined",
];

/// Reads an account from the cells of its row. Cells of columns that the table does not have are never read.
pub(super) fn account<'r>(
    layout: &Layout,
    keep: &[String],
    id: i64,
    cell: impl Fn(usize) -> Result<Cell<'r>, Failure>,
) -> Result<SourceAccount, Failure> {
    let mut account = SourceAccount { id, ..SourceAccount::default() };
    let present = |place: usize| match layout.column(COLUMNS[place]) {
        Some(_) => cell(place).map(Some),
        None => Ok(None),
    };
    let SourceAccount { unreadable, doubtful, .. } = &mut account;
    let mut text = |place: usize| -> Result<String, Failure> {
        Ok(present(place)?.unwrap_or(Cell::Null).text().unwrap_or_else(|| {
            unreadable.push(COLUMNS[place]);
            String::new()
        }))
    };
    let (username, email, password) = (text(1)?, text(2)?, text(3)?);
    let mut flag = |place: usize, missing: bool| -> Result<bool, Failure> {
        let Some(cell) = present(place)? else { return Ok(missing) };
        Ok(cell.truth().unwrap_or_else(|| {
            let column = format!("{}.{}", layout.users, COLUMNS[place]);
            doubtful.push(Doubt { column, value: cell.shown() });
            false
        }))
    };
    let (is_active, is_staff, is_superuser) = (flag(4, true)?, flag(5, false)?, flag(6, false)?);
    let mut moment = |place: usize| -> Result<Option<Timestamp>, Failure> {
        let cell = present(place)?.unwrap_or(Cell::Null);
        let moment = cell.instant();
        if moment.is_none() && !cell.is_never() {
            unreadable.push(COLUMNS[place]);
        }
        Ok(moment)
    };
    let (last_login, date_joined) = (moment(7)?, moment(8)?);
    for (place, name) in (COLUMNS.len()..).zip(keep) {
        if let Some(value) = cell(place)?.member(layout.kind(name)) {
            account.metadata.insert(name.clone(), value);
        }
    }
    Ok(SourceAccount {
        username,
        email,
        password,
        is_active,
        is_staff,
        is_superuser,
        date_joined,
        last_login,
        ..account
    })
}

/// Django writes UTC without an offset, `2018-10-04 12:01:00.123456`; PostgreSQL adds `+00` if the column has
/// a time zone.
pub(super) fn instant(text: &str) -> Option<Timestamp> {
    let mut text = text.replacen(' ', "T", 1);
    if let Some(utc) = text.strip_suffix("+00") {
        text.truncate(utc.len());
    }
    if text.get(19..).is_some_and(|rest| !rest.contains(['Z', '+', '-'])) {
        text.push('Z');
    }
    text.parse().ok()
}

/// Bytes in PostgreSQL's hex format.
fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold("\\x".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

fn bytes(digits: &str) -> Option<Vec<u8>> {
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.as_bytes().chunks(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_truth_is_read_and_nothing_is_guessed() {
        let text = |text: &'static str| Cell::Text(text.into());
        let byte = |byte: u8| Cell::Bytes(vec![byte].into());
        for cell in [Cell::Integer(1), Cell::Real(1.0), byte(1), byte(b'1'), byte(b'T')] {
            assert_eq!(cell.truth(), Some(true), "{cell:?}");
        }
        for cell in [Cell::Null, Cell::Integer(0), Cell::Real(0.0), byte(0), byte(b'0'), byte(b'f')] {
            assert_eq!(cell.truth(), Some(false), "{cell:?}");
        }
        for word in ["1", "1.0", "t", "T", "true", "TRUE", "True", "yes", "Yes", "y", " 1 "] {
            assert_eq!(text(word).truth(), Some(true), "{word}");
        }
        for word in ["0", "0.0", "f", "F", "false", "FALSE", "False", "no", "NO", "n"] {
            assert_eq!(text(word).truth(), Some(false), "{word}");
        }
        for cell in [
            Cell::Integer(2),
            Cell::Integer(-1),
            Cell::Real(0.5),
            Cell::Real(f64::NAN),
            byte(2),
            Cell::Bytes(Vec::new().into()),
            Cell::Bytes(b"true".to_vec().into()),
            text(""),
            text("maybe"),
            text("tru"),
            text("10"),
        ] {
            assert_eq!(cell.truth(), None, "{cell:?}");
        }
    }

    #[test]
    fn instants_are_read_as_django_and_postgres_write_them() {
        let noon = "2018-10-04T12:01:00.000000Z";
        for text in [
            "2018-10-04 12:01:00",
            "2018-10-04 12:01:00.000000",
            "2018-10-04 14:01:00+02:00",
            "2018-10-04 12:01:00+00",
            "2018-10-04 12:01:00.0+00",
            noon,
        ] {
            assert_eq!(instant(text).map(|t| t.to_string()).as_deref(), Some(noon), "{text}");
        }
        for text in ["", "yesterday", "2018-10-04", "2018-10-04 25:00:00", "0044-03-15 12:00:00+00 BC"] {
            assert_eq!(instant(text), None, "{text}");
        }
    }

    #[test]
    fn kept_values_have_the_type_that_they_had() {
        let text = |text: &'static str| Cell::Text(text.into());
        for (cell, kind, value) in [
            (Cell::Integer(1), Kind::Flag, serde_json::json!(true)),
            (text("f"), Kind::Flag, serde_json::json!(false)),
            (Cell::Integer(7), Kind::Flag, serde_json::json!(7)),
            (text(r#"{"a": [1, null]}"#), Kind::Json, serde_json::json!({"a": [1, null]})),
            (text("no JSON"), Kind::Json, serde_json::json!("no JSON")),
            (text("2018-10-04 12:01:00"), Kind::Instant, serde_json::json!("2018-10-04T12:01:00.000000Z")),
            (Cell::Bytes(vec![0, 255].into()), Kind::Bytes, serde_json::json!("\\x00ff")),
            (Cell::written(Some("\\x00ff"), Kind::Bytes), Kind::Bytes, serde_json::json!("\\x00ff")),
            (text("1"), Kind::Other, serde_json::json!("1")),
        ] {
            assert_eq!(cell.clone().member(kind), Some(value), "{cell:?}");
        }
        assert_eq!(Cell::Null.member(Kind::Other), None);
        assert_eq!(text("null").member(Kind::Json), None);
    }
}
