//! Passwords that are known from breaches, as a filter of about two bytes for each.
//!
//! A [`Filter`] contains every password that it was built from, and of others one in 65,536. It is read by
//! position, 256 bytes for an answer; what stays in memory is an index of 24 bytes for every 65,536
//! passwords. [`FilterWriter`] builds one from SHA-1 hashes in ascending order, as [`HashList`] reads them
//! from the lists of Have I Been Pwned. [`LeakedPasswords`] is what a [policy](crate::PasswordPolicy) asks:
//! the filter in the program, and that of a file.
//!
//! ```
//! use doorwarden_password::breached::{Filter, FilterWriter, sha1};
//!
//! let mut hashes = ["123456", "trustno1"].map(sha1);
//! hashes.sort();
//! let mut writer = FilterWriter::new(Vec::new(), "an example")?;
//! for hash in hashes {
//!     writer.push(hash)?;
//! }
//! let filter = Filter::open(writer.finish(1_700_000_000)?)?;
//! assert!(filter.contains(&sha1("trustno1"))?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The file
//!
//! Numbers are little-endian, checksums are the first 8 bytes of SHA-256.
//!
//! | part | bytes | contents |
//! |---|---|---|
//! | header | 256 | `DWLEAKED`, version and length of the source (4 bytes each), source, zeros, checksum |
//! | each shard | 56 + 2 for each slot | its head, its slots |
//! | index | 56 for each shard | the heads again |
//! | end | 40 | numbers of passwords and of shards, seconds since 1970, checksum, `DWLEAKED` |
//!
//! The checksum of the header is of all before it, that of the end is of header and index as well.
//!
//! A shard holds the hashes of a range. Its head is, with 8 bytes each, the first 8 bytes as a big-endian
//! number of its first hash, of its last, and of the two neighbours that differ most; with 4 bytes each, how
//! many hashes, how many slots, the seed, and 0; and the checksum of all this and of the slots.

mod hash_list;
mod known;
mod ribbon;
mod writer;

pub use hash_list::{HashList, HashListError, Problem, merge};
pub use known::LeakedPasswords;
pub use writer::{FilterWriter, ResumeError};

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use ribbon::BAND;
use std::fs::File;
use std::io;

/// The SHA-1 hash of a password.
pub type Hash = [u8; 20];

/// The SHA-1 hash of a password in UTF-8, as Have I Been Pwned lists it.
pub fn sha1(password: &str) -> Hash {
    let mut hash = [0; 20];
    hash.copy_from_slice(digest(&SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes()).as_ref());
    hash
}

/// The first eight bytes of a hash as a number: hashes are in the order of these.
pub fn prefix(hash: &Hash) -> u64 {
    hash.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// Begins and ends every file.
const MAGIC: &[u8; 8] = b"DWLEAKED";
/// The version of the format, which changes with everything that a reader has to know.
const VERSION: u32 = 1;
const HEADER: usize = 256;
const HEAD: usize = 56;
const END: usize = 40;
/// The longest description of a source, in bytes.
const MAX_SOURCE: usize = HEADER - 24;

/// The first bytes of the SHA-256 of all parts.
fn checksum(parts: &[&[u8]]) -> [u8; 8] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    context.finish().as_ref().first_chunk().copied().unwrap_or_default()
}

/// What a filter is read from.
pub trait ReadAt {
    /// How many bytes there are.
    ///
    /// # Errors
    /// The file cannot be read.
    fn size(&self) -> io::Result<u64>;

    /// Fills `buffer` with the bytes from `offset` on.
    ///
    /// # Errors
    /// There are fewer, or the file cannot be read.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

impl ReadAt for [u8] {
    fn size(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.get(offset..));
        let part = rest.and_then(|rest| rest.get(..buffer.len())).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(part);
        Ok(())
    }
}

impl ReadAt for Vec<u8> {
    fn size(&self) -> io::Result<u64> {
        self.as_slice().size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.as_slice().read_exact_at(buffer, offset)
    }
}

impl<T: ReadAt + ?Sized> ReadAt for &T {
    fn size(&self) -> io::Result<u64> {
        (**self).size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        (**self).read_exact_at(buffer, offset)
    }
}

/// Read by position: nothing is mapped into memory, so that a file that becomes shorter is an error and not a
/// signal.
impl ReadAt for File {
    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    #[cfg(unix)]
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(self, buffer, offset)
    }

    #[cfg(windows)]
    fn read_exact_at(&self, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buffer.is_empty() {
            match std::os::windows::fs::FileExt::seek_read(self, buffer, offset)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => (buffer, offset) = (&mut buffer[n..], offset + n as u64),
            }
        }
        Ok(())
    }
}

/// Why a file is no filter.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is something else.
    #[error("it is not a filter of breached passwords")]
    Foreign,
    /// A later version of the program has written it.
    #[error("it has version {0} of the format, and this program reads version {VERSION}")]
    Version(u32),
    /// Its end is missing: it was cut off, or its build was not completed.
    #[error("its end is missing")]
    Incomplete,
    /// It was changed after it was built.
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
}

/// Passwords known from breaches. It contains all that it was built from, and of others one in 65,536.
#[derive(Debug)]
pub struct Filter<S> {
    source: S,
    about: About,
    shards: Vec<Shard>,
}

/// What a filter says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct About {
    /// What it was built from.
    pub source: String,
    /// How many passwords it was built from.
    pub entries: u64,
    /// When it was built, in seconds since 1970.
    pub built_at: i64,
    /// Its size in bytes.
    pub bytes: u64,
    /// The largest range without any hash, as the first eight bytes of the hash before it and of the hash
    /// after it.
    pub gap: (u64, u64),
}

impl About {
    /// Whether the largest range without a hash is too large for chance, as hashes are evenly distributed: a
    /// part of the list was missing.
    pub fn is_incomplete(&self) -> bool {
        let (before, after) = self.gap;
        let mean = u64::MAX / self.entries.max(1);
        // That any of n gaps is ln(n) + 40 times the mean is as improbable as to guess a key of 57 bits.
        let unlikely = u64::from(self.entries.max(1).ilog2()) + 40;
        after.saturating_sub(before) > mean.saturating_mul(unlikely)
    }
}

/// The head of a shard.
#[derive(Debug, Clone, Copy)]
struct Head {
    first: u64,
    last: u64,
    gap: (u64, u64),
    entries: u32,
    slots: u32,
    seed: u32,
    checksum: [u8; 8],
}

impl Head {
    fn read(bytes: &[u8; HEAD]) -> Self {
        let long = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap_or_default());
        let short = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap_or_default());
        Self {
            first: long(0),
            last: long(8),
            gap: (long(16), long(24)),
            entries: short(32),
            slots: short(36),
            seed: short(40),
            checksum: long(48).to_le_bytes(),
        }
    }

    /// All but the checksum.
    fn fields(&self) -> [u8; HEAD - 8] {
        let mut bytes = [0; HEAD - 8];
        let longs = [self.first, self.last, self.gap.0, self.gap.1].map(u64::to_le_bytes);
        let shorts = [self.entries, self.slots, self.seed, 0].map(u32::to_le_bytes);
        bytes[..32].copy_from_slice(longs.as_flattened());
        bytes[32..].copy_from_slice(shorts.as_flattened());
        bytes
    }

    fn write(&self) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        bytes[..HEAD - 8].copy_from_slice(&self.fields());
        bytes[HEAD - 8..].copy_from_slice(&self.checksum);
        bytes
    }

    /// The size of the shard in bytes, with its head.
    fn size(&self) -> u64 {
        HEAD as u64 + 2 * u64::from(self.slots)
    }
}

/// Whether these bytes are a head and its slots, unchanged.
fn is_whole(shard: &[u8]) -> bool {
    let Some((head, slots)) = shard.split_first_chunk::<HEAD>() else { return false };
    checksum(&[&head[..HEAD - 8], slots]) == head[HEAD - 8..]
}

/// What a look-up needs of a shard.
#[derive(Debug, Clone, Copy)]
struct Shard {
    first: u64,
    /// Where its slots are.
    offset: u64,
    slots: u32,
    seed: u32,
}

/// The beginning of a file.
fn header(source: &str) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    let source = &source[..source.floor_char_boundary(MAX_SOURCE)];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[12..16].copy_from_slice(&u32::try_from(source.len()).unwrap_or(0).to_le_bytes());
    bytes[16..16 + source.len()].copy_from_slice(source.as_bytes());
    let checksum = checksum(&[&bytes[..HEADER - 8]]);
    bytes[HEADER - 8..].copy_from_slice(&checksum);
    bytes
}

/// The source in the beginning of a file.
fn read_header(bytes: &[u8; HEADER]) -> Result<&str, FilterError> {
    let short = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap_or_default());
    if !bytes.starts_with(MAGIC) {
        return Err(FilterError::Foreign);
    }
    if short(8) != VERSION {
        return Err(FilterError::Version(short(8)));
    }
    if checksum(&[&bytes[..HEADER - 8]]) != bytes[HEADER - 8..] {
        return Err(FilterError::Damaged("the header has another checksum"));
    }
    let length = usize::try_from(short(12)).unwrap_or(usize::MAX);
    let source = bytes[16..HEADER - 8].get(..length);
    source
        .and_then(|source| std::str::from_utf8(source).ok())
        .ok_or(FilterError::Damaged("the source is not text"))
}

/// How many, how many shards, and when it was built.
fn end(entries: u64, shards: u64, built_at: i64) -> [u8; END - 16] {
    let mut bytes = [0; END - 16];
    bytes.copy_from_slice([entries, shards, built_at.cast_unsigned()].map(u64::to_le_bytes).as_flattened());
    bytes
}

impl<S: ReadAt> Filter<S> {
    /// Reads the header, the index and the end.
    ///
    /// # Errors
    /// [`FilterError`] if the file cannot be read, or is no complete filter of this version. The shards are
    /// not read: see [`verify`](Self::verify).
    pub fn open(source: S) -> Result<Self, FilterError> {
        let size = source.size()?;
        let mut start = [0; HEADER];
        if size < HEADER as u64 {
            return Err(FilterError::Foreign);
        }
        source.read_exact_at(&mut start, 0)?;
        let origin = read_header(&start)?.to_owned();

        let mut tail = [0; END];
        let tail_at = size - END as u64;
        source.read_exact_at(&mut tail, tail_at)?;
        if tail_at < HEADER as u64 || !tail.ends_with(MAGIC) {
            return Err(FilterError::Incomplete);
        }
        let long = |at: usize| u64::from_le_bytes(tail[at..at + 8].try_into().unwrap_or_default());
        let (entries, shards, built_at) = (long(0), long(8), long(16).cast_signed());
        let index_at = shards.checked_mul(HEAD as u64).and_then(|size| tail_at.checked_sub(size));
        let index_at = index_at.filter(|at| *at >= HEADER as u64).ok_or(FilterError::Incomplete)?;
        let mut index = vec![0; usize::try_from(tail_at - index_at).map_err(|_| FilterError::Incomplete)?];
        source.read_exact_at(&mut index, index_at)?;
        if checksum(&[&start, &index, &tail[..END - 16]]) != tail[END - 16..END - 8] {
            return Err(FilterError::Damaged("the index has another checksum"));
        }
        let heads: Vec<_> = index.as_chunks().0.iter().map(Head::read).collect();
        drop(index);
        let about = About { source: origin, entries, built_at, bytes: size, gap: largest_gap(&heads) };
        let shards = placed(&heads, index_at)?;
        if heads.iter().map(|head| u64::from(head.entries)).sum::<u64>() != entries {
            return Err(FilterError::Damaged("its index is of other passwords"));
        }
        Ok(Self { source, about, shards })
    }

    /// What the filter says of itself.
    pub fn about(&self) -> &About {
        &self.about
    }

    /// Whether it was built from this password, or by chance answers so, once in 65,536 times.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn contains(&self, hash: &Hash) -> io::Result<bool> {
        let after = self.shards.partition_point(|shard| shard.first <= prefix(hash));
        let Some(shard) = after.checked_sub(1).and_then(|at| self.shards.get(at)) else { return Ok(false) };
        let slots = shard.slots as usize;
        let start = ribbon::start(hash, shard.seed, slots);
        let mut band = [0; 2 * BAND];
        self.source.read_exact_at(&mut band, shard.offset + 2 * start as u64)?;
        Ok(ribbon::answers(hash, shard.seed, slots, &band))
    }

    /// Reads everything, and compares the checksums. `done` is told how many bytes were read of how many, and
    /// says whether to go on.
    ///
    /// # Errors
    /// [`FilterError`] if the file cannot be read or is damaged.
    pub fn verify(&self, mut done: impl FnMut(u64, u64) -> bool) -> Result<(), FilterError> {
        let mut bytes = Vec::new();
        for shard in &self.shards {
            bytes.resize(HEAD + 2 * shard.slots as usize, 0);
            self.source.read_exact_at(&mut bytes, shard.offset - HEAD as u64)?;
            if !is_whole(&bytes) {
                return Err(FilterError::Damaged("a shard has another checksum"));
            }
            if !done(shard.offset + 2 * u64::from(shard.slots), self.about.bytes) {
                return Err(io::Error::from(io::ErrorKind::Interrupted).into());
            }
        }
        Ok(())
    }
}

/// The shards with their places, which end where the index begins.
fn placed(heads: &[Head], index_at: u64) -> Result<Vec<Shard>, FilterError> {
    let mut at = HEADER as u64;
    let mut shards: Vec<Shard> = Vec::with_capacity(heads.len());
    for head in heads {
        if shards.last().is_some_and(|before| before.first >= head.first) {
            return Err(FilterError::Damaged("its shards are not in order"));
        }
        if (head.slots as usize) < BAND {
            return Err(FilterError::Damaged("a shard is too small"));
        }
        shards.push(Shard {
            first: head.first,
            offset: at + HEAD as u64,
            slots: head.slots,
            seed: head.seed,
        });
        at += head.size();
    }
    if at != index_at {
        return Err(FilterError::Damaged("its size is not that of its shards"));
    }
    Ok(shards)
}

/// The largest range without any hash, with what is before it and after it.
fn largest_gap(heads: &[Head]) -> (u64, u64) {
    let ends = heads.iter().map(|head| head.first).chain([u64::MAX]);
    let starts = [0].into_iter().chain(heads.iter().map(|head| head.last));
    let all = starts.zip(ends).chain(heads.iter().map(|head| head.gap));
    all.max_by_key(|(before, after)| after.saturating_sub(*before)).unwrap_or((0, u64::MAX))
}

/// Distinct hashes for tests.
#[cfg(test)]
fn sample(number: u64) -> Hash {
    let mut hash = [0; 20];
    hash.copy_from_slice(&digest(&SHA256, &number.to_le_bytes()).as_ref()[..20]);
    hash
}
