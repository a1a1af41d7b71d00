//! What a mail says, as its template sees it.

use crate::message::civil;
use doorwarden_core::mail::{Locale, Mail, MailContent, MailId, MailKind};
use doorwarden_core::time::Timestamp;
use minijinja::value::Value;
use std::net::IpAddr;

/// The most characters of a value that comes from outside, such as a username.
const CHARS: usize = 254;

/// The variables of a template. What is not known is `none`.
#[derive(Debug)]
pub(crate) struct Facts {
    /// The name of the service.
    pub(crate) service: String,
    /// The recipient's email address.
    email: String,
    locale: &'static str,
    pub(crate) link: Option<String>,
    pub(crate) code: Option<String>,
    /// Until when link and code can be used, as text in the language of the mail.
    expires: Option<String>,
    /// For how long after the mail was queued.
    valid_for: Option<String>,
    username: Option<String>,
    other_email: Option<String>,
    factor: Option<String>,
    codes_left: Option<u32>,
    webhook: Option<String>,
    reason: Option<String>,
    at: Option<String>,
    address: Option<String>,
    device: Option<String>,
}

impl Facts {
    pub(crate) fn of(mail: &Mail, locale: Locale, service: &str) -> Self {
        let content = &mail.content;
        let short = |value: &Option<String>| value.as_deref().map(clean).filter(|value| !value.is_empty());
        Self {
            service: clean(service),
            email: clean(&mail.to),
            locale: locale.as_str(),
            link: content.link.as_deref().map(on_one_line),
            code: content.code.as_deref().map(on_one_line),
            expires: content.expires_at.map(|at| instant(at, locale)),
            valid_for: content.expires_at.map(|end| duration(end, mail.created_at, locale)),
            username: short(&content.username).filter(|_| is_for_the_owner(mail.kind)),
            other_email: short(&content.other_email),
            factor: short(&content.factor).filter(|name| !looks_like_a_link(name)),
            codes_left: content.codes_left,
            webhook: short(&content.webhook),
            reason: short(&content.reason).filter(|reason| !looks_like_a_link(reason)),
            at: content.at.map(|at| instant(at, locale)),
            address: content
                .address
                .as_deref()
                .and_then(|ip| ip.parse::<IpAddr>().ok())
                .map(|ip| ip.to_string()),
            device: short(&content.device).filter(|device| !looks_like_a_link(device)),
        }
    }
}

impl Facts {
    pub(crate) fn values(&self) -> Value {
        let Self { service, email, locale, link, code, expires, .. } = self;
        let Self {
            valid_for,
            username,
            other_email,
            factor,
            codes_left,
            webhook,
            reason,
            at,
            address,
            device,
            ..
        } = self;
        minijinja::context! {
            service, email, locale => *locale, link, code, expires, valid_for, username, other_email, factor, codes_left,
            webhook, reason, at, address, device,
        }
    }
}

/// Whether the recipient is known to own the account. Anybody may enter the email address of somebody else,
/// and must not choose what the mail to it says.
fn is_for_the_owner(kind: MailKind) -> bool {
    !matches!(kind, MailKind::VerifyEmail | MailKind::Invitation | MailKind::EmailChange)
}

/// Whether mail programs would make a link of what a client calls itself.
fn looks_like_a_link(device: &str) -> bool {
    device.contains("://") || device.to_ascii_lowercase().contains("www.")
}

/// A value from outside, of limited length.
fn clean(value: &str) -> String {
    on_one_line(value).chars().take(CHARS).collect::<String>().trim().to_owned()
}

/// The value without line breaks, without characters that change the order of the text around them, and
/// without those that templates use as marks.
fn on_one_line(value: &str) -> String {
    let kept = value.chars().filter_map(|c| match c {
        '\u{202a}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{61c}'
        | '\u{f0000}'.. => None,
        '\u{2028}' | '\u{2029}' => Some(' '),
        c if c.is_control() => Some(' '),
        c => Some(c),
    });
    kept.collect()
}

/// An instant to the minute, rounded down.
fn instant(at: Timestamp, locale: Locale) -> String {
    const ENGLISH: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    const GERMAN: [&str; 12] = [
        "Januar",
        "Februar",
        "März",
        "April",
        "Mai",
        "Juni",
        "Juli",
        "August",
        "September",
        "Oktober",
        "November",
        "Dezember",
    ];
    let at = civil(at);
    let month = |names: [&'static str; 12]| names[usize::from(at.month().unsigned_abs()) - 1];
    let (day, year, hour, minute) = (at.day(), at.year(), at.hour(), at.minute());
    match locale {
        Locale::German => format!("{day}. {} {year} um {hour:02}:{minute:02} Uhr (UTC)", month(GERMAN)),
        _ => format!("{day} {} {year} at {hour:02}:{minute:02} UTC", month(ENGLISH)),
    }
}

/// A duration in minutes, from two hours on in hours, and from two days on in days; rounded.
fn duration(end: Timestamp, start: Timestamp, locale: Locale) -> String {
    const HOUR: u64 = 60;
    const DAY: u64 = 24 * HOUR;
    let minutes = (end.since(start).as_secs() + 30) / 60;
    let (number, english, german) = if minutes >= 2 * DAY {
        ((minutes + DAY / 2) / DAY, ["day", "days"], ["Tag", "Tage"])
    } else if minutes >= 2 * HOUR {
        ((minutes + HOUR / 2) / HOUR, ["hour", "hours"], ["Stunde", "Stunden"])
    } else {
        (minutes, ["minute", "minutes"], ["Minute", "Minuten"])
    };
    let names = if locale == Locale::German { german } else { english };
    format!("{number} {}", names[usize::from(number != 1)])
}

/// What a mail of the kind may say at most and at least, to try templates.
pub(crate) fn sample(kind: MailKind, locale: Locale) -> [Facts; 2] {
    let created = Timestamp::from_seconds(1_795_460_165);
    let mut mail = Mail::new(MailId::new(created, [0; 10]), kind, "kim@example.org", locale, created);
    let least = Facts::of(&mail, locale, "example.org");
    let mut content = MailContent::default();
    if kind.has_link() {
        content.link = Some("https://example.org/link#token=dwx_0123456789".to_owned());
        content.expires_at = Some(created.after(std::time::Duration::from_mins(30)));
    }
    // The others are answered with a click.
    if matches!(kind, MailKind::VerifyEmail | MailKind::LogIn | MailKind::Reauthenticate) {
        content.code = Some("WDJB-MJHT".to_owned());
    }
    content.username = Some("kim".to_owned());
    content.other_email = Some("kim@example.net".to_owned());
    content.factor = Some("Phone".to_owned());
    content.codes_left = Some(2);
    content.webhook = Some("crm".to_owned());
    content.reason = Some("the response was 500".to_owned());
    content.at = Some(created);
    content.address = Some("192.0.2.1".to_owned());
    content.device = Some("Firefox on Linux".to_owned());
    mail.content = content;
    [least, Facts::of(&mail, locale, "example.org")]
}
