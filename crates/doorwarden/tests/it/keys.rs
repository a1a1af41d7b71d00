//! Signing keys: first start, rotation, emergency.

use crate::app::{App, Database, NOON, SECRET};
use crate::pairs::{Pair, claims};
use doorwarden::core::keys::state::KeyState;
use doorwarden::core::time::Clock;
use doorwarden::core::token::access::{Expect, verify};
use doorwarden::core::token::jws::Jws;
use doorwarden::core::token::{Algorithm, KeySet, Refusal};
use doorwarden::{Builder, Doorwarden, UserId};
use doorwarden_testkit::{ManualClock, drill, wait_until};
use futures_util::future::join_all;
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};

on_both! {
    the_first_start_creates_and_publishes_a_key
    one_of_several_starting_instances_creates_the_key
    one_of_several_rotating_instances_creates_the_key
    a_key_is_announced_signs_verifies_and_is_deleted
    twenty_rotations_under_load_refuse_no_valid_token
    a_revoked_key_is_refused_everywhere_within_a_second_and_a_new_one_signs
    only_a_revoked_signing_key_is_replaced
    a_key_revoked_or_deleted_with_sql_is_refused
    keys_sealed_under_an_old_secret_key_open_and_others_are_reported
    a_damaged_key_stops_the_start
    a_key_damaged_while_in_use_is_ignored
    an_upgrade_to_another_algorithm_refuses_no_token
    two_algorithms_are_offered_side_by_side
    rotate_lets_the_next_key_of_each_algorithm_sign
    a_removed_algorithm_verifies_until_its_last_token_has_expired
    a_removed_algorithm_can_be_added_again
    a_key_is_announced_for_five_minutes_at_least
    a_shorter_life_of_keys_counts_at_once
    keys_that_wait_for_somebodys_hand_sign_when_told
    all_keys_are_revoked_without_opening_any
    an_instance_whose_clock_is_far_ahead_deletes_no_key_that_signs
    a_running_instance_goes_on_when_its_keys_are_sealed_anew
    a_lifetime_beyond_fifteen_minutes_is_refused
}

const ISSUER: &str = "http://127.0.0.1:8000";
const HOUR: Duration = Duration::from_hours(1);

/// Hourly rotation; a key is announced at least five minutes before it signs.
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

    /// Lets the announced key sign early.
    async fn rotate(&self) -> String {
        let [kid] = <[String; 1]>::try_from(self.auth.keys().rotate().await.unwrap()).unwrap();
        kid
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

async fn the_first_start_creates_and_publishes_a_key(database: Database) {
    let app = database.app().await;
    app.register("jane").await;
    let answer = app.call("GET", "/.well-known/jwks.json", None, None).await;
    assert_eq!(answer.header("content-type"), "application/jwk-set+json");
    assert_eq!(answer.header("cache-control"), "public, max-age=300");
    let jwks = answer.json();
    let key = jwks["keys"][0].as_object().unwrap();
    assert_eq!(jwks["keys"].as_array().unwrap().len(), 2, "the one that signs, and the next");
    let mut members: Vec<&str> = key.keys().map(String::as_str).collect();
    members.sort_unstable();
    assert_eq!(members, ["alg", "crv", "kid", "kty", "use", "x", "y"], "nothing private");
    assert_eq!((&key["alg"], &key["use"]), (&json!("ES256"), &json!("sig")));
    let set = app.published().await;
    assert_eq!(app.states().await, [KeyState::Signing, KeyState::Announced]);
    let published = set.get(&app.signing().await).unwrap();
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

async fn one_of_several_starting_instances_creates_the_key(database: Database) {
    database.app().await.auth.close().await;
    database.sql.execute("DELETE FROM doorwarden_keys").await.unwrap();
    let apps = join_all((0..6).map(|_| database.app())).await;
    let first = apps[0].published().await.to_jwks();
    for app in &apps {
        assert_eq!(app.published().await.to_jwks(), first);
        assert_eq!(app.states().await, [KeyState::Signing, KeyState::Announced]);
    }
}

async fn one_of_several_rotating_instances_creates_the_key(database: Database) {
    let apps = join_all((0..4).map(|_| database.app_with(hourly))).await;
    for hour in 1..=drill().rounds(5, 100) {
        for app in &apps {
            app.clock.advance(HOUR);
        }
        let done = join_all(apps.iter().map(async |app| app.auth.keys().maintain().await)).await;
        assert!(done.iter().all(Result::is_ok), "{done:?}");
        let states = apps[0].states().await;
        let announced = states.iter().filter(|state| **state == KeyState::Announced);
        assert_eq!(announced.count(), 1, "{states:?} in hour {hour}");
        let next = join_all(apps.iter().map(async |app| app.auth.keys().rotate().await.unwrap())).await;
        assert!(next.iter().all(|kids| *kids == next[0]), "{next:?}");
    }
}

async fn a_key_is_announced_signs_verifies_and_is_deleted(database: Database) {
    let app = database.app_with(hourly).await;
    app.register("jane").await;
    let keys = app.auth.keys();
    let first = access(&app.auth).await;
    assert_eq!(app.states().await, [KeyState::Signing, KeyState::Announced]);

    app.clock.advance(Duration::from_secs(3600 - 1));
    keys.maintain().await.unwrap();
    let last = access(&app.auth).await;
    assert_eq!(kid(&last), kid(&first));
    app.clock.advance(Duration::from_secs(1));
    let second = access(&app.auth).await;
    assert_ne!(kid(&second), kid(&first));
    keys.maintain().await.unwrap();
    keys.maintain().await.unwrap();
    assert_eq!(app.states().await, [KeyState::Verifying, KeyState::Signing, KeyState::Announced]);
    assert_eq!((app.me(&last).await, app.me(&second).await), (200, 200));

    // The longest lifetime of 315 s, a leeway and a skew of 60 s each, and the minute for which the key set
    // may be cached.
    app.clock.advance(Duration::from_secs(315 + 60 + 60 + 60 - 1));
    keys.maintain().await.unwrap();
    assert_eq!(app.published().await.len(), 3);
    app.clock.advance(Duration::from_secs(1));
    assert_eq!(app.published().await.len(), 2, "gone from the set to the second");
    keys.maintain().await.unwrap();
    assert_eq!(app.states().await, [KeyState::Signing, KeyState::Announced]);
    let context = app.auth.context();
    assert_eq!(context.keys.verify(&last, context.now()), Err(Refusal::UnknownKey));
}

/// Two instances on one database, whose clock advances in steps of twenty seconds. One client obtains tokens
/// from both. While a token is valid, both instances and a service that verifies offline, with the oldest
/// keys it may cache, must accept it.
async fn twenty_rotations_under_load_refuse_no_valid_token(database: Database) {
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

async fn a_revoked_key_is_refused_everywhere_within_a_second_and_a_new_one_signs(database: Database) {
    let (here, there) = (database.app().await, database.app().await);
    let session = here.register("jane").await;
    let pair = here.obtain("jane").await;
    for app in [&here, &there] {
        assert_eq!((app.me(&pair.access).await, app.me(&pair.access).await), (200, 200));
    }
    let leaked = kid(&pair.access);
    let known_before = here.published().await;
    assert!(here.auth.keys().revoke(&leaked).await.unwrap());
    let began = Instant::now();
    assert_eq!(here.me(&pair.access).await, 401);
    while there.me(&pair.access).await != 401 {
        assert!(began.elapsed() < Duration::from_secs(1), "still accepted");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    there.until_it_knows_what_is_known_to(&here).await;
    for app in [&here, &there] {
        assert_eq!(app.me(&session).await, 200, "session tokens have another key");
        let published = app.published().await;
        assert!(published.get(&leaked).is_none());
        let fresh = Pair::of(&app.refresh(&pair.refresh).await);
        assert!(published.get(&kid(&fresh.access)).is_some());
        assert!(known_before.get(&kid(&fresh.access)).is_some(), "verifiers have had it all the time");
        assert_eq!(published.len(), 2, "and another one is announced");
        assert_eq!((here.me(&fresh.access).await, there.me(&fresh.access).await), (200, 200));
    }
    assert!(!there.auth.keys().revoke(&leaked).await.unwrap(), "twice");
    assert!(!here.auth.keys().revoke("unknown").await.unwrap());
}

async fn only_a_revoked_signing_key_is_replaced(database: Database) {
    let app = database.app_with(hourly).await;
    app.register("jane").await;
    let keys = app.auth.keys();
    let announced = app.rotate().await;
    assert_eq!(app.rotate().await, announced, "one at a time");
    let signing = kid(&access(&app.auth).await);
    assert!(keys.revoke(&announced).await.unwrap());
    let count = async |state| app.states().await.into_iter().filter(|s| *s == state).count();
    assert_eq!((count(KeyState::Signing).await, count(KeyState::Announced).await), (1, 1));
    assert_eq!(kid(&access(&app.auth).await), signing);
    let next = app.rotate().await;
    assert_ne!(next, announced);
    assert!(keys.revoke(&signing).await.unwrap());
    assert_eq!((count(KeyState::Signing).await, count(KeyState::Announced).await), (1, 1));
    assert_eq!(count(KeyState::Revoked).await, 2);
    assert_eq!(kid(&access(&app.auth).await), next, "the announced key takes its place at once");
    app.clock.advance(Duration::from_mins(59));
    keys.maintain().await.unwrap();
    assert_eq!(kid(&access(&app.auth).await), next, "and signs for as long as any");
    app.clock.advance(Duration::from_mins(1));
    assert_ne!(kid(&access(&app.auth).await), next);
}

async fn a_key_revoked_or_deleted_with_sql_is_refused(database: Database) {
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

async fn keys_sealed_under_an_old_secret_key_open_and_others_are_reported(database: Database) {
    let app = database.app().await;
    app.register("jane").await;
    let token = access(&app.auth).await;
    let new = "another secret key for tests, long enough";
    let build = |builder: Builder| builder.database_url(&database.url).build();
    let error = build(Doorwarden::builder().secret_key(new)).await.unwrap_err().to_string();
    assert!(error.contains("old_secret_keys") && error.contains("doorwarden secret revoke"), "{error}");
    let sealed = app.auth.keys().list().await.unwrap();
    assert!(sealed.iter().any(|(key, _)| error.contains(&key.kid)), "{error}");
    app.auth.close().await;
    let app = database.app_with(|b| b.secret_key(new).old_secret_keys([SECRET])).await;
    assert_eq!(app.me(&token).await, 200);
    app.auth.close().await;
    // They were resealed, so the old secret key is no longer needed.
    let app = database.app_with(|b| b.secret_key(new)).await;
    assert_eq!(app.me(&token).await, 200);
    assert_eq!(kid(&access(&app.auth).await), kid(&token));
}

async fn a_damaged_key_stops_the_start(database: Database) {
    drop(database.app().await);
    let by_hand = async |sql: &str| database.sql.execute(sql).await.unwrap();
    by_hand("CREATE TABLE undamaged AS SELECT * FROM doorwarden_keys").await;
    for (damage, expected) in [
        ("algorithm = 'HS256'", "its algorithm is none of ours"),
        ("algorithm = 'EdDSA'", "the private key is not a PKCS#8 key of this algorithm"),
        ("kid = 'another'", "does not open with this secret key"),
        ("public_jwk = '{}'", "its public key is not that of the private one"),
        ("sealed = @EMPTY@", "does not open with this secret key"),
    ] {
        let empty = if database.url.starts_with("sqlite") { "X'01'" } else { "'\\x01'" };
        let damage = damage.replace("@EMPTY@", empty);
        by_hand(&format!("UPDATE doorwarden_keys SET {damage} WHERE predecessor = ''")).await;
        let error = Doorwarden::builder().database_url(&database.url).secret_key(SECRET).build().await;
        let error = error.unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("hint: "), "{damage}: {error}");
        by_hand("DELETE FROM doorwarden_keys").await;
        by_hand("INSERT INTO doorwarden_keys SELECT * FROM undamaged").await;
    }
    drop(database.app().await);
}

async fn a_key_damaged_while_in_use_is_ignored(database: Database) {
    let app = database.app_with(hourly).await;
    app.register("jane").await;
    let next = app.rotate().await;
    let token = access(&app.auth).await;
    let sql = format!("UPDATE doorwarden_keys SET public_jwk = '{{}}' WHERE kid = '{next}'");
    database.sql.execute(&sql).await.unwrap();
    app.auth.keys().maintain().await.unwrap();
    let list = app.auth.keys().list().await.unwrap();
    assert!(list.iter().all(|(key, _)| key.kid != next), "left out");
    assert_eq!(app.states().await, [KeyState::Signing, KeyState::Announced], "and another one in its place");
    app.clock.advance(Duration::from_mins(6));
    assert_eq!(kid(&access(&app.auth).await), kid(&token), "the one before goes on");
}

fn offering(algorithms: &'static [Algorithm]) -> impl Fn(Builder) -> Builder {
    move |builder| builder.settings(|s| s.keys.algorithms = algorithms.to_vec())
}

fn algorithm(token: &str) -> String {
    Jws::parse(token).unwrap().algorithm
}

impl App {
    /// The id of the key that signs access tokens now.
    async fn signing(&self) -> String {
        let states = self.auth.keys().list().await.unwrap();
        states.into_iter().find(|(_, state)| *state == KeyState::Signing).unwrap().0.kid
    }

    /// How many keys of each algorithm are published: EdDSA, ES256, RS256.
    async fn published_of_each(&self) -> [usize; 3] {
        let set = self.published().await;
        Algorithm::ALL.map(|algorithm| set.iter().filter(|key| key.algorithm() == algorithm).count())
    }
}

/// Advances minute by minute, as key maintenance does; returns one token per minute. Until a token expires,
/// both instances and a service that caches the key set for five minutes must accept it.
async fn an_hour(app: &App, other: &App) -> Vec<String> {
    let expect = Expect::new(ISSUER, ISSUER);
    let (mut tokens, mut all) = (Vec::<String>::new(), Vec::new());
    let mut kept = app.published().await;
    for minute in 0..60 {
        app.auth.keys().maintain().await.unwrap();
        other.until_it_knows_what_is_known_to(app).await;
        if minute % 5 == 0 {
            kept = app.published().await;
        }
        let token = access(if minute % 2 == 0 { &app.auth } else { &other.auth }).await;
        all.push(token.clone());
        tokens.push(token);
        let now = app.auth.context().now().as_seconds();
        tokens.retain(|token| now < claims(token)["exp"].as_i64().unwrap());
        for token in &tokens {
            assert_eq!((app.me(token).await, other.me(token).await), (200, 200), "in minute {minute}");
            assert!(verify(token, &kept, &expect, now).is_ok(), "offline, in minute {minute}");
        }
        assert_eq!(app.published().await.to_jwks(), other.published().await.to_jwks());
        app.clock.advance(Duration::from_mins(1));
        other.clock.advance(Duration::from_mins(1));
    }
    all
}

async fn an_upgrade_to_another_algorithm_refuses_no_token(database: Database) {
    let before = database.app_with(offering(&[Algorithm::EdDsa])).await;
    before.register("jane").await;
    // A database of an earlier version: a single key.
    let sql = "DELETE FROM doorwarden_keys WHERE predecessor <> ''";
    before.auth.close().await;
    database.sql.execute(sql).await.unwrap();
    let (app, other) = (database.app().await, database.app().await);
    assert_eq!(app.published_of_each().await, [1, 2, 0]);
    let tokens = an_hour(&app, &other).await;
    let algorithms: Vec<String> = tokens.iter().map(|token| algorithm(token)).collect();
    assert_eq!(
        algorithms[9..11],
        ["EdDSA", "ES256"],
        "after twice the five minutes that the key set may be kept"
    );
    assert!(algorithms[..10].iter().all(|name| name == "EdDSA"), "{algorithms:?}");
    assert!(algorithms[10..].iter().all(|name| name == "ES256"), "{algorithms:?}");
    assert_eq!(app.published_of_each().await, [0, 2, 0]);
    let list = app.auth.keys().list().await.unwrap();
    assert!(list.iter().all(|(key, _)| key.algorithm == "ES256"), "deleted");
}

async fn two_algorithms_are_offered_side_by_side(database: Database) {
    let both = database.app_with(offering(&[Algorithm::Es256, Algorithm::EdDsa])).await;
    both.register("jane").await;
    assert_eq!(both.published_of_each().await, [2, 2, 0]);
    let first = access(&both.auth).await;
    assert_eq!(algorithm(&first), "ES256");
    // The order can be reversed immediately, since both keys were published all the time.
    let turned = database.app_with(offering(&[Algorithm::EdDsa, Algorithm::Es256])).await;
    let second = access(&turned.auth).await;
    assert_eq!(algorithm(&second), "EdDSA");
    for app in [&both, &turned] {
        assert_eq!((app.me(&first).await, app.me(&second).await), (200, 200));
    }
    assert_eq!(both.published().await.to_jwks(), turned.published().await.to_jwks());
    let leaked = kid(&second);
    assert!(turned.auth.keys().revoke(&leaked).await.unwrap());
    let third = access(&turned.auth).await;
    assert_eq!(algorithm(&third), "EdDSA", "each chain has a successor of its own");
    assert!(both.published().await.get(&kid(&third)).is_some());
    assert_eq!(turned.me(&first).await, 200);
}

async fn rotate_lets_the_next_key_of_each_algorithm_sign(database: Database) {
    let app = database.app_with(offering(&[Algorithm::Es256, Algorithm::EdDsa])).await;
    app.register("jane").await;
    app.clock.advance(Duration::from_mins(10));
    let next = app.auth.keys().rotate().await.unwrap();
    let listed = app.auth.keys().list().await.unwrap();
    let signing = listed.iter().filter(|(_, state)| *state == KeyState::Signing);
    let mut signing: Vec<_> = signing.map(|(key, _)| (key.algorithm.as_str(), key.kid.as_str())).collect();
    signing.sort_unstable_by_key(|(algorithm, _)| *algorithm != "ES256");
    assert_eq!(signing, [("ES256", next[0].as_str()), ("EdDSA", next[1].as_str())]);
    assert_eq!(kid(&access(&app.auth).await), next[0]);
    assert_eq!(app.published_of_each().await, [3, 3, 0], "and others are announced");
}

async fn a_removed_algorithm_verifies_until_its_last_token_has_expired(database: Database) {
    let both = database.app_with(offering(&[Algorithm::Rs256, Algorithm::Es256])).await;
    both.register("jane").await;
    assert_eq!(algorithm(&access(&both.auth).await), "RS256");
    both.auth.close().await;
    let rest = offering(&[Algorithm::Es256]);
    let (app, other) = (database.app_with(&rest).await, database.app_with(&rest).await);
    let tokens = an_hour(&app, &other).await;
    assert!(tokens.iter().all(|token| algorithm(token) == "ES256"), "it was published before");
    assert_eq!(app.published_of_each().await, [0, 2, 0]);
}

async fn a_removed_algorithm_can_be_added_again(database: Database) {
    let old = database.app_with(offering(&[Algorithm::EdDsa])).await;
    old.register("jane").await;
    let token = access(&old.auth).await;
    let new = database.app().await;
    let ends = || async {
        let list = new.auth.keys().list().await.unwrap();
        list.iter().filter(|(key, _)| key.algorithm == "EdDSA").filter_map(|(key, _)| key.signs_until).count()
    };
    assert_eq!(ends().await, 2);
    // The new instance may still be at its first round, and end the chain once more.
    let limit = Instant::now() + Duration::from_secs(5);
    while ends().await > 0 {
        assert!(Instant::now() < limit, "the chain of the algorithm still ends");
        old.auth.keys().maintain().await.unwrap();
    }
    assert_eq!(kid(&access(&old.auth).await), kid(&token));
    // Both instances keep working, with different settings.
    for _ in 0..30 {
        for app in [&old, &new] {
            app.clock.advance(Duration::from_mins(1));
        }
        new.auth.keys().maintain().await.unwrap();
        old.auth.keys().maintain().await.unwrap();
        let (one, other) = (access(&old.auth).await, access(&new.auth).await);
        for app in [&old, &new] {
            assert_eq!((app.me(&one).await, app.me(&other).await), (200, 200));
        }
    }
    assert_eq!(old.published_of_each().await, [2, 2, 0]);
}

async fn a_key_is_announced_for_five_minutes_at_least(database: Database) {
    let app = database.app_with(|b| b.settings(|s| s.keys.cache = Duration::from_secs(1))).await;
    app.register("jane").await;
    let keys = app.auth.keys();
    let first = kid(&access(&app.auth).await);
    let next = app.rotate().await;
    app.clock.advance(Duration::from_secs(299));
    assert_eq!(kid(&access(&app.auth).await), first);
    app.clock.advance(Duration::from_secs(1));
    assert_eq!(kid(&access(&app.auth).await), next);
    keys.maintain().await.unwrap();
    // The next key has been announced for long enough when it is needed.
    app.clock.advance(Duration::from_mins(5));
    let third = app.rotate().await;
    assert_eq!(kid(&access(&app.auth).await), third);
    let states = app.states().await;
    assert_eq!(
        states[states.len() - 2..],
        [KeyState::Signing, KeyState::Announced],
        "and another is announced at once"
    );
}

async fn a_shorter_life_of_keys_counts_at_once(database: Database) {
    let app = database.app().await;
    app.register("jane").await;
    let first = kid(&access(&app.auth).await);
    app.auth.close().await;
    let app = database.app_with(hourly).await;
    app.clock.advance(Duration::from_mins(59));
    assert_eq!(kid(&access(&app.auth).await), first);
    app.clock.advance(Duration::from_mins(1));
    assert_ne!(kid(&access(&app.auth).await), first);
}

async fn keys_that_wait_for_somebodys_hand_sign_when_told(database: Database) {
    let app = database.app_with(|b| b.settings(|s| s.keys.rotate_every = None)).await;
    app.register("jane").await;
    let first = kid(&access(&app.auth).await);
    assert_eq!(app.published().await.len(), 2);
    app.clock.advance(Duration::from_hours(24));
    app.auth.keys().maintain().await.unwrap();
    assert_eq!(kid(&access(&app.auth).await), first);
    let next = app.rotate().await;
    assert_eq!(kid(&access(&app.auth).await), next);
    assert!(app.auth.keys().revoke(&next).await.unwrap());
    let third = kid(&access(&app.auth).await);
    assert!(third != next && third != first);
    app.auth.keys().maintain().await.unwrap();
    assert_eq!(kid(&access(&app.auth).await), third);
}

async fn all_keys_are_revoked_without_opening_any(database: Database) {
    let old = database.app().await;
    old.register("jane").await;
    let token = access(&old.auth).await;
    old.auth.close().await;
    let new = "another secret key for tests, long enough";
    let closed = Doorwarden::builder().database_url(&database.url).without_keys();
    let closed = closed.background(false).build().await.unwrap();
    assert_eq!(closed.keys().revoke_all().await.unwrap(), 2);
    let app = database.app_with(|b| b.secret_key(new)).await;
    assert_eq!(app.me(&token).await, 401);
    let states = app.states().await;
    assert_eq!(states.iter().filter(|state| **state == KeyState::Revoked).count(), 2);
    assert_eq!(app.published().await.len(), 2);
    assert_eq!(app.me(&access(&app.auth).await).await, 200);
}

async fn an_instance_whose_clock_is_far_ahead_deletes_no_key_that_signs(database: Database) {
    let now = doorwarden::core::time::SystemClock.now();
    let right = database.app().await;
    right.clock.set(now);
    database.sql.execute("DELETE FROM doorwarden_keys").await.unwrap();
    right.auth.keys().maintain().await.unwrap();
    right.register("jane").await;
    let token = access(&right.auth).await;
    let wrong = Arc::new(ManualClock::new(now.after(Duration::from_hours(24 * 365))));
    let wrong = database.app_with(|builder| builder.clock(wrong)).await;
    wrong.auth.keys().maintain().await.unwrap();
    right.auth.keys().maintain().await.unwrap();
    assert_eq!(right.me(&token).await, 200);
    assert_eq!(kid(&access(&right.auth).await), kid(&token));
}

async fn a_running_instance_goes_on_when_its_keys_are_sealed_anew(database: Database) {
    let old = database.app().await;
    old.register("jane").await;
    let token = access(&old.auth).await;
    let new = "another secret key for tests, long enough";
    let new = database.app_with(|b| b.secret_key(new).old_secret_keys([SECRET])).await;
    old.auth.keys().maintain().await.unwrap();
    assert_eq!(kid(&access(&old.auth).await), kid(&token));
    assert_eq!((old.me(&token).await, new.me(&token).await), (200, 200));
}

async fn a_lifetime_beyond_fifteen_minutes_is_refused(database: Database) {
    let builder = Doorwarden::builder().database_url(&database.url).secret_key(SECRET);
    let error = builder.settings(|s| s.access.lifetime = Duration::from_secs(901)).build().await.unwrap_err();
    assert_eq!(error.to_string(), "the lifetime of access tokens must be at most 900 s");
}
