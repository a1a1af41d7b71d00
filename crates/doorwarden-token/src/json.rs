//! A scanner for one JSON object (RFC 8259) that does not allocate: it checks the whole text, returns the
//! members of the outermost object as written, and refuses what parsers disagree about: duplicate members,
//! lone surrogates, trailing text.

use crate::Refusal;
use std::borrow::Cow;
use std::collections::BTreeSet;
use uuid::Uuid;

/// Why a text is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    Syntax,
    Duplicate,
    TooMany,
}

/// Calls `member` with the unescaped name and the value of each member of the object that `text` is.
pub(crate) fn members<'a, E: From<Flaw>>(
    text: &'a [u8],
    mut member: impl FnMut(&[u8], Value<'a>) -> Result<(), E>,
) -> Result<(), E> {
    if std::str::from_utf8(text).is_err() {
        return Err(Flaw::Syntax.into());
    }
    let mut scan = Scan { text, at: 0 };
    let mut names: [&[u8]; Refusal::MAX_MEMBERS] = [&[]; Refusal::MAX_MEMBERS];
    let mut count = 0;
    let mut escaped = false;

    scan.whitespace();
    scan.expect(b'{')?;
    scan.whitespace();
    if !scan.take(b'}') {
        loop {
            let quoted = scan.string()?;
            let name = &quoted[1..quoted.len() - 1];
            if names[..count].contains(&name) {
                return Err(Flaw::Duplicate.into());
            }
            if count == names.len() {
                return Err(Flaw::TooMany.into());
            }
            names[count] = name;
            count += 1;
            scan.whitespace();
            scan.expect(b':')?;
            scan.whitespace();
            let value = Value(scan.value(1)?);
            if name.contains(&b'\\') {
                escaped = true;
                member(unescaped(name).as_bytes(), value)?;
            } else {
                member(name, value)?;
            }
            scan.whitespace();
            if scan.take(b'}') {
                break;
            }
            scan.expect(b',')?;
            scan.whitespace();
        }
    }
    scan.whitespace();
    if scan.at != text.len() {
        return Err(Flaw::Syntax.into());
    }
    let names = &names[..count];
    if escaped && names.iter().map(|name| unescaped(name)).collect::<BTreeSet<_>>().len() < count {
        return Err(Flaw::Duplicate.into());
    }
    Ok(())
}

/// The text of a string without its quotes. Allocates, because only unusual tokens have escapes in names.
fn unescaped(raw: &[u8]) -> String {
    let quoted = [b"\"", raw, b"\""].concat();
    serde_json::from_slice(&quoted).expect("the scanner has checked the string")
}

/// A JSON value as written in the text. Its grammar has been checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Value<'a>(&'a [u8]);

impl<'a> Value<'a> {
    pub(crate) const fn raw(self) -> &'a [u8] {
        self.0
    }

    pub(crate) fn is_null(self) -> bool {
        self.0 == b"null"
    }

    pub(crate) fn is_string(self) -> bool {
        self.0.first() == Some(&b'"')
    }

    /// The contents of a string between its quotes, with escapes.
    pub(crate) fn string(self) -> Option<&'a [u8]> {
        self.is_string().then(|| &self.0[1..self.0.len() - 1])
    }

    /// A string with its escapes resolved.
    pub(crate) fn text(self) -> Option<Cow<'a, str>> {
        let raw = self.string()?;
        if raw.contains(&b'\\') {
            return Some(Cow::Owned(unescaped(raw)));
        }
        std::str::from_utf8(raw).ok().map(Cow::Borrowed)
    }

    /// A UUID in its hyphenated form of 36 characters. Forms with braces, with `urn:uuid:` or without hyphens
    /// are refused.
    pub(crate) fn uuid(self) -> Option<Uuid> {
        let text = self.string().filter(|text| text.len() == 36)?;
        Uuid::try_parse_ascii(text).ok()
    }

    /// The elements of an array.
    pub(crate) fn elements(self) -> Option<Vec<Value<'a>>> {
        let mut scan = Scan { text: self.0, at: 0 };
        let mut elements = Vec::new();
        if !scan.take(b'[') {
            return None;
        }
        scan.whitespace();
        if scan.take(b']') {
            return Some(elements);
        }
        loop {
            elements.push(Value(scan.value(1).ok()?));
            scan.whitespace();
            if scan.take(b']') {
                return Some(elements);
            }
            scan.take(b',');
            scan.whitespace();
        }
    }

    /// The elements of an array of strings.
    pub(crate) fn texts(self) -> Option<Vec<String>> {
        self.elements()?.into_iter().map(|element| element.text().map(Cow::into_owned)).collect()
    }

    /// A number without fraction and exponent, if it fits.
    pub(crate) fn integer(self) -> Option<i64> {
        let (negative, digits) = match self.0 {
            [b'-', digits @ ..] => (true, digits),
            digits => (false, digits),
        };
        let mut value = 0_i64;
        for &digit in digits {
            if !digit.is_ascii_digit() {
                return None;
            }
            let digit = i64::from(digit - b'0');
            value = value.checked_mul(10)?;
            value = if negative { value.checked_sub(digit) } else { value.checked_add(digit) }?;
        }
        Some(value)
    }

    /// A NumericDate (RFC 7519, section 2) in whole seconds: any number between -(2^53 - 1) and 2^53 - 1, the
    /// range that all parsers keep exactly (RFC 7493, section 2.2). A fraction is truncated, as in PyJWT.
    pub(crate) fn seconds(self) -> Option<i64> {
        const MAX: i64 = (1 << 53) - 1;
        if let Some(seconds) = self.integer() {
            return (-MAX..=MAX).contains(&seconds).then_some(seconds);
        }
        if !matches!(self.0, [b'-' | b'0'..=b'9', ..]) {
            return None;
        }
        let seconds: f64 = std::str::from_utf8(self.0).ok()?.parse().ok()?;
        #[expect(clippy::cast_precision_loss, reason = "2^53 - 1 has an exact f64")]
        let in_range = seconds.abs() <= MAX as f64;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the fraction is to be truncated, the range is checked"
        )]
        in_range.then_some(seconds as i64)
    }
}

struct Scan<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8) -> Result<(), Flaw> {
        if self.take(byte) { Ok(()) } else { Err(Flaw::Syntax) }
    }

    fn whitespace(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Result<&'a [u8], Flaw> {
        let start = self.at;
        match self.peek() {
            Some(b'"') => return self.string(),
            Some(b'{') => self.object(depth)?,
            Some(b'[') => self.array(depth)?,
            Some(b't') => self.word(b"true")?,
            Some(b'f') => self.word(b"false")?,
            Some(b'n') => self.word(b"null")?,
            _ => self.number()?,
        }
        Ok(&self.text[start..self.at])
    }

    fn object(&mut self, depth: usize) -> Result<(), Flaw> {
        if depth == Refusal::MAX_DEPTH {
            return Err(Flaw::Syntax);
        }
        self.expect(b'{')?;
        self.whitespace();
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            self.string()?;
            self.whitespace();
            self.expect(b':')?;
            self.whitespace();
            self.value(depth + 1)?;
            self.whitespace();
            if self.take(b'}') {
                return Ok(());
            }
            self.expect(b',')?;
            self.whitespace();
        }
    }

    fn array(&mut self, depth: usize) -> Result<(), Flaw> {
        if depth == Refusal::MAX_DEPTH {
            return Err(Flaw::Syntax);
        }
        self.expect(b'[')?;
        self.whitespace();
        if self.take(b']') {
            return Ok(());
        }
        loop {
            self.value(depth + 1)?;
            self.whitespace();
            if self.take(b']') {
                return Ok(());
            }
            self.expect(b',')?;
            self.whitespace();
        }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), Flaw> {
        if !self.text[self.at..].starts_with(word) {
            return Err(Flaw::Syntax);
        }
        self.at += word.len();
        Ok(())
    }

    fn number(&mut self) -> Result<(), Flaw> {
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _sign = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Flaw> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(Flaw::Syntax) }
    }

    /// A string with its quotes.
    fn string(&mut self) -> Result<&'a [u8], Flaw> {
        let start = self.at;
        self.expect(b'"')?;
        loop {
            self.at += plain(&self.text[self.at..]);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(&self.text[start..self.at]);
                }
                Some(b'\\') => self.escape()?,
                _ => return Err(Flaw::Syntax),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Flaw> {
        self.expect(b'\\')?;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            _ => match self.code_unit()? {
                0xd800..=0xdbff => {
                    self.expect(b'\\')?;
                    if !matches!(self.code_unit()?, 0xdc00..=0xdfff) {
                        return Err(Flaw::Syntax);
                    }
                }
                0xdc00..=0xdfff => return Err(Flaw::Syntax),
                _ => {}
            },
        }
        Ok(())
    }

    fn code_unit(&mut self) -> Result<u32, Flaw> {
        self.expect(b'u')?;
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|c| char::from(c).to_digit(16)).ok_or(Flaw::Syntax)?;
            unit = unit * 16 + digit;
            self.at += 1;
        }
        Ok(unit)
    }
}

/// The number of leading bytes that are neither quote nor backslash nor control character. Eight are checked
/// in one step.
fn plain(text: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    // The lowest bit set in the result belongs to the first byte below `limit`; higher bits may be wrong.
    const fn below(word: u64, limit: u64) -> u64 {
        word.wrapping_sub(ONES * limit) & !word & HIGH
    }
    let (words, rest) = text.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let found = below(word, 0x20) | below(word ^ (ONES * 0x22), 1) | below(word ^ (ONES * 0x5c), 1);
        if found != 0 {
            return index * 8 + found.trailing_zeros() as usize / 8;
        }
    }
    let special = |&byte: &u8| matches!(byte, 0..=0x1f | b'"' | b'\\');
    words.len() * 8 + rest.iter().position(special).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests;
