//! Text that has broken other programs. It is accepted and stored as seen, or refused; never anything else.

use doorwarden_core::identity::{EmailAddress, EmailKey, Username, UsernameKey};

const HOSTILE: &[&str] = &[
    "undefined",
    "null",
    "NaN",
    "-0",
    "1e400",
    "0x7fffffffffffffff",
    "9999999999999999999999",
    "\\",
    "\\\\",
    "`",
    "%00",
    "%n%s%x",
    "{0}",
    "{{7*7}}",
    "${7*7}",
    "#{7*7}",
    "$(id)",
    "`id`",
    "../../etc/passwd",
    "/dev/null",
    "CON",
    "C:\\nul",
    "'",
    "''",
    "\"",
    "';DROP TABLE users;--",
    "1' OR '1'='1",
    "<script>alert(1)</script>",
    "<img src=x onerror=y>",
    "&lt;",
    "javascript:alert(1)",
    "a\0b",
    "\0",
    "\r\n",
    "a\r\nSet-Cookie: x=y",
    "\x1b[2J",
    "\x07",
    "\x08\x08\x08",
    "\x7f",
    "\u{80}",
    "\u{85}",
    "\u{9b}31m",
    "\u{feff}a",
    "\u{fffe}",
    "\u{ffff}",
    "\u{fffd}",
    "\u{10ffff}",
    "\u{d7ff}",
    "\u{e000}",
    "\u{202e}txt.exe",
    "\u{2066}a\u{2069}",
    "a\u{200b}b",
    "a\u{200d}b",
    "\u{2060}",
    "\u{3164}",
    "\u{115f}",
    "\u{ad}",
    "\u{e0001}",
    "\u{e0061}",
    "\u{1f3f4}\u{e0067}\u{e007f}",
    "❤\u{fe0f}",
    "👨\u{200d}👩",
    "👍🏽",
    "🇨🇭",
    "ﷺ",
    "﷽",
    "ﬀ",
    "㏇",
    "℀",
    "㎯",
    "Ｆｕｌｌ",
    "𝕏",
    "ⓐ",
    "ﾊﾟ",
    "가",
    "각",
    "ʼn",
    "ŉ",
    "ǰ",
    "ΐ",
    "ẖ",
    "ᾳ",
    "İ",
    "ı",
    "ſ",
    "ẞ",
    "K",
    "Å",
    "Ω",
    "ς",
    "Z̸̡̢a̛̱l̴̨g̵̡o̷̧",
    "\u{301}",
    "\u{345}\u{301}",
    "\u{308}\u{301}\u{323}",
    "\u{1d165}",
    "\u{2fa1d}",
    "𐐀",
    "Ꭰ",
    "表ポあA鷗ŒéＢ逍Üßªąñ丂㐀𠀀",
    "ليهمابتكلموشعربي؟",
    "\u{1e9e}\u{130}\u{345}",
    "a@b@c",
    "@",
    "@@",
    "a@",
    "@b",
    "a@[",
    "a@[]",
    "a@[::]",
    "a@[1.2.3.4]",
    "a@[01.2.3.4]",
    "\"\"@b.co",
    "\"@b.co",
    "\"\\\"@b.co",
    "a@xn--.co",
    "a@xn--a.co",
    "a@xn--99999999.co",
    "a@xn--zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz.co",
    "a@..",
    "a@.co",
    "a@b..co",
    "a@-b.co",
    "a@b-.co",
    "a@b.c-",
    "a@℀.co",
    "a@㏇.co",
    "a@b。co",
    "a@b．co",
    "a@ﷺ.co",
    "a@\u{301}.co",
    "a@é.é",
    "a@💩.la",
];

#[test]
fn a_hostile_text_is_stored_as_seen_or_refused() {
    for &text in HOSTILE {
        for padded in [text.to_owned(), format!("x{text}x"), text.repeat(300), format!("a@{text}.example")] {
            if let Ok(name) = Username::check(&padded) {
                assert_eq!(Username::check(name.as_str()), Ok(name.clone()), "{padded:?}");
                assert!(name.as_str().chars().count() <= Username::MAX_CHARS);
                assert!(!name.as_str().contains(char::is_control), "{padded:?}");
            }
            if let Ok(address) = EmailAddress::check(&padded) {
                assert_eq!(EmailAddress::check(address.as_str()), Ok(address.clone()), "{padded:?}");
                assert!(address.as_str().chars().count() <= EmailAddress::MAX_CHARS);
                assert!(address.key().as_str().is_ascii(), "{padded:?}");
            }
            let (name, address) = (UsernameKey::of(&padded), EmailKey::of(&padded));
            assert_eq!(UsernameKey::of(name.as_str()), name, "{padded:?}");
            assert_eq!(EmailKey::of(address.as_str()), address, "{padded:?}");
        }
    }
}

/// A request may carry 64 KiB: the time must grow with the length, not with its square.
#[test]
fn long_text_is_judged_in_time() {
    let started = std::time::Instant::now();
    let all: String = ('\u{100}'..'\u{8000}').collect();
    let marks = "\u{301}\u{323}".repeat(16 * 1024);
    let wide = "﷽".repeat(21 * 1024);
    for text in [all, marks, wide, "a.".repeat(32 * 1024), "xn--".repeat(16 * 1024)] {
        let address = format!("a@{text}");
        assert!(Username::check(&text).is_err());
        assert!(EmailAddress::check(&address).is_err());
        assert_eq!(UsernameKey::of(&text), UsernameKey::of(&text));
        assert_eq!(EmailKey::of(&address), EmailKey::of(&address));
    }
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
}
