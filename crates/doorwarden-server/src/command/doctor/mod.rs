//! `doorwarden doctor`: finds problems of an installation, with hints.

mod audit;
mod database;
mod factors;
mod files;
mod keys;
mod leaked;
mod limits;
mod mail;
mod network;
mod secrets;
mod tokens;
mod webhooks;

use crate::config::{Loaded, Source};
use crate::failure::{Failure, Message};
use crate::output::{self, Output, Style, clean_line, count, line};
use clap::Args;
use doorwarden::core::field::Fields;
use serde_json::{Value, json};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Exit with status 1 on warnings as well
    #[arg(long)]
    strict: bool,
    /// Recompute the keys that make emails and usernames unique, for every user that SQL may have written
    #[arg(long)]
    repair: bool,
}

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Ok,
    Warning,
    Error,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One finding.
struct Finding {
    level: Level,
    check: &'static str,
    text: String,
    advice: Option<String>,
}

/// All findings.
#[derive(Default)]
struct Report(Vec<Finding>);

impl Report {
    fn ok(&mut self, check: &'static str, text: impl Into<String>) {
        self.0.push(Finding { level: Level::Ok, check, text: text.into(), advice: None });
    }

    fn warning(&mut self, check: &'static str, text: impl Into<String>, advice: impl Into<String>) {
        self.add(Level::Warning, check, text.into(), advice.into());
    }

    fn error(&mut self, check: &'static str, text: impl Into<String>, advice: impl Into<String>) {
        self.add(Level::Error, check, text.into(), advice.into());
    }

    fn add(&mut self, level: Level, check: &'static str, text: String, advice: String) {
        self.0.push(Finding { level, check, text, advice: Some(advice) });
    }

    fn message(&mut self, level: Level, check: &'static str, message: &Message) {
        let advice = message.advice().map(|hint| hint.as_str().trim().to_owned());
        self.0.push(Finding { level, check, text: message.text().to_owned(), advice });
    }

    fn failure(&mut self, check: &'static str, failure: &Failure) {
        self.message(Level::Error, check, failure.message());
    }

    fn has(&self, check: &str, level: Level) -> bool {
        self.0.iter().any(|finding| finding.check == check && finding.level >= level)
    }

    fn count(&self, level: Level) -> u64 {
        self.0.iter().filter(|finding| finding.level == level).count() as u64
    }
}

/// Runs every check that the configuration allows, even if the configuration is not valid.
pub(super) async fn run(
    loaded: Result<Loaded, Failure>,
    arguments: &Arguments,
    out: Output,
) -> Result<(), Failure> {
    let mut report = Report::default();
    match loaded {
        Ok(loaded) => {
            configuration(&loaded, &mut report);
            secrets::check(&loaded.config, &mut report);
            files::check(&loaded, &mut report);
            network::check(&loaded.config, &mut report);
            tokens::check(&loaded.config, &mut report);
            leaked::check(&loaded.config, &mut report);
            limits::check(&loaded.config, &mut report).await;
            mail::check(&loaded.config, &mut report).await;
            factors::check(&loaded.config, &mut report);
            webhooks::check(&loaded.config, &mut report);
            database::check(&loaded.config, arguments.repair, &mut report).await;
        }
        Err(failure) => report.failure("configuration", &failure),
    }
    print(&report, out)?;
    let (errors, warnings) = (report.count(Level::Error), report.count(Level::Warning));
    match errors > 0 || (arguments.strict && warnings > 0) {
        true => Err(Failure::no(format!("{}, {}", count(errors, "error"), count(warnings, "warning")))),
        false => Ok(()),
    }
}

fn configuration(loaded: &Loaded, report: &mut Report) {
    const CHECK: &str = "configuration";
    for warning in &loaded.config.warnings {
        report.message(Level::Warning, CHECK, warning);
    }
    if let Err(failure) = loaded.config.builder() {
        report.failure(CHECK, &failure);
    }
    if let Err(failure) = loaded.config.mailing() {
        report.failure(CHECK, &failure);
    }
    if let Err(failure) = loaded.config.declared_permissions() {
        report.failure(CHECK, &failure);
    }
    if let Err(error) = Fields::new(loaded.config.fields.clone()) {
        report.error(CHECK, error.to_string(), "rename the field");
    }
    if !report.has(CHECK, Level::Error) {
        let set = loaded.values().filter(|(_, _, source)| *source != Source::Default).count() as u64;
        let file = match &loaded.file {
            Some(file) => format!("read from `{}`", file.display()),
            None => "no configuration file".to_owned(),
        };
        report.ok(CHECK, format!("{file}; {} set", count(set, "value")));
    }
}

fn print(report: &Report, out: Output) -> Result<(), Failure> {
    let Report(findings) = report;
    if out.is_json() {
        let shown = |f: &Finding| json!({"check": f.check, "level": f.level.word(), "text": f.text, "advice": f.advice});
        return output::json(&json!({
            "ok": report.count(Level::Error) == 0,
            "errors": report.count(Level::Error),
            "warnings": report.count(Level::Warning),
            "checks": findings.iter().map(shown).collect::<Value>(),
        }));
    }
    for finding in findings {
        let style = match finding.level {
            Level::Ok => Style::Green,
            Level::Warning => Style::Yellow,
            Level::Error => Style::Red,
        };
        let word = out.paint(style, &format!("{:<7}", finding.level.word()));
        line(&format!("{word}  {:<13}  {}", finding.check, clean_line(&finding.text.replace('\n', " "))))?;
        if let Some(advice) = &finding.advice {
            line(&format!("{:24}{}", "", clean_line(&advice.replace('\n', " "))))?;
        }
    }
    Ok(())
}
