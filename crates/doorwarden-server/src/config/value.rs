//! The syntax of values. From every source, a value is text, a list of texts, or a table of texts. Outside
//! TOML, lists are comma-separated.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::time;
use toml::Value;

/// The syntax of a field of [`Config`](super::Config).
pub(super) trait Setting<Place> {
    /// Reads the field.
    fn of(place: &Place) -> Self;
    /// Sets the field.
    fn store(self, place: &mut Place);
}

/// A [`Setting`] that represents a whole field.
pub(super) trait Written<Place> {
    fn write(place: &Place) -> Self;
    fn read(self) -> Place;
}

impl<Place, T: Written<Place>> Setting<Place> for T {
    fn of(place: &Place) -> Self {
        Self::write(place)
    }

    fn store(self, place: &mut Place) {
        *place = self.read();
    }
}

/// The schema of a part of a value.
pub(super) fn schema<T: JsonSchema>() -> Schema {
    T::json_schema(&mut SchemaGenerator::default())
}

impl<T: Clone> Written<T> for T {
    fn write(place: &T) -> Self {
        place.clone()
    }

    fn read(self) -> T {
        self
    }
}

/// [`Written`] for a type that wraps its field.
macro_rules! wraps {
    ($({$($generics:tt)+})? $type:ty: $place:ty) => {
        impl$(<$($generics)+>)? Written<$place> for $type {
            fn write(place: &$place) -> Self {
                Self(place.clone())
            }

            fn read(self) -> $place {
                self.0
            }
        }
    };
}

/// A value that is written as one text.
pub(super) trait Text: Sized {
    fn parse(text: &str) -> Result<Self, String>;
    fn text(&self) -> String;
}

/// Serde and schemars for a [`Text`].
macro_rules! text {
    ($({$($generics:tt)+})? $type:ty, $schema:tt) => {
        impl$(<$($generics)+>)? Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.text())
            }
        }

        impl<'de, $($($generics)+)?> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
            }
        }

        impl$(<$($generics)+>)? JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

/// Serde for types without a default that could be shown.
macro_rules! no_default {
    ($type:ty) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_unit()
            }
        }
    };
}

pub(super) use {no_default, text, wraps};

/// `true` or `false`.
#[derive(Clone, Copy)]
pub(super) struct Flag(pub(super) bool);

text!(Flag, {"type": "boolean"});

impl Text for Flag {
    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| "must be `true` or `false`".to_owned())
    }

    fn text(&self) -> String {
        self.0.to_string()
    }
}

wraps!(Flag: bool);

/// A whole number between bounds, both included.
#[derive(Clone, Copy)]
pub(super) struct Number<const MIN: i64, const MAX: i64>(i64);

text!({const MIN: i64, const MAX: i64} Number<MIN, MAX>, {"type": "integer", "minimum": MIN, "maximum": MAX});

impl<const MIN: i64, const MAX: i64> Text for Number<MIN, MAX> {
    fn parse(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(number) if (MIN..=MAX).contains(&number) => Ok(Self(number)),
            _ => Err(format!("must be a whole number from {MIN} to {MAX}")),
        }
    }

    fn text(&self) -> String {
        self.0.to_string()
    }
}

macro_rules! number {
    ($($number:ty)+) => {
        $(impl<const MIN: i64, const MAX: i64> Written<$number> for Number<MIN, MAX> {
            fn write(place: &$number) -> Self {
                Self(i64::try_from(*place).unwrap_or(MAX))
            }

            fn read(self) -> $number {
                // The bounds of a key fit into its field.
                self.0.try_into().unwrap_or(<$number>::MAX)
            }
        })+
    };
}

number!(u8 u32 i64 usize);

/// A hundred years.
const LONGEST: u64 = 36_500 * 86_400;

/// A whole number and a unit: `500ms`, `90s`, `5m`, `12h`, `60d`. Between bounds in seconds, both included.
#[derive(Clone, Copy)]
pub(super) struct Duration<const MIN: u64 = 0, const MAX: u64 = LONGEST>(time::Duration);

text!({const MIN: u64, const MAX: u64} Duration<MIN, MAX>, {"type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$"});

/// Units in milliseconds, the longest first.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

fn with_unit(duration: time::Duration) -> String {
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let unit = UNITS.into_iter().find(|(_, unit)| ms > 0 && ms.is_multiple_of(*unit));
    unit.map_or_else(|| "0s".to_owned(), |(name, unit)| format!("{}{name}", ms / unit))
}

impl<const MIN: u64, const MAX: u64> Text for Duration<MIN, MAX> {
    fn parse(text: &str) -> Result<Self, String> {
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let unit = UNITS.into_iter().find(|(name, _)| *name == unit);
        let (Ok(number), Some((_, unit))) = (number.parse::<u64>(), unit) else {
            return Err(
                "must be a whole number and a unit, such as `500ms`, `90s`, `5m`, `12h` or `60d`".to_owned()
            );
        };
        let (min, max) = (time::Duration::from_secs(MIN), time::Duration::from_secs(MAX));
        let duration = number.checked_mul(unit).map(time::Duration::from_millis);
        let within = duration.filter(|duration| (min..=max).contains(duration));
        within.map(Self).ok_or_else(|| format!("must be between {} and {}", with_unit(min), with_unit(max)))
    }

    fn text(&self) -> String {
        with_unit(self.0)
    }
}

wraps!({const MIN: u64, const MAX: u64} Duration<MIN, MAX>: time::Duration);

/// A keyword for no value.
pub(super) trait Word {
    const WORD: &str;
}

pub(super) struct Never;
pub(super) struct Off;
pub(super) struct Auto;

impl Word for Never {
    const WORD: &str = "never";
}

impl Word for Off {
    const WORD: &str = "off";
}

impl Word for Auto {
    const WORD: &str = "auto";
}

/// A value, or a keyword for none.
pub(super) struct Either<W, T>(Option<T>, PhantomData<W>);

text!({W: Word, T: Text + JsonSchema} Either<W, T>, {"anyOf": [schema::<T>(), {"const": W::WORD}]});

impl<W: Word, T: Text> Text for Either<W, T> {
    fn parse(text: &str) -> Result<Self, String> {
        let value = if text == W::WORD { None } else { Some(T::parse(text)) };
        let value = value.transpose().map_err(|wrong| format!("{wrong}, or `{}`", W::WORD))?;
        Ok(Self(value, PhantomData))
    }

    fn text(&self) -> String {
        self.0.as_ref().map_or_else(|| W::WORD.to_owned(), T::text)
    }
}

impl<W: Word, Place, T: Text + Written<Place>> Written<Option<Place>> for Either<W, T> {
    fn write(place: &Option<Place>) -> Self {
        Self(place.as_ref().map(T::write), PhantomData)
    }

    fn read(self) -> Option<Place> {
        self.0.map(T::read)
    }
}

/// An array, or comma-separated text. Whitespace around items and empty items are ignored.
#[derive(Serialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub(super) struct List<T>(pub(super) Vec<T>);

impl<'de, T: DeserializeOwned> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let texts = texts(Value::deserialize(deserializer)?).map_err(D::Error::custom)?;
        let items = texts.into_iter().map(|text| T::deserialize(Value::String(text)));
        items.collect::<Result<_, _>>().map(Self).map_err(|error| D::Error::custom(error.message()))
    }
}

impl<Place, T: Written<Place>> Written<Vec<Place>> for List<T> {
    fn write(place: &Vec<Place>) -> Self {
        Self(place.iter().map(T::write).collect())
    }

    fn read(self) -> Vec<Place> {
        self.0.into_iter().map(T::read).collect()
    }
}

pub(super) fn texts(value: Value) -> Result<Vec<String>, String> {
    let texts: Vec<String> = match value {
        Value::String(text) => text.split(',').map(str::to_owned).collect(),
        Value::Array(items) => {
            let text = |item: Value| item.as_str().map(str::to_owned).ok_or("must be a list of texts");
            items.into_iter().map(text).collect::<Result<_, _>>()?
        }
        other => return Err(format!("cannot be a {}", other.type_str())),
    };
    Ok(texts.iter().map(|text| text.trim()).filter(|text| !text.is_empty()).map(str::to_owned).collect())
}

/// A table, or `NAME=VALUE`, comma-separated.
#[derive(JsonSchema)]
#[schemars(inline, with = "BTreeMap<String, String>")]
pub(super) struct Pairs(pub(super) Vec<(String, String)>);

no_default!(Pairs);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let pair = |text: String| {
            let (name, value) = text.split_once('=').ok_or("must be `NAME=VALUE`, comma-separated")?;
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        };
        match Value::deserialize(deserializer)? {
            Value::Table(pairs) => {
                let pair = |(name, value): (String, Value)| match value {
                    Value::String(text) => Ok((name, text)),
                    other => Err(D::Error::custom(format!("`{name}` cannot be a {}", other.type_str()))),
                };
                pairs.into_iter().map(pair).collect::<Result<_, _>>().map(Self)
            }
            value => {
                let texts = texts(value).map_err(D::Error::custom)?;
                texts.into_iter().map(pair).collect::<Result<_, &str>>().map(Self).map_err(D::Error::custom)
            }
        }
    }
}

wraps!(Pairs: Vec<(String, String)>);
