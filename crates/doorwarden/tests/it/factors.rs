//! Second factors and passkeys: set up, given at a login, lost and got back.

use crate::app::{Answer, Database, NOON, PASSWORD};
use crate::person::{ORIGIN, Person, session_of, verify, with_passkeys};
use crate::phone::Phone;
use crate::post::Post;
use doorwarden::Builder;
use doorwarden::core::mail::MailKind;
use doorwarden::core::settings::FactorPolicy;
use doorwarden::core::user::UserChange;
use doorwarden_testkit::authenticator::Authenticator;
use doorwarden_testkit::drill;
use futures_util::future::join_all;
use serde_json::json;
use std::time::Duration;

on_both! {
    an_app_is_set_up_with_a_code_and_is_needed_from_then_on
    a_code_of_a_wrong_clock_says_by_how_much
    a_code_is_good_once_and_an_older_one_never
    five_wrong_codes_end_a_login_and_twenty_the_app
    drill_wrong_codes_lock_out_neither_the_password_nor_a_passkey
    a_disabled_app_counts_again_after_three_codes_or_a_recovery_code
    a_recovery_code_is_good_once_and_new_ones_end_the_old
    the_first_factor_ends_the_sessions_that_have_not_proved_it
    a_reset_asks_for_the_second_factor_before_it_stores_the_password
    a_reset_that_waits_for_the_second_factor_is_begun_once_however_often_at_the_same_time
    who_confirms_that_it_is_them_gives_both_factors
    what_needs_a_recent_authentication_needs_both_factors
    a_profile_shows_how_the_access_token_says_that_the_user_authenticated
    a_thief_who_moved_the_account_and_set_a_factor_up_keeps_neither
    whoever_must_have_a_factor_can_log_in_only_to_set_one_up
    the_last_factor_stays_where_one_is_required
    a_factor_is_renamed_and_removed_by_its_user_alone
    an_unproved_address_is_proved_before_the_first_factor
    drill_one_code_one_recovery_code_and_one_challenge_succeed_once
    codes_are_sealed_again_under_a_new_secret_key
}

async fn an_app_is_set_up_with_a_code_and_is_needed_from_then_on(database: Database) {
    let app = database.app().await;
    let jane = Person::new(&app, "jane").await;
    assert_eq!(app.get("/factors", &jane.token).await.json(), json!([]));

    let begun = jane.post("/factors/totp", json!({})).await.json();
    assert!(begun["qr_svg"].as_str().unwrap().starts_with("<svg "), "{begun}");
    let uri = begun["otpauth_uri"].as_str().unwrap();
    assert!(uri.starts_with("otpauth://totp/127.0.0.1%208000:jane@example.com?secret="), "{uri}");
    // What is not confirmed is not needed.
    assert_eq!(app.log_in("jane", PASSWORD).await.status, 200);

    let (phone, codes) = jane.with_totp().await;
    assert_eq!(codes.len(), 10);
    let factors = app.get("/factors", &jane.token).await.json();
    let kinds: Vec<_> = factors.as_array().unwrap().iter().map(|factor| &factor["type"]).collect();
    assert_eq!(kinds, ["totp", "recovery_codes"]);
    assert_eq!((&factors[0]["name"], &factors[1]["unused"]), (&json!("Phone"), &json!(10)));

    let begun = app.log_in("jane", PASSWORD).await;
    assert_eq!(begun.status, 401);
    assert!(begun.header("www-authenticate").contains("insufficient_user_authentication"));
    let begun = begun.json();
    assert_eq!(begun["flows"][0]["id"], "mfa_authenticate");
    assert_eq!(begun["flows"][0]["types"], json!(["totp", "recovery_codes"]));
    assert_eq!(begun.get("token"), None);
    let login_token = begun["login_token"].as_str().unwrap();
    let state = app.post("/login/state", json!({"login_token": login_token})).await;
    assert_eq!(state.json()["flows"], begun["flows"]);

    let done = jane.step(login_token, "totp", &phone.code(&app)).await;
    let session = session_of(&app, &done.token()).await;
    assert_eq!(session["amr"], json!(["mfa", "otp", "pwd"]));
    assert_eq!(session["assurance_level"], 2);
    // The session that set the factor up has proved it.
    assert_eq!(session_of(&app, &jane.token).await["assurance_level"], 2);
}

async fn a_code_of_a_wrong_clock_says_by_how_much(database: Database) {
    let app = database.app().await;
    let jane = Person::new(&app, "jane").await;
    let (id, phone) = jane.begin_totp().await;
    let path = format!("/factors/totp/{id}/confirm");
    let early = jane.post(&path, json!({"code": phone.at(&app, -4)})).await;
    assert_eq!((early.status.as_u16(), &early.json()["code"]), (400, &json!("clock_skew")));
    assert_eq!(early.json()["skew_seconds"], -120);
    let wrong = jane.post(&path, json!({"code": phone.wrong(&app)})).await.json();
    assert!(["code_invalid", "clock_skew"].contains(&wrong["code"].as_str().unwrap()), "{wrong}");
    assert_eq!(jane.post(&path, json!({"code": phone.at(&app, 1)})).await.status, 200);
    // Too late: another one has to be begun.
    let (id, phone) = jane.begin_totp().await;
    app.clock.advance(Duration::from_secs(601));
    let late = jane.post(&format!("/factors/totp/{id}/confirm"), json!({"code": phone.code(&app)})).await;
    assert_eq!(late.status, 401, "the authentication is no longer recent");
}

async fn a_code_is_good_once_and_an_older_one_never(database: Database) {
    let app = database.app().await;
    let jane = Person::new(&app, "jane").await;
    let (phone, _) = jane.with_totp().await;
    let code = phone.at(&app, 1);
    let (first, second) = (jane.begin_login().await, jane.begin_login().await);
    assert_eq!(jane.step(&first, "totp", &code).await.status, 200);
    let again = jane.step(&second, "totp", &code).await;
    assert_eq!((again.status.as_u16(), &again.json()["attempts_left"]), (400, &json!(4)));
    assert_eq!(jane.step(&second, "totp", &phone.code(&app)).await.status, 400, "older than the last one");
    app.clock.advance(Duration::from_mins(1));
    let typed = phone.code(&app);
    let typed = format!(" {} {} ", &typed[..3], &typed[3..]);
    assert_eq!(jane.step(&second, "totp", &typed).await.status, 200);
    assert_eq!(jane.step(&second, "totp", &phone.at(&app, 1)).await.json()["code"], "login_expired");
}

async fn five_wrong_codes_end_a_login_and_twenty_the_app(database: Database) {
    let post = Post::default();
    let app = database.app_with(|builder| builder.background(false).mailer(post.clone())).await;
    let jane = Person::new(&app, "jane").await;
    verify(&app, "jane").await;
    let (phone, codes) = jane.with_totp().await;
    post.read(&app).await;
    for round in 0..4 {
        let login = jane.begin_login().await;
        for left in (0..5).rev() {
            let wrong = jane.step(&login, "totp", &phone.wrong(&app)).await;
            assert_eq!(
                (wrong.status.as_u16(), &wrong.json()["attempts_left"]),
                (400, &json!(left)),
                "{round}"
            );
        }
        let over = jane.step(&login, "totp", &phone.code(&app)).await;
        assert_eq!((over.status.as_u16(), &over.json()["attempts_left"]), (400, &json!(0)));
    }
    post.one(&app, MailKind::TotpDisabled).await;
    assert_eq!(app.get("/factors", &jane.token).await.json()[0]["disabled"], true);
    let login = jane.begin_login().await;
    let right = jane.step(&login, "totp", &phone.code(&app)).await;
    assert_eq!((right.status.as_u16(), &right.json()["flows"][0]["codes_left"]), (401, &json!(2)));
    // The password and the recovery codes are as good as before.
    let login = jane.begin_login().await;
    assert_eq!(jane.step(&login, "recovery_code", &codes[0]).await.status, 200);
    assert_eq!(app.get("/factors", &jane.token).await.json()[0]["disabled"], false);
}

async fn drill_wrong_codes_lock_out_neither_the_password_nor_a_passkey(database: Database) {
    let post = Post::default();
    let app = database.app_with(|b| with_passkeys(b).background(false).mailer(post.clone())).await;
    let jane = Person::new(&app, "jane").await;
    verify(&app, "jane").await;
    let (phone, codes) = jane.with_totp().await;
    let mut key = Authenticator::new(-7);
    jane.with_passkey(&mut key).await;
    let mut key_login = async |login: Option<&str>| {
        let asked = login.map_or(json!({}), |login| json!({"login_token": login}));
        let options = app.post("/login/passkey/options", asked.clone()).await.json()["options"].clone();
        let mut body = asked;
        body["credential"] = key.get(&options, ORIGIN).unwrap();
        app.post("/login/passkey", body).await
    };
    post.read(&app).await;
    // 100 wrong codes, or 10,000.
    for round in 0..drill().rounds(20, 2000) {
        let login = jane.begin_login().await;
        for left in (0..5).rev() {
            let answer = jane.step(&login, "totp", &phone.wrong(&app)).await;
            assert_eq!(
                (answer.status.as_u16(), &answer.json()["attempts_left"]),
                (400, &json!(left)),
                "{round}"
            );
        }
    }
    post.one(&app, MailKind::TotpDisabled).await;
    assert_eq!(app.get("/me", &jane.token).await.status, 200, "whoever is logged in stays so");
    let login = jane.begin_login().await;
    assert_eq!(jane.step(&login, "recovery_code", &codes[0]).await.status, 200);
    assert_eq!(key_login(None).await.status, 200, "a passkey alone");
    let login = jane.begin_login().await;
    assert_eq!(key_login(Some(&login)).await.status, 200, "a passkey beside the password");
    let login = jane.begin_login().await;
    assert_eq!(jane.step(&login, "totp", &phone.code(&app)).await.status, 200, "the app counts again");
    assert!(post.read(&app).await.is_empty(), "one mail tells of all of them");
}

async fn a_disabled_app_counts_again_after_three_codes_or_a_recovery_code(database: Database) {
    let app = database.app().await;
    let jane = Person::new(&app, "jane").await;
    let (phone, _) = jane.with_totp().await;
    for _ in 0..4 {
        let login = jane.begin_login().await;
        for _ in 0..5 {
            jane.step(&login, "totp", &phone.wrong(&app)).await;
        }
    }
    let mut login = jane.begin_login().await;
    for left in [2, 1] {
        let next = jane.step(&login, "totp", &phone.code(&app)).await;
        assert_eq!((next.status.as_u16(), &next.json()["flows"][0]["codes_left"]), (401, &json!(left)));
        assert_eq!(jane.step(&login, "totp", &phone.at(&app, 1)).await.json()["code"], "login_expired");
        next.json()["login_token"].as_str().unwrap().clone_into(&mut login);
        assert_eq!(jane.step(&login, "totp", &phone.code(&app)).await.status, 400, "the same code again");
        app.clock.advance(Duration::from_secs(30));
    }
    assert_eq!(jane.step(&login, "totp", &phone.code(&app)).await.status, 200);
    app.clock.advance(Duration::from_secs(30));
    let login = jane.begin_login().await;
    assert_eq!(jane.step(&login, "totp", &phone.code(&app)).await.status, 200);
}

async fn a_recovery_code_is_good_once_and_new_ones_end_the_old(database: Database) {
    let post = Post::default();
    let app = database.app_with(|builder| builder.background(false).mailer(post.clone())).await;
    let jane = Person::new(&app, "jane").await;
    verify(&app, "jane").await;
    let (_, codes) = jane.with_totp().await;
    post.one(&app, MailKind::FactorAdded).await;
    for (used, code) in codes.iter().enumerate().take(8) {
        let login = jane.begin_login().await;
        let typed = code.to_uppercase().replace('-', " ");
        let done = jane.step(&login, "recovery_code", &typed).await;
        assert_eq!(session_of(&app, &done.token()).await["amr"], json!(["mfa", "pwd", "recovery"]));
        let login = jane.begin_login().await;
        assert_eq!(jane.step(&login, "recovery_code", code).await.status, 400);
        let mails = post.read(&app).await;
        assert_eq!(mails.len(), usize::from(used == 7), "a mail when two are left");
    }
    let renewed = jane.post("/factors/recovery-codes", json!({})).await.json();
    post.one(&app, MailKind::RecoveryCodesRenewed).await;
    let login = jane.begin_login().await;
    assert_eq!(jane.step(&login, "recovery_code", &codes[9]).await.status, 400);
    assert_eq!(jane.step(&login, "recovery_code", renewed["codes"][9].as_str().unwrap()).await.status, 200);
}

async fn the_first_factor_ends_the_sessions_that_have_not_proved_it(database: Database) {
    let app = database.app().await;
    let jane = Person::new(&app, "jane").await;
    let other = app.log_in("jane", PASSWORD).await.token();
    let pair = json!({"email": "jane@example.com", "password": PASSWORD});
    let pair = app.post("/token", pair).await.json();
    jane.with_totp().await;
    assert_eq!(app.get("/me", &other).await.status, 401);
    assert_eq!(app.get("/me", pair["access"].as_str().unwrap()).await.status, 401);
    let refreshed = app.post("/token/refresh", json!({"refresh": pair["refresh"]})).await;
    assert_eq!(refreshed.status, 401, "{refreshed:?}");
    assert_eq!(app.get("/me", &jane.token).await.status, 200);
    // A pair is for both factors, too.
    let begun = app.post("/token", json!({"email": "jane@example.com", "password": PASSWORD})).await;
    assert_eq!((begun.status.as_u16(), &begun.json()["code"]), (401, &json!("mfa_required")));
}

async fn a_reset_asks_for_the_second_factor_before_it_stores_the_password(database: Database) {
    let post = Post::default();
    let app = database.app_with(|builder| builder.background(false).mailer(post.clone())).await;
    let jane = Person::new(&app, "jane").await;
    verify(&app, "jane").await;
    let (phone, _) = jane.with_totp().await;
    post.read(&app).await;
    app.post("/password/reset", json!({"email": "jane@example.com"})).await;
    let mail = post.one(&app, MailKind::ResetPassword).await;
    let chosen = "another battery staple";
    let begun = json!({"key": mail.key(), "new_password": chosen});
    let begun = app.post("/password/reset/confirm", begun).await;
    assert_eq!((begun.status.as_u16(), &begun.json()["code"]), (401, &json!("mfa_required")), "{begun:?}");
    assert_eq!(
        app.log_in("jane", PASSWORD).await.json()["code"],
        "mfa_required",
        "the old one is still good"
    );
    assert_eq!(app.log_in("jane", chosen).await.status, 400);
    let login = begun.json()["login_token"].as_str().unwrap().to_owned();
    assert_eq!(jane.step(&login, "totp", &phone.wrong(&app)).await.status, 400);
    let done = jane.step(&login, "totp", &phone.code(&app)).await;
    assert_eq!((done.status.as_u16(), done.body.len()), (204, 0), "{done:?}");
    assert_eq!(app.log_in("jane", PASSWORD).await.status, 400);
    assert_eq!(app.log_in("jane", chosen).await.json()["code"], "mfa_required");
    assert_eq!(app.get("/me", &jane.token).await.status, 401, "every session has ended");
    // A link with a mailed code is no second factor: both are of the mailbox.
    app.post("/login/email", json!({"email": "jane@example.com"})).await;
    post.read(&app).await;
}

async fn a_reset_that_waits_for_the_second_factor_is_begun_once_however_often_at_the_same_time(
    database: Database,
) {
    let post = Post::default();
    let app = database.app_with(|builder| builder.background(false).mailer(post.clone())).await;
    let jane = Person::new(&app, "jane").await;
    verify(&app, "jane").await;
    jane.with_totp().await;
    post.read(&app).await;
    app.post("/password/reset", json!({"email": "jane@example.com"})).await;
    let key = post.one(&app, MailKind::ResetPassword).await.key();
    let body = json!({"key": key, "new_password": "another battery staple"});
    let answers = join_all((0..16).map(|_| app.post("/password/reset/confirm", body.clone()))).await;
    let with = |status: u16, code: &str| {
        answers.iter().filter(|answer| answer.status == status && answer.json()["code"] == code).count()
    };
    assert_eq!((with(401, "mfa_required"), with(400, "link_invalid")), (1, 15), "{answers:?}");
}

async fn who_confirms_that_it_is_them_gives_both_factors(database: Database) {
    let app = database.app().await;
    let jane = Person::new(&app, "jane").await;
    let (phone, _) = jane.with_totp().await;
    app.clock.advance(Duration::from_secs(400));
    assert_eq!(jane.post("/factors/totp", json!({})).await.json()["code"], "reauthentication_required");
    let begun = jane.post("/reauthenticate", json!({"password": PASSWORD})).await;
    assert_eq!((begun.status.as_u16(), &begun.json()["code"]), (401, &json!("mfa_required")));
    assert_eq!(jane.post("/factors/totp", json!({})).await.status, 401, "the password alone is not enough");
    let login = begun.json()["login_token"].as_str().unwrap().to_owned();
    let done = jane.step(&login, "totp", &phone.code(&app)).await.json();
    assert_eq!((&done["acr"], &done["amr"]), (&json!("2"), &json!(["mfa", "otp", "pwd"])));
    assert_eq!(jane.post("/factors/totp", json!({})).await.status, 201);
}

async fn a_profile_shows_how_the_access_token_says_that_the_user_authenticated(database: Database) {
    let app = database.app().await;
    let session = app.register("jane").await;
    let pair = app.obtain("jane").await;
    let mut plain = app.get("/me", &session).await.json();
    assert!(["acr", "amr", "auth_time"].iter().all(|name| plain.get(name).is_none()), "{plain}");
    let shown = app.get("/me", &pair.access).await.json();
    let back = app.call("PUT", "/me", Some(&pair.access), Some(shown.clone())).await;
    assert_eq!(back.status, 200, "what it returns is accepted: {back:?}");
    let at = NOON.as_seconds();
    let stated = json!({"acr": "1", "amr": ["pwd"], "auth_time": at}).as_object().unwrap().clone();
    plain.as_object_mut().unwrap().extend(stated);
    assert_eq!(shown, plain);
    let issued = app.auth.tokens().issue_pair(doorwarden::UserId(1)).await.unwrap();
    let nobody = app.get("/me", &issued.access).await.json();
    assert_eq!((&nobody["acr"], nobody.get("amr"), nobody.get("auth_time")), (&json!("0"), None, None));
}

async fn what_needs_a_recent_authentication_needs_both_factors(database: Database) {
    let app = database.app().await;
    let jane = Person::new(&app, "jane").await;
    jane.with_totp().await;
    app.clock.advance(Duration::from_secs(400));
    let change = json!({"current_password": PASSWORD, "new_password": "another battery staple"});
    let changed = jane.post("/password/change", change).await;
    assert_eq!(
        (changed.status.as_u16(), &changed.json()["code"]),
        (401, &json!("reauthentication_required"))
    );
    let leave = app.call("DELETE", "/me", Some(&jane.token), Some(json!({"password": PASSWORD}))).await;
    assert_eq!((leave.status.as_u16(), &leave.json()["code"]), (401, &json!("reauthentication_required")));
    let remove = app.get("/factors", &jane.token).await.json()[0]["id"].as_str().unwrap().to_owned();
    let removed = app.call("DELETE", &format!("/factors/{remove}"), Some(&jane.token), None).await;
    assert_eq!(removed.status, 401);
}

async fn whoever_must_have_a_factor_can_log_in_only_to_set_one_up(database: Database) {
    let required = |builder: Builder| {
        with_passkeys(builder).settings(|settings| settings.factors.required = FactorPolicy::Everybody)
    };
    let app = database.app_with(required).await;
    let begun = app.try_register("jane").await;
    assert_eq!((begun.status.as_u16(), &begun.json()["code"]), (401, &json!("factor_enrolment_required")));
    let begun = app.log_in("jane", PASSWORD).await.json();
    assert_eq!(begun["flows"][0]["types"], json!(["totp", "webauthn"]));
    let login = begun["login_token"].as_str().unwrap();
    for method in ["totp", "recovery_code", "password", "new_password", "cancel_deletion"] {
        let body = json!({"login_token": login, "method": method, "code": "123456", "password": PASSWORD, "new_password": "x"});
        assert_eq!(app.post("/login/verify", body).await.status, 401, "{method}");
    }
    let set_up = app.post("/factors/totp", json!({"login_token": login})).await;
    assert_eq!(set_up.status, 201, "{set_up:?}");
    let phone = Phone::new(set_up.json()["secret"].as_str().unwrap());
    let path = format!("/factors/totp/{}/confirm", set_up.json()["id"].as_str().unwrap());
    let done = app.post(&path, json!({"login_token": login, "code": phone.code(&app)})).await;
    assert_eq!(done.json()["recovery_codes"].as_array().unwrap().len(), 10);
    assert_eq!(session_of(&app, &done.token()).await["assurance_level"], 2);
    // The login token is used up, and opens nothing of an account that has a factor.
    assert_eq!(app.post("/factors/totp", json!({"login_token": login})).await.status, 401);

    // The same with a passkey, for a pair.
    app.try_register("kim").await;
    let begun = app.post("/token", json!({"email": "kim@example.com", "password": PASSWORD})).await.json();
    let login = begun["login_token"].as_str().unwrap();
    let asked = app.post("/factors/passkeys/options", json!({"login_token": login})).await.json();
    let credential = Authenticator::new(-7).create(&asked["options"], ORIGIN).unwrap();
    let done = app.post("/factors/passkeys", json!({"login_token": login, "credential": credential})).await;
    assert_eq!(done.status, 201, "{done:?}");
    assert!(done.json()["refresh"].is_string() && done.json()["recovery_codes"].is_array());
}

async fn the_last_factor_stays_where_one_is_required(database: Database) {
    let required =
        |builder: Builder| builder.settings(|settings| settings.factors.required = FactorPolicy::Staff);
    let app = database.app_with(required).await;
    let jane = Person::new(&app, "jane").await;
    let users = app.auth.users();
    let user = users.get_by_email("jane@example.com").await.unwrap().unwrap();
    jane.with_totp().await;
    users.update(user.id, UserChange { is_staff: Some(true), ..UserChange::default() }).await.unwrap();
    let id = app.get("/factors", &jane.token).await.json()[0]["id"].as_str().unwrap().to_owned();
    let path = format!("/factors/{id}");
    let kept = app.call("DELETE", &path, Some(&jane.token), None).await;
    assert_eq!((kept.status.as_u16(), &kept.json()["code"]), (409, &json!("last_factor_required")));
    jane.begin_totp().await;
    assert_eq!(
        app.call("DELETE", &path, Some(&jane.token), None).await.status,
        409,
        "one that is not confirmed"
    );
    users.update(user.id, UserChange { is_staff: Some(false), ..UserChange::default() }).await.unwrap();
    assert_eq!(app.call("DELETE", &path, Some(&jane.token), None).await.status, 204);
    // With the last factor its recovery codes go, and the password is enough again.
    assert_eq!(app.get("/factors", &jane.token).await.json(), json!([]));
    assert_eq!(app.log_in("jane", PASSWORD).await.status, 200);
}

async fn a_factor_is_renamed_and_removed_by_its_user_alone(database: Database) {
    let app = database.app().await;
    let (jane, eve) = (Person::new(&app, "jane").await, Person::new(&app, "eve").await);
    jane.with_totp().await;
    let factors = app.get("/factors", &jane.token).await.json();
    let path = |n: usize| format!("/factors/{}", factors[n]["id"].as_str().unwrap());
    let name = Some(json!({"name": "Old phone"}));
    let renamed = app.call("PATCH", &path(0), Some(&jane.token), name.clone()).await;
    assert_eq!((renamed.status.as_u16(), &renamed.json()["name"]), (200, &json!("Old phone")));
    for (token, n) in [(&eve.token, 0), (&jane.token, 1)] {
        assert_eq!(app.call("PATCH", &path(n), Some(token), name.clone()).await.status, 404);
        assert_eq!(app.call("DELETE", &path(n), Some(token), None).await.status, 404);
    }
    let long = Some(json!({"name": "x".repeat(101)}));
    assert_eq!(app.call("PATCH", &path(0), Some(&jane.token), long).await.status, 400);
    assert_eq!(app.call("DELETE", &path(0), Some(&jane.token), None).await.status, 204);
}

async fn an_unproved_address_is_proved_before_the_first_factor(database: Database) {
    let post = Post::default();
    let app = database.app_with(|builder| builder.background(false).mailer(post.clone())).await;
    let jane = Person::new(&app, "jane").await;
    let refused = jane.post("/factors/totp", json!({})).await;
    assert_eq!(
        (refused.status.as_u16(), &refused.json()["code"]),
        (401, &json!("email_verification_required"))
    );
    let mail = post.one(&app, MailKind::VerifyEmail).await;
    let body = json!({"login_token": refused.json()["login_token"], "code": mail.code()});
    let proved = app.post("/registration/verify-email", body).await;
    let jane = Person { token: proved.token(), ..jane };
    jane.with_totp().await;
}

/// Exactly one of these succeeded.
fn one_success(answers: &[Answer], round: usize, what: &str) {
    let done = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(done, 1, "{round}: {what}: {answers:?}");
}

async fn drill_one_code_one_recovery_code_and_one_challenge_succeed_once(database: Database) {
    let app = database.app_with(with_passkeys).await;
    let jane = Person::new(&app, "jane").await;
    let (phone, mut codes) = jane.with_totp().await;
    let mut key = Authenticator::new(-7);
    jane.with_passkey(&mut key).await;
    for round in 0..drill().rounds(3, 1_000) {
        app.clock.advance(Duration::from_mins(1));
        let logins = join_all((0..32).map(|_| jane.begin_login())).await;
        let code = phone.code(&app);
        let answers = join_all(logins.iter().take(16).map(|login| jane.step(login, "totp", &code))).await;
        one_success(&answers, round, "one use of a step");
        // Wrong ones count for the app; a right one forgets them.
        app.clock.advance(Duration::from_mins(1));
        let login = jane.begin_login().await;
        let mut again = jane.step(&login, "totp", &phone.code(&app)).await;
        for _ in 0..2 {
            if again.status == 401 {
                app.clock.advance(Duration::from_mins(1));
                let login = again.json()["login_token"].as_str().unwrap().to_owned();
                again = jane.step(&login, "totp", &phone.code(&app)).await;
            }
        }
        assert_eq!(again.status, 200);
        let code = codes.pop().unwrap();
        let uses = logins.iter().skip(16).map(|login| jane.step(login, "recovery_code", &code));
        one_success(&join_all(uses).await, round, "one use of a recovery code");
        let asked = app.post("/login/passkey/options", json!({})).await.json();
        let credential = key.get(&asked["options"], ORIGIN).unwrap();
        let uses = (0..32).map(|_| app.post("/login/passkey", json!({"credential": credential})));
        one_success(&join_all(uses).await, round, "one answer of a challenge");
        if codes.is_empty() {
            let asked = app.post("/login/passkey/options", json!({})).await.json();
            let credential = key.get(&asked["options"], ORIGIN).unwrap();
            let token = app.post("/login/passkey", json!({"credential": credential})).await.token();
            let renewed = app.call("POST", "/factors/recovery-codes", Some(&token), None).await.json();
            codes = renewed["codes"]
                .as_array()
                .unwrap()
                .iter()
                .map(|code| code.as_str().unwrap().to_owned())
                .collect();
        }
    }
}

async fn codes_are_sealed_again_under_a_new_secret_key(database: Database) {
    let app = database.app().await;
    let jane = Person::new(&app, "jane").await;
    let (phone, codes) = jane.with_totp().await;
    drop(jane);
    let renewed = |builder: Builder| {
        builder.secret_key("another secret key for tests, long enough").old_secret_keys([crate::app::SECRET])
    };
    let both = database.app_with(renewed).await;
    let alone = |builder: Builder| builder.secret_key("another secret key for tests, long enough");
    let app = database.app_with(alone).await;
    drop(both);
    app.clock.advance(Duration::from_mins(1));
    let jane = Person { app: &app, name: "jane", token: String::new() };
    let login = jane.begin_login().await;
    assert_eq!(jane.step(&login, "totp", &phone.code(&app)).await.status, 200);
    let login = jane.begin_login().await;
    assert_eq!(jane.step(&login, "recovery_code", &codes[0]).await.status, 200);
}

async fn a_thief_who_moved_the_account_and_set_a_factor_up_keeps_neither(database: Database) {
    let post = Post::default();
    let app = database.app_with(|builder| builder.background(false).mailer(post.clone())).await;
    let jane = Person::new(&app, "jane").await;
    verify(&app, "jane").await;
    app.clock.advance(Duration::from_secs(1));
    let moved = jane.post("/email/change", json!({"email": "thief@example.com"})).await;
    assert_eq!(moved.status, 202, "{moved:?}");
    let mails = post.all(&app, 2).await;
    let key = mails.iter().find(|mail| mail.0.to == "thief@example.com").unwrap().key();
    assert_eq!(app.post("/email/change/confirm", json!({"key": key})).await.status, 200);
    let told = post.one(&app, MailKind::EmailChanged).await;
    jane.with_totp().await;
    let change = json!({"current_password": PASSWORD, "new_password": "the battery of a thief"});
    assert_eq!(jane.post("/password/change", change).await.status, 204);
    post.read(&app).await;

    let reverted = app.post("/email/change/revert", json!({"key": told.key()})).await;
    assert_eq!(reverted.status, 200, "{reverted:?}");
    post.read(&app).await;
    app.post("/password/reset", json!({"email": "jane@example.com"})).await;
    let mail = post.one(&app, MailKind::ResetPassword).await;
    let chosen = json!({"key": mail.key(), "new_password": "another battery staple"});
    assert_eq!(
        app.post("/password/reset/confirm", chosen).await.status,
        204,
        "no factor of the thief is asked for"
    );
    assert_eq!(app.log_in("jane", "another battery staple").await.status, 200);
}
