//! Accounts in bulk.

use crate::audit;
use crate::client;
use crate::copy::{Fields, Rows};
use crate::factors;
use crate::failure::Failure;
use crate::identities;
use crate::rows::get;
use crate::server::Role;
use crate::store::PostgresStore;
use async_trait::async_trait;
use doorwarden_core::audit::{Effects, Found};
use doorwarden_core::permission::{Group, Permission};
use doorwarden_core::store::{ImportStore, ImportWriter, ImportedAccount, NewRights, StoreError};
use doorwarden_core::user::UserId;
use std::collections::HashSet;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

/// The columns that are written, in order, and how many.
const COLUMNS: &str = "id, username, username_key, email, email_key, password, is_active, is_staff, is_superuser, \
                       date_joined, last_login, metadata, password_trimmed, tokens_valid_after, email_verified_at";
const COUNT: i16 = 15;

#[async_trait]
impl ImportStore for PostgresStore {
    async fn import(&self) -> Result<Box<dyn ImportWriter>, StoreError> {
        let client = client::open(&self.bulk, Role::Primary).await?;
        Ok(Box::new(PostgresImport { client, in_step: false, written: 0 }))
    }
}

struct PostgresImport {
    client: Client,
    /// Whether a step has begun.
    in_step: bool,
    /// How many accounts the present step has.
    written: u64,
}

/// A transaction that may take its time.
const BEGIN: &str =
    "BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = '5min'";

impl PostgresImport {
    /// What was begun and not committed is undone, then a transaction begins.
    async fn begin(&mut self) -> Result<(), Failure> {
        if self.in_step {
            self.client.batch_execute("ROLLBACK").await?;
        }
        self.client.batch_execute(BEGIN).await?;
        (self.in_step, self.written) = (true, 0);
        Ok(())
    }

    /// Users who were written by SQL get their keys first.
    async fn resolve_keys(&self) -> Result<(), Failure> {
        loop {
            let rows = self.client.query(identities::PENDING, &[]).await?;
            if rows.is_empty() {
                return Ok(());
            }
            let keys = identities::Keys::of(&rows)?;
            let done = self.client.query_typed(identities::SET, &keys.params()).await?;
            if done.first().map_or(Ok(0), |row| get::<i64>(row, 0))? == 0 {
                return Ok(());
            }
        }
    }

    async fn audit(&self, effects: &Effects) -> Result<(), Failure> {
        self.client.query_typed(audit::WRITE, &[(&audit::parameter(effects), Type::TEXT)]).await?;
        Ok(())
    }

    async fn commit_step(&mut self) -> Result<(), Failure> {
        self.client.batch_execute("COMMIT").await?;
        (self.in_step, self.written) = (false, 0);
        Ok(())
    }

    /// All of them, if nothing of them is taken.
    async fn write_all(&self, accounts: &[ImportedAccount]) -> Result<(), Failure> {
        let sql = format!("COPY users ({COLUMNS}) FROM STDIN (FORMAT binary)");
        users(accounts).send(&self.client, &sql).await?;
        write_grants(&self.client, accounts, |_| true).await?;
        factors::import(&self.client, accounts, |_| true).await
    }

    /// Those of which nothing is taken; the others are returned.
    async fn write_what_is_free(&self, accounts: &[ImportedAccount]) -> Result<Vec<UserId>, Failure> {
        let stage = "CREATE TEMPORARY TABLE doorwarden_import (LIKE users INCLUDING DEFAULTS) ON COMMIT DROP";
        self.client.batch_execute(stage).await?;
        let sql = format!("COPY doorwarden_import ({COLUMNS}) FROM STDIN (FORMAT binary)");
        users(accounts).send(&self.client, &sql).await?;
        let sql = format!(
            "INSERT INTO users ({COLUMNS}) SELECT {COLUMNS} FROM doorwarden_import ORDER BY id \
             ON CONFLICT DO NOTHING RETURNING id"
        );
        let rows = self.client.query(&sql, &[]).await?;
        let written = rows.iter().map(|row| get(row, 0)).collect::<Result<HashSet<i64>, _>>()?;
        write_grants(&self.client, accounts, |id| written.contains(&id.0)).await?;
        factors::import(&self.client, accounts, |id| written.contains(&id.0)).await?;
        self.client.batch_execute("DROP TABLE doorwarden_import").await?;
        Ok(accounts.iter().map(|account| account.user.id).filter(|id| !written.contains(&id.0)).collect())
    }
}

#[async_trait]
impl ImportWriter for PostgresImport {
    async fn reserve_ids(&mut self, up_to: UserId) -> Result<(), StoreError> {
        let lock = "SELECT pg_advisory_xact_lock(hashtextextended('doorwarden_follow_ids', 'users'::regclass::oid::bigint))";
        let raise = "SELECT setval('users_id_seq', $1) WHERE $1 > coalesce(pg_sequence_last_value('users_id_seq'), 0)";
        let run = async {
            self.begin().await?;
            self.client.batch_execute(lock).await?;
            self.client.query(raise, &[&up_to.0]).await?;
            self.commit_step().await
        };
        Ok(run.await?)
    }

    async fn write_rights(
        &mut self,
        permissions: &[Permission],
        groups: &[Group],
        effects: Effects,
    ) -> Result<NewRights, StoreError> {
        let declare = "INSERT INTO doorwarden_permissions (name, label) \
                       SELECT * FROM unnest($1::text[], $2::text[]) ON CONFLICT DO NOTHING";
        let create = "INSERT INTO doorwarden_groups (name) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING \
                      RETURNING name";
        let grant = "INSERT INTO doorwarden_group_permissions (group_name, permission) \
                     SELECT * FROM unnest($1::text[], $2::text[])";
        let run = async {
            self.begin().await?;
            let names: Vec<&str> = permissions.iter().map(|p| p.name.as_str()).collect();
            let labels: Vec<&str> = permissions.iter().map(|p| p.label.as_str()).collect();
            let declared = self.client.execute(declare, &[&names, &labels]).await?;
            let names: Vec<&str> = groups.iter().map(|group| group.name.as_str()).collect();
            let rows = self.client.query(create, &[&names]).await?;
            let created = rows.iter().map(|row| get::<&str>(row, 0)).collect::<Result<HashSet<_>, _>>()?;
            let (names, granted): (Vec<&str>, Vec<&str>) = groups
                .iter()
                .filter(|group| created.contains(group.name.as_str()))
                .flat_map(|group| group.permissions.iter().map(|p| (group.name.as_str(), p.as_str())))
                .unzip();
            self.client.execute(grant, &[&names, &granted]).await?;
            let groups = u64::try_from(created.len()).unwrap_or(u64::MAX);
            let new = NewRights { permissions: declared, groups };
            if new != NewRights::default() {
                self.audit(&effects.with(Found::Rights { permissions: declared, groups })).await?;
            }
            self.commit_step().await?;
            Ok::<_, Failure>(new)
        };
        Ok(run.await?)
    }

    async fn write(&mut self, accounts: Vec<ImportedAccount>) -> Result<Vec<UserId>, StoreError> {
        let run = async {
            if !self.in_step {
                self.begin().await?;
            }
            self.resolve_keys().await?;
            self.client.batch_execute("SAVEPOINT part").await?;
            match self.write_all(&accounts).await {
                Err(Failure::Refused { state, .. }) if state == SqlState::UNIQUE_VIOLATION => {
                    self.client.batch_execute("ROLLBACK TO part").await?;
                    self.write_what_is_free(&accounts).await
                }
                Err(failure) => {
                    self.client.batch_execute("ROLLBACK").await?;
                    (self.in_step, self.written) = (false, 0);
                    Err(failure)
                }
                Ok(()) => {
                    self.client.batch_execute("RELEASE part").await?;
                    Ok(Vec::new())
                }
            }
        };
        let left_out = run.await?;
        self.written += (accounts.len() - left_out.len()) as u64;
        Ok(left_out)
    }

    async fn commit(&mut self, effects: Effects) -> Result<(), StoreError> {
        let run = async {
            if self.written > 0 {
                self.audit(&effects.with(Found::Count(self.written))).await?;
            }
            self.commit_step().await
        };
        Ok(run.await?)
    }

    async fn finish(mut self: Box<Self>) -> Result<(), StoreError> {
        let run = async {
            self.begin().await?;
            let analyze =
                "ANALYZE users, doorwarden_user_groups, doorwarden_user_permissions, doorwarden_factors";
            self.client.batch_execute(analyze).await?;
            self.commit_step().await
        };
        Ok(run.await?)
    }
}

/// Memberships and direct permissions of the written users.
async fn write_grants(
    client: &Client,
    accounts: &[ImportedAccount],
    is_written: impl Fn(UserId) -> bool,
) -> Result<(), Failure> {
    let (mut groups, mut permissions) = (Rows::of(2), Rows::of(2));
    for account in accounts.iter().filter(|account| is_written(account.user.id)) {
        for (rows, names) in [(&mut groups, &account.groups), (&mut permissions, &account.permissions)] {
            for name in names {
                let mut fields = rows.row();
                fields.int8(account.user.id.0);
                fields.text(name);
            }
        }
    }
    let sql = "COPY doorwarden_user_groups (user_id, group_name) FROM STDIN (FORMAT binary)";
    groups.send(client, sql).await?;
    let sql = "COPY doorwarden_user_permissions (user_id, permission) FROM STDIN (FORMAT binary)";
    permissions.send(client, sql).await
}

fn users(accounts: &[ImportedAccount]) -> Rows {
    let mut rows = Rows::of(COUNT);
    for account in accounts {
        user_fields(&mut rows.row(), account);
    }
    rows
}

/// A user in the order of [`COLUMNS`].
fn user_fields(fields: &mut Fields<'_>, account: &ImportedAccount) {
    let user = &account.user;
    fields.int8(user.id.0);
    fields.text(user.username.as_str());
    fields.text(user.username.key().as_str());
    fields.text(user.email.as_str());
    fields.text(user.email.key().as_str());
    fields.text(user.password.as_str());
    fields.bool(user.is_active);
    fields.bool(user.is_staff);
    fields.bool(user.is_superuser);
    fields.instant(Some(user.date_joined));
    fields.instant(user.last_login);
    if user.metadata.is_empty() {
        fields.text("{}");
    } else {
        fields.text(&serde_json::Value::Object(user.metadata.clone()).to_string());
    }
    fields.bool(user.password_trimmed);
    fields.instant(user.tokens_valid_after);
    fields.instant(user.email_verified_at);
}

impl std::fmt::Debug for PostgresImport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresImport").finish_non_exhaustive()
    }
}
