//! Mails that tell a user of a change.

use crate::app::{Database, PASSWORD};
use crate::post::Post;
use doorwarden::core::mail::MailKind;
use serde_json::json;

on_both! {
    notices_can_be_left_out_by_the_operator
    a_user_is_told_of_a_password_that_somebody_else_has_set
}

async fn notices_can_be_left_out_by_the_operator(database: Database) {
    let post = Post::default();
    let mailer = post.clone();
    let app = database
        .app_with(|b| {
            b.mailer(mailer).settings(|settings| settings.mail.leave_out = vec![MailKind::PasswordChanged])
        })
        .await;
    let token = app.register("jane").await;
    let change = async |token: &str, from: &str, to: &str| {
        let body = json!({"current_password": from, "new_password": to});
        let answer = app.call("POST", "/password/change", Some(token), Some(body)).await;
        assert!(answer.status.is_success(), "{answer:?}");
    };
    change(&token, PASSWORD, "another battery horse").await;
    app.post("/password/reset", json!({"email": "jane@example.com"})).await;
    post.one(&app, MailKind::ResetPassword).await;
    app.auth.close().await;
    let mailer = post.clone();
    let app = database.app_with(|b| b.mailer(mailer)).await;
    let token = app.log_in("jane", "another battery horse").await.token();
    let body = json!({"current_password": "another battery horse", "new_password": PASSWORD});
    app.call("POST", "/password/change", Some(&token), Some(body)).await;
    post.one(&app, MailKind::PasswordChanged).await;
}

async fn a_user_is_told_of_a_password_that_somebody_else_has_set(database: Database) {
    let post = Post::default();
    let app = database.app_with(|b| b.mailer(post.clone())).await;
    app.register("jane").await;
    let jane = app.auth.users().get_by_email("jane@example.com").await.unwrap().unwrap();
    app.auth.users().set_password(jane.id, Some("another battery horse")).await.unwrap();
    assert_eq!(post.one(&app, MailKind::PasswordChanged).await.0.to, "jane@example.com");
    app.auth.users().set_password(jane.id, None).await.unwrap();
    post.one(&app, MailKind::PasswordChanged).await;
}
