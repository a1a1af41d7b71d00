use super::{Action, Finding, Problem, Rights, SealedFactors, SourceAccount};
use crate::identity::{EmailAddress, Username};
use crate::password::PasswordHash;
use crate::store::ImportedAccount;
use crate::time::Timestamp;
use crate::user::{User, UserId};
use std::collections::{HashMap, HashSet};

/// What becomes of a conflicting row.
#[derive(Debug)]
pub(super) enum Decision {
    Leave,
    Rename { username: Option<String>, email: Option<String> },
}

/// What becomes of every row. Made by [`Survey::finish`](super::Survey::finish).
#[derive(Debug)]
pub struct Plan {
    pub(super) decisions: HashMap<i64, Decision>,
    pub(super) here: HashSet<i64>,
    pub(super) findings: Vec<Finding>,
    pub(super) rows: u64,
    pub(super) already_here: u64,
    pub(super) highest: i64,
    pub(super) privileged: Vec<Privileged>,
}

/// A user who will be staff or a superuser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Privileged {
    /// The id.
    pub id: UserId,
    /// Username and email address in the source.
    pub name: String,
    /// Whether the user is a superuser, not only staff.
    pub is_superuser: bool,
}

/// How many ids above the highest row are kept free at most: they may have been those of accounts that were
/// deleted, and enough ids must remain for future accounts.
const KEPT_FREE: i64 = 1_000_000;

impl Plan {
    /// The conflicting rows, by id; first those for which [`OnConflict::Stop`](super::OnConflict::Stop)
    /// stops.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// How many rows there are.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// How many rows are already in the target, from an earlier run.
    pub fn already_here(&self) -> u64 {
        self.already_here
    }

    /// The last id that must not be given to anybody else, if the source says that it has given those up to
    /// `last`.
    pub fn last_id(&self, last: i64) -> UserId {
        UserId(last.clamp(self.highest, self.highest.saturating_add(KEPT_FREE))).min(UserId::MAX)
    }

    /// Records what the source says about its ids.
    pub fn compare_ids(&mut self, last: i64) {
        let kept = self.last_id(last);
        if last > kept.0 {
            let problem = Problem::IdsFarAhead { given: last, kept };
            let (name, action) = (String::new(), Action::Came);
            self.findings.push(Finding { kind: "ids", id: 0, name, problem, action, renamed: None });
        }
    }

    /// The users who will be staff or superusers, by id.
    pub fn privileged(&self) -> &[Privileged] {
        &self.privileged
    }

    /// The account that a row becomes; `None` if the row is left out or already imported. `trimmed`: see
    /// [`User::password_trimmed`]; `now`: the time of joining if the row has none.
    pub fn account(
        &self,
        row: SourceAccount,
        rights: &Rights,
        factors: &SealedFactors,
        trimmed: bool,
        now: Timestamp,
    ) -> Option<ImportedAccount> {
        if self.here.contains(&row.id) {
            return None;
        }
        let (username, email) = match self.decisions.get(&row.id) {
            Some(Decision::Leave) => return None,
            Some(Decision::Rename { username, email }) => (username.clone(), email.clone()),
            None => (None, None),
        };
        // An address that nobody has chosen was proved by nobody.
        let email_verified_at = row.email_verified_at.filter(|_| email.is_none());
        let password = PasswordHash::from_stored(row.password);
        let username = Username::from_stored(username.unwrap_or(row.username));
        let email = EmailAddress::from_stored(email.unwrap_or(row.email));
        let user = User {
            password_trimmed: trimmed && password.is_usable(),
            is_active: row.is_active,
            is_staff: row.is_staff,
            is_superuser: row.is_superuser,
            last_login: row.last_login,
            metadata: row.metadata,
            email_verified_at,
            ..User::new(UserId(row.id), username, email, password, row.date_joined.unwrap_or(now))
        };
        let (groups, permissions) = rights.of(user.id);
        let factors = factors.of(user.id);
        Some(ImportedAccount { user, groups, permissions, factors })
    }
}
