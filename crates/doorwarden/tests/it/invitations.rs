//! Invitations: mailed by the library, or over HTTP by whoever may add users, and accepted by whoever gets
//! them.

use crate::app::{Answer, App, Database, NOON, PASSWORD};
use crate::post::Post;
use doorwarden::core::audit::Actor;
use doorwarden::core::challenge::ChallengePurpose;
use doorwarden::core::mail::MailKind;
use doorwarden::core::permission::{Permission, PermissionName};
use doorwarden::core::settings::RegistrationMode;
use doorwarden::{Builder, UserChange, UserId};
use serde_json::{Value, json};
use std::time::Duration;

on_both! {
    whoever_is_invited_registers_with_that_address_although_nobody_else_can
    an_invitation_is_listed_until_it_is_accepted_or_revoked
    whoever_may_add_users_invites_lists_and_revokes
    an_invitation_to_another_address_ends_the_one_that_it_replaces
    an_invitation_is_replaced_once
    no_other_challenge_is_taken_for_an_invitation
    invitations_are_listed_in_pages
    whoever_is_logged_in_as_another_accepts_nothing_and_uses_nothing_up
    without_a_mailer_nobody_is_invited
}

const ADD_USER: &str = "users.add_user";

fn with_mail(post: &Post) -> impl FnOnce(Builder) -> Builder + use<> {
    let post = post.clone();
    |builder| builder.mailer(post)
}

/// An application in which only who was invited registers, and a user who may invite: with their token.
async fn inviting(database: &Database) -> (App, Post, String) {
    let post = Post::default();
    let mailer = with_mail(&post);
    let app = database.app_with(mailer).await;
    let token = app.register("staff").await;
    grant(&app, UserId(1)).await;
    (app, post, token)
}

async fn grant(app: &App, user: UserId) {
    let name: PermissionName = ADD_USER.parse().unwrap();
    let users = app.auth.users();
    users.declare_permission(Permission { name: name.clone(), label: "Can add user".into() }).await.unwrap();
    users.grant(user, &name).await.unwrap();
}

async fn invite(app: &App, token: &str, body: Value) -> Answer {
    app.call("POST", "/invitations", Some(token), Some(body)).await
}

async fn accept(app: &App, token: Option<&str>, key: &str, username: &str) -> Answer {
    let body = json!({"key": key, "username": username, "password": PASSWORD});
    app.call("POST", "/invitations/accept", token, Some(body)).await
}

/// The addresses that are invited, and the header `Link`.
async fn listed(app: &App, token: &str, query: &str) -> (Vec<String>, String) {
    let answer = app.get(&format!("/invitations{query}"), token).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let emails = answer
        .json()
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["email"].as_str().unwrap().to_owned())
        .collect();
    (emails, answer.header("link").to_owned())
}

async fn whoever_is_invited_registers_with_that_address_although_nobody_else_can(database: Database) {
    let post = Post::default();
    let mailer = with_mail(&post);
    let app = database
        .app_with(|b| mailer(b).settings(|s| s.registration.mode = RegistrationMode::Invitation))
        .await;
    assert_eq!(app.try_register("jane").await.status, 403);
    let mut keys = Vec::new();
    for _ in 0..2 {
        app.auth.users().invite("jane@example.com").await.unwrap();
        let letter = post.one(&app, MailKind::Invitation).await;
        assert_eq!((letter.0.to.as_str(), &letter.0.content.code), ("jane@example.com", &None));
        keys.push(letter.key());
    }
    let accept = async |key: &str, password: &str| {
        let body =
            json!({"key": key, "username": "jane", "password": password, "email": "thief@example.com"});
        app.post("/invitations/accept", body).await
    };
    assert_eq!(accept(&keys[0], PASSWORD).await.json()["code"], "link_invalid", "the second ended the first");
    app.post("/links/inspect", json!({"key": keys[1]}))
        .await
        .is(200, json!({"purpose": "invitation", "email": "j•••@example.com", "expires_in": 604_800}));
    assert_eq!(accept(&keys[1], "short").await.status, 400);
    let answer = accept(&keys[1], PASSWORD).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(app.get("/me", &answer.token()).await.json()["email"], "jane@example.com");
    let user = app.auth.users().get(UserId(1)).await.unwrap().unwrap();
    assert_eq!(user.email_verified_at, Some(NOON));
    assert_eq!(accept(&keys[1], PASSWORD).await.json()["code"], "link_invalid");
    let again = app.auth.users().invite("jane@example.com").await;
    assert!(again.unwrap_err().to_string().contains("already exists"));
}

async fn an_invitation_is_listed_until_it_is_accepted_or_revoked(database: Database) {
    let post = Post::default();
    let mailer = with_mail(&post);
    let app = database.app_with(mailer).await;
    let users = app.auth.users();
    let invite = async |email: &str| {
        users.invite(email).await.unwrap();
        app.clock.advance(Duration::from_secs(1));
        post.one(&app, MailKind::Invitation).await.key()
    };
    let accept = async |key: &str, username: &str| {
        let body = json!({"key": key, "username": username, "password": PASSWORD});
        app.post("/invitations/accept", body).await
    };
    let listed = async || {
        let open = users.invitations(None, 10).await.unwrap();
        open.into_iter().map(|invitation| invitation.email.as_str().to_owned()).collect::<Vec<_>>()
    };
    let jane = invite("jane@example.com").await;
    let (kim, lee) = (invite("kim@example.com").await, invite("lee@example.com").await);
    app.post("/password/reset", json!({"email": "max@example.com"})).await;
    assert_eq!(listed().await, ["jane@example.com", "kim@example.com", "lee@example.com"]);
    let first = users.invitations(None, 1).await.unwrap().remove(0);
    assert_eq!((first.sent_at, first.expires_at), (NOON, NOON.after(Duration::from_hours(7 * 24))));
    assert_eq!(users.invitations(Some(first.id), 1).await.unwrap()[0].email.as_str(), "kim@example.com");

    assert!(users.revoke_invitation("Kim@Example.com").await.unwrap());
    assert!(!users.revoke_invitation("kim@example.com").await.unwrap());
    assert!(!users.revoke_invitation("max@example.com").await.unwrap());
    assert_eq!(accept(&kim, "kim").await.json()["code"], "link_invalid");
    assert_eq!(accept(&jane, "jane").await.status, 201);
    assert_eq!(listed().await, ["lee@example.com"]);
    let again = invite("lee@example.com").await;
    assert_eq!(listed().await, ["lee@example.com"], "the second mail ends the first");
    assert_eq!(accept(&lee, "lee").await.json()["code"], "link_invalid");
    assert_eq!(accept(&again, "lee").await.status, 201);
    assert_eq!(listed().await, [""; 0]);
    invite("max@example.com").await;
    app.clock.advance(Duration::from_hours(7 * 24));
    assert_eq!(listed().await, [""; 0], "it has expired");
    assert!(!users.revoke_invitation("max@example.com").await.unwrap());
}

async fn whoever_may_add_users_invites_lists_and_revokes(database: Database) {
    let (app, post, staff) = inviting(&database).await;
    let (jane, root) = (app.register("jane").await, app.register("root").await);
    let change = UserChange { is_superuser: Some(true), ..UserChange::default() };
    app.auth.users().update(UserId(3), change).await.unwrap();
    let operations = [("GET", ""), ("POST", ""), ("DELETE", "/019ab000-0000-7000-8000-000000000000")];
    for (method, path) in operations {
        let path = format!("/invitations{path}");
        let body = (method == "POST").then(|| json!({"email": "kim@example.com"}));
        assert_eq!(app.call(method, &path, None, body.clone()).await.status, 401, "{method}");
        let denied = app.call(method, &path, Some(&jane), body).await;
        denied.is(403, json!({"detail": "You do not have permission to perform this action."}));
    }
    assert!(post.read(&app).await.is_empty());

    let answer = invite(&app, &staff, json!({"email": "Kim@Example.com"})).await;
    let kim = answer.json();
    let id = kim["id"].as_str().unwrap();
    answer.is(
        201,
        json!({
            "id": id, "email": "Kim@example.com",
            "sent_at": "2026-11-23T12:00:00.000000Z", "expires_at": "2026-11-30T12:00:00.000000Z",
        }),
    );
    let key = post.one(&app, MailKind::Invitation).await.key();
    assert_eq!(app.get("/invitations", &root).await.json(), json!([kim]), "a superuser has every permission");
    assert_eq!(invite(&app, &staff, json!({})).await.status, 400);
    let taken = invite(&app, &staff, json!({"email": "jane@example.com"})).await;
    assert_eq!((taken.status.as_u16(), taken.json().as_object().unwrap().len()), (400, 1), "{taken:?}");

    let path = format!("/invitations/{id}");
    assert_eq!(app.call("DELETE", &path, Some(&staff), None).await.status, 204);
    assert_eq!(app.call("DELETE", &path, Some(&staff), None).await.status, 404);
    assert_eq!(app.call("DELETE", "/invitations/7", Some(&staff), None).await.status, 404);
    assert_eq!(accept(&app, None, &key, "kim").await.json()["code"], "link_invalid");
    assert_eq!(listed(&app, &staff, "").await.0, [""; 0]);
    let records = app.auth.context().store.audit_records(None, 1_000).await.unwrap();
    let of_staff = records.into_iter().filter(|record| record.actor == Actor::User(UserId(1)));
    let kinds: Vec<_> = of_staff.map(|record| record.kind).collect();
    assert_eq!(kinds, ["session_opened", "user_invited", "invitation_revoked"]);
}

async fn an_invitation_to_another_address_ends_the_one_that_it_replaces(database: Database) {
    let (app, post, staff) = inviting(&database).await;
    let send = async |body: Value| {
        app.clock.advance(Duration::from_secs(1));
        let answer = invite(&app, &staff, body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        (answer.json()["id"].clone(), post.one(&app, MailKind::Invitation).await.key())
    };
    let (_, lee) = send(json!({"email": "lee@example.com"})).await;
    let (first, wrong) = send(json!({"email": "kin@example.com"})).await;
    let (second, right) = send(json!({"email": "kim@example.com", "replaces": first})).await;
    assert_eq!(listed(&app, &staff, "").await.0, ["lee@example.com", "kim@example.com"]);
    assert_eq!(accept(&app, None, &wrong, "kim").await.json()["code"], "link_invalid");
    let (_, again) = send(json!({"email": "KIM@example.com", "replaces": second})).await;
    assert_eq!(accept(&app, None, &right, "kim").await.json()["code"], "link_invalid");
    assert_eq!(accept(&app, None, &again, "kim").await.status, 201);
    assert_eq!(accept(&app, None, &lee, "lee").await.status, 201);
    for gone in [first, second, json!("kin@example.com")] {
        invite(&app, &staff, json!({"email": "max@example.com", "replaces": gone}))
            .await
            .is(400, json!({"replaces": ["There is no such invitation that can be accepted."]}));
    }
    assert!(post.read(&app).await.is_empty());
}

async fn an_invitation_is_replaced_once(database: Database) {
    let (app, _, staff) = inviting(&database).await;
    let first = invite(&app, &staff, json!({"email": "kin@example.com"})).await.json()["id"].clone();
    let by = async |name: &str| {
        let body = json!({"email": format!("{name}@example.com"), "replaces": first});
        invite(&app, &staff, body).await.status.as_u16()
    };
    let (a, b, c, d) = tokio::join!(by("a"), by("b"), by("c"), by("d"));
    let mut statuses = [a, b, c, d];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 400, 400, 400]);
    assert_eq!(listed(&app, &staff, "").await.0.len(), 1);
}

async fn no_other_challenge_is_taken_for_an_invitation(database: Database) {
    let (app, post, staff) = inviting(&database).await;
    app.post("/password/reset", json!({"email": "staff@example.com"})).await;
    let key = post.one(&app, MailKind::ResetPassword).await.key();
    let open = app.auth.context().store.challenges_of(UserId(1), app.auth.context().now()).await.unwrap();
    let reset = open.iter().find(|challenge| challenge.purpose == ChallengePurpose::ResetPassword).unwrap();
    let id = reset.id.0.to_string();
    assert_eq!(app.call("DELETE", &format!("/invitations/{id}"), Some(&staff), None).await.status, 404);
    assert_eq!(invite(&app, &staff, json!({"email": "kim@example.com", "replaces": id})).await.status, 400);
    assert_eq!(app.post("/links/inspect", json!({"key": key})).await.status, 200);
}

async fn invitations_are_listed_in_pages(database: Database) {
    let (app, _, staff) = inviting(&database).await;
    let email = |n: usize| format!("guest{n:03}@example.com");
    for n in 0..101 {
        app.clock.advance(Duration::from_millis(1));
        app.auth.users().invite(&email(n)).await.unwrap();
    }
    let (first, link) = listed(&app, &staff, "").await;
    assert_eq!(first, (0..100).map(email).collect::<Vec<_>>());
    let query = link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\"")).unwrap();
    assert_eq!(listed(&app, &staff, query).await, (vec![email(100)], String::new()));
    assert_eq!(app.get("/invitations?cursor=7", &staff).await.status, 400);
    assert_eq!(
        app.call("DELETE", &format!("/invitations/{}", &query["?cursor=".len()..]), Some(&staff), None)
            .await
            .status,
        204
    );
    assert_eq!(listed(&app, &staff, query).await.0, [email(100)], "the cursor outlives its invitation");
}

async fn whoever_is_logged_in_as_another_accepts_nothing_and_uses_nothing_up(database: Database) {
    let (app, post, staff) = inviting(&database).await;
    invite(&app, &staff, json!({"email": "kim@example.com"})).await;
    let key = post.one(&app, MailKind::Invitation).await.key();
    let answer = accept(&app, Some(&staff), &key, "kim").await;
    assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (409, &json!("signed_in_as_another")));
    assert_eq!(listed(&app, &staff, "").await.0, ["kim@example.com"]);
    let unknown = accept(&app, Some(&staff), "dwk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "kim").await;
    assert_eq!(unknown.json()["code"], "link_invalid");
    // Whose token is refused is logged in as nobody.
    app.call("POST", "/logout", Some(&staff), None).await;
    assert_eq!(accept(&app, Some(&staff), &key, "kim").await.status, 201);
}

async fn without_a_mailer_nobody_is_invited(database: Database) {
    let app = database.app().await;
    let token = app.register("staff").await;
    grant(&app, UserId(1)).await;
    let answer = invite(&app, &token, json!({"email": "kim@example.com"})).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (501, &json!("mail_not_configured")));
    assert_eq!(listed(&app, &token, "").await.0, [""; 0]);
}
