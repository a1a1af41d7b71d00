//! Registration, login, the profile.

use crate::app::{Database, PASSWORD};
use axum::body::Body;
use doorwarden::core::user::UserChange;
use doorwarden::{Field, UserId};
use http::Request;
use serde_json::{Value, json};

on_both! {
    a_registered_user_logs_in_and_reads_their_profile
    emails_and_usernames_are_unique_regardless_of_case
    one_response_has_the_errors_of_every_field
    a_registration_cannot_make_itself_staff
    declared_fields_are_validated_stored_and_shown
    undeclared_and_server_fields_can_neither_be_written_nor_seen
    a_profile_change_keeps_fields_that_it_does_not_name
    changes_of_read_only_fields_are_refused
    a_put_requires_the_fields_that_registration_requires
    a_repeated_password_must_match
    the_id_of_a_deleted_account_is_never_reused
    every_failed_login_gets_the_same_answer
    a_stored_username_that_violates_newer_rules_still_logs_in
    two_instances_in_one_process_are_independent
}

async fn a_registered_user_logs_in_and_reads_their_profile(database: Database) {
    let app = database.app().await;
    let token = app.register("jane").await;
    let me = app.get("/me", &token).await;
    assert_eq!(me.header("cache-control"), "no-store");
    me.is(
        200,
        json!({
            "id": 1, "username": "jane", "email": "jane@example.com", "is_active": true, "is_staff": false,
            "is_superuser": false, "date_joined": "2026-11-23T12:00:00.000000Z", "last_login": null, "groups": [],
            "permissions": [],
        }),
    );

    app.clock.advance(std::time::Duration::from_mins(1));
    let second = app.log_in("jane", PASSWORD).await;
    assert_eq!((second.status.as_u16(), second.header("cache-control")), (200, "no-store"));
    assert_ne!(second.token(), token, "no two tokens are alike");
    let me = app.get("/me/", &second.token()).await;
    assert_eq!(me.json()["last_login"], "2026-11-23T12:01:00.000000Z");
}

async fn emails_and_usernames_are_unique_regardless_of_case(database: Database) {
    let app = database.app().await;
    app.register("jane").await;
    let body =
        |email: &str, username: &str| json!({"email": email, "username": username, "password": PASSWORD});
    app.post("/registration", body("JANE@EXAMPLE.COM", "other"))
        .await
        .is(400, json!({"email": ["user with this email already exists."]}));
    app.post("/registration", body("other@example.com", "ＪＡＮＥ"))
        .await
        .is(400, json!({"username": ["user with this username already exists."]}));
    let answer = app.post("/login", json!({"email": " Jane@Example.COM ", "password": PASSWORD})).await;
    assert_eq!(answer.status, 200);
}

async fn one_response_has_the_errors_of_every_field(database: Database) {
    let app = database.app_with(|b| b.field(Field::text("city", 5).required())).await;
    app.register_city().await;
    let body = json!({"email": "city@example.com", "username": "x\u{200b}", "password": "1234567", "city": "Amsterdam"});
    let answer = app.post("/registration", body).await;
    assert_eq!(answer.status, 400);
    let errors = answer.json();
    assert_eq!(errors["email"], json!(["user with this email already exists."]));
    assert_eq!(errors["city"], json!(["Ensure this field has no more than 5 characters."]));
    assert_eq!(
        errors["password"],
        json!([
            "Ensure this field has at least 8 characters.",
            "This password is too common.",
            "This password is entirely numeric.",
        ])
    );
    assert!(errors["username"].is_array());
}

impl crate::app::App {
    async fn register_city(&self) {
        let body =
            json!({"email": "city@example.com", "username": "city", "password": PASSWORD, "city": "Rome"});
        assert_eq!(self.post("/registration", body).await.status, 201);
    }
}

async fn a_registration_cannot_make_itself_staff(database: Database) {
    let app = database.app().await;
    let body = json!({
        "email": "eve@example.com", "username": "eve", "password": PASSWORD, "id": 77, "is_staff": true,
        "is_superuser": true, "is_active": false, "groups": ["admins"], "metadata": {"plan": "gold"},
        "date_joined": "1999-01-01T00:00:00Z", "token": "mine",
    });
    let token = app.post("/registration", body).await.token();
    let me = app.get("/me", &token).await.json();
    assert_eq!((&me["id"], &me["is_staff"], &me["is_superuser"]), (&json!(1), &json!(false), &json!(false)));
    assert_eq!(me["date_joined"], "2026-11-23T12:00:00.000000Z");
    assert!(app.auth.users().get(UserId(1)).await.unwrap().unwrap().metadata.is_empty());
}

fn declared(builder: doorwarden::Builder) -> doorwarden::Builder {
    builder
        .field(Field::text("city", 20).required())
        .field(Field::integer("age").between(0, 150))
        .field(Field::boolean("newsletter"))
        .field(Field::choice("plan", ["free", "team"]).server_only())
        .field(Field::text("note", 100).hidden())
}

#[derive(serde::Deserialize)]
struct Profile {
    city: String,
    age: u8,
    note: String,
}

async fn declared_fields_are_validated_stored_and_shown(database: Database) {
    let app = database.app_with(declared).await;
    let body = |more: Value| {
        let mut body = json!({"email": "jo@example.com", "username": "jo", "password": PASSWORD});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    app.post("/registration", body(json!({}))).await.is(400, json!({"city": ["This field is required."]}));
    app.post("/registration", body(json!({"city": " ", "age": 151, "newsletter": "maybe"}))).await.is(
        400,
        json!({
            "city": ["This field may not be blank."],
            "age": ["Ensure this value is less than or equal to 150."],
            "newsletter": ["Must be a valid boolean."],
        }),
    );
    let answer = app.post("/registration", body(json!({"city": " Rome ", "age": "42", "note": "hi"}))).await;
    let me = app.get("/me", &answer.token()).await.json();
    assert_eq!((&me["city"], &me["age"], &me["newsletter"]), (&json!("Rome"), &json!(42), &json!(null)));
    assert!(me.get("note").is_none(), "a hidden field is not shown");

    let stored = app.auth.users().get(UserId(1)).await.unwrap().unwrap().metadata;
    let typed: Profile = serde_json::from_value(Value::Object(stored)).unwrap();
    assert_eq!((typed.city.as_str(), typed.age, typed.note.as_str()), ("Rome", 42, "hi"));
}

async fn undeclared_and_server_fields_can_neither_be_written_nor_seen(database: Database) {
    let app = database.app_with(declared).await;
    let body = json!({
        "email": "jo@example.com", "username": "jo", "password": PASSWORD, "city": "Rome", "plan": "team", "secret": 1,
    });
    let token = app.post("/registration", body).await.token();
    assert_eq!(app.get("/me", &token).await.json()["plan"], Value::Null);
    let metadata = json!({"plan": "team", "internal": "no"}).as_object().unwrap().clone();
    app.auth.users().update(UserId(1), UserChange { metadata, ..UserChange::default() }).await.unwrap();

    let change = async |body: Value| app.call("PATCH", "/me", Some(&token), Some(body)).await;
    change(json!({"plan": "free", "internal": "yes"}))
        .await
        .is(400, json!({"plan": ["This field cannot be changed here."]}));
    assert_eq!(change(json!({"plan": "team", "internal": "yes"})).await.status, 200);
    let me = app.get("/me", &token).await.json();
    assert_eq!((&me["plan"], me.get("internal")), (&json!("team"), None));
    let stored = app.auth.users().get(UserId(1)).await.unwrap().unwrap().metadata;
    assert_eq!(Value::Object(stored), json!({"city": "Rome", "plan": "team", "internal": "no"}));
}

async fn a_profile_change_keeps_fields_that_it_does_not_name(database: Database) {
    let app = database.app_with(declared).await;
    let body =
        json!({"email": "jo@example.com", "username": "jo", "password": PASSWORD, "city": "Rome", "age": 30});
    let token = app.post("/registration", body).await.token();
    app.try_register("ann").await;

    let change = |body: Value| app.call("PATCH", "/me", Some(&token), Some(body));
    let changed = change(json!({"age": 31})).await.json();
    assert_eq!(
        (&changed["city"], &changed["age"], &changed["username"]),
        (&json!("Rome"), &json!(31), &json!("jo"))
    );
    let changed = change(json!({"username": "  Jo  ", "email": "jo@example.com"})).await.json();
    assert_eq!((&changed["username"], &changed["email"]), (&json!("Jo"), &json!("jo@example.com")));
    assert_eq!(app.get("/me", &token).await.json()["username"], "Jo", "what was changed is read at once");
    change(json!({"username": null})).await.is(400, json!({"username": ["This field may not be null."]}));
    change(json!({"city": null})).await.is(400, json!({"city": ["This field may not be null."]}));
    assert_eq!(app.call("PATCH", "/me", None, Some(json!({"age": 1}))).await.status, 401);
}

async fn the_id_of_a_deleted_account_is_never_reused(database: Database) {
    let app = database.app().await;
    let token = app.register("jane").await;
    let delete = |body: Value| app.call("DELETE", "/me", Some(&token), Some(body));
    delete(json!({})).await.is(400, json!({"password": ["This field is required."]}));
    delete(json!({"password": "wrong horse"}))
        .await
        .is(400, json!({"password": ["The password was entered incorrectly. Please enter it again."]}));
    assert_eq!(app.get("/me", &token).await.status, 200);
    assert_eq!(delete(json!({"password": PASSWORD})).await.status, 204);
    app.get("/me", &token).await.is(401, json!({"detail": "No user matching this token was found."}));

    let token = app.register("jane").await;
    assert_eq!(app.get("/me", &token).await.json()["id"], 2);
}

async fn every_failed_login_gets_the_same_answer(database: Database) {
    let app = database.app().await;
    for name in ["wrong", "inactive", "unusable", "damaged", "empty", "costly"] {
        app.register(name).await;
    }
    let costly = "argon2$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$\
                  AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    for (name, set) in [
        ("inactive", "is_active = '0'"),
        ("unusable", "password = '!x'"),
        ("damaged", "password = 'pbkdf2_sha256$x$y$z'"),
        ("empty", "password = ''"),
        ("costly", &format!("password = '{costly}'")),
    ] {
        let sql = format!("UPDATE users SET {set} WHERE username = '{name}'");
        app.by_hand(&database, &sql).await;
    }
    let expected = json!({"non_field_errors": ["A user with this email and password was not found."]});
    for (name, password) in [
        ("nobody", PASSWORD),
        ("wrong", "wrong horse battery"),
        ("inactive", PASSWORD),
        ("inactive", "wrong horse battery"),
        ("unusable", PASSWORD),
        ("damaged", PASSWORD),
        ("empty", PASSWORD),
        ("costly", PASSWORD),
    ] {
        app.log_in(name, password).await.is(400, expected.clone());
    }
}

impl crate::app::App {
    /// Runs SQL by hand.
    async fn by_hand(&self, database: &Database, sql: &str) {
        database.sql.execute(sql).await.unwrap_or_else(|why| panic!("{sql}\n{why}"));
    }
}

async fn a_stored_username_that_violates_newer_rules_still_logs_in(database: Database) {
    let app = database.app().await;
    app.register("jane").await;
    let sql = "UPDATE users SET username = 'a\u{200b}b', email = 'not an address' WHERE id = 1";
    app.by_hand(&database, sql).await;
    let answer = app.post("/login", json!({"email": "NOT an address", "password": PASSWORD})).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(app.get("/me", &answer.token()).await.json()["username"], "a\u{200b}b");
    let change = async |name: &str| {
        app.call("PATCH", "/me", Some(&answer.token()), Some(json!({"username": name}))).await
    };
    assert_eq!(change("a\u{200b}b").await.status, 200, "unchanged it is accepted, as a form sends it");
    assert_eq!(change("a\u{200b}c").await.status, 400);
    app.post("/login", json!({"email": "not an address", "password": "wrong horse battery"}))
        .await
        .is(400, json!({"email": ["Enter a valid email address."]}));
}

async fn two_instances_in_one_process_are_independent(database: Database) {
    let app = database.app().await;
    let other_database = Database::sqlite();
    let other = other_database.app_with(|b| b.secret_key("another secret key, also long enough")).await;
    let (token, foreign) = (app.register("jane").await, other.register("jane").await);
    assert_eq!(app.get("/me", &token).await.status, 200);
    assert_eq!(app.get("/me", &foreign).await.status, 401);
    assert_eq!(other.get("/me", &foreign).await.status, 200);
    other.auth.close().await;
    assert_eq!(app.get("/me", &token).await.status, 200);
    assert_eq!(other.log_in("jane", PASSWORD).await.status, 503);
}

async fn changes_of_read_only_fields_are_refused(database: Database) {
    let app = database.app_with(declared).await;
    let body = json!({"email": "jo@example.com", "username": "jo", "password": PASSWORD, "city": "Rome"});
    let token = app.post("/registration", body).await.token();
    let fixed = json!(["This field cannot be changed here."]);
    for (name, value) in [
        ("email", json!("new@example.com")),
        ("email", json!(null)),
        ("id", json!(2)),
        ("is_staff", json!(true)),
        ("is_superuser", json!("true")),
        ("is_active", json!(false)),
        ("groups", json!(["editors"])),
        ("permissions", json!(["blog.add_post"])),
        ("date_joined", json!("2026-01-01T00:00:00Z")),
        ("last_login", json!("2026-01-01T00:00:00Z")),
        ("password", json!("another password 9")),
        ("metadata", json!({})),
        ("plan", json!("team")),
    ] {
        for method in ["PATCH", "PUT"] {
            let mut body = json!({"username": "Jo", "city": "Milan"});
            body[name] = value.clone();
            let answer = app.call(method, "/me", Some(&token), Some(body)).await;
            answer.is(400, json!({name: fixed}));
        }
    }
    let me = app.get("/me", &token).await.json();
    assert_eq!((&me["username"], &me["city"]), (&json!("jo"), &json!("Rome")), "nothing of it was written");
    let back = app.call("PUT", "/me", Some(&token), Some(me.clone())).await;
    back.is(200, me.clone());
    let form = "username=jo&city=Milan&id=1&is_staff=false&email=jo%40example.com&last_login=";
    let request = Request::patch("/me")
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(form))
        .unwrap();
    assert_eq!(app.send(request).await.json()["city"], "Milan", "a form sends texts");
}

async fn a_put_requires_the_fields_that_registration_requires(database: Database) {
    let app = database.app_with(declared).await;
    let body =
        json!({"email": "jo@example.com", "username": "jo", "password": PASSWORD, "city": "Rome", "age": 30});
    let token = app.post("/registration", body).await.token();
    let put = async |body: Value| app.call("PUT", "/me", Some(&token), Some(body)).await;
    let missing = json!(["This field is required."]);
    put(json!({})).await.is(400, json!({"username": missing, "city": missing}));
    put(json!({"username": "Jo"})).await.is(400, json!({"city": missing}));
    let changed = put(json!({"username": "Jo", "city": "Milan"})).await.json();
    assert_eq!(
        (&changed["username"], &changed["city"], &changed["age"]),
        (&json!("Jo"), &json!("Milan"), &json!(30))
    );
    assert_eq!(app.call("PUT", "/me", None, Some(json!({}))).await.status, 401);
}

async fn a_repeated_password_must_match(database: Database) {
    let app = database.app().await;
    let mismatch = json!({"non_field_errors": ["The two password fields didn't match."]});
    let names = ["re_password", "password2", "password_confirm", "passwordConfirmation", "confirm-password"];
    for (n, name) in names.into_iter().enumerate() {
        let mut body =
            json!({"email": format!("j{n}@example.com"), "username": format!("j{n}"), "password": PASSWORD});
        for other in [json!("something else 9"), json!(""), json!(null), json!([PASSWORD])] {
            body[name] = other;
            app.post("/registration", body.clone()).await.is(400, mismatch.clone());
        }
        body[name] = json!(PASSWORD);
        assert_eq!(app.post("/registration", body).await.status, 201, "{name}");
    }
    let token = app.register("jane").await;
    let change = async |name: &str, again: &str| {
        let mut body = json!({"current_password": PASSWORD, "new_password": "another password 9"});
        body[name] = json!(again);
        app.call("POST", "/password/change", Some(&token), Some(body)).await
    };
    for name in ["re_new_password", "new_password2", "confirm_password"] {
        change(name, "another passwort 9").await.is(400, mismatch.clone());
    }
    assert_eq!(change("re_new_password", "another password 9").await.status, 204);
    let app = Database::sqlite();
    let app = app.app_with(|b| b.field(Field::text("password2", 80))).await;
    let body =
        json!({"email": "j@example.com", "username": "j", "password": PASSWORD, "password2": "declared"});
    assert_eq!(app.post("/registration", body).await.status, 201, "a declared field is that field");
}
