//! The lists that `breached build` is given.

use crate::command::progress::grouped;
use crate::failure::Failure;
use doorwarden::core::password::breached::{Hash, HashList, HashListError, Problem, merge, prefix};
use doorwarden::core::time::Timestamp;
use std::fs::{File, Metadata};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// How much is read at once.
const BUFFER: usize = 1 << 20;

type Hashes = Box<dyn Iterator<Item = Result<Hash, HashListError>>>;

/// The lists: what is read, and a description of it.
pub(super) struct Input {
    wholes: Vec<PathBuf>,
    /// Files of ranges by the first 20 bits of their hashes.
    ranges: Vec<(u32, PathBuf)>,
    has_stdin: bool,
    /// What was given, with sizes and times: if it is the same later, so are the lists.
    pub(super) source: String,
}

impl Input {
    /// Looks at the arguments: lists, files of ranges, directories of these, and `-`.
    pub(super) fn find(given: &[PathBuf]) -> Result<Self, Failure> {
        let mut input =
            Self { wholes: Vec::new(), ranges: Vec::new(), has_stdin: false, source: String::new() };
        let mut described = Vec::new();
        let mut loose = Total::default();
        for path in given {
            if path.as_os_str() == "-" {
                input.has_stdin = true;
                described.push("standard input".to_owned());
                continue;
            }
            let metadata = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?;
            let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
            if metadata.is_dir() {
                let mut total = Total::default();
                input.directory(path, &mut total)?;
                described.push(format!("{name}/: {}", total.described()));
            } else if let Some(range) = range_of(path) {
                loose.add(&metadata);
                input.ranges.push((range, path.clone()));
            } else {
                let mut total = Total::default();
                total.add(&metadata);
                described.push(format!("{name}: {}", total.described()));
                input.wholes.push(path.clone());
            }
        }
        if loose.files > 0 {
            described.push(loose.described());
        }
        input.source = described.join("; ");
        input.ranges.sort();
        if let Some([(_, one), (_, other)]) = input.ranges.array_windows().find(|[one, next]| one.0 == next.0)
        {
            let text = format!("`{}` and `{}` are of the same range", one.display(), other.display());
            return Err(Failure::usage(text));
        }
        Ok(input)
    }

    fn directory(&mut self, directory: &Path, total: &mut Total) -> Result<(), Failure> {
        for entry in std::fs::read_dir(directory).map_err(|error| unreadable(directory, &error))? {
            let entry = entry.map_err(|error| unreadable(directory, &error))?;
            let path = entry.path();
            if let Some(range) = range_of(&path) {
                total.add(&entry.metadata().map_err(|error| unreadable(&path, &error))?);
                self.ranges.push((range, path));
            }
        }
        if total.files == 0 {
            let text = format!("`{}` has no file that is named after a range", directory.display());
            return Err(
                Failure::usage(text).hint("such files are `00000.txt` to `FFFFF.txt`, or without `.txt`")
            );
        }
        Ok(())
    }

    /// The hashes with a [`prefix`] above `after`, in ascending order.
    pub(super) fn hashes(
        self,
        after: Option<u64>,
    ) -> Result<impl Iterator<Item = Result<Hash, HashListError>>, Failure> {
        let mut lists: Vec<Hashes> = Vec::new();
        for path in self.wholes {
            let mut file = File::open(&path).map_err(|error| unreadable(&path, &error))?;
            let mut name = path.display().to_string();
            if let Some(after) = after {
                let from = start_of(&mut file, after).map_err(|error| unreadable(&path, &error))?;
                if from > 0 {
                    name = format!("{name}, from byte {from} on,");
                }
            }
            lists.push(Box::new(HashList::new(name, BufReader::with_capacity(BUFFER, file))));
        }
        if self.has_stdin {
            lists.push(Box::new(HashList::new(
                "standard input",
                BufReader::with_capacity(BUFFER, io::stdin()),
            )));
        }
        if !self.ranges.is_empty() {
            // A range is the first 20 of 64 bits.
            let read = after.map_or(0, |after| u32::try_from(after >> 44).unwrap_or(0));
            let rest = self.ranges.into_iter().filter(move |(range, _)| *range >= read);
            lists.push(Box::new(rest.flat_map(|(range, path)| of_range(range, &path))));
        }
        let is_new = move |hash: &Hash| after.is_none_or(|after| prefix(hash) > after);
        Ok(merge(lists).filter(move |next| next.as_ref().map_or(true, is_new)))
    }
}

/// Files that were looked at.
#[derive(Default)]
struct Total {
    files: u64,
    bytes: u64,
    /// The last change of any, in seconds since 1970.
    changed: i64,
}

impl Total {
    fn add(&mut self, metadata: &Metadata) {
        let changed = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let changed = changed.and_then(|since| i64::try_from(since.as_secs()).ok()).unwrap_or(0);
        self.files += 1;
        self.bytes += metadata.len();
        self.changed = self.changed.max(changed);
    }

    fn described(&self) -> String {
        let files = if self.files > 1 { format!("{} files, ", grouped(self.files)) } else { String::new() };
        let changed = Timestamp::from_seconds(self.changed).to_string();
        format!("{files}{} bytes of {}Z", grouped(self.bytes), changed.get(..19).unwrap_or_default())
    }
}

/// The range that a file is named after: `0A1B2` or `0A1B2.txt`.
fn range_of(path: &Path) -> Option<u32> {
    let name = path.file_name()?.to_str()?;
    let digits = name.strip_suffix(".txt").unwrap_or(name);
    let is_range = digits.len() == 5 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_range.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
}

fn of_range(range: u32, path: &Path) -> Hashes {
    let name = path.display().to_string();
    match File::open(path) {
        Ok(file) => Box::new(HashList::range(name, range, BufReader::new(file))),
        Err(error) => Box::new(std::iter::once(Err(HashListError::Io { name, error }))),
    }
}

/// Where in a list to begin, so that no hash with a prefix above `after` is left out. Reads from there on.
fn start_of(file: &mut File, after: u64) -> io::Result<u64> {
    let metadata = file.metadata()?;
    let (mut low, mut high) = (0, if metadata.is_file() { metadata.len() } else { 0 });
    while high - low > BUFFER as u64 {
        let middle = low.midpoint(high);
        file.seek(SeekFrom::Start(middle))?;
        let mut bytes = Vec::new();
        file.by_ref().take(128).read_to_end(&mut bytes)?;
        // What is no line with a hash is found when it is read from the beginning.
        let Some((line, hash)) = first_line(&bytes) else {
            low = 0;
            break;
        };
        match hash <= after {
            true => low = middle + line,
            false => high = middle,
        }
    }
    file.seek(SeekFrom::Start(low))?;
    Ok(low)
}

/// Where the first whole line begins, and the beginning of its hash.
fn first_line(bytes: &[u8]) -> Option<(u64, u64)> {
    let start = bytes.iter().position(|byte| *byte == b'\n')? + 1;
    let digits = std::str::from_utf8(bytes.get(start..start + 16)?).ok()?;
    Some((start as u64, u64::from_str_radix(digits, 16).ok()?))
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::io(format!("cannot read `{}`: {error}", path.display()))
}

/// An error of a list, with what to do about it.
pub(super) fn failed(error: &HashListError) -> Failure {
    let failure = Failure::io(error.to_string());
    let HashListError::Line { problem, .. } = error else { return failure };
    match problem {
        Problem::OutOfOrder => failure.hint("the list must be ordered by hash; `sort` orders it"),
        Problem::Ntlm => failure.hint("Have I Been Pwned publishes the list with SHA-1 hashes, too"),
        Problem::Compressed => {
            failure.hint("unpack it first, for example with `zcat FILE | doorwarden breached build -`")
        }
        Problem::Damaged => failure.hint("fetch the list again"),
        _ => failure,
    }
}
