//! The keys of access tokens: from the first start over rotations to an emergency.

use crate::app::{App, Database, NOON, SECRET};
use crate::pairs::{Pair, claims};
use doorwarden::core::keys::state::KeyState;
use doorwarden::core::token::access::{Expect, verify};
use doorwarden::core::token::jws::Jws;
use doorwarden::core::token::{Algorithm, KeySet, Refusal};
use doorwarden::{Builder, Doorwarden, UserId};
use doorwarden_testkit::{ManualClock, drill, wait_until};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

on_both! {
    the_first_start_makes_a_key_and_publishes_it
    of_instances_that_start_at_once_one_makes_the_key
    of_instances_that_rotate_at_once_one_makes_the_key
    a_key_is_announced_signs_verifies_and_is_deleted
    twenty_rotations_under_load_refuse_no_token_that_is_valid
    a_revoked_key_is_dead_everywhere_within_a_second_and_a_new_one_signs
    only_the_key_that_signs_needs_a_successor_when_it_is_revoked
    a_key_that_is_revoked_or_deleted_by_hand_counts_no_more
    keys_sealed_under_an_old_secret_key_open_and_others_are_named
    a_damaged_key_stops_the_start
    a_key_damaged_while_it_is_in_use_harms_nothing
    the_algorithm_of_new_keys_is_a_setting
    a_lifetime_beyond_fifteen_minutes_is_refused
}

const ISSUER: &str = "http://127.0.0.1:8000";
const HOUR: Duration = Duration::from_hours(1);

/// A key an hour, announced two minutes before.
fn hourly(builder: Builder) -> Builder {
    builder.settings(|s| {
        s.keys.rotate_every = Some(HOUR);
        s.keys.cache = Duration::from_mins(1);
    })
}

impl App {
    /// The published keys.
    async fn published(&self) -> KeySet {
        let answer = self.call("GET", "/.well-known/jwks.json", None, None).await;
        KeySet::from_jwks(std::str::from_utf8(&answer.body).unwrap()).unwrap()
    }

    async fn states(&self) -> Vec<KeyState> {
        self.auth.keys().list().await.unwrap().into_iter().map(|(_, state)| state).collect()
    }

    /// Waits until this instance knows the same keys as `other`.
    async fn until_it_knows_what_is_known_to(&self, other: &Self) {
        let known = |app: &Self| {
            let context = app.auth.context();
            context.keys.list(context.now())
        };
        let same = wait_until(Duration::from_secs(5), || known(self) == known(other)).await;
        assert!(same, "{:?} {:?}", known(self), known(other));
    }
}

fn kid(token: &str) -> String {
    Jws::parse(token).unwrap().key_id.unwrap()
}

async fn access(auth: &Doorwarden) -> String {
    auth.tokens().issue_pair(UserId(1)).await.unwrap().access
}

async fn the_first_start_makes_a_key_and_publishes_it(database: Database) {
    let app = database.app().await;
    app.register("jane").await;
    let answer = app.call("GET", "/.well-known/jwks.json", None, None).await;
    assert_eq!(answer.header("content-type"), "application/jwk-set+json");
    assert_eq!(answer.header("cache-control"), "public, max-age=300");
    let jwks = answer.json();
    let key = jwks["keys"][0].as_object().unwrap();
    assert_eq!(jwks["keys"].as_array().unwrap().len(), 1);
    let mut members: Vec<&str> = key.keys().map(String::as_str).collect();
    members.sort_unstable();
    assert_eq!(members, ["alg", "crv", "kid", "kty", "use", "x"], "nothing private");
    assert_eq!((&key["alg"], &key["use"]), (&json!("EdDSA"), &json!("sig")));
    let set = app.published().await;
    let published = set.iter().next().unwrap();
    assert_eq!(published.id(), published.thumbprint());

    let pair = app.obtain("jane").await;
    let expect = Expect::new(ISSUER, ISSUER);
    let verified = verify(&pair.access, &set, &expect, NOON.as_seconds()).unwrap();
    assert_eq!(verified.sub, "1");
    assert_eq!(kid(&pair.access), published.id());

    let tag = answer.header("etag").to_owned();
    for (known, expected) in [(tag.as_str(), 304), (&format!("\"x\", W/{tag}"), 304), ("\"x\"", 200)] {
        let request = http::Request::get("/.well-known/jwks.json").header("if-none-match", known);
        let answer = app.send(request.body(axum::body::Body::empty()).unwrap()).await;
        assert_eq!((answer.status.as_u16(), answer.header("etag")), (expected, tag.as_str()));
        assert_eq!(answer.body.is_empty(), expected == 304);
    }

    let again = database.app().await;
    assert_eq!(again.published().await.to_jwks(), set.to_jwks(), "the next start finds it");
    assert_eq!(again.me(&pair.access).await, 200);
}

async fn of_instances_that_start_at_once_one_makes_the_key(database: Database) {
    database.app().await.auth.close().await;
    database.sql.execute("DELETE FROM doorwarden_keys").await.unwrap();
    let apps = join_all((0..6).map(|_| database.app())).await;
    let first = apps[0].published().await.to_jwks();
    for app in &apps {
        assert_eq!(app.published().await.to_jwks(), first);
        assert_eq!(app.states().await, [KeyState::Signing]);
    }
}

async fn of_instances_that_rotate_at_once_one_makes_the_key(database: Database) {
    let apps = join_all((0..4).map(|_| database.app_with(hourly))).await;
    for hour in 1..=drill().rounds(5, 100) {
        for app in &apps {
            app.clock.advance(Duration::from_mins(58 + 2 * u64::from(hour > 1)));
        }
        let done = join_all(apps.iter().map(async |app| app.auth.keys().maintain().await)).await;
        assert!(done.iter().all(Result::is_ok), "{done:?}");
        let states = apps[0].states().await;
        let announced = states.iter().filter(|state| **state == KeyState::Announced);
        assert_eq!(announced.count(), 1, "{states:?} in hour {hour}");
        let next = join_all(apps.iter().map(async |app| app.auth.keys().rotate().await.unwrap())).await;
        assert!(next.iter().all(|kid| *kid == next[0]), "{next:?}");
    }
}

async fn a_key_is_announced_signs_verifies_and_is_deleted(database: Database) {
    let app = database.app_with(hourly).await;
    app.register("jane").await;
    let keys = app.auth.keys();
    let first = access(&app.auth).await;

    app.clock.advance(Duration::from_secs(3600 - 121));
    keys.maintain().await.unwrap();
    assert_eq!(app.states().await, [KeyState::Signing]);
    app.clock.advance(Duration::from_secs(1));
    keys.maintain().await.unwrap();
    keys.maintain().await.unwrap();
    assert_eq!(app.states().await, [KeyState::Signing, KeyState::Announced]);
    assert_eq!(app.published().await.len(), 2, "published before it signs");

    app.clock.advance(Duration::from_secs(119));
    let last = access(&app.auth).await;
    assert_eq!(kid(&last), kid(&first));
    app.clock.advance(Duration::from_secs(1));
    let second = access(&app.auth).await;
    assert_ne!(kid(&second), kid(&first));
    assert_eq!(app.states().await, [KeyState::Verifying, KeyState::Signing]);
    assert_eq!((app.me(&last).await, app.me(&second).await), (200, 200));

    // The longest lifetime of 315 s, a leeway and a skew of 60 s each, and the minute that the key set may be kept.
    app.clock.advance(Duration::from_secs(315 + 60 + 60 + 60 - 1));
    keys.maintain().await.unwrap();
    assert_eq!(app.published().await.len(), 2);
    app.clock.advance(Duration::from_secs(1));
    assert_eq!(app.published().await.len(), 1, "gone from the set to the second");
    keys.maintain().await.unwrap();
    assert_eq!(app.states().await, [KeyState::Signing]);
    let context = app.auth.context();
    assert_eq!(context.keys.verify(&last, context.now()), Err(Refusal::UnknownKey));
}

/// Two instances on one database, whose clock stands still but for steps of twenty seconds. One client obtains tokens from
/// both, and each token is shown to both instances and to a service that verifies offline with keys as old as it may keep them, for
/// as long as the token is valid.
async fn twenty_rotations_under_load_refuse_no_token_that_is_valid(database: Database) {
    const STEP: Duration = Duration::from_secs(20);
    let clock = Arc::new(ManualClock::new(NOON));
    let quick = |builder: Builder| {
        builder.clock(Arc::clone(&clock)).settings(|s| {
            s.keys.rotate_every = Some(Duration::from_mins(2));
            s.keys.cache = Duration::from_secs(20);
            s.access.lifetime = Duration::from_mins(1);
        })
    };
    let (here, there) = (database.app_with(quick).await, database.app_with(quick).await);
    here.register("jane").await;
    let expect = Expect::new(ISSUER, ISSUER);
    let mut kept = (here.published().await, NOON);
    let mut tokens: Vec<String> = Vec::new();
    let mut signed_by = Vec::new();
    let mut shown = 0;
    for step in 0_usize.. {
        clock.advance(STEP);
        let now = here.auth.context().now();
        let (one, other) = if step % 2 == 0 { (&here, &there) } else { (&there, &here) };
        let both = join_all([one.auth.keys().maintain(), other.auth.keys().maintain()].map(Box::pin)).await;
        assert!(both.iter().all(Result::is_ok), "{both:?}");
        here.until_it_knows_what_is_known_to(&there).await;
        if now.since(kept.1) >= Duration::from_secs(20) {
            kept = (one.published().await, now);
        }

        let fresh = join_all((0..4).map(|n| access(if n % 2 == 0 { &here.auth } else { &there.auth }))).await;
        for token in &fresh {
            if signed_by.last() != Some(&kid(token)) {
                signed_by.push(kid(token));
            }
        }
        tokens.extend(fresh);
        tokens.retain(|token| now.as_seconds() < claims(token)["exp"].as_i64().unwrap());
        let answers = tokens.iter().flat_map(|token| [here.me(token), there.me(token)]);
        let answers = join_all(answers).await;
        assert!(answers.iter().all(|status| *status == 200), "{answers:?} at {now}");
        shown += answers.len();
        for token in &tokens {
            assert!(verify(token, &kept.0, &expect, now.as_seconds()).is_ok(), "offline at {now}");
        }
        if signed_by.len() > 20 {
            break;
        }
    }
    let mut different = signed_by.clone();
    different.sort();
    different.dedup();
    assert_eq!((different.len(), signed_by.len()), (21, 21), "each key signed once, in one stretch");
    assert!(shown > 2000, "{shown}");
    here.auth.keys().maintain().await.unwrap();
    let states = here.states().await;
    assert!(states.len() <= 4, "{states:?}");
}

async fn a_revoked_key_is_dead_everywhere_within_a_second_and_a_new_one_signs(database: Database) {
    let (here, there) = (database.app().await, database.app().await);
    let session = here.register("jane").await;
    let pair = here.obtain("jane").await;
    for app in [&here, &there] {
        assert_eq!((app.me(&pair.access).await, app.me(&pair.access).await), (200, 200));
    }
    let leaked = kid(&pair.access);
    assert!(here.auth.keys().revoke(&leaked).await.unwrap());
    let began = Instant::now();
    assert_eq!(here.me(&pair.access).await, 401);
    while there.me(&pair.access).await != 401 {
        assert!(began.elapsed() < Duration::from_secs(1), "still accepted");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for app in [&here, &there] {
        assert_eq!(app.me(&session).await, 200, "session tokens have another key");
        let published = app.published().await;
        assert!(published.get(&leaked).is_none());
        let fresh = Pair::of(&app.refresh(&pair.refresh).await);
        assert!(published.get(&kid(&fresh.access)).is_some());
        assert_eq!((here.me(&fresh.access).await, there.me(&fresh.access).await), (200, 200));
    }
    assert!(!there.auth.keys().revoke(&leaked).await.unwrap(), "twice");
    assert!(!here.auth.keys().revoke("unknown").await.unwrap());
}

async fn only_the_key_that_signs_needs_a_successor_when_it_is_revoked(database: Database) {
    let app = database.app_with(hourly).await;
    app.register("jane").await;
    let keys = app.auth.keys();
    let announced = keys.rotate().await.unwrap();
    assert_eq!(keys.rotate().await.unwrap(), announced, "one at a time");
    assert_eq!(app.states().await, [KeyState::Signing, KeyState::Announced]);
    assert!(keys.revoke(&announced).await.unwrap());
    assert_eq!(app.states().await, [KeyState::Signing, KeyState::Revoked]);
    let signing = kid(&access(&app.auth).await);
    let next = keys.rotate().await.unwrap();
    assert!(keys.revoke(&signing).await.unwrap());
    let states = app.states().await;
    let count = |state| states.iter().filter(|s| **s == state).count();
    assert_eq!((count(KeyState::Signing), count(KeyState::Announced), count(KeyState::Revoked)), (1, 1, 2));
    app.clock.advance(Duration::from_mins(2));
    assert_eq!(kid(&access(&app.auth).await), next, "the announced key still has its turn");
}

async fn a_key_that_is_revoked_or_deleted_by_hand_counts_no_more(database: Database) {
    let app = database.app().await;
    app.register("jane").await;
    let first = access(&app.auth).await;
    assert_eq!(app.me(&first).await, 200);
    for sql in ["UPDATE doorwarden_keys SET revoked_at = created_at", "DELETE FROM doorwarden_keys"] {
        let token = access(&app.auth).await;
        assert_eq!(app.me(&token).await, 200);
        database.sql.execute(sql).await.unwrap();
        let began = Instant::now();
        while app.me(&token).await != 401 {
            assert!(began.elapsed() < Duration::from_secs(1), "still accepted after {sql}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let signs = || {
            let context = app.auth.context();
            context.keys.list(context.now()).iter().any(|(_, state)| *state == KeyState::Signing)
        };
        assert!(wait_until(Duration::from_secs(1), signs).await, "a new key signs after {sql}");
    }
    assert_eq!(app.me(&access(&app.auth).await).await, 200);
}

async fn keys_sealed_under_an_old_secret_key_open_and_others_are_named(database: Database) {
    let app = database.app().await;
    app.register("jane").await;
    let token = access(&app.auth).await;
    let new = "another secret key for tests, long enough";
    let build = |builder: Builder| builder.database_url(&database.url).build();
    let error = build(Doorwarden::builder().secret_key(new)).await.unwrap_err().to_string();
    assert!(error.contains(&kid(&token)) && error.contains("hint: if the secret key was changed"), "{error}");
    // An instance that cannot open the next key would make one of its own.
    app.auth.close().await;
    let app = database.app_with(|b| b.secret_key(new).old_secret_keys([SECRET])).await;
    assert_eq!(app.me(&token).await, 200);
    let next = app.auth.keys().rotate().await.unwrap();
    app.clock.advance(Duration::from_hours(24));
    assert_eq!(kid(&access(&app.auth).await), next);
    app.auth.keys().maintain().await.unwrap();
    let list = app.auth.keys().list().await.unwrap();
    assert_eq!(list.len(), 1, "the old secret key is needed no more");
    build(Doorwarden::builder().secret_key(new)).await.unwrap();
}

async fn a_damaged_key_stops_the_start(database: Database) {
    drop(database.app().await);
    let by_hand = async |sql: &str| database.sql.execute(sql).await.unwrap();
    by_hand("CREATE TABLE undamaged AS SELECT * FROM doorwarden_keys").await;
    for (damage, expected) in [
        ("algorithm = 'HS256'", "its algorithm is none of ours"),
        ("algorithm = 'ES256'", "the private key is not a PKCS#8 key of this algorithm"),
        ("kid = 'another'", "does not open with this secret key"),
        ("public_jwk = '{}'", "its public key is not that of the private one"),
        ("sealed = @EMPTY@", "does not open with this secret key"),
    ] {
        let empty = if database.url.starts_with("sqlite") { "X'01'" } else { "'\\x01'" };
        by_hand(&format!("UPDATE doorwarden_keys SET {}", damage.replace("@EMPTY@", empty))).await;
        let error = Doorwarden::builder().database_url(&database.url).secret_key(SECRET).build().await;
        let error = error.unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("hint: "), "{damage}: {error}");
        by_hand("DELETE FROM doorwarden_keys").await;
        by_hand("INSERT INTO doorwarden_keys SELECT * FROM undamaged").await;
    }
    drop(database.app().await);
}

async fn a_key_damaged_while_it_is_in_use_harms_nothing(database: Database) {
    let app = database.app_with(hourly).await;
    app.register("jane").await;
    let next = app.auth.keys().rotate().await.unwrap();
    let token = access(&app.auth).await;
    let sql = format!("UPDATE doorwarden_keys SET public_jwk = '{{}}' WHERE kid = '{next}'");
    database.sql.execute(&sql).await.unwrap();
    assert_eq!(app.states().await, [KeyState::Signing], "left out");
    app.clock.advance(Duration::from_mins(3));
    assert_eq!(app.me(&token).await, 200);
    assert_eq!(kid(&access(&app.auth).await), kid(&token), "the one before goes on");
}

async fn the_algorithm_of_new_keys_is_a_setting(database: Database) {
    let mut tokens: Vec<String> = Vec::new();
    for (hour, algorithm) in Algorithm::ALL.into_iter().enumerate() {
        let app = database.app_with(|b| b.settings(|s| s.keys.algorithm = algorithm)).await;
        if hour == 0 {
            app.register("jane").await;
        } else {
            let minutes = u32::try_from(hour).unwrap() * 11;
            app.clock.advance(Duration::from_mins(1) * (minutes - 11));
            app.auth.keys().rotate().await.unwrap();
            app.clock.advance(Duration::from_mins(11));
        }
        let token = access(&app.auth).await;
        assert_eq!(Jws::parse(&token).unwrap().algorithm, algorithm.as_str());
        assert_eq!((app.me(&token).await, app.me(&token).await), (200, 200));
        let alg: Vec<Value> =
            app.published().await.iter().map(|key| key.algorithm().as_str().into()).collect();
        assert!(alg.contains(&algorithm.as_str().into()), "{alg:?}");
        tokens.push(token);
    }
    let kids: std::collections::HashSet<String> = tokens.iter().map(|token| kid(token)).collect();
    assert_eq!(kids.len(), 3);
}

async fn a_lifetime_beyond_fifteen_minutes_is_refused(database: Database) {
    let builder = Doorwarden::builder().database_url(&database.url).secret_key(SECRET);
    let error = builder.settings(|s| s.access.lifetime = Duration::from_secs(901)).build().await.unwrap_err();
    assert_eq!(error.to_string(), "access tokens may live at most 900 s");
}
