//! What is asked of people by mail, and the ways in that need more than one step.

use crate::app::{Answer, App, Database, NOON, PASSWORD};
use crate::post::Post;
use crate::registration::verifying;
use doorwarden::core::mail::{Locale, MailKind};
use doorwarden::core::user::UserChange;
use doorwarden::{Builder, UserId};
use http::header::{ACCEPT_LANGUAGE, CONTENT_TYPE};
use http::{Method, Request};
use serde_json::{Value, json};
use std::time::Duration;

on_both! {
    without_a_mailer_nothing_is_mailed_and_that_is_said
    a_login_by_mail_works_by_code_on_the_device_and_by_link_on_another
    a_link_is_consumed_by_one_post_and_by_no_inspection
    a_wrong_code_counts_and_says_how_many_are_left
    known_and_unknown_addresses_are_answered_alike
    a_login_by_mail_gives_the_tokens_that_were_asked_for
    whoever_proves_an_unverified_address_gets_an_account_in_which_nothing_of_before_works
    a_reset_ends_every_session_link_and_pending_login_and_logs_nobody_in
    a_reset_keeps_its_link_until_the_password_is_good_enough
    a_login_can_be_cancelled_and_its_state_asked_for
    a_mail_can_be_sent_once_more_with_another_link
    a_password_that_must_be_changed_is_changed_before_the_token
    a_password_that_was_used_before_is_refused_wherever_the_user_chooses_one
    the_language_of_a_mail_is_that_of_the_account
    the_configuration_says_what_a_front_end_needs
}

pub(crate) fn with_mail(post: &Post) -> impl FnOnce(Builder) -> Builder + use<> {
    let post = post.clone();
    |builder| builder.mailer(post)
}

pub(crate) async fn verified(app: &App, user: i64) {
    let change = UserChange { email_verified_at: Some(NOON), ..UserChange::default() };
    app.auth.users().update(UserId(user), change).await.unwrap();
}

/// The login token of an answer that says what to do next, which is this.
pub(crate) fn next(answer: &Answer, status: u16, flow: &str) -> String {
    assert_eq!(answer.status, status, "{answer:?}");
    let body = answer.json();
    assert_eq!(body["flows"][0]["id"], flow, "{body}");
    assert!(body.get("token").is_none() && body.get("access").is_none(), "{body}");
    body["login_token"].as_str().unwrap().to_owned()
}

pub(crate) async fn ask(app: &App, path: &str, email: &str) -> String {
    next(&app.post(path, json!({"email": email})).await, 202, "email_code")
}

pub(crate) async fn step(app: &App, token: &str, method: &str, more: Value) -> Answer {
    let mut body = json!({"login_token": token, "method": method});
    body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    app.post("/login/verify", body).await
}

/// An application with mail, and a user `jane` whose address is proved.
pub(crate) async fn jane(database: &Database) -> (App, Post) {
    let post = Post::default();
    let app = database.app_with(with_mail(&post)).await;
    app.register("jane").await;
    verified(&app, 1).await;
    (app, post)
}

async fn without_a_mailer_nothing_is_mailed_and_that_is_said(database: Database) {
    let app = database.app().await;
    app.register("jane").await;
    for path in ["/login/email", "/password/reset"] {
        let answer = app.post(path, json!({"email": "jane@example.com"})).await;
        answer.is(501, json!({"detail": "This service sends no mail.", "code": "mail_not_configured"}));
    }
    assert_eq!(app.call("GET", "/config", None, None).await.json()["login"], json!(["password"]));
}

async fn a_login_by_mail_works_by_code_on_the_device_and_by_link_on_another(database: Database) {
    let (app, post) = jane(&database).await;
    for by_code in [true, false] {
        let token = ask(&app, "/login/email", "JANE@example.com").await;
        let letter = post.one(&app, MailKind::LogIn).await;
        assert_eq!(letter.0.to, "jane@example.com");
        let answer = match by_code {
            true => step(&app, &token, "email_code", json!({"code": letter.code().to_lowercase()})).await,
            false => app.post("/login/link", json!({"key": letter.key()})).await,
        };
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(app.get("/me", &answer.token()).await.json()["email"], "jane@example.com");
        let again = [
            step(&app, &token, "email_code", json!({"code": letter.code()})).await,
            app.post("/login/link", json!({"key": letter.key()})).await,
        ];
        assert_eq!(
            again.map(|answer| answer.status.as_u16()),
            [401, 400],
            "each is good once, and so is the other"
        );
    }
}

async fn a_link_is_consumed_by_one_post_and_by_no_inspection(database: Database) {
    let (app, post) = jane(&database).await;
    ask(&app, "/login/email", "jane@example.com").await;
    let key = post.one(&app, MailKind::LogIn).await.key();
    for _ in 0..3 {
        app.post("/links/inspect", json!({"key": key}))
            .await
            .is(200, json!({"purpose": "login", "email": "j•••@example.com", "expires_in": 600}));
        for method in ["GET", "HEAD"] {
            let request = Request::builder().method(method).uri(format!("/login/link?key={key}"));
            assert_eq!(app.send(request.body(axum::body::Body::empty()).unwrap()).await.status, 405);
        }
    }
    // The link of one purpose is good for no other.
    let reset =
        app.post("/password/reset/confirm", json!({"key": key, "new_password": "another battery"})).await;
    assert_eq!((reset.status.as_u16(), &reset.json()["code"]), (400, &json!("link_invalid")));
    let calls = (0..16).map(|_| app.post("/login/link", json!({"key": key})));
    let answers = futures_util::future::join_all(calls).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    assert_eq!(app.post("/links/inspect", json!({"key": key})).await.json()["code"], "link_invalid");
}

async fn a_wrong_code_counts_and_says_how_many_are_left(database: Database) {
    let (app, post) = jane(&database).await;
    let token = ask(&app, "/login/email", "jane@example.com").await;
    let letter = post.one(&app, MailKind::LogIn).await;
    for left in [4, 3, 2, 1, 0, 0] {
        let wrong = step(&app, &token, "email_code", json!({"code": "BBBB-BBBB"})).await;
        assert_eq!((wrong.status.as_u16(), &wrong.json()["attempts_left"]), (400, &json!(left)));
    }
    let right = step(&app, &token, "email_code", json!({"code": letter.code()})).await;
    assert_eq!(right.json()["code"], "code_invalid", "the code is dead");
    let again = ask(&app, "/login/email", "jane@example.com").await;
    let letter = post.one(&app, MailKind::LogIn).await;
    let counted = step(&app, &again, "email_code", json!({"code": letter.code()})).await;
    assert_eq!(counted.json()["attempts_left"], 0, "asking again gives no more attempts");
    assert_eq!(
        app.post("/login/link", json!({"key": letter.key()})).await.status,
        200,
        "the link is still good"
    );
}

async fn known_and_unknown_addresses_are_answered_alike(database: Database) {
    let (app, post) = jane(&database).await;
    let shape = |answer: &Answer| {
        let mut body = answer.json();
        body["login_token"] = json!(body["login_token"].as_str().unwrap().len());
        let mut names: Vec<_> = answer.headers.keys().map(ToString::to_string).collect();
        names.sort();
        (answer.status, names, body)
    };
    for path in ["/login/email", "/password/reset"] {
        let known = app.post(path, json!({"email": "jane@example.com"})).await;
        let unknown = app.post(path, json!({"email": "john@example.com"})).await;
        assert_eq!(shape(&known), shape(&unknown), "{path}");
        let token = unknown.json()["login_token"].as_str().unwrap().to_owned();
        let left = step(&app, &token, "email_code", json!({"code": "BBBB-BBBB"})).await;
        assert_eq!(left.json()["attempts_left"], 4, "{path}");
        assert_eq!(post.read(&app).await.len(), 1, "{path}: only the owner gets a mail");
    }
}

async fn a_login_by_mail_gives_the_tokens_that_were_asked_for(database: Database) {
    let (app, post) = jane(&database).await;
    let body = json!({"email": "jane@example.com", "tokens": "pair"});
    let token = next(&app.post("/login/email", body).await, 202, "email_code");
    let code = post.one(&app, MailKind::LogIn).await.code();
    let pair = step(&app, &token, "email_code", json!({"code": code})).await;
    assert_eq!(pair.status, 200, "{pair:?}");
    let access = pair.json()["access"].as_str().unwrap().to_owned();
    let verified = app.auth.tokens().verify(&access).await.unwrap();
    assert_eq!(verified.id(), UserId(1));
    let claims = access.split('.').nth(1).unwrap();
    let claims = doorwarden::core::token::base64url::decode_array::<0>(claims.as_bytes()).is_none();
    assert!(claims && pair.json()["refresh"].as_str().unwrap().starts_with("dwr_"));
    let wrong = app.post("/login/email", json!({"email": "jane@example.com", "tokens": "both"})).await;
    assert_eq!(wrong.status, 400);
}

async fn whoever_proves_an_unverified_address_gets_an_account_in_which_nothing_of_before_works(
    database: Database,
) {
    let post = Post::default();
    let app = database.app_with(with_mail(&post)).await;
    // Somebody else registers with the address of jane.
    let foreign = app.register("jane").await;
    let token = ask(&app, "/login/email", "jane@example.com").await;
    let letter = post.one(&app, MailKind::LogIn).await;
    let chosen = next(&app.post("/login/link", json!({"key": letter.key()})).await, 401, "change_password");
    assert_ne!(chosen, token);
    let weak = step(&app, &chosen, "new_password", json!({"new_password": "jane"})).await;
    assert_eq!(weak.status, 400, "{weak:?}");
    let answer = step(&app, &chosen, "new_password", json!({"new_password": "a battery of her own"})).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(app.get("/me", &answer.token()).await.status, 200);
    assert_eq!(app.get("/me", &foreign).await.status, 401);
    assert_eq!(app.log_in("jane", PASSWORD).await.status, 400);
    assert_eq!(app.log_in("jane", "a battery of her own").await.status, 200);
    let again = step(&app, &chosen, "new_password", json!({"new_password": "one more battery"})).await;
    assert_eq!(again.json()["code"], "login_expired");
}

async fn a_reset_ends_every_session_link_and_pending_login_and_logs_nobody_in(database: Database) {
    let (app, post) = jane(&database).await;
    let session = app.log_in("jane", PASSWORD).await.token();
    let pair = app.post("/token", json!({"email": "jane@example.com", "password": PASSWORD})).await.json();
    let pending = ask(&app, "/login/email", "jane@example.com").await;
    let login = post.one(&app, MailKind::LogIn).await;
    ask(&app, "/password/reset", "jane@example.com").await;
    let other = post.one(&app, MailKind::ResetPassword).await;
    let token = ask(&app, "/password/reset", "jane@example.com").await;
    let letter = post.one(&app, MailKind::ResetPassword).await;

    let body = json!({"login_token": token, "code": letter.code(), "new_password": "another battery"});
    let answer = app.post("/password/reset/confirm", body).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0), "{answer:?}");
    assert_eq!(post.one(&app, MailKind::PasswordChanged).await.0.to, "jane@example.com");
    assert_eq!(app.get("/me", &session).await.status, 401);
    assert_eq!(app.post("/token/refresh", json!({"refresh": pair["refresh"]})).await.status, 401);
    for (path, body) in [
        ("/login/link", json!({"key": login.key()})),
        ("/login/verify", json!({"login_token": pending, "method": "email_code", "code": login.code()})),
        ("/password/reset/confirm", json!({"key": other.key(), "new_password": "one more battery"})),
        ("/password/reset/confirm", json!({"key": letter.key(), "new_password": "one more battery"})),
    ] {
        let dead = app.post(path, body).await;
        assert!([400, 401].contains(&dead.status.as_u16()), "{path}: {dead:?}");
    }
    assert_eq!(app.log_in("jane", PASSWORD).await.status, 400);
    assert_eq!(app.log_in("jane", "another battery").await.status, 200);
}

async fn a_reset_keeps_its_link_until_the_password_is_good_enough(database: Database) {
    let (app, post) = jane(&database).await;
    ask(&app, "/password/reset", "jane@example.com").await;
    let key = post.one(&app, MailKind::ResetPassword).await.key();
    let reset = async |password: &str| {
        app.post("/password/reset/confirm", json!({"key": key, "new_password": password})).await
    };
    for weak in ["short", "12345678901", "jane@example.com"] {
        let answer = reset(weak).await;
        assert!(answer.status == 400 && answer.json()["new_password"].is_array(), "{weak}: {answer:?}");
    }
    assert_eq!(reset("another battery").await.status, 204);
    let missing = app.post("/password/reset/confirm", json!({"new_password": "another battery"})).await;
    assert_eq!(missing.json()["code"], "answer_missing");
}

async fn a_login_can_be_cancelled_and_its_state_asked_for(database: Database) {
    let (app, post) = jane(&database).await;
    let token = ask(&app, "/login/email", "jane@example.com").await;
    let letter = post.one(&app, MailKind::LogIn).await;
    let state = app.post("/login/state", json!({"login_token": token})).await;
    assert_eq!(next(&state, 401, "email_code"), token);
    assert_eq!(app.post("/login/cancel", json!({"login_token": token})).await.status, 204);
    assert_eq!(app.post("/login/cancel", json!({"login_token": token})).await.status, 204);
    assert_eq!(app.post("/login/state", json!({"login_token": token})).await.json()["code"], "login_expired");
    assert_eq!(app.post("/login/link", json!({"key": letter.key()})).await.json()["code"], "link_invalid");
}

async fn a_mail_can_be_sent_once_more_with_another_link(database: Database) {
    let (app, post) = jane(&database).await;
    let token = ask(&app, "/login/email", "jane@example.com").await;
    let first = post.one(&app, MailKind::LogIn).await;
    let resend = async || app.post("/registration/resend-email", json!({"login_token": token})).await;
    assert_eq!(next(&resend().await, 202, "email_code"), token);
    assert_eq!(post.read(&app).await.len(), 0, "too early");
    app.clock.advance(Duration::from_secs(30));
    assert_eq!(resend().await.status, 202);
    let second = post.one(&app, MailKind::LogIn).await;
    assert_eq!(app.post("/login/link", json!({"key": first.key()})).await.json()["code"], "link_invalid");
    let code = step(&app, &token, "email_code", json!({"code": second.code()})).await;
    assert_eq!(code.status, 200, "{code:?}");
}

async fn a_password_that_must_be_changed_is_changed_before_the_token(database: Database) {
    let (app, _) = jane(&database).await;
    let change = UserChange { must_change_password: Some(true), ..UserChange::default() };
    app.auth.users().update(UserId(1), change).await.unwrap();
    let token = next(&app.log_in("jane", PASSWORD).await, 401, "change_password");
    let answer = step(&app, &token, "new_password", json!({"new_password": "another battery"})).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(app.log_in("jane", "another battery").await.status, 200);
    assert_eq!(app.log_in("jane", PASSWORD).await.status, 400);
}

async fn a_password_that_was_used_before_is_refused_wherever_the_user_chooses_one(database: Database) {
    let post = Post::default();
    let mailer = with_mail(&post);
    let app = database.app_with(|b| mailer(b).settings(|s| s.password_history = 2)).await;
    let mut token = app.register("jane").await;
    verified(&app, 1).await;
    let mut now = PASSWORD;
    let change = async |token: &str, now: &str, new: &str| {
        let body = json!({"current_password": now, "new_password": new});
        app.call("POST", "/password/change", Some(token), Some(body)).await
    };
    for new in ["a second battery", "a third battery"] {
        assert_eq!(change(&token, now, new).await.status, 204);
        now = new;
    }
    let reused = json!({"new_password": ["This password was used before."]});
    for used in [PASSWORD, "a second battery", now] {
        change(&token, now, used).await.is(400, reused.clone());
    }
    let wrong = change(&token, "a wrong battery", PASSWORD).await.json();
    assert!(
        wrong.get("new_password").is_none(),
        "only who knows the password learns of earlier ones: {wrong}"
    );

    ask(&app, "/password/reset", "jane@example.com").await;
    let key = post.first(&app, MailKind::ResetPassword).await.key();
    let reset =
        async |new: &str| app.post("/password/reset/confirm", json!({"key": key, "new_password": new})).await;
    reset("a second battery").await.is(400, reused.clone());
    assert_eq!(reset("a fourth battery").await.status, 204, "the link is still good");

    let must = UserChange { must_change_password: Some(true), ..UserChange::default() };
    app.auth.users().update(UserId(1), must).await.unwrap();
    let login = next(&app.log_in("jane", "a fourth battery").await, 401, "change_password");
    let choose = async |new: &str| step(&app, &login, "new_password", json!({"new_password": new})).await;
    for used in ["a fourth battery", "a third battery", "a second battery"] {
        choose(used).await.is(400, reused.clone());
    }
    // Two are remembered, and the first is a third.
    let answer = choose(PASSWORD).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    token = answer.token();
    // What an operator sets counts as well.
    app.auth.users().set_password(UserId(1), Some("a fifth battery")).await.unwrap();
    assert_eq!(app.get("/me", &token).await.status, 401);
    token = app.log_in("jane", "a fifth battery").await.token();
    change(&token, "a fifth battery", PASSWORD).await.is(400, reused);
}

async fn the_language_of_a_mail_is_that_of_the_account(database: Database) {
    let (app, post) = jane(&database).await;
    let ask = async |email: &str| {
        let body = json!({"email": email}).to_string();
        let request = Request::builder().method(Method::POST).uri("/password/reset");
        let request =
            request.header(CONTENT_TYPE, "application/json").header(ACCEPT_LANGUAGE, "de-DE,de;q=0.9");
        assert_eq!(app.send(request.body(body.into()).unwrap()).await.status, 202);
    };
    ask("jane@example.com").await;
    assert_eq!(post.one(&app, MailKind::ResetPassword).await.0.locale, Locale::English);
    let change = UserChange { locale: Some(Locale::German), ..UserChange::default() };
    app.auth.users().update(UserId(1), change).await.unwrap();
    self::ask(&app, "/password/reset", "jane@example.com").await;
    assert_eq!(post.one(&app, MailKind::ResetPassword).await.0.locale, Locale::German);
}

async fn the_configuration_says_what_a_front_end_needs(database: Database) {
    let (app, _) = verifying(&database).await;
    app.call("GET", "/config", None, None).await.is(
        200,
        json!({
            "registration": "verified",
            "limited_domains": false,
            "proof_of_work": "altcha",
            "login": ["password", "email"],
            "factors": ["totp", "recovery_codes"],
            "password": {"min_length": 8, "max_length": 128},
            "email_verification": "off",
        }),
    );
}
