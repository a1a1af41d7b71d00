//! The revocation feed.

use crate::app::{App, Database, NOON};
use crate::pairs::claims;
use axum::body::BodyDataStream;
use doorwarden::core::token::access::{self, AccessClaims};
use doorwarden::core::token::feed::{Statement, TYPE, sign_statement, verify_statement};
use doorwarden::core::token::{KeyPair, KeySet};
use doorwarden::{Doorwarden, UserId};
use doorwarden_testkit::{issued, new_session, no_effects, with};
use futures_util::StreamExt;
use futures_util::future::join_all;
use http::Request;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, Instant};
use tower::ServiceExt;
use uuid::Uuid;

on_both! {
    a_statement_lists_revocations_while_affected_tokens_may_be_valid
    every_end_of_a_session_is_in_the_feed
    a_revoked_key_is_listed_and_another_signs
    a_statement_stays_until_something_is_revoked_or_a_heartbeat_is_due
    revocations_by_another_instance_are_in_the_feed_within_a_second
    sessions_ended_with_sql_are_in_the_feed_within_a_second
    concurrent_requests_share_a_statement
    a_stream_starts_with_the_statement_and_sends_revocations_within_a_second
    a_stream_has_a_heartbeat
    streams_end_when_the_server_stops
    many_sessions_of_a_user_are_revoked_by_one_entry_and_the_next_token_is_valid
    unread_streams_share_one_buffer
    the_number_of_streams_is_limited
}

const ISSUER: &str = "http://127.0.0.1:8000";
const PATH: &str = "/.well-known/revocations";

impl App {
    async fn statement(&self) -> Statement {
        let answer = self.call("GET", PATH, None, None).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        self.verified(std::str::from_utf8(&answer.body).unwrap()).await
    }

    /// The claims of a signed statement.
    async fn verified(&self, signed: &str) -> Statement {
        let keys = self.call("GET", "/.well-known/jwks.json", None, None).await;
        let keys = KeySet::from_jwks(std::str::from_utf8(&keys.body).unwrap()).unwrap();
        verify_statement(signed, &keys, ISSUER, self.auth.context().now().as_seconds()).unwrap()
    }

    /// Waits until a statement names this session.
    async fn until_told(&self, session: Uuid) -> Duration {
        let began = Instant::now();
        while !self.statement().await.sessions.iter().any(|(id, _)| *id == session) {
            assert!(began.elapsed() < Duration::from_secs(1), "{session} is not told");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        began.elapsed()
    }

    async fn stream(&self) -> Events {
        let request =
            Request::get("/.well-known/revocations/stream").body(axum::body::Body::empty()).unwrap();
        let response = self.auth.router::<()>().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Events(response.into_body().into_data_stream())
    }

    async fn end(&self, access: &str) {
        assert_eq!(self.call("POST", "/logout", Some(access), None).await.status, 204);
    }
}

/// The stream, as a client.
struct Events(BodyDataStream);

impl Events {
    /// The next statement; `None` at the end. Panics if neither arrives within a second.
    async fn next(&mut self) -> Option<String> {
        let next = tokio::time::timeout(Duration::from_secs(1), self.0.next()).await;
        let event =
            String::from_utf8(next.expect("something comes within a second")?.unwrap().to_vec()).unwrap();
        let lines: Vec<&str> = event.lines().collect();
        assert!(event.ends_with("\n\n") && lines[0] == "event: revocations", "{event}");
        assert!(lines[1].starts_with("id: "), "{event}");
        Some(lines[2].strip_prefix("data: ").unwrap().to_owned())
    }
}

fn sid(access: &str) -> Uuid {
    claims(access)["sid"].as_str().unwrap().parse().unwrap()
}

async fn a_statement_lists_revocations_while_affected_tokens_may_be_valid(database: Database) {
    let app = database.app().await;
    app.register("jane").await;
    let answer = app.call("GET", PATH, None, None).await;
    assert_eq!(answer.header("content-type"), "application/jwt");
    assert_eq!(answer.header("cache-control"), "public, max-age=1");
    let now = NOON.as_seconds();
    let nothing =
        Statement { iss: ISSUER.to_owned(), iat: now, exp: now + 30, window: 435, ..Statement::default() };
    assert_eq!(app.statement().await, nothing);

    let pair = app.obtain("jane").await;
    app.end(&pair.access).await;
    assert_eq!(app.statement().await.sessions, [(sid(&pair.access), now)]);
    app.clock.advance(Duration::from_secs(435));
    assert_eq!(app.statement().await.sessions, [(sid(&pair.access), now)]);
    app.clock.advance(Duration::from_secs(5));
    let later = app.statement().await;
    assert_eq!((later.sessions, later.iat), (vec![], now + 440));
}

async fn every_end_of_a_session_is_in_the_feed(database: Database) {
    let app = database.app().await;
    for (n, how) in ["sign_out", "password", "delete", "reuse", "revoke"].iter().enumerate() {
        app.register(how).await;
        let pair = app.obtain(how).await;
        let id = UserId(i64::try_from(n).unwrap() + 1);
        let users = app.auth.users();
        match *how {
            "sign_out" => drop(users.sign_out(id).await.unwrap()),
            "password" => users.set_password(id, None).await.unwrap(),
            "delete" => users.delete(id).await.unwrap(),
            "reuse" => {
                let mut token = pair.refresh.clone();
                for _ in 0..2 {
                    token = crate::pairs::Pair::of(&app.refresh(&token).await).refresh;
                }
                assert_eq!(app.refresh(&pair.refresh).await.status, 401);
            }
            _ => drop(app.post("/token/revoke", json!({"refresh": pair.refresh})).await),
        }
        let statement = app.statement().await;
        assert!(statement.sessions.iter().any(|(session, _)| *session == sid(&pair.access)), "{how}");
        let told = statement.users.iter().find(|(user, _)| *user == id.0);
        // The user's tokens without a session are valid again from the next second on.
        let expected = ["sign_out", "password"].contains(how).then_some((id.0, NOON.as_seconds() + 1));
        assert_eq!(told.copied(), expected, "{how}");
    }
}

async fn a_revoked_key_is_listed_and_another_signs(database: Database) {
    let app = database.app().await;
    app.register("jane").await;
    app.statement().await;
    let list = app.auth.keys().list().await.unwrap();
    let leaked = list[0].0.kid.clone();
    app.auth.keys().revoke(&leaked).await.unwrap();
    assert_eq!(app.statement().await.keys, [leaked]);
    app.clock.advance(Duration::from_secs(435 + 300));
    assert_eq!(app.statement().await.keys, [] as [&str; 0], "nobody can have the key any more");
}

async fn a_statement_stays_until_something_is_revoked_or_a_heartbeat_is_due(database: Database) {
    let app = database.app().await;
    app.register("jane").await;
    let tag = async || app.call("GET", PATH, None, None).await.header("etag").to_owned();
    let first = tag().await;
    app.obtain("jane").await;
    assert_eq!(tag().await, first, "a login revokes nothing");
    let request = Request::get(PATH).header("if-none-match", &first).body(axum::body::Body::empty()).unwrap();
    assert_eq!(app.send(request).await.status, 304);

    let pair = app.obtain("jane").await;
    app.end(&pair.access).await;
    let second = tag().await;
    assert_ne!(second, first);
    app.clock.advance(Duration::from_millis(4999));
    assert_eq!(tag().await, second);
    app.clock.advance(Duration::from_millis(1));
    assert_ne!(tag().await, second);
    assert_eq!(app.statement().await.iat, NOON.as_seconds() + 5);
}

async fn revocations_by_another_instance_are_in_the_feed_within_a_second(database: Database) {
    let (here, there) = (database.app().await, database.app().await);
    here.register("jane").await;
    for _ in 0..5 {
        let pair = here.obtain("jane").await;
        there.statement().await;
        here.end(&pair.access).await;
        there.until_told(sid(&pair.access)).await;
    }
}

async fn sessions_ended_with_sql_are_in_the_feed_within_a_second(database: Database) {
    let app = database.app().await;
    app.register("jane").await;
    let pair = app.obtain("jane").await;
    app.statement().await;
    database.sql.execute("DELETE FROM users").await.unwrap();
    app.until_told(sid(&pair.access)).await;
}

async fn concurrent_requests_share_a_statement(database: Database) {
    let app = database.app().await;
    app.register("jane").await;
    let mut tags = HashSet::new();
    let began = Instant::now();
    for _ in 0..10 {
        let pair = app.obtain("jane").await;
        app.end(&pair.access).await;
        let answers = join_all((0..50).map(|_| app.call("GET", PATH, None, None))).await;
        tags.extend(answers.iter().map(|answer| answer.header("etag").to_owned()));
    }
    let most = began.elapsed().as_millis() / 50 + 2;
    assert!(tags.len() as u128 <= most.min(12), "{} statements in {:?}", tags.len(), began.elapsed());
    assert_eq!(app.statement().await.sessions.len(), 10);
}

async fn a_stream_starts_with_the_statement_and_sends_revocations_within_a_second(database: Database) {
    let (app, other) = (database.app().await, database.app().await);
    app.register("jane").await;
    let mut stream = app.stream().await;
    let first = stream.next().await.unwrap();
    assert_eq!(app.verified(&first).await.sessions, []);
    for instance in [&app, &other, &app] {
        let pair = instance.obtain("jane").await;
        instance.end(&pair.access).await;
        let told = app.verified(&stream.next().await.unwrap()).await;
        assert!(told.sessions.iter().any(|(id, _)| *id == sid(&pair.access)));
    }
    let again = app.stream().await.next().await.unwrap();
    assert_eq!(app.verified(&again).await.sessions.len(), 3, "who comes again has missed nothing");
}

async fn a_stream_has_a_heartbeat(database: Database) {
    let app = database.app().await;
    app.register("jane").await;
    let mut stream = app.stream().await;
    let first = app.verified(&stream.next().await.unwrap()).await;
    app.clock.advance(Duration::from_secs(5));
    // A login wakes the stream, so that the test need not wait for its timer.
    app.obtain("jane").await;
    let second = app.verified(&stream.next().await.unwrap()).await;
    assert_eq!((second.iat, second.sessions), (first.iat + 5, vec![]));
}

async fn streams_end_when_the_server_stops(database: Database) {
    let app = database.app().await;
    let mut stream = app.stream().await;
    assert!(stream.next().await.is_some());
    app.auth.end_streams();
    assert!(stream.next().await.is_none());
    assert!(app.stream().await.next().await.is_none(), "and none begins");
}

async fn many_sessions_of_a_user_are_revoked_by_one_entry_and_the_next_token_is_valid(database: Database) {
    let app = database.app().await;
    app.register("jane").await;
    let pair = app.obtain("jane").await;
    let user = UserId(1);
    let open = |_| {
        let session = with(new_session(user, NOON), |s| s.refresh_counter = Some(0));
        app.auth.context().store.open_session(issued(session), no_effects())
    };
    for _ in 0..11 {
        assert!(join_all((0..100).map(open)).await.into_iter().all(|opened| opened.unwrap().is_some()));
    }
    let stolen = app.obtain("jane").await;
    assert_eq!(app.call("POST", "/logout?scope=others", Some(&pair.access), None).await.status, 204);
    let statement = app.statement().await;
    let now = NOON.as_seconds();
    assert_eq!(
        (&statement.all_of[..], statement.sessions.len()),
        (&[(1, now, Some(sid(&pair.access)))][..], 0)
    );

    let kid = app.auth.keys().list().await.unwrap()[0].0.kid.clone();
    let counts = |access: &str| {
        let claims = claims(access);
        let claims = AccessClaims {
            sub: claims["sub"].as_str().unwrap().to_owned(),
            sid: Some(sid(access)),
            iat: claims["iat"].as_i64().unwrap(),
            ..AccessClaims::default()
        };
        !is_revoked(&statement, &kid, &claims)
    };
    assert!(counts(&pair.access) && !counts(&stolen.access));
    // The second is still the same.
    let began = Instant::now();
    let next = app.obtain("jane").await;
    assert!(counts(&next.access), "{}", claims(&next.access));
    assert_eq!(claims(&next.access)["iat"], now + 1);
    assert!(began.elapsed() > Duration::from_millis(900), "it is handed out no sooner");
    app.clock.advance(Duration::from_secs(2));
    let later = app.refresh(&next.refresh).await;
    assert_eq!(claims(later.json()["access"].as_str().unwrap())["iat"], now + 2);
}

async fn unread_streams_share_one_buffer(database: Database) {
    let app = database.app().await;
    app.register("jane").await;
    let mut streams = Vec::new();
    for _ in 0..50 {
        streams.push(app.stream().await);
    }
    let mut buffers = HashSet::new();
    for stream in &mut streams {
        let next = tokio::time::timeout(Duration::from_secs(5), stream.0.next()).await;
        let event = next.unwrap().unwrap().unwrap();
        buffers.insert((event.as_ptr(), event.len()));
        // Statements that the client does not read stay queued.
        std::mem::forget(event);
    }
    // A heartbeat may have been sent in between.
    assert!(buffers.len() <= 2, "{} buffers", buffers.len());
}

async fn the_number_of_streams_is_limited(database: Database) {
    let app = database.app().await;
    let mut streams = Vec::new();
    for _ in 0..1024 {
        streams.push(app.stream().await);
    }
    let answer = app.call("GET", "/.well-known/revocations/stream", None, None).await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "1"));
    streams.pop();
    assert!(app.stream().await.next().await.is_some());
    assert!(streams[0].next().await.is_some());
}

/// The test vectors of `docs/revocation-feed.md`, for verifiers in other languages. They follow from fixed
/// keys and a fixed time; `DOORWARDEN_WRITE_VECTORS=1` rewrites them.
#[test]
fn the_documented_test_vectors_match_the_program() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/vectors/revocation-feed.json");
    let text = format!("{:#}\n", vectors());
    if std::env::var_os("DOORWARDEN_WRITE_VECTORS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

fn vectors() -> Value {
    let now = NOON.as_seconds();
    let pair = KeyPair::ed25519(&[1; 32]).unwrap();
    let (foreign, revoked) = (KeyPair::ed25519(&[2; 32]).unwrap(), KeyPair::ed25519(&[3; 32]).unwrap());
    let keys = KeySet::new(vec![pair.public().clone(), revoked.public().clone()]).unwrap();
    let (ended, alive, kept) = (Uuid::from_u128(0xdead), Uuid::from_u128(0xa11e), Uuid::from_u128(0xcafe));

    let nothing = Statement {
        iss: "https://id.example".to_owned(),
        iat: now - 2,
        exp: now + 28,
        window: 375,
        ..Statement::default()
    };
    let something = Statement {
        sessions: vec![(ended, now - 10)],
        users: vec![(7, now - 20)],
        all_of: vec![(9, now - 40, None), (10, now - 50, Some(kept))],
        before: Some(now - 250),
        keys: vec![revoked.id().to_owned()],
        ..nothing.clone()
    };
    let says = |statement: &Statement| {
        let Statement { iss, iat, exp, window, sessions, users, all_of, before, keys } = statement;
        let users = users.iter().map(|user| json!(user)).chain(all_of.iter().map(|user| json!(user)));
        let mut says = json!({
            "iss": iss, "iat": iat, "exp": exp, "window": window, "sessions": sessions,
            "users": users.collect::<Vec<_>>(), "keys": keys,
        });
        if let Some(before) = before {
            says["before"] = json!(before);
        }
        says
    };
    let accepted = |name: &str, statement: &Statement| {
        let signed = sign_statement(&pair, statement);
        assert_eq!(
            verify_statement(&signed, &keys, "https://id.example", now).as_ref(),
            Ok(statement),
            "{name}"
        );
        json!({"name": name, "signed": signed, "says": says(statement)})
    };
    // Statements that this program does not issue, but others may.
    let odd = |typ: &str, change: &dyn Fn(&mut Value)| {
        let mut claims = says(&something);
        change(&mut claims);
        let header = json!({"alg": "EdDSA", "kid": pair.id(), "typ": typ});
        let part = |value: &Value| base64_simd::URL_SAFE_NO_PAD.encode_to_string(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        format!("{signed}.{}", base64_simd::URL_SAFE_NO_PAD.encode_to_string(pair.sign(signed.as_bytes())))
    };
    let saying_more = {
        let more = |claims: &mut Value| {
            claims["later"] = json!({"a": 1});
            for list in ["sessions", "users"] {
                for entry in claims[list]
                    .as_array_mut()
                    .unwrap()
                    .iter_mut()
                    .filter(|e| list == "sessions" || e[2] != Value::Null)
                {
                    entry.as_array_mut().unwrap().push(json!("more"));
                }
            }
        };
        let signed = odd(TYPE, &more);
        assert_eq!(verify_statement(&signed, &keys, "https://id.example", now).as_ref(), Ok(&something));
        let mut claims = says(&something);
        more(&mut claims);
        json!({"name": "entries and claims of a later version", "signed": signed, "says": claims})
    };
    let refused = |name: &str, signed: String| {
        let refusal = verify_statement(&signed, &keys, "https://id.example", now).unwrap_err();
        json!({"name": name, "signed": signed, "refused": refusal.code()})
    };
    let access_claims = |sub: i64, sid: Option<Uuid>, iat: i64| AccessClaims {
        iss: "https://id.example".to_owned(),
        sub: sub.to_string(),
        aud: vec!["https://api.example".to_owned()],
        exp: now + 200,
        iat,
        jti: "00000000000000000000000000000001".to_owned(),
        client_id: "doorwarden".to_owned(),
        id: Some(sub),
        sid,
        ..AccessClaims::default()
    };
    let token = |name: &str, key: &KeyPair, claims: &AccessClaims, counts: bool| {
        assert_eq!(is_revoked(&something, key.id(), claims), !counts, "{name}");
        json!({"name": name, "token": access::sign(key, claims).unwrap(), "counts": counts})
    };
    let tampered = {
        let signed = sign_statement(&pair, &something);
        let (head, signature) = signed.rsplit_once('.').unwrap();
        let other = sign_statement(&pair, &nothing);
        assert_ne!(other.rsplit_once('.').unwrap().1, signature);
        format!("{head}.{}", other.rsplit_once('.').unwrap().1)
    };
    let altered = |change: fn(&mut Statement)| {
        let mut statement = nothing.clone();
        change(&mut statement);
        sign_statement(&pair, &statement)
    };

    json!({
        "about": "Revocation statements and access tokens of one issuer at one instant. See ../revocation-feed.md.",
        "issuer": "https://id.example",
        "audience": "https://api.example",
        "now": now,
        "jwks": serde_json::from_str::<Value>(&keys.to_jwks()).unwrap(),
        "statements": [
            accepted("nothing was revoked", &nothing),
            accepted("a session, users, a key and a time", &something),
            saying_more,
            refused("the signature of another statement", tampered),
            refused("a key that is not in the set", sign_statement(&foreign, &nothing)),
            refused("another issuer", altered(|s| s.iss.push('/'))),
            refused("too old to rely on", altered(|s| (s.iat, s.exp) = (s.iat - 120, s.exp - 120))),
            refused("from the future", altered(|s| (s.iat, s.exp) = (s.iat + 120, s.exp + 120))),
            refused("the former format", odd("revocations+jwt", &|_| {})),
            refused("a user's third element is no session", odd(TYPE, &|claims| claims["users"] = json!([[7, now, 7]]))),
            refused("a time that is none", odd(TYPE, &|claims| claims["before"] = json!("now"))),
            refused("an access token", access::sign(&pair, &access_claims(7, Some(alive), now)).unwrap()),
        ],
        "tokens": {
            "statement": "a session, users, a key and a time",
            "cases": [
                token("of a session that goes on", &pair, &access_claims(8, Some(alive), now - 30), true),
                token("of a session that ended", &pair, &access_claims(8, Some(ended), now - 30), false),
                token("of no session, nothing is said of the user", &pair, &access_claims(8, None, now - 30), true),
                token("of no session, issued before its user's were ended", &pair, &access_claims(7, None, now - 21), false),
                token("of no session, issued at that second", &pair, &access_claims(7, None, now - 20), true),
                token("of a session that goes on, issued before", &pair, &access_claims(7, Some(alive), now - 21), true),
                token("of a session, issued when all of its user's were ended", &pair, &access_claims(9, Some(alive), now - 40), false),
                token("of a session, issued a second later", &pair, &access_claims(9, Some(alive), now - 39), true),
                token("of no session, issued when all of its user's were ended", &pair, &access_claims(9, None, now - 40), false),
                token("of no session, issued a second later than that", &pair, &access_claims(9, None, now - 39), true),
                token("of the session that was kept", &pair, &access_claims(10, Some(kept), now - 60), true),
                token("of another session than the one that was kept", &pair, &access_claims(10, Some(alive), now - 50), false),
                token("of no session, where a session was kept", &pair, &access_claims(10, None, now - 50), false),
                token("of the kept session's id, but of another user", &pair, &access_claims(9, Some(kept), now - 40), false),
                token("issued before all that count", &pair, &access_claims(8, Some(alive), now - 250), false),
                token("of the session that was kept, issued before all that count", &pair, &access_claims(10, Some(kept), now - 250), false),
                token("issued a second later than those", &pair, &access_claims(8, Some(alive), now - 249), true),
                token("signed with a revoked key", &revoked, &access_claims(8, Some(alive), now - 30), false),
            ],
        },
    })
}

/// The rule of the specification.
fn is_revoked(statement: &Statement, kid: &str, claims: &AccessClaims) -> bool {
    let user: Option<i64> = claims.sub.parse().ok();
    statement.keys.iter().any(|key| key == kid)
        || statement.before.is_some_and(|before| claims.iat <= before)
        || statement.sessions.iter().any(|(id, _)| Some(*id) == claims.sid)
        || statement.all_of.iter().any(|(id, time, kept)| {
            Some(*id) == user && claims.iat <= *time && (kept.is_none() || *kept != claims.sid)
        })
        || statement
            .users
            .iter()
            .any(|(id, time)| Some(*id) == user && claims.sid.is_none() && claims.iat < *time)
}

#[tokio::test]
async fn no_statement_is_issued_without_the_database() {
    let database = Database::sqlite();
    let app = database.app().await;
    Doorwarden::close(&app.auth).await;
    let answer = app.call("GET", PATH, None, None).await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "1"));
    let stream = app.call("GET", "/.well-known/revocations/stream", None, None).await;
    assert_eq!(stream.status, 503);
}
