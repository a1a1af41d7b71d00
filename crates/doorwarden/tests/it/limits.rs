//! The limits by address, of mails and of what guesses no password.

use crate::app::{Answer, App, Database, PASSWORD};
use crate::post::Post;
use axum::body::Body;
use axum::extract::ConnectInfo;
use doorwarden::Builder;
use doorwarden::core::limit::proof_of_work::{WorkChallenge, solve};
use doorwarden::core::limit::{Limit, Quota};
use doorwarden::core::mail::MailKind;
use doorwarden::core::settings::{EmailVerification, RegistrationMode};
use http::Request;
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;

on_both! {
    a_refusal_says_what_was_exceeded_in_both_formats
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
    without_limits_nothing_is_counted_and_no_mark_is_given
}

/// A request from this address.
pub(crate) async fn from(
    app: &App,
    address: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &Value,
) -> Answer {
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
pub(crate) async fn verify(database: &Database) {
    database.sql.execute("UPDATE users SET email_verified_at = date_joined").await.unwrap();
}

pub(crate) fn login(name: &str, password: &str) -> Value {
    json!({"email": format!("{name}@example.com"), "password": password})
}

pub(crate) async fn wrong(app: &App, name: &str) -> Answer {
    app.post("/login", login(name, "a wrong battery")).await
}

/// The answer with the solution of the challenge in a refusal.
pub(crate) fn solution(refusal: &Answer) -> String {
    let challenge: WorkChallenge = serde_json::from_value(refusal.json()["proof_of_work"].clone()).unwrap();
    solve(&challenge).unwrap()
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

pub(crate) fn few(count: u32) -> Quota {
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
