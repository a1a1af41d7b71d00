use crate::site::{Site, on_both};
use serde_json::json;

on_both!(permissions_are_declared_granted_and_deleted, groups_give_permissions_to_their_members);

fn permissions_are_declared_granted_and_deleted(site: &Site) {
    let id = site.user("ada");
    site.run(&["user", "grant", &id, "blog.add_post"])
        .fails(3, "hint: run `doorwarden permission add blog.add_post`");
    site.run(&["user", "grant", &id, "nonsense"]).fails(2, "app_label.codename");
    site.run(&["permission", "add", "nonsense"]).fails(2, "app_label.codename");

    let added = site.run(&["permission", "add", "blog.add_post"]).json();
    assert_eq!(added, json!({"name": "blog.add_post", "label": "Can add post"}));
    site.run(&["permission", "add", "blog.delete_post", "May throw posts away"]).succeeds();
    let listed = site.run(&["permission", "list"]).json();
    assert_eq!(listed[1], json!({"name": "blog.delete_post", "label": "May throw posts away"}));

    site.run(&["user", "grant", &id, "blog.add_post"]).succeeds();
    let granted = site.run(&["user", "grant", &id, "blog.add_post", "blog.delete_post"]).json();
    assert_eq!(granted["changed"], json!(["blog.delete_post"]));
    assert_eq!(granted["unchanged"], json!(["blog.add_post"]));
    let revoked = site.run(&["user", "revoke", &id, "blog.add_post"]).json();
    assert_eq!(revoked["changed"], json!(["blog.add_post"]));
    assert_eq!(site.run(&["user", "show", &id]).json()["permissions"], json!(["blog.delete_post"]));

    site.run(&["permission", "delete", "blog.delete_post"]).fails(2, "--yes");
    site.run(&["permission", "delete", "blog.delete_post", "--yes"]).succeeds();
    site.run(&["permission", "delete", "blog.delete_post", "--yes"])
        .fails(3, "permission `blog.delete_post` not found");
    assert_eq!(site.run(&["user", "show", &id]).json()["permissions"], json!([]));
}

fn groups_give_permissions_to_their_members(site: &Site) {
    let id = site.user("ada");
    site.run(&["permission", "add", "blog.add_post"]).succeeds();
    assert_eq!(site.run(&["group", "list"]).json(), json!([]));
    site.run(&["group", "create", "editors"]).succeeds();
    site.run(&["group", "create", "editors"]).fails(1, "group `editors` already exists");
    site.run(&["group", "create", " "]).fails(1, "name: This field may not be blank.");
    site.run(&["group", "create", &"x".repeat(151)]).fails(1, "no more than 150 characters");

    site.run(&["group", "grant", "editors", "blog.nothing"]).fails(3, "hint: run `doorwarden permission add");
    site.run(&["group", "grant", "nobody", "blog.add_post"]).fails(3, "group not found");
    site.run(&["group", "grant", "editors", "blog.add_post"]).succeeds();
    site.run(&["user", "add-to-group", &id, "nobody"]).fails(3, "group not found");
    let joined = site.run(&["user", "add-to-group", &id, "editors"]).json();
    assert_eq!((&joined["group"], &joined["changed"]), (&json!("editors"), &json!(true)));
    assert_eq!(site.run(&["user", "add-to-group", &id, "editors"]).json()["changed"], false);

    let shown = site.run(&["user", "show", &id]).json();
    assert_eq!((&shown["groups"], &shown["permissions"]), (&json!(["editors"]), &json!(["blog.add_post"])));
    assert_eq!(shown["direct_permissions"], json!([]));
    let listed = json!([{"name": "editors", "members": 1, "permissions": ["blog.add_post"]}]);
    assert_eq!(site.run(&["group", "list"]).json(), listed);

    assert_eq!(site.run(&["user", "remove-from-group", &id, "editors"]).json()["changed"], true);
    assert_eq!(site.run(&["user", "remove-from-group", &id, "editors"]).json()["changed"], false);
    let revoked = site.run(&["group", "revoke", "editors", "blog.add_post"]).json();
    assert_eq!(revoked["changed"], json!(["blog.add_post"]));
    site.run(&["group", "delete", "editors"]).fails(2, "--yes");
    site.run(&["group", "delete", "editors", "--yes"]).succeeds();
    site.run(&["group", "delete", "editors", "--yes"]).fails(3, "group `editors` not found");
}
