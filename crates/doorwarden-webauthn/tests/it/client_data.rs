//! Client data: JSON with one meaning.

use doorwarden_webauthn::client_data::{ClientData, ClientDataError};
use proptest::prelude::*;

const CHALLENGE: &str = "AAAAAAAAAAAAAAAAAAAAAA";

fn parse(text: &str) -> Result<ClientData, ClientDataError> {
    ClientData::parse(text.as_bytes())
}

/// Client data with these further members.
fn with(members: &str) -> String {
    format!(r#"{{"type":"webauthn.get","challenge":"{CHALLENGE}","origin":"https://a.example"{members}}}"#)
}

#[test]
fn known_members_are_read_and_others_ignored() {
    let read = parse(&with(r#","crossOrigin":true,"topOrigin":"https://b.example","x":[1.5,null,{"y":-1}]"#))
        .unwrap();
    assert_eq!((read.kind.as_str(), read.origin.as_str()), ("webauthn.get", "https://a.example"));
    assert_eq!(read.challenge.as_bytes(), [0; 16]);
    assert_eq!((read.cross_origin, read.top_origin.as_deref()), (true, Some("https://b.example")));
    let read = parse(&with("")).unwrap();
    assert_eq!((read.cross_origin, read.top_origin), (false, None));
}

#[test]
fn a_byte_order_mark_is_skipped_once() {
    let text = with("");
    assert_eq!(parse(&format!("\u{feff}{text}")), parse(&text));
    assert_eq!(parse(&format!("\u{feff}\u{feff}{text}")), Err(ClientDataError::NotJson));
}

#[test]
fn duplicate_members_are_refused_at_any_depth_and_in_any_spelling() {
    let duplicate = |name: &str| Err(ClientDataError::DuplicateMember(name.into()));
    assert_eq!(parse(&with(r#","origin":"https://a.example""#)), duplicate("origin"));
    assert_eq!(parse(&with(r#","\u006frigin":"https://b.example""#)), duplicate("origin"));
    assert_eq!(parse(&with(r#","x":1,"x":1"#)), duplicate("x"));
    assert_eq!(parse(&with(r#","x":[{"y":{"z":1,"z":2}}]"#)), duplicate("z"));
}

#[test]
fn what_is_not_one_object_is_refused() {
    let good = with("");
    for text in
        ["", "{}x", "[]", "null", "\"\"", "{", &good[1..], &format!("{good}{good}"), &good.replace('"', "'")]
    {
        let expected = ClientDataError::NotJson;
        assert_eq!(parse(text), Err(expected), "{text}");
    }
    assert_eq!(parse(&with(r#","x":"\ud800""#)), Err(ClientDataError::NotJson), "a lone surrogate");
    assert_eq!(parse(&with(&format!(r#","x":{}"#, "[".repeat(100_000)))), Err(ClientDataError::NotJson));
    assert_eq!(ClientData::parse(b"{\"type\":\"\xff\"}"), Err(ClientDataError::NotUtf8));
    assert_eq!(ClientData::parse(b"\xff\xfe{\0}\0"), Err(ClientDataError::NotUtf8));
}

#[test]
fn members_are_there_and_have_their_types() {
    let good = with("");
    for name in ["type", "challenge", "origin"] {
        let renamed = good.replace(&format!("\"{name}\""), "\"other\"");
        assert_eq!(parse(&renamed), Err(ClientDataError::Missing(name)));
    }
    for (member, wrong) in [
        ("\"type\":\"webauthn.get\"", "\"type\":null"),
        ("\"origin\":\"https://a.example\"", "\"origin\":[\"https://a.example\"]"),
    ] {
        let name = if member.contains("type") { "type" } else { "origin" };
        assert_eq!(parse(&good.replace(member, wrong)), Err(ClientDataError::Malformed(name)));
    }
    for cross_origin in ["\"yes\"", "1", "null", "\"true\""] {
        let text = with(&format!(",\"crossOrigin\":{cross_origin}"));
        assert_eq!(parse(&text), Err(ClientDataError::Malformed("crossOrigin")), "{cross_origin}");
    }
    assert_eq!(parse(&with(",\"topOrigin\":null")), Err(ClientDataError::Malformed("topOrigin")));
}

#[test]
fn a_challenge_has_one_spelling_and_at_least_sixteen_bytes() {
    let spellings = [
        "",
        "AAAA",
        "AAAAAAAAAAAAAAAAAAAA", // 15 bytes
        "AAAAAAAAAAAAAAAAAAAAAA==",
        "AAAAAAAAAAAAAAAAAAAAAB", // bits that are not used
        "AAAAAAAAAAAAAAAAAAAA+A",
        "AAAAAAAAAAAAAAAAAAAAA ",
    ];
    for spelling in spellings {
        let text = with("").replace(CHALLENGE, spelling);
        assert_eq!(parse(&text), Err(ClientDataError::Malformed("challenge")), "{spelling:?}");
    }
}

proptest! {
    #[test]
    fn what_is_accepted_is_what_serde_json_reads(extra in "[\\[\\]{}\",:a0u\\\\ ]{0,16}") {
        let text = with(&format!(",\"x\":{extra}"));
        if let Ok(read) = parse(&text) {
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(value["origin"].as_str().unwrap(), read.origin);
        }
    }
}
