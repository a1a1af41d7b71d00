use crate::{TestStore, new_user, no_effects};
use doorwarden_core::identity::EmailAddress;
use doorwarden_core::password::PasswordHash;
use doorwarden_core::permission::Permission;
use doorwarden_core::store::UserFilter;
use doorwarden_core::user::{UserChange, UserId};

/// The usernames of the matching users, in the order of the list.
async fn names(t: &TestStore, filter: UserFilter) -> Vec<String> {
    let users = t.store.users(&filter, None, 100).await.unwrap();
    users.into_iter().map(|u| u.username.as_str().to_owned()).collect()
}

async fn create(t: &TestStore, name: &str, is_active: bool, is_staff: bool, is_superuser: bool) -> UserId {
    let mut new = new_user(name);
    (new.is_active, new.is_staff, new.is_superuser) = (is_active, is_staff, is_superuser);
    t.store.create_user(new, no_effects()).await.unwrap().id
}

async fn declare(t: &TestStore, name: &str) -> Permission {
    let permission = Permission { name: name.parse().unwrap(), label: name.to_owned() };
    t.store.declare_permissions(std::slice::from_ref(&permission), no_effects()).await.unwrap();
    permission
}

pub async fn pages_follow_each_other_by_id(t: &TestStore) {
    let mut all = Vec::new();
    for name in ["e", "d", "c", "b", "a"] {
        all.push(t.user(name).await);
    }
    let everyone = UserFilter::default();
    assert_eq!(t.store.users(&everyone, None, 100).await.unwrap(), all);
    assert_eq!(t.store.users(&everyone, None, 2).await.unwrap(), all[..2]);
    assert_eq!(t.store.users(&everyone, Some(all[1].id), 2).await.unwrap(), all[2..4]);
    assert_eq!(t.store.users(&everyone, Some(all[3].id), 2).await.unwrap(), all[4..]);
    assert_eq!(t.store.users(&everyone, Some(all[4].id), 2).await.unwrap(), []);
    assert_eq!(t.store.users(&everyone, None, 0).await.unwrap(), []);
    assert_eq!(t.store.count_users().await.unwrap(), 5);

    // A page begins after an id, even if its user no longer exists.
    t.store.delete_user(all[1].id, no_effects()).await.unwrap();
    assert_eq!(t.store.users(&everyone, Some(all[1].id), 2).await.unwrap(), all[2..4]);
}

pub async fn flags_filter_and_combine(t: &TestStore) {
    create(t, "plain", true, false, false).await;
    create(t, "off", false, false, false).await;
    create(t, "staff", true, true, false).await;
    create(t, "super", true, true, true).await;
    let only = |is_active, is_staff, is_superuser| UserFilter {
        is_active,
        is_staff,
        is_superuser,
        ..UserFilter::default()
    };
    assert_eq!(names(t, only(Some(true), None, None)).await, ["plain", "staff", "super"]);
    assert_eq!(names(t, only(Some(false), None, None)).await, ["off"]);
    assert_eq!(names(t, only(None, Some(true), None)).await, ["staff", "super"]);
    assert_eq!(names(t, only(None, Some(false), None)).await, ["plain", "off"]);
    assert_eq!(names(t, only(None, None, Some(true))).await, ["super"]);
    assert_eq!(names(t, only(None, None, Some(false))).await, ["plain", "off", "staff"]);
    assert_eq!(names(t, only(Some(true), Some(false), Some(false))).await, ["plain"]);
}

pub async fn a_filter_applies_to_every_page(t: &TestStore) {
    for (name, is_staff) in [("a", true), ("b", false), ("c", true), ("d", false), ("e", true)] {
        create(t, name, true, is_staff, false).await;
    }
    let staff = UserFilter { is_staff: Some(true), ..UserFilter::default() };
    let first = t.store.users(&staff, None, 2).await.unwrap();
    let second = t.store.users(&staff, Some(first[1].id), 2).await.unwrap();
    let names: Vec<_> = first.iter().chain(&second).map(|u| u.username.as_str()).collect();
    assert_eq!(names, ["a", "c", "e"]);
}

pub async fn a_permission_filters_like_djangos_with_perm(t: &TestStore) {
    let permission = declare(t, "blog.add_post").await.name;
    declare(t, "blog.other").await;
    for group in ["editors", "writers"] {
        t.store.create_group(group, no_effects()).await.unwrap();
        t.store.grant_to_group(group, &permission, no_effects()).await.unwrap();
    }
    create(t, "nothing", true, false, false).await;
    let direct = create(t, "direct", true, false, false).await;
    t.store.grant_to_user(direct, &permission, no_effects()).await.unwrap();
    let member = create(t, "member", true, false, false).await;
    let every_way = create(t, "every way", true, false, true).await;
    for user in [member, every_way] {
        t.store.add_to_group(user, "editors", no_effects()).await.unwrap();
        t.store.add_to_group(user, "writers", no_effects()).await.unwrap();
    }
    t.store.grant_to_user(every_way, &permission, no_effects()).await.unwrap();
    create(t, "super", true, false, true).await;
    create(t, "super off", false, false, true).await;
    let off = create(t, "off", true, false, false).await;
    t.store.grant_to_user(off, &permission, no_effects()).await.unwrap();
    t.store.add_to_group(off, "editors", no_effects()).await.unwrap();
    let inactive = UserChange { is_active: Some(false), ..UserChange::default() };
    t.store.update_user(off, inactive, no_effects()).await.unwrap();

    let with = |name: &str| UserFilter { permission: Some(name.to_owned()), ..UserFilter::default() };
    assert_eq!(names(t, with("blog.add_post")).await, ["direct", "member", "every way", "super"]);
    assert_eq!(names(t, with("blog.other")).await, ["every way", "super"]);
    assert_eq!(
        names(t, with("blog.undeclared")).await,
        [""; 0],
        "not even a superuser has what does not exist"
    );
    let ordinary = UserFilter { is_superuser: Some(false), ..with("blog.add_post") };
    assert_eq!(names(t, ordinary).await, ["direct", "member"]);
}

pub async fn a_group_filters_its_members(t: &TestStore) {
    for group in ["editors", "Editors"] {
        t.store.create_group(group, no_effects()).await.unwrap();
    }
    let ada = t.user("ada").await.id;
    let bob = t.user("bob").await.id;
    t.store.add_to_group(ada, "editors", no_effects()).await.unwrap();
    t.store.add_to_group(bob, "Editors", no_effects()).await.unwrap();
    let of = |group: &str| UserFilter { group: Some(group.to_owned()), ..UserFilter::default() };
    assert_eq!(names(t, of("editors")).await, ["ada"]);
    assert_eq!(names(t, of("Editors")).await, ["bob"]);
    assert_eq!(names(t, of("nobody")).await, [""; 0]);
}

pub async fn a_prefix_filters_usernames_and_emails_regardless_of_case(t: &TestStore) {
    for (name, email) in [("Ada", "x@example.com"), ("bob", "ADAM@example.com"), ("100%", "y@example.com")] {
        let mut new = new_user(name);
        new.email = EmailAddress::from_stored(email);
        t.store.create_user(new, no_effects()).await.unwrap();
    }
    t.user("under_score").await;
    t.user("underXscore").await;
    t.user("back\\slash").await;
    let with = |text: &str| UserFilter { starts_with: Some(text.to_owned()), ..UserFilter::default() };
    assert_eq!(names(t, with("aDa")).await, ["Ada", "bob"]);
    assert_eq!(names(t, with("adam@")).await, ["bob"]);
    assert_eq!(names(t, with("da")).await, [""; 0], "not in the middle");
    assert_eq!(names(t, with("under_")).await, ["under_score"], "no character stands for others");
    assert_eq!(names(t, with("100%")).await, ["100%"]);
    assert_eq!(names(t, with("%")).await, [""; 0]);
    assert_eq!(names(t, with("back\\")).await, ["back\\slash"]);
    assert_eq!(names(t, with("*")).await, [""; 0]);
    assert_eq!(names(t, with("")).await.len(), 6, "everything begins with nothing");
}

pub async fn users_are_counted_by_algorithm(t: &TestStore) {
    let hashes = [
        "argon2$argon2id$a",
        "argon2$argon2id$b",
        "pbkdf2_sha256$1$s$h",
        "!unusable",
        "!other$with$dollars",
        "5f4dcc3b5aa765d61d8327deb882cf99",
        "md5$$5f4dcc3b5aa765d61d8327deb882cf99",
        "sha1$$5baa61e4c9b93f3f0682250b6cf8331b7ee68fd8",
        "a text without a dollar",
    ];
    for (n, hash) in hashes.into_iter().enumerate() {
        let mut new = new_user(&format!("user{n}"));
        new.password = PasswordHash::from_stored(hash.to_owned());
        t.store.create_user(new, no_effects()).await.unwrap();
    }
    let mut counted = t.store.count_users_by_algorithm().await.unwrap();
    counted.sort();
    let counted: Vec<_> = counted.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    let expected =
        [("", 1), ("!", 2), ("argon2", 2), ("pbkdf2_sha256", 1), ("unsalted_md5", 2), ("unsalted_sha1", 1)];
    assert_eq!(counted, expected);
}
