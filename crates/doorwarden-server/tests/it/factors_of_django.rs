//! Second factors of `django-otp` and `django-allauth`, made by them (`tests/data/django/mfa.py`). Whoever
//! had one needs the same one after the import.

use crate::django::{Database, Run, Service, expected, import_command, run};
use crate::site::SECRET_KEY;
use doorwarden::RelyingParty;
use doorwarden_testkit::RawSql;
use doorwarden_testkit::authenticator::Authenticator;
use rusqlite::types::ValueRef;
use serde_json::{Value, json};
use std::fmt::Write;
use std::time::Duration;

const ISSUER: &str = "https://accounts.example.org";
const RP_ID: &str = "accounts.example.org";

/// Django's tables on PostgreSQL, as its migrations make them.
const TABLES: [(&str, &str); 5] = [
    (
        "auth_user",
        "id serial PRIMARY KEY, password varchar(128), last_login timestamptz, is_superuser boolean, \
         username varchar(150), last_name varchar(150), email varchar(254), is_staff boolean, is_active boolean, \
         date_joined timestamptz, first_name varchar(150)",
    ),
    (
        "otp_totp_totpdevice",
        "id serial PRIMARY KEY, name varchar(64), confirmed boolean, key varchar(80), step smallint, t0 bigint, \
         digits smallint, tolerance smallint, drift smallint, last_t bigint, user_id integer, \
         throttling_failure_count integer, throttling_failure_timestamp timestamptz, created_at timestamptz, \
         last_used_at timestamptz",
    ),
    (
        "otp_static_staticdevice",
        "id serial PRIMARY KEY, name varchar(64), confirmed boolean, user_id integer, \
         throttling_failure_count integer, throttling_failure_timestamp timestamptz, created_at timestamptz, \
         last_used_at timestamptz",
    ),
    ("otp_static_statictoken", "id serial PRIMARY KEY, token varchar(16), device_id integer"),
    (
        "mfa_authenticator",
        "id bigserial PRIMARY KEY, type varchar(20), data jsonb, user_id integer, created_at timestamptz, \
         last_used_at timestamptz",
    ),
];

/// The database on SQLite, after this change of it.
async fn on_sqlite(change: &str) -> Database {
    let database = Database::django("django-mfa").await.unwrap();
    database.sql().execute_batch(change).unwrap();
    database
}

/// The same rows on PostgreSQL.
async fn on_postgres() -> Option<Database> {
    let target = Database::postgres().await?;
    let Database::Postgres(postgres) = &target else { return None };
    let source = on_sqlite("").await.sql();
    for (table, columns) in TABLES {
        let mut sql = format!("CREATE TABLE {table} ({columns});");
        let mut rows = source.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let names = rows.column_names().join(", ");
        let count = rows.column_count();
        let mut rows = rows.query(()).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let value = |place| match row.get_ref(place).unwrap() {
                ValueRef::Null => "NULL".to_owned(),
                ValueRef::Integer(number) => format!("'{number}'"),
                ValueRef::Text(text) => {
                    format!("'{}'", std::str::from_utf8(text).unwrap().replace('\'', "''"))
                }
                other => panic!("{other:?}"),
            };
            let values: Vec<_> = (0..count).map(value).collect();
            write!(sql, "INSERT INTO {table} ({names}) VALUES ({});", values.join(", ")).unwrap();
        }
        postgres.sql().execute(&sql).await.unwrap();
    }
    Some(target)
}

/// Imports into a service whose passkeys belong to this issuer.
fn import(from: &Database, to: &Database, issuer: &str, arguments: &[&str]) -> Run {
    let mut command = import_command(from, to, arguments);
    command.args(["--set", &format!("tokens.issuer={issuer}")]).env("DOORWARDEN_SECRET_KEY", SECRET_KEY);
    run(command)
}

async fn service(target: &Database) -> Service {
    let party = RelyingParty::new(RP_ID, "Example", [ISSUER]).unwrap();
    target.service_with(SECRET_KEY, |settings| settings.factors.passkeys = Some(party)).await
}

fn problems(report: &Value) -> Vec<String> {
    let findings = report["first_findings"].as_array().unwrap().iter();
    let problem = |finding: &Value| format!("{}: {}", finding["name"], finding["problem"]).replace('"', "");
    findings.filter(|finding| finding["kind"] == "factor").map(problem).collect()
}

/// The answer to the right password.
async fn begun(service: &Service, expected: &Value, name: &str) -> (u16, Value) {
    let login = json!({"email": format!("{name}@example.com"), "password": expected[name]["password"]});
    let (status, answer) = service.post("/login", &login).await;
    match answer["code"] == "mfa_required" {
        true => (status, answer),
        false => (status, answer["token"].clone()),
    }
}

/// Whether a second factor ends a login.
async fn proves(service: &Service, expected: &Value, name: &str, method: &str, code: &Value) -> bool {
    let (status, answer) = begun(service, expected, name).await;
    assert_eq!((status, &answer["code"]), (401, &"mfa_required".into()), "{name}: {answer}");
    let verify = json!({"login_token": answer["login_token"], "method": method, "code": code});
    let (status, answer) = service.post("/login/verify", &verify).await;
    match status {
        200 => service.me(answer["token"].as_str().unwrap()).await.is_some(),
        _ => false,
    }
}

async fn the_same_factors_are_needed_after_the_import(source: Database, target: Database) {
    let expected = expected("django-mfa");
    let stopped = import(&source, &target, ISSUER, &[]);
    assert_eq!(stopped.code, 1, "{stopped:?}");
    assert_eq!(stopped.json()["imported"], 0);

    let imported = import(&source, &target, ISSUER, &["--on-conflict", "skip"]);
    assert_eq!(imported.code, 0, "{imported:?}");
    let report = imported.json();
    assert_eq!(report["factors"], json!({"totp": 4, "webauthn": 1, "recovery_codes": 3}));
    let counts = ["imported", "imported_factors", "factors_left", "unconfirmed_factors"];
    assert_eq!(counts.map(|count| &report[count]), [&json!(9), &json!(5), &json!(2), &json!(1)]);
    let mut found = problems(&report);
    found.sort();
    assert_eq!(
        found,
        [
            "recovery codes of user 7: there is no other factor beside them",
            "totp `Odd` of user 5: its codes are counted from second 12345 of 1970, which is not possible here",
            "totp `Watch` of user 8: the clock of its device differs by 90 seconds, so its codes are refused until it is \
             set",
        ]
    );

    let service = service(&target).await;
    for name in ["ada", "ben"] {
        let factors = &expected[name];
        assert!(proves(&service, &expected, name, "totp", &factors["totp"]).await, "{name}");
        assert!(!proves(&service, &expected, name, "totp", &factors["totp"]).await, "{name}: twice");
        assert!(
            !proves(&service, &expected, name, "recovery_code", &factors["used"][0]).await,
            "{name}: used there"
        );
        for code in factors["codes"].as_array().unwrap() {
            assert!(proves(&service, &expected, name, "recovery_code", code).await, "{name}: {code}");
            assert!(!proves(&service, &expected, name, "recovery_code", code).await, "{name}: {code} twice");
        }
    }
    let hal = &expected["hal"];
    assert!(!proves(&service, &expected, "hal", "totp", &hal["late_totp"]).await);
    assert!(proves(&service, &expected, "hal", "totp", &hal["totp"]).await);
    for code in hal["codes"].as_array().unwrap() {
        assert!(proves(&service, &expected, "hal", "recovery_code", code).await, "{code}");
    }
    logs_in_with_the_passkey(&service, &expected).await;
    // Whoever had no factor, or none that counts here, has none.
    for name in ["eve", "finn", "gil", "ivy"] {
        assert_eq!(begun(&service, &expected, name).await.0, 200, "{name}");
    }
    // A code of eight digits a minute, the newest of which was used before the import.
    let dan = &expected["dan"];
    assert!(!proves(&service, &expected, "dan", "totp", &dan["used_totp"]).await);
    service.clock.advance(Duration::from_mins(1));
    assert!(proves(&service, &expected, "dan", "totp", &dan["totp"]).await);
    service.auth.close().await;

    let again = import(&source, &target, ISSUER, &["--on-conflict", "skip"]).json();
    assert_eq!(["imported", "imported_factors"].map(|count| &again[count]), [&json!(0), &json!(0)]);
}

async fn logs_in_with_the_passkey(service: &Service, expected: &Value) {
    let passkey = &expected["cleo"]["passkey"];
    let bytes = |name: &str| base64url(passkey[name].as_str().unwrap());
    let sign_count = u32::try_from(passkey["sign_count"].as_u64().unwrap()).unwrap();
    let mut authenticator = Authenticator::new(-7);
    (authenticator.backup_eligible, authenticator.backed_up) = (true, true);
    authenticator.take_over(bytes("id"), RP_ID, bytes("user_handle"), sign_count, &bytes("pkcs8"));

    let (status, answer) = begun(service, expected, "cleo").await;
    assert_eq!((status, &answer["flows"][0]["types"]), (401, &json!(["webauthn"])), "{answer}");
    // As a second factor, and alone.
    for mut request in [json!({"login_token": answer["login_token"]}), json!({})] {
        let (_, asked) = service.post("/login/passkey/options", &request).await;
        request["credential"] = authenticator.get(&asked["options"], ISSUER).unwrap();
        let (status, answer) = service.post("/login/passkey", &request).await;
        assert_eq!(status, 200, "{answer}");
        let me = service.me(answer["token"].as_str().unwrap()).await.unwrap();
        assert_eq!(me["id"], 40);
    }
}

fn base64url(text: &str) -> Vec<u8> {
    doorwarden::core::token::base64url::decode(text.as_bytes()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn factors_come_from_sqlite_to_sqlite() {
    the_same_factors_are_needed_after_the_import(on_sqlite("").await, Database::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn factors_come_from_postgres_to_postgres() {
    let (Some(source), Some(target)) = (on_postgres().await, Database::postgres().await) else { return };
    the_same_factors_are_needed_after_the_import(source, target).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_kept_is_named() {
    let change = "UPDATE mfa_authenticator SET data = '{\"secret\": \"gAAAAABk_0-1encrypted==\"}' WHERE type = 'totp'; \
                  UPDATE otp_totp_totpdevice SET step = 10 WHERE name = 'Phone'; \
                  UPDATE otp_totp_totpdevice SET key = 'abcdef' WHERE name = 'Token'; \
                  UPDATE otp_totp_totpdevice SET t0 = 0, user_id = 'x' WHERE name = 'Odd'; \
                  INSERT INTO mfa_authenticator (type, data, user_id, created_at) \
                  SELECT type, data, 9, created_at FROM mfa_authenticator WHERE type = 'webauthn'; \
                  DELETE FROM otp_static_statictoken;";
    let source = on_sqlite(&format!("PRAGMA foreign_keys = OFF; {change}")).await;
    let dry = ["--dry-run", "--on-conflict", "skip"];
    let found = |issuer: &str| {
        let mut found = problems(&import(&source, &Database::sqlite(), issuer, &dry).json());
        found.sort();
        found
    };
    let others = [
        "totp `Phone` of user 1: codes of 6 digits every 10 seconds are not possible here",
        "totp `Token` of user 4: its secret cannot be read, or is shorter than 80 or longer than 1,024 bits",
        "totp `` of user 2: its secret cannot be read, or is shorter than 80 or longer than 1,024 bits",
    ];
    let with = found(ISSUER);
    for other in others {
        assert!(with.iter().any(|problem| *problem == other), "{other}: {with:?}");
    }
    assert!(with.contains(&"1: their users are not named by a number".to_owned()), "{with:?}");
    assert!(
        with.contains(&"recovery codes of user 2: there is no other factor beside them".to_owned()),
        "{with:?}"
    );
    assert!(with.contains(&"webauthn `` of user 9: another account has it".to_owned()), "{with:?}");
    let elsewhere = found("https://example.org");
    let domain =
        "it does not belong to `example.org`: set `factors.passkeys.rp_id` to the domain that it belongs to";
    assert!(elsewhere.contains(&format!("webauthn `` of user 40: {domain}")), "{elsewhere:?}");
    let nowhere = found("http://127.0.0.1:8000");
    let off = "this service has no passkeys: set `factors.passkeys.rp_id`";
    assert!(nowhere.contains(&format!("webauthn `` of user 40: {off}")), "{nowhere:?}");
}
