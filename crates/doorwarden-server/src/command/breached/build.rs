//! `doorwarden breached build`.

use super::input::{Input, failed};
use super::{missing, open, value};
use crate::command::progress::{Interrupt, Progress, grouped};
use crate::config::Config;
use crate::failure::Failure;
use crate::output::{Output, tell};
use clap::Args;
use doorwarden::core::password::breached::{FilterWriter, ResumeError, prefix};
use doorwarden::core::time::{Clock, SystemClock};
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// After so many hashes the progress is shown.
const STEP: usize = 65_536;

/// Arguments of `breached build`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Lists, files of ranges such as 0A1B2.txt, directories of such files, or - for standard input
    #[arg(required = true, value_name = "FILE")]
    lists: Vec<PathBuf>,
    /// File to build; one that is there is replaced when the build is complete, also while a service uses it
    /// [default: passwords.breached_file]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Begin again, even if an interrupted build could go on
    #[arg(long)]
    restart: bool,
}

pub(super) fn run(config: &Config, arguments: &Arguments, out: Output) -> Result<(), Failure> {
    let output = arguments.output.clone().or_else(|| config.breached_file.as_ref().map(PathBuf::from));
    let Some(output) = output else {
        let text = "`passwords.breached_file` is not set, and no file was given to write to";
        return Err(Failure::usage(text).hint("use `--output FILE`"));
    };
    let input = Input::find(&arguments.lists)?;
    let draft = with_suffix(&output, ".partial");
    let written = |error: io::Error| Failure::io(format!("cannot write `{}`: {error}", draft.display()));
    let mut writer = begin(&draft, &input.source, arguments.restart)?;
    let before = writer.entries();
    if before > 0 {
        tell(&format!("Going on after {} passwords of an interrupted build", grouped(before)));
    }

    let interrupt = Interrupt::listen()?;
    let mut progress = Progress::start("building", 0);
    let after = writer.last();
    let hashes = input.hashes(after)?;
    let mut since = 0;
    for hash in hashes {
        let hash = match hash {
            Ok(hash) => hash,
            Err(error) => {
                progress.clear();
                return Err(failed(&error));
            }
        };
        writer.push(hash).map_err(written)?;
        since += 1;
        if since == STEP {
            progress.expect(expected(writer.entries() - before, after.unwrap_or(0), prefix(&hash)));
            progress.advance(since);
            since = 0;
            if interrupt.is_wanted() {
                progress.clear();
                return Err(Failure::interrupted().hint("run the same command again to go on"));
            }
        }
    }
    progress.clear();
    if writer.entries() == 0 {
        drop(writer);
        // It holds nothing.
        let _ = std::fs::remove_file(&draft);
        return Err(Failure::no("there is no hash in the lists"));
    }
    let file = writer.finish(SystemClock.now().as_seconds()).map_err(written)?;
    complete(&file, &draft, &output).map_err(written)?;

    let filter = open(&output)?;
    let about = filter.about();
    if let Some(missing) = missing(about) {
        tell(&format!("warning: {missing}"));
    }
    let text = format!(
        "Built `{}` of {} passwords: {} bytes",
        output.display(),
        grouped(about.entries),
        grouped(about.bytes)
    );
    out.done(&text, &value(about, Some(&output), false))
}

/// The total, if the hashes from `start` to `now` are as dense as all from `start` on: they are evenly
/// distributed.
fn expected(entries: u64, start: u64, now: u64) -> u64 {
    let total = u128::from(entries) * u128::from(u64::MAX - start) / u128::from((now - start).max(1));
    u64::try_from(total).unwrap_or(u64::MAX)
}

/// Opens the unfinished file, which no other build may write to, and goes on with it if that is possible.
fn begin(draft: &Path, source: &str, restart: bool) -> Result<FilterWriter<File>, Failure> {
    let denied = |error: io::Error| Failure::io(format!("cannot write `{}`: {error}", draft.display()));
    let opened = File::options().read(true).write(true).create(true).truncate(false).open(draft);
    let file = opened.map_err(denied)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(Failure::no(format!("another build writes `{}`", draft.display())));
        }
        Err(TryLockError::Error(error)) => return Err(denied(error)),
    }
    if !restart {
        match FilterWriter::resume(file.try_clone().map_err(denied)?, source) {
            Ok(writer) => return Ok(writer),
            Err(ResumeError::Filter(_)) if file.metadata().map_err(denied)?.len() < 256 => {}
            Err(ResumeError::Io(error)) => return Err(denied(error)),
            Err(error) => {
                let text = format!("cannot go on with `{}`: {error}", draft.display());
                return Err(Failure::no(text).hint("begin again with `--restart`"));
            }
        }
    }
    file.set_len(0).and_then(|()| FilterWriter::new(rewound(file)?, source)).map_err(denied)
}

fn rewound(mut file: File) -> io::Result<File> {
    io::Seek::rewind(&mut file)?;
    Ok(file)
}

/// Puts the finished file where it belongs, in one step.
fn complete(file: &File, draft: &Path, output: &Path) -> io::Result<()> {
    file.sync_all()?;
    std::fs::rename(draft, output)?;
    let directory = output.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
