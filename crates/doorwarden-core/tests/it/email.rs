use doorwarden_core::error::FieldError;
use doorwarden_core::identity::{EmailAddress, EmailError, EmailKey};
use proptest::prelude::*;
use serde_json::Value;

fn stored(raw: &str) -> String {
    EmailAddress::check(raw).unwrap_or_else(|e| panic!("{raw:?}: {e:?}")).as_str().to_owned()
}

fn is_refused(raw: &str) -> bool {
    EmailAddress::check(raw) == Err(vec![EmailError::Invalid])
}

fn key(address: &str) -> String {
    EmailKey::of(address).as_str().to_owned()
}

/// The one address that Django accepts and we do not: a reader does not see its zero-width space.
const STRICTER_THAN_DJANGO: [&str; 1] = ["user@ex\u{200b}ample.com"];

#[test]
fn syntax_is_that_of_django() {
    let vectors: Value = serde_json::from_str(include_str!("../data/django_email_validator.json")).unwrap();
    let mut seen = 0;
    for case in vectors["cases"].as_array().unwrap() {
        // Django's validator does not cut blanks and sees what is no text; the form field before it does
        // both.
        let Some(value) = case["value"].as_str().filter(|v| v.trim() == *v) else { continue };
        let is_valid = case["valid"].as_bool().unwrap() && !STRICTER_THAN_DJANGO.contains(&value);
        let too_long = value.chars().count() > EmailAddress::MAX_CHARS;
        assert_eq!(EmailAddress::check(value).is_ok(), is_valid && !too_long, "{value:?}");
        seen += 1;
    }
    assert!(seen > 60, "{seen}");
}

#[test]
fn complaints_come_all_at_once_in_the_order_of_django_rest_framework() {
    assert_eq!(EmailAddress::check(""), Err(vec![EmailError::Blank]));
    assert_eq!(EmailAddress::check(" \u{3000}\x1f"), Err(vec![EmailError::Blank]));
    let label = "d".repeat(60);
    let domain = [label.as_str(); 4].join(".");
    assert_eq!(stored(&format!("lllllll@{domain}.co")).chars().count(), 254);
    assert_eq!(EmailAddress::check(&format!("llllllll@{domain}.co")), Err(vec![EmailError::TooLong]));
    assert_eq!(EmailAddress::check(&"x".repeat(255)), Err(vec![EmailError::TooLong, EmailError::Invalid]));
    // 321 characters of good syntax are too many for the validator, too.
    let local = "l".repeat(321 - domain.len() - 4);
    assert_eq!(
        EmailAddress::check(&format!("{local}@{domain}.co")),
        Err(vec![EmailError::TooLong, EmailError::Invalid])
    );
}

#[test]
fn complaints_have_the_words_and_codes_of_django_rest_framework() {
    let said = |e: EmailError| FieldError::from(e);
    assert_eq!(said(EmailError::Blank), FieldError::blank());
    assert_eq!(said(EmailError::TooLong), FieldError::max_length(254));
    assert_eq!(said(EmailError::Invalid), FieldError::new("invalid", "Enter a valid email address."));
    assert_eq!("x".parse::<EmailAddress>(), Err(EmailError::Invalid));
}

#[test]
fn blanks_around_are_cut_and_only_the_domain_is_put_in_lower_case() {
    assert_eq!(stored("  Carol.Upper@EXAMPLE.Org\n"), "Carol.Upper@example.org");
    assert_eq!(stored("\"A@B\"@EXAMPLE.org"), "\"A@B\"@example.org");
    assert_eq!(stored("a@ΟΔΟΣ.GR"), "a@οδοσ.gr", "no final sigma");
}

#[test]
fn what_is_stored_already_is_taken_as_it_is() {
    for text in ["", "no at", "A@B", "a\u{200b}@EXAMPLE.org"] {
        assert_eq!(EmailAddress::from_stored(text).as_str(), text);
    }
}

#[test]
fn case_makes_no_second_account() {
    for variant in ["jane@example.org", "JANE@example.org", "jane@EXAMPLE.ORG", "jAnE@eXaMpLe.oRg"] {
        assert_eq!(key(variant), "jane@example.org");
    }
    assert_eq!(key("JANE@MÜNCHEN.example"), key("jane@münchen.example"));
    assert_eq!(key("ÄRGER@example.org"), key("ärger@example.org"), "imported addresses, too");
}

#[test]
fn look_alikes_reach_the_same_account_or_none() {
    let victim = key("mike@example.org");
    let victim_ss = key("mike@strasse.example");
    // Delivered to the same host, so the same account.
    for same in ["mike@ｅxample.org", "mike@EXAMPLE.ORG", "mike@example.oʳg", "mike@examp\u{2113}e.org"] {
        assert_eq!(key(same), victim, "{same:?}");
    }
    // CVE-2019-19844: nothing in the local part folds to another's.
    for other in ["mıke@example.org", "mİke@example.org", "mi\u{212a}e@example.org", "ｍike@example.org"] {
        assert_ne!(key(other), victim, "{other:?}");
        assert!(is_refused(other), "{other:?}");
    }
    for other in
        ["mike＠example.org", "mike@examp\u{200d}le.org", "mike@exa\u{ad}mple.org", "mike@example。org"]
    {
        assert_ne!(key(other), victim, "{other:?}");
        assert!(is_refused(other), "{other:?}");
    }
    for other in ["mike@straße.example", "mike@STRAẞE.example"] {
        assert_ne!(key(other), victim_ss, "{other:?}");
        assert!(is_refused(other), "{other:?}");
    }
    assert!(is_refused("mike@example.org."), "a dot at the end is the same host");
    assert!(is_refused(&format!("mike@{}.org", "é".repeat(60))), "no host has a label of 64 characters");
}

#[test]
fn a_unicode_domain_and_its_punycode_are_one_account() {
    // RFC 3492, section 7.1, where the label is one that IDNA maps to itself.
    for (unicode, ascii) in [
        ("ليهمابتكلموشعربي؟", "egbpdaj6bu4bxfgehfvwxn"),
        ("他们为什么不说中文", "ihqwcrb4cv8a8dqg056pqjye"),
        ("למההםפשוטלאמדבריםעברית", "4dbcagdahymbxekheh6e0a7fei0b"),
        ("почемужеонинеговорятпорусски", "b1abfaaepdrnnbgefbadotcwatmq2g4l"),
        ("3年b組金八先生", "3b-ww4c5e180e575a65lsy2b"),
        ("パフィーdeルンバ", "de-jg4avhby1noc0d"),
    ] {
        let (unicode, ascii) = (format!("a@{unicode}.example"), format!("a@xn--{ascii}.example"));
        assert_eq!(key(&unicode), ascii, "{unicode}");
        assert_eq!(key(&stored(&unicode)), key(&stored(&ascii)));
    }
    assert_eq!(key("a@cafe\u{301}.example"), key("a@café.example"), "composed or not");
    assert_eq!(key("a@xn--strae-oqa.example"), "a@xn--strae-oqa.example");
    assert_eq!(stored("a@xn--strae-oqa.example"), "a@xn--strae-oqa.example", "in Punycode there is no doubt");
}

#[test]
fn what_only_looks_like_punycode_is_refused() {
    // RUSTSEC-2024-0421 and its kind: decoders that are lax see another name.
    for label in
        ["xn--example-", "xn--", "xn---", "xn--a", "xn--0", "xn--99999999", "xn--MAJ-", "xn--bcher-kv"]
    {
        assert!(is_refused(&format!("a@{label}.org")), "{label}");
        assert_ne!(key(&format!("a@{label}.org")), "a@example.org");
    }
    // Punycode of what is not folded, is invisible, is a full stop, or is unassigned.
    for label in ["xn--bcher-2pa", "xn--example-3z6c", "xn--ab-r13a", "xn--a-pib"] {
        assert!(is_refused(&format!("a@{label}.org")), "{label}");
    }
    assert!(is_refused("a@ｘn--example-.org"));
}

#[test]
fn no_second_recipient_or_header_fits_into_an_address() {
    for raw in [
        "a@x.example,b@y.example",
        "a@x.example, b@y.example",
        "a@x.example;b@y.example",
        "<a@x.example>",
        "Jane <a@x.example>",
        "a@x.example\r\nBcc: b@y.example",
        "a\r\n@x.example",
        "\"a\r\nBcc: b\"@x.example",
        "\"a\\\nb\"@x.example",
        "\"a\x1b[2J\"@x.example",
        "\"a\\\x7f\"@x.example",
        "a@x.example\0",
        "a@x.example\u{2028}b",
        "a@b\u{ff20}c.example",
        "a%b@c@d.example",
        "(a)b@x.example",
        ".@x.example",
        "a@[127.0.0.1",
        "a@[fe80::1%eth0]",
        "a@[0000:0000:0000:0000:0000:ffff:127.127.127.127]",
    ] {
        assert!(is_refused(raw), "{raw:?}");
    }
    // A quoted local part is one recipient at the host after the last `@`.
    assert_eq!(stored("\"e@attacker.example\"@victim.example"), "\"e@attacker.example\"@victim.example");
}

/// Pieces of which addresses, good and bad, are made.
fn any_address() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-zA-Z0-9.@-]{1,6}",
        1 => "xn--[a-z0-9-]{0,12}",
        1 => proptest::sample::select(vec!["@", ".", "\"", "\\", "[", "]", "::", "localhost", ".org", " ", "\t"])
            .prop_map(str::to_owned),
        1 => "[äßςΣİıſẞｅ。ﬃᾳ\u{212a}\u{200d}\u{301}\u{345}]{1,3}",
        1 => any::<char>().prop_map(String::from),
    ];
    proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

fn domain_of_all_scripts() -> impl Strategy<Value = String> {
    "[a-z0-9¡-\u{2fff}\u{3040}-\u{d7ff}\u{f900}-\u{ffff}-]{1,20}"
        .prop_map(|label| format!("jane@{label}.example"))
}

proptest! {
    #[test]
    fn what_is_accepted_is_accepted_again_unchanged(raw in prop_oneof![any_address(), domain_of_all_scripts()]) {
        if let Ok(address) = EmailAddress::check(&raw) {
            prop_assert_eq!(EmailAddress::check(address.as_str()), Ok(address.clone()));
            prop_assert_eq!(address.key(), EmailKey::of(python_stripped(&raw)), "typed or stored, the key is one");
            prop_assert!(address.key().as_str().is_ascii());
            // Django takes hyphens in a top-level label, and digits in its Punycode, but not both.
            if address.as_str().rsplit('.').next().is_some_and(str::is_ascii) {
                prop_assert!(EmailAddress::check(address.key().as_str()).is_ok(), "{:?}", address.key());
            }
        }
    }

    #[test]
    fn a_key_is_its_own_key(raw in prop_oneof![any_address(), domain_of_all_scripts()]) {
        let key = EmailKey::of(&raw);
        prop_assert_eq!(EmailKey::of(key.as_str()), key);
    }

    #[test]
    fn keys_of_ascii_are_its_lower_case(raw in "[ -~]{0,40}") {
        prop_assert_eq!(key(&raw), raw.to_ascii_lowercase());
        prop_assert_eq!(key(&raw.to_ascii_uppercase()), key(&raw));
    }

    #[test]
    fn no_local_part_beyond_ascii_reaches_an_ascii_one(c in any::<char>().prop_filter("beyond", |c| !c.is_ascii())) {
        let key = key(&format!("{c}@example.org"));
        prop_assert!(!key.is_ascii(), "{}", key);
    }
}

fn python_stripped(raw: &str) -> &str {
    doorwarden_core::text::python_strip(raw)
}
