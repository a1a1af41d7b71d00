use crate::{TestStore, new_user, no_effects};
use doorwarden_core::permission::{Group, Permission, PermissionName};
use doorwarden_core::store::GrantError;
use doorwarden_core::user::{UserChange, UserId};

fn name(text: &str) -> PermissionName {
    text.parse().unwrap()
}

fn permission(text: &str, label: &str) -> Permission {
    Permission { name: name(text), label: label.to_owned() }
}

async fn declare(t: &TestStore, names: &[&str]) {
    let permissions: Vec<_> = names.iter().map(|n| permission(n, n)).collect();
    t.store.declare_permissions(&permissions, no_effects()).await.unwrap();
}

pub async fn declared_permissions_exist_once_with_the_latest_label(t: &TestStore) {
    let first = [permission("blog.add", "Can add"), permission("blog.view", "Can view")];
    t.store.declare_permissions(&first, no_effects()).await.unwrap();
    t.store.declare_permissions(&first, no_effects()).await.unwrap();
    assert_eq!(t.store.permissions().await.unwrap(), first);

    let ada = t.user("ada").await.id;
    t.store.grant_to_user(ada, &name("blog.add"), no_effects()).await.unwrap();
    t.store.declare_permissions(&[permission("blog.add", "May add")], no_effects()).await.unwrap();
    let now = [permission("blog.add", "May add"), permission("blog.view", "Can view")];
    assert_eq!(t.store.permissions().await.unwrap(), now, "others stay");
    assert_eq!(t.store.user_permissions(ada).await.unwrap(), ["blog.add"], "grants stay");
    t.store.declare_permissions(&[], no_effects()).await.unwrap();
    assert_eq!(t.store.permissions().await.unwrap(), now);
}

pub async fn permissions_and_groups_are_sorted_by_code_point(t: &TestStore) {
    // Orders that differ between languages: case, signs, letters beyond ASCII.
    let sorted = ["A.b", "B.a", "a-b.c", "a.C", "a.b", "a.b-c", "a.b_c", "a.bc", "ä.a"];
    let mut shuffled = sorted;
    shuffled.reverse();
    declare(t, &shuffled).await;
    let ada = t.user("ada").await.id;
    for text in shuffled {
        assert!(t.store.create_group(text, no_effects()).await.unwrap());
        assert!(t.store.add_to_group(ada, text, no_effects()).await.unwrap());
        assert!(t.store.grant_to_user(ada, &name(text), no_effects()).await.unwrap());
    }
    for text in shuffled {
        assert!(t.store.grant_to_group("a.b", &name(text), no_effects()).await.unwrap());
    }
    let permissions = t.store.permissions().await.unwrap();
    assert_eq!(permissions.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), sorted);
    let groups = t.store.groups().await.unwrap();
    assert_eq!(groups.iter().map(|g| g.name.as_str()).collect::<Vec<_>>(), sorted);
    assert_eq!(groups.iter().find(|g| g.name == "a.b").unwrap().permissions, sorted);
    assert_eq!(t.store.user_permissions(ada).await.unwrap(), sorted);
    let account = t.account(ada).await;
    assert_eq!(account.groups, sorted);
    assert_eq!(account.permissions, sorted);
}

pub async fn a_deleted_permission_is_revoked_from_every_user_and_group(t: &TestStore) {
    declare(t, &["blog.add", "blog.view"]).await;
    let ada = t.user("ada").await.id;
    t.store.create_group("editors", no_effects()).await.unwrap();
    t.store.add_to_group(ada, "editors", no_effects()).await.unwrap();
    for text in ["blog.add", "blog.view"] {
        t.store.grant_to_user(ada, &name(text), no_effects()).await.unwrap();
        t.store.grant_to_group("editors", &name(text), no_effects()).await.unwrap();
    }
    assert!(t.store.delete_permission(&name("blog.add"), no_effects()).await.unwrap());
    assert!(!t.store.delete_permission(&name("blog.add"), no_effects()).await.unwrap());
    assert_eq!(t.store.permissions().await.unwrap(), [permission("blog.view", "blog.view")]);
    assert_eq!(t.store.user_permissions(ada).await.unwrap(), ["blog.view"]);
    assert_eq!(t.store.groups().await.unwrap()[0].permissions, ["blog.view"]);
    assert_eq!(t.account(ada).await.permissions, ["blog.view"]);
}

pub async fn a_group_has_permissions_and_members(t: &TestStore) {
    declare(t, &["blog.add", "blog.view"]).await;
    assert!(t.store.create_group("editors", no_effects()).await.unwrap());
    assert!(!t.store.create_group("editors", no_effects()).await.unwrap());
    assert!(
        t.store.create_group("Editors", no_effects()).await.unwrap(),
        "names of groups are told apart by case, as in Django"
    );
    for user in ["ada", "bob"] {
        let id = t.user(user).await.id;
        t.store.add_to_group(id, "editors", no_effects()).await.unwrap();
    }
    for text in ["blog.view", "blog.add"] {
        t.store.grant_to_group("editors", &name(text), no_effects()).await.unwrap();
    }
    let permissions = vec!["blog.add".to_owned(), "blog.view".to_owned()];
    let expected = [
        Group { name: "Editors".to_owned(), permissions: vec![], members: 0 },
        Group { name: "editors".to_owned(), permissions, members: 2 },
    ];
    assert_eq!(t.store.groups().await.unwrap(), expected);
}

pub async fn a_deleted_group_loses_memberships_and_grants(t: &TestStore) {
    declare(t, &["blog.add"]).await;
    let ada = t.user("ada").await.id;
    t.store.create_group("editors", no_effects()).await.unwrap();
    t.store.add_to_group(ada, "editors", no_effects()).await.unwrap();
    t.store.grant_to_group("editors", &name("blog.add"), no_effects()).await.unwrap();
    assert!(t.store.delete_group("editors", no_effects()).await.unwrap());
    assert!(!t.store.delete_group("editors", no_effects()).await.unwrap());
    let account = t.account(ada).await;
    assert!(account.groups.is_empty() && account.permissions.is_empty());

    assert!(t.store.create_group("editors", no_effects()).await.unwrap());
    let empty = Group { name: "editors".to_owned(), permissions: vec![], members: 0 };
    assert_eq!(t.store.groups().await.unwrap(), [empty], "a new group of the name begins empty");
}

pub async fn a_repeated_grant_changes_nothing(t: &TestStore) {
    declare(t, &["blog.add"]).await;
    let add = name("blog.add");
    let ada = t.user("ada").await.id;
    t.store.create_group("editors", no_effects()).await.unwrap();
    assert!(t.store.grant_to_user(ada, &add, no_effects()).await.unwrap());
    assert!(!t.store.grant_to_user(ada, &add, no_effects()).await.unwrap());
    assert!(t.store.grant_to_group("editors", &add, no_effects()).await.unwrap());
    assert!(!t.store.grant_to_group("editors", &add, no_effects()).await.unwrap());
    assert!(t.store.add_to_group(ada, "editors", no_effects()).await.unwrap());
    assert!(!t.store.add_to_group(ada, "editors", no_effects()).await.unwrap());
    assert_eq!(t.account(ada).await.permissions, ["blog.add"]);

    assert!(t.store.revoke_from_user(ada, &add, no_effects()).await.unwrap());
    assert!(!t.store.revoke_from_user(ada, &add, no_effects()).await.unwrap());
    assert_eq!(t.account(ada).await.permissions, ["blog.add"], "still through the group");
    assert!(t.store.revoke_from_group("editors", &add, no_effects()).await.unwrap());
    assert!(!t.store.revoke_from_group("editors", &add, no_effects()).await.unwrap());
    assert!(t.account(ada).await.permissions.is_empty());
    assert!(t.store.remove_from_group(ada, "editors", no_effects()).await.unwrap());
    assert!(!t.store.remove_from_group(ada, "editors", no_effects()).await.unwrap());
    assert!(t.account(ada).await.groups.is_empty());
}

pub async fn grants_of_unknown_users_groups_and_permissions_are_refused(t: &TestStore) {
    declare(t, &["blog.add"]).await;
    let (add, undeclared) = (name("blog.add"), name("blog.undeclared"));
    let ada = t.user("ada").await.id;
    let nobody = UserId(ada.0 + 1000);
    t.store.create_group("editors", no_effects()).await.unwrap();
    let s = &t.store;
    assert!(matches!(s.grant_to_user(nobody, &add, no_effects()).await, Err(GrantError::NoSuchUser)));
    assert!(matches!(
        s.grant_to_user(ada, &undeclared, no_effects()).await,
        Err(GrantError::NoSuchPermission)
    ));
    assert!(matches!(s.grant_to_group("nobody", &add, no_effects()).await, Err(GrantError::NoSuchGroup)));
    assert!(matches!(
        s.grant_to_group("editors", &undeclared, no_effects()).await,
        Err(GrantError::NoSuchPermission)
    ));
    assert!(matches!(s.add_to_group(nobody, "editors", no_effects()).await, Err(GrantError::NoSuchUser)));
    assert!(matches!(s.add_to_group(ada, "nobody", no_effects()).await, Err(GrantError::NoSuchGroup)));
    assert!(matches!(s.revoke_from_user(nobody, &add, no_effects()).await, Err(GrantError::NoSuchUser)));
    assert!(matches!(
        s.revoke_from_user(ada, &undeclared, no_effects()).await,
        Err(GrantError::NoSuchPermission)
    ));
    assert!(matches!(s.revoke_from_group("nobody", &add, no_effects()).await, Err(GrantError::NoSuchGroup)));
    assert!(matches!(
        s.revoke_from_group("editors", &undeclared, no_effects()).await,
        Err(GrantError::NoSuchPermission)
    ));
    assert!(matches!(
        s.remove_from_group(nobody, "editors", no_effects()).await,
        Err(GrantError::NoSuchUser)
    ));
    assert!(matches!(s.remove_from_group(ada, "nobody", no_effects()).await, Err(GrantError::NoSuchGroup)));
    let account = t.account(ada).await;
    assert!(account.groups.is_empty() && account.permissions.is_empty());
}

pub async fn an_account_has_the_effective_permissions(t: &TestStore) {
    declare(t, &["a.direct", "b.both", "c.group", "d.other"]).await;
    let ada = t.user("ada").await;
    for (group, permissions) in [("writers", ["b.both", "c.group"]), ("editors", ["c.group", "b.both"])] {
        t.store.create_group(group, no_effects()).await.unwrap();
        t.store.add_to_group(ada.id, group, no_effects()).await.unwrap();
        for text in permissions {
            t.store.grant_to_group(group, &name(text), no_effects()).await.unwrap();
        }
    }
    for text in ["b.both", "a.direct"] {
        t.store.grant_to_user(ada.id, &name(text), no_effects()).await.unwrap();
    }
    let account = t.account(ada.id).await;
    assert_eq!(account.user, ada);
    assert_eq!(account.groups, ["editors", "writers"]);
    assert_eq!(account.permissions, ["a.direct", "b.both", "c.group"]);
    assert_eq!(
        t.store.user_permissions(ada.id).await.unwrap(),
        ["a.direct", "b.both"],
        "only the direct ones"
    );

    let change = |is_active, is_superuser| UserChange { is_active, is_superuser, ..UserChange::default() };
    t.store.update_user(ada.id, change(None, Some(true)), no_effects()).await.unwrap();
    let all = ["a.direct", "b.both", "c.group", "d.other"];
    assert_eq!(t.account(ada.id).await.permissions, all, "a superuser has every permission");
    t.store.update_user(ada.id, change(Some(false), None), no_effects()).await.unwrap();
    let account = t.account(ada.id).await;
    assert!(account.permissions.is_empty(), "an inactive user has none");
    assert_eq!(account.groups, ["editors", "writers"]);
}

pub async fn accounts_do_not_mix(t: &TestStore) {
    declare(t, &["blog.add"]).await;
    let ada = t.user("ada").await.id;
    t.store.create_group("editors", no_effects()).await.unwrap();
    t.store.add_to_group(ada, "editors", no_effects()).await.unwrap();
    t.store.grant_to_user(ada, &name("blog.add"), no_effects()).await.unwrap();
    let bob = t.store.create_user(new_user("bob"), no_effects()).await.unwrap().id;
    let account = t.account(bob).await;
    assert!(account.groups.is_empty() && account.permissions.is_empty());
    assert!(t.store.user_permissions(bob).await.unwrap().is_empty());
}
