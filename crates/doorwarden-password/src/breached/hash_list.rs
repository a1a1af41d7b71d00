//! The lists of hashes that Have I Been Pwned publishes.

use super::Hash;
use std::io::{self, BufRead, Read};
use std::iter::Peekable;

/// The longest line that is read: a hash, a colon, a count of 20 digits and the end of a line.
const MAX_LINE: u64 = 64;

/// A list in which each line has the SHA-1 hash of a password, a colon and a count, ordered by hash. In the
/// file of a range the lines lack the first five characters of the hash.
///
/// ```
/// use doorwarden_password::breached::{HashList, sha1};
/// let list = HashList::new("A.txt", "5BAA61E4C9B93F3F0682250B6CF8331B7EE68FD8:10\r\n".as_bytes());
/// let range = HashList::range("5BAA6.txt", 0x5baa6, "1E4C9B93F3F0682250B6CF8331B7EE68FD8:10".as_bytes());
/// for mut one in [list, range] {
///     assert_eq!(one.next().transpose()?, Some(sha1("password")));
/// }
/// # Ok::<(), doorwarden_password::breached::HashListError>(())
/// ```
#[derive(Debug)]
pub struct HashList<R> {
    name: String,
    input: R,
    range: Option<u32>,
    line: Vec<u8>,
    number: u64,
    last: Hash,
    ended: bool,
}

/// Why a list cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum HashListError {
    /// The file cannot be read.
    #[error("cannot read `{name}`: {error}")]
    Io {
        /// The file.
        name: String,
        /// What the operating system says.
        error: io::Error,
    },
    /// A line is not what it must be.
    #[error("line {line} of `{name}` {problem}")]
    Line {
        /// The file.
        name: String,
        /// The number of the line, from 1.
        line: u64,
        /// What is wrong.
        problem: Problem,
    },
}

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// Its hash is less than the one before.
    #[error("is out of order")]
    OutOfOrder,
    /// It has a hash of NTLM.
    #[error("has an NTLM hash, and SHA-1 hashes are needed")]
    Ntlm,
    /// It has the end of a hash, but the file is not named after a range.
    #[error("has only the end of a hash, and the file is not named after the beginning, such as `0A1B2.txt`")]
    NoRange,
    /// The file is compressed.
    #[error("is compressed")]
    Compressed,
    /// It is anything else.
    #[error("is not a SHA-1 hash, a colon and a count")]
    Damaged,
}

impl<R: BufRead> HashList<R> {
    /// A list of whole hashes. The name is for errors.
    pub fn new(name: impl Into<String>, input: R) -> Self {
        let (line, last) = (Vec::with_capacity(64), [0; 20]);
        Self { name: name.into(), input, range: None, line, number: 0, last, ended: false }
    }

    /// The list of the hashes that begin with these 20 bits.
    pub fn range(name: impl Into<String>, range: u32, input: R) -> Self {
        Self { range: Some(range & 0xf_ffff), ..Self::new(name, input) }
    }

    /// The next line that has a hash.
    fn read(&mut self) -> Result<Option<Hash>, HashListError> {
        loop {
            self.line.clear();
            let read = (&mut self.input).take(MAX_LINE).read_until(b'\n', &mut self.line);
            match read {
                Ok(0) => return Ok(None),
                Ok(_) => self.number += 1,
                Err(error) => return Err(HashListError::Io { name: self.name.clone(), error }),
            }
            if let Some(hash) = self.parse().map_err(|problem| self.wrong(problem))? {
                return Ok(Some(hash));
            }
        }
    }

    fn wrong(&self, problem: Problem) -> HashListError {
        HashListError::Line { name: self.name.clone(), line: self.number, problem }
    }

    fn parse(&mut self) -> Result<Option<Hash>, Problem> {
        let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return Ok(None);
        }
        if self.number == 1 && is_compressed(line) {
            return Err(Problem::Compressed);
        }
        let (digits, count) = match line.iter().position(|byte| *byte == b':') {
            Some(colon) => (&line[..colon], Some(&line[colon + 1..])),
            None => (line, None),
        };
        // In a range, the list pads short responses with hashes that occur 0 times.
        let is_padding = match count {
            Some(count) if count.is_empty() || !count.iter().all(u8::is_ascii_digit) => {
                return Err(Problem::Damaged);
            }
            Some(count) => count.iter().all(|digit| *digit == b'0'),
            None => false,
        };
        let mut hash = [0; 20];
        match (digits.len(), self.range) {
            (40, _) => fill(&mut hash, 0, digits)?,
            (35, Some(range)) => {
                hash[..3].copy_from_slice(&(range << 4).to_be_bytes()[1..]);
                fill(&mut hash, 5, digits)?;
            }
            (35, None) => return Err(Problem::NoRange),
            (32, None) | (27, Some(_)) => return Err(Problem::Ntlm),
            _ => return Err(Problem::Damaged),
        }
        if is_padding {
            return Ok(None);
        }
        if hash < self.last {
            return Err(Problem::OutOfOrder);
        }
        self.last = hash;
        Ok(Some(hash))
    }
}

/// Puts hexadecimal digits into a hash, from the digit with this number on.
fn fill(hash: &mut Hash, from: usize, digits: &[u8]) -> Result<(), Problem> {
    for (place, digit) in (from..).zip(digits) {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'A'..=b'F' => digit - b'A' + 10,
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return Err(Problem::Damaged),
        };
        hash[place / 2] |= value << if place % 2 == 0 { 4 } else { 0 };
    }
    Ok(())
}

/// Whether a file begins as gzip, 7z, ZIP, zstd, xz or bzip2.
fn is_compressed(line: &[u8]) -> bool {
    let signatures: [&[u8]; 6] =
        [b"\x1f\x8b", b"7z\xbc\xaf", b"PK\x03\x04", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ", b"BZh"];
    signatures.iter().any(|signature| line.starts_with(signature))
}

/// The hashes. After an error there are no more.
impl<R: BufRead> Iterator for HashList<R> {
    type Item = Result<Hash, HashListError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.read().transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }
}

/// The hashes of several lists, in ascending order. A hash that is in two lists comes twice.
pub fn merge<I, E>(lists: impl IntoIterator<Item = I>) -> impl Iterator<Item = Result<Hash, E>>
where
    I: Iterator<Item = Result<Hash, E>>,
{
    let mut lists: Vec<Peekable<I>> = lists.into_iter().map(Iterator::peekable).collect();
    std::iter::from_fn(move || {
        let mut least: Option<(usize, Option<Hash>)> = None;
        for (at, list) in lists.iter_mut().enumerate() {
            let next = match list.peek() {
                None => continue,
                // An error is less than every hash.
                Some(Err(_)) => None,
                Some(Ok(hash)) => Some(*hash),
            };
            if least.is_none_or(|(_, hash)| next < hash) {
                least = Some((at, next));
            }
        }
        least.and_then(|(at, _)| lists[at].next())
    })
}
