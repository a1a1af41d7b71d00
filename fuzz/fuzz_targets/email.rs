//! An accepted email address is stored in a form that is accepted unchanged, and its key is also a valid
//! email address.
#![no_main]

use doorwarden_core::identity::{EmailAddress, EmailError, EmailKey};
use doorwarden_core::text::python_strip;
use doorwarden_fuzz::text_or_edited;
use libfuzzer_sys::fuzz_target;

const SAMPLES: [&str; 9] = [
    "Jane.Doe+tag@Example.ORG",
    "\"a\\ b@c\"@host.example",
    "a@[127.0.0.1]",
    "a@[2001:db8::ffff:192.0.2.1]",
    "a@localhost",
    "a@xn--bcher-kva.xn--e1afmkfd",
    "a@Bücher.ΟΔΟΣ.中国",
    "a@ｅxam\u{2113}e\u{301}.ᾳ\u{342}.straße",
    "a@café.paypaⅼ.K",
];

fuzz_target!(|data: &[u8]| {
    let Some(text) = text_or_edited(data, &SAMPLES) else { return };
    let key = EmailKey::of(&text);
    assert_eq!(EmailKey::of(key.as_str()), key, "a key is its own key: {text:?}");
    if text.is_ascii() {
        assert_eq!(key.as_str(), text.to_ascii_lowercase());
    } else if text.rsplit_once('@').is_none_or(|(local, _)| !local.is_ascii()) {
        assert!(!key.as_str().is_ascii(), "{text:?} reaches {key:?}");
    }
    assert!(!SAMPLES[..7].contains(&text.as_str()) || EmailAddress::check(&text).is_ok(), "{text}");
    let typed = python_strip(&text);
    match EmailAddress::check(&text) {
        Ok(address) => {
            let stored = address.as_str();
            assert_eq!(EmailAddress::check(stored).as_ref(), Ok(&address));
            assert!(stored.chars().count() <= EmailAddress::MAX_CHARS);
            assert!(!stored.contains(
                |c: char| c != '\t' && c.is_control() || c != ' ' && c != '\t' && c.is_whitespace()
            ));
            let (local, domain) = stored.rsplit_once('@').expect("an address has an @");
            assert!(local.is_ascii() && typed.starts_with(local));
            assert!(!domain.contains('@') && !domain.contains(|c: char| c.is_ascii_uppercase()));
            assert_eq!(address.key(), EmailKey::of(typed), "typed or stored, the key is one: {text:?}");
            assert!(address.key().as_str().is_ascii());
            match EmailAddress::check(address.key().as_str()) {
                Ok(ascii) => assert_eq!(ascii.as_str(), address.key().as_str()),
                // Django takes hyphens in a top-level label, and digits in its Punycode, but not both.
                Err(errors) => assert!(
                    errors.contains(&EmailError::TooLong)
                        || domain.rsplit('.').next().is_some_and(|l| !l.is_ascii()),
                    "{:?}",
                    address.key()
                ),
            }
        }
        Err(errors) => {
            assert!(!errors.is_empty());
            assert_eq!(errors == [EmailError::Blank], typed.is_empty());
            assert_eq!(text.parse::<EmailAddress>(), Err(errors[0]));
        }
    }
});
