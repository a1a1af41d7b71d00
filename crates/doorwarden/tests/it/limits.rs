//! The limits: whoever guesses waits, works or is refused, and the owner gets in.

use crate::app::{Answer, App, Database, PASSWORD};
use crate::post::Post;
use axum::body::Body;
use axum::extract::ConnectInfo;
use doorwarden::Builder;
use doorwarden::core::limit::proof_of_work::{WorkChallenge, solve};
use doorwarden::core::limit::{Limit, Quota};
use doorwarden::core::mail::MailKind;
use doorwarden::core::settings::{EmailVerification, RegistrationMode};
use doorwarden_testkit::drill;
use futures_util::stream::{self, StreamExt};
use http::Request;
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;

on_both! {
    after_five_wrong_passwords_there_is_a_wait_for_known_and_unknown_accounts_alike
    a_refusal_says_what_was_exceeded_in_both_formats
    the_owner_gets_in_on_a_device_that_is_known_and_elsewhere_with_work_or_by_mail
    a_hundred_wrong_passwords_shut_strangers_out_until_the_owner_logs_in
    a_known_device_that_guesses_is_a_stranger_after_a_hundred
    every_way_that_compares_a_password_counts
    guesses_in_a_session_count_apart
    a_login_that_succeeds_costs_nothing
    a_proof_of_work_counts_once_and_for_one_account_and_purpose
    guesses_from_one_address_are_limited_whoever_they_are_at
    ipv6_addresses_of_one_client_count_together
    registrations_and_mails_are_limited_but_not_those_of_this_machine
    every_way_to_mail_an_address_counts_for_the_address
    no_work_is_a_licence_to_fill_a_mailbox
    what_is_mailed_on_behalf_of_a_user_counts_for_them
    codes_are_limited_by_address
    refreshes_with_what_is_no_token_are_limited
    a_right_code_of_a_factor_and_a_right_refresh_token_cost_nothing
    what_is_refused_is_counted_in_the_audit_log
    marks_are_given_at_every_login_and_count_for_their_account
    a_login_on_a_new_device_is_told_once_and_a_known_one_is_not
    without_limits_nothing_is_counted_and_no_mark_is_given
    drill_ten_thousand_wrong_passwords_from_a_thousand_addresses_keep_no_owner_out
}

/// A request from this address.
async fn from(app: &App, address: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
    let address: SocketAddr = match address.contains(':') {
        true => format!("[{address}]:40000"),
        false => format!("{address}:40000"),
    }
    .parse()
    .unwrap();
    let mut request = Request::post(path).header(CONTENT_TYPE, "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    app.send(request.extension(ConnectInfo(address)).body(Body::from(body.to_string())).unwrap()).await
}

/// The address of the user is known to be theirs: a mail alone logs them in.
async fn verify(database: &Database) {
    database.sql.execute("UPDATE users SET email_verified_at = date_joined").await.unwrap();
}

fn login(name: &str, password: &str) -> Value {
    json!({"email": format!("{name}@example.com"), "password": password})
}

async fn wrong(app: &App, name: &str) -> Answer {
    app.post("/login", login(name, "a wrong battery")).await
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

/// The answer with the solution of the challenge in a refusal.
fn solution(refusal: &Answer) -> String {
    let challenge: WorkChallenge = serde_json::from_value(refusal.json()["proof_of_work"].clone()).unwrap();
    solve(&challenge).unwrap()
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

async fn a_refusal_says_what_was_exceeded_in_both_formats(database: Database) {
    let app = database.app_with(|b| b.settings(|settings| settings.limits.free_attempts = 1)).await;
    wrong(&app, "jane").await;
    let refused = wrong(&app, "jane").await;
    assert_eq!(refused.header("ratelimit-policy"), "\"login-account\";q=1;w=1");
    assert_eq!(refused.header("ratelimit"), "\"login-account\";r=0;t=1");
    let mut body = refused.json();
    let challenge = body["proof_of_work"].take();
    assert_eq!(
        body,
        json!({
            "detail": "Request was throttled. Expected available in 1 second.",
            "code": "throttled",
            "violated-policies": ["login-account"],
            "proof_of_work": null,
        })
    );
    assert_eq!(challenge["parameters"]["algorithm"], "PBKDF2/SHA-256");
    let request = Request::post("/login")
        .header(CONTENT_TYPE, "application/json")
        .header("accept", "application/problem+json")
        .body(Body::from(login("jane", "x").to_string()));
    let problem = app.send(request.unwrap()).await.json();
    assert_eq!(problem["type"], "https://iana.org/assignments/http-problem-types#quota-exceeded");
    assert_eq!((&problem["status"], &problem["code"]), (&json!(429), &json!("throttled")));
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

fn few(count: u32) -> Quota {
    Quota::new(count, Duration::from_hours(1))
}

async fn a_proof_of_work_counts_once_and_for_one_account_and_purpose(database: Database) {
    let app = database.app_with(|b| b.settings(|settings| settings.limits.free_attempts = 1)).await;
    for name in ["jane", "other"] {
        app.register(name).await;
        wrong(&app, name).await;
    }
    let refused = wrong(&app, "jane").await;
    let work = solution(&refused);
    let with = |name: &str, work: &str| {
        let mut body = login(name, "a wrong battery");
        body["altcha"] = json!(work);
        body
    };
    assert_eq!(app.post("/login", with("other", &work)).await.status, 429, "for another account");
    assert_eq!(app.post("/login", with("jane", &work)).await.status, 400);
    assert_eq!(app.post("/login", with("jane", &work)).await.status, 429, "used before");
    let challenge = app.call("GET", "/pow/challenge?for=login", None, None).await;
    let general = solve(&serde_json::from_value(challenge.json()).unwrap()).unwrap();
    assert_eq!(app.post("/login", with("jane", &general)).await.status, 429, "for no account");
    let again = wrong(&app, "jane").await;
    app.clock.advance(Duration::from_secs(601));
    wrong(&app, "jane").await;
    assert_eq!(app.post("/login", with("jane", &solution(&again))).await.status, 429, "expired");
    for no_text in [json!(null), json!({}), json!([1]), json!("")] {
        let mut body = login("jane", PASSWORD);
        body["altcha"] = no_text;
        let answer = app.post("/login", body).await;
        assert_eq!((answer.status.as_u16(), answer.json()["altcha"].is_array()), (400, true), "{answer:?}");
    }
    // The header does as well.
    let work = solution(&wrong(&app, "jane").await);
    let body = login("jane", PASSWORD);
    assert_eq!(from(&app, "192.0.2.1", "/login", &[("x-altcha", &work)], &body).await.status, 200);
}

async fn guesses_from_one_address_are_limited_whoever_they_are_at(database: Database) {
    let app = database.app_with(|b| b.settings(|s| s.limits.set_quota(Limit::LoginAddress, few(3)))).await;
    app.register("jane").await;
    let known = app.log_in("jane", PASSWORD).await.json()["device_token"].as_str().unwrap().to_owned();
    let guess = async |address: &str, n: usize| {
        let answer = from(&app, address, "/login", &[], &login(&format!("user{n}"), "wrong")).await;
        (answer.status.as_u16(), answer)
    };
    for n in 0..3 {
        assert_eq!(guess("192.0.2.1", n).await.0, 400);
    }
    let (status, refused) = guess("192.0.2.1", 4).await;
    assert_eq!((status, refused.header("ratelimit-policy")), (429, "\"login-address\";q=3;w=3600"));
    assert_eq!(guess("::ffff:192.0.2.1", 5).await.0, 429, "the same address");
    assert_eq!(guess("192.0.2.2", 6).await.0, 400, "another address");
    let marked =
        from(&app, "192.0.2.1", "/login", &[("x-device-token", &known)], &login("jane", PASSWORD)).await;
    assert_eq!(marked.status, 200, "a known device is not counted by its address");
    let mut with_work = login("jane", PASSWORD);
    with_work["altcha"] = json!(solution(&refused));
    let other = from(&app, "192.0.2.1", "/login", &[], &with_work).await;
    assert_eq!(other.status, 429, "the work was for another account");
    let challenge = app.call("GET", "/pow/challenge?for=login", None, None).await;
    with_work["altcha"] = json!(solve(&serde_json::from_value(challenge.json()).unwrap()).unwrap());
    assert_eq!(from(&app, "192.0.2.1", "/login", &[], &with_work).await.status, 200);
}

async fn ipv6_addresses_of_one_client_count_together(database: Database) {
    let app = database.app_with(|b| b.settings(|s| s.limits.set_quota(Limit::LoginAddress, few(2)))).await;
    let guess = async |address: &str, n: usize| {
        let body = login(&format!("user{n}"), "wrong");
        from(&app, address, "/login", &[], &body).await.status.as_u16()
    };
    assert_eq!(guess("2001:db8:0:1::1", 0).await, 400);
    assert_eq!(guess("2001:db8:0:1:ffff::2", 1).await, 400);
    assert_eq!(guess("2001:db8:0:1::3", 2).await, 429, "one /64");
    for n in 2..5 {
        for m in 0..2 {
            assert_eq!(guess(&format!("2001:db8:0:{n}::1"), 10 * n + m).await, 400, "another /64");
        }
    }
    assert_eq!(guess("2001:db8:0:9::1", 90).await, 429, "four times as much for the /56");
    assert_eq!(guess("2001:db8:1::1", 91).await, 400, "another /48");
}

async fn registrations_and_mails_are_limited_but_not_those_of_this_machine(database: Database) {
    let post = Post::default();
    let app = database
        .app_with(|b| {
            b.mailer(post.clone()).settings(|settings| {
                settings.registration.mode = RegistrationMode::Verified;
                settings.limits.set_quota(Limit::RegistrationAddress, few(2));
                settings.limits.set_quota(Limit::MailAddress, few(3));
                settings.limits.set_quota(Limit::MailAccount, few(2));
            })
        })
        .await;
    let register = async |address: &str, n: usize| {
        let email = format!("user{n}@example.com");
        let body = json!({"email": email, "username": format!("user{n}"), "password": PASSWORD});
        from(&app, address, "/registration", &[], &body).await
    };
    for (n, status) in [(0, 202), (1, 202), (2, 429)] {
        assert_eq!(register("192.0.2.1", n).await.status, status);
    }
    let refused = register("192.0.2.1", 3).await;
    let work = solution(&refused);
    let body = json!({"email": "w@example.com", "username": "worker", "password": PASSWORD, "altcha": work});
    assert_eq!(from(&app, "192.0.2.1", "/registration", &[], &body).await.status, 202);
    for n in 10..20 {
        assert_eq!(register("127.0.0.1", n).await.status, 202);
    }

    let ask = async |address: &str, name: &str| {
        from(&app, address, "/password/reset", &[], &json!({"email": format!("{name}@example.com")})).await
    };
    for (name, status) in [("a", 202), ("a", 202), ("a", 429), ("b", 202), ("c", 429)] {
        let answer = ask("192.0.2.7", name).await;
        assert_eq!(answer.status, status, "{name}: {answer:?}");
    }
    // The account's own limit holds everywhere.
    for (name, status) in [("d", 202), ("d", 202), ("d", 429), ("e", 202), ("f", 202), ("g", 202)] {
        assert_eq!(ask("127.0.0.1", name).await.status, status, "{name}");
    }
}

async fn every_way_to_mail_an_address_counts_for_the_address(database: Database) {
    let ways = ["/login/email", "/password/reset", "/registration", "/registration/resend-email"];
    for first in ways {
        let app = database.app_with(|b| {
            b.mailer(Post::default()).settings(|settings| {
                settings.registration.mode = RegistrationMode::Verified;
                settings.limits.set_quota(Limit::MailAccount, few(3));
            })
        });
        let app = app.await;
        let (mut serial, name) = (0, first.replace('/', ""));
        let email = format!("{name}@example.com");
        let mut mail = async |way: &str, address: &str, token: &Value, work: Option<&str>| {
            serial += 1;
            let mut body = match way {
                "/registration/resend-email" => json!({"login_token": token}),
                "/registration" => {
                    json!({"email": email, "username": format!("{name}{serial}"), "password": PASSWORD})
                }
                _ => json!({"email": email}),
            };
            if let Some(work) = work {
                body["altcha"] = json!(work);
            }
            app.clock.advance(Duration::from_secs(1));
            from(&app, address, way, &[], &body).await
        };
        // From as many addresses as one likes.
        let begun = mail("/login/email", "192.0.2.1", &Value::Null, None).await.json()["login_token"].clone();
        for address in ["192.0.2.2", "192.0.2.3"] {
            assert_eq!(mail(first, address, &begun, None).await.status, 202, "{first}");
        }
        for way in ways {
            let answer = mail(way, "192.0.2.4", &begun, None).await;
            assert_eq!(answer.status, 429, "{way} after {first}: {answer:?}");
            let work = solution(&answer);
            let answer = mail(way, "192.0.2.5", &begun, Some(&work)).await;
            assert_eq!(answer.status, 202, "{way} after {first}: {answer:?}");
        }
    }
}

async fn no_work_is_a_licence_to_fill_a_mailbox(database: Database) {
    let change =
        |b: Builder| b.mailer(Post::default()).settings(|s| s.limits.set_quota(Limit::MailAccount, few(1)));
    let app = database.app_with(change).await;
    let ask = async |name: &str, work: Option<&str>| {
        let mut body = json!({"email": format!("{name}@example.com")});
        if let Some(work) = work {
            body["altcha"] = json!(work);
        }
        from(&app, "192.0.2.1", "/login/email", &[], &body).await
    };
    assert_eq!(ask("jane", None).await.status, 202);
    for _ in 0..4 {
        let work = solution(&ask("jane", None).await);
        assert_eq!(ask("jane", Some(&work)).await.status, 202);
    }
    let work = solution(&ask("jane", None).await);
    let refused = ask("jane", Some(&work)).await;
    assert_eq!((refused.status.as_u16(), refused.json().get("proof_of_work")), (429, None), "{refused:?}");
    assert_eq!(ask("other", None).await.status, 202);
}

async fn what_is_mailed_on_behalf_of_a_user_counts_for_them(database: Database) {
    let post = Post::default();
    let app = database
        .app_with(|b| {
            b.mailer(post.clone()).settings(|settings| {
                settings.mail.verification = EmailVerification::Required;
                settings.limits.set_quota(Limit::MailAccount, few(2));
            })
        })
        .await;
    for name in ["jane", "john"] {
        let email = format!("{name}@example.com");
        app.auth.users().create_user(name, &email, Some(PASSWORD)).await.unwrap();
    }
    verify(&database).await;
    // Whoever registers with another's address knows the password.
    let body = json!({"email": "victim@example.com", "username": "victim", "password": PASSWORD});
    assert_eq!(from(&app, "192.0.2.1", "/registration", &[], &body).await.status, 401);
    for status in [401, 429] {
        let answer = from(&app, "192.0.2.2", "/login", &[], &login("victim", PASSWORD)).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
    let token = app.log_in("jane", PASSWORD).await.token();
    for status in [401, 401, 429] {
        let answer = app.call("POST", "/reauthenticate", Some(&token), Some(json!({}))).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
    let token = app.log_in("john", PASSWORD).await.token();
    for (name, status) in [("x", 202), ("y", 202), ("z", 429)] {
        let body = json!({"email": format!("{name}@example.com")});
        let answer = app.call("POST", "/email/change", Some(&token), Some(body)).await;
        assert_eq!(answer.status, status, "{name}: {answer:?}");
    }
}

async fn codes_are_limited_by_address(database: Database) {
    let post = Post::default();
    let change =
        |b: Builder| b.mailer(post.clone()).settings(|s| s.limits.set_quota(Limit::CodeAddress, few(2)));
    let app = database.app_with(change).await;
    app.register("jane").await;
    verify(&database).await;
    let begun = app.post("/login/email", json!({"email": "jane@example.com"})).await.json();
    let code = post.one(&app, MailKind::LogIn).await.code();
    let answer = async |address: &str, code: &str| {
        let body = json!({"login_token": begun["login_token"], "method": "email_code", "code": code});
        from(&app, address, "/login/verify", &[], &body).await.status.as_u16()
    };
    for (address, status) in [("192.0.2.1", 400), ("192.0.2.1", 400), ("192.0.2.1", 429), ("192.0.2.2", 400)]
    {
        assert_eq!(answer(address, "BBBB-BBBB").await, status, "{address}");
    }
    assert_eq!(answer("192.0.2.2", &code).await, 200, "what was refused is no attempt");
}

async fn refreshes_with_what_is_no_token_are_limited(database: Database) {
    let app = database.app_with(|b| b.settings(|s| s.limits.set_quota(Limit::RefreshAddress, few(2)))).await;
    app.register("jane").await;
    let pair = app.post("/token", login("jane", PASSWORD)).await.json();
    for status in [401, 401, 429] {
        let body = json!({"refresh": "dwr_nonsense"});
        assert_eq!(from(&app, "192.0.2.1", "/token/refresh", &[], &body).await.status, status);
    }
    let body = json!({"refresh": pair["refresh"]});
    assert_eq!(from(&app, "192.0.2.2", "/token/refresh", &[], &body).await.status, 200);
}

async fn a_right_code_of_a_factor_and_a_right_refresh_token_cost_nothing(database: Database) {
    let app = database.app_with(|b| b.settings(|s| s.limits.set_quota(Limit::RefreshAddress, few(1)))).await;
    app.register("jane").await;
    let mut pair = app.post("/token", login("jane", PASSWORD)).await.json();
    for _ in 0..5 {
        let body = json!({"refresh": pair["refresh"]});
        let answer = from(&app, "192.0.2.1", "/token/refresh", &[], &body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        pair = answer.json();
    }
}

async fn what_is_refused_is_counted_in_the_audit_log(database: Database) {
    let app = database.app_with(|b| b.settings(|settings| settings.limits.free_attempts = 1)).await;
    for _ in 0..4 {
        wrong(&app, "jane").await;
    }
    doorwarden::core::flow::seal_events::write_refusals(app.auth.context(), true).await;
    let records = app.auth.context().store.audit_records(None, 100).await.unwrap();
    let counted = records.iter().find(|record| record.data.get("kind") == Some(&json!("login-account")));
    assert_eq!(counted.unwrap().data["count"], 3);
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

async fn without_limits_nothing_is_counted_and_no_mark_is_given(database: Database) {
    let app = database.app_with(|b| b.settings(|settings| settings.limits.enabled = false)).await;
    app.register("jane").await;
    for _ in 0..40 {
        assert_eq!(from(&app, "192.0.2.1", "/login", &[], &login("jane", "wrong")).await.status, 400);
    }
    let answer = app.log_in("jane", PASSWORD).await;
    assert_eq!(answer.json().as_object().unwrap().len(), 1);
    assert_eq!(answer.header("set-cookie"), "");
    assert_eq!(app.call("GET", "/pow/challenge?for=login", None, None).await.status, 404);
    assert!(!database.has("SELECT 1 FROM doorwarden_attempts").await);
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
