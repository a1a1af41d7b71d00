use super::*;
use proptest::prelude::*;

fn scan(text: &[u8]) -> Result<Vec<(String, String)>, Flaw> {
    let mut found = Vec::new();
    members(text, |name, value| {
        let utf8 = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        found.push((utf8(name), utf8(value.raw())));
        Ok::<(), Flaw>(())
    })?;
    Ok(found)
}

#[test]
fn members_are_returned_as_written() {
    let text = br#" { "a" : 1 , "\u0062":"x\"y", "c":[ 1 , {"a":null} ],"d":{} } "#;
    let expected = [("a", "1"), ("b", r#""x\"y""#), ("c", r#"[ 1 , {"a":null} ]"#), ("d", "{}")];
    assert_eq!(scan(text), Ok(expected.map(|(n, v)| (n.to_owned(), v.to_owned())).to_vec()));
    assert_eq!(scan(b"{}"), Ok(vec![]));
}

#[test]
fn one_name_in_two_spellings_is_a_duplicate() {
    for text in [
        r#"{"exp":1,"exp":1}"#,
        r#"{"exp":1,"\u0065xp":1}"#,
        r#"{"\u0065xp":1,"exp":1}"#,
        r#"{"":1,"":1}"#,
        r#"{"\/":1,"/":1}"#,
    ] {
        assert_eq!(scan(text.as_bytes()), Err(Flaw::Duplicate), "{text}");
    }
    assert_eq!(
        scan(br#"{"a":{"b":1,"b":2}}"#).map(|m| m.len()),
        Ok(1),
        "only the outermost object is checked"
    );
}

#[test]
fn members_and_depth_are_bounded() {
    let object = |n: usize| {
        let members: Vec<_> = (0..n).map(|i| format!("\"{i}\":{i}")).collect();
        format!("{{{}}}", members.join(","))
    };
    assert_eq!(scan(object(32).as_bytes()).map(|m| m.len()), Ok(32));
    assert_eq!(scan(object(33).as_bytes()), Err(Flaw::TooMany));
    let nested = |n: usize| format!("{{\"a\":{}{}}}", "[".repeat(n), "]".repeat(n));
    assert_eq!(scan(nested(31).as_bytes()).map(|m| m.len()), Ok(1));
    assert_eq!(scan(nested(32).as_bytes()), Err(Flaw::Syntax));
    assert_eq!(scan("{\"a\":".repeat(5000).as_bytes()), Err(Flaw::Syntax));
}

#[test]
fn what_is_not_one_json_object_is_refused() {
    for text in [
        "",
        " ",
        "{",
        "}",
        "[]",
        "1",
        "null",
        "\"\"",
        "{}{}",
        "{} x",
        "{},",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{,}",
        "{a:1}",
        "{'a':1}",
        "{\"a\":01}",
        "{\"a\":+1}",
        "{\"a\":.5}",
        "{\"a\":1.}",
        "{\"a\":1e}",
        "{\"a\":-}",
        "{\"a\":NaN}",
        "{\"a\":Infinity}",
        "{\"a\":tru}",
        "{\"a\":\"\t\"}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":\"\\udc00\"}",
        "{\"a\":\"\\ud800\\u0041\"}",
        "{\"a\":1}\0",
        "\u{feff}{}",
        "{/**/}",
        "{\"a\":[1,]}",
        "{\"a\":[1}",
        "{\"a\":\"",
    ] {
        assert_eq!(scan(text.as_bytes()), Err(Flaw::Syntax), "{text}");
    }
    assert_eq!(scan(b"{\"a\":\"\xff\"}"), Err(Flaw::Syntax));
    assert_eq!(scan(b"{\0\"\0a\0\"\0"), Err(Flaw::Syntax));
}

#[test]
fn arrays_and_strings_are_parsed() {
    let value = |text: &'static str| Value(text.as_bytes());
    let raws = |text| value(text).elements().map(|e| e.iter().map(|v| v.raw().to_vec()).collect::<Vec<_>>());
    assert_eq!(raws("[]"), Some(vec![]));
    assert_eq!(raws("[ 1 , [2,3] ,\"]\"]"), Some(vec![b"1".to_vec(), b"[2,3]".to_vec(), b"\"]\"".to_vec()]));
    assert_eq!(raws("{}"), None);
    assert_eq!(value(r#"["a","\u00e4\/"]"#).texts(), Some(vec!["a".to_owned(), "ä/".to_owned()]));
    assert_eq!(value(r#"["a",1]"#).texts(), None);
    assert_eq!(value("7").text(), None);
}

#[test]
fn numbers_are_parsed_exactly() {
    let integer = |text: &'static str| Value(text.as_bytes()).integer();
    assert_eq!(integer("-9223372036854775808"), Some(i64::MIN));
    assert_eq!(integer("9223372036854775807"), Some(i64::MAX));
    for other in ["9223372036854775808", "1.0", "1e3", "\"1\"", "true", "null", "[1]"] {
        assert_eq!(integer(other), None, "{other}");
    }
    let seconds = |text: &'static str| Value(text.as_bytes()).seconds();
    assert_eq!(seconds("1700000300.5"), Some(1_700_000_300));
    assert_eq!(seconds("1.7e9"), Some(1_700_000_000));
    assert_eq!(seconds("9007199254740991"), Some(9_007_199_254_740_991));
    for other in
        ["9007199254740992", "-9007199254740992", "1e30", "1e400", "-1e400", "\"1\"", "true", "[]", "null"]
    {
        assert_eq!(seconds(other), None, "{other}");
    }
}

#[test]
fn the_end_of_a_string_is_found_at_every_place() {
    for before in 0..40 {
        for (special, after) in [(b'"', b'x'), (b'\\', b'"'), (0x1f, 0x00), (0x00, b'"'), (b'"', b'"')] {
            for filler in [b'x', b' ', b'!', b'#', b'[', b']', 0x7f, 0x80, 0xa2, 0xdc, 0xff] {
                let mut text = vec![filler; before];
                text.extend([special, after]);
                text.extend([filler; 9]);
                assert_eq!(plain(&text), before, "{special:#x} behind {before} times {filler:#x}");
                assert_eq!(plain(&text[..before]), before);
            }
        }
    }
}

proptest! {
    /// serde_json is the reference for what is JSON. It differs on purpose in duplicates, depth and the
    /// number of members.
    #[test]
    fn it_agrees_with_serde_json_on_what_is_json(text in "\\{(\"[ab\\\\u0061]{0,6}\":[-0-9.eE\"tru\\[\\]{}:, ]{0,8},?){0,3}\\}?") {
        let reference = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&text);
        match scan(text.as_bytes()) {
            // serde_json refuses numbers beyond f64, which are JSON nevertheless.
            Ok(found) => if let Ok(map) = reference { prop_assert_eq!(found.len(), map.len()) }
                else { prop_assert!(text.contains(['e', 'E'])) },
            Err(Flaw::Duplicate) => {}
            Err(_) => prop_assert!(reference.is_err()),
        }
    }

    #[test]
    fn no_bytes_make_it_panic(text in prop::collection::vec(any::<u8>(), 0..64)) {
        let _verdict = scan(&text);
    }
}
