//! An accepted username is stored in a form that is accepted unchanged, and has a key that does not depend on
//! case.
#![no_main]

use doorwarden_core::identity::{Username, UsernameError, UsernameKey};
use doorwarden_core::text::python_strip;
use doorwarden_fuzz::text_or_edited;
use libfuzzer_sys::fuzz_target;

const SAMPLES: [&str; 6] = [
    "Jane Doe",
    "ﬃ Straße ŉ ǰ ΐ ẞ ς ı İ ſ \u{212a}",
    "ᾳ\u{342}\u{301}\u{345} ῼ\u{342} ᾴ \u{1fb4}\u{323}",
    "가 ᄀ\u{1161}\u{11a8} ﾊﾟ ﷺ Ⅷ ㎯ 𝕏 ⓐ",
    "Ꭰ ꭰ Ა ა 𐐀 Ǆ ǅ ǆ",
    "👍🏽 🇨🇭 \u{1d15e} \u{2f800} नमस्ते",
];

fuzz_target!(|data: &[u8]| {
    let Some(text) = text_or_edited(data, &SAMPLES) else { return };
    let key = UsernameKey::of(&text);
    assert_eq!(UsernameKey::of(key.as_str()), key, "a key is its own key: {text:?}");
    if text.is_ascii() {
        assert_eq!(key.as_str(), text.to_ascii_lowercase());
    }
    let typed = python_strip(&text);
    match Username::check(&text) {
        Ok(name) => {
            let stored = name.as_str();
            assert_eq!(Username::check(stored).as_ref(), Ok(&name));
            assert!(stored.chars().count() <= Username::MAX_CHARS);
            assert!(!stored.contains(char::is_control));
            assert_eq!(name.key(), UsernameKey::of(typed), "typed or stored, the key is one: {text:?}");
            assert!(!name.key().as_str().is_empty());
            if stored.is_ascii() {
                assert_eq!(UsernameKey::of(&stored.to_uppercase()), name.key());
            }
        }
        Err(errors) => {
            assert!(!errors.is_empty());
            assert_eq!(errors == [UsernameError::Blank], typed.is_empty());
            assert_eq!(text.parse::<Username>(), Err(errors[0]));
        }
    }
});
