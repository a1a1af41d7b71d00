//! A reader of CBOR (RFC 8949) in the canonical form of CTAP2 (section 8, "Message Encoding"), which
//! authenticators must write: one spelling for each value.
//!
//! Integers and lengths are as short as possible, lengths are definite, the keys of a map are integers or
//! strings in canonical order and none occurs twice, and there are no tags. Floating-point numbers and
//! `undefined`, which nothing in WebAuthn uses, are refused as well.

use std::cmp::Ordering;

/// How deep arrays and maps may be nested. CTAP2 allows four levels; a compound attestation has five.
pub const MAX_DEPTH: usize = 8;

/// A value, which borrows its strings from the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'a> {
    /// An integer, major types 0 and 1.
    Integer(i128),
    /// A byte string.
    Bytes(&'a [u8]),
    /// A text string.
    Text(&'a str),
    /// An array.
    Array(Vec<Value<'a>>),
    /// A map, in the order of its keys.
    Map(Vec<(Value<'a>, Value<'a>)>),
    /// `true` or `false`.
    Bool(bool),
    /// `null`.
    Null,
}

/// Why bytes are not canonical CBOR.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CborError {
    /// The input ends within a value.
    #[error("the CBOR ends within a value")]
    Truncated,
    /// Bytes follow the value.
    #[error("bytes follow the CBOR")]
    Trailing,
    /// An integer or a length is not in its shortest form.
    #[error("an integer or a length is not in its shortest form")]
    NotShortest,
    /// A string, an array or a map has an indefinite length.
    #[error("a length is indefinite")]
    Indefinite,
    /// A tag, a floating-point number, or a simple value other than `true`, `false` and `null`.
    #[error("a tag, a floating-point number or an unknown simple value")]
    Unsupported,
    /// A text string is not UTF-8.
    #[error("a text string is not UTF-8")]
    NotUtf8,
    /// A key is neither an integer nor a string.
    #[error("the key of a map is neither an integer nor a string")]
    BadKey,
    /// The keys of a map are not in canonical order.
    #[error("the keys of a map are not in canonical order")]
    KeyOrder,
    /// A key occurs twice in a map.
    #[error("a key occurs twice in a map")]
    DuplicateKey,
    /// Arrays and maps are nested deeper than [`MAX_DEPTH`].
    #[error("arrays and maps are nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
}

impl<'a> Value<'a> {
    /// Reads the one value that the input consists of.
    pub fn read(input: &'a [u8]) -> Result<Self, CborError> {
        match Self::read_prefix(input)? {
            (value, []) => Ok(value),
            _ => Err(CborError::Trailing),
        }
    }

    /// Reads the value that the input begins with, and returns what follows it.
    pub fn read_prefix(input: &'a [u8]) -> Result<(Self, &'a [u8]), CborError> {
        let mut reader = Reader(input);
        let value = reader.value(0)?;
        Ok((value, reader.0))
    }

    /// The entries, if this is a map.
    pub fn as_map(&self) -> Option<&[(Value<'a>, Value<'a>)]> {
        if let Self::Map(entries) = self { Some(entries) } else { None }
    }

    /// The integer, if this is one of at most 64 bits with its sign.
    pub fn as_integer(&self) -> Option<i64> {
        if let Self::Integer(number) = self { (*number).try_into().ok() } else { None }
    }

    /// The bytes, if this is a byte string.
    pub fn as_bytes(&self) -> Option<&'a [u8]> {
        if let Self::Bytes(bytes) = self { Some(bytes) } else { None }
    }

    /// The text, if this is a text string.
    pub fn as_text(&self) -> Option<&'a str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }
}

/// What is left of the input.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: u64) -> Result<&'a [u8], CborError> {
        let count = usize::try_from(count).map_err(|_| CborError::Truncated)?;
        let (taken, rest) = self.0.split_at_checked(count).ok_or(CborError::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    /// The major type and the argument of the next value (RFC 8949, section 3).
    fn head(&mut self) -> Result<(u8, u64), CborError> {
        let first = self.take(1)?[0];
        let (major, info) = (first >> 5, first & 0x1f);
        // The length of the argument in bytes, and the least value that needs it.
        let (length, least) = match info {
            0..=23 => return Ok((major, u64::from(info))),
            24 => (1, 24),
            25 => (2, 1 << 8),
            26 => (4, 1 << 16),
            27 => (8, 1 << 32),
            28..=30 => return Err(CborError::Unsupported),
            _ => return Err(CborError::Indefinite),
        };
        let bytes = self.take(length)?;
        // The argument of a simple value is not a number; a floating-point number keeps its length.
        if major == 7 {
            return Err(CborError::Unsupported);
        }
        let argument = bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        if argument < least { Err(CborError::NotShortest) } else { Ok((major, argument)) }
    }

    fn value(&mut self, depth: usize) -> Result<Value<'a>, CborError> {
        let (major, argument) = self.head()?;
        if matches!(major, 4 | 5) && depth == MAX_DEPTH {
            return Err(CborError::TooDeep);
        }
        Ok(match (major, argument) {
            (0, _) => Value::Integer(argument.into()),
            (1, _) => Value::Integer(-1 - i128::from(argument)),
            (2, _) => Value::Bytes(self.take(argument)?),
            (3, _) => Value::Text(str::from_utf8(self.take(argument)?).map_err(|_| CborError::NotUtf8)?),
            (4, _) => Value::Array((0..argument).map(|_| self.value(depth + 1)).collect::<Result<_, _>>()?),
            (5, _) => self.map(argument, depth + 1)?,
            (7, 20) => Value::Bool(false),
            (7, 21) => Value::Bool(true),
            (7, 22) => Value::Null,
            _ => return Err(CborError::Unsupported),
        })
    }

    fn map(&mut self, count: u64, depth: usize) -> Result<Value<'a>, CborError> {
        let mut entries = Vec::new();
        let mut last: &[u8] = &[];
        for _ in 0..count {
            let start = self.0;
            let key = self.value(depth)?;
            if !matches!(key, Value::Integer(_) | Value::Bytes(_) | Value::Text(_)) {
                return Err(CborError::BadKey);
            }
            let encoded = &start[..start.len() - self.0.len()];
            if !last.is_empty() {
                match canonical_order(last, encoded) {
                    Ordering::Less => {}
                    Ordering::Equal => return Err(CborError::DuplicateKey),
                    Ordering::Greater => return Err(CborError::KeyOrder),
                }
            }
            last = encoded;
            entries.push((key, self.value(depth)?));
        }
        Ok(Value::Map(entries))
    }
}

/// The order of encoded keys: by major type, then by length, then by bytes.
fn canonical_order(one: &[u8], other: &[u8]) -> Ordering {
    let rank = |key: &[u8]| (key[0] >> 5, key.len());
    rank(one).cmp(&rank(other)).then_with(|| one.cmp(other))
}
