//! Passwords: validation, storage, and the sessions that a change ends.

use crate::app::{Answer, App, Database, NOON, PASSWORD};
use doorwarden::core::flow::manage::SetPasswordError;
use doorwarden::core::settings::{PasswordChangeEnds, WithoutSession};
use doorwarden::core::token::SecretKey;
use doorwarden::core::token::session::{SessionClaims, SessionTokenKeys};
use doorwarden::{Password, UserId};
use doorwarden_testkit::wait_until;
use serde_json::json;
use std::time::Duration;

on_both! {
    a_password_is_used_exactly_as_typed
    whitespace_alone_is_not_a_password
    an_imported_password_is_accepted_with_and_without_whitespace
    a_login_with_surrounding_whitespace_marks_the_password_as_untrimmed
    a_failed_login_takes_the_same_work_for_every_account
    a_hash_of_another_cost_is_upgraded_at_login_and_ends_nothing
    a_change_requires_the_current_password_and_ends_the_other_sessions
    a_change_can_end_all_sessions_and_returns_a_new_token
    a_change_revokes_tokens_without_a_session_even_of_the_same_second
    a_change_by_the_operator_ends_every_session
}

async fn a_password_is_used_exactly_as_typed(database: Database) {
    let app = database.app().await;
    let body = json!({"email": "pad@example.com", "username": "pad", "password": "  pass word 42  "});
    assert_eq!(app.post("/registration", body).await.status, 201);
    assert_eq!(app.log_in("pad", "  pass word 42  ").await.status, 200);
    for other in ["pass word 42", "  pass word 42", "  Pass word 42  "] {
        assert_eq!(app.log_in("pad", other).await.status, 400, "{other:?}");
    }
    let stored = app.auth.users().get(UserId(1)).await.unwrap().unwrap().password;
    assert!(stored.as_str().starts_with("argon2$argon2id$v=19$"), "{stored:?}");
}

/// Characters that Python's `str.strip()` treats as whitespace, and others.
async fn whitespace_alone_is_not_a_password(database: Database) {
    let app = database.app().await;
    let token = app.register("jane").await;
    let refused = |answer: Answer, field: &str, typed: &str| {
        assert_eq!(answer.status, 400, "{typed:?}");
        assert_eq!(answer.json()[field], json!(["This field may not be blank."]), "{typed:?}");
    };
    for typed in [
        "",
        "         ",
        "\t\n\u{b}\u{c}\r\u{1c}\u{1d}\u{1e}\u{1f}",
        "\u{85}\u{a0}\u{1680}\u{2000}\u{2007}\u{2028}\u{2029}\u{202f}\u{205f}\u{3000}",
    ] {
        let body = json!({"email": "pad@example.com", "username": "pad", "password": typed});
        refused(app.post("/registration", body).await, "password", typed);
        let change = json!({"current_password": PASSWORD, "new_password": typed});
        refused(
            app.call("POST", "/password/change", Some(&token), Some(change)).await,
            "new_password",
            typed,
        );
        refused(app.log_in("jane", typed).await, "password", typed);
        let set = app.auth.users().set_password(UserId(1), Some(typed)).await;
        assert!(matches!(set, Err(SetPasswordError::Invalid(_))), "{typed:?}");
    }
    let seen = "\u{180e}\u{feff}\u{2800}\u{200b}\u{2060}\u{ad} \u{180e}\u{feff}";
    let body = json!({"email": "pad@example.com", "username": "pad", "password": seen});
    assert_eq!(app.post("/registration", body).await.status, 201);
    assert_eq!(app.log_in("pad", seen).await.status, 200);
}

async fn an_imported_password_is_accepted_with_and_without_whitespace(database: Database) {
    let app = database.app().await;
    let body = json!({"email": "old@example.com", "username": "old", "password": PASSWORD});
    let token = app.post("/registration", body).await.token();
    database.sql.execute("UPDATE users SET password_trimmed = '1' WHERE id = 1").await.unwrap();
    assert_eq!(app.log_in("old", &format!("  {PASSWORD} \n")).await.status, 200);
    assert_eq!(app.log_in("old", PASSWORD).await.status, 200);

    let change = json!({"current_password": format!(" {PASSWORD}"), "new_password": " another horse 7 "});
    assert_eq!(app.call("POST", "/password/change", Some(&token), Some(change)).await.status, 204);
    assert_eq!(app.log_in("old", " another horse 7 ").await.status, 200);
    assert_eq!(app.log_in("old", "another horse 7").await.status, 400, "the new password counts as typed");
}

async fn a_login_with_surrounding_whitespace_marks_the_password_as_untrimmed(database: Database) {
    let app = database.app().await;
    let trimmed = async || app.auth.users().get(UserId(1)).await.unwrap().unwrap().password_trimmed;
    let password = format!(" {PASSWORD} ");
    let body = json!({"email": "old@example.com", "username": "old", "password": password});
    app.post("/registration", body).await.token();
    database.sql.execute("UPDATE users SET password_trimmed = '1' WHERE id = 1").await.unwrap();
    assert_eq!(app.log_in("old", PASSWORD).await.status, 400);
    assert!(trimmed().await);
    assert_eq!(app.log_in("old", &password).await.status, 200);
    assert!(!trimmed().await, "Django's admin set it");
    assert_eq!(app.log_in("old", &password).await.status, 200);
}

async fn a_failed_login_takes_the_same_work_for_every_account(database: Database) {
    let app = database.app().await;
    for name in ["trimmed", "here", "inactive", "unusable"] {
        app.register(name).await;
    }
    let change = "UPDATE users SET password_trimmed = '1' WHERE username = 'trimmed'; \
                  UPDATE users SET password = '!' WHERE username = 'unusable'; \
                  UPDATE users SET is_active = '0' WHERE username = 'inactive'";
    database.sql.execute(change).await.unwrap();
    for wrong in ["wrong horse", " wrong horse", "wrong horse\t", "\u{a0}wrong horse "] {
        let mut work = Vec::new();
        for name in ["trimmed", "here", "inactive", "unusable", "nobody"] {
            let before = done(&app).await;
            assert_eq!(app.log_in(name, wrong).await.status, 400);
            work.push(done(&app).await - before);
        }
        assert!(work[0] > 0 && work.iter().all(|kib| *kib == work[0]), "{wrong:?}: {work:?}");
    }
    let blanks = format!("{PASSWORD} ");
    let before = done(&app).await;
    assert_eq!(app.log_in("inactive", &blanks).await.status, 400);
    let wrong = done(&app).await - before;
    assert_eq!(app.log_in("here", &blanks).await.status, 400);
    assert_eq!(done(&app).await - before, 2 * wrong);
}

/// The number of hashes computed so far, once the pool is idle.
async fn done(app: &App) -> u64 {
    let stats = || app.auth.context().pool.stats();
    assert!(wait_until(Duration::from_secs(20), || (stats().queued, stats().busy) == (0, 0)).await);
    stats().filled_kib
}

async fn a_hash_of_another_cost_is_upgraded_at_login_and_ends_nothing(database: Database) {
    let app = database.app().await;
    app.register("jane").await;
    // "correct horse battery" as Django's pbkdf2_sha256 with ten iterations.
    let old = "pbkdf2_sha256$10$seasalt$za4/yAene8Rm3F9K2wxi3Fin9sGSuPXqNDUSKnjM97k=";
    let sql = format!("UPDATE users SET password = '{old}' WHERE id = 1");
    database.sql.execute(&sql).await.unwrap();
    let token = app.auth.tokens().issue(UserId(1)).await.unwrap().token;
    let login = app.log_in("jane", PASSWORD).await;
    assert_eq!(login.status, 200, "{login:?}");
    let stored = app.auth.users().get(UserId(1)).await.unwrap().unwrap().password;
    assert!(stored.as_str().starts_with("argon2$"), "{stored:?}");
    assert_eq!(app.log_in("jane", PASSWORD).await.status, 200);
    assert_eq!(app.get("/me", &token).await.status, 200, "a new hash of the same password ends no session");
}

async fn a_change_requires_the_current_password_and_ends_the_other_sessions(database: Database) {
    let app = database.app().await;
    let (here, there) = (app.register("jane").await, app.log_in("jane", PASSWORD).await.token());
    let change = |current: &str, new: &str| {
        let body = json!({"current_password": current, "new_password": new});
        app.call("POST", "/password/change", Some(&here), Some(body))
    };
    change("wrong horse battery", "12345678").await.is(
        400,
        json!({
            "current_password": ["The password was entered incorrectly. Please enter it again."],
            "new_password": ["This password is too common.", "This password is entirely numeric."],
        }),
    );
    assert_eq!(app.get("/me", &there).await.status, 200, "a refused change ends nothing");
    assert_eq!(change(PASSWORD, "a staple of 7 batteries").await.status, 204);
    assert_eq!(app.get("/me", &here).await.status, 200);
    assert_eq!(app.get("/me", &there).await.status, 401);
    assert_eq!(app.log_in("jane", PASSWORD).await.status, 400);
    assert_eq!(app.log_in("jane", "a staple of 7 batteries").await.status, 200);
}

async fn a_change_can_end_all_sessions_and_returns_a_new_token(database: Database) {
    let app =
        database.app_with(|b| b.settings(|s| s.password_change_ends = PasswordChangeEnds::AllSessions)).await;
    let token = app.register("jane").await;
    let body = json!({"current_password": PASSWORD, "new_password": "a staple of 7 batteries"});
    let answer = app.call("POST", "/password/change", Some(&token), Some(body)).await;
    assert_eq!(answer.status, 200);
    assert_eq!(app.get("/me", &token).await.status, 401);
    assert_eq!(app.get("/me", &answer.token()).await.status, 200);
}

async fn a_change_revokes_tokens_without_a_session_even_of_the_same_second(database: Database) {
    let app = database.app_with(|b| b.settings(|s| s.session.without_session = WithoutSession::Accept)).await;
    app.register("jane").await;
    let keys = SessionTokenKeys::new(&SecretKey::new(crate::app::SECRET).unwrap(), &[]);
    let now = NOON.as_seconds();
    let mint =
        |iat: Option<i64>| keys.sign(&SessionClaims { id: 1, exp: now + 3600, iat, jti: None, sid: None });
    let (old, same_second, undated) = (mint(Some(now - 60)), mint(Some(now)), mint(None));
    for token in [&old, &same_second, &undated] {
        assert_eq!(app.get("/me", token).await.status, 200);
    }
    app.clock.advance(Duration::from_millis(400));
    app.auth.users().set_password(UserId(1), Some("a staple of 7 batteries")).await.unwrap();
    for token in [&old, &same_second, &undated] {
        assert_eq!(app.get("/me", token).await.status, 401);
    }
    app.clock.advance(Duration::from_secs(1));
    assert_eq!(app.get("/me", &mint(Some(now + 1))).await.status, 200);
}

async fn a_change_by_the_operator_ends_every_session(database: Database) {
    let app = database.app().await;
    let (one, two) = (app.register("jane").await, app.log_in("jane", PASSWORD).await.token());
    let weak = doorwarden::core::flow::manage::check_password_strength(
        app.auth.context(),
        &Password::new("jane@example.com"),
        "jane",
        "jane@example.com",
    );
    assert!(weak.unwrap_err().has("password"));
    app.auth.users().set_password(UserId(1), None).await.unwrap();
    assert_eq!(
        (app.get("/me", &one).await.status, app.get("/me", &two).await.status),
        (401u16.try_into().unwrap(), 401u16.try_into().unwrap())
    );
    assert_eq!(app.log_in("jane", PASSWORD).await.status, 400, "an unusable password is nobody's");
}
