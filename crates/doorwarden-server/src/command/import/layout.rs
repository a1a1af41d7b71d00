//! Which tables and columns hold the accounts.

use crate::failure::Failure;
use std::collections::BTreeMap;

/// Every table with the names and types of its columns, in order.
pub(super) type Tables = BTreeMap<String, Vec<(String, String)>>;

/// The columns that Django's user models have.
const KNOWN: [&str; 9] = [
    "id",
    "username",
    "email",
    "password",
    "is_active",
    "is_staff",
    "is_superuser",
    "date_joined",
    "last_login",
];

/// The columns by which a table of users is recognised.
const NEEDED: [&str; 4] = ["id", "username", "email", "password"];

/// The kind of a column, by its declared type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Flag,
    Json,
    Instant,
    Bytes,
    Other,
}

/// How a table without usernames is imported.
const USERNAME_HINT: &str = "use `--username-from email` to take the email as the username";

/// Hint for a primary key other than an integer `id`.
const KEY_HINT: &str = "see \"Other keys\" in docs/coming-from-django.md for a view with integer ids";

/// The tables and columns that hold the accounts.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    /// The table of users.
    pub(super) users: String,
    /// The columns of [`KNOWN`] that the table has, each with the column it is read from.
    columns: Vec<(&'static str, String)>,
    /// The kind of every column.
    kinds: BTreeMap<String, Kind>,
    /// The other columns of the table.
    pub(super) others: Vec<String>,
    /// The table of group memberships.
    pub(super) groups: Option<Link>,
    /// The table of direct permissions.
    pub(super) permissions: Option<Link>,
    /// Whether the database has groups and permissions.
    pub(super) has_rights: bool,
}

/// A join table between users and groups or permissions.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) table: String,
    /// The column with the user's id, named after the model.
    pub(super) user: String,
}

impl Layout {
    /// Finds the table of users, unless it is named. `username`: the column of usernames, if it is not
    /// `username`.
    pub(super) fn find(
        tables: &Tables,
        named: Option<&str>,
        username: Option<&str>,
    ) -> Result<Self, Failure> {
        let users = match named {
            Some(name) => name,
            None => only_candidate(tables, username)?,
        };
        let columns =
            tables.get(users).ok_or_else(|| Failure::not_found(format!("table `{users}` not found")))?;
        let has = |name: &str| columns.iter().any(|(column, _)| column == name);
        let source = |name: &'static str| match (name, username) {
            ("username", Some(other)) => other,
            _ => name,
        };
        if let Some(missing) = NEEDED.into_iter().map(source).find(|name| !has(name)) {
            let failure = Failure::no(format!("table `{users}` has no column `{missing}`"));
            return Err(match missing {
                "username" => failure.hint(USERNAME_HINT),
                "id" => failure.hint(KEY_HINT),
                _ => failure,
            });
        }
        if let Some((_, r#type)) = columns.iter().find(|(name, r#type)| name == "id" && !is_integer(r#type)) {
            let why = format!("the ids in `{users}` are {type}, and an account's id must be an integer");
            return Err(Failure::no(why).hint(KEY_HINT));
        }
        let others = columns.iter().map(|(name, _)| name).filter(|name| !KNOWN.contains(&name.as_str()));
        let known = KNOWN.into_iter().map(|name| (name, source(name).to_owned()));
        Ok(Self {
            users: users.to_owned(),
            columns: known.filter(|(_, source)| has(source)).collect(),
            kinds: columns.iter().map(|(name, r#type)| (name.clone(), Kind::of(r#type))).collect(),
            others: others.filter(|name| Some(name.as_str()) != username).cloned().collect(),
            groups: Link::find(tables, users, "groups", "group_id"),
            permissions: Link::find(tables, users, "user_permissions", "permission_id"),
            has_rights: ["auth_group", "auth_permission", "auth_group_permissions", "django_content_type"]
                .iter()
                .all(|name| tables.contains_key(*name)),
        })
    }

    /// Whether the table of users has this column.
    pub(super) fn has(&self, column: &str) -> bool {
        self.column(column).is_some()
    }

    /// The column from which a known column is read, if there is one.
    pub(super) fn column(&self, name: &str) -> Option<&str> {
        self.columns.iter().find(|(known, _)| *known == name).map(|(_, column)| column.as_str())
    }

    /// The kind of a column of the table of users.
    pub(super) fn kind(&self, column: &str) -> Kind {
        self.kinds.get(column).copied().unwrap_or(Kind::Other)
    }
}

impl Kind {
    fn of(r#type: &str) -> Self {
        let r#type = r#type.to_ascii_lowercase();
        match r#type.as_str() {
            "bytea" | "blob" => Self::Bytes,
            _ if r#type.starts_with("bool") => Self::Flag,
            _ if r#type.starts_with("json") => Self::Json,
            _ if r#type.starts_with("timestamp") || r#type == "datetime" => Self::Instant,
            _ => Self::Other,
        }
    }
}

impl Link {
    /// Django names the join table after the table of users and the field, and its column after the model.
    fn find(tables: &Tables, users: &str, field: &str, other: &str) -> Option<Self> {
        let table = format!("{users}_{field}");
        let columns = tables.get(&table)?;
        let user = columns.iter().map(|(name, _)| name).find(|name| *name != "id" && *name != other)?.clone();
        columns.iter().any(|(name, _)| name == other).then_some(Self { table, user })
    }
}

fn only_candidate<'t>(tables: &'t Tables, username: Option<&str>) -> Result<&'t str, Failure> {
    let candidates = |username: Option<&str>| -> Vec<&'t str> {
        let looks_like_it = |columns: &Vec<(String, String)>| {
            let has = |name: &str| columns.iter().any(|(column, _)| column == name);
            // The database may also contain Doorwarden's own table.
            ["id", "email", "password", "last_login"].into_iter().chain(username).all(has)
                && !has("email_key")
        };
        let fitting = tables.iter().filter(|(_, columns)| looks_like_it(columns));
        fitting.map(|(name, _)| name.as_str()).collect()
    };
    match (candidates(Some(username.unwrap_or("username"))).as_slice(), candidates(None).as_slice()) {
        ([only], _) => Ok(only),
        ([], [only]) if username.is_none() => Err(Failure::no(format!("table `{only}` has no column `username`"))
            .hint(USERNAME_HINT)),
        ([], _) => Err(Failure::not_found(
            "no table of users found: none has the columns `id`, `username`, `email`, `password` and `last_login`",
        )
        .hint("name it with `--table NAME`")),
        (several, _) => Err(Failure::no(format!("found several tables of users: {}", several.join(", ")))
            .hint("choose one with `--table NAME`")),
    }
}

/// Includes `serial` and PostgreSQL's own type names. An untyped column of SQLite is checked row by row.
fn is_integer(r#type: &str) -> bool {
    let r#type = r#type.to_ascii_lowercase();
    r#type.is_empty() || r#type.contains("int") || r#type.contains("serial")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(all: &[(&str, &str)]) -> Tables {
        let columns = |list: &str| list.split(' ').map(|c| (c.to_owned(), "integer".to_owned())).collect();
        all.iter().map(|(name, list)| ((*name).to_owned(), columns(list))).collect()
    }

    const USERS: &str = "id password last_login is_superuser username email is_staff is_active";

    #[test]
    fn the_table_of_users_is_found_by_its_columns_and_ours_is_not_taken_for_it() {
        let ours = "id username email password last_login email_key username_key";
        let all = tables(&[("shop_order", "id total"), ("authentication_user", USERS), ("users", ours)]);
        let layout = Layout::find(&all, None, None).unwrap();
        assert_eq!(layout.users, "authentication_user");
        assert!(!layout.has("date_joined") && layout.has("is_staff"));
    }

    #[test]
    fn of_several_tables_one_must_be_named() {
        let all = tables(&[("authentication_user", USERS), ("auth_user", USERS)]);
        assert!(Layout::find(&all, None, None).is_err());
        assert_eq!(Layout::find(&all, Some("auth_user"), None).unwrap().users, "auth_user");
        assert!(Layout::find(&all, Some("nobody"), None).is_err());
        assert!(Layout::find(&tables(&[]), None, None).is_err());
    }

    #[test]
    fn the_column_of_a_membership_is_called_after_the_model() {
        let all = tables(&[("people", USERS), ("people_groups", "id customuser_id group_id")]);
        let link = Layout::find(&all, None, None).unwrap().groups.unwrap();
        assert_eq!((link.table.as_str(), link.user.as_str()), ("people_groups", "customuser_id"));
    }

    #[test]
    fn a_name_may_come_from_another_column() {
        let all = tables(&[("accounts_user", "id email password last_login is_active")]);
        let missing = Layout::find(&all, None, None).unwrap_err();
        assert!(missing.message().to_string().contains("--username-from email"), "{missing:?}");
        assert!(Layout::find(&all, Some("accounts_user"), None).is_err());
        let layout = Layout::find(&all, None, Some("email")).unwrap();
        assert_eq!((layout.column("username"), layout.column("email")), (Some("email"), Some("email")));
        assert!(layout.others.is_empty());
        assert!(Layout::find(&all, None, Some("nick")).is_err());
    }

    #[test]
    fn ids_that_are_no_numbers_are_refused() {
        let mut all = tables(&[("auth_user", USERS)]);
        all.get_mut("auth_user").unwrap()[0].1 = "uuid".to_owned();
        assert!(Layout::find(&all, None, None).is_err());
    }
}
