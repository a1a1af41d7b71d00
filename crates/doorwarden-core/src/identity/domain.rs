//! The domain of an email address: what Django accepts, and the one ASCII form of an internationalised name.

use super::fold::is_visible;
use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The most characters of a label (RFC 1034, section 3.1).
const LABEL_MAX: usize = 63;

/// The most characters of a host name that DNS can resolve.
const HOST_NAME_MAX: usize = 253;

/// The most characters of an IPv6 address in Django, where one with an IPv4 tail must be short, too.
const IPV6_MAX: usize = 39;

/// The letters that IDNA2008 keeps and IDNA2003 maps to others (`ß` to `ss`) or drops: which host
/// `straße.example` is depends on who delivers the mail. The two joiners are the other two.
const DEVIATIONS: [char; 4] = ['ß', 'ς', '\u{200c}', '\u{200d}'];
const JOINERS: [char; 2] = ['\u{200c}', '\u{200d}'];

/// What UTS #46 maps to a dot.
const FULL_STOPS: [char; 3] = ['\u{3002}', '\u{ff0e}', '\u{ff61}'];

/// Whether mail systems agree on the host that this domain, in lower case, names. ASCII that looks like
/// Punycode must be Punycode; beyond ASCII there is nothing invisible, unassigned or mapped to a dot or
/// another ASCII symbol; and no letter that the two generations of IDNA take differently.
pub(super) fn is_unambiguous(domain: &str) -> bool {
    !domain.contains(DEVIATIONS) && to_ascii(domain).is_some()
}

/// The ASCII form that a domain is resolved by (UTS #46, non-transitional), in lower case; `None` if it has
/// none, or if it would have one only because characters are left out or taken for dots.
pub(super) fn to_ascii(domain: &str) -> Option<String> {
    let is_kept = |c: char| is_visible(c) && !FULL_STOPS.contains(&c) || JOINERS.contains(&c);
    if domain.chars().nth(HOST_NAME_MAX).is_some() || !domain.chars().all(is_kept) {
        return None;
    }
    let ascii = Uts46::new().to_ascii(
        domain.as_bytes(),
        AsciiDenyList::STD3,
        Hyphens::CheckFirstLast,
        DnsLength::Verify,
    );
    ascii.ok().map(Cow::into_owned)
}

/// Whether a domain in lower case has the form of a host name with at least two labels, as in Django's
/// `EmailValidator`: letters, digits and hyphens within, U+00A1 to U+FFFF count as letters, no digits in the
/// last label unless it is Punycode.
pub(super) fn is_host_name(domain: &str) -> bool {
    let Some((rest, last)) = domain.rsplit_once('.') else { return false };
    rest.split('.').all(is_django_label) && is_django_label(last) && is_django_top_level(last)
}

fn is_django_label(label: &str) -> bool {
    let length = label.chars().count();
    let is_letter = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '-' | '\u{a1}'..='\u{ffff}');
    (1..=LABEL_MAX).contains(&length)
        && label.chars().all(is_letter)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

fn is_django_top_level(label: &str) -> bool {
    let has_digit = label.bytes().any(|b| b.is_ascii_digit());
    let is_punycode =
        label.strip_prefix("xn--").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_alphanumeric()));
    is_punycode || !has_digit && label.chars().count() >= 2
}

/// Whether a domain is an address in brackets, `[192.0.2.1]` or `[2001:db8::1]` (RFC 5321 without its
/// `IPv6:`, as in Django).
pub(super) fn is_address_literal(domain: &str) -> bool {
    let Some(address) = domain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) else {
        return false;
    };
    address.parse::<Ipv4Addr>().is_ok() || address.len() <= IPV6_MAX && address.parse::<Ipv6Addr>().is_ok()
}
