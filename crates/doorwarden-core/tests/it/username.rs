use caseless::Caseless as _;
use doorwarden_core::error::FieldError;
use doorwarden_core::identity::{Username, UsernameError, UsernameKey};
use proptest::prelude::*;
use std::collections::HashMap;
use unicode_normalization::UnicodeNormalization as _;

fn stored(raw: &str) -> String {
    Username::check(raw).unwrap_or_else(|e| panic!("{raw:?}: {e:?}")).as_str().to_owned()
}

fn key(name: &str) -> String {
    UsernameKey::of(name).as_str().to_owned()
}

#[test]
fn whatever_can_be_seen_is_a_name() {
    for name in [
        "alice",
        "Jane Doe",
        "alice@example.com",
        "<script>alert(1)</script>",
        "o'connell",
        "en–dash",
        "日本語",
        "أحمد",
        "ᴮᴵᴳᴮᴵᴿᴰ",
        "Ⅷ",
        "🦀",
        "👍🏽",
        "🇨🇭",
        "a\u{a0}b",
        ".",
        "-",
        "' OR 1=1 --",
        "नमस्ते",
        "é",
        "null",
        "0",
    ] {
        assert_eq!(stored(name), name);
    }
}

#[test]
fn blanks_around_are_cut_and_marks_are_composed() {
    assert_eq!(stored("  padded \u{3000}\n"), "padded");
    assert_eq!(stored("cafe\u{301}"), "caf\u{e9}");
}

#[test]
fn complaints_come_all_at_once_in_the_order_of_django_rest_framework() {
    use UsernameError::{Blank, Invisible, Null, TooLong};
    assert_eq!(Username::check(""), Err(vec![Blank]));
    assert_eq!(Username::check(" \t\u{2003}"), Err(vec![Blank]));
    assert_eq!(Username::check("a\0b"), Err(vec![Null]));
    assert_eq!(Username::check(&"\0\x07".repeat(128)), Err(vec![TooLong, Null, Invisible]));
    assert_eq!(stored(&"ü".repeat(255)).chars().count(), 255);
    assert_eq!(Username::check(&"ü".repeat(256)), Err(vec![TooLong]));
    assert_eq!(stored(&"u\u{308}".repeat(255)), "ü".repeat(255), "counted as stored");
}

#[test]
fn complaints_have_the_words_and_codes_of_django() {
    assert_eq!(FieldError::from(UsernameError::Blank), FieldError::blank());
    assert_eq!(FieldError::from(UsernameError::TooLong), FieldError::max_length(255));
    assert_eq!(
        FieldError::from(UsernameError::Null),
        FieldError::new("null_characters_not_allowed", "Null characters are not allowed.")
    );
    assert_eq!(UsernameError::Invisible.code(), "invalid");
    assert_eq!("a\0".parse::<Username>(), Err(UsernameError::Null));
}

#[test]
fn what_cannot_be_seen_is_refused() {
    for c in [
        '\u{1}',
        '\u{7f}',
        '\u{85}',
        '\u{ad}',
        '\u{34f}',
        '\u{61c}',
        '\u{115f}',
        '\u{1160}',
        '\u{17b4}',
        '\u{180b}',
        '\u{180e}',
        '\u{200b}',
        '\u{200c}',
        '\u{200d}',
        '\u{200e}',
        '\u{2028}',
        '\u{202e}',
        '\u{2060}',
        '\u{2066}',
        '\u{2800}',
        '\u{3164}',
        '\u{378}',
        '\u{e000}',
        '\u{fdd0}',
        '\u{fe0f}',
        '\u{feff}',
        '\u{ffa0}',
        '\u{fff9}',
        '\u{ffff}',
        '\u{1d173}',
        '\u{e0041}',
        '\u{e0100}',
        '\u{10fffd}',
    ] {
        assert_eq!(Username::check(&format!("a{c}b")), Err(vec![UsernameError::Invisible]), "{c:?}");
    }
}

#[test]
fn what_is_stored_already_is_taken_as_it_is() {
    for name in ["", " ", "a\u{200b}", "\u{1}"] {
        assert_eq!(Username::from_stored(name).as_str(), name);
    }
}

#[test]
fn one_name_in_other_clothes_is_one_key() {
    for (variant, plain) in [
        ("Alice", "alice"),
        ("ＡＬＩＣＥ", "alice"),
        ("𝒶𝓁𝒾𝒸ℯ", "alice"),
        ("Straße", "strasse"),
        ("STRASSE", "strasse"),
        ("ﬁn", "fin"),
        ("Ⅷ", "viii"),
        ("ΣΊΣΥΦΟΣ", "σίσυφος"),
        ("cafe\u{301}", "café"),
        ("K", "k"),
        ("a\u{200b}b", "ab"),
        ("Ꭰ", "ꭰ"),
        ("a\u{a0}b", "a b"),
        ("ᾼ", "αι"),
        ("ῼ\u{342}", "ῷ"),
    ] {
        assert_eq!(key(variant), key(plain), "{variant}");
    }
    assert_ne!(key("ı"), key("i"));
    assert_ne!(key("а"), key("a"), "Cyrillic and Latin");
}

/// A second implementation as the judge. It folds Cherokee to upper case, we to lower case.
#[test]
fn every_character_folds_as_in_unicode() {
    let mut of_key: HashMap<String, String> = HashMap::new();
    // Without the Han and Hangul blocks in the middle, which do not fold.
    let characters = ('\0'..'\u{3400}').chain('\u{a4d0}'..'\u{ac00}').chain('\u{f900}'..'\u{1fbff}');
    for c in characters.filter(|c| Username::check(&format!("x{c}x")).is_ok()) {
        let text = c.to_string();
        let expected = fold_with_caseless(&text);
        let ours = key(&text);
        if expected != text && !('\u{13a0}'..='\u{13ff}').contains(&expected.chars().next().unwrap()) {
            assert_eq!(ours, expected, "{c:?}");
        }
        let other = of_key.entry(ours).or_insert_with(|| expected.clone());
        if fold_with_caseless(&expected) != *other {
            // Letters newer than the judge's Unicode.
            assert_eq!(other.to_lowercase(), expected.to_lowercase(), "{c:?}");
        }
    }
}

fn fold_with_caseless(text: &str) -> String {
    let round = |text: &str| text.nfkc().default_case_fold().nfkc().collect::<String>();
    round(&round(text))
}

/// Names of characters that fold in unusual ways, among plain ones.
fn any_name() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[a-zA-Z @.]{0,4}[äÄßẞςΣİıſΰǰŉﬃᾳ\u{212a}\u{301}\u{308}\u{345}\u{323}가ᄀ\u{1161}]{0,6}[ -~]{0,4}",
        "[\u{300}-\u{370}\u{1e00}-\u{1fff}]{0,8}",
        "[\u{2000}-\u{2fff}\u{3000}-\u{33ff}\u{fb00}-\u{ffff}]{0,8}",
    ]
}

proptest! {
    #[test]
    fn what_is_accepted_is_accepted_again_unchanged(raw in any_name()) {
        if let Ok(name) = Username::check(&raw) {
            prop_assert_eq!(Username::check(name.as_str()), Ok(name.clone()));
            prop_assert_eq!(name.key(), UsernameKey::of(doorwarden_core::text::python_strip(&raw)));
            prop_assert!(!name.key().as_str().is_empty());
        }
    }

    #[test]
    fn a_key_is_its_own_key(raw in any_name()) {
        let key = UsernameKey::of(&raw);
        prop_assert_eq!(UsernameKey::of(key.as_str()), key);
    }

    #[test]
    fn case_makes_no_second_name(raw in any_name()) {
        // The upper case of the dotless i is that of another letter, and a lone U+0345 goes elsewhere in
        // upper case.
        let is_plain = |name: &Username| !name.as_str().contains(['ı', '\u{345}']);
        if let Some(name) = Username::check(&raw).ok().filter(is_plain) {
            let decomposed: String = name.as_str().nfd().collect();
            prop_assert_eq!(UsernameKey::of(&decomposed.to_lowercase()), name.key());
            prop_assert_eq!(UsernameKey::of(&decomposed.to_uppercase()), name.key());
        }
    }

    #[test]
    fn keys_of_ascii_are_its_lower_case(raw in "[ -~]{0,40}") {
        prop_assert_eq!(key(&raw), raw.to_ascii_lowercase());
    }
}

#[test]
fn what_spelling_and_emoji_need_is_accepted_and_makes_no_second_name() {
    for (name, plain) in [
        ("ප්\u{200d}රසාද්", "ප්රසාද්"),
        ("ශ්\u{200d}රී ලංකා", "ශ්රී ලංකා"),
        ("می\u{200c}خواهم", "میخواهم"),
        ("نامه\u{200c}ها", "نامهها"),
        ("क्\u{200d}ष", "क्ष"),
        ("र\u{94d}\u{200c}", "र\u{94d}"),
        ("അവന\u{d4d}\u{200d}", "അവന\u{d4d}"),
        ("ರ\u{200d}\u{ccd}ಕ", "ರ\u{ccd}ಕ"),
        ("র\u{200d}\u{9cd}য", "র\u{9cd}য"),
        ("❤\u{fe0f}", "❤"),
        ("☎\u{fe0e}", "☎"),
        ("1\u{fe0f}\u{20e3}", "1\u{20e3}"),
        ("👨\u{200d}👩\u{200d}👧", "👨👩👧"),
        ("👩🏽\u{200d}💻", "👩🏽💻"),
        ("🏳\u{fe0f}\u{200d}🌈", "🏳🌈"),
        ("👩\u{200d}❤\u{fe0f}\u{200d}💋\u{200d}👨", "👩❤💋👨"),
        ("葛\u{e0100}飾", "葛飾"),
        ("ᠮᠣᠩ\u{180b}ᠭᠣᠯ", "ᠮᠣᠩᠭᠣᠯ"),
    ] {
        assert_eq!(stored(name), name, "{name:?}");
        assert_eq!(key(name), key(plain), "{name:?}");
    }
}

#[test]
fn joiners_and_selectors_elsewhere_are_refused() {
    for name in [
        "\u{200d}ප",
        "a\u{200d}b",
        "a\u{200c}",
        "я\u{200d}я",
        "م\u{200c}",
        "م\u{200c} م",
        "م\u{200c}\u{200c}م",
        "ක්\u{200d}\u{200d}ය",
        "👨\u{200d}",
        "👨\u{200d}\u{200d}👩",
        "👨\u{200d}a",
        "👨\u{200c}👩",
        "a\u{fe0f}",
        "❤\u{fe0f}\u{fe0f}",
        "葛\u{fe0f}",
        "a\u{e0100}",
        "葛\u{e0100}\u{e0101}",
        "a\u{180b}",
        "\u{fe0f}",
    ] {
        assert_eq!(Username::check(name), Err(vec![UsernameError::Invisible]), "{name:?}");
    }
}
