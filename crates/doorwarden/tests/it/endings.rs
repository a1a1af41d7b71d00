//! Operations that end many sessions, and their effect on other instances.

use crate::app::{App, Database, PASSWORD};
use doorwarden::core::flow::authenticate::{ShownTo, authenticate};
use doorwarden::core::flow::log_out::{LogoutScope, log_out};
use doorwarden::core::session::SessionId;
use doorwarden::core::store::{Change, ChangeSink};
use doorwarden::core::tasks;
use doorwarden::core::token::SecretKey;
use doorwarden::core::token::session::SessionTokenKeys;
use doorwarden::{Builder, ClientInfo, UserId};
use futures_util::FutureExt;
use serde_json::{Value, json};
use std::time::Duration;

on_both! {
    an_instance_drops_a_session_from_its_cache_even_if_another_ended_it
    an_instance_drops_a_session_from_its_cache_even_without_the_databases_reply
    an_instance_drops_a_session_from_its_cache_even_if_the_caller_is_gone
    ending_the_other_sessions_never_refuses_the_current_one
    repeated_ends_never_revive_a_session
    an_expiry_before_1970_is_over
    the_session_limit_ends_the_least_recently_used
    a_session_in_use_outlives_any_number_of_logins
    the_session_limit_can_be_disabled
    a_long_list_of_sessions_has_pages
    sign_out_everybody_ends_every_session
}

/// An instance whose change feed is driven by the test, and which trusts its cache.
async fn deaf(database: &Database) -> App {
    let app = database.app_with(|b| b.background(false)).await;
    app.auth.context().live.connected();
    believe(&app);
    app
}

/// Renews the lease of an instance's cache for half a second, however slow the test was.
fn believe(app: &App) {
    let live = &app.auth.context().live;
    live.heard(live.look());
}

fn session_of(token: &str) -> SessionId {
    let keys = SessionTokenKeys::new(&SecretKey::new(crate::app::SECRET).unwrap(), &[]);
    SessionId(keys.verify(token, crate::app::NOON.as_seconds()).unwrap().sid.unwrap())
}

/// Opens sessions of user 1 by SQL.
async fn open_many(database: &Database, many: u32) {
    let (id, at, later) = if database.url.starts_with("sqlite") {
        ("randomblob(16)", "1795435200000000", "1801435200000000")
    } else {
        ("gen_random_uuid()", "to_timestamp(1795435200)", "to_timestamp(1801435200)")
    };
    let sql = format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {many}) \
         INSERT INTO doorwarden_sessions (id, user_id, created_at, last_seen_at, expires_at, auth_time, \
         assurance_level, amr) SELECT {id}, 1, {at}, {at}, {later}, {at}, 1, 'pwd' FROM n"
    );
    database.sql.execute(&sql).await.unwrap();
}

async fn an_instance_drops_a_session_from_its_cache_even_if_another_ended_it(database: Database) {
    let (a, b) = (database.app().await, deaf(&database).await);
    a.register("jane").await;
    for how in ["logout", "all", "others", "session", "revoke"] {
        let token = a.log_in("jane", PASSWORD).await.token();
        let other = a.log_in("jane", PASSWORD).await.token();
        believe(&b);
        for token in [&token, &other] {
            assert_eq!(b.get("/me", token).await.status, 200, "{how}");
        }
        assert_eq!(a.call("POST", "/logout", Some(&token), None).await.status, 204);
        believe(&b);
        assert_eq!(b.get("/me", &token).await.status, 200, "{how}: it has heard nothing");
        let session = format!("/sessions/{}", session_of(&token));
        let answer = match how {
            "logout" => b.call("POST", "/logout", Some(&token), None).await,
            "all" => b.call("POST", "/logout?scope=all", Some(&token), None).await,
            "others" => b.call("POST", "/logout?scope=others", Some(&token), None).await,
            "session" => b.call("DELETE", &session, Some(&other), None).await,
            _ => b.post("/token/revoke", json!({"token": token})).await,
        };
        assert!([200, 204, 404].contains(&answer.status.as_u16()), "{how}: {answer:?}");
        assert_eq!(b.get("/me", &token).await.status, 401, "{how}");
    }
}

/// The outcome is unknown then: here another instance was first.
async fn an_instance_drops_a_session_from_its_cache_even_without_the_databases_reply(database: Database) {
    let (a, b) = (database.app().await, deaf(&database).await);
    a.register("jane").await;
    let rename = async |from: &str, to: &str| {
        database.sql.execute(&format!("ALTER TABLE {from} RENAME TO {to}")).await.unwrap();
    };
    for how in ["logout", "all", "others", "session", "revoke"] {
        let token = a.log_in("jane", PASSWORD).await.token();
        let other = a.log_in("jane", PASSWORD).await.token();
        believe(&b);
        for token in [&token, &other] {
            assert_eq!(b.get("/me", token).await.status, 200, "{how}");
        }
        let session = format!("/sessions/{}", session_of(&token));
        let end = async |app: &App| match how {
            "logout" => app.call("POST", "/logout", Some(&token), None).await,
            "all" => app.call("POST", "/logout?scope=all", Some(&token), None).await,
            "others" => app.call("POST", "/logout?scope=others", Some(&other), None).await,
            "session" => app.call("DELETE", &session, Some(&other), None).await,
            _ => app.post("/token/revoke", json!({"token": token})).await,
        };
        let ended = end(&a).await;
        assert!([200, 204].contains(&ended.status.as_u16()), "{how}: {ended:?}");
        believe(&b);
        assert_eq!(b.get("/me", &token).await.status, 200, "{how}: it has heard nothing");
        rename("doorwarden_sessions", "gone").await;
        let failed = end(&b).await;
        rename("gone", "doorwarden_sessions").await;
        assert_eq!(failed.status, 503, "{how}: {failed:?}");
        assert_eq!(b.get("/me", &token).await.status, 401, "{how}");
    }
}

async fn an_instance_drops_a_session_from_its_cache_even_if_the_caller_is_gone(database: Database) {
    let app = deaf(&database).await;
    app.register("jane").await;
    let context = app.auth.context();
    let mut has_gone_away = false;
    while !has_gone_away {
        let token = app.log_in("jane", PASSWORD).await.token();
        believe(&app);
        let who = authenticate(context, &token, ShownTo::Account).await.unwrap();
        let in_memory = || {
            believe(&app);
            context.live.memory(context.now()).unwrap().session(who.session().unwrap())
        };
        assert!(in_memory().is_some());
        // Polled once and dropped, unless the database was faster.
        let done = log_out(context, &who, LogoutScope::This, ClientInfo::default()).now_or_never();
        has_gone_away = done.is_none();
        assert!(doorwarden_testkit::wait_until(Duration::from_secs(5), || in_memory().is_none()).await);
    }
}

async fn ending_the_other_sessions_never_refuses_the_current_one(database: Database) {
    let (a, b) = (database.app().await, deaf(&database).await);
    a.register("jane").await;
    let (kept, lost) = (a.log_in("jane", PASSWORD).await.token(), a.log_in("jane", PASSWORD).await.token());
    for token in [&kept, &lost] {
        assert_eq!(b.get("/me", token).await.status, 200);
    }
    assert_eq!(a.call("POST", "/logout?scope=others", Some(&kept), None).await.status, 204);
    assert_eq!(a.get("/me", &kept).await.status, 200);
    assert_eq!(a.get("/me", &lost).await.status, 401);
    // Two changes, and a request in between.
    b.auth.context().live.forget(Change::User(UserId(1)));
    assert_eq!(b.get("/me", &kept).await.status, 200);
    assert_eq!(b.get("/me", &lost).await.status, 401);
    // Reversed: a session opened after the end, on an instance that does not know of the end.
    let (c, next) = (deaf(&database).await, a.log_in("jane", PASSWORD).await.token());
    assert_eq!(c.get("/me", &kept).await.status, 200);
    assert_eq!(a.call("POST", "/logout?scope=others", Some(&next), None).await.status, 204);
    assert_eq!(c.get("/me", &next).await.status, 200);
    assert_eq!(c.get("/me", &kept).await.status, 401);
    let sessions = a.get("/sessions", &next).await.json();
    assert_eq!(sessions.as_array().unwrap().len(), 1);
}

async fn repeated_ends_never_revive_a_session(database: Database) {
    let app = deaf(&database).await;
    let first = app.register("jane").await;
    let mut tokens = vec![first];
    for generation in [1_i64, 1023, 1024, 2047, 2048, 2049, 4096, 2048 * 3000, 2048 * 3000 + 1] {
        for token in &tokens {
            app.get("/me", token).await;
        }
        let newest = app.log_in("jane", PASSWORD).await.token();
        assert_eq!(app.get("/me", &newest).await.status, 200);
        tokens.push(newest);
        let raise = format!("UPDATE users SET sessions_generation = {generation}");
        database.sql.execute(&raise).await.unwrap();
        app.auth.context().live.forget(Change::User(UserId(1)));
        for token in &tokens {
            assert_eq!(app.get("/me", token).await.status, 401, "{generation}");
        }
    }
    let last = app.log_in("jane", PASSWORD).await.token();
    assert_eq!(app.get("/me", &last).await.status, 200);
}

async fn an_expiry_before_1970_is_over(database: Database) {
    let (long_ago, minus) = match database.url.starts_with("sqlite") {
        true => ("-1", "-9223372036854775808"),
        false => ("'-infinity'", "'1950-01-01'"),
    };
    for expiry in [long_ago, minus] {
        let app = deaf(&database).await;
        let token = app.log_in("jane", PASSWORD).await;
        let token = if token.status == 200 { token.token() } else { app.register("jane").await };
        let sql = format!("UPDATE doorwarden_sessions SET expires_at = {expiry}");
        database.sql.execute(&sql).await.unwrap();
        assert_eq!(app.get("/me", &token).await.status, 401, "{expiry}");
    }
}

fn with_limit(most: Option<u32>) -> impl FnOnce(Builder) -> Builder {
    move |builder| builder.settings(|settings| settings.session.max_per_user = most)
}

async fn the_session_limit_ends_the_least_recently_used(database: Database) {
    let app = database.app_with(with_limit(Some(3))).await;
    let mut tokens = vec![app.register("jane").await];
    for _ in 0..2 {
        app.clock.advance(Duration::from_mins(2));
        tokens.push(app.log_in("jane", PASSWORD).await.token());
    }
    app.clock.advance(Duration::from_mins(2));
    assert_eq!(app.get("/me", &tokens[0]).await.status, 200);
    tasks::flush_seen(app.auth.context()).await;
    let newest = app.log_in("jane", PASSWORD).await.token();
    let statuses = async |tokens: &[String]| {
        let mut statuses = Vec::new();
        for token in tokens {
            statuses.push(app.get("/me", token).await.status.as_u16());
        }
        statuses
    };
    assert_eq!(statuses(&tokens).await, [200, 401, 200]);
    assert_eq!(app.get("/me", &newest).await.status, 200);
    assert_eq!(app.get("/sessions", &newest).await.json().as_array().unwrap().len(), 3);
    // Tokens issued by the application, too.
    let issued = app.auth.tokens().issue(UserId(1)).await.unwrap().token;
    assert_eq!(app.get("/sessions", &issued).await.json().as_array().unwrap().len(), 3);

    // Sessions from before the limit: ten at a time, the rest in the background.
    open_many(&database, 50).await;
    app.clock.advance(Duration::from_secs(1));
    let newest = app.log_in("jane", PASSWORD).await.token();
    assert_eq!(app.get("/sessions", &newest).await.json().as_array().unwrap().len(), 44);
    while tasks::run_once(app.auth.context()).await {}
    assert_eq!(app.get("/sessions", &newest).await.json().as_array().unwrap().len(), 3);
    assert_eq!(app.get("/me", &newest).await.status, 200);
}

async fn a_session_in_use_outlives_any_number_of_logins(database: Database) {
    let app = database.app_with(with_limit(Some(3))).await;
    let steady = app.register("jane").await;
    app.clock.advance(Duration::from_mins(2));
    for _ in 0..30 {
        assert_eq!(app.get("/me", &steady).await.status, 200);
        tasks::flush_seen(app.auth.context()).await;
        app.clock.advance(Duration::from_secs(5));
        assert_eq!(app.log_in("jane", PASSWORD).await.status, 200);
    }
    // It is now the least recently used one, and ends.
    app.clock.advance(Duration::from_mins(2));
    for _ in 0..3 {
        assert_eq!(app.log_in("jane", PASSWORD).await.status, 200);
    }
    assert_eq!(app.get("/me", &steady).await.status, 401);
}

async fn the_session_limit_can_be_disabled(database: Database) {
    let app = database.app_with(with_limit(None)).await;
    let first = app.register("jane").await;
    open_many(&database, 98).await;
    app.log_in("jane", PASSWORD).await;
    let second = app.log_in("jane", PASSWORD).await.token();
    let list = app.get("/sessions", &second).await;
    assert_eq!(list.json().as_array().unwrap().len(), 100);
    assert!(!list.header("link").is_empty(), "there is one more");
    assert_eq!(app.get("/me", &first).await.status, 200);
    // With the default settings one hundred remain.
    let usual = database.app().await;
    let third = usual.log_in("jane", PASSWORD).await.token();
    let list = usual.get("/sessions", &third).await;
    assert_eq!((list.json().as_array().unwrap().len(), list.header("link")), (100, ""));
}

async fn a_long_list_of_sessions_has_pages(database: Database) {
    let app = database.app_with(with_limit(None)).await;
    app.register("jane").await;
    open_many(&database, 250).await;
    app.clock.advance(Duration::from_secs(5));
    let token = app.log_in("jane", PASSWORD).await.token();
    let (mut path, mut sizes, mut all) = ("/sessions".to_owned(), Vec::new(), Vec::<Value>::new());
    loop {
        let page = app.get(&path, &token).await;
        assert_eq!(page.status, 200);
        let sessions = page.json().as_array().unwrap().clone();
        sizes.push(sessions.len());
        all.extend(sessions);
        let Some(next) = page.header("link").strip_prefix('<') else { break };
        let next = next.strip_suffix(">; rel=\"next\"").unwrap();
        path = format!("/sessions{next}");
    }
    assert_eq!(sizes, [100, 100, 52]);
    assert_eq!((&all[0]["current"], &all[251]["current"]), (&json!(true), &json!(false)));
    let mut ids: Vec<_> = all.iter().map(|session| session["id"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 252);
    for wrong in ["", "1", "x.y", "1.2", "%00", "9223372036854775808.00000000000000000000000000000000"] {
        let refused = app.get(&format!("/sessions?cursor={wrong}"), &token).await;
        refused.is(400, json!({"detail": "Invalid cursor."}));
    }
    let far = "/sessions?cursor=-9223372036854775808.00000000000000000000000000000000";
    assert_eq!(app.get(far, &token).await.json(), json!([]));
}

async fn sign_out_everybody_ends_every_session(database: Database) {
    let (app, other) = (database.app().await, deaf(&database).await);
    let mut tokens = vec![app.register("jane").await, app.register("john").await];
    tokens.push(app.log_in("jane", PASSWORD).await.token());
    for token in &tokens {
        assert_eq!(other.get("/me", token).await.status, 200);
    }
    let out = other.auth.users().sign_out_everybody().await.unwrap();
    assert_eq!((out.users, out.sessions), (2, 3));
    for token in &tokens {
        assert_eq!(other.get("/me", token).await.status, 401, "it knows what it did itself");
    }
    let again = other.log_in("jane", PASSWORD).await.token();
    assert_eq!(other.get("/me", &again).await.status, 200);
}
