//! How values are written.

use doorwarden::core::time::Timestamp;
use std::str::FromStr;
use std::time::Duration;

/// A whole number between bounds, both included.
pub(super) fn number<T: FromStr + PartialOrd + Copy + std::fmt::Display>(
    text: &str,
    least: T,
    most: T,
) -> Result<T, String> {
    match text.parse::<T>() {
        Ok(number) if number >= least && number <= most => Ok(number),
        _ => Err(format!("must be a whole number from {least} to {most}")),
    }
}

/// An address to listen on and a port: `127.0.0.1:8000`, `[::1]:8000`, `localhost:8000`.
pub(super) fn address(text: &str) -> Result<String, String> {
    let is_port = |port: &str| port.parse::<u16>().is_ok();
    let hint = match text.rsplit_once(':') {
        Some((host, port)) if is_port(port) && (!host.contains(':') || host.starts_with('[')) => match host {
            "" => format!("0.0.0.0:{port}"),
            _ => return Ok(text.to_owned()),
        },
        None if is_port(text) => format!("127.0.0.1:{text}"),
        None if !text.is_empty() && !text.contains('/') => format!("{text}:8000"),
        _ => "127.0.0.1:8000".to_owned(),
    };
    Err(format!("must be an address and a port. hint: {hint}"))
}

/// `true` or `false`.
pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("must be true or false".to_owned()),
    }
}

/// A whole number and a unit: `500ms`, `90s`, `5m`, `12h`, `60d`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "must be a whole number and a unit, such as 500ms, 90s, 5m, 12h or 60d".to_owned();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "ms" => return Ok(Duration::from_millis(number)),
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let total = number.checked_mul(seconds).filter(|seconds| *seconds <= 100 * 365 * 86_400);
    total.map(Duration::from_secs).ok_or_else(|| "must be at most a hundred years".to_owned())
}

/// A duration between bounds, both included.
pub(super) fn duration_within(text: &str, least: &str, most: &str) -> Result<Duration, String> {
    let found = duration(text)?;
    let is_within = duration(least)? <= found && found <= duration(most)?;
    is_within.then_some(found).ok_or_else(|| format!("must be between {least} and {most}"))
}

/// A duration that may also be `never`.
pub(super) fn optional_duration(text: &str) -> Result<Option<Duration>, String> {
    if text == "never" { Ok(None) } else { duration(text).map(Some) }
}

/// An instant: RFC 3339.
pub(super) fn instant(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| "must be a date and time such as 2027-03-01T00:00:00Z".to_owned())
}

/// Values between commas.
pub(super) fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}
