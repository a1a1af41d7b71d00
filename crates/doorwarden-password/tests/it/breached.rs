//! Filters of breached passwords: what they contain, how they are built, and which files are refused.

use doorwarden_password::breached::{
    Filter, FilterError, FilterWriter, Hash, HashList, HashListError, Problem, ResumeError, merge, prefix,
    sha1,
};
use doorwarden_password::{LeakedPasswords, Password};
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

const BUILT_AT: i64 = 1_800_000_000;

/// The hashes of `number 7` and the like, in ascending order.
fn hashes(numbers: std::ops::Range<u32>) -> Vec<Hash> {
    let mut hashes: Vec<_> = numbers.map(|n| sha1(&format!("number {n}"))).collect();
    hashes.sort_unstable();
    hashes
}

fn built(hashes: &[Hash]) -> Vec<u8> {
    let mut writer = FilterWriter::new(Vec::new(), "a test").unwrap();
    for hash in hashes {
        writer.push(*hash).unwrap();
    }
    writer.finish(BUILT_AT).unwrap()
}

/// A directory of this test.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("doorwarden-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// A file that did not have this name before, moved to its place.
    fn put(&self, name: &str, contents: &[u8]) -> PathBuf {
        let (draft, path) = (self.0.join("draft"), self.0.join(name));
        std::fs::write(&draft, contents).unwrap();
        std::fs::rename(&draft, &path).unwrap();
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_filter_contains_what_it_was_built_from_and_little_else() {
    for count in [0, 1, 2, 100, 65_536, 65_537, 140_000] {
        let known = hashes(0..count);
        let bytes = built(&known);
        let filter = Filter::open(&bytes).unwrap();
        assert!(known.iter().all(|hash| filter.contains(hash).unwrap()), "{count}");
        let about = filter.about();
        let size = bytes.len() as u64;
        assert_eq!((about.entries, about.bytes, about.built_at), (count.into(), size, BUILT_AT));
        assert_eq!(about.source, "a test");
        filter.verify(|_, _| true).unwrap();
        // About two bytes for each, and what a shard takes.
        let shards = u64::from(count.div_ceil(65_536));
        assert!(size <= 296 + 600 * shards + u64::from(count) * 206 / 100, "{count}: {size}");
        let found = (0..20_000).filter(|n| filter.contains(&sha1(&format!("another {n}"))).unwrap());
        // 0.3 expected.
        assert!(found.count() < 6, "{count}");
    }
}

#[test]
fn the_same_passwords_make_the_same_file() {
    let known = hashes(0..70_000);
    let twice: Vec<_> = known.iter().flat_map(|hash| [*hash, *hash]).collect();
    assert_eq!(built(&known), built(&twice), "one that comes twice is one");
    let mut writer = FilterWriter::new(Vec::new(), "a test").unwrap();
    writer.push(known[1]).unwrap();
    let error = writer.push(known[0]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn a_file_that_is_cut_off_or_changed_is_refused() {
    let bytes = built(&hashes(0..3000));
    for length in 0..bytes.len() {
        let error = Filter::open(&bytes[..length]).unwrap_err();
        let expected =
            matches!((length, &error), (0..256, FilterError::Foreign) | (256.., FilterError::Incomplete));
        assert!(expected, "{length}: {error}");
    }
    let (header, index) = (256, bytes.len() - 40 - 56);
    for at in (0..bytes.len()).filter(|at| *at < header + 56 || at % 97 == 0 || *at >= index) {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        let opened = Filter::open(&changed);
        if (header..index).contains(&at) {
            let error = opened.unwrap().verify(|_, _| true).unwrap_err();
            assert!(matches!(error, FilterError::Damaged(_)), "{at}: {error}");
        } else {
            assert!(opened.is_err(), "{at}");
        }
    }
    let longer = [bytes.as_slice(), b"\0"].concat();
    assert!(matches!(Filter::open(&longer), Err(FilterError::Incomplete)));
    let mut newer = bytes.clone();
    newer[8] = 2;
    assert!(matches!(Filter::open(&newer), Err(FilterError::Version(2))));
}

#[test]
fn a_build_goes_on_wherever_it_was_interrupted() {
    let directory = Directory::new("resume");
    let known = hashes(0..140_000);
    let whole = built(&known);
    let shard = 56 + 2 * 67_302;
    for length in [256, 300, 256 + shard - 1, 256 + shard, 256 + shard + 1, 256 + 2 * shard + 77, whole.len()]
    {
        let path = directory.put("partial", &whole[..length]);
        let file = File::options().read(true).write(true).open(&path).unwrap();
        let mut writer = FilterWriter::resume(file, "a test").unwrap();
        let last = writer.last();
        let rest: Vec<_> = known.iter().filter(|hash| last.is_none_or(|last| prefix(hash) > last)).collect();
        assert_eq!(writer.entries(), (known.len() - rest.len()) as u64);
        assert_eq!(rest.len() < known.len(), length >= 256 + shard, "{length}");
        for hash in rest {
            writer.push(*hash).unwrap();
        }
        writer.finish(BUILT_AT).unwrap();
        assert!(std::fs::read(&path).unwrap() == whole, "{length}");
    }
    let path = directory.put("partial", &whole[..400]);
    let open = || File::options().read(true).write(true).open(&path).unwrap();
    let error = FilterWriter::resume(open(), "another").unwrap_err();
    assert!(matches!(error, ResumeError::OtherSource(source) if source == "a test"));
    directory.put("partial", &whole[..100]);
    assert!(matches!(FilterWriter::resume(open(), "a test"), Err(ResumeError::Filter(FilterError::Foreign))));
}

/// The hashes of a list, or what is wrong with which line.
fn read(list: HashList<&[u8]>) -> Result<Vec<String>, (u64, Problem)> {
    let hex = |hash: Hash| {
        let [a, b, c] = [&hash[..4], &hash[4..12], &hash[12..]]
            .map(|part| part.iter().fold(0_u64, |n, byte| n << 8 | u64::from(*byte)));
        format!("{a:08X}{b:016X}{c:016X}")
    };
    list.map(|next| match next {
        Ok(hash) => Ok(hex(hash)),
        Err(HashListError::Line { line, problem, .. }) => Err((line, problem)),
        Err(error) => panic!("{error}"),
    })
    .collect()
}

#[test]
fn lists_are_read_as_they_are_published() {
    const ONE: &str = "000000005AD76BD555C1D6D771DE417A4B87E4B4";
    const OTHER: &str = "00000000A8DAE4228F821FB418F59826079BF368";
    let both = || Ok(vec![ONE.to_owned(), OTHER.to_owned()]);
    for text in [
        format!("{ONE}:10\r\n{OTHER}:4\r\n"),
        format!("{ONE}:10\n{OTHER}:18446744073709551615"),
        format!("{ONE}\n{OTHER}\n\n"),
        format!("{}:1\n{}:1", ONE.to_lowercase(), OTHER.to_lowercase()),
        format!("{ONE}:1\n000000009999999999999999999999999999ABCD:0\n{OTHER}:1"),
    ] {
        assert_eq!(read(HashList::new("list", text.as_bytes())), both(), "{text}");
    }
    let range = format!("{}:10\r\n{}:4", &ONE[5..], &OTHER[5..]);
    assert_eq!(read(HashList::range("00000", 0, range.as_bytes())), both());
    let last = read(HashList::range("FFFFF", 0xf_ffff, &range.as_bytes()[..35])).unwrap();
    assert_eq!(last, [format!("FFFFF{}", &ONE[5..])]);
    assert_eq!(read(HashList::new("empty", b"")), Ok(Vec::new()));

    let line = format!("{ONE}:1\n");
    let ntlm = "0000AB12CD34EF560000AB12CD34EF56:3";
    for (text, problem) in [
        (format!("{line}{OTHER}:1\n{ONE}:1"), (3, Problem::OutOfOrder)),
        (ntlm.to_owned(), (1, Problem::Ntlm)),
        (format!("{}:1", &ONE[5..]), (1, Problem::NoRange)),
        (format!("{line}{}", &OTHER[..39]), (2, Problem::Damaged)),
        (format!("{line}{OTHER}:"), (2, Problem::Damaged)),
        (format!("{line}{OTHER}:1x"), (2, Problem::Damaged)),
        (format!("{line}{OTHER};1"), (2, Problem::Damaged)),
        (format!("{line}{}G:1", &OTHER[..39]), (2, Problem::Damaged)),
        (format!("{ONE}{}", "0".repeat(1 << 20)), (1, Problem::Damaged)),
        ("PK\u{3}\u{4}".to_owned(), (1, Problem::Compressed)),
        ("password\n".to_owned(), (1, Problem::Damaged)),
    ] {
        assert_eq!(read(HashList::new("list", text.as_bytes())), Err(problem), "{text}");
    }
    let gzip: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00";
    assert_eq!(read(HashList::new("list", gzip)), Err((1, Problem::Compressed)));
    assert_eq!(read(HashList::range("00000", 0, &ntlm.as_bytes()[5..])), Err((1, Problem::Ntlm)));
}

#[test]
fn lists_are_merged_in_order_and_an_error_comes_before_all_that_is_left() {
    let all = hashes(0..1000);
    let every = |nth: usize| all.iter().skip(nth).step_by(3).map(|hash| Ok::<_, ()>(*hash));
    let merged: Result<Vec<_>, ()> = merge([every(2), every(0), every(1)]).collect();
    assert_eq!(merged.unwrap(), all);

    let broken = vec![Ok(all[5]), Err("broken")];
    let mut merged = merge([broken, vec![Ok(all[4]), Ok(all[999])]].map(Vec::into_iter));
    assert_eq!(merged.next(), Some(Ok(all[4])));
    assert_eq!(merged.next(), Some(Ok(all[5])));
    assert_eq!(merged.next(), Some(Err("broken")));
}

#[test]
fn a_missing_part_of_the_list_is_noticed() {
    let all = hashes(0..150_000);
    let gap = |known: &[Hash]| {
        let bytes = built(known);
        let about = Filter::open(&bytes).unwrap().about().clone();
        about.is_incomplete().then_some(about.gap)
    };
    let part = |from: usize, to: usize| [&all[..from], &all[to..]].concat();
    assert_eq!(gap(&all), None);
    assert_eq!(gap(&hashes(0..3)), None);
    for (from, to) in [(10_000, 10_100), (65_500, 65_600), (140_000, 150_000), (0, 200)] {
        let (before, after) = gap(&part(from, to)).unwrap();
        let ends =
            (from.checked_sub(1).map_or(0, |at| prefix(&all[at])), all.get(to).map_or(u64::MAX, prefix));
        assert_eq!((before, after), ends, "without {from} to {to}");
    }
}

#[test]
fn the_hundred_thousand_most_common_passwords_are_in_the_program() {
    let known = LeakedPasswords::default();
    for password in
        ["123456", "password", "qwerty", "iloveyou", "trustno1", "P@ssw0rd", "Password1", "correcthorse"]
    {
        let expected = password != "correcthorse";
        assert_eq!(known.contains(&Password::new(password)), expected, "{password}");
    }
    let about = LeakedPasswords::about_commonest().unwrap();
    assert_eq!(about.entries, 100_000);
    assert!(about.bytes <= 210_000 && !about.is_incomplete(), "{about:?}");
    let others = 1 << 18;
    let found = (0..others).filter(|n| known.contains(&Password::new(format!("another {n}")))).count();
    // 4 expected.
    assert!(found < 16, "{found} of {others}");
}

#[test]
fn a_file_may_be_replaced_while_it_is_used() {
    let directory = Directory::new("replaced");
    let (first, second) = (built(&hashes(0..1000)), built(&hashes(1000..3000)));
    let path = directory.put("filter", &first);
    let known = LeakedPasswords::open(&path).unwrap();
    let of = |number: u32| known.contains(&Password::new(format!("number {number}")));
    // No number is taken for one of the others.
    let is_first = || (100..200).all(&of) && !(2000..2100).any(&of);
    let is_second = || !(100..200).any(&of) && (2000..2100).all(&of);
    assert!(is_first());
    directory.put("filter", &second);
    assert!(is_second());
    directory.put("filter", b"not a filter");
    assert!(is_second(), "the one of before is kept");
    std::fs::remove_file(&path).unwrap();
    assert!(is_second(), "the one of before is kept");
    directory.put("filter", &first);
    assert!(is_first());

    // Nobody is kept from choosing a password, and the common ones are still known.
    File::options().write(true).open(&path).unwrap().set_len(300).unwrap();
    assert!(!(100..200).any(&of) && known.contains(&Password::new("trustno1")));
    File::options().append(true).open(&path).unwrap().write_all(&first[300..]).unwrap();
    assert!(is_first());
}

#[test]
fn a_file_that_is_no_filter_is_not_opened() {
    let directory = Directory::new("refused");
    let known = built(&hashes(0..10));
    let missing = LeakedPasswords::open(directory.0.join("missing")).unwrap_err();
    assert!(matches!(missing, FilterError::Io(error) if error.kind() == io::ErrorKind::NotFound));
    for (contents, message) in [
        (b"123456\n".as_slice(), "it is not a filter of breached passwords"),
        (&known[..known.len() - 1], "its end is missing"),
    ] {
        let path = directory.put("filter", contents);
        assert_eq!(LeakedPasswords::open(path).unwrap_err().to_string(), message);
    }
}
