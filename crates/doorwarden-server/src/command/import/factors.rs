//! The tables of `django-otp` and `django-allauth`.

use super::cell;
use super::layout::Tables;
use super::source::{Source, quoted};
use crate::failure::Failure;
use doorwarden::core::flow::import::{SourceFactor, SourceMethod};
use zeroize::Zeroizing;

/// A row as texts, in which secrets are.
pub(super) type Texts = Vec<Option<Zeroizing<String>>>;

/// A table of factors, and the columns that are read.
struct Table {
    name: &'static str,
    columns: &'static [&'static str],
}

/// The columns of every table, first.
const COMMON: [&str; 6] = ["id", "user_id", "created_at", "last_used_at", "name", "confirmed"];
const TOTP: Table =
    Table { name: "otp_totp_totpdevice", columns: &["key", "step", "t0", "digits", "drift", "last_t"] };
const STATIC: Table = Table { name: "otp_static_staticdevice", columns: &[] };
const TOKENS: Table = Table { name: "otp_static_statictoken", columns: &["device_id", "token"] };
const ALLAUTH: Table = Table { name: "mfa_authenticator", columns: &["type", "data"] };

/// The rows of all tables that are there.
pub(super) async fn read(source: &Source, tables: &Tables) -> Result<Vec<SourceFactor>, Failure> {
    let mut factors = Vec::new();
    for row in TOTP.rows(source, tables).await? {
        let number = |place: usize, otherwise| number(&row, COMMON.len() + place).unwrap_or(otherwise);
        let method = SourceMethod::OtpTotp {
            key: text(&row, COMMON.len()),
            step: number(1, 30),
            t0: number(2, 0),
            digits: number(3, 6),
            drift: number(4, 0),
            last_t: number(5, -1),
        };
        factors.push(factor(&row, method));
    }
    let tokens = TOKENS.rows(source, tables).await?;
    for row in STATIC.rows(source, tables).await? {
        let device = number(&row, 0);
        let of_it = tokens.iter().filter(|token| number(token, COMMON.len()) == device);
        let left: Vec<_> = of_it.map(|token| text(token, COMMON.len() + 1)).collect();
        if !left.is_empty() {
            factors.push(factor(&row, SourceMethod::OtpStatic(left)));
        }
    }
    for row in ALLAUTH.rows(source, tables).await? {
        let (kind, data) = (text(&row, COMMON.len()).to_string(), text(&row, COMMON.len() + 1));
        factors.push(factor(&row, SourceMethod::Allauth { kind, data }));
    }
    Ok(factors)
}

impl Table {
    async fn rows(&self, source: &Source, tables: &Tables) -> Result<Vec<Texts>, Failure> {
        let Some(columns) = tables.get(self.name) else { return Ok(Vec::new()) };
        let has = |name: &str| columns.iter().any(|(column, _)| column == name);
        let names: Vec<&str> = COMMON.iter().chain(self.columns).copied().collect();
        let column = |name: &&str| match has(name) {
            true => format!("CAST({} AS text)", quoted(name)),
            // Of an earlier version, or of another table.
            false => "CAST(NULL AS text)".to_owned(),
        };
        let list = names.iter().map(column).collect::<Vec<_>>().join(", ");
        source.texts(&format!("SELECT {list} FROM {} ORDER BY id", quoted(self.name)), names.len()).await
    }
}

fn factor(row: &Texts, method: SourceMethod) -> SourceFactor {
    let moment = |place: usize| row.get(place)?.as_deref().and_then(|text| cell::instant(text));
    SourceFactor {
        id: number(row, 0).unwrap_or(0),
        user: number(row, 1),
        created_at: moment(2),
        last_used_at: moment(3),
        name: text(row, 4).to_string(),
        // `django-allauth` stores no others.
        is_confirmed: matches!(text(row, 5).as_str(), "" | "1" | "t" | "true"),
        method,
    }
}

fn text(row: &Texts, place: usize) -> Zeroizing<String> {
    row.get(place).cloned().flatten().unwrap_or_default()
}

fn number(row: &Texts, place: usize) -> Option<i64> {
    row.get(place)?.as_ref()?.parse().ok()
}
