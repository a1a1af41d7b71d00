use super::{Action, Finding, Problem};
use crate::audit::Effects;
use crate::identity::text::is_control;
use crate::permission::{Group, Permission};
use crate::store::{ImportWriter, NewRights, Store, StoreError};
use crate::user::UserId;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The most characters of a group's name.
const GROUP_MAX: usize = 150;

/// Groups, permissions and their assignments, as rows with numeric ids in another system.
#[derive(Debug, Clone, Default)]
pub struct SourceRights {
    /// Number and name.
    pub groups: Vec<(i64, String)>,
    /// Number, `app_label.codename`, and label.
    pub permissions: Vec<(i64, String, String)>,
    /// Group and permission.
    pub group_permissions: Vec<(i64, i64)>,
    /// User and group.
    pub user_groups: Vec<(i64, i64)>,
    /// User and permission.
    pub user_permissions: Vec<(i64, i64)>,
}

/// Groups, permissions and their assignments.
#[derive(Debug, Default)]
pub struct Rights {
    permissions: Vec<Permission>,
    groups: Vec<Group>,
    user_groups: Grants,
    user_permissions: Grants,
    findings: Vec<Finding>,
}

impl Rights {
    /// Finds what can be imported and what cannot.
    pub fn plan(source: SourceRights) -> Self {
        let mut rights = Self::default();
        let mut permission_names: HashMap<i64, Arc<str>> = HashMap::new();
        for (id, name, label) in source.permissions {
            match name.parse() {
                Ok(parsed) => {
                    permission_names.insert(id, Arc::from(name));
                    rights
                        .permissions
                        .push(Permission { name: parsed, label: label.replace(is_control, "") });
                }
                Err(_) => rights.leave("permission", id, name, Problem::PermissionName),
            }
        }
        let mut of_group: BTreeMap<i64, Vec<String>> = BTreeMap::new();
        let mut dangling = 0;
        for (group, permission) in source.group_permissions {
            match permission_names.get(&permission) {
                Some(name) => of_group.entry(group).or_default().push(name.to_string()),
                None => dangling += 1,
            }
        }
        rights.note_dangling("permissions of groups", dangling);
        let mut group_names = HashMap::new();
        for (id, name) in source.groups {
            let problem = match &name {
                name if name.contains('\0') => Some(Problem::Null("name")),
                name if name.contains(is_control) => Some(Problem::Control("name")),
                name if name.chars().nth(GROUP_MAX).is_some() => Some(Problem::TooLong("name")),
                _ => None,
            };
            if let Some(problem) = problem {
                rights.leave("group", id, name, problem);
                continue;
            }
            let mut permissions = of_group.remove(&id).unwrap_or_default();
            permissions.sort();
            permissions.dedup();
            group_names.insert(id, Arc::from(name.as_str()));
            rights.groups.push(Group { name, permissions, members: 0 });
        }
        let (user_groups, dangling) = Grants::new(source.user_groups, &group_names);
        rights.user_groups = user_groups;
        rights.note_dangling("memberships", dangling);
        let (user_permissions, dangling) = Grants::new(source.user_permissions, &permission_names);
        rights.user_permissions = user_permissions;
        rights.note_dangling("permissions of users", dangling);
        rights
    }

    /// Records the groups that the target already has with other permissions.
    ///
    /// # Errors
    /// [`StoreError`] if the database operation failed.
    pub async fn compare(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        let here = store.groups().await?;
        let here: HashMap<&str, &Group> = here.iter().map(|group| (group.name.as_str(), group)).collect();
        let differ = self.groups.iter().filter(|group| {
            here.get(group.name.as_str()).is_some_and(|here| here.permissions != group.permissions)
        });
        let findings = differ.map(|group| Finding {
            kind: "group",
            id: 0,
            name: group.name.clone(),
            problem: Problem::OtherPermissions,
            action: Action::Came,
            renamed: None,
        });
        self.findings.extend(findings);
        Ok(())
    }

    /// The conflicting rows.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// How many groups will be there.
    pub fn groups(&self) -> usize {
        self.groups.len()
    }

    /// How many permissions will be there.
    pub fn permissions(&self) -> usize {
        self.permissions.len()
    }

    /// Creates what the target does not have.
    ///
    /// # Errors
    /// [`StoreError`] if the database operation failed.
    pub async fn write(
        &self,
        writer: &mut dyn ImportWriter,
        effects: Effects,
    ) -> Result<NewRights, StoreError> {
        writer.write_rights(&self.permissions, &self.groups, effects).await
    }

    /// The groups and direct permissions of a user.
    pub(super) fn of(&self, user: UserId) -> (Vec<Arc<str>>, Vec<Arc<str>>) {
        (self.user_groups.of(user), self.user_permissions.of(user))
    }

    fn leave(&mut self, kind: &'static str, id: i64, name: String, problem: Problem) {
        self.findings.push(Finding { kind, id, name, problem, action: Action::Left, renamed: None });
    }

    fn note_dangling(&mut self, kind: &'static str, count: u64) {
        if count > 0 {
            let problem = Problem::Dangling(count);
            let (name, action) = (String::new(), Action::Came);
            self.findings.push(Finding { kind, id: 0, name, problem, action, renamed: None });
        }
    }
}

/// Assignments by user.
#[derive(Debug, Default)]
struct Grants(Vec<(i64, Arc<str>)>);

impl Grants {
    /// Also counts the rows that name something that does not exist.
    fn new(rows: Vec<(i64, i64)>, names: &HashMap<i64, Arc<str>>) -> (Self, u64) {
        let all = rows.len();
        let mut grants: Vec<(i64, Arc<str>)> =
            rows.into_iter().filter_map(|(user, what)| Some((user, names.get(&what)?.clone()))).collect();
        let dangling = all - grants.len();
        grants.sort();
        grants.dedup();
        (Self(grants), u64::try_from(dangling).unwrap_or(u64::MAX))
    }

    fn of(&self, user: UserId) -> Vec<Arc<str>> {
        let from = self.0.partition_point(|(id, _)| *id < user.0);
        self.0[from..].iter().take_while(|(id, _)| *id == user.0).map(|(_, name)| name.clone()).collect()
    }
}
