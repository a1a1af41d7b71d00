//! Rust's values in PostgreSQL's formats.

use doorwarden_core::time::Timestamp;
use std::error::Error;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

/// PostgreSQL counts microseconds from 2000-01-01.
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// The first instant and the first one too late, in PostgreSQL's epoch.
const RANGE: std::ops::Range<i64> = -211_813_488_000_000_000..9_223_371_331_200_000_000;

/// An instant as `timestamptz`. What lies beyond the range of PostgreSQL (4713 BC to 294276) is `infinity`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct At(pub(crate) Timestamp);

impl ToSql for At {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let micros = self.0.as_micros().saturating_sub(EPOCH_MICROS);
        let stored = if micros < RANGE.start {
            i64::MIN
        } else if micros >= RANGE.end {
            i64::MAX
        } else {
            micros
        };
        out.extend_from_slice(&stored.to_be_bytes());
        Ok(IsNull::No)
    }

    accepts!(TIMESTAMPTZ);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for At {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        let stored = i64::from_be_bytes(raw.try_into()?);
        Ok(Self(Timestamp::from_micros(match stored {
            i64::MIN => i64::MIN,
            _ => stored.saturating_add(EPOCH_MICROS),
        })))
    }

    accepts!(TIMESTAMPTZ);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(micros: i64) -> i64 {
        let mut bytes = BytesMut::new();
        At(Timestamp::from_micros(micros)).to_sql(&Type::TIMESTAMPTZ, &mut bytes).expect("never fails");
        At::from_sql(&Type::TIMESTAMPTZ, &bytes).expect("eight bytes").0.as_micros()
    }

    #[test]
    fn instants_survive_and_what_never_comes_is_infinite() {
        for micros in [0, -1, 1, EPOCH_MICROS, 1_795_460_165_000_001, -62_135_596_800_000_000] {
            assert_eq!(round_trip(micros), micros);
        }
        assert_eq!(round_trip(i64::MAX), i64::MAX);
        assert_eq!(round_trip(i64::MIN), i64::MIN);
    }
}
