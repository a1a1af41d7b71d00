//! The life of an account: what is asked of people by mail, and the ways in that need more than one step.

use crate::app::{Answer, App, Database, NOON, PASSWORD};
use crate::post::Post;
use doorwarden::core::audit::Effects;
use doorwarden::core::authentication::{Amr, AuthContext};
use doorwarden::core::mail::{Locale, MailKind};
use doorwarden::core::settings::{EmailVerification, RegistrationMode};
use doorwarden::core::user::UserChange;
use doorwarden::{Actor, Builder, NewAccount, UserId};
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
    a_verified_registration_creates_the_account_with_the_code_or_the_link
    a_verified_registration_answers_alike_and_tells_the_owner
    the_link_of_somebody_elses_registration_does_not_keep_their_password
    a_required_proof_comes_before_the_first_token
    a_password_that_must_be_changed_is_changed_before_the_token
    a_password_that_was_used_before_is_refused_wherever_the_user_chooses_one
    an_account_that_is_to_be_deleted_can_only_be_kept
    an_account_is_kept_once_however_often_that_is_said_at_the_same_time
    another_address_is_taken_after_it_is_proved_and_the_old_one_is_told
    an_address_that_another_account_has_is_not_told
    a_second_change_of_the_address_ends_the_first
    a_change_of_the_address_can_be_taken_back
    a_change_of_the_address_needs_a_recent_authentication
    an_authentication_is_recent_for_five_minutes_and_no_refresh_moves_it
    a_user_confirms_by_mail_that_it_is_them
    a_route_of_the_application_can_need_a_recent_authentication
    a_route_of_the_application_can_need_an_assurance_level
    a_proof_that_is_asked_for_may_be_left_undone_and_keeps_the_password_of_whoever_knows_it
    an_account_is_deleted_after_its_grace_and_leaves_no_address
    an_export_has_everything_but_secrets_and_needs_a_recent_authentication
    who_called_is_forgotten_after_a_while_and_what_happened_is_not
    closed_registration_is_closed
    only_addresses_of_allowed_domains_are_registered_and_moved_to
    the_language_of_a_mail_is_that_of_the_account
    the_configuration_says_what_a_front_end_needs
}

fn with_mail(post: &Post) -> impl FnOnce(Builder) -> Builder + use<> {
    let post = post.clone();
    |builder| builder.mailer(post)
}

async fn verified(app: &App, user: i64) {
    let change = UserChange { email_verified_at: Some(NOON), ..UserChange::default() };
    app.auth.users().update(UserId(user), change).await.unwrap();
}

/// The login token of an answer that says what to do next, which is this.
fn next(answer: &Answer, status: u16, flow: &str) -> String {
    assert_eq!(answer.status, status, "{answer:?}");
    let body = answer.json();
    assert_eq!(body["flows"][0]["id"], flow, "{body}");
    assert!(body.get("token").is_none() && body.get("access").is_none(), "{body}");
    body["login_token"].as_str().unwrap().to_owned()
}

async fn ask(app: &App, path: &str, email: &str) -> String {
    next(&app.post(path, json!({"email": email})).await, 202, "email_code")
}

async fn step(app: &App, token: &str, method: &str, more: Value) -> Answer {
    let mut body = json!({"login_token": token, "method": method});
    body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    app.post("/login/verify", body).await
}

/// An application with mail, and a user `jane` whose address is proved.
async fn jane(database: &Database) -> (App, Post) {
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

async fn verifying(database: &Database) -> (App, Post) {
    let post = Post::default();
    let mailer = with_mail(&post);
    let app = database
        .app_with(|b| mailer(b).settings(|settings| settings.registration.mode = RegistrationMode::Verified));
    (app.await, post)
}

async fn a_verified_registration_creates_the_account_with_the_code_or_the_link(database: Database) {
    let (app, post) = verifying(&database).await;
    for (name, by_code) in [("jane", true), ("john", false)] {
        let token = next(&app.try_register(name).await, 202, "verify_email");
        assert_eq!(app.log_in(name, PASSWORD).await.status, 400, "there is no account yet");
        assert!(app.auth.users().get_by_email(&format!("{name}@example.com")).await.unwrap().is_none());
        let letter = post.one(&app, MailKind::VerifyEmail).await;
        let body = match by_code {
            true => json!({"login_token": token, "code": letter.code()}),
            false => json!({"login_token": token, "key": letter.key()}),
        };
        let answer = app.post("/registration/verify-email", body.clone()).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        assert_eq!(app.get("/me", &answer.token()).await.json()["username"], name);
        assert_eq!(app.log_in(name, PASSWORD).await.status, 200);
        let user = app.auth.users().get_by_email(&format!("{name}@example.com")).await.unwrap().unwrap();
        assert_eq!(user.email_verified_at, Some(NOON));
        assert!([400, 401].contains(&app.post("/registration/verify-email", body).await.status.as_u16()));
    }
}

async fn a_verified_registration_answers_alike_and_tells_the_owner(database: Database) {
    let (app, post) = verifying(&database).await;
    let first = app.try_register("jane").await;
    let token = next(&first, 202, "verify_email");
    let code = post.one(&app, MailKind::VerifyEmail).await.code();
    app.post("/registration/verify-email", json!({"login_token": token, "code": code})).await;

    let again = json!({"email": "jane@example.com", "username": "janet", "password": PASSWORD});
    let known = app.post("/registration", again).await;
    let lengths = |answer: &Answer| (answer.status, answer.body.len(), answer.headers.len());
    assert_eq!(lengths(&known), lengths(&first));
    let letter = post.one(&app, MailKind::AccountExists).await.0;
    assert_eq!(
        (letter.to.as_str(), &letter.content.link, &letter.content.code),
        ("jane@example.com", &None, &None)
    );
    let token = next(&known, 202, "verify_email");
    let guess =
        app.post("/registration/verify-email", json!({"login_token": token, "code": "BBBB-BBBB"})).await;
    assert_eq!(guess.json()["attempts_left"], 3, "the code of before counts, too");
    let taken = app
        .post("/registration", json!({"email": "x@example.com", "username": "janet", "password": PASSWORD}));
    assert_eq!(
        taken.await.json()["username"],
        json!(["user with this username already exists."]),
        "reserved"
    );
    let weak =
        app.post("/registration", json!({"email": "jane@example.com", "username": "jo", "password": "jo"}));
    assert_eq!(weak.await.status, 400, "what does not depend on the address is said");
}

async fn the_link_of_somebody_elses_registration_does_not_keep_their_password(database: Database) {
    let (app, post) = verifying(&database).await;
    app.try_register("jane").await;
    let key = post.one(&app, MailKind::VerifyEmail).await.key();
    let verify = async |more: Value| {
        let mut body = json!({"key": key});
        body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        app.post("/registration/verify-email", body).await
    };
    verify(json!({})).await.is(400, json!({"password": ["This field is required."]}));
    assert_eq!(verify(json!({"password": "jane"})).await.status, 400);
    let answer = verify(json!({"password": "a battery of her own"})).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(app.log_in("jane", PASSWORD).await.status, 400);
    assert_eq!(app.log_in("jane", "a battery of her own").await.status, 200);
}

async fn a_required_proof_comes_before_the_first_token(database: Database) {
    let post = Post::default();
    let mailer = with_mail(&post);
    let app = database
        .app_with(|b| mailer(b).settings(|s| s.mail.verification = EmailVerification::Required))
        .await;
    let token = next(&app.try_register("jane").await, 401, "verify_email");
    let letter = post.one(&app, MailKind::VerifyEmail).await;
    for _ in 0..2 {
        next(&app.log_in("jane", PASSWORD).await, 401, "verify_email");
        post.one(&app, MailKind::VerifyEmail).await;
        let body = json!({"email": "jane@example.com", "password": PASSWORD});
        next(&app.post("/token", body).await, 401, "verify_email");
        post.one(&app, MailKind::VerifyEmail).await;
    }
    let body = json!({"login_token": token, "code": letter.code()});
    let answer = app.post("/registration/verify-email", body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(app.log_in("jane", PASSWORD).await.status, 200);
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

async fn an_account_that_is_to_be_deleted_can_only_be_kept(database: Database) {
    let (app, _) = jane(&database).await;
    let at = NOON.after(Duration::from_hours(24));
    let change = UserChange { deletion_at: Some(Some(at)), ..UserChange::default() };
    app.auth.users().update(UserId(1), change).await.unwrap();
    let token = next(&app.log_in("jane", PASSWORD).await, 401, "cancel_deletion");
    let wrong = step(&app, &token, "new_password", json!({"new_password": "another battery"})).await;
    assert_eq!(wrong.json()["code"], "login_expired", "a step that was not asked for");
    let answer = step(&app, &token, "cancel_deletion", json!({})).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(app.log_in("jane", PASSWORD).await.status, 200);
}

async fn an_account_is_kept_once_however_often_that_is_said_at_the_same_time(database: Database) {
    let (app, _) = jane(&database).await;
    let at = NOON.after(Duration::from_hours(24));
    let change = UserChange { deletion_at: Some(Some(at)), ..UserChange::default() };
    app.auth.users().update(UserId(1), change).await.unwrap();
    let token = next(&app.log_in("jane", PASSWORD).await, 401, "cancel_deletion");
    let calls = (0..32).map(|_| step(&app, &token, "cancel_deletion", json!({})));
    let answers = futures_util::future::join_all(calls).await;
    let (kept, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!(kept.len(), 1);
    for answer in refused {
        assert_eq!(answer.json()["code"], "login_expired");
    }
    let events = app.auth.context().store.events_of(UserId(1), None, 1000).await.unwrap();
    let by_jane = events.iter().filter(|event| event.actor == Actor::User(UserId(1)));
    let kinds: Vec<_> = by_jane.map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["session_opened", "user_updated", "logged_in"], "it was kept once");
}

async fn who_called_is_forgotten_after_a_while_and_what_happened_is_not(database: Database) {
    let (day, run) = (Duration::from_hours(24), doorwarden::core::tasks::run_once);
    let app = database.app_with(|b| b.settings(|s| s.retention.client_information = Some(30 * day))).await;
    let body = json!({"email": "jane@example.com", "username": "jane", "password": PASSWORD});
    let call = async |path: &str, body: &Value| {
        let request = Request::builder().method(Method::POST).uri(path);
        let request = request.header(CONTENT_TYPE, "application/json").header("user-agent", "Phone/1");
        app.send(request.body(body.to_string().into()).unwrap()).await
    };
    let token = call("/registration", &body).await.token();
    app.call("POST", "/logout", Some(&token), None).await;
    let agents = async || {
        let events = app.auth.context().store.events_of(UserId(1), None, 100).await.unwrap();
        events.into_iter().map(|event| (event.kind, event.client.user_agent.is_some())).collect::<Vec<_>>()
    };
    app.clock.advance(30 * day);
    run(app.auth.context()).await;
    let before = agents().await;
    assert!(before.iter().any(|(kind, is_known)| kind == "session_opened" && *is_known), "{before:?}");
    call("/login", &body).await;
    app.clock.advance(Duration::from_secs(1));
    run(app.auth.context()).await;
    let after = agents().await;
    let kinds = |events: &[(String, bool)]| events.iter().map(|(kind, _)| kind.clone()).collect::<Vec<_>>();
    assert_eq!(kinds(&after), [kinds(&before), vec!["logged_in".to_owned()]].concat());
    let known: Vec<_> =
        after.iter().filter(|(_, is_known)| *is_known).map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(known, ["logged_in"]);
    let sessions = app.auth.context().store.every_session_of(UserId(1), None, 100).await.unwrap();
    assert_eq!(sessions.len(), 1, "the row of the session that ended is gone, with its client");
}

async fn closed_registration_is_closed(database: Database) {
    for mode in [RegistrationMode::Closed, RegistrationMode::Invitation] {
        let app = database.app_with(|b| b.settings(|s| s.registration.mode = mode)).await;
        let answer = app.try_register("jane").await;
        assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (403, &json!("registration_closed")));
    }
}

async fn only_addresses_of_allowed_domains_are_registered_and_moved_to(database: Database) {
    let refused = json!({"email": ["Email addresses of this domain are not allowed."]});
    let domains = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect::<Vec<_>>();
    let post = Post::default();
    let app = async |mode, subdomains| {
        let mailer = with_mail(&post);
        let app = database.app_with(|b| {
            mailer(b).settings(|s| {
                s.registration.mode = mode;
                s.registration.domains = domains(&["Bücher.example", "example.com"]);
                s.registration.denied_domains = domains(&["evil.example.com", "xn--bser-5qa.example.com"]);
                s.registration.subdomains = subdomains;
            })
        });
        app.await
    };
    let register = async |app: &App, name: &str, email: &str| {
        let body = json!({"email": email, "username": name, "password": PASSWORD});
        app.post("/registration", body).await
    };

    let open = app(RegistrationMode::Open, false).await;
    assert_eq!(open.call("GET", "/config", None, None).await.json()["limited_domains"], true);
    for (name, email, status) in [
        ("jane", "jane@example.com", 201),
        ("john", "john@EXAMPLE.com", 201),
        ("ada", "ada@BÜCHER.example", 201),
        ("bob", "bob@xn--bcher-kva.example", 201),
        ("eve", "eve@shop.example.com", 400),
        ("eve", "eve@example.org", 400),
        ("eve", "eve@notexample.com", 400),
    ] {
        let answer = register(&open, name, email).await;
        assert_eq!(answer.status, status, "{email} {answer:?}");
        if status == 400 {
            answer.is(400, refused.clone());
        }
    }
    // An operator may create any account, and the answer is the same as without one.
    let (username, email) = ("max".to_owned(), "max@example.org".to_owned());
    open.auth.users().create(NewAccount { username, email, ..NewAccount::default() }).await.unwrap();
    for mode in [RegistrationMode::Open, RegistrationMode::Verified] {
        let app = app(mode, false).await;
        register(&app, "other", "max@example.org").await.is(400, refused.clone());
        register(&app, "other", "nobody@example.org").await.is(400, refused.clone());
    }

    let below = app(RegistrationMode::Verified, true).await;
    for (email, status) in [
        ("a@shop.example.com", 202),
        ("b@very.deep.bücher.example", 202),
        ("c@evil.example.com", 400),
        ("d@more.evil.example.com", 400),
        ("e@böser.example.com", 400),
        ("f@notevil.example.com", 202),
    ] {
        let answer = register(&below, &email[..1], email).await;
        assert_eq!(answer.status, status, "{email} {answer:?}");
    }

    let token = open.log_in("jane", PASSWORD).await.token();
    change(&open, &token, "max@example.org").await.is(400, refused.clone());
    change(&open, &token, "jane@example.org").await.is(400, refused);
    assert_eq!(change(&open, &token, "jane@bücher.example").await.status, 202);

    // Whoever invites decides.
    let invited = app(RegistrationMode::Invitation, false).await;
    invited.auth.users().invite("guest@example.org").await.unwrap();
    let key = post.first(&invited, MailKind::Invitation).await.key();
    let body = json!({"key": key, "username": "guest", "password": PASSWORD});
    assert_eq!(invited.post("/invitations/accept", body).await.status, 201);
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

async fn change(app: &App, token: &str, email: &str) -> Answer {
    app.call("POST", "/email/change", Some(token), Some(json!({"email": email}))).await
}

async fn another_address_is_taken_after_it_is_proved_and_the_old_one_is_told(database: Database) {
    let (app, post) = jane(&database).await;
    for (old, new, by_code) in
        [("jane@example.com", "j@example.org", true), ("j@example.org", "x@example.net", false)]
    {
        app.clock.advance(Duration::from_secs(1));
        let login = app.post("/login", json!({"email": old, "password": PASSWORD})).await;
        let token = login.token();
        let asked = change(&app, &token, new).await;
        asked.is(202, json!({"pending": {"email": new, "expires_in": 86_400}}));
        app.get("/email/change", &token).await.is(200, asked.json());
        let mut mails = post.all(&app, 2).await;
        mails.sort_by_key(|letter| letter.0.to != new);
        let [confirm, told] = &mails[..] else { panic!("{}", mails.len()) };
        assert_eq!((confirm.0.kind, confirm.0.to.as_str()), (MailKind::EmailChange, new));
        assert_eq!((told.0.kind, told.0.to.as_str()), (MailKind::EmailChangeRequested, old));
        assert_eq!((&told.0.content.link, told.0.content.other_email.as_deref()), (&None, Some(new)));
        assert_eq!(app.get("/me", &token).await.json()["email"], old, "the old one works until then");
        let answer = match by_code {
            true => {
                let body = json!({"code": confirm.code()});
                app.call("POST", "/email/change/confirm", Some(&token), Some(body)).await
            }
            false => app.post("/email/change/confirm", json!({"key": confirm.key()})).await,
        };
        answer.is(200, json!({"email": new}));
        let user = app.auth.users().get(UserId(1)).await.unwrap().unwrap();
        assert_eq!((user.email.as_str(), user.email_verified_at), (new, Some(app.auth.context().now())));
        let told = post.one(&app, MailKind::EmailChanged).await;
        assert_eq!((told.0.to.as_str(), told.0.content.link.is_some()), (old, true));
        app.get("/email/change", &token).await.is(200, json!({"pending": null}));
        let again = app.post("/email/change/confirm", json!({"key": confirm.key()})).await;
        assert_eq!(again.json()["code"], "link_invalid");
    }
}

async fn an_address_that_another_account_has_is_not_told(database: Database) {
    let (app, post) = jane(&database).await;
    app.register("john").await;
    let token = app.log_in("jane", PASSWORD).await.token();
    let asked = change(&app, &token, "john@example.com").await;
    asked.is(202, json!({"pending": {"email": "john@example.com", "expires_in": 86_400}}));
    post.one(&app, MailKind::EmailChangeRequested).await;
    assert_eq!(change(&app, &token, "jane@example.com").await.status, 400, "the present one");
    assert_eq!(change(&app, &token, "no address").await.status, 400);
}

async fn a_second_change_of_the_address_ends_the_first(database: Database) {
    let (app, post) = jane(&database).await;
    let token = app.log_in("jane", PASSWORD).await.token();
    let mut keys = Vec::new();
    for new in ["first@example.com", "second@example.com"] {
        change(&app, &token, new).await;
        let mails = post.all(&app, 2).await;
        keys.push(mails.iter().find(|letter| letter.0.to == new).unwrap().key());
    }
    let first = app.post("/email/change/confirm", json!({"key": keys[0]})).await;
    assert_eq!(first.json()["code"], "link_invalid");
    app.post("/email/change/confirm", json!({"key": keys[1]}))
        .await
        .is(200, json!({"email": "second@example.com"}));

    let login =
        app.post("/login", json!({"email": "second@example.com", "password": PASSWORD})).await.token();
    change(&app, &login, "third@example.com").await;
    let cancelled = app.call("DELETE", "/email/change", Some(&login), None).await;
    assert_eq!(cancelled.status, 204);
    assert_eq!(app.call("DELETE", "/email/change", Some(&login), None).await.status, 404);
}

async fn a_change_of_the_address_can_be_taken_back(database: Database) {
    let (app, post) = jane(&database).await;
    let token = app.log_in("jane", PASSWORD).await.token();
    change(&app, &token, "thief@example.org").await;
    let mails = post.all(&app, 2).await;
    let key = mails.iter().find(|letter| letter.0.kind == MailKind::EmailChange).unwrap().key();
    app.post("/email/change/confirm", json!({"key": key})).await;
    let revert = post.one(&app, MailKind::EmailChanged).await.key();
    // The thief changes the password, too, and moves on.
    let body = json!({"current_password": PASSWORD, "new_password": "a battery of a thief"});
    assert_eq!(app.call("POST", "/password/change", Some(&token), Some(body)).await.status, 204);
    app.clock.advance(Duration::from_hours(71));
    app.post("/links/inspect", json!({"key": revert}))
        .await
        .is(200, json!({"purpose": "email_revert", "email": "j•••@example.com", "expires_in": 3600}));
    let back = app.post("/email/change/revert", json!({"key": revert})).await;
    back.is(200, json!({"email": "jane@example.com"}));
    assert_eq!(app.get("/me", &token).await.status, 401);
    for password in [PASSWORD, "a battery of a thief"] {
        assert_eq!(app.log_in("jane", password).await.status, 400);
    }
    assert_eq!(app.post("/email/change/revert", json!({"key": revert})).await.json()["code"], "link_invalid");
    ask(&app, "/password/reset", "jane@example.com").await;
    let key = post.first(&app, MailKind::ResetPassword).await.key();
    let reset =
        app.post("/password/reset/confirm", json!({"key": key, "new_password": "a battery of my own"})).await;
    assert_eq!(reset.status, 204);
}

async fn a_change_of_the_address_needs_a_recent_authentication(database: Database) {
    let (app, _) = jane(&database).await;
    let token = app.log_in("jane", PASSWORD).await.token();
    app.clock.advance(Duration::from_secs(301));
    let refused = change(&app, &token, "new@example.com").await;
    refused.is(
        401,
        json!({
            "detail": "Confirm that it is you.", "code": "reauthentication_required", "max_age": 300,
            "flows": [{"id": "reauthenticate", "is_pending": false}],
        }),
    );
    let challenge = "Bearer realm=\"api\", error=\"insufficient_user_authentication\", max_age=\"300\"";
    assert_eq!(refused.header("www-authenticate"), challenge);
}

async fn confirm(app: &App, token: &str, body: Value) -> Answer {
    app.call("POST", "/reauthenticate", Some(token), Some(body)).await
}

async fn an_authentication_is_recent_for_five_minutes_and_no_refresh_moves_it(database: Database) {
    let (app, _) = jane(&database).await;
    let pair = app.post("/token", json!({"email": "jane@example.com", "password": PASSWORD})).await.json();
    app.clock.advance(Duration::from_secs(299));
    let pair = app.post("/token/refresh", json!({"refresh": pair["refresh"]})).await.json();
    let access = pair["access"].as_str().unwrap();
    assert_eq!(change(&app, access, "a@example.com").await.status, 202);
    app.clock.advance(Duration::from_secs(2));
    assert_eq!(change(&app, access, "b@example.com").await.status, 401);
    confirm(&app, access, json!({"password": "wrong"}))
        .await
        .is(400, json!({"password": ["The password was entered incorrectly. Please enter it again."]}));
    assert_eq!(change(&app, access, "b@example.com").await.status, 401);
    let at = app.auth.context().now().as_seconds();
    confirm(&app, access, json!({"password": PASSWORD}))
        .await
        .is(200, json!({"auth_time": at, "acr": "1", "amr": ["pwd"], "expires_in": 300}));
    assert_eq!(change(&app, access, "b@example.com").await.status, 202);
}

async fn a_user_confirms_by_mail_that_it_is_them(database: Database) {
    let (app, post) = jane(&database).await;
    let token = app.log_in("jane", PASSWORD).await.token();
    app.clock.advance(Duration::from_secs(301));
    let login_token = next(&confirm(&app, &token, json!({})).await, 401, "email_code");
    post.one(&app, MailKind::Reauthenticate).await;
    app.clock.advance(Duration::from_secs(30));
    app.post("/registration/resend-email", json!({"login_token": login_token})).await;
    let letter = post.one(&app, MailKind::Reauthenticate).await;
    let elsewhere = app.post("/login/link", json!({"key": letter.key()})).await;
    assert_eq!(elsewhere.json()["code"], "link_invalid", "it logs nobody in");
    let answer = step(&app, &login_token, "email_code", json!({"code": letter.code()})).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["amr"]), (200, &json!(["email"])));
    assert!(answer.json().get("token").is_none());
    assert_eq!(change(&app, &token, "new@example.com").await.status, 202);

    app.register("john").await;
    let john = app.log_in("john", PASSWORD).await.token();
    let unproved = confirm(&app, &john, json!({})).await;
    assert_eq!(
        unproved.json()["code"],
        "mail_not_configured",
        "a mail to an address that is not proved proves nothing"
    );
}

async fn a_route_of_the_application_can_need_a_recent_authentication(database: Database) {
    use axum::Router;
    use axum::routing::post;
    let routes = |auth: &doorwarden::Doorwarden| {
        let pay = post(async || "paid").route_layer(auth.require_recent(Duration::from_mins(1)));
        Router::new().route("/pay", pay).merge(auth.router())
    };
    let app = database.app_around(|builder| builder, routes).await;
    let token = app.register("jane").await;
    let pay = async |token: Option<&str>| app.call("POST", "/pay", token, None).await;
    assert_eq!(pay(None).await.json()["detail"], "Authentication credentials were not provided.");
    app.clock.advance(Duration::from_mins(1));
    assert_eq!(pay(Some(&token)).await.status, 200);
    app.clock.advance(Duration::from_secs(1));
    let refused = pay(Some(&token)).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["max_age"]), (401, &json!(60)));
    let issued = app.auth.tokens().issue(UserId(1)).await.unwrap().token;
    assert_eq!(pay(Some(&issued)).await.status, 401, "nobody was authenticated");
    confirm(&app, &token, json!({"password": PASSWORD})).await;
    assert_eq!(pay(Some(&token)).await.status, 200);
}

async fn a_route_of_the_application_can_need_an_assurance_level(database: Database) {
    use axum::Router;
    use axum::routing::get;
    let routes = |auth: &doorwarden::Doorwarden| {
        let level = |level| {
            get(async |user: doorwarden::CurrentUser| format!("{:?}", user.acr()))
                .route_layer(auth.require_acr(level))
        };
        Router::new().route("/first", level(1)).route("/second", level(2)).merge(auth.router())
    };
    let app = database.app_around(|builder| builder, routes).await;
    app.register("jane").await;
    assert_eq!(app.call("GET", "/second", None, None).await.status, 401);
    let pair = app.post("/token", json!({"email": "jane@example.com", "password": PASSWORD})).await.json();
    let issued = app.auth.tokens().issue(UserId(1)).await.unwrap().token;
    let session = app.log_in("jane", PASSWORD).await.token();
    let access = pair["access"].as_str().unwrap();
    let refused = async |path: &str, token: &str, level: &str| {
        let answer = app.get(path, token).await;
        assert_eq!(answer.status, 401, "{path}");
        assert_eq!(
            answer.header("www-authenticate"),
            format!(
                "Bearer realm=\"api\", error=\"insufficient_user_authentication\", acr_values=\"{level}\""
            )
        );
        answer.json()
    };
    for token in [access, session.as_str()] {
        assert_eq!(app.get("/first", token).await.status, 200);
        let body = refused("/second", token, "2").await;
        assert_eq!(body["code"], "insufficient_user_authentication");
        assert!(body.get("flows").is_none(), "no password helps: {body}");
    }
    assert_eq!(app.get("/first", access).await.body, b"Some(\"1\")");

    // A session that an operator opened was never authenticated.
    let body = refused("/first", &issued, "1").await;
    assert_eq!(body["flows"][0]["id"], "reauthenticate");
    assert_eq!(confirm(&app, &issued, json!({"password": PASSWORD})).await.status, 200);
    assert_eq!(app.get("/first", &issued).await.status, 200);

    // The level of the session counts, which may be higher than that of its token.
    let store = &app.auth.context().store;
    let auth = AuthContext { methods: Amr::PASSWORD, assurance_level: 2, auth_time: NOON };
    for of in store.every_session_of(UserId(1), None, 100).await.unwrap() {
        let nothing = Effects::new(NOON, &Actor::System.into(), []);
        assert!(store.authenticate_session(of.id, UserId(1), auth, None, nothing).await.unwrap());
    }
    for token in [access, session.as_str()] {
        assert_eq!(app.get("/second", token).await.status, 200);
    }
    let ended = app.call("POST", "/logout", Some(&session), None).await;
    assert_eq!((ended.status.as_u16(), app.get("/second", &session).await.status.as_u16()), (204, 401));
}

async fn a_proof_that_is_asked_for_may_be_left_undone_and_keeps_the_password_of_whoever_knows_it(
    database: Database,
) {
    let post = Post::default();
    let mailer = with_mail(&post);
    let app =
        database.app_with(|b| mailer(b).settings(|s| s.mail.verification = EmailVerification::Asked)).await;
    let session = app.register("jane").await;
    assert_eq!(app.log_in("jane", PASSWORD).await.status, 200, "it may be left undone");
    let key = post.one(&app, MailKind::VerifyEmail).await.key();
    let verify = async |more: Value| {
        let mut body = json!({"key": key});
        body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        app.post("/registration/verify-email", body).await
    };
    let wrong = verify(json!({"password": "not the password"})).await;
    assert_eq!((wrong.status.as_u16(), wrong.json()["password"].is_array()), (400, true));
    let answer = verify(json!({"password": PASSWORD})).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(app.get("/me", &session).await.status, 200, "nothing ended");
    assert_eq!(app.log_in("jane", PASSWORD).await.status, 200);
    let user = app.auth.users().get(UserId(1)).await.unwrap().unwrap();
    assert_eq!(user.email_verified_at, Some(NOON));

    app.register("john").await;
    let key = post.one(&app, MailKind::VerifyEmail).await.key();
    next(&app.post("/registration/verify-email", json!({"key": key})).await, 401, "change_password");
}

async fn an_account_is_deleted_after_its_grace_and_leaves_no_address(database: Database) {
    let post = Post::default();
    let mailer = with_mail(&post);
    let app = database
        .app_with(|b| mailer(b).settings(|s| s.deletion_grace = Some(Duration::from_hours(24))))
        .await;
    app.register("jane").await;
    let delete =
        async |token: &str| app.call("DELETE", "/me", Some(token), Some(json!({"password": PASSWORD}))).await;
    for keeps in [true, false] {
        let token = app.log_in("jane", PASSWORD).await.token();
        let planned = delete(&token).await;
        let at = app.auth.context().now().after(Duration::from_hours(24));
        planned.is(202, json!({"deletion_at": at}));
        assert_eq!(app.get("/me", &token).await.status, 401);
        let letter = post.one(&app, MailKind::DeletionPlanned).await;
        assert_eq!(letter.0.content.expires_at, Some(at));
        if keeps {
            let login = next(&app.log_in("jane", PASSWORD).await, 401, "cancel_deletion");
            assert_eq!(step(&app, &login, "cancel_deletion", json!({})).await.status, 200);
        }
        app.clock.advance(Duration::from_hours(24));
        let run = doorwarden::core::tasks::run_once;
        run(app.auth.context()).await;
        assert_eq!(app.auth.users().get(UserId(1)).await.unwrap().is_some(), keeps);
    }
    // What was asked for the address while there was no account goes with the next one.
    app.register("jane").await;
    ask(&app, "/password/reset", "jane@example.com").await;
    post.one(&app, MailKind::ResetPassword).await;
    app.auth.users().delete(UserId(2)).await.unwrap();
    for (table, column) in [
        ("users", "email"),
        ("users", "username"),
        ("doorwarden_challenges", "email"),
        ("doorwarden_outbox", "recipient"),
        ("doorwarden_audit", "data"),
    ] {
        let found = format!("SELECT 1 FROM {table} WHERE lower({column}) LIKE '%jane%'");
        assert!(!database.has(&found).await, "{table}.{column}");
    }
}

async fn an_export_has_everything_but_secrets_and_needs_a_recent_authentication(database: Database) {
    let (app, post) = jane(&database).await;
    let ended = app.log_in("jane", PASSWORD).await.token();
    app.call("POST", "/logout", Some(&ended), None).await;
    let token = app.log_in("jane", PASSWORD).await.token();
    ask(&app, "/password/reset", "jane@example.com").await;
    let letter = post.one(&app, MailKind::ResetPassword).await;
    let answer = app.get("/me/export", &token).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let export = answer.json();
    assert_eq!(
        (&export["format"], &export["user"]["email"]),
        (&json!("doorwarden-export/1"), &json!("jane@example.com"))
    );
    assert_eq!(export["user"]["password_algorithm"], "argon2");
    let sessions = export["sessions"].as_array().unwrap();
    assert_eq!(sessions.iter().filter(|session| session["end_reason"] == "logged_out").count(), 1);
    assert_eq!(sessions.len(), 3);
    let events: Vec<_> = export["events"].as_array().unwrap().iter().map(|event| &event["event"]).collect();
    assert!(events.contains(&&json!("user_created")) && events.contains(&&json!("logged_in")), "{events:?}");
    assert_eq!(
        (&export["mails"][0]["kind"], &export["pending"][0]["purpose"]),
        (&json!("reset_password"), &json!("reset_password"))
    );
    let text = export.to_string();
    for secret in [letter.key(), letter.code(), "argon2id".to_owned()] {
        assert!(!text.contains(&secret), "{secret}");
    }
    app.clock.advance(Duration::from_secs(301));
    assert_eq!(app.get("/me/export", &token).await.json()["code"], "reauthentication_required");
}

/// Every table that has rows of a user is either in the export, or named here with the reason.
#[test]
fn no_table_with_a_user_is_forgotten_in_the_export() {
    let exported = [
        "users",
        "doorwarden_user_groups",
        "doorwarden_user_permissions",
        "doorwarden_sessions",
        "doorwarden_audit",
        "doorwarden_challenges",
        "doorwarden_outbox",
        "doorwarden_factors",
    ];
    // Bookkeeping: numbers of generations, keys to be made, ids of sessions that the list of sessions had,
    // copies of events of the audit log, and how many wrong passwords somebody has typed.
    let bookkeeping = [
        "doorwarden_deliveries",
        "doorwarden_attempts",
        "doorwarden_session_ends",
        "doorwarden_pending_keys",
        "doorwarden_replaced",
        "doorwarden_deleted_sessions",
    ];
    // The hashes of earlier passwords are as secret as that of the present one.
    let secret = ["doorwarden_earlier_passwords"];
    let mut found = Vec::new();
    for store in ["sqlite", "postgres"] {
        let folder = format!("{}/../doorwarden-{store}/migrations", env!("CARGO_MANIFEST_DIR"));
        for file in std::fs::read_dir(folder).unwrap() {
            let sql = std::fs::read_to_string(file.unwrap().path()).unwrap();
            for table in sql.split("CREATE TABLE ").skip(1) {
                let (name, rest) = table.split_once(" (").unwrap();
                let columns = rest.split_once("\n)").map_or(rest, |(columns, _)| columns);
                if name == "users" || columns.contains("user_id ") {
                    found.push(name.to_owned());
                }
            }
        }
    }
    assert!(found.len() > exported.len(), "{found:?}");
    for table in found {
        let is_known = exported.iter().chain(&bookkeeping).chain(&secret).any(|known| *known == table);
        assert!(is_known, "the table {table} has rows of a user: export it, or say why not");
    }
}
