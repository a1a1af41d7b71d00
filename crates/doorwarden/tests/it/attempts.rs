//! Attempts at passwords: strangers wait, work or are refused, and the owner gets in.

use crate::app::{App, Database, PASSWORD};
use crate::limits::{few, from, login, solution, verify, wrong};
use crate::post::Post;
use doorwarden::Builder;
use doorwarden::core::limit::Limit;
use doorwarden::core::mail::MailKind;
use doorwarden_testkit::drill;
use futures_util::stream::{self, StreamExt};
use serde_json::json;
use std::time::Duration;

on_both! {
    after_five_wrong_passwords_there_is_a_wait_for_known_and_unknown_accounts_alike
    the_owner_gets_in_on_a_device_that_is_known_and_elsewhere_with_work_or_by_mail
    a_hundred_wrong_passwords_shut_strangers_out_until_the_owner_logs_in
    an_operator_lets_strangers_try_again
    a_known_device_that_guesses_is_a_stranger_after_a_hundred
    every_way_that_compares_a_password_counts
    guesses_in_a_session_count_apart
    a_login_that_succeeds_costs_nothing
    marks_are_given_at_every_login_and_count_for_their_account
    a_login_on_a_new_device_is_told_once_and_a_known_one_is_not
    drill_ten_thousand_wrong_passwords_from_a_thousand_addresses_keep_no_owner_out
}

/// So many wrong passwords of strangers in a row, each after its wait.
async fn wrong_times(app: &App, name: &str, times: usize) {
    for n in 0..times {
        let answer = wrong(app, name).await;
        assert_eq!(answer.status, 400, "{n}: {answer:?}");
        app.clock.advance(Duration::from_hours(1));
    }
}

/// Few wrong passwords lock an account.
fn locking_soon(builder: Builder) -> Builder {
    builder.settings(|settings| {
        (settings.limits.free_attempts, settings.limits.attempts) = (2, 4);
    })
}

async fn after_five_wrong_passwords_there_is_a_wait_for_known_and_unknown_accounts_alike(database: Database) {
    let app = database.app().await;
    app.register("jane").await;
    let mut seen = Vec::new();
    for name in ["jane", "nobody"] {
        let mut answers = Vec::new();
        for wait in [0, 0, 0, 0, 0, 1, 2, 4] {
            if wait > 0 {
                let refused = wrong(&app, name).await;
                assert_eq!(
                    (refused.status.as_u16(), refused.header("retry-after")),
                    (429, &*wait.to_string())
                );
                app.clock.advance(Duration::from_secs(wait));
            }
            let answer = wrong(&app, name).await;
            answers.push((answer.status.as_u16(), answer.json()));
        }
        // Another spelling of the address is the same account.
        assert_eq!(wrong(&app, &name.to_uppercase()).await.status, 429);
        seen.push(answers);
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0].len(), 8);
    assert!(seen[0].iter().all(|(status, _)| *status == 400));
}

async fn the_owner_gets_in_on_a_device_that_is_known_and_elsewhere_with_work_or_by_mail(database: Database) {
    let post = Post::default();
    let app = database.app_with(|b| b.mailer(post.clone())).await;
    app.register("jane").await;
    let known = app.log_in("jane", PASSWORD).await.json()["device_token"].as_str().unwrap().to_owned();
    for _ in 0..30 {
        wrong(&app, "jane").await;
    }
    let refused = app.log_in("jane", PASSWORD).await;
    assert_eq!(refused.status, 429, "{refused:?}");

    let by_mark =
        from(&app, "192.0.2.9", "/login", &[("x-device-token", &known)], &login("jane", PASSWORD)).await;
    assert_eq!(by_mark.status, 200, "{by_mark:?}");
    // That login has begun the count anew.
    for _ in 0..5 {
        assert_eq!(wrong(&app, "jane").await.status, 400);
    }
    let refused = wrong(&app, "jane").await;
    let mut with_work = login("jane", PASSWORD);
    with_work["altcha"] = json!(solution(&refused));
    assert_eq!(app.post("/login", with_work).await.status, 200);

    wrong_times(&app, "jane", 7).await;
    post.read(&app).await;
    verify(&database).await;
    let begun = app.post("/login/email", json!({"email": "jane@example.com"})).await.json();
    let code = post.one(&app, MailKind::LogIn).await.code();
    let answer = json!({"login_token": begun["login_token"], "method": "email_code", "code": code});
    assert_eq!(app.post("/login/verify", answer).await.status, 200);
}

async fn a_hundred_wrong_passwords_shut_strangers_out_until_the_owner_logs_in(database: Database) {
    let post = Post::default();
    let app = database.app_with(|b| locking_soon(b).mailer(post.clone())).await;
    app.register("jane").await;
    let known = app.log_in("jane", PASSWORD).await.json()["device_token"].as_str().unwrap().to_owned();
    for name in ["jane", "nobody"] {
        wrong_times(&app, name, 4).await;
        if name == "jane" {
            // Before it is too old to be sent.
            post.first(&app, MailKind::PasswordLocked).await;
        }
        app.clock.advance(Duration::from_hours(100 * 24));
        let refused = app.log_in(name, PASSWORD).await;
        assert_eq!(refused.status, 429, "however long one waits: {refused:?}");
        assert_eq!(refused.json()["code"], "password_locked");
        assert_eq!(refused.json()["flows"], json!([{"id": "email_code", "is_pending": false}]));
        assert_eq!(refused.json().get("proof_of_work"), None, "{name}: no work helps");
    }
    // The mark is half as old as it may be.
    let marked = [("x-device-token", &*known)];
    let by_mark = from(&app, "192.0.2.9", "/login", &marked, &login("jane", PASSWORD)).await;
    assert_eq!(by_mark.status, 200, "{by_mark:?}");
    post.one(&app, MailKind::PasswordUnlocked).await;
    assert_eq!(app.log_in("jane", PASSWORD).await.status, 200);
    assert_eq!(app.log_in("nobody", PASSWORD).await.status, 429);

    // A new password unlocks, too.
    wrong_times(&app, "jane", 4).await;
    assert_eq!(app.log_in("jane", PASSWORD).await.status, 429);
    post.read(&app).await;
    app.post("/password/reset", json!({"email": "jane@example.com"})).await;
    let key = post.first(&app, MailKind::ResetPassword).await.key();
    let new = "another correct battery";
    let reset = app.post("/password/reset/confirm", json!({"key": key, "new_password": new})).await;
    assert_eq!(reset.status, 204);
    assert_eq!(app.log_in("jane", new).await.status, 200);
}

async fn an_operator_lets_strangers_try_again(database: Database) {
    let app = database.app_with(locking_soon).await;
    app.register("jane").await;
    let jane = app.auth.users().get_by_email("jane@example.com").await.unwrap().unwrap().id;
    assert!(!app.auth.users().unlock_password(jane).await.unwrap());
    wrong_times(&app, "jane", 4).await;
    assert_eq!(app.log_in("jane", PASSWORD).await.json()["code"], "password_locked");
    assert_eq!(app.auth.users().password_failures(jane).await.unwrap(), 4);
    assert!(app.auth.users().unlock_password(jane).await.unwrap());
    assert_eq!(app.log_in("jane", PASSWORD).await.status, 200);
    assert!(app.auth.users().unlock_password(doorwarden::UserId(7_777)).await.is_err());
}

async fn a_known_device_that_guesses_is_a_stranger_after_a_hundred(database: Database) {
    let app = database.app_with(locking_soon).await;
    app.register("jane").await;
    let known = app.log_in("jane", PASSWORD).await.json()["device_token"].as_str().unwrap().to_owned();
    let guess = async || {
        let marked = [("x-device-token", &*known)];
        let answer = from(&app, "192.0.2.9", "/login", &marked, &login("jane", "wrong")).await;
        app.clock.advance(Duration::from_hours(1));
        answer.status.as_u16()
    };
    for n in 0..8 {
        assert_eq!(guess().await, 400, "{n}");
    }
    assert_eq!(guess().await, 429, "its own attempts and those of strangers are used up");
}

async fn every_way_that_compares_a_password_counts(database: Database) {
    let app = database.app_with(locking_soon).await;
    app.register("jane").await;
    for path in ["/login", "/token"] {
        for _ in 0..2 {
            let answer = app.post(path, login("jane", "wrong")).await;
            assert!([400, 401].contains(&answer.status.as_u16()), "{path}: {answer:?}");
        }
        for path in ["/login", "/token"] {
            assert_eq!(app.post(path, login("jane", PASSWORD)).await.status, 429, "{path}");
        }
        app.clock.advance(Duration::from_hours(1));
        assert_eq!(app.log_in("jane", PASSWORD).await.status, 200);
    }
}

async fn guesses_in_a_session_count_apart(database: Database) {
    let app = database.app_with(locking_soon).await;
    let token = app.register("jane").await;
    wrong_times(&app, "jane", 4).await;
    let change = |current: &str| json!({"current_password": current, "new_password": "another battery 12"});
    let bodies = [
        ("POST", "/password/change", change("wrong")),
        ("POST", "/reauthenticate", json!({"password": "wrong"})),
        ("DELETE", "/me", json!({"password": "wrong"})),
    ];
    for n in 0..4 {
        let (method, path, body) = &bodies[n % 3];
        let answer = app.call(method, path, Some(&token), Some(body.clone())).await;
        assert_eq!(answer.status, 400, "{path}: strangers have used up nothing of this: {answer:?}");
        app.clock.advance(Duration::from_secs(200));
    }
    for (method, path, body) in bodies {
        let answer = app.call(method, path, Some(&token), Some(body)).await;
        assert_eq!(answer.status, 429, "{path}: {answer:?}");
    }
}

async fn a_login_that_succeeds_costs_nothing(database: Database) {
    let app = database.app_with(|b| b.settings(|s| s.limits.set_quota(Limit::LoginAddress, few(2)))).await;
    app.register("jane").await;
    for _ in 0..10 {
        let answer = from(&app, "192.0.2.1", "/login", &[], &login("jane", PASSWORD)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let right = login("jane", PASSWORD);
    let at_once = (0..20).map(|_| from(&app, "192.0.2.3", "/login", &[], &right));
    for answer in futures_util::future::join_all(at_once).await {
        assert_eq!(answer.status, 200, "many at once from one address: {answer:?}");
    }
    // What is refused costs nothing either: the bucket empties as if nothing had come.
    for status in [400, 400, 429, 429, 429] {
        let answer = from(&app, "192.0.2.1", "/login", &[], &login("nobody", PASSWORD)).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
}

async fn marks_are_given_at_every_login_and_count_for_their_account(database: Database) {
    let app = database.app_with(locking_soon).await;
    let registered = app.try_register("jane").await;
    app.register("other").await;
    let cookie = registered.header("set-cookie").to_owned();
    let (name_and_value, attributes) = cookie.split_once(';').unwrap();
    assert_eq!(attributes, " Max-Age=34560000; HttpOnly; Secure; SameSite=Lax; Path=/");
    let mark = registered.json()["device_token"].as_str().unwrap().to_owned();
    assert_eq!(name_and_value, format!("__Host-doorwarden-device={mark}"));
    let pair = app.post("/token", login("jane", PASSWORD)).await;
    assert!(pair.json()["device_token"].is_string(), "{pair:?}");

    // A second account on the device: the browser keeps both marks.
    let cookies = [("cookie", name_and_value)];
    let second = from(&app, "192.0.2.1", "/login", &cookies, &login("other", PASSWORD)).await;
    let both = second.header("set-cookie").split_once(';').unwrap().0.to_owned();
    assert!(both.ends_with(&format!(".{mark}")), "{both}");
    for name in ["jane", "other"] {
        wrong_times(&app, name, 4).await;
        assert_eq!(app.log_in(name, PASSWORD).await.status, 429);
        let answer = from(&app, "192.0.2.1", "/login", &[("cookie", &both)], &login(name, PASSWORD)).await;
        assert_eq!(answer.status, 200, "{name}: {answer:?}");
    }

    wrong_times(&app, "other", 4).await;
    let mut forged = mark.clone();
    forged.replace_range(10..11, if forged[10..11] == *"A" { "B" } else { "A" });
    for (name, mark) in [("other", &mark), ("other", &forged), ("other", &"dwd_".to_owned())] {
        let marked = [("x-device-token", &**mark)];
        let answer = from(&app, "192.0.2.1", "/login", &marked, &login(name, PASSWORD)).await;
        assert_eq!(answer.status, 429, "{mark}: {answer:?}");
    }
    wrong_times(&app, "jane", 4).await;
    app.clock.advance(Duration::from_hours(401 * 24));
    let marked = [("x-device-token", &*mark)];
    assert_eq!(
        from(&app, "192.0.2.1", "/login", &marked, &login("jane", PASSWORD)).await.status,
        429,
        "too old"
    );
}

async fn a_login_on_a_new_device_is_told_once_and_a_known_one_is_not(database: Database) {
    let post = Post::default();
    let app = database.app_with(|b| b.mailer(post.clone())).await;
    app.register("jane").await;
    let log_in = async |address: &str, agent: &str, mark: Option<&str>| {
        let mut headers = vec![("user-agent", agent)];
        headers.extend(mark.map(|mark| ("x-device-token", mark)));
        let answer = from(&app, address, "/login", &headers, &login("jane", PASSWORD)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["device_token"].as_str().unwrap().to_owned()
    };
    let mark = log_in("192.0.2.1", "Firefox/1", None).await;
    assert_eq!(post.read(&app).await.len(), 0, "the first login is nothing new");
    log_in("192.0.2.1", "Firefox/1", None).await;
    assert_eq!(post.read(&app).await.len(), 0, "there is a session that is like it");
    log_in("198.51.100.1", "curl/8", None).await;
    let told = post.one(&app, MailKind::NewDevice).await;
    assert_eq!(told.0.content.address.as_deref(), Some("198.51.100.1"));
    log_in("203.0.113.1", "Chrome/1", Some(&mark)).await;
    assert_eq!(post.read(&app).await.len(), 0, "it has a mark");
}

async fn drill_ten_thousand_wrong_passwords_from_a_thousand_addresses_keep_no_owner_out(database: Database) {
    let (post, times) = (Post::default(), drill().rounds(600, 10_000));
    let app = database.app_with(|b| b.mailer(post.clone())).await;
    app.register("jane").await;
    verify(&database).await;
    let known = app.log_in("jane", PASSWORD).await.json()["device_token"].as_str().unwrap().to_owned();
    let guess = |n: usize| {
        let address = format!("198.51.{}.{}", n % (times / 10) / 250, n % (times / 10) % 250);
        let app = &app;
        async move {
            if n.is_multiple_of(16) {
                app.clock.advance(Duration::from_mins(1));
            }
            from(app, &address, "/login", &[], &login("jane", "a wrong battery")).await.status.as_u16()
        }
    };
    let statuses: Vec<_> = stream::iter((0..times).map(guess)).buffer_unordered(64).collect().await;
    let compared = statuses.iter().filter(|status| **status == 400).count();
    assert!(compared <= 100, "{compared} were compared");
    assert!(statuses.iter().all(|status| [400, 429].contains(status)));
    let notices = post.read(&app).await;
    let noticed = |kind| notices.iter().filter(|mail| mail.kind == kind).count();
    assert!(noticed(MailKind::TooManyFailures) <= 1 && noticed(MailKind::PasswordLocked) <= 1);

    let new = from(&app, "203.0.113.7", "/login", &[], &login("jane", PASSWORD)).await;
    let begun = from(&app, "203.0.113.7", "/login/email", &[], &json!({"email": "jane@example.com"})).await;
    let known =
        from(&app, "203.0.113.8", "/login", &[("x-device-token", &known)], &login("jane", PASSWORD)).await;
    assert_eq!(known.status, 200, "on a known device, at once: {known:?}");
    let code = post.first(&app, MailKind::LogIn).await.code();
    let answer = json!({"login_token": begun.json()["login_token"], "method": "email_code", "code": code});
    let by_mail = from(&app, "203.0.113.7", "/login/verify", &[], &answer).await;
    assert_eq!(
        (new.status.as_u16(), by_mail.status.as_u16()),
        (429, 200),
        "on a new one, by mail: {by_mail:?}"
    );
    assert_eq!(app.log_in("jane", PASSWORD).await.status, 200, "and everywhere from then on");
}
