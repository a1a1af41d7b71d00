//! Passwords that are known from breaches.

use crate::app::{Answer, App, Database, NOON, PASSWORD};
use crate::phone::Phone;
use crate::post::Post;
use doorwarden::core::flow::manage::check_password_strength;
use doorwarden::core::mail::MailKind;
use doorwarden::core::password::LeakedPasswords;
use doorwarden::core::password::breached::{FilterWriter, sha1};
use doorwarden::core::settings::{EmailVerification, RegistrationMode};
use doorwarden::core::user::UserChange;
use doorwarden::{Password, Settings, UserId};
use serde_json::{Value, json};

on_both! {
    a_leaked_password_is_refused_wherever_one_is_chosen
    the_passwords_of_a_file_are_refused_as_well
    the_messages_of_django_come_first_and_alone
    leaked_passwords_can_be_allowed
    by_default_a_login_with_a_leaked_password_is_like_any_other
    a_login_with_a_leaked_password_needs_another_one_before_any_token
    the_second_factor_comes_before_the_new_password
    a_leaked_password_beside_a_mail_must_be_changed_as_well
}

/// Among the hundred thousand most common passwords, and not among Django's.
const LEAKED: &str = "sasha_007";

fn refused(field: &str) -> Value {
    json!({field: ["This password has appeared in a data breach. Choose another one."]})
}

async fn app_with_mail(database: &Database, post: &Post, change: impl FnOnce(&mut Settings)) -> App {
    let mailer = post.clone();
    database.app_with(|builder| builder.mailer(mailer).settings(change)).await
}

/// An application with a user `jane`, whose password is leaked and whose address is proved.
async fn jane(database: &Database, change: impl FnOnce(&mut Settings)) -> (App, Post) {
    let post = Post::default();
    let app = app_with_mail(database, &post, change).await;
    // As in Django, `create_user` checks nothing.
    let jane = app.auth.users().create_user("jane", "jane@example.com", Some(LEAKED)).await.unwrap();
    let proved = UserChange { email_verified_at: Some(NOON), ..UserChange::default() };
    app.auth.users().update(jane.id, proved).await.unwrap();
    (app, post)
}

fn changing(settings: &mut Settings) {
    settings.leaked_at_login = true;
}

/// The login token of an answer that needs this step, and has no token.
fn pending(answer: &Answer, flow: &str) -> String {
    assert_eq!(answer.status, 401, "{answer:?}");
    let body = answer.json();
    assert_eq!(body["flows"][0]["id"], flow, "{body}");
    assert!(
        ["token", "access", "access_token", "refresh"].iter().all(|name| body.get(name).is_none()),
        "{body}"
    );
    body["login_token"].as_str().unwrap().to_owned()
}

async fn step(app: &App, token: &str, method: &str, name: &str, value: &str) -> Answer {
    app.post("/login/verify", json!({"login_token": token, "method": method, name: value})).await
}

async fn a_leaked_password_is_refused_wherever_one_is_chosen(database: Database) {
    let (app, post) = jane(&database, |_| {}).await;
    let register = json!({"email": "a@example.com", "username": "ada", "password": LEAKED});
    app.post("/registration", register).await.is(400, refused("password"));

    let token = app.log_in("jane", LEAKED).await.token();
    let change = json!({"current_password": LEAKED, "new_password": "sasha_007"});
    app.call("POST", "/password/change", Some(&token), Some(change)).await.is(400, refused("new_password"));

    app.post("/password/reset", json!({"email": "jane@example.com"})).await;
    let key = post.one(&app, MailKind::ResetPassword).await.key();
    let reset = json!({"key": key, "new_password": LEAKED});
    app.post("/password/reset/confirm", reset).await.is(400, refused("new_password"));

    let must = UserChange { must_change_password: Some(true), ..UserChange::default() };
    app.auth.users().update(UserId(1), must).await.unwrap();
    let login = pending(&app.log_in("jane", LEAKED).await, "change_password");
    step(&app, &login, "new_password", "new_password", LEAKED).await.is(400, refused("new_password"));

    app.auth.users().invite("guest@example.org").await.unwrap();
    let key = post.one(&app, MailKind::Invitation).await.key();
    let accept = json!({"key": key, "username": "guest", "password": LEAKED});
    app.post("/invitations/accept", accept).await.is(400, refused("password"));

    let password = Password::new(LEAKED);
    let checked = check_password_strength(app.auth.context(), &password, "jane", "jane@example.com");
    let errors = checked.unwrap_err();
    assert_eq!(errors.iter().next().unwrap().1[0].code, "password_leaked");

    let verified = |settings: &mut Settings| settings.registration.mode = RegistrationMode::Verified;
    let verified = app_with_mail(&database, &post, verified).await;
    let register = json!({"email": "kim@example.com", "username": "kim", "password": LEAKED});
    verified.post("/registration", register).await.is(400, refused("password"));
    verified.try_register("kim").await;
    let key = post.one(&verified, MailKind::VerifyEmail).await.key();
    let body = json!({"key": key, "password": LEAKED});
    verified.post("/registration/verify-email", body).await.is(400, refused("password"));
}

async fn the_passwords_of_a_file_are_refused_as_well(database: Database) {
    let kind = database.url.split(':').next().unwrap();
    let path = std::env::temp_dir().join(format!("doorwarden-leaked-{}-{kind}", std::process::id()));
    let mut writer = FilterWriter::new(Vec::new(), "a test").unwrap();
    writer.push(sha1("another battery")).unwrap();
    std::fs::write(&path, writer.finish(NOON.as_seconds()).unwrap()).unwrap();
    let leaked = LeakedPasswords::open(&path).unwrap();
    let app = database.app_with(|b| b.settings(|s| s.password_policy.leaked_passwords = leaked)).await;
    let register = async |name: &str, password: &str| {
        let body = json!({"email": format!("{name}@example.com"), "username": name, "password": password});
        app.post("/registration", body).await
    };
    register("ada", "another battery").await.is(400, refused("password"));
    register("ada", LEAKED).await.is(400, refused("password"));
    assert_eq!(register("ada", PASSWORD).await.status, 201);
    std::fs::remove_file(path).unwrap();
    register("bob", "another battery").await.is(400, refused("password"));
}

async fn the_messages_of_django_come_first_and_alone(database: Database) {
    let app = database.app().await;
    for (password, expected) in [
        ("password", json!(["This password is too common."])),
        ("12345678", json!(["This password is too common.", "This password is entirely numeric."])),
        (LEAKED, json!(["This password has appeared in a data breach. Choose another one."])),
        ("SASHA_007", Value::Null),
    ] {
        let body = json!({"email": "ada@example.com", "username": "ada", "password": password});
        let answer = app.post("/registration", body).await.json();
        assert_eq!(answer["password"], expected, "{password}");
    }
}

async fn leaked_passwords_can_be_allowed(database: Database) {
    let app = database.app_with(|b| b.settings(|s| s.password_policy.leaked = false)).await;
    let body = json!({"email": "ada@example.com", "username": "ada", "password": LEAKED});
    assert_eq!(app.post("/registration", body).await.status, 201);
}

async fn by_default_a_login_with_a_leaked_password_is_like_any_other(database: Database) {
    let (app, _) = jane(&database, |_| {}).await;
    assert_eq!(app.log_in("jane", LEAKED).await.status, 200);
}

async fn a_login_with_a_leaked_password_needs_another_one_before_any_token(database: Database) {
    let (app, _) = jane(&database, changing).await;
    assert_eq!(app.log_in("jane", "sasha_008").await.status, 400, "a wrong password says nothing");
    let body = json!({"email": "jane@example.com", "password": LEAKED});
    pending(&app.post("/token", body).await, "change_password");
    let login = pending(&app.log_in("jane", LEAKED).await, "change_password");
    step(&app, &login, "new_password", "new_password", LEAKED).await.is(400, refused("new_password"));
    let done = step(&app, &login, "new_password", "new_password", PASSWORD).await;
    assert_eq!(done.status, 200, "{done:?}");
    assert_eq!(app.get("/me", &done.token()).await.status, 200);
    assert_eq!(app.log_in("jane", PASSWORD).await.status, 200);
    assert_eq!(app.log_in("jane", LEAKED).await.status, 400);
    // Whoever registers has just chosen the password.
    app.register("ada").await;
}

async fn the_second_factor_comes_before_the_new_password(database: Database) {
    let (app, _) = jane(&database, |_| {}).await;
    let token = app.log_in("jane", LEAKED).await.token();
    let call = async |path: &str, body: Value| app.call("POST", path, Some(&token), Some(body)).await;
    let begun = call("/factors/totp", json!({"name": "Phone"})).await.json();
    let phone = Phone::new(begun["secret"].as_str().unwrap());
    let path = format!("/factors/totp/{}/confirm", begun["id"].as_str().unwrap());
    let codes = call(&path, json!({"code": phone.code(&app)})).await.json();
    let code = codes["recovery_codes"][0].as_str().unwrap();

    let app = database.app_with(|b| b.settings(changing)).await;
    let login = pending(&app.log_in("jane", LEAKED).await, "mfa_authenticate");
    let login = pending(&step(&app, &login, "recovery_code", "code", code).await, "change_password");
    let done = step(&app, &login, "new_password", "new_password", PASSWORD).await;
    assert_eq!(done.status, 200, "{done:?}");
}

async fn a_leaked_password_beside_a_mail_must_be_changed_as_well(database: Database) {
    let post = Post::default();
    for (name, leaked_at_login) in [("ada", false), ("bob", true)] {
        let settings = |settings: &mut Settings| {
            settings.password_policy.leaked = false;
            settings.mail.verification = EmailVerification::Asked;
            settings.leaked_at_login = leaked_at_login;
        };
        let app = app_with_mail(&database, &post, settings).await;
        let body = json!({"email": format!("{name}@example.com"), "username": name, "password": LEAKED});
        assert_eq!(app.post("/registration", body).await.status, 201);
        let key = post.one(&app, MailKind::VerifyEmail).await.key();
        let answer = app.post("/registration/verify-email", json!({"key": key, "password": LEAKED})).await;
        match leaked_at_login {
            true => drop(pending(&answer, "change_password")),
            false => assert_eq!(answer.status, 201, "{answer:?}"),
        }
    }
}
