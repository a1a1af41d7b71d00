//! Client data: the members are those that serde_json reads, and none occurs twice.
#![no_main]

use doorwarden_fuzz::{Ceremonies, bytes_or_edited, slices};
use doorwarden_webauthn::client_data::ClientData;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use std::sync::LazyLock;

static CEREMONIES: LazyLock<Ceremonies> = LazyLock::new(Ceremonies::read);

fuzz_target!(|data: &[u8]| {
    let samples = slices(&CEREMONIES.client_data);
    let Some(bytes) = bytes_or_edited(data, &samples) else { return };
    let read = ClientData::parse(&bytes);
    assert!(!samples.contains(&&bytes[..]) || read.is_ok(), "{bytes:x?}");
    let Ok(read) = read else { return };
    let text = String::from_utf8(bytes).expect("what is accepted is UTF-8");
    let value: Value =
        serde_json::from_str(text.strip_prefix('\u{feff}').unwrap_or(&text)).expect("and JSON");
    assert_eq!(value["type"], read.kind);
    assert_eq!(value["challenge"], read.challenge.to_base64url());
    assert_eq!(value["origin"], read.origin);
    assert_eq!(value["crossOrigin"].as_bool().unwrap_or(false), read.cross_origin);
    assert_eq!(value["topOrigin"].as_str(), read.top_origin.as_deref());
    // A member that occurs twice would be read once.
    let names = value.as_object().expect("an object").len();
    let Ok(Members(count)) = serde_json::from_str(text.strip_prefix('\u{feff}').unwrap_or(&text)) else {
        panic!("it was read before")
    };
    assert_eq!(names, count);
});

/// The number of members of an object, duplicates included.
struct Members(usize);

impl<'de> serde::Deserialize<'de> for Members {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Count;

        impl<'de> serde::de::Visitor<'de> for Count {
            type Value = Members;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut count = 0;
                while map.next_entry::<serde::de::IgnoredAny, serde::de::IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(Members(count))
            }
        }

        deserializer.deserialize_map(Count)
    }
}
