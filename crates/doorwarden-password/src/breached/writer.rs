//! Builds a filter, one shard in memory at a time.

use super::ribbon::solve;
use super::{
    FilterError, HEAD, HEADER, Hash, Head, MAGIC, checksum, end, header, is_whole, prefix, read_header,
};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

/// The number of hashes in a shard.
const SHARD: usize = 65_536;
/// How many slots a shard can have.
const SLOTS: std::ops::RangeInclusive<u32> = 128..=131_072;

/// Writes a filter. It needs about 4 MiB of memory, and 56 bytes for every 65,536 passwords.
#[derive(Debug)]
pub struct FilterWriter<W> {
    out: W,
    header: [u8; HEADER],
    heads: Vec<Head>,
    /// The hashes of the shard that is not written yet, in ascending order.
    hashes: Vec<Hash>,
    entries: u64,
}

/// Why a build cannot go on where an earlier one ended.
#[derive(Debug, thiserror::Error)]
pub enum ResumeError {
    /// The file cannot be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is no filter of this version.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// It is built from something else.
    #[error("it is built from {0}")]
    OtherSource(String),
}

impl<W: Write> FilterWriter<W> {
    /// Begins a filter of passwords from `source`, of whose description up to 232 bytes are kept.
    ///
    /// # Errors
    /// Writing fails.
    pub fn new(mut out: W, source: &str) -> io::Result<Self> {
        let header = header(source);
        out.write_all(&header)?;
        Ok(Self { out, header, heads: Vec::new(), hashes: Vec::with_capacity(SHARD), entries: 0 })
    }

    /// How many passwords there are so far. What [`push`](Self::push) was given twice is one.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// The [`prefix`] of the last hash in the shards that are written; a build that goes on needs only hashes
    /// with a larger one. `None`: nothing is written.
    pub fn last(&self) -> Option<u64> {
        self.heads.last().map(|head| head.last)
    }

    /// Adds the hash of a password, unless it is the one before.
    ///
    /// # Errors
    /// Writing fails, or the hash is less than the one before (`InvalidInput`).
    pub fn push(&mut self, hash: Hash) -> io::Result<()> {
        let before = self.hashes.last().map(prefix).or(self.last());
        if let Some(last) = self.hashes.last() {
            if hash == *last {
                return Ok(());
            }
            if hash < *last {
                return Err(unordered());
            }
            // Two shards never share a prefix, by which a look-up chooses one.
            if self.hashes.len() >= SHARD && Some(prefix(&hash)) != before {
                self.write_shard()?;
            }
        } else if before.is_some_and(|before| before >= prefix(&hash)) {
            return Err(unordered());
        }
        self.hashes.push(hash);
        self.entries += 1;
        Ok(())
    }

    fn write_shard(&mut self) -> io::Result<()> {
        let [Some(first), Some(last)] = [self.hashes.first(), self.hashes.last()] else { return Ok(()) };
        let (seed, slots) = solve(&self.hashes);
        let neighbours = self.hashes.iter().map(prefix).zip(self.hashes[1..].iter().map(prefix));
        let count = |n: usize| u32::try_from(n).map_err(io::Error::other);
        let mut head = Head {
            first: prefix(first),
            last: prefix(last),
            gap: neighbours.max_by_key(|(one, next)| next - one).unwrap_or_default(),
            entries: count(self.hashes.len())?,
            slots: count(slots.len())?,
            seed,
            checksum: [0; 8],
        };
        let slots: Vec<u8> = slots.iter().flat_map(|slot| slot.to_le_bytes()).collect();
        head.checksum = checksum(&[&head.fields(), &slots]);
        self.out.write_all(&[&head.write(), slots.as_slice()].concat())?;
        self.heads.push(head);
        self.hashes.clear();
        Ok(())
    }

    /// Completes the filter, built at this time in seconds since 1970, and returns what it was written to.
    ///
    /// # Errors
    /// Writing fails.
    pub fn finish(mut self, built_at: i64) -> io::Result<W> {
        self.write_shard()?;
        let index: Vec<u8> = self.heads.iter().flat_map(Head::write).collect();
        let end = end(self.entries, self.heads.len() as u64, built_at);
        let sum = checksum(&[&self.header, &index, &end]);
        self.out.write_all(&[&index, end.as_slice(), &sum, MAGIC].concat())?;
        self.out.flush()?;
        Ok(self.out)
    }
}

impl FilterWriter<File> {
    /// Goes on with a build from the same source that was interrupted: keeps the shards that are complete.
    ///
    /// # Errors
    /// [`ResumeError`] if the file is no filter, or is built from another source, or cannot be read.
    pub fn resume(mut file: File, source: &str) -> Result<Self, ResumeError> {
        let mut start = [0; HEADER];
        let length = file.metadata()?.len();
        if length < HEADER as u64 {
            return Err(FilterError::Foreign.into());
        }
        file.rewind()?;
        file.read_exact(&mut start)?;
        let had = read_header(&start)?;
        if start != header(source) {
            return Err(ResumeError::OtherSource(had.to_owned()));
        }
        let (mut heads, mut at): (Vec<Head>, u64) = (Vec::new(), HEADER as u64);
        let mut shard = Vec::new();
        while length - at >= HEAD as u64 {
            let mut bytes = [0; HEAD];
            file.read_exact(&mut bytes)?;
            let head = Head::read(&bytes);
            let fits = SLOTS.contains(&head.slots) && head.size() <= length - at;
            if !fits || heads.last().is_some_and(|before| before.last >= head.first) {
                break;
            }
            shard.clear();
            shard.extend_from_slice(&bytes);
            (&mut file).take(2 * u64::from(head.slots)).read_to_end(&mut shard)?;
            if !is_whole(&shard) {
                break;
            }
            at += head.size();
            heads.push(head);
        }
        file.set_len(at)?;
        file.seek(SeekFrom::Start(at))?;
        let entries = heads.iter().map(|head| u64::from(head.entries)).sum();
        Ok(Self { out: file, header: start, heads, hashes: Vec::with_capacity(SHARD), entries })
    }
}

fn unordered() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "the hashes are not in ascending order")
}
