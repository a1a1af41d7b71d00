use crate::{NOON, TestStore, hash, no_effects, seconds};
use doorwarden_core::factor::recovery::RecoveryHash;
use doorwarden_core::factor::{Credential, Factor, FactorId, Method, Passkey, RecoveryCodes, Totp};
use doorwarden_core::identity::{EmailAddress, Username};
use doorwarden_core::permission::{Group, Permission};
use doorwarden_core::store::{ImportedAccount, ImportedFactors, NewRecoveryCodes, NewRights};
use doorwarden_core::user::{User, UserId};
use serde_json::{Map, json};

pub(super) fn account(id: i64, name: &str) -> ImportedAccount {
    let email = EmailAddress::from_stored(format!("{name}@example.com"));
    let user = User::new(UserId(id), Username::from_stored(name), email, hash(name), NOON);
    ImportedAccount { user, groups: Vec::new(), permissions: Vec::new(), factors: ImportedFactors::default() }
}

fn permission(name: &str) -> Permission {
    Permission { name: name.parse().unwrap(), label: format!("Can {name}") }
}

fn group(name: &str, permissions: &[&str]) -> Group {
    Group {
        name: name.to_owned(),
        permissions: permissions.iter().map(|p| (*p).to_owned()).collect(),
        members: 0,
    }
}

/// Imports accounts and returns those that were skipped.
async fn import(t: &TestStore, accounts: Vec<ImportedAccount>) -> Vec<UserId> {
    let mut writer = t.store.import().await.unwrap();
    let left = writer.write(accounts).await.unwrap();
    writer.commit(no_effects()).await.unwrap();
    writer.finish().await.unwrap();
    left
}

pub async fn an_imported_account_is_stored_unchanged(t: &TestStore) {
    let mut writer = t.store.import().await.unwrap();
    let permissions = [permission("blog.add_post"), permission("blog.view_post")];
    let groups = [group("editors", &["blog.add_post"]), group("readers", &[])];
    let new = writer.write_rights(&permissions, &groups, no_effects()).await.unwrap();
    assert_eq!(new, NewRights { permissions: 2, groups: 2 });

    let mut given = account(41, "Jane \u{1f980} Ünal");
    given.user.email = EmailAddress::from_stored("Jane@Bücher.example");
    given.user.is_active = false;
    given.user.is_staff = true;
    given.user.is_superuser = true;
    given.user.date_joined = NOON.before(seconds(12_345));
    given.user.last_login = Some(NOON.before(seconds(17)));
    given.user.metadata = Map::from_iter([("first_name".to_owned(), json!("Jane"))]);
    given.user.password_trimmed = true;
    given.groups = vec!["editors".into(), "readers".into()];
    given.permissions = vec!["blog.view_post".into()];
    assert_eq!(writer.write(vec![given.clone()]).await.unwrap(), []);
    assert_eq!(writer.write(vec![account(7, "plain")]).await.unwrap(), []);
    writer.commit(no_effects()).await.unwrap();
    writer.finish().await.unwrap();

    assert_eq!(t.read(UserId(41)).await, given.user);
    assert_eq!(t.read(UserId(7)).await, account(7, "plain").user);
    assert_eq!(t.account(UserId(41)).await.groups, ["editors", "readers"]);
    assert_eq!(t.store.user_permissions(UserId(41)).await.unwrap(), ["blog.view_post"]);
    let by_email =
        t.store.user_by_email(&EmailAddress::from_stored("jane@bücher.example").key()).await.unwrap();
    assert_eq!(by_email.map(|user| user.id), Some(UserId(41)));
    let by_name =
        t.store.user_by_username(&Username::from_stored("JANE \u{1f980} ÜNAL").key()).await.unwrap();
    assert_eq!(by_name.map(|user| user.id), Some(UserId(41)));
}

/// A confirmed factor that is as old as this number says.
fn factor(user: UserId, number: u8, method: Method) -> Factor {
    let id = FactorId(uuid::Uuid::from_bytes([number; 16]));
    let (created_at, last_used_at) = (NOON.after(seconds(number.into())), Some(NOON));
    let name = format!("factor {number}");
    Factor { id, user, name, created_at, confirmed_at: Some(created_at), last_used_at, method }
}

fn passkey(credential_id: &[u8]) -> Method {
    let credential = Credential { rp_id: "example.org".to_owned(), sign_count: 7, ..Credential::default() };
    Method::Passkey(Passkey { credential_id: credential_id.to_vec(), credential })
}

pub async fn an_imported_account_comes_with_its_factors(t: &TestStore) {
    let user = UserId(41);
    let totp = Totp { sealed: vec![1, 2, 3], last_step: Some(9), failures: 0, disabled_at: None };
    let factors = vec![factor(user, 1, Method::Totp(totp)), factor(user, 2, passkey(b"one"))];
    let hashes = [1, 2].map(|byte| RecoveryHash([byte; 32])).to_vec();
    let id = FactorId(uuid::Uuid::from_bytes([3; 16]));
    let codes = Some(NewRecoveryCodes { id, sealed: vec![4], hashes: hashes.clone() });
    let given = ImportedAccount {
        factors: ImportedFactors { factors: factors.clone(), codes },
        ..account(41, "jane")
    };
    assert_eq!(import(t, vec![given, account(42, "joe")]).await, []);

    let stored = t.store.factors_of(user).await.unwrap();
    assert_eq!(stored[..2], factors);
    let codes = Method::RecoveryCodes(RecoveryCodes { sealed: vec![4], unused: 2 });
    assert_eq!((stored.len(), &stored[2].method), (3, &codes));
    assert!(t.read(user).await.has_factor && !t.read(UserId(42)).await.has_factor);
    assert_eq!(t.store.passkey(b"one").await.unwrap().map(|passkey| passkey.user), Some(user));
    assert_eq!(t.store.count_passkeys_by_domain().await.unwrap(), [("example.org".to_owned(), 1)]);
    assert_eq!(t.store.use_recovery_code(user, hashes[0], no_effects()).await.unwrap(), Some(1));
    assert_eq!(t.store.use_recovery_code(user, hashes[0], no_effects()).await.unwrap(), None);
}

pub async fn an_account_with_the_passkey_of_another_is_not_imported(t: &TestStore) {
    let having = |id: i64, name: &str, number: u8| ImportedAccount {
        factors: ImportedFactors { factors: vec![factor(UserId(id), number, passkey(b"one"))], codes: None },
        ..account(id, name)
    };
    assert_eq!(import(t, vec![having(41, "jane", 1)]).await, []);
    let mut writer = t.store.import().await.unwrap();
    assert!(writer.write(vec![having(42, "joe", 2)]).await.is_err());
    writer.finish().await.unwrap();
    assert_eq!(t.store.count_users().await.unwrap(), 1);
}

pub async fn an_imported_account_with_a_taken_id_username_or_email_is_skipped(t: &TestStore) {
    let here = t.user("here").await;
    t.store.create_group("editors", no_effects()).await.unwrap();
    let same_id = account(here.id.0, "other");
    let same_name = account(101, "HERE");
    let mut same_address = account(102, "another");
    same_address.user.email = EmailAddress::from_stored("Here@Example.com");
    let mut twice = account(104, "free");
    twice.user.email = EmailAddress::from_stored("second@example.com");
    let free = account(103, "free");
    let mut all = vec![same_id, same_name, same_address, free, twice];
    for account in &mut all {
        account.groups = vec!["editors".into()];
    }
    let mut left = import(t, all).await;
    left.sort();
    assert_eq!(left, [here.id, UserId(101), UserId(102), UserId(104)]);
    assert_eq!(t.read(here.id).await, here);
    assert_eq!(t.account(here.id).await.groups, Vec::<String>::new());
    assert_eq!(t.account(UserId(103)).await.groups, ["editors"]);
    assert_eq!(t.store.count_users().await.unwrap(), 2);
}

pub async fn importing_again_changes_nothing(t: &TestStore) {
    let mut given = account(5, "jane");
    let mut writer = t.store.import().await.unwrap();
    let (permissions, groups) = ([permission("blog.add_post")], [group("editors", &["blog.add_post"])]);
    writer.write_rights(&permissions, &groups, no_effects()).await.unwrap();
    given.groups = vec!["editors".into()];
    writer.write(vec![given.clone()]).await.unwrap();
    writer.commit(no_effects()).await.unwrap();
    t.store.remove_from_group(UserId(5), "editors", no_effects()).await.unwrap();
    t.store.revoke_from_group("editors", &permissions[0].name, no_effects()).await.unwrap();

    let relabelled = [Permission { label: "Other words".to_owned(), ..permissions[0].clone() }];
    assert_eq!(writer.write_rights(&relabelled, &groups, no_effects()).await.unwrap(), NewRights::default());
    assert_eq!(writer.write(vec![given.clone()]).await.unwrap(), [UserId(5)]);
    writer.commit(no_effects()).await.unwrap();
    writer.finish().await.unwrap();
    assert_eq!(t.read(UserId(5)).await, given.user);
    assert_eq!(t.account(UserId(5)).await.groups, Vec::<String>::new());
    assert_eq!(t.store.groups().await.unwrap(), [group("editors", &[])]);
    assert_eq!(t.store.permissions().await.unwrap(), permissions);
}

pub async fn a_reserved_or_imported_id_is_never_reused(t: &TestStore) {
    let mut writer = t.store.import().await.unwrap();
    writer.reserve_ids(UserId(100)).await.unwrap();
    assert_eq!(t.user("first").await.id, UserId(101));
    writer.reserve_ids(UserId(50)).await.unwrap();
    assert_eq!(t.user("second").await.id, UserId(102));
    writer.write(vec![account(99, "imported"), account(200, "last")]).await.unwrap();
    writer.commit(no_effects()).await.unwrap();
    writer.finish().await.unwrap();
    assert!(t.store.delete_user(UserId(200), no_effects()).await.unwrap());
    assert_eq!(t.user("third").await.id, UserId(201));
}

pub async fn a_failed_or_uncommitted_import_step_leaves_nothing(t: &TestStore) {
    let mut member = account(8, "member");
    member.groups = vec!["no such group".into()];
    let mut writer = t.store.import().await.unwrap();
    writer.write(vec![account(6, "zeroth")]).await.unwrap();
    assert!(writer.write(vec![account(7, "first"), member]).await.is_err());
    assert_eq!(t.store.count_users().await.unwrap(), 0);
    assert_eq!(writer.write(vec![account(7, "first")]).await.unwrap(), []);
    writer.commit(no_effects()).await.unwrap();
    writer.write(vec![account(8, "second")]).await.unwrap();
    writer.finish().await.unwrap();
    assert_eq!(t.store.count_users().await.unwrap(), 1);

    let mut lost = t.store.import().await.unwrap();
    lost.write(vec![account(9, "third")]).await.unwrap();
    drop(lost);
    assert!(t.user("fourth").await.id > UserId(7));
    assert_eq!(t.store.count_users().await.unwrap(), 2);
}
