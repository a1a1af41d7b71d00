//! The templates of mails: those built in, and those of the operator.

use crate::facts::{Facts, sample};
use crate::layout::{self, Block};
use doorwarden_core::mail::{Locale, MailKind};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;
use minijinja::{AutoEscape, Environment, ErrorKind, Output, State, UndefinedBehavior};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

const LAYOUT: &str = "layout.html";
/// A built-in mail uses less than a tenth of it.
const FUEL: u64 = 50_000;
/// The largest file that is read as a template, in bytes.
const FILE_MAX: u64 = 256 * 1024;

macro_rules! built_in {
    ($($name:literal)*) => {
        &[
            (LAYOUT, include_str!("mails/layout.html")),
            $(
                (concat!("en/", $name, ".txt"), include_str!(concat!("mails/en/", $name, ".txt"))),
                (concat!("de/", $name, ".txt"), include_str!(concat!("mails/de/", $name, ".txt"))),
            )*
        ]
    };
}

const BUILT_IN: &[(&str, &str)] = built_in!(
    "_proof" "_request" "_valid" "account_deleted" "account_exists" "deletion_planned" "email_change"
    "email_change_requested" "email_changed" "factor_added" "factor_removed" "invitation" "log_in" "new_device"
    "passkey_counter" "password_changed" "password_locked" "password_unlocked" "reauthenticate" "recovery_codes_few"
    "recovery_codes_renewed" "reset_password" "test" "too_many_failures" "totp_disabled" "verify_email" "webhook_stopped"
);

/// The templates of mails: the built-in ones, and in front of them those that the operator or the application
/// has written instead. The [crate documentation](crate#templates) describes the format.
///
/// A template that cannot be used is a [problem](Self::problems), and the mail is written with the built-in
/// one: no mail is lost because of a template.
///
/// ```
/// use doorwarden_mail::Templates;
///
/// let template = "Subject: A test\n\nSent by {{ service }}.";
/// assert!(Templates::built_in().with("en/test.txt", template).problems().is_empty());
///
/// let problems = Templates::built_in().with("en/test.txt", "{{ sender }}").problems();
/// assert_eq!(problems[0].to_string(), "`en/test.txt`, line 1: undefined value");
/// ```
#[derive(Clone)]
pub struct Templates {
    built_in: Environment<'static>,
    custom: Option<Environment<'static>>,
    /// The names of the templates that replace others.
    names: Vec<String>,
    unusable: Vec<TemplateProblem>,
}

/// Why a template is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{file}`{}: {reason}", Line(*line))]
#[non_exhaustive]
pub struct TemplateProblem {
    /// The name of the template, a path below the directory: `de/verify_email.txt`.
    pub file: String,
    /// The line of it, if it is known.
    pub line: Option<usize>,
    /// What is wrong.
    pub reason: String,
}

struct Line(Option<usize>);

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |line| write!(f, ", line {line}"))
    }
}

/// The directory of templates cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("could not read the templates of mails in {}: {source}", path.display())]
pub struct ReadError {
    path: PathBuf,
    source: io::Error,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// To find out what is wrong with a template.
    Trial,
    /// A mail with the operator's templates.
    Custom,
    /// A mail with the built-in templates, than which there is nothing better.
    BuiltIn,
}

/// What a template has made of a mail.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) subject: String,
    pub(crate) text: String,
    pub(crate) html: String,
}

impl Default for Templates {
    fn default() -> Self {
        Self::built_in()
    }
}

impl Templates {
    /// The built-in templates.
    pub fn built_in() -> Self {
        let mut built_in = environment();
        let mut unusable = Vec::new();
        for &(name, source) in BUILT_IN {
            if let Err(error) = built_in.add_template(name, source) {
                unusable.push(problem(name, &error, true));
            }
        }
        Self { built_in, custom: None, names: Vec::new(), unusable }
    }

    /// The built-in templates, and in front of them the files of this directory: `layout.html` and
    /// `<locale>/<kind>.txt`.
    ///
    /// # Errors
    /// If the directory or a file in it cannot be read, is not UTF-8, or is larger than 256 KiB.
    pub fn from_directory(directory: &Path) -> Result<Self, ReadError> {
        let mut found = Vec::new();
        files(directory, "", &mut found)?;
        found.sort();
        Ok(found.into_iter().fold(Self::built_in(), |all, (name, source)| all.with(&name, source)))
    }

    /// With this template in place of the built-in one of the name: `layout.html` or `<locale>/<kind>.txt`. A
    /// name that begins with `_`, as in `en/_footer.txt`, is free for parts that other templates include.
    #[must_use]
    pub fn with(mut self, name: &str, source: impl Into<String>) -> Self {
        if !is_known(name) {
            let reason = "there is no mail of this name, so the template is never used".to_owned();
            self.unusable.push(TemplateProblem { file: name.to_owned(), line: None, reason });
            return self;
        }
        let custom = self.custom.get_or_insert_with(|| self.built_in.clone());
        match custom.add_template_owned(name.to_owned(), source.into()) {
            Ok(()) => self.names.push(name.to_owned()),
            Err(error) => self.unusable.push(problem(name, &error, true)),
        }
        self
    }

    /// The names and texts of the built-in templates, as a start for one's own.
    pub fn sources() -> impl Iterator<Item = (&'static str, &'static str)> {
        BUILT_IN.iter().copied()
    }

    /// Writes every mail in every language as a trial, with everything that it may say and with as little as
    /// possible, and returns what is wrong with the templates, each problem once.
    pub fn problems(&self) -> Vec<TemplateProblem> {
        let mut problems = self.unusable.clone();
        let environment = self.custom.as_ref().unwrap_or(&self.built_in);
        for locale in Locale::ALL {
            for kind in MailKind::ALL {
                for facts in sample(kind, locale) {
                    match write(environment, locale, kind, &facts, Purpose::Trial) {
                        Err(problem) if !problems.contains(&problem) => problems.push(problem),
                        _ => {}
                    }
                }
            }
        }
        problems
    }

    /// Writes a mail: with the operator's template; if there is none or it fails, with the built-in one; and
    /// if that does not exist in the language, with the English one.
    pub(crate) fn write(
        &self,
        locale: Locale,
        kind: MailKind,
        facts: &Facts,
    ) -> Result<(Locale, Written), TemplateProblem> {
        let fallback = Locale::default();
        let candidates = [
            self.custom.as_ref().map(|custom| (custom, locale, Purpose::Custom)),
            Some((&self.built_in, locale, Purpose::BuiltIn)),
            Some((&self.built_in, fallback, Purpose::BuiltIn)).filter(|_| locale != fallback),
        ];
        let mut last = None;
        for (environment, locale, purpose) in candidates.into_iter().flatten() {
            match write(environment, locale, kind, facts, purpose) {
                Ok(written) => return Ok((locale, written)),
                Err(problem) => {
                    tracing::error!(
                        template = problem.file,
                        line = problem.line,
                        reason = problem.reason,
                        "a template of a mail cannot be used"
                    );
                    last = Some(problem);
                }
            }
        }
        Err(last.unwrap_or_else(|| TemplateProblem {
            file: path(locale, kind),
            line: None,
            reason: "template not found".to_owned(),
        }))
    }
}

impl fmt::Debug for Templates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Templates").field("custom", &self.names).finish_non_exhaustive()
    }
}

fn path(locale: Locale, kind: MailKind) -> String {
    format!("{locale}/{}.txt", kind.as_str())
}

fn is_known(name: &str) -> bool {
    let is_part = |(folder, file): (&str, &str)| Locale::of_tag(folder).is_some() && file.starts_with('_');
    BUILT_IN.iter().any(|(known, _)| *known == name) || name.split_once('/').is_some_and(is_part)
}

/// The files below a directory, but for hidden ones, with their paths from it.
fn files(directory: &Path, prefix: &str, found: &mut Vec<(String, String)>) -> Result<(), ReadError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| ReadError { path, source }
    };
    for entry in std::fs::read_dir(directory).map_err(failed(directory))? {
        let path = entry.map_err(failed(directory))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let metadata = std::fs::metadata(&path).map_err(failed(&path))?;
        if name.starts_with('.') {
            continue;
        }
        if metadata.is_dir() && prefix.is_empty() {
            files(&path, &format!("{name}/"), found)?;
        } else if metadata.len() > FILE_MAX {
            return Err(failed(&path)(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 256 KiB")));
        } else if metadata.is_file() {
            let source = std::fs::read_to_string(&path).map_err(failed(&path))?;
            found.push((format!("{prefix}{name}"), source));
        }
    }
    Ok(())
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.expect("the delimiters are the default ones"));
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.set_auto_escape_callback(
        |name| {
            if name == LAYOUT { AutoEscape::Html } else { AutoEscape::None }
        },
    );
    environment.set_formatter(format_value);
    environment
}

/// Writes a value into a template. In HTML it is escaped; in the text of a mail its characters lose their
/// meaning as markup, so that no value can be a link or a heading.
fn format_value(
    out: &mut Output<'_>,
    state: &mut State<'_, '_>,
    value: &Value,
) -> Result<(), minijinja::Error> {
    if value.is_undefined() {
        return Err(minijinja::Error::from(ErrorKind::UndefinedError));
    }
    if value.is_none() {
        return Ok(());
    }
    let text = value.to_string();
    let is_html = matches!(state.auto_escape(), AutoEscape::Html);
    let text = if !is_html {
        protected(&text)
    } else if value.is_safe() {
        text
    } else {
        escaped(&text)
    };
    out.write_str(&text).map_err(minijinja::Error::from)
}

/// Where the code points begin that stand for ASCII characters without their meaning as markup. They are for
/// private use, and values do not contain them (`facts`).
const PROTECTED: u32 = 0xF_0000;

fn protected(text: &str) -> String {
    let protect = |c: char| match c {
        '#' | '[' | ']' | '(' | ')' | '>' | '`' => char::from_u32(PROTECTED + u32::from(c)).unwrap_or(c),
        _ => c,
    };
    text.chars().map(protect).collect()
}

fn unprotected(text: &str) -> String {
    let meant = |c: char| u32::from(c).checked_sub(PROTECTED).and_then(char::from_u32).filter(char::is_ascii);
    text.chars().map(|c| meant(c).unwrap_or(c)).collect()
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(c),
        }
    }
    escaped
}

fn write(
    environment: &Environment<'_>,
    locale: Locale,
    kind: MailKind,
    facts: &Facts,
    purpose: Purpose,
) -> Result<Written, TemplateProblem> {
    // Details of an error can show what the mail says, which a log must not.
    let details = purpose == Purpose::Trial;
    let is_checked = purpose != Purpose::BuiltIn;
    let file = path(locale, kind);
    let wrong = |reason: &str| TemplateProblem { file: file.clone(), line: None, reason: reason.to_owned() };
    let rendered = environment.get_template(&file).and_then(|template| template.render(facts.values()));
    let rendered = rendered.map_err(|error| problem(&file, &error, details))?;
    let (first, body) = rendered.split_once('\n').unwrap_or((&rendered, ""));
    let subject = first.strip_prefix("Subject:").map(|subject| unprotected(subject.trim()));
    let subject = subject.filter(|subject| !subject.is_empty());
    let subject = subject.ok_or_else(|| wrong("the first line is not `Subject: …`"))?;
    let blocks = layout::blocks(body, unprotected);
    let says =
        |fact: &str| blocks.iter().any(|block: &Block| block.link == fact || block.text.contains(fact));
    if is_checked && facts.link.as_deref().is_some_and(|link| !says(link)) {
        return Err(wrong("the mail does not contain its link"));
    }
    if is_checked && facts.code.as_deref().is_some_and(|code| !says(code)) {
        return Err(wrong("the mail does not contain its code"));
    }
    let shown: Vec<Value> = blocks.iter().map(Block::values).collect();
    let html = environment.get_template(LAYOUT).and_then(|layout| {
        layout.render(
            minijinja::context! { subject => &subject, locale => locale.as_str(), service => &facts.service, blocks => shown },
        )
    });
    let html = html.map_err(|error| problem(LAYOUT, &error, details))?;
    if is_checked
        && blocks
            .iter()
            .any(|block| !html.contains(&escaped(&block.text)) || !html.contains(&escaped(&block.link)))
    {
        let reason = "the layout does not show every block".to_owned();
        return Err(TemplateProblem { file: LAYOUT.to_owned(), line: None, reason });
    }
    Ok(Written { subject, text: layout::text(&blocks, &facts.service), html })
}

fn problem(file: &str, error: &minijinja::Error, details: bool) -> TemplateProblem {
    // An error in an included template is the cause of one in the template that includes it.
    let mut error = error;
    while let Some(cause) = std::error::Error::source(error).and_then(|cause| cause.downcast_ref()) {
        error = cause;
    }
    let detail = error.detail().filter(|_| details);
    TemplateProblem {
        file: error.name().unwrap_or(file).to_owned(),
        line: error.line(),
        reason: detail
            .map_or_else(|| error.kind().to_string(), |detail| format!("{}: {detail}", error.kind())),
    }
}
