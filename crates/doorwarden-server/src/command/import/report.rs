//! The report of an import, for people and for programs.

use crate::command::progress::grouped;
use crate::failure::Failure;
use crate::output;
use doorwarden::core::factor::FactorKind;
use doorwarden::core::flow::import::{Action, Finding, Privileged};
use doorwarden::core::store::NewRights;
use doorwarden::core::time::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Duration;

/// The maximum number of rows shown; `--report` writes all.
const SHOWN: usize = 20;

/// The report of an import.
pub(super) struct Report<'a> {
    pub(super) table: &'a str,
    /// Columns that are not imported.
    pub(super) left_columns: Vec<&'a str>,
    pub(super) has_date_joined: bool,
    pub(super) trimmed: bool,
    pub(super) dry_run: bool,
    pub(super) outcome: Outcome,
    pub(super) users: u64,
    pub(super) groups: usize,
    pub(super) permissions: usize,
    /// How many factors of each kind come, if their users do.
    pub(super) factors: [(FactorKind, u64); 3],
    /// Factors that count for nothing, because they were never confirmed.
    pub(super) unconfirmed_factors: u64,
    /// Authenticator apps and passkeys.
    pub(super) imported_factors: u64,
    pub(super) already_here: u64,
    pub(super) imported: u64,
    /// The users who are staff or superusers.
    pub(super) privileged: Vec<Privileged>,
    pub(super) new_rights: NewRights,
    pub(super) findings: &'a [Finding],
    pub(super) took: Duration,
    /// When the last token issued by Django until now expires, at the article's token lifetime.
    pub(super) until: Timestamp,
}

/// The outcome of an import.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Everything was imported or, in a dry run, would be.
    Done,
    /// Conflicting rows stopped the import.
    Stopped,
    /// A signal interrupted the import.
    Interrupted,
}

impl Report<'_> {
    pub(super) fn print(&self, as_json: bool) -> Result<(), Failure> {
        if as_json { output::json(&self.as_json()) } else { output::line(&self.lines().join("\n")) }
    }

    fn as_json(&self) -> Value {
        json!({
            "table": self.table,
            "dry_run": self.dry_run,
            "outcome": match self.outcome {
                Outcome::Done => "done",
                Outcome::Stopped => "stopped",
                Outcome::Interrupted => "interrupted",
            },
            "users": self.users,
            "groups": self.groups,
            "permissions": self.permissions,
            "factors": self.factors.iter().map(|(kind, count)| (kind.as_str(), count)).collect::<BTreeMap<_, _>>(),
            "factors_left": self.factors_left(),
            "unconfirmed_factors": self.unconfirmed_factors,
            "imported_factors": self.imported_factors,
            "already_here": self.already_here,
            "imported": self.imported,
            "superusers": self.privileged.iter().filter(|p| p.is_superuser).map(person).collect::<Vec<_>>(),
            "staff": self.privileged.iter().filter(|p| !p.is_superuser).map(person).collect::<Vec<_>>(),
            "new_groups": self.new_rights.groups,
            "new_permissions": self.new_rights.permissions,
            "passwords_trimmed": self.trimmed,
            "date_joined": if self.has_date_joined { "kept" } else { "moment of the import" },
            "columns_left": self.left_columns,
            "findings": self.findings.len(),
            "first_findings": self.findings.iter().take(SHOWN).map(as_json).collect::<Vec<_>>(),
            "seconds": self.took.as_secs_f64(),
        })
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!(
            "Found {1} users in table `{0}`, {2} groups and {3} permissions",
            self.table,
            grouped(self.users),
            self.groups,
            self.permissions
        )];
        let [totp, passkeys, codes] = self.factors.map(|(_, count)| count);
        let (left, begun) = (self.factors_left(), self.unconfirmed_factors);
        if totp + passkeys + codes + left + begun > 0 {
            lines.push(format!(
                "  Second factors: {totp} authenticator apps, {passkeys} passkeys, {codes} sets of recovery codes; \
                 {left} cannot be imported, {begun} were never confirmed"
            ));
        }
        if !self.left_columns.is_empty() {
            let columns = self.left_columns.join(", ");
            lines.push(format!("  Columns not imported: {columns} (keep one with `--metadata COLUMN`)"));
        }
        if !self.has_date_joined {
            lines.push("  No column `date_joined`: the time of the import is stored".to_owned());
        }
        let (are, flag) = if self.trimmed { ("is", "no") } else { ("is not", "yes") };
        lines.push(format!(
            "  Whitespace around passwords {are} stripped there (`--trimmed {flag}` if that is wrong)"
        ));
        for finding in self.findings.iter().take(SHOWN) {
            lines.push(format!("  {}", sentence(finding)));
        }
        if self.findings.len() > SHOWN {
            lines.push(format!(
                "  and {} more (write all of them with `--report FILE`)",
                self.findings.len() - SHOWN
            ));
        }
        for (is_superuser, what) in [(true, "Superusers"), (false, "Staff")] {
            let them: Vec<_> = self.privileged.iter().filter(|p| p.is_superuser == is_superuser).collect();
            if !them.is_empty() {
                let names =
                    them.iter().take(SHOWN).map(|p| format!("{} {}", p.id, p.name)).collect::<Vec<_>>();
                let more = if them.len() > SHOWN { ", …" } else { "" };
                lines.push(format!("  {what}: {}{more} ({} in total)", names.join(", "), them.len()));
            }
        }
        lines.push(self.conclusion());
        lines.iter().map(|line| output::clean(line).into_owned()).collect()
    }

    /// Factors that cannot be imported.
    fn factors_left(&self) -> u64 {
        let is_left = |finding: &&Finding| finding.kind == "factor" && finding.action == Action::Left;
        self.findings.iter().filter(is_left).count() as u64
    }

    fn conclusion(&self) -> String {
        let stopping = self.findings.iter().filter(|finding| finding.stops()).count();
        let here = match self.already_here {
            0 => String::new(),
            count => format!(", {} already existed", grouped(count)),
        };
        match (self.outcome, self.dry_run) {
            (Outcome::Stopped, _) => {
                format!("{stopping} rows conflict, cannot be imported, or would have other permissions here")
            }
            (Outcome::Interrupted, _) => format!(
                "Interrupted: imported {} users{here}; run the import again to continue",
                grouped(self.imported)
            ),
            (Outcome::Done, true) => format!("Would import {} users{here}", grouped(self.imported)),
            (Outcome::Done, false) => format!(
                "Imported {} users with {} second factors, {} groups and {} permissions in {:.1} s{here}\n\
                 To accept tokens that Django issued, set `secret_key` to its `SECRET_KEY`, and \
                 `tokens.accept_without_session` to `\"{}\"`",
                grouped(self.imported),
                grouped(self.imported_factors),
                self.new_rights.groups,
                self.new_rights.permissions,
                self.took.as_secs_f64(),
                self.until
            ),
        }
    }
}

/// Writes every finding to a file that only its owner may read, one JSON object per line.
pub(super) fn write_all(path: &Path, findings: &[Finding]) -> Result<(), Failure> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = BufWriter::new(options.open(path)?);
    for finding in findings {
        writeln!(file, "{}", as_json(finding))?;
    }
    Ok(file.flush()?)
}

fn as_json(finding: &Finding) -> Value {
    json!({
        "kind": finding.kind,
        "id": finding.id,
        "name": finding.name,
        "problem": finding.problem.to_string(),
        "action": finding.action.to_string(),
        "renamed": finding.renamed,
    })
}

fn person(who: &Privileged) -> Value {
    json!({"id": who.id, "name": who.name})
}

fn sentence(finding: &Finding) -> String {
    let id = if finding.id == 0 { String::new() } else { format!(" {}", finding.id) };
    let name = if finding.name.is_empty() { String::new() } else { format!(" {}", finding.name) };
    let action = match &finding.renamed {
        Some(new) => format!("{}: {new}", finding.action),
        None => finding.action.to_string(),
    };
    format!("{}{id}{name}: {} ({action})", finding.kind, finding.problem)
}
