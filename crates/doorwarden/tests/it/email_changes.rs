//! Changes of the email address: proved, told to the former address, and taken back.

use crate::app::{Answer, App, Database, PASSWORD};
use crate::life::{ask, jane};
use doorwarden::UserId;
use doorwarden::core::mail::MailKind;
use serde_json::json;
use std::time::Duration;

on_both! {
    another_address_is_taken_after_it_is_proved_and_the_old_one_is_told
    an_address_that_another_account_has_is_not_told
    a_second_change_of_the_address_ends_the_first
    a_change_of_the_address_can_be_taken_back
    a_change_of_the_address_needs_a_recent_authentication
}

pub(crate) async fn change(app: &App, token: &str, email: &str) -> Answer {
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
