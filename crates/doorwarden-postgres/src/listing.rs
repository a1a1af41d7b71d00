//! Lists of users.

use crate::database::{Effort, Param};
use crate::rows::{all, user, user_columns};
use crate::store::PostgresStore;
use doorwarden_core::store::{StoreError, UserFilter};
use doorwarden_core::user::{User, UserId};
use tokio_postgres::types::{ToSql, Type};

impl PostgresStore {
    pub(crate) async fn list_users(
        &self,
        filter: &UserFilter,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Vec<User>, StoreError> {
        let prefix = filter.starts_with.as_ref().map(|prefix| prefix.to_ascii_lowercase());
        let after = after.map(|id| id.0);
        let limit = i64::from(limit);
        let mut list = Selection::new(concat!("SELECT ", user_columns!(), " FROM users u WHERE true"));
        list.filter(" AND u.id > ?", after.as_ref(), Type::INT8);
        list.filter(" AND u.is_active = ?", filter.is_active.as_ref(), Type::BOOL);
        list.filter(" AND u.is_staff = ?", filter.is_staff.as_ref(), Type::BOOL);
        list.filter(" AND u.is_superuser = ?", filter.is_superuser.as_ref(), Type::BOOL);
        list.filter(
            " AND u.is_active AND EXISTS (SELECT FROM doorwarden_permissions WHERE name = ?) AND (u.is_superuser \
             OR u.id IN (SELECT user_id FROM doorwarden_user_permissions WHERE permission = ?) \
             OR u.id IN (SELECT user_id FROM doorwarden_user_groups JOIN doorwarden_group_permissions \
                 USING (group_name) WHERE permission = ?))",
            filter.permission.as_ref(),
            Type::TEXT,
        );
        list.filter(
            " AND u.id IN (SELECT user_id FROM doorwarden_user_groups WHERE group_name = ?)",
            filter.group.as_ref(),
            Type::TEXT,
        );
        // The ranges are for the index: everything that begins with the prefix sorts before the prefix and
        // U+10FFFF.
        list.filter(
            r#" AND (lower(u.username COLLATE "C") >= ? AND lower(u.username COLLATE "C") < ? || U&'\+10FFFF'
                    AND starts_with(lower(u.username COLLATE "C"), ?)
                OR lower(u.email COLLATE "C") >= ? AND lower(u.email COLLATE "C") < ? || U&'\+10FFFF'
                    AND starts_with(lower(u.email COLLATE "C"), ?))"#,
            prefix.as_ref(),
            Type::TEXT,
        );
        list.filter(" ORDER BY u.id LIMIT ?", Some(&limit), Type::INT8);
        Ok(all(&self.database.rows(Effort::Long, &list.sql, &list.params).await?, user)?)
    }
}

/// A statement that grows by one condition per filter that is set.
struct Selection<'a> {
    sql: String,
    params: Vec<Param<'a>>,
}

impl<'a> Selection<'a> {
    fn new(sql: &str) -> Self {
        Self { sql: sql.to_owned(), params: Vec::new() }
    }

    /// Appends `sql`, in which every `?` stands for `value`, if there is a value.
    fn filter<T: ToSql + Sync>(&mut self, sql: &str, value: Option<&'a T>, r#type: Type) {
        if let Some(value) = value {
            self.params.push((value, r#type));
            self.sql.push_str(&sql.replace('?', &format!("${}", self.params.len())));
        }
    }
}
