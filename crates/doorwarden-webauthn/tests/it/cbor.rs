//! The reader of CBOR: one spelling for each value.

use doorwarden_testkit::authenticator as writer;
use doorwarden_webauthn::cbor::{CborError, MAX_DEPTH, Value};
use proptest::prelude::*;

fn refused(bytes: &[u8]) -> CborError {
    Value::read(bytes).unwrap_err()
}

#[test]
fn values_of_every_kind_are_read() {
    let bytes = b"\xa6\x01\x1b\x00\x00\x00\x01\x00\x00\x00\x00\x20\x3b\xff\xff\xff\xff\xff\xff\xff\xff\
        \x41\x00\x82\xf4\xf5\x61a\xf6\x61b\x62\xc3\xa9\x62aa\xa0";
    let integer = |number: i128| Value::Integer(number);
    assert_eq!(
        Value::read(bytes),
        Ok(Value::Map(vec![
            (integer(1), integer(1 << 32)),
            (integer(-1), integer(-(1 << 64))),
            (Value::Bytes(&[0]), Value::Array(vec![Value::Bool(false), Value::Bool(true)])),
            (Value::Text("a"), Value::Null),
            (Value::Text("b"), Value::Text("é")),
            (Value::Text("aa"), Value::Map(vec![])),
        ]))
    );
}

#[test]
fn integers_and_lengths_are_as_short_as_possible() {
    for long in [
        &b"\x18\x17"[..],
        b"\x19\x00\xff",
        b"\x1a\x00\x00\xff\xff",
        b"\x1b\x00\x00\x00\x00\xff\xff\xff\xff",
        b"\x38\x17",
        b"\x58\x01\x00",
        b"\x79\x00\x01a",
        b"\x98\x01\x00",
        b"\xb9\x00\x01\x00\x00",
    ] {
        assert_eq!(refused(long), CborError::NotShortest, "{long:x?}");
    }
    for short in
        [&b"\x18\x18"[..], b"\x19\x01\x00", b"\x1a\x00\x01\x00\x00", b"\x1b\x00\x00\x00\x01\x00\x00\x00\x00"]
    {
        assert!(Value::read(short).is_ok(), "{short:x?}");
    }
}

#[test]
fn what_is_not_canonical_or_not_needed_is_refused() {
    for (bytes, error) in [
        (&b"\x5f\x41\x00\xff"[..], CborError::Indefinite),
        (b"\x7f\xff", CborError::Indefinite),
        (b"\x9f\xff", CborError::Indefinite),
        (b"\xbf\xff", CborError::Indefinite),
        (b"\xff", CborError::Indefinite),
        (b"\x1c", CborError::Unsupported),
        (b"\xc0\x00", CborError::Unsupported),     // a tag
        (b"\xf7", CborError::Unsupported),         // undefined
        (b"\xf8\x20", CborError::Unsupported),     // a simple value
        (b"\xf9\x3c\x00", CborError::Unsupported), // 1.0
        (b"\xfb\x3f\xf0\0\0\0\0\0\0", CborError::Unsupported),
        (b"\x61\xff", CborError::NotUtf8),
        (b"\xa1\x80\x00", CborError::BadKey),
        (b"\xa1\xf5\x00", CborError::BadKey),
        (b"\xa2\x02\x00\x01\x00", CborError::KeyOrder),
        (b"\xa2\x20\x00\x01\x00", CborError::KeyOrder), // negative integers come later
        (b"\xa2\x18\x18\x00\x01\x00", CborError::KeyOrder),
        (b"\xa2\x62aa\x00\x61b\x00", CborError::KeyOrder), // shorter strings come first
        (b"\xa2\x01\x00\x01\x00", CborError::DuplicateKey),
        (b"\xa2\x61a\x00\x61a\x01", CborError::DuplicateKey),
        (b"\x00\x00", CborError::Trailing),
        (b"", CborError::Truncated),
        (b"\x42\x00", CborError::Truncated),
        (b"\x5b\xff\xff\xff\xff\xff\xff\xff\xff", CborError::Truncated),
        (b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff", CborError::Truncated),
        (b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff", CborError::Truncated),
    ] {
        assert_eq!(refused(bytes), error, "{bytes:x?}");
    }
}

#[test]
fn the_depth_is_limited() {
    let nested = |depth| [vec![0x81; depth], vec![0]].concat();
    assert!(Value::read(&nested(MAX_DEPTH)).is_ok());
    assert_eq!(refused(&nested(MAX_DEPTH + 1)), CborError::TooDeep);
    assert_eq!(refused(&nested(1000)), CborError::TooDeep);
    assert_eq!(refused(&nested(1_000_000)), CborError::TooDeep);
}

/// Writes a value; the only inputs that are accepted are what this writes.
fn write(value: &Value<'_>) -> Vec<u8> {
    match value {
        Value::Integer(number) if i64::try_from(*number).is_ok() => {
            writer::integer(i64::try_from(*number).unwrap())
        }
        Value::Integer(number) => {
            let (major, rest) = if *number < 0 { (0x3b, -1 - number) } else { (0x1b, *number) };
            [&[major], &u64::try_from(rest).unwrap().to_be_bytes()[..]].concat()
        }
        Value::Bytes(bytes) => writer::byte_string(bytes),
        Value::Text(text) => writer::text(text),
        Value::Array(items) => {
            let mut head = writer::byte_string(&vec![0; items.len()]);
            head.truncate(head.len() - items.len());
            head[0] += 0x40;
            [head, items.iter().flat_map(write).collect()].concat()
        }
        Value::Map(entries) => {
            writer::map(&entries.iter().map(|(key, value)| (write(key), write(value))).collect::<Vec<_>>())
        }
        Value::Bool(is) => vec![0xf4 + u8::from(*is)],
        Value::Null => vec![0xf6],
    }
}

proptest! {
    #[test]
    fn what_is_accepted_is_what_a_canonical_writer_writes(bytes in prop::collection::vec(any::<u8>(), 0..24)) {
        if let Ok(value) = Value::read(&bytes) {
            prop_assert_eq!(write(&value), bytes);
        }
    }

    /// Bytes that are mostly heads of small values get further.
    #[test]
    fn small_values_have_one_spelling(
        bytes in prop::collection::vec(prop::sample::select(&b"\x00\x01\x17\x18\x20\x40\x41\x60\x61a\x80\x81\x82\xa0\xa1\xa2\xf4\xf6"[..]), 0..12)
    ) {
        if let Ok((value, rest)) = Value::read_prefix(&bytes) {
            prop_assert_eq!([&write(&value), rest].concat(), bytes);
        }
    }
}
