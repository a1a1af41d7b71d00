//! Limits that several instances count together.

use crate::service::{Service, free_port};
use crate::site::Site;
use doorwarden_testkit::RedisServer;
use std::time::{Duration, Instant};

#[test]
fn instances_count_together_in_redis_and_each_alone_while_it_is_gone() {
    let (Some(site), Some(mut redis)) = (Site::postgres(), RedisServer::start()) else { return };
    let site = site
        .env("DOORWARDEN_LIMITS_STORE", &redis.url())
        .env("DOORWARDEN_LIMITS_QUOTAS", "login-address=3/1h")
        .env("DOORWARDEN_LOG_FORMAT", "json");
    let doctor = |site: &Site| site.run(&["doctor"]).stdout;
    assert!(doctor(&site).contains("the server of `limits.store` answers"), "{}", doctor(&site));
    let (one, two) = (Service::start(&site, free_port()), Service::start(&site, free_port()));
    let mut serial = 0;
    let mut wrong = |service: &Service| {
        serial += 1;
        let body = format!(r#"{{"email": "nobody{serial}@example.com", "password": "wrong"}}"#);
        service.status("POST", "/login", &body).unwrap()
    };
    let statuses: Vec<_> = [&one, &two, &one, &two, &one].map(&mut wrong).into();
    assert_eq!(statuses, [400, 400, 400, 429, 429]);

    redis.stop();
    assert_eq!([&one, &two].map(&mut wrong), [400, 400]);
    assert!(doctor(&site).contains("the server of `limits.store` does not work"), "{}", doctor(&site));
    redis.run();
    let log = || std::fs::read_to_string(site.path("log")).unwrap();
    let began = Instant::now();
    while log().matches("the store of the limits answers again").count() < 2 {
        assert!(began.elapsed() < Duration::from_secs(30), "it is not used again:\n{}", log());
        wrong(&one);
        wrong(&two);
        std::thread::sleep(Duration::from_millis(100));
    }
    // It had forgotten what it had counted.
    while wrong(&one) != 429 {}
    assert_eq!(wrong(&two), 429);
    assert_eq!(log().matches("the store of the limits does not answer").count(), 2);
    let password = "a-password-of-the-cache";
    assert!(redis.url().contains(password));
    for shown in [log(), doctor(&site), site.run(&["config"]).stdout] {
        assert!(!shown.contains(password), "{shown}");
    }
}

#[test]
fn an_operator_sees_how_many_passwords_were_wrong_and_unlocks_the_right_one() {
    let site =
        Site::sqlite().env("DOORWARDEN_LIMITS_ATTEMPTS", "3").env("DOORWARDEN_LIMITS_FREE_ATTEMPTS", "3");
    let service = Service::start(&site, free_port());
    let body = r#"{"email": "jane@example.com", "username": "jane", "password": "correct horse battery"}"#;
    assert_eq!(service.status("POST", "/registration", body), Some(201));
    let log_in = |password: &str| {
        let body = format!(r#"{{"email": "jane@example.com", "password": "{password}"}}"#);
        service.status("POST", "/login", &body).unwrap()
    };
    assert_eq!(["a", "b", "c", "correct horse battery"].map(log_in), [400, 400, 400, 429]);
    let wrong = || site.run(&["user", "show", "jane@example.com"]).json()["wrong_passwords"].clone();
    let unlock = || site.run(&["user", "unlock", "jane@example.com"]).json()["unlocked"].clone();
    assert_eq!(wrong(), 3);
    assert_eq!((unlock(), unlock(), wrong()), (true.into(), false.into(), 0.into()));
    let event = site.run(&["audit", "list", "--event", "password_unlocked"]).json();
    assert_eq!((&event["actor"], &event["user"]), (&"operator".into(), &1.into()), "{event}");
    assert_eq!(log_in("correct horse battery"), 200);
}
