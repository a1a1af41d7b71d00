use super::plan::{Decision, Plan, Privileged};
use super::{Action, Doubt, Finding, OnConflict, Problem, SourceAccount};
use crate::identity::text::is_control;
use crate::identity::{EmailKey, UsernameKey};
use crate::password::{Hasher, PasswordHash, Verdict};
use crate::store::{Store, StoreError, UserFilter};
use crate::user::{METADATA_MAX_BYTES, UserId};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

/// How many users of the target are read at a time.
const PAGE: u32 = 5_000;

/// Maximum bytes of a username, an email address and a hash, as PostgreSQL's table checks them.
const TEXT_MAX: usize = 1024;
const PASSWORD_MAX: usize = 2048;

/// Maximum bytes of a folded form: what fits into an index of PostgreSQL.
const KEY_MAX: usize = 2500;

/// Checks every row before anything is written, and finds the conflicting ones.
///
/// Keys are kept as hashes under a random key of 64 bits: among ten million accounts the chance of a false
/// alarm is one in a hundred thousand, and it would not recur in the next run.
#[derive(Debug)]
pub struct Survey {
    on_conflict: OnConflict,
    passwords: Hasher,
    hasher: RandomState,
    /// The holder of a key: a user of the target, or a row that has been checked.
    emails: HashMap<u64, i64>,
    usernames: HashMap<u64, i64>,
    /// The keys of email address and username of each user of the target.
    here: HashMap<i64, (u64, u64)>,
    decisions: HashMap<i64, Decision>,
    /// Rows to be renamed, which is done when every name is known.
    rename: Vec<(SourceAccount, Problem)>,
    findings: Vec<Finding>,
    rows: u64,
    already_here: u64,
    highest: i64,
    privileged: Vec<Privileged>,
}

impl Survey {
    /// Begins with the users that the target already has. `passwords` says which hashes can be verified.
    ///
    /// # Errors
    /// [`StoreError`] if the database operation failed.
    pub async fn of(
        store: &dyn Store,
        on_conflict: OnConflict,
        passwords: Hasher,
    ) -> Result<Self, StoreError> {
        let mut survey = Self::of_empty(on_conflict, passwords);
        let mut after = None;
        loop {
            let page = store.users(&UserFilter::default(), after, PAGE).await?;
            for user in &page {
                let (email, username) = survey.keys(user.email.as_str(), user.username.as_str());
                survey.emails.insert(email, user.id.0);
                survey.usernames.insert(username, user.id.0);
                survey.here.insert(user.id.0, (email, username));
            }
            match page.last() {
                Some(last) => after = Some(last.id),
                None => return Ok(survey),
            }
        }
    }

    /// Begins with a target that has no users.
    pub fn of_empty(on_conflict: OnConflict, passwords: Hasher) -> Self {
        Self {
            on_conflict,
            passwords,
            hasher: RandomState::new(),
            emails: HashMap::new(),
            usernames: HashMap::new(),
            here: HashMap::new(),
            decisions: HashMap::new(),
            rename: Vec::new(),
            findings: Vec::new(),
            rows: 0,
            already_here: 0,
            highest: 0,
            privileged: Vec::new(),
        }
    }

    /// How many rows have been checked.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Checks the next row. Rows are passed in the order of their ids, so that of two conflicting rows the
    /// one with the lower id stays.
    pub fn look(&mut self, row: &SourceAccount) {
        self.rows += 1;
        if !(1..=UserId::MAX.0).contains(&row.id) {
            return self.leave(row, Problem::IdOutOfRange);
        }
        self.highest = self.highest.max(row.id);
        let (email, username) = self.keys(&row.email, &row.username);
        if let Some(here) = self.here.get(&row.id) {
            if self.is_same(row, *here, (email, username)) {
                self.already_here += 1;
            } else {
                self.leave(row, Problem::IdTaken);
            }
            return;
        }
        if let Some(problem) = unfit(row) {
            return self.leave(row, problem);
        }
        let (by_name, by_address) = (self.usernames.get(&username), self.emails.get(&email));
        let problem = match (by_name.copied().map(UserId), by_address.copied().map(UserId)) {
            (None, _) if row.email.is_empty() => Some(Problem::NoEmail),
            (Some(other), _) if row.email.is_empty() => Some(Problem::UsernameTaken(other)),
            (None, None) => None,
            (None, Some(other)) => Some(Problem::EmailTaken(other)),
            (Some(other), None) => Some(Problem::UsernameTaken(other)),
            (Some(username), Some(email)) => Some(Problem::BothTaken { username, email }),
        };
        match problem {
            None => {
                self.emails.insert(email, row.id);
                self.usernames.insert(username, row.id);
                self.comes(row);
            }
            Some(problem) if self.on_conflict == OnConflict::Rename => {
                self.comes(row);
                self.rename.push((row.clone(), problem));
            }
            Some(problem) => self.leave(row, problem),
        }
    }

    /// Decides everything that was left open, when every row has been checked.
    pub fn finish(mut self) -> Plan {
        for (row, problem) in std::mem::take(&mut self.rename) {
            let (email_key, username_key) = self.keys(&row.email, &row.username);
            let email = (row.email.is_empty() || self.emails.contains_key(&email_key))
                .then(|| placeholder(row.id, row.email.is_empty()));
            let username = self.usernames.contains_key(&username_key).then(|| self.free_name(&row));
            let (email_key, username_key) = self
                .keys(email.as_deref().unwrap_or(&row.email), username.as_deref().unwrap_or(&row.username));
            self.emails.insert(email_key, row.id);
            self.usernames.insert(username_key, row.id);
            let new = [&username, &email].into_iter().flatten().cloned().collect::<Vec<_>>().join(" ");
            self.findings.push(finding(&row, problem, Action::Renamed, Some(new)));
            self.decisions.insert(row.id, Decision::Rename { username, email });
        }
        self.findings.sort_by_key(|finding| (!finding.stops(), finding.id));
        self.privileged.sort_by_key(|account| account.id);
        Plan {
            decisions: self.decisions,
            here: self.here.into_keys().collect(),
            findings: self.findings,
            rows: self.rows,
            already_here: self.already_here,
            highest: self.highest,
            privileged: self.privileged,
        }
    }

    /// Whether a user of the target was imported from this row before, and is still recognizable.
    fn is_same(&self, row: &SourceAccount, here: (u64, u64), keys: (u64, u64)) -> bool {
        if !row.email.is_empty() && here.0 == keys.0 || here.1 == keys.1 {
            return true;
        }
        let renamed = self.hasher.hash_one(UsernameKey::of(&numbered(row)).as_str());
        let placeholders = [true, false]
            .map(|missing| self.hasher.hash_one(EmailKey::of(&placeholder(row.id, missing)).as_str()));
        here.1 == renamed || placeholders.contains(&here.0)
    }

    /// Records the findings about a row that is imported.
    fn comes(&mut self, row: &SourceAccount) {
        let unreadable = row.unreadable.iter().map(|column| Problem::Unreadable(column));
        for problem in unreadable.chain(self.without_password(row)) {
            self.findings.push(finding(row, problem, Action::Came, None));
        }
        if row.is_superuser || row.is_staff {
            let (id, name) = (UserId(row.id), named(row));
            self.privileged.push(Privileged { id, name, is_superuser: row.is_superuser });
        }
    }

    /// Why no password will match the stored one, if the user expects one to.
    fn without_password(&self, row: &SourceAccount) -> Option<Problem> {
        let hash = PasswordHash::from_stored(row.password.clone());
        match self.passwords.can_verify(&hash).err()? {
            Verdict::Unusable => None,
            Verdict::TooExpensive => Some(Problem::DearHash(hash.algorithm())),
            _ if row.password.starts_with("crypt$") => Some(Problem::Hash(Some("crypt"))),
            _ => Some(Problem::Hash(Some(hash.algorithm().as_str()).filter(|name| *name != "unknown"))),
        }
    }

    fn leave(&mut self, row: &SourceAccount, problem: Problem) {
        self.findings.push(finding(row, problem, Action::Left, None));
        self.decisions.insert(row.id, Decision::Leave);
    }

    /// A username that no account has.
    fn free_name(&self, row: &SourceAccount) -> String {
        let mut name = numbered(row);
        while self.usernames.contains_key(&self.hasher.hash_one(UsernameKey::of(&name).as_str())) {
            name = format!("{name}-{}", row.id);
        }
        name
    }

    fn keys(&self, email: &str, username: &str) -> (u64, u64) {
        (
            self.hasher.hash_one(EmailKey::of(email).as_str()),
            self.hasher.hash_one(UsernameKey::of(username).as_str()),
        )
    }
}

fn finding(row: &SourceAccount, problem: Problem, action: Action, renamed: Option<String>) -> Finding {
    Finding { kind: "user", id: row.id, name: named(row), problem, action, renamed }
}

fn named(row: &SourceAccount) -> String {
    format!("{} <{}>", row.username, row.email)
}

/// What prevents a row from being stored.
fn unfit(row: &SourceAccount) -> Option<Problem> {
    if let Some(Doubt { column, value }) = row.doubtful.first().cloned() {
        return Some(Problem::Doubtful { column, value });
    }
    let texts = [
        ("username", &row.username, TEXT_MAX),
        ("email", &row.email, TEXT_MAX),
        ("password", &row.password, PASSWORD_MAX),
    ];
    for (column, text, limit) in texts {
        if row.unreadable.contains(&column) {
            return Some(Problem::Unreadable(column));
        }
        if text.contains('\0') {
            return Some(Problem::Null(column));
        }
        if text.len() > limit {
            return Some(Problem::TooLong(column));
        }
    }
    for (column, text) in [("username", &row.username), ("email", &row.email)] {
        if text.contains(is_control) {
            return Some(Problem::Control(column));
        }
    }
    if UsernameKey::of(&row.username).as_str().len() > KEY_MAX {
        return Some(Problem::TooLong("username"));
    }
    if EmailKey::of(&row.email).as_str().len() > KEY_MAX {
        return Some(Problem::TooLong("email"));
    }
    let metadata = if row.metadata.is_empty() { 0 } else { json_length(row) };
    (metadata > METADATA_MAX_BYTES).then_some(Problem::TooLong("metadata"))
}

fn json_length(row: &SourceAccount) -> usize {
    serde_json::to_string(&row.metadata).map_or(usize::MAX, |text| text.len())
}

fn numbered(row: &SourceAccount) -> String {
    format!("{}-{}", row.username, row.id)
}

/// An email address that no mail system delivers to (RFC 2606) and that no other account has.
fn placeholder(id: i64, missing: bool) -> String {
    format!("user-{id}@{}.invalid", if missing { "missing" } else { "duplicate" })
}
