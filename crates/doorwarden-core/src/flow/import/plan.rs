use super::{Finding, Rights, SourceAccount};
use crate::identity::{EmailAddress, Username};
use crate::password::PasswordHash;
use crate::store::ImportedAccount;
use crate::time::Timestamp;
use crate::user::{User, UserId};
use std::collections::{HashMap, HashSet};

/// What becomes of a row that does not simply come as it is.
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
}

impl Plan {
    /// The rows that cannot come as they are, by id.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// How many rows there are.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// How many of them are in the target already, from an earlier run.
    pub fn already_here(&self) -> u64 {
        self.already_here
    }

    /// The highest id of a row.
    pub fn highest(&self) -> UserId {
        UserId(self.highest)
    }

    /// The account that a row becomes; `None` if it is left out or there already. `trimmed`: see
    /// [`User::password_trimmed`]; `now`: when it joined if the row does not say.
    pub fn account(
        &self,
        row: SourceAccount,
        rights: &Rights,
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
        let password = PasswordHash::from_stored(row.password);
        let user = User {
            id: UserId(row.id),
            username: Username::from_stored(username.unwrap_or(row.username)),
            email: EmailAddress::from_stored(email.unwrap_or(row.email)),
            password_trimmed: trimmed && password.is_usable(),
            password,
            is_active: row.is_active,
            is_staff: row.is_staff,
            is_superuser: row.is_superuser,
            date_joined: row.date_joined.unwrap_or(now),
            last_login: row.last_login,
            metadata: row.metadata,
            tokens_valid_after: None,
        };
        let (groups, permissions) = rights.of(user.id);
        Some(ImportedAccount { user, groups, permissions })
    }
}
