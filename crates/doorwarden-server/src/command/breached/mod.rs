//! `doorwarden breached`: files of breached passwords.

mod build;
mod input;

use super::progress::{Interrupt, Progress, grouped};
use super::prompt;
use crate::config::Config;
use crate::failure::Failure;
use crate::output::Output;
use clap::{Args, Subcommand};
use doorwarden::Password;
use doorwarden::core::password::LeakedPasswords;
use doorwarden::core::password::breached::{About, Filter, FilterError, sha1};
use doorwarden::core::time::{Clock, SystemClock, Timestamp};
use serde_json::{Value, json};
use std::fs::File;
use std::path::{Path, PathBuf};

/// Subcommands of `breached`.
#[derive(Debug, Subcommand)]
pub(crate) enum Subcommands {
    /// Build a file from lists of SHA-1 hashes, ordered by hash, as Have I Been Pwned publishes them. A build
    /// that was interrupted goes on where it ended
    Build(build::Arguments),
    /// Look up a password; exit with status 1 if it is known from a breach
    Check(Check),
    /// Show what a file was built from, and when
    Info(Info),
}

/// Arguments of `breached check`.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// File to look into, besides the passwords in the program [default: passwords.breached_file]
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Read the password from standard input (one line)
    #[arg(long)]
    password_stdin: bool,
}

/// Arguments of `breached info`.
#[derive(Debug, Args)]
pub(crate) struct Info {
    /// File to show [default: passwords.breached_file, otherwise the passwords in the program]
    file: Option<PathBuf>,
    /// Read the whole file and compare its checksums
    #[arg(long)]
    verify: bool,
}

pub(super) fn run(config: &Config, command: Subcommands, out: Output) -> Result<(), Failure> {
    match command {
        Subcommands::Build(arguments) => build::run(config, &arguments, out),
        Subcommands::Check(arguments) => check(config, &arguments, out),
        Subcommands::Info(arguments) => info(config, &arguments, out),
    }
}

/// Looks up one password, which is never an argument: other users can see those.
fn check(config: &Config, arguments: &Check, out: Output) -> Result<(), Failure> {
    let file = arguments.file.as_deref().or(config.breached_file.as_deref().map(Path::new));
    let filter = file.map(open).transpose()?;
    let password = match arguments.password_stdin {
        true => Password::new(prompt::read_line()?),
        false if prompt::is_possible() => prompt::known_password()?,
        false => {
            return Err(Failure::usage("no terminal to prompt on").hint("use `--password-stdin`"));
        }
    };
    let hash = sha1(password.expose());
    let found_in = match &filter {
        _ if LeakedPasswords::are_commonest(&hash) => Some("the program"),
        Some(filter) if filter.contains(&hash)? => Some("the file"),
        _ => None,
    };
    let searched = match file {
        Some(file) => format!("the program or in `{}`", file.display()),
        None => "the program".to_owned(),
    };
    let sentence = match found_in {
        Some(list) => format!("The password is known from a breach: it is in the list of {list}"),
        None => format!("The password is not in the list of {searched}"),
    };
    out.done(&sentence, &json!({"leaked": found_in.is_some()}))?;
    // The status says it, too.
    if found_in.is_some() { Err(Failure::no("")) } else { Ok(()) }
}

fn info(config: &Config, arguments: &Info, out: Output) -> Result<(), Failure> {
    let file = arguments.file.as_deref().or(config.breached_file.as_deref().map(Path::new));
    let Some(file) = file else {
        let about = LeakedPasswords::about_commonest()
            .ok_or_else(|| Failure::software("the passwords in the program cannot be read"))?;
        return show(about, None, false, out);
    };
    let filter = open(file)?;
    if arguments.verify {
        let interrupt = Interrupt::listen()?;
        let mut progress = Progress::start("reading bytes", filter.about().bytes);
        let mut before = 0;
        let verified = filter.verify(|read, _| {
            progress.advance(usize::try_from(read - before).unwrap_or(usize::MAX));
            before = read;
            !interrupt.is_wanted()
        });
        progress.clear();
        interrupt.check()?;
        verified.map_err(|error| unusable(file, &error))?;
    }
    show(filter.about(), Some(file), arguments.verify, out)
}

/// Shows what a filter says of itself.
fn show(about: &About, file: Option<&Path>, is_verified: bool, out: Output) -> Result<(), Failure> {
    if out.is_json() {
        return crate::output::json(&value(about, file, is_verified));
    }
    let place = file.map_or_else(|| "in the program".to_owned(), |file| file.display().to_string());
    let mut facts = vec![
        ("file", place),
        ("passwords", grouped(about.entries)),
        ("source", about.source.clone()),
        ("built", built(about)),
        ("size", format!("{} bytes, {:.3} for each password", grouped(about.bytes), bytes_each(about))),
        ("others found", "1 in 65,536".to_owned()),
    ];
    if is_verified {
        facts.push(("checksums", "correct".to_owned()));
    }
    if let Some(missing) = missing(about) {
        facts.push(("incomplete", missing));
    }
    out.facts(&facts)
}

fn value(about: &About, file: Option<&Path>, is_verified: bool) -> Value {
    json!({
        "file": file.map(|file| file.display().to_string()),
        "passwords": about.entries,
        "source": about.source,
        "built_at": Timestamp::from_seconds(about.built_at).to_string(),
        "bytes": about.bytes,
        "bytes_each": bytes_each(about),
        "complete": !about.is_incomplete(),
        "verified": is_verified,
    })
}

#[expect(clippy::cast_precision_loss, reason = "it is shown with three decimals")]
fn bytes_each(about: &About) -> f64 {
    about.bytes as f64 / about.entries.max(1) as f64
}

/// When a filter was built, and how long ago that is.
pub(crate) fn built(about: &About) -> String {
    let at = Timestamp::from_seconds(about.built_at);
    let days = SystemClock.now().since(at).as_secs() / (24 * 3600);
    let ago = crate::output::count(days, "day");
    format!("{}, {ago} ago", at.to_string().get(..10).unwrap_or_default())
}

/// Which range of hashes a filter seems to lack.
pub(crate) fn missing(about: &About) -> Option<String> {
    let (before, after) = about.gap;
    about.is_incomplete().then(|| {
        format!("there is no hash from {before:016X} to {after:016X}: a part of the list seems to be missing")
    })
}

/// The filter in a file.
fn open(file: impl AsRef<Path>) -> Result<Filter<File>, Failure> {
    let file = file.as_ref();
    let opened = File::open(file).map_err(FilterError::Io).and_then(Filter::open);
    opened.map_err(|error| unusable(file, &error))
}

fn unusable(file: &Path, error: &FilterError) -> Failure {
    let failure = Failure::io(format!("cannot read `{}`: {error}", file.display()));
    match error {
        FilterError::Io(_) | FilterError::Version(_) => failure,
        FilterError::Foreign | FilterError::Incomplete | FilterError::Damaged(_) => {
            failure.hint("make the file with `doorwarden breached build`")
        }
    }
}
