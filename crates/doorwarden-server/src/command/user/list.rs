use super::show::{flags, value};
use crate::failure::Failure;
use crate::output::{List, Output};
use clap::Args;
use doorwarden::Doorwarden;
use doorwarden::core::store::UserFilter;

/// The number of users per page.
const PAGE: u32 = 500;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Only active users; with `--active=false`, only inactive ones
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    active: Option<bool>,
    /// Only staff; with `--staff=false`, only others
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    staff: Option<bool>,
    /// Only superusers; with `--superuser=false`, only others
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    superuser: Option<bool>,
    /// Only users with this permission: directly, through a group, or as a superuser
    #[arg(long, value_name = "PERMISSION")]
    permission: Option<String>,
    /// Only members of this group
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// Only users whose username or email starts with TEXT
    #[arg(long, value_name = "TEXT")]
    starts_with: Option<String>,
    /// Maximum number of users to list
    #[arg(long, value_name = "COUNT")]
    limit: Option<u64>,
}

/// Prints the users page by page. A page is read when the previous one is printed, so memory does not grow
/// with the number of users.
pub(super) async fn run(auth: &Doorwarden, arguments: Arguments, out: Output) -> Result<(), Failure> {
    let filter = UserFilter {
        is_active: arguments.active,
        is_staff: arguments.staff,
        is_superuser: arguments.superuser,
        permission: arguments.permission,
        group: arguments.group,
        starts_with: arguments.starts_with,
    };
    let mut list = List::new(out, &["ID", "EMAIL", "USERNAME", "FLAGS", "JOINED", "LAST LOGIN"]);
    let (mut after, mut left) = (None, arguments.limit.unwrap_or(u64::MAX));
    loop {
        let size = u32::try_from(left).unwrap_or(PAGE).min(PAGE);
        let page = auth.users().list(&filter, after, size).await?;
        let day = |instant: String| instant.get(..10).map_or(instant.clone(), str::to_owned);
        let rows: Vec<_> = page
            .iter()
            .map(|user| {
                let cells = vec![
                    user.id.to_string(),
                    user.email.to_string(),
                    user.username.to_string(),
                    flags(user),
                    day(user.date_joined.to_string()),
                    user.last_login.map_or("never".to_owned(), |at| day(at.to_string())),
                ];
                (value(user), cells)
            })
            .collect();
        list.page(&rows)?;
        left -= page.len() as u64;
        match page.last() {
            Some(last) if page.len() == size as usize && left > 0 => after = Some(last.id),
            _ => return list.end("No users found"),
        }
    }
}
