//! Passkeys: alone, as a second factor, and in the place of a password.

use crate::app::{Database, PASSWORD};
use crate::person::{ORIGIN, Person, session_of, verify, with_passkeys};
use crate::post::Post;
use doorwarden::core::mail::MailKind;
use doorwarden::core::settings::RegistrationMode;
use doorwarden_testkit::authenticator::Authenticator;
use serde_json::{Value, json};
use std::time::Duration;

on_both! {
    a_passkey_alone_confirms_that_it_is_its_user
    a_passkey_logs_in_alone_if_it_has_verified_its_user
    a_passkey_without_verification_needs_the_password
    a_passkey_is_a_second_factor_of_its_own_login_alone
    a_challenge_is_answered_once_and_within_five_minutes
    a_counter_that_does_not_grow_is_told_and_refused_only_if_strict
    an_unknown_passkey_is_told_from_an_invalid_one
    a_passkey_takes_the_place_of_a_password_of_whoever_proves_the_address
}

async fn a_passkey_logs_in_alone_if_it_has_verified_its_user(database: Database) {
    let app = database.app_with(with_passkeys).await;
    let jane = Person::new(&app, "jane").await;
    for algorithm in [-7, -8, -257, -35] {
        let mut key = Authenticator::new(algorithm);
        let made = jane.with_passkey(&mut key).await;
        assert_eq!(made.status, 201, "{made:?}");
        let asked = app.post("/login/passkey/options", json!({})).await.json();
        assert_eq!((&asked["options"]["allowCredentials"], &asked["expires_in"]), (&json!([]), &json!(300)));
        let credential = key.get(&asked["options"], ORIGIN).unwrap();
        let done = app
            .post("/login/passkey", json!({"credential": credential, "challenge_id": asked["challenge_id"]}))
            .await;
        let session = session_of(&app, &done.token()).await;
        assert_eq!(
            (&session["assurance_level"], &session["amr"]),
            (&json!(2), &json!(["hwk", "mfa", "user"]))
        );
    }
    let signals = app.get("/factors/passkeys/signals", &jane.token).await.json();
    let ids = &signals["all_accepted_credentials"]["allAcceptedCredentialIds"];
    assert_eq!(ids.as_array().unwrap().len(), 4);
    assert_eq!(app.call("GET", "/.well-known/webauthn", None, None).await.json(), json!({"origins": []}));
    assert_eq!(app.call("GET", "/config", None, None).await.json()["login"], json!(["password", "passkey"]));
    // Removed, it is unknown.
    let mut key = Authenticator::new(-7);
    let id = jane.with_passkey(&mut key).await.json()["factor"]["id"].as_str().unwrap().to_owned();
    assert_eq!(app.call("DELETE", &format!("/factors/{id}"), Some(&jane.token), None).await.status, 204);
    let asked = app.post("/login/passkey/options", json!({})).await.json();
    let credential = key.get(&asked["options"], ORIGIN).unwrap();
    let gone = app.post("/login/passkey", json!({"credential": credential})).await;
    assert_eq!((gone.status.as_u16(), &gone.json()["code"]), (400, &json!("passkey_unknown")));
}

async fn a_passkey_without_verification_needs_the_password(database: Database) {
    let app = database.app_with(with_passkeys).await;
    let jane = Person::new(&app, "jane").await;
    let mut key = Authenticator::new(-7);
    key.user_verified = false;
    jane.with_passkey(&mut key).await;
    let asked = app.post("/login/passkey/options", json!({})).await.json();
    let credential = key.get(&asked["options"], ORIGIN).unwrap();
    let begun = app.post("/login/passkey", json!({"credential": credential, "tokens": "pair"})).await;
    assert_eq!(
        (begun.status.as_u16(), &begun.json()["code"]),
        (401, &json!("password_required")),
        "{begun:?}"
    );
    assert_eq!(begun.json()["flows"][0]["id"], "password");
    let login = &begun.json()["login_token"];
    let with = |password: &str| json!({"login_token": login, "method": "password", "password": password});
    assert_eq!(app.post("/login/verify", with("a wrong battery")).await.status, 400);
    let done = app.post("/login/verify", with(PASSWORD)).await;
    assert!(done.json()["refresh"].is_string(), "{done:?}");
}

async fn a_passkey_is_a_second_factor_of_its_own_login_alone(database: Database) {
    let app = database.app_with(with_passkeys).await;
    let (jane, eve) = (Person::new(&app, "jane").await, Person::new(&app, "eve").await);
    let (mut key, mut hers) = (Authenticator::new(-7), Authenticator::new(-7));
    key.user_verified = false;
    jane.with_passkey(&mut key).await;
    eve.with_passkey(&mut hers).await;
    let login = jane.begin_login().await;
    let asked = app.post("/login/passkey/options", json!({"login_token": login})).await.json();
    assert_eq!(asked["options"]["allowCredentials"].as_array().unwrap().len(), 1);
    // Another user's passkey over the same challenge.
    let mut any = asked["options"].clone();
    any["allowCredentials"] = json!([]);
    let foreign = hers.get(&any, ORIGIN).unwrap();
    let refused = app.post("/login/passkey", json!({"login_token": login, "credential": foreign})).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["code"]), (400, &json!("passkey_invalid")));
    // The challenge of a login is none of another one, nor of one without a password.
    let credential = key.get(&asked["options"], ORIGIN).unwrap();
    let other = jane.begin_login().await;
    for body in [json!({"credential": credential}), json!({"credential": credential, "login_token": other})] {
        assert_eq!(app.post("/login/passkey", body).await.json()["code"], "passkey_invalid");
    }
    let done = app.post("/login/passkey", json!({"login_token": login, "credential": credential})).await;
    assert_eq!(session_of(&app, &done.token()).await["amr"], json!(["hwk", "mfa", "pwd"]));
}

async fn a_challenge_is_answered_once_and_within_five_minutes(database: Database) {
    let app = database.app_with(with_passkeys).await;
    let jane = Person::new(&app, "jane").await;
    let mut key = Authenticator::new(-7);
    jane.with_passkey(&mut key).await;
    let asked = app.post("/login/passkey/options", json!({})).await.json();
    let credential = key.get(&asked["options"], ORIGIN).unwrap();
    assert_eq!(app.post("/login/passkey", json!({"credential": credential})).await.status, 200);
    let again = app.post("/login/passkey", json!({"credential": credential})).await;
    assert_eq!(again.json()["code"], "challenge_expired");
    let asked = app.post("/login/passkey/options", json!({})).await.json();
    let credential = key.get(&asked["options"], ORIGIN).unwrap();
    app.clock.advance(Duration::from_secs(301));
    let late = app.post("/login/passkey", json!({"credential": credential})).await;
    assert_eq!(late.json()["code"], "challenge_expired");
    let mut forged = asked["options"].clone();
    forged["challenge"] = json!("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    let credential = key.get(&forged, ORIGIN).unwrap();
    assert_eq!(
        app.post("/login/passkey", json!({"credential": credential})).await.json()["code"],
        "passkey_invalid"
    );
    for odd in [json!("x"), json!([]), json!({}), json!({"id": 1}), json!(7)] {
        let refused = app.post("/login/passkey", json!({"credential": odd})).await;
        assert_eq!(refused.status, 400, "{odd}: {refused:?}");
        assert!(refused.json()["credential"].is_array(), "{refused:?}");
    }
}

async fn a_counter_that_does_not_grow_is_told_and_refused_only_if_strict(database: Database) {
    let post = Post::default();
    for strict in [false, true] {
        let app = database.app_with(|builder| {
            let builder = with_passkeys(builder).background(false).mailer(post.clone());
            builder.settings(|settings| settings.factors.strict_counters = strict)
        });
        let app = app.await;
        let name = if strict { "strict" } else { "mild" };
        let jane = Person::new(&app, name).await;
        verify(&app, name).await;
        let mut key = Authenticator::new(-7);
        jane.with_passkey(&mut key).await;
        post.read(&app).await;
        let login = async |key: &mut Authenticator| {
            let asked = app.post("/login/passkey/options", json!({})).await.json();
            let credential = key.get(&asked["options"], ORIGIN).unwrap();
            app.post("/login/passkey", json!({"credential": credential})).await
        };
        key.credentials[0].sign_count = 5;
        assert_eq!(login(&mut key).await.status, 200);
        key.credentials[0].sign_count = 4;
        let behind = login(&mut key).await;
        assert_eq!(behind.status, if strict { 400 } else { 200 }, "{behind:?}");
        post.one(&app, MailKind::PasskeyCounter).await;
        let found = "SELECT 1 FROM doorwarden_audit WHERE kind = 'passkey_counter_regressed'";
        assert!(database.has(found).await);
    }
}

async fn an_unknown_passkey_is_told_from_an_invalid_one(database: Database) {
    let app = database.app_with(with_passkeys).await;
    let jane = Person::new(&app, "jane").await;
    let mut key = Authenticator::new(-7);
    jane.with_passkey(&mut key).await;
    let asked = app.post("/login/passkey/options", json!({})).await.json();
    let credential =
        key.get(&asked["options"], "https://evil.example.org.attacker.test").unwrap_or(Value::Null);
    if credential.is_object() {
        let refused = app.post("/login/passkey", json!({"credential": credential})).await;
        assert_eq!(refused.json()["code"], "passkey_invalid");
    }
    let mut credential = key.get(&asked["options"], ORIGIN).unwrap();
    credential["response"]["signature"] = json!("AAAA");
    let refused = app.post("/login/passkey", json!({"credential": credential})).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["code"]), (400, &json!("passkey_invalid")));
    // An authenticator is registered once.
    let asked = jane.post("/factors/passkeys/options", json!({})).await.json();
    assert_eq!(asked["options"]["excludeCredentials"].as_array().unwrap().len(), 1);
    // Without a relying party there are no passkeys.
    let plain = database.app().await;
    for path in ["/login/passkey/options", "/factors/passkeys/options"] {
        let refused = plain.call("POST", path, Some(&jane.token), Some(json!({}))).await;
        assert_eq!(
            (refused.status.as_u16(), &refused.json()["code"]),
            (404, &json!("passkeys_not_configured"))
        );
    }
}

async fn a_passkey_takes_the_place_of_a_password_of_whoever_proves_the_address(database: Database) {
    let post = Post::default();
    let app = database.app_with(|builder| {
        let builder = with_passkeys(builder).background(false).mailer(post.clone());
        builder.settings(|settings| settings.registration.mode = RegistrationMode::Verified)
    });
    let app = app.await;
    let asked = json!({"email": "jane@example.com", "username": "jane"});
    assert_eq!(app.post("/registration", asked).await.status, 202);
    let mail = post.one(&app, MailKind::VerifyEmail).await;
    let opened = app.post("/registration/verify-email", json!({"key": mail.key()})).await;
    assert_eq!((opened.status.as_u16(), &opened.json()["flows"][0]["id"]), (401, &json!("enroll_factor")));
    // Nobody knows a password of the account, and a link is good once.
    assert_eq!(app.log_in("jane", PASSWORD).await.status, 400);
    let again = app.post("/registration/verify-email", json!({"key": mail.key()})).await;
    assert_eq!(again.json()["code"], "link_invalid");

    let login = opened.json()["login_token"].clone();
    let mut key = Authenticator::new(-7);
    let asked = app.post("/factors/passkeys/options", json!({"login_token": login})).await.json();
    let credential = key.create(&asked["options"], ORIGIN).unwrap();
    let made = app.post("/factors/passkeys", json!({"login_token": login, "credential": credential})).await;
    assert_eq!(session_of(&app, &made.token()).await["amr"], json!(["hwk", "mfa", "user", "email"]));
    let asked = app.post("/login/passkey/options", json!({})).await.json();
    let credential = key.get(&asked["options"], ORIGIN).unwrap();
    assert_eq!(app.post("/login/passkey", json!({"credential": credential})).await.status, 200);

    // The same for whoever is invited; in the mode `open`, a password is needed as ever.
    post.one(&app, MailKind::FactorAdded).await;
    app.auth.users().invite("kim@example.com").await.unwrap();
    let mail = post.one(&app, MailKind::Invitation).await;
    let accepted = app.post("/invitations/accept", json!({"key": mail.key(), "username": "kim"})).await;
    assert_eq!(
        (accepted.status.as_u16(), &accepted.json()["flows"][0]["id"]),
        (401, &json!("enroll_factor"))
    );
    let open = database.app_with(with_passkeys).await;
    let refused = open.post("/registration", json!({"email": "max@example.com", "username": "max"})).await;
    assert_eq!((refused.status.as_u16(), refused.json()["password"].is_array()), (400, true));
}

async fn a_passkey_alone_confirms_that_it_is_its_user(database: Database) {
    let app = database.app_with(with_passkeys).await;
    let jane = Person::new(&app, "jane").await;
    let begin = json!({"method": "factor"});
    assert!(
        jane.post("/reauthenticate", begin.clone()).await.json()["method"].is_array(),
        "there is none yet"
    );
    let mut key = Authenticator::new(-7);
    jane.with_passkey(&mut key).await;
    for (verifies, status) in [(true, 200), (false, 401)] {
        key.user_verified = verifies;
        app.clock.advance(Duration::from_secs(400));
        let begun = jane.post("/reauthenticate", begin.clone()).await;
        assert_eq!((begun.status.as_u16(), &begun.json()["code"]), (401, &json!("mfa_required")));
        let login = begun.json()["login_token"].clone();
        let asked = app.post("/login/passkey/options", json!({"login_token": login})).await.json();
        let credential = key.get(&asked["options"], ORIGIN).unwrap();
        let done = app.post("/login/passkey", json!({"login_token": login, "credential": credential})).await;
        assert_eq!(done.status, status, "{done:?}");
        assert_eq!(done.json().get("token"), None);
        let is_recent = jane.post("/factors/recovery-codes", json!({})).await.status == 200;
        assert_eq!(is_recent, verifies);
    }
}
