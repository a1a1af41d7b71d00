//! Registration where an address must be proved, or where not everybody may register.

use crate::app::{Answer, App, Database, NOON, PASSWORD};
use crate::email_changes::change;
use crate::life::{next, with_mail};
use crate::post::Post;
use doorwarden::core::mail::MailKind;
use doorwarden::core::settings::{EmailVerification, RegistrationMode};
use doorwarden::{NewAccount, UserId};
use serde_json::{Value, json};

on_both! {
    a_verified_registration_creates_the_account_with_the_code_or_the_link
    a_verified_registration_answers_alike_and_tells_the_owner
    the_link_of_somebody_elses_registration_does_not_keep_their_password
    a_required_proof_comes_before_the_first_token
    a_proof_that_is_asked_for_may_be_left_undone_and_keeps_the_password_of_whoever_knows_it
    closed_registration_is_closed
    only_addresses_of_allowed_domains_are_registered_and_moved_to
}

pub(crate) async fn verifying(database: &Database) -> (App, Post) {
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
