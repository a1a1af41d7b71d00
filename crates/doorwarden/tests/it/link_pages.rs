//! The built-in page of mailed links, as a browser uses it.

use crate::app::{Answer, App, Database, NOON, PASSWORD};
use crate::phone::{Phone, RECOVERY_CODE, give_totp};
use crate::post::Post;
use axum::body::Body;
use doorwarden::core::limit::{Limit, Quota};
use doorwarden::core::mail::MailKind;
use doorwarden::core::settings::{EmailVerification, FactorPolicy, RegistrationMode};
use doorwarden::core::user::UserChange;
use doorwarden::{Builder, Endpoint, Field, UserId};
use http::header::{ACCEPT_LANGUAGE, CONTENT_TYPE, SET_COOKIE};
use http::{Method, Request};
use serde_json::json;
use std::time::Duration;

on_both! {
    opening_a_link_uses_nothing_up
    the_link_of_a_mail_leads_to_where_the_page_is
    a_password_is_reset_on_the_page
    a_registration_is_confirmed_on_the_page
    an_invitation_is_accepted_on_the_page
    an_invitation_asks_for_the_fields_that_the_application_requires
    an_address_is_confirmed_on_the_page_with_a_new_password
    whoever_knows_the_password_keeps_it_when_the_address_is_confirmed_on_the_page
    a_change_of_the_address_is_confirmed_and_undone_on_the_page
    an_account_that_is_to_be_deleted_is_kept_on_the_page
    a_link_to_log_in_asks_for_the_code_without_the_session_cookie
    a_link_to_log_in_logs_the_browser_in_with_the_session_cookie
    a_reset_on_the_page_asks_for_the_second_factor
    a_link_to_log_in_asks_the_browser_for_the_second_factor
    whoever_must_have_a_factor_is_told_to_set_it_up_elsewhere
    a_link_to_confirm_an_authentication_asks_for_the_code
    a_form_of_another_origin_is_refused
    whoever_forgot_the_password_asks_for_a_mail_and_every_address_is_answered_alike
    too_many_requests_are_told_on_the_page
    what_was_sent_is_shown_as_text
    the_page_speaks_the_language_of_the_browser
    a_link_that_is_not_valid_says_so
}

const NEW: &str = "a battery of her own";

async fn with_mail(database: &Database, change: impl FnOnce(Builder) -> Builder) -> (App, Post) {
    let post = Post::default();
    let mailer = post.clone();
    (database.app_with(|builder| change(builder.mailer(mailer))).await, post)
}

/// An application with mail, and a user `jane` whose address is proved.
async fn jane(database: &Database) -> (App, Post) {
    let (app, post) = with_mail(database, |builder| builder).await;
    register(&app).await;
    (app, post)
}

async fn register(app: &App) {
    app.register("jane").await;
    let change = UserChange { email_verified_at: Some(NOON), ..UserChange::default() };
    app.auth.users().update(UserId(1), change).await.unwrap();
}

async fn visit(app: &App, method: Method, key: &str) -> Answer {
    let request = Request::builder().method(method).uri(format!("/link?key={key}"));
    app.send(request.body(Body::empty()).unwrap()).await
}

/// The text of a page, which is one that a browser may show.
#[track_caller]
fn page(answer: &Answer, status: u16) -> String {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(
        (answer.header("cache-control"), answer.header("referrer-policy")),
        ("no-store", "no-referrer")
    );
    let policy = answer.header("content-security-policy");
    for rule in
        ["default-src 'none';", "style-src 'sha256-", "form-action 'self';", "frame-ancestors 'none';"]
    {
        assert!(policy.contains(rule), "{policy}");
    }
    let html = String::from_utf8(answer.body.clone()).unwrap();
    assert!(!html.contains("<script") && !html.contains("{{"), "{html}");
    html
}

async fn open(app: &App, key: &str, status: u16) -> String {
    page(&visit(app, Method::GET, key).await, status)
}

async fn send(app: &App, fields: &[(&str, &str)], headers: &[(&str, &str)]) -> Answer {
    send_to(app, "/link", fields, headers).await
}

async fn send_to(app: &App, path: &str, fields: &[(&str, &str)], headers: &[(&str, &str)]) -> Answer {
    let encoded = |text: &str| text.bytes().fold(String::new(), |all, byte| all + &format!("%{byte:02X}"));
    let body: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    let mut request = Request::builder().method(Method::POST).uri(path);
    request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    app.send(request.body(body.join("&").into()).unwrap()).await
}

const SAME: &[(&str, &str)] = &[("sec-fetch-site", "same-origin")];

async fn submit(app: &App, fields: &[(&str, &str)], status: u16) -> String {
    page(&send(app, fields, SAME).await, status)
}

/// The value of a hidden field.
fn hidden(html: &str, name: &str) -> String {
    let (_, rest) = html.split_once(&format!(r#"name="{name}" value=""#)).unwrap_or_else(|| panic!("{html}"));
    rest.split_once('"').unwrap().0.to_owned()
}

async fn opening_a_link_uses_nothing_up(database: Database) {
    let (app, post) = jane(&database).await;
    app.post("/password/reset", json!({"email": "jane@example.com"})).await;
    let key = post.one(&app, MailKind::ResetPassword).await.key();
    for _ in 0..50 {
        assert_eq!(hidden(&open(&app, &key, 200).await, "key"), key);
        assert_eq!(visit(&app, Method::HEAD, &key).await.status, 200);
    }
    submit(&app, &[("key", &key), ("new_password", NEW), ("new_password_again", NEW)], 200).await;
    open(&app, &key, 400).await;
}

async fn the_link_of_a_mail_leads_to_where_the_page_is(database: Database) {
    for (issuer, moved, expected) in [
        ("https://app.example.com", None, "/link"),
        ("https://app.example.com/", Some("/mail/link"), "/mail/link"),
        ("https://app.example.com/auth", None, "/auth/link"),
        ("https://app.example.com/auth/", Some("/by-mail/"), "/auth/by-mail/"),
    ] {
        let post = Post::default();
        let mailer = post.clone();
        let build = |builder: Builder| {
            let builder = builder.mailer(mailer).settings(|s| issuer.clone_into(&mut s.access.issuer));
            match moved {
                Some(path) => builder.endpoint_at(Endpoint::Link, path),
                None => builder,
            }
        };
        let prefix = if expected.starts_with("/auth") { "/auth" } else { "" };
        let routes = move |auth: &doorwarden::Doorwarden| match prefix {
            "" => auth.router(),
            prefix => axum::Router::new().nest(prefix, auth.router()),
        };
        let app = database.app_around(build, routes).await;
        if app.auth.users().get(UserId(1)).await.unwrap().is_none() {
            app.auth.users().create_user("jane", "jane@example.com", Some(PASSWORD)).await.unwrap();
        }
        app.post(&format!("{prefix}/password/reset"), json!({"email": "jane@example.com"})).await;
        let letter = post.one(&app, MailKind::ResetPassword).await;
        let link = letter.0.content.link.clone().unwrap();
        assert_eq!(link, format!("https://app.example.com{expected}?key={}", letter.key()));
        let path = link.strip_prefix("https://app.example.com").unwrap();
        let html = page(&app.send(Request::builder().uri(path).body(Body::empty()).unwrap()).await, 200);
        assert!(html.contains("<title>Choose a new password</title>"), "{html}");
        // The form of the page is sent to the page itself, wherever it is.
        assert!(html.contains(r#"<form method="post" action="?">"#), "{html}");
    }
}

async fn a_password_is_reset_on_the_page(database: Database) {
    let (app, post) = jane(&database).await;
    app.post("/password/reset", json!({"email": "jane@example.com"})).await;
    let key = post.one(&app, MailKind::ResetPassword).await.key();
    assert!(open(&app, &key, 200).await.contains("<title>Choose a new password</title>"));
    for (first, second, field, why) in [
        ("jane", "jane", "new_password", "Ensure this field has at least 8 characters."),
        ("", "", "new_password", "This field may not be blank."),
        (NEW, PASSWORD, "new_password_again", "The two password fields didn&#39;t match."),
        (NEW, "", "new_password_again", "The two password fields didn&#39;t match."),
    ] {
        let html =
            submit(&app, &[("key", &key), ("new_password", first), ("new_password_again", second)], 400)
                .await;
        let error = format!(r#"<p class="error" role="alert" id="{field}-error">"#);
        let (_, said) = html.split_once(&error).unwrap_or_else(|| panic!("{html}"));
        assert!(said.split("</p>").next().unwrap().contains(why), "{html}");
        assert!(html.contains("<title>Error: Choose a new password</title>"), "{html}");
        assert_eq!(html.matches(r#" aria-invalid="true" autofocus>"#).count(), 1, "{html}");
        assert!(html.contains(&format!(r#"{field}-error" aria-invalid"#)), "{html}");
        assert!(!html.contains(NEW) && !html.contains(PASSWORD), "a password is never sent back");
    }
    let html = submit(&app, &[("key", &key), ("new_password", NEW), ("new_password_again", NEW)], 200).await;
    assert!(html.contains("The password was changed"), "{html}");
    assert_eq!(app.log_in("jane", NEW).await.status, 200);
    submit(&app, &[("key", &key), ("new_password", NEW), ("new_password_again", NEW)], 400).await;
}

async fn a_registration_is_confirmed_on_the_page(database: Database) {
    let (app, post) =
        with_mail(&database, |b| b.settings(|s| s.registration.mode = RegistrationMode::Verified)).await;
    app.try_register("jane").await;
    let key = post.one(&app, MailKind::VerifyEmail).await.key();
    assert!(open(&app, &key, 200).await.contains("j•••@example.com"));
    let html =
        submit(&app, &[("key", &key), ("new_password", "jane"), ("new_password_again", "jane")], 400).await;
    assert!(html.contains(r#"id="new_password-error""#), "{html}");
    submit(&app, &[("key", &key), ("new_password", NEW), ("new_password_again", NEW)], 200).await;
    assert_eq!(app.log_in("jane", PASSWORD).await.status, 400);
    let token = app.log_in("jane", NEW).await.token();
    let sessions = app.get("/sessions", &token).await.json();
    assert_eq!(sessions.as_array().unwrap().len(), 1, "no session is left that nobody has a token of");
}

async fn an_invitation_is_accepted_on_the_page(database: Database) {
    let (app, post) =
        with_mail(&database, |b| b.settings(|s| s.registration.mode = RegistrationMode::Invitation)).await;
    app.auth.users().invite("jane@example.com").await.unwrap();
    let key = post.one(&app, MailKind::Invitation).await.key();
    assert!(open(&app, &key, 200).await.contains(r#"<label for="username">"#));
    let accept = async |username: &str, again: &str, status| {
        let fields = [("key", key.as_str()), ("username", username), ("new_password", NEW)];
        submit(&app, &[&fields[..], &[("new_password_again", again)]].concat(), status).await
    };
    let html = accept("\"><b>", PASSWORD, 400).await;
    assert!(html.contains(r#"value="&quot;&gt;&lt;b&gt;""#), "the username is kept, as text: {html}");
    let html = accept("", NEW, 400).await;
    assert!(html.contains(r#"id="username-error""#), "{html}");
    accept("jane", NEW, 200).await;
    assert_eq!(app.log_in("jane", NEW).await.status, 200);
    accept("janet", NEW, 400).await;
}

async fn an_invitation_asks_for_the_fields_that_the_application_requires(database: Database) {
    let declare = |b: Builder| {
        b.settings(|s| s.registration.mode = RegistrationMode::Invitation)
            .field(Field::text("display_name", 20).required())
            .field(Field::integer("age").between(18, 120).required().describe("Age <in years>"))
            .field(Field::boolean("news").required())
            .field(Field::choice("plan", ["free", "te\"am"]).required())
            // Its name is also that of a field of the form.
            .field(Field::text("key", 10).required())
            .field(Field::text("nickname", 20))
            .field(Field::text("origin", 20).required().server_only())
    };
    let (app, post) = with_mail(&database, declare).await;
    app.auth.users().invite("jane@example.com").await.unwrap();
    let key = post.one(&app, MailKind::Invitation).await.key();
    let html = open(&app, &key, 200).await;
    for part in [
        r#"<label for="field.display_name">Display name</label>"#,
        r#"<input id="field.display_name" name="field.display_name" type="text" maxlength="20" value="" required>"#,
        r#"<label for="field.age">Age &lt;in years&gt;</label>"#,
        r#"type="number" step="1" min="18" max="120" value="" required>"#,
        r#"<input id="field.news" name="field.news" type="checkbox" value="true">"#,
        r#"<select id="field.plan" name="field.plan" required>"#,
        r#"<option value="te&quot;am">te&quot;am</option>"#,
        r#"<input id="field.key" name="field.key""#,
    ] {
        assert!(html.contains(part), "{part} {html}");
    }
    assert!(!html.contains("nickname") && !html.contains("origin"), "{html}");

    let account = [
        ("key", key.as_str()),
        ("username", "jane"),
        ("new_password", NEW),
        ("new_password_again", NEW),
        ("field.key", "k"),
    ];
    let wrong =
        [("field.display_name", "  "), ("field.age", "17"), ("field.news", "true"), ("field.plan", "te\"am")];
    let html = submit(&app, &[&account[..], &wrong].concat(), 400).await;
    for (field, why) in [
        ("display_name", "This field may not be blank."),
        ("age", "Ensure this value is greater than or equal to 18."),
    ] {
        let error = format!(r#"<p class="error" role="alert" id="field.{field}-error">{why}</p>"#);
        assert!(html.contains(&error), "{html}");
    }
    for kept in
        [r#"value="jane""#, r#"value="17""#, r#"value="true" checked>"#, r#"value="te&quot;am" selected>"#]
    {
        assert!(html.contains(kept), "{kept} {html}");
    }
    let right =
        [("field.display_name", "Jane"), ("field.age", "33"), ("field.plan", "free"), ("field.origin", "x")];
    submit(&app, &[&account[..], &right].concat(), 200).await;
    let metadata = app.auth.users().get(UserId(1)).await.unwrap().unwrap().metadata;
    let expected = json!({"display_name": "Jane", "age": 33, "news": false, "plan": "free", "key": "k"});
    assert_eq!(serde_json::Value::Object(metadata), expected);
}

async fn an_address_is_confirmed_on_the_page_with_a_new_password(database: Database) {
    let required = |b: Builder| b.settings(|s| s.mail.verification = EmailVerification::Required);
    let (app, post) = with_mail(&database, required).await;
    assert_eq!(app.try_register("jane").await.status, 401);
    let key = post.one(&app, MailKind::VerifyEmail).await.key();
    assert!(open(&app, &key, 200).await.contains("Confirm your email address"));
    // Somebody else may have registered with the address.
    let html = submit(&app, &[("key", &key), ("password", "")], 200).await;
    let token = hidden(&html, "login_token");
    let login = [("login_token", token.as_str()), ("new_password", "jane"), ("new_password_again", "jane")];
    assert_eq!(hidden(&submit(&app, &login, 400).await, "login_token"), token);
    let login = [("login_token", token.as_str()), ("new_password", NEW), ("new_password_again", NEW)];
    submit(&app, &login, 200).await;
    submit(&app, &login, 400).await;
    assert_eq!(app.log_in("jane", PASSWORD).await.status, 400);
    assert_eq!(app.log_in("jane", NEW).await.status, 200);
}

async fn whoever_knows_the_password_keeps_it_when_the_address_is_confirmed_on_the_page(database: Database) {
    let required = |b: Builder| b.settings(|s| s.mail.verification = EmailVerification::Required);
    let (app, post) = with_mail(&database, required).await;
    app.try_register("jane").await;
    let key = post.one(&app, MailKind::VerifyEmail).await.key();
    let html = open(&app, &key, 200).await;
    let field = r#"<input id="password" name="password" type="password" autocomplete="current-password" value="" aria-"#;
    assert!(html.contains(field), "{html}");
    let html = submit(&app, &[("key", &key), ("password", "not hers")], 400).await;
    assert!(html.contains(r#"<p class="error" role="alert" id="password-error">"#), "{html}");
    assert_eq!(hidden(&html, "key"), key, "the link is still good");
    let html = submit(&app, &[("key", &key), ("password", PASSWORD)], 200).await;
    assert!(html.contains("You can log in to your account now."), "{html}");
    assert_eq!(app.log_in("jane", PASSWORD).await.status, 200);
}

async fn a_change_of_the_address_is_confirmed_and_undone_on_the_page(database: Database) {
    let (app, post) = jane(&database).await;
    let token = app.log_in("jane", PASSWORD).await.token();
    app.call("POST", "/email/change", Some(&token), Some(json!({"email": "new@example.org"}))).await;
    let mails = post.all(&app, 2).await;
    let key = mails.iter().find(|letter| letter.0.kind == MailKind::EmailChange).unwrap().key();
    assert!(open(&app, &key, 200).await.contains("n•••@example.org"));
    let html = submit(&app, &[("key", &key)], 200).await;
    assert!(html.contains("<strong>new@example.org</strong>"), "{html}");
    let revert = post.one(&app, MailKind::EmailChanged).await.key();
    assert!(open(&app, &revert, 200).await.contains("Undo the change"));
    assert!(submit(&app, &[("key", &revert)], 200).await.contains("<strong>jane@example.com</strong>"));
    assert_eq!(app.get("/me", &token).await.status, 401);
    submit(&app, &[("key", &revert)], 400).await;
}

async fn an_account_that_is_to_be_deleted_is_kept_on_the_page(database: Database) {
    let required = |b: Builder| b.settings(|s| s.mail.verification = EmailVerification::Required);
    let (app, post) = with_mail(&database, required).await;
    app.try_register("jane").await;
    let key = post.one(&app, MailKind::VerifyEmail).await.key();
    let change = UserChange {
        email_verified_at: Some(NOON),
        deletion_at: Some(Some(NOON.after(Duration::from_hours(24)))),
        ..UserChange::default()
    };
    app.auth.users().update(UserId(1), change).await.unwrap();
    let html = submit(&app, &[("key", &key)], 200).await;
    assert!(html.contains("Keep the account"), "{html}");
    submit(&app, &[("login_token", &hidden(&html, "login_token"))], 200).await;
    assert_eq!(app.log_in("jane", PASSWORD).await.status, 200);
}

async fn link_to_log_in(app: &App, post: &Post, tokens: &str) -> String {
    app.post("/login/email", json!({"email": "jane@example.com", "tokens": tokens})).await;
    post.one(app, MailKind::LogIn).await.key()
}

async fn a_link_to_log_in_asks_for_the_code_without_the_session_cookie(database: Database) {
    let (app, post) = jane(&database).await;
    let key = link_to_log_in(&app, &post, "session").await;
    for html in [open(&app, &key, 200).await, submit(&app, &[("key", &key)], 200).await] {
        assert!(html.contains("Enter the code of the mail") && !html.contains("<form"), "{html}");
    }
    assert_eq!(app.post("/login/link", json!({"key": key})).await.status, 200, "the link is still good");
}

async fn a_link_to_log_in_logs_the_browser_in_with_the_session_cookie(database: Database) {
    let post = Post::default();
    let mailer = post.clone();
    let app =
        database.app_around(|b| b.mailer(mailer), |auth| auth.router().layer(auth.session_cookie())).await;
    register(&app).await;
    let key = link_to_log_in(&app, &post, "session").await;
    assert!(open(&app, &key, 200).await.contains("<button>Log in</button>"));
    let answer = send(&app, &[("key", &key)], SAME).await;
    assert!(page(&answer, 200).contains("You are logged in"));
    let cookie = answer.headers[SET_COOKIE].to_str().unwrap().split(';').next().unwrap();
    let request = Request::builder().uri("/me").header("cookie", cookie).body(Body::empty()).unwrap();
    assert_eq!(app.send(request).await.json()["username"], "jane");
    let mark = answer.headers.get_all(SET_COOKIE).iter().nth(1).unwrap().to_str().unwrap();
    assert!(mark.starts_with("__Host-doorwarden-device=dwd_"), "the browser is known from now on: {mark}");

    let key = link_to_log_in(&app, &post, "pair").await;
    assert!(!open(&app, &key, 200).await.contains("<form"), "the cookie holds no token pair");
}

/// The page that follows a reset: it asks for a code, and this is its login token.
async fn reset_until_the_code(app: &App, post: &Post, new: &str) -> String {
    app.post("/password/reset", json!({"email": "jane@example.com"})).await;
    let key = post.first(app, MailKind::ResetPassword).await.key();
    let fields = [("key", key.as_str()), ("new_password", new), ("new_password_again", new)];
    let html = submit(app, &fields, 200).await;
    assert!(html.contains("<title>Confirm that it is you</title>"), "{html}");
    let field = r#"<input id="code" name="code" type="text" autocomplete="one-time-code""#;
    assert!(html.contains(field) && !html.contains(new), "{html}");
    hidden(&html, "login_token")
}

#[track_caller]
fn complains_of_the_code(html: &str, login_token: &str) {
    let error = r#"<p class="error" role="alert" id="code-error">This code is wrong.</p>"#;
    assert!(html.contains(error), "{html}");
    assert_eq!(hidden(html, "login_token"), login_token);
}

async fn a_reset_on_the_page_asks_for_the_second_factor(database: Database) {
    let (app, post) = jane(&database).await;
    let phone: Phone = give_totp(&app, UserId(1)).await;
    let (login_token, wrong) = (reset_until_the_code(&app, &post, NEW).await, phone.wrong(&app));
    for typed in [&wrong, "abcde-fgh13", "x y"] {
        let html = submit(&app, &[("login_token", &login_token), ("code", typed)], 400).await;
        complains_of_the_code(&html, &login_token);
    }
    assert_eq!(app.log_in("jane", PASSWORD).await.json()["code"], "mfa_required", "nothing is changed yet");
    let code = phone.code(&app);
    let typed = format!("{} {}", &code[..3], &code[3..]);
    let html = submit(&app, &[("login_token", &login_token), ("code", &typed)], 200).await;
    assert!(html.contains("The password was changed"), "{html}");
    assert_eq!(app.log_in("jane", PASSWORD).await.status, 400);
    assert_eq!(
        app.log_in("jane", NEW).await.json()["code"],
        "mfa_required",
        "nobody is logged in by a reset"
    );

    let another = "a battery of another one";
    let login_token = reset_until_the_code(&app, &post, another).await;
    let typed = RECOVERY_CODE.to_uppercase();
    let html = submit(&app, &[("login_token", &login_token), ("code", &typed)], 200).await;
    assert!(html.contains("The password was changed"), "{html}");
    assert_eq!(app.log_in("jane", another).await.json()["code"], "mfa_required");
    // After five wrong codes it is over, also for the right one.
    let login_token = reset_until_the_code(&app, &post, NEW).await;
    let fields = [("login_token", login_token.as_str()), ("code", wrong.as_str())];
    for _ in 0..4 {
        complains_of_the_code(&submit(&app, &fields, 400).await, &login_token);
    }
    app.clock.advance(Duration::from_mins(1));
    for code in [wrong, phone.code(&app)] {
        let html = submit(&app, &[("login_token", &login_token), ("code", &code)], 400).await;
        assert!(html.contains("This link is no longer valid"), "{html}");
    }
    assert_eq!(app.log_in("jane", another).await.json()["code"], "mfa_required");
}

async fn a_link_to_log_in_asks_the_browser_for_the_second_factor(database: Database) {
    let post = Post::default();
    let mailer = post.clone();
    let app =
        database.app_around(|b| b.mailer(mailer), |auth| auth.router().layer(auth.session_cookie())).await;
    register(&app).await;
    let phone = give_totp(&app, UserId(1)).await;
    let key = link_to_log_in(&app, &post, "session").await;
    let answer = send(&app, &[("key", &key)], SAME).await;
    assert!(!answer.headers.contains_key(SET_COOKIE), "nobody is logged in yet: {answer:?}");
    let login_token = hidden(&page(&answer, 200), "login_token");
    let refused = send(&app, &[("login_token", &login_token), ("code", &phone.wrong(&app))], SAME).await;
    assert!(!refused.headers.contains_key(SET_COOKIE), "{refused:?}");
    complains_of_the_code(&page(&refused, 400), &login_token);
    let answer = send(&app, &[("login_token", &login_token), ("code", &phone.code(&app))], SAME).await;
    assert!(page(&answer, 200).contains("You are logged in"));
    let cookie = answer.headers[SET_COOKIE].to_str().unwrap().split(';').next().unwrap();
    let request = Request::builder().uri("/sessions").header("cookie", cookie).body(Body::empty()).unwrap();
    assert_eq!(app.send(request).await.json()[0]["assurance_level"], 2);
}

async fn whoever_must_have_a_factor_is_told_to_set_it_up_elsewhere(database: Database) {
    let post = Post::default();
    let mailer = post.clone();
    let change = |b: Builder| {
        b.mailer(mailer).settings(|s| {
            s.factors.required = FactorPolicy::Everybody;
            s.registration.mode = RegistrationMode::Verified;
        })
    };
    let app = database.app_around(change, |auth| auth.router().layer(auth.session_cookie())).await;
    let told = async |fields: &[(&str, &str)]| {
        let answer = send(&app, fields, SAME).await;
        let html = page(&answer, 200);
        assert!(html.contains("<title>Set up a second factor</title>") && !html.contains("<form"), "{html}");
        assert!(!answer.headers.contains_key(SET_COOKIE), "{answer:?}");
    };
    app.try_register("jane").await;
    let key = post.one(&app, MailKind::VerifyEmail).await.key();
    told(&[("key", &key), ("new_password", NEW), ("new_password_again", NEW)]).await;
    let key = link_to_log_in(&app, &post, "session").await;
    told(&[("key", &key)]).await;
    app.auth.users().invite("kim@example.com").await.unwrap();
    let key = post.one(&app, MailKind::Invitation).await.key();
    let account = [("username", "kim"), ("new_password", NEW), ("new_password_again", NEW)];
    told(&[&[("key", key.as_str())], &account[..]].concat()).await;
    for name in ["jane", "kim"] {
        assert_eq!(app.log_in(name, NEW).await.json()["code"], "factor_enrolment_required", "{name}");
    }
    assert!(!database.has("SELECT 1 FROM doorwarden_sessions").await);
}

async fn a_link_to_confirm_an_authentication_asks_for_the_code(database: Database) {
    let (app, post) = jane(&database).await;
    let token = app.log_in("jane", PASSWORD).await.token();
    app.call("POST", "/reauthenticate", Some(&token), Some(json!({}))).await;
    let key = post.one(&app, MailKind::Reauthenticate).await.key();
    for html in [open(&app, &key, 200).await, submit(&app, &[("key", &key)], 200).await] {
        assert!(html.contains("Enter the code of the mail") && !html.contains("<form"), "{html}");
    }
}

async fn a_form_of_another_origin_is_refused(database: Database) {
    let (app, post) = jane(&database).await;
    app.post("/password/reset", json!({"email": "jane@example.com"})).await;
    let key = post.one(&app, MailKind::ResetPassword).await.key();
    let fields = [("key", key.as_str()), ("new_password", NEW), ("new_password_again", NEW)];
    for headers in [
        &[("sec-fetch-site", "cross-site")][..],
        &[
            ("sec-fetch-site", "same-site"),
            ("origin", "https://app.example.com"),
            ("host", "app.example.com"),
        ],
        &[("origin", "https://evil.test"), ("host", "app.example.com")],
        &[("origin", "null"), ("host", "app.example.com")],
        &[("host", "app.example.com")],
        &[],
    ] {
        page(&send(&app, &fields, headers).await, 403);
    }
    let same = [("origin", "https://app.example.com"), ("host", "app.example.com")];
    page(&send(&app, &fields, &same).await, 200);
}

async fn too_many_requests_are_told_on_the_page(database: Database) {
    const PATH: &str = "/password/forgotten";
    let once = |builder: Builder| {
        let quota = Quota::new(1, Duration::from_mins(10));
        builder.settings(|settings| settings.limits.set_quota(Limit::MailAccount, quota))
    };
    let (app, _) = with_mail(&database, once).await;
    let form = [("email", "jane@example.com")];
    page(&send_to(&app, PATH, &form, SAME).await, 200);
    let refused = send_to(&app, PATH, &form, SAME).await;
    assert_eq!(
        (refused.header("retry-after"), refused.header("ratelimit")),
        ("600", "\"mail-account\";r=0;t=600")
    );
    let html = page(&refused, 429);
    assert!(html.contains("Nothing was changed. Try again in 10 minutes."), "{html}");
    let german = [SAME, &[("accept-language", "de")]].concat();
    let html = page(&send_to(&app, PATH, &form, &german).await, 429);
    assert!(html.contains("Versuchen Sie es in 10 Minuten noch einmal."), "{html}");
}

async fn what_was_sent_is_shown_as_text(database: Database) {
    let (app, post) = jane(&database).await;
    let token = app.log_in("jane", PASSWORD).await.token();
    app.call("POST", "/email/change", Some(&token), Some(json!({"email": "&\"<b>'\"@example.org"}))).await;
    app.call("POST", "/email/change", Some(&token), Some(json!({"email": "&b'{x}@example.org"}))).await;
    let mails = post.all(&app, 2).await;
    let key = mails.iter().find(|letter| letter.0.kind == MailKind::EmailChange).unwrap().key();
    assert!(open(&app, &key, 200).await.contains("<strong>&amp;•••@example.org</strong>"));
    // The key may have whitespace around it, and is text in the form.
    let spaced = format!("%20{key}%0a");
    assert_eq!(hidden(&open(&app, &spaced, 200).await, "key").trim(), key);
    let html = submit(&app, &[("key", &key)], 200).await;
    assert!(html.contains("<strong>&amp;b&#39;{x}@example.org</strong>"), "{html}");
    for evil in ["\"><script>alert(1)</script>", "{{style}}", "</style><img src=x>"] {
        let encoded = evil.replace('"', "%22").replace('<', "%3C").replace('>', "%3E").replace('{', "%7B");
        let encoded = encoded.replace('}', "%7D").replace(' ', "%20");
        for html in [
            open(&app, &encoded, 400).await,
            submit(&app, &[("key", evil)], 400).await,
            submit(&app, &[("login_token", evil), ("new_password", evil)], 400).await,
        ] {
            assert!(!html.contains("alert(1)") && !html.contains("<img"), "{html}");
        }
    }
}

async fn the_page_speaks_the_language_of_the_browser(database: Database) {
    let (app, post) = jane(&database).await;
    app.post("/password/reset", json!({"email": "jane@example.com"})).await;
    let key = post.one(&app, MailKind::ResetPassword).await.key();
    let fields = [("key", key.as_str()), ("new_password", "12345678"), ("new_password_again", "12345678")];
    let german = [SAME[0], (ACCEPT_LANGUAGE.as_str(), "de-AT,de;q=0.9,en;q=0.5")];
    let html = page(&send(&app, &fields, &german).await, 400);
    assert!(
        html.contains(r#"<html lang="de">"#) && html.contains("Dieses Passwort ist zu gebräuchlich."),
        "{html}"
    );
    assert!(html.contains("Mindestens 8 Zeichen."), "{html}");
    assert!(submit(&app, &fields, 400).await.contains(r#"<html lang="en">"#));
}

async fn a_link_that_is_not_valid_says_so(database: Database) {
    let (app, _) = jane(&database).await;
    for key in ["", "dwk_", "dwk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
        assert!(open(&app, key, 400).await.contains("<title>Error: This link is no longer valid</title>"));
        submit(&app, &[("key", key)], 400).await;
    }
    submit(&app, &[], 400).await;
    let answer = send(&app, &[("key", "\u{0}")], SAME).await;
    page(&answer, 400);
    let broken = Request::builder().method(Method::POST).uri("/link").header("sec-fetch-site", "same-origin");
    let broken = broken.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body("key=%FF".into());
    page(&app.send(broken.unwrap()).await, 400);
}

async fn whoever_forgot_the_password_asks_for_a_mail_and_every_address_is_answered_alike(database: Database) {
    const PATH: &str = "/password/forgotten";
    let (app, post) = jane(&database).await;
    let found = app.call("GET", "/.well-known/change-password", None, None).await;
    assert_eq!((found.status.as_u16(), found.header("location")), (303, "../password/forgotten"));
    assert!(page(&app.call("GET", PATH, None, None).await, 200).contains(r#"<label for="email">"#));
    let mut pages = Vec::new();
    for email in ["jane@example.com", "john@example.com"] {
        let html = page(&send_to(&app, PATH, &[("email", email)], SAME).await, 200);
        pages.push(html.replace(email, ""));
    }
    assert_eq!(pages[0], pages[1]);
    open(&app, &post.one(&app, MailKind::ResetPassword).await.key(), 200).await;
    let html = page(&send_to(&app, PATH, &[("email", "\"><b>jane")], SAME).await, 400);
    assert!(html.contains(r#"value="&quot;&gt;&lt;b&gt;jane""#), "{html}");
    assert!(html.contains(r#"aria-describedby="email-error" aria-invalid="true" autofocus"#), "{html}");
    page(
        &send_to(&app, PATH, &[("email", "jane@example.com")], &[("sec-fetch-site", "cross-site")]).await,
        403,
    );
    assert!(post.read(&app).await.is_empty());
}
