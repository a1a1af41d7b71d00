//! The languages of what people read.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A language in which mails and pages are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Locale {
    /// English.
    #[default]
    #[serde(rename = "en")]
    English,
    /// German.
    #[serde(rename = "de")]
    German,
}

impl Locale {
    /// Every language.
    pub const ALL: [Self; 2] = [Self::English, Self::German];

    /// The tag of BCP 47.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::German => "de",
        }
    }

    /// The language of a tag (`de`, `de-AT`, `DE_ch`), if it is one of these.
    pub fn of_tag(tag: &str) -> Option<Self> {
        let primary = tag.trim().split(['-', '_']).next()?;
        Self::ALL.into_iter().find(|locale| locale.as_str().eq_ignore_ascii_case(primary))
    }

    /// The language that a client prefers, by its `Accept-Language` (RFC 9110, section 12.5.4); `None` if it
    /// names none of these.
    ///
    /// ```
    /// use doorwarden_core::locale::Locale;
    /// assert_eq!(Locale::accepted("fr, en;q=0.3, de-CH;q=0.7"), Some(Locale::German));
    /// assert_eq!(Locale::accepted("fr, de;q=0"), None);
    /// ```
    pub fn accepted(header: &str) -> Option<Self> {
        let mut best = None;
        for range in header.split(',').take(32) {
            let (tag, parameters) = range.split_once(';').unwrap_or((range, ""));
            let weight = parameters.split(';').find_map(|p| p.trim().strip_prefix("q=")?.parse::<f32>().ok());
            let weight = weight.unwrap_or(1.0);
            let locale = Self::of_tag(tag).filter(|_| weight > 0.0);
            if let Some(locale) = locale
                && best.is_none_or(|(_, before)| weight > before)
            {
                best = Some((locale, weight));
            }
        }
        best.map(|(locale, _)| locale)
    }
}

impl fmt::Display for Locale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
