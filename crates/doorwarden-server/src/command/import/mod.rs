//! `doorwarden import django`: accounts of a Django application, with their ids and hashes.

mod cell;
mod factors;
mod layout;
mod postgres;
mod report;
mod source;
mod sqlite;
mod target;
mod verified;

use super::progress::{Interrupt, Progress};
use crate::config::Config;
use crate::failure::Failure;
use clap::{Args, Subcommand, ValueEnum};
use doorwarden::core::audit::Effects;
use doorwarden::core::factor::FactorKind;
use doorwarden::core::flow::import::{
    Action, Factors, Finding, OnConflict, Plan, Problem, Rights, SealedFactors,
};
use doorwarden::core::store::{ImportedAccount, NewRights};
use doorwarden::core::time::{Clock, SystemClock};
use doorwarden::core::user::UserId;
use doorwarden::{Actor, Event};
use layout::Layout;
use report::{Outcome, Report};
use source::{Reading, Source};
use std::num::NonZero;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use target::Target;
use tokio::sync::mpsc;
use verified::Verified;

/// Accounts per commit: into a database that others may be writing to, and into one without users.
const STEP: u64 = 25_000;
const STEP_ALONE: u64 = 250_000;

/// The maximum number of accounts handed to the writer at a time.
const PART: usize = 10_000;

/// The lifetime of Django's tokens in the article whose API this is.
const TOKENS_OF_DJANGO: Duration = Duration::from_hours(60 * 24);

/// Subcommands of `import`.
#[derive(Debug, Subcommand)]
pub(crate) enum From {
    /// Import from a Django application: ids, hashes, flags, dates, groups, permissions and second factors.
    /// Existing accounts are not changed, so the import can be interrupted and run again
    Django(Django),
}

/// Arguments of `import django`.
#[derive(Debug, Args)]
pub(crate) struct Django {
    /// Database of the application: sqlite://PATH or postgres://USER:PASSWORD@HOST/NAME
    #[arg(long, value_name = "URL")]
    from: String,
    /// Table of users [default: detected, such as auth_user]
    #[arg(long, value_name = "NAME")]
    table: Option<String>,
    /// Column to take usernames from, for a table without `username`; usually email
    #[arg(long, value_name = "COLUMN")]
    username_from: Option<String>,
    /// Dry run: show what would be imported
    #[arg(long)]
    dry_run: bool,
    /// How to handle conflicting rows
    #[arg(long, value_enum, default_value_t = Conflict::Stop)]
    on_conflict: Conflict,
    /// Whether the application stripped surrounding whitespace from passwords before hashing, as Django REST
    /// framework does. auto: yes, unless the table has Django's own date_joined
    #[arg(long, value_enum, default_value_t = Trimmed::Auto)]
    trimmed: Trimmed,
    /// The email addresses count as proved
    #[arg(long)]
    verified: bool,
    /// Column that says whose email address counts as proved: a flag, or the time of the proof
    #[arg(long, value_name = "COLUMN", conflicts_with = "verified")]
    verified_from: Option<String>,
    /// Column to keep as a member of the user's metadata; can be repeated
    #[arg(long, value_name = "COLUMN")]
    metadata: Vec<String>,
    /// Accounts per commit; other SQLite writers wait for that long [default: 250000 into a database without
    /// users, otherwise 25000]
    #[arg(long, value_name = "NUMBER")]
    batch: Option<NonZero<u64>>,
    /// File to write all conflicting rows to, as one JSON object per line
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Conflict {
    /// Import nothing
    Stop,
    /// Skip them; of two that differ only in case, the lower id is kept
    Skip,
    /// Rename those whose username or email is taken or missing to NAME-ID and user-ID@duplicate.invalid;
    /// skip the others
    Rename,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Trimmed {
    Auto,
    Yes,
    No,
}

pub(super) async fn run(config: &Config, from: From, json: bool) -> Result<(), Failure> {
    let From::Django(args) = from;
    let started = Instant::now();
    let interrupt = Interrupt::listen()?;
    let on_conflict = match args.on_conflict {
        Conflict::Stop => OnConflict::Stop,
        Conflict::Skip => OnConflict::Skip,
        Conflict::Rename => OnConflict::Rename,
    };
    let target = Target::look(config).await?;
    let source = Source::open(&args.from).await?;
    let tables = source.tables().await?;
    let layout = Layout::find(&tables, args.table.as_deref(), args.username_from.as_deref())?;
    if let Some(missing) = args.metadata.iter().find(|column| !layout.others.contains(column)) {
        let why = format!("the table {} has no other column {missing}", layout.users);
        return Err(Failure::usage(why));
    }
    let verified = Verified::find(args.verified, args.verified_from, &layout)?;
    let trimmed = match args.trimmed {
        Trimmed::Auto => !layout.has("date_joined"),
        given => given == Trimmed::Yes,
    };

    let mut rights = Rights::plan(source.rights(&layout).await?);
    if let Some(store) = target.store() {
        rights.compare(store).await?;
    }
    let party = config.relying_party()?.ok();
    let mut factors = Factors::plan(factors::read(&source, &tables).await?, party.as_ref());
    if let Some(store) = target.store() {
        factors.compare(store).await?;
    }
    let mut plan =
        survey(&target, source.users(&layout, &args.metadata, &verified), on_conflict, &interrupt).await?;
    let last_given = source.last_id(&layout.users).await?;
    plan.compare_ids(last_given);
    let mut findings = [rights.findings(), factors.findings(), plan.findings()].concat();
    let left_out = |findings: &[Finding]| {
        let left = findings.iter().filter(|f| f.kind == "user" && f.action == Action::Left).count();
        u64::try_from(left).unwrap_or(u64::MAX)
    };
    let coming = plan.rows() - plan.already_here() - left_out(plan.findings());
    let mut report = Report {
        table: &layout.users,
        left_columns: layout
            .others
            .iter()
            .filter(|c| !args.metadata.contains(c) && verified.column() != Some(c))
            .map(String::as_str)
            .collect(),
        has_date_joined: layout.has("date_joined"),
        trimmed,
        dry_run: args.dry_run,
        outcome: Outcome::Done,
        users: plan.rows(),
        groups: rights.groups(),
        permissions: rights.permissions(),
        factors: FactorKind::ALL.map(|kind| (kind, factors.count(kind))),
        unconfirmed_factors: factors.unconfirmed(),
        imported_factors: 0,
        already_here: plan.already_here(),
        imported: coming,
        privileged: plan.privileged().to_vec(),
        new_rights: NewRights::default(),
        findings: &[],
        took: started.elapsed(),
        until: SystemClock.now().after(TOKENS_OF_DJANGO),
    };
    let stops = on_conflict == OnConflict::Stop && findings.iter().any(Finding::stops);
    let mut meanwhile = Vec::new();
    if stops {
        report.outcome = Outcome::Stopped;
        report.imported = 0;
        report.privileged.clear();
    } else if !args.dry_run {
        let is_empty = target.is_empty().await?;
        let last_id = plan.last_id(last_given);
        let store = target.ready().await?;
        let factors = sealed(config, factors).await?;
        let mut writer = store.import().await?;
        writer.reserve_ids(last_id).await?;
        report.new_rights = rights
            .write(writer.as_mut(), caused(Event::RightsImported { permissions: 0, groups: 0 }))
            .await?;
        let step = args.batch.map_or(if is_empty { STEP_ALONE } else { STEP }, NonZero::get);
        let part = usize::try_from(step).unwrap_or(PART).min(PART);
        let reading = source.users(&layout, &args.metadata, &verified);
        let mut parts = decide(reading, part, plan, rights, factors, trimmed);
        let mut progress = Progress::start("importing", coming);
        let (mut uncommitted, mut uncommitted_factors) = (0, 0);
        report.imported = 0;
        while let Some(accounts) = parts.recv().await {
            let accounts = accounts?;
            let count = accounts.len();
            let having = |account: &ImportedAccount| (account.user.id, account.factors.factors.len() as u64);
            let having: Vec<_> = accounts.iter().map(having).filter(|(_, factors)| *factors > 0).collect();
            let left = writer.write(accounts).await?;
            let written = having.iter().filter(|(user, _)| !left.contains(user));
            uncommitted_factors += written.map(|(_, factors)| factors).sum::<u64>();
            uncommitted += u64::try_from(count - left.len()).unwrap_or(0);
            meanwhile.extend(left.into_iter().map(taken_meanwhile));
            progress.advance(count);
            if uncommitted >= step {
                writer.commit(caused(Event::UsersImported { count: 0 })).await?;
                report.imported += std::mem::take(&mut uncommitted);
                report.imported_factors += std::mem::take(&mut uncommitted_factors);
            }
            if interrupt.is_wanted() {
                report.outcome = Outcome::Interrupted;
                break;
            }
        }
        if uncommitted > 0 {
            writer.commit(caused(Event::UsersImported { count: 0 })).await?;
            report.imported += uncommitted;
            report.imported_factors += uncommitted_factors;
        }
        progress.clear();
        writer.finish().await?;
        store.close().await;
    }
    findings.extend_from_slice(&meanwhile);
    report.findings = &findings;
    report.took = started.elapsed();
    if let Some(path) = &args.report {
        report::write_all(path, &findings)?;
    }
    report.print(json)?;
    match report.outcome {
        Outcome::Interrupted => Err(Failure::interrupted()),
        Outcome::Stopped => Err(Failure::no("nothing was imported").hint(
            "skip these rows with `--on-conflict skip`, or rename accounts whose username or email is taken with \
             `--on-conflict rename`",
        )),
        Outcome::Done if !meanwhile.is_empty() && on_conflict == OnConflict::Stop => Err(Failure::no(
            format!("skipped {} users because of accounts created in the meantime", meanwhile.len()),
        )),
        Outcome::Done => Ok(()),
    }
}

/// Checks every row.
async fn survey(
    target: &Target<'_>,
    mut reading: Reading,
    on_conflict: OnConflict,
    interrupt: &Interrupt,
) -> Result<Plan, Failure> {
    let mut survey = target.survey(on_conflict).await?;
    let mut progress = Progress::start("looking at users", 0);
    while let Some(rows) = reading.next().await? {
        interrupt.check()?;
        for row in &rows {
            survey.look(row);
        }
        progress.advance(rows.len());
    }
    progress.clear();
    Ok(survey.finish())
}

/// Seals the secrets of factors as the service does, with its secret key.
async fn sealed(config: &Config, factors: Factors) -> Result<SealedFactors, Failure> {
    if factors.is_empty() {
        return Ok(SealedFactors::default());
    }
    let auth = super::open_with_keys(config).await?;
    let context = auth.context();
    let sealed = factors.seal(&context.factors, context.random.as_ref(), SystemClock.now());
    auth.close().await;
    Ok(sealed)
}

/// Turns rows into accounts, concurrently with the writer.
fn decide(
    mut reading: Reading,
    size: usize,
    plan: Plan,
    rights: Rights,
    factors: SealedFactors,
    trimmed: bool,
) -> mpsc::Receiver<Result<Vec<ImportedAccount>, Failure>> {
    let (sender, batches) = mpsc::channel(1);
    tokio::spawn(async move {
        let now = SystemClock.now();
        let mut batch = Vec::with_capacity(size);
        loop {
            let rows = match reading.next().await {
                Ok(Some(rows)) => rows,
                Ok(None) => break,
                Err(failure) => {
                    // The receiver may be gone.
                    let _ = sender.send(Err(failure)).await;
                    return;
                }
            };
            for account in
                rows.into_iter().filter_map(|row| plan.account(row, &rights, &factors, trimmed, now))
            {
                batch.push(account);
                if batch.len() == size {
                    let full = std::mem::replace(&mut batch, Vec::with_capacity(size));
                    if sender.send(Ok(full)).await.is_err() {
                        return;
                    }
                }
            }
        }
        if !batch.is_empty() {
            let _ = sender.send(Ok(batch)).await;
        }
    });
    batches
}

fn taken_meanwhile(id: UserId) -> Finding {
    let (problem, action) = (Problem::TakenMeanwhile, Action::Left);
    Finding { kind: "user", id: id.0, name: String::new(), problem, action, renamed: None }
}

/// Effects of an operator's action at this time.
fn caused(event: Event) -> Effects {
    Effects::new(SystemClock.now(), &Actor::Operator.into(), [event])
}
