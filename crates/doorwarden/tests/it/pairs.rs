//! Access tokens and refresh tokens, from the login to the end of their session.

use crate::app::{Answer, App, Database, NOON, PASSWORD, SECRET};
use doorwarden::core::event::RepeatSign;
use doorwarden::core::session::Session;
use doorwarden::core::settings::WithoutSession;
use doorwarden::core::time::Clock;
use doorwarden::core::token::jws::Jws;
use doorwarden::core::token::session::{SessionClaims, SessionTokenKeys};
use doorwarden::core::token::{Refusal, SecretKey};
use doorwarden::core::user::UserChange;
use doorwarden::{Account, Event, Hooks, UserId, async_trait};
use doorwarden_testkit::drill;
use futures_util::future::join_all;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use serde_json::{Map, Value, json};
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

on_both! {
    a_login_issues_an_rfc_9068_access_token_that_every_endpoint_accepts
    a_token_pair_without_a_login_has_no_amr_and_acr_0
    a_failed_login_is_401_with_simplejwts_text
    access_tokens_are_unique_and_their_lifetimes_have_jitter
    an_access_token_expires_exactly_at_exp
    the_newest_refresh_token_rotates_and_the_previous_one_returns_the_newest
    an_older_refresh_token_ends_its_session_and_no_other
    drill_parallel_refreshes_have_one_successor_and_end_no_session
    whatever_ends_a_session_ends_its_tokens
    a_refresh_token_expires_by_idle_time_and_session_lifetime
    a_session_token_can_be_exchanged_for_a_pair_of_its_session
    a_refresh_token_from_before_an_exchange_is_treated_as_reused
    an_exchange_keeps_the_limits_of_the_session
    a_late_repeat_is_shown_to_the_owner_and_the_third_ends_the_session
    the_grace_is_configurable
    a_repeat_within_the_grace_from_another_network_or_user_agent_is_an_event
    a_token_of_any_kind_can_be_verified
    a_token_of_any_kind_ends_its_session
    no_token_is_accepted_as_another_kind
    hooks_and_settings_add_claims_but_override_none
    an_access_token_over_4_kib_is_not_issued
    the_library_issues_pairs_and_verifies_access_tokens
    tokens_of_an_old_secret_key_stay_valid
    the_service_makes_no_outgoing_connections
}

/// The response of `/token` and `/token/refresh`.
pub(crate) struct Pair {
    pub(crate) access: String,
    pub(crate) refresh: String,
}

impl Pair {
    #[track_caller]
    pub(crate) fn of(answer: &Answer) -> Self {
        assert_eq!(answer.status, 200, "{answer:?}");
        let body = answer.json();
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        Self { access: text("access"), refresh: text("refresh") }
    }
}

impl App {
    /// Logs in for a token pair.
    pub(crate) async fn obtain(&self, name: &str) -> Pair {
        let email = format!("{name}@example.com");
        Pair::of(&self.post("/token", json!({"email": email, "password": PASSWORD})).await)
    }

    pub(crate) async fn refresh(&self, token: &str) -> Answer {
        self.post("/token/refresh", json!({"refresh": token})).await
    }

    /// The status of `GET /me` with this token.
    pub(crate) async fn me(&self, token: &str) -> u16 {
        self.get("/me", token).await.status.as_u16()
    }
}

pub(crate) fn claims(token: &str) -> Value {
    serde_json::from_slice(&Jws::parse(token).unwrap().payload).unwrap()
}

fn not_valid() -> Value {
    json!({"detail": "Token is invalid", "code": "token_not_valid"})
}

/// A hook that records events.
#[derive(Debug, Clone, Default)]
struct Heard(Arc<Mutex<Vec<Event>>>);

#[async_trait]
impl Hooks for Heard {
    async fn on_event(&self, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}

async fn a_login_issues_an_rfc_9068_access_token_that_every_endpoint_accepts(database: Database) {
    let app = database
        .app_with(|b| {
            b.settings(|s| {
                s.access.issuer = "https://id.example".into();
                s.access.audience = ["https://api.example", "https://id.example"].map(str::to_owned).to_vec();
                s.access.client_id = "web".into();
            })
        })
        .await;
    app.register("jane").await;
    let login = json!({"email": "jane@example.com", "password": PASSWORD});
    let answer = app.post("/token", login).await;
    assert_eq!(answer.header("cache-control"), "no-store");
    let body = answer.json();
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(body["refresh_expires_in"], 14 * 24 * 3600);
    assert!(body["refresh"].as_str().unwrap().starts_with("dwr_"));
    let pair = Pair::of(&answer);

    let jws = Jws::parse(&pair.access).unwrap();
    assert_eq!((jws.typ.as_deref(), jws.algorithm.as_str()), (Some("at+jwt"), "ES256"));
    let claims = claims(&pair.access);
    let now = NOON.as_seconds();
    assert_eq!(body["expires_in"], claims["exp"].as_i64().unwrap() - now);
    let (sid, jti) = (claims["sid"].clone(), claims["jti"].clone());
    assert_eq!(jti.as_str().unwrap().len(), 32);
    assert_eq!(
        claims,
        json!({
            "iss": "https://id.example", "aud": ["https://api.example", "https://id.example"], "sub": "1", "id": 1, "client_id": "web",
            "iat": now, "exp": claims["exp"], "jti": jti, "sid": sid, "amr": ["pwd"], "auth_time": now, "acr": "1",
        })
    );

    assert_eq!(app.get("/me", &pair.access).await.json()["email"], "jane@example.com");
    let sessions = app.get("/sessions", &pair.access).await.json();
    let current = sessions.as_array().unwrap().iter().find(|s| s["current"] == true).unwrap();
    assert_eq!((&current["id"], &current["client_id"]), (&sid, &json!("web")));
    assert_eq!(app.call("POST", "/logout", Some(&pair.access), None).await.status, 204);
    assert_eq!((app.me(&pair.access).await, app.refresh(&pair.refresh).await.status.as_u16()), (401, 401));
}

async fn a_token_pair_without_a_login_has_no_amr_and_acr_0(database: Database) {
    let app = database.app().await;
    app.register("jane").await;
    let login = app.obtain("jane").await;
    let issued = app.auth.tokens().issue_pair(UserId(1)).await.unwrap();
    let without = |claims: Value| {
        let Value::Object(mut claims) = claims else { panic!("claims are an object") };
        claims.retain(|name, _| !["amr", "auth_time"].contains(&name.as_str()));
        claims.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
    };
    let claims = claims(&issued.access);
    assert_eq!((claims.get("amr"), claims.get("auth_time"), &claims["acr"]), (None, None, &json!("0")));
    assert_eq!(without(claims.clone()), without(crate::pairs::claims(&login.access)), "the other claims");
    let refreshed = Pair::of(&app.refresh(&issued.refresh).await);
    assert_eq!(crate::pairs::claims(&refreshed.access).get("amr"), None, "a refresh proves nothing either");

    let shown = app.get("/sessions", &issued.access).await.json();
    let current = shown.as_array().unwrap().iter().find(|session| session["current"] == true).unwrap();
    assert_eq!(
        (&current["amr"], &current["auth_time"], &current["assurance_level"]),
        (&json!([]), &Value::Null, &json!(0))
    );
}

async fn a_failed_login_is_401_with_simplejwts_text(database: Database) {
    let app = database.app().await;
    app.register("jane").await;
    for email in ["jane@example.com", "nobody@example.com"] {
        let answer = app.post("/token", json!({"email": email, "password": "wrong horse"})).await;
        assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"api\"");
        let text = "No active account found with the given credentials";
        answer.is(401, json!({"detail": text, "code": "no_active_account"}));
    }
    let missing = app.post("/token", json!({"email": "jane@example.com"})).await;
    missing.is(400, json!({"password": ["This field is required."]}));
    let missing = app.post("/token/refresh", json!({})).await;
    missing.is(400, json!({"refresh": ["This field is required."]}));

    let form = |path: &str, text: String| {
        let request = http::Request::post(path).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        request.body(text.into()).unwrap()
    };
    let login = "email=jane%40example.com&password=correct+horse+battery".to_owned();
    let pair = Pair::of(&app.send(form("/token", login)).await);
    Pair::of(&app.send(form("/token/refresh", format!("refresh={}", pair.refresh))).await);
}

async fn access_tokens_are_unique_and_their_lifetimes_have_jitter(database: Database) {
    let app = database.app().await;
    app.register("jane").await;
    let mut refresh = app.obtain("jane").await.refresh;
    let (mut ids, mut lifetimes) = (HashSet::new(), HashSet::new());
    for _ in 0..100 {
        let pair = Pair::of(&app.refresh(&refresh).await);
        let claims = claims(&pair.access);
        assert!(ids.insert(claims["jti"].to_string()));
        let lifetime = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
        assert!((285..=315).contains(&lifetime), "{lifetime}");
        lifetimes.insert(lifetime);
        refresh = pair.refresh;
    }
    assert!(lifetimes.len() > 10, "{lifetimes:?}");
}

async fn an_access_token_expires_exactly_at_exp(database: Database) {
    let app = database.app().await;
    app.register("jane").await;
    let pair = app.obtain("jane").await;
    let lifetime = claims(&pair.access)["exp"].as_i64().unwrap() - NOON.as_seconds();
    app.clock.advance(Duration::from_secs(lifetime.cast_unsigned() - 1));
    assert_eq!((app.me(&pair.access).await, app.me(&pair.access).await), (200, 200));
    app.clock.advance(Duration::from_secs(1));
    assert_eq!(app.me(&pair.access).await, 401);
    assert_eq!(app.me(&Pair::of(&app.refresh(&pair.refresh).await).access).await, 200);
}

async fn the_newest_refresh_token_rotates_and_the_previous_one_returns_the_newest(database: Database) {
    let app = database.app().await;
    app.register("jane").await;
    let first = app.obtain("jane").await;
    let second = Pair::of(&app.refresh(&first.refresh).await);
    assert_ne!(first.refresh, second.refresh);
    for _ in 0..3 {
        let again = Pair::of(&app.refresh(&first.refresh).await);
        assert_eq!(again.refresh, second.refresh);
        assert_eq!(app.me(&again.access).await, 200);
    }
    let third = Pair::of(&app.refresh(&second.refresh).await);
    for access in [&first.access, &second.access, &third.access] {
        assert_eq!(app.me(access).await, 200);
    }
}

async fn an_older_refresh_token_ends_its_session_and_no_other(database: Database) {
    let heard = Heard::default();
    let app = database.app_with(|b| b.hook(heard.clone())).await;
    app.register("jane").await;
    let (stolen, other) = (app.obtain("jane").await, app.obtain("jane").await);
    let second = Pair::of(&app.refresh(&stolen.refresh).await);
    let third = Pair::of(&app.refresh(&second.refresh).await);
    assert_eq!(app.me(&third.access).await, 200);

    let text = "Token was used before; its session has ended";
    app.refresh(&stolen.refresh).await.is(401, json!({"detail": text, "code": "refresh_reused"}));
    for token in [&stolen.refresh, &second.refresh, &third.refresh] {
        app.refresh(token).await.is(401, not_valid());
    }
    for access in [&stolen.access, &second.access, &third.access] {
        assert_eq!(app.me(access).await, 401);
    }
    assert_eq!(app.me(&other.access).await, 200);
    Pair::of(&app.refresh(&other.refresh).await);
    let heard = heard.0.lock().unwrap();
    let reused: Vec<_> = heard.iter().filter(|e| matches!(e, Event::RefreshReused { .. })).collect();
    assert!(matches!(reused[..], [Event::RefreshReused { user: UserId(1), .. }]), "{reused:?}");
}

async fn drill_parallel_refreshes_have_one_successor_and_end_no_session(database: Database) {
    let (here, there) = (database.app().await, database.app().await);
    here.register("jane").await;
    let mut newest = here.obtain("jane").await.refresh;
    for round in 0..drill().rounds(20, 1000) {
        let requests = (0..16).map(|n| if n % 2 == 0 { &here } else { &there }.refresh(&newest));
        let answers = join_all(requests).await;
        let pairs: Vec<Pair> = answers.iter().map(Pair::of).collect();
        let successors: HashSet<&str> = pairs.iter().map(|pair| pair.refresh.as_str()).collect();
        assert_eq!(successors.len(), 1, "round {round}");
        assert_eq!((here.me(&pairs[0].access).await, there.me(&pairs[15].access).await), (200, 200));
        newest = pairs[0].refresh.clone();
    }
}

async fn whatever_ends_a_session_ends_its_tokens(database: Database) {
    let app = database.app().await;
    for (name, how) in ["logout", "password", "sign_out", "inactive", "deleted", "revoked"].iter().enumerate()
    {
        let name = format!("user{name}");
        app.register(&name).await;
        let pair = app.obtain(&name).await;
        let id = UserId(claims(&pair.access)["id"].as_i64().unwrap());
        assert_eq!(app.me(&pair.access).await, 200);
        let users = app.auth.users();
        match *how {
            "logout" => drop(app.call("POST", "/logout?scope=all", Some(&pair.access), None).await),
            "password" => users.set_password(id, Some("another horse")).await.unwrap(),
            "sign_out" => drop(users.sign_out(id).await.unwrap()),
            "inactive" => {
                let change = UserChange { is_active: Some(false), ..UserChange::default() };
                drop(users.update(id, change).await.unwrap());
            }
            "deleted" => users.delete(id).await.unwrap(),
            _ => {
                let sid = claims(&pair.access)["sid"].as_str().unwrap().to_owned();
                let path = format!("/sessions/{sid}");
                assert_eq!(app.call("DELETE", &path, Some(&pair.access), None).await.status, 204);
            }
        }
        assert_eq!(app.me(&pair.access).await, 401, "{how}");
        app.refresh(&pair.refresh).await.is(401, not_valid());
    }
}

async fn a_refresh_token_expires_by_idle_time_and_session_lifetime(database: Database) {
    const DAY: Duration = Duration::from_hours(24);
    let app = database.app().await;
    app.register("jane").await;
    let idle = app.obtain("jane").await;
    let mut used = app.obtain("jane").await.refresh;
    for day in (10..30).step_by(10) {
        app.clock.advance(10 * DAY);
        let answer = app.refresh(&used).await;
        used = Pair::of(&answer).refresh;
        let left = (30 - day) * 24 * 3600;
        assert_eq!(answer.json()["refresh_expires_in"], left.min(14 * 24 * 3600), "day {day}");
    }
    app.refresh(&idle.refresh).await.is(401, not_valid());
    app.clock.advance(10 * DAY);
    app.refresh(&used).await.is(401, not_valid());
}

async fn a_session_token_can_be_exchanged_for_a_pair_of_its_session(database: Database) {
    let app = database.app().await;
    let token = app.register("jane").await;
    let exchange = async |token: &str| app.call("POST", "/token", Some(token), None).await;
    let pair = Pair::of(&exchange(&token).await);
    assert_eq!(claims(&pair.access)["sid"], claims(&token)["sid"]);
    assert_eq!((app.me(&token).await, app.me(&pair.access).await), (200, 200));
    let second = Pair::of(&exchange(&token).await);
    assert_ne!(second.refresh, pair.refresh, "no refresh token is given twice");
    let third = Pair::of(&app.refresh(&second.refresh).await);
    let fourth = Pair::of(&exchange(&token).await);
    assert_ne!(fourth.refresh, third.refresh);

    for refused in [&fourth.access, &fourth.refresh, "nonsense"] {
        assert_eq!(exchange(refused).await.status, 401);
    }
    let login = json!({"email": "jane@example.com", "password": PASSWORD});
    let answer = app.call("POST", "/token", Some("nonsense"), Some(login)).await;
    assert_eq!(answer.status, 200, "with a body it is a login");

    app.call("POST", "/logout", Some(&token), None).await;
    assert_eq!(exchange(&token).await.status, 401);
    app.refresh(&fourth.refresh).await.is(401, not_valid());
    assert_eq!(app.me(&fourth.access).await, 401);
}

async fn a_refresh_token_from_before_an_exchange_is_treated_as_reused(database: Database) {
    let app = database.app().await;
    let token = app.register("jane").await;
    let exchange = async || Pair::of(&app.call("POST", "/token", Some(&token), None).await);
    let stolen = exchange().await.refresh;
    exchange().await;
    exchange().await;
    assert_eq!(app.refresh(&stolen).await.json()["code"], "refresh_reused");
    assert_eq!(app.me(&token).await, 401);
}

async fn an_exchange_keeps_the_limits_of_the_session(database: Database) {
    const MINUTE: Duration = Duration::from_mins(1);
    let app = database
        .app_with(|b| {
            b.settings(|s| {
                s.session.idle = Some(5 * MINUTE);
                s.access.refresh_idle = 10 * MINUTE;
                s.access.refresh_lifetime = Duration::from_hours(1);
            })
        })
        .await;
    let token = app.register("jane").await;
    let exchange = async || app.call("POST", "/token", Some(&token), None).await;
    let answer = exchange().await;
    assert_eq!(answer.json()["refresh_expires_in"], 300, "the shorter idle time");
    app.clock.advance(5 * MINUTE);
    app.refresh(&Pair::of(&answer).refresh).await.is(401, not_valid());

    let token = app.log_in("jane", PASSWORD).await.token();
    let mut newest = Pair::of(&app.call("POST", "/token", Some(&token), None).await).refresh;
    for _ in 0..14 {
        app.clock.advance(4 * MINUTE);
        newest = Pair::of(&app.refresh(&newest).await).refresh;
    }
    app.clock.advance(4 * MINUTE);
    app.refresh(&newest).await.is(401, not_valid());
    assert_eq!(app.me(&token).await, 401, "the session has ended, and all that belongs to it");
    let again = app.call("POST", "/token", Some(&token), None).await;
    assert_eq!(again.status, 401);
}

async fn a_late_repeat_is_shown_to_the_owner_and_the_third_ends_the_session(database: Database) {
    let heard = Heard::default();
    let app = database.app_with(|b| b.hook(heard.clone())).await;
    app.register("jane").await;
    let first = app.obtain("jane").await;
    let second = Pair::of(&app.refresh(&first.refresh).await);
    app.clock.advance(Duration::from_mins(1));
    assert_eq!(Pair::of(&app.refresh(&first.refresh).await).refresh, second.refresh, "in the grace");
    let shown = async || {
        let sessions = app.get("/sessions", &second.access).await.json();
        sessions.as_array().unwrap().iter().find(|s| s["current"] == true).unwrap()["refresh_repeated_late_at"].clone()
    };
    assert_eq!(shown().await, json!(null));
    for _ in 0..2 {
        app.clock.advance(Duration::from_secs(30));
        let verified = app.post("/token/verify", json!({"token": first.refresh})).await;
        assert_eq!(verified.status, 200, "it would be exchanged");
        assert_eq!(Pair::of(&app.refresh(&first.refresh).await).refresh, second.refresh);
        assert_eq!(shown().await, json!(Clock::now(&app.clock).to_string()));
    }
    let verified = app.post("/token/verify", json!({"token": first.refresh})).await;
    assert_eq!(verified.status, 401, "it would end the session");
    assert_eq!(app.refresh(&first.refresh).await.json()["code"], "refresh_reused");
    app.refresh(&second.refresh).await.is(401, not_valid());
    let heard = heard.0.lock().unwrap();
    let signs: Vec<_> = heard
        .iter()
        .filter_map(|event| match event {
            Event::RefreshRepeated { user: UserId(1), sign, .. } => Some(*sign),
            _ => None,
        })
        .collect();
    assert_eq!(signs, [RepeatSign::Late; 2]);
    assert_eq!(heard.iter().filter(|e| matches!(e, Event::RefreshReused { .. })).count(), 1);
}

async fn the_grace_is_configurable(database: Database) {
    let heard = Heard::default();
    let grace = Duration::from_secs(5);
    let app = database.app_with(|b| b.hook(heard.clone()).settings(|s| s.access.refresh_grace = grace)).await;
    app.register("jane").await;
    let first = app.obtain("jane").await;
    app.refresh(&first.refresh).await;
    for (seconds, late) in [(5, 0), (1, 1)] {
        app.clock.advance(Duration::from_secs(seconds));
        Pair::of(&app.refresh(&first.refresh).await);
        let heard = heard.0.lock().unwrap();
        assert_eq!(heard.iter().filter(|e| matches!(e, Event::RefreshRepeated { .. })).count(), late);
    }
}

async fn a_repeat_within_the_grace_from_another_network_or_user_agent_is_an_event(database: Database) {
    let heard = Heard::default();
    let app = database.app_with(|b| b.hook(heard.clone())).await;
    app.register("jane").await;
    let from = async |path: &str, body: Value, address: &str, agent: &str| {
        let address: std::net::SocketAddr = format!("{address}:40000").parse().unwrap();
        let request = http::Request::post(path)
            .header(CONTENT_TYPE, "application/json")
            .header("user-agent", agent)
            .extension(axum::extract::ConnectInfo(address));
        Pair::of(&app.send(request.body(body.to_string().into()).unwrap()).await)
    };
    let login = json!({"email": "jane@example.com", "password": PASSWORD});
    let first = from("/token", login, "192.0.2.1", "browser").await;
    let refresh = json!({"refresh": first.refresh});
    for (address, agent, events) in [
        ("198.51.100.1", "other", 0),
        ("192.0.2.1", "browser", 0),
        ("192.0.2.200", "browser", 0),
        ("192.0.3.1", "browser", 1),
        ("192.0.2.1", "other", 2),
    ] {
        from("/token/refresh", refresh.clone(), address, agent).await;
        let heard = heard.0.lock().unwrap();
        let elsewhere = |e: &&Event| matches!(e, Event::RefreshRepeated { sign: RepeatSign::Elsewhere, .. });
        assert_eq!(heard.iter().filter(elsewhere).count(), events, "{address} {agent}");
    }
}

async fn a_token_of_any_kind_can_be_verified(database: Database) {
    let app = database.app().await;
    let session = app.register("jane").await;
    let first = app.obtain("jane").await;
    let second = Pair::of(&app.refresh(&first.refresh).await);
    let verify = async |token: &str| app.post("/token/verify", json!({"token": token})).await;
    for token in [&session, &first.access, &first.refresh, &second.access, &second.refresh] {
        verify(token).await.is(200, json!({}));
    }
    let third = Pair::of(&app.refresh(&second.refresh).await);
    verify(&first.refresh).await.is(401, not_valid());
    verify(&third.refresh).await.is(200, json!({}));
    assert_eq!(app.me(&third.access).await, 200, "to verify is not to use");
    for token in ["", "nonsense", "a.b.c", "dwr_nonsense", &third.refresh[..67], &third.access[1..]] {
        verify(token).await.is(401, not_valid());
    }
    app.call("POST", "/logout", Some(&third.access), None).await;
    for token in [&third.access, &third.refresh] {
        verify(token).await.is(401, not_valid());
    }
}

async fn a_token_of_any_kind_ends_its_session(database: Database) {
    let heard = Heard::default();
    let app = database.app_with(|b| b.hook(heard.clone())).await;
    let session = app.register("jane").await;
    let revoke = async |field: &str, token: &str| app.post("/token/revoke", json!({field: token})).await;
    for kind in 0..4 {
        let first = app.obtain("jane").await;
        let second = Pair::of(&app.refresh(&first.refresh).await);
        let third = Pair::of(&app.refresh(&second.refresh).await);
        let (field, token) = match kind {
            0 => ("refresh", &third.refresh),
            1 => ("refresh", &first.refresh),
            2 => ("token", &third.access),
            _ => ("token", &third.refresh),
        };
        heard.0.lock().unwrap().clear();
        assert_eq!(revoke(field, token).await.status, 204);
        assert!(matches!(heard.0.lock().unwrap()[..], [Event::SessionEnded { .. }]));
        assert_eq!(
            (app.me(&third.access).await, app.refresh(&third.refresh).await.status.as_u16()),
            (401, 401)
        );
        assert_eq!(revoke(field, token).await.status, 204, "twice is no error");
        assert_eq!(app.me(&session).await, 200);
    }
    assert_eq!(revoke("token", &session).await.status, 204);
    assert_eq!(app.me(&session).await, 401);
    for token in ["nonsense", "dwr_nonsense", "a.b.c"] {
        revoke("token", token).await.is(401, not_valid());
    }
    app.post("/token/revoke", json!({})).await.is(400, json!({"refresh": ["This field is required."]}));
}

/// Every kind of token at every endpoint: it is accepted only where it belongs.
async fn no_token_is_accepted_as_another_kind(database: Database) {
    let app = database.app().await;
    let session = app.register("jane").await;
    let pair = app.obtain("jane").await;
    let statement = app.get("/.well-known/revocations", &session).await;
    let statement = String::from_utf8(statement.body).unwrap();
    let all = [&session, &pair.access, &pair.refresh, &statement];

    for (place, expected) in [
        ("/me", [200, 200, 401, 401]),
        ("/sessions", [200, 200, 401, 401]),
        ("/token", [200, 401, 401, 401]),
        ("/token/verify", [200, 200, 200, 401]),
        ("/token/refresh", [401, 401, 200, 401]),
    ] {
        for (token, expected) in all.iter().zip(expected) {
            let answer = match place {
                "/me" | "/sessions" => app.get(place, token).await,
                "/token" => app.call("POST", place, Some(token), None).await,
                "/token/verify" => app.post(place, json!({"token": token})).await,
                _ => app.post(place, json!({"refresh": token})).await,
            };
            assert_eq!(answer.status, expected, "{place} {token}");
        }
    }
    // A token of another installation with the same claims, and one of another issuer.
    let elsewhere = Database::sqlite();
    let foreign = elsewhere.app().await;
    foreign.register("jane").await;
    let foreign = foreign.obtain("jane").await;
    assert_eq!(app.me(&foreign.access).await, 401);
    let moved =
        database.app_with(|b| b.settings(|s| s.access.issuer = "http://127.0.0.1:8000/".into())).await;
    assert_eq!(moved.me(&pair.access).await, 401);
}

async fn hooks_and_settings_add_claims_but_override_none(database: Database) {
    #[derive(Debug)]
    struct Claims;

    #[async_trait]
    impl Hooks for Claims {
        async fn access_claims(&self, account: &Account, session: &Session) -> Map<String, Value> {
            let claims = json!({
                "tenant": account.user.username.as_str(), "same": session.id.0, "permissions": ["all"],
                "sub": "2", "id": 2, "exp": 9_999_999_999_i64, "iss": "evil", "sid": null, "acr": "3", "nbf": 0,
            });
            claims.as_object().unwrap().clone()
        }
    }

    let app = database
        .app_with(|b| {
            b.hook(Claims)
                .permission("blog.add_post", "Can add post")
                .settings(|s| s.access.include_permissions = true)
        })
        .await;
    app.register("jane").await;
    app.auth.users().grant(UserId(1), &"blog.add_post".parse().unwrap()).await.unwrap();
    let pair = app.obtain("jane").await;
    let claims = claims(&pair.access);
    assert_eq!(claims["permissions"], json!(["blog.add_post"]));
    assert_eq!((&claims["tenant"], &claims["same"]), (&json!("jane"), &claims["sid"]));
    assert_eq!((&claims["sub"], &claims["id"], &claims["acr"]), (&json!("1"), &json!(1), &json!("1")));
    assert!(claims["exp"].as_i64().unwrap() < NOON.as_seconds() + 400);
    assert!(claims.get("nbf").is_none());
    assert_eq!(app.me(&pair.access).await, 200);
}

async fn an_access_token_over_4_kib_is_not_issued(database: Database) {
    #[derive(Debug)]
    struct Long(Arc<Mutex<usize>>);

    #[async_trait]
    impl Hooks for Long {
        async fn access_claims(&self, _: &Account, _: &Session) -> Map<String, Value> {
            Map::from_iter([("long".to_owned(), "x".repeat(*self.0.lock().unwrap()).into())])
        }
    }

    let length = Arc::new(Mutex::new(2500));
    let app = database.app_with(|b| b.hook(Long(Arc::clone(&length)))).await;
    app.register("jane").await;
    let pair = app.obtain("jane").await;
    assert_eq!(app.me(&pair.access).await, 200);
    *length.lock().unwrap() = 3000;
    app.refresh(&pair.refresh).await.is(500, json!({"detail": "A server error occurred."}));
    *length.lock().unwrap() = 0;
    Pair::of(&app.refresh(&pair.refresh).await);
}

async fn the_library_issues_pairs_and_verifies_access_tokens(database: Database) {
    let app = database.app().await;
    app.register("jane").await;
    let tokens = app.auth.tokens();
    let pair = tokens.issue_pair(UserId(1)).await.unwrap();
    let who = tokens.verify(&pair.access).await.unwrap();
    assert_eq!((who.id(), who.session()), (UserId(1), Some(pair.session)));
    assert!(tokens.verify(&pair.refresh).await.is_err());
    assert!(!format!("{pair:?}").contains("dwr_"));
    assert!(tokens.issue_pair(UserId(99)).await.is_err());
    assert_eq!(app.refresh(&pair.refresh).await.status, 200);
}

async fn tokens_of_an_old_secret_key_stay_valid(database: Database) {
    let app = database.app().await;
    app.register("jane").await;
    let pair = app.obtain("jane").await;
    let new = "another secret key for tests, long enough";
    let app = database.app_with(|b| b.secret_key(new).old_secret_keys([SECRET])).await;
    assert_eq!(app.me(&pair.access).await, 200);
    let second = Pair::of(&app.refresh(&pair.refresh).await);
    assert_ne!(second.refresh, pair.refresh);
    assert_eq!(app.me(&second.access).await, 200);
}

/// After every request that could cause a fetch, the process has no connections except to its database.
async fn the_service_makes_no_outgoing_connections(database: Database) {
    let app = database.app_with(|b| b.settings(|s| s.access.issuer = "http://192.0.2.1:9".into())).await;
    let session = app.register("jane").await;
    let pair = app.obtain("jane").await;
    let keys = SessionTokenKeys::new(&SecretKey::new(SECRET).unwrap(), &[]);
    let django =
        keys.sign(&SessionClaims { id: 1, exp: NOON.as_seconds() + 60, iat: None, jti: None, sid: None });
    for token in [&session, &pair.access, &pair.refresh, &django] {
        app.me(token).await;
        app.post("/token/verify", json!({"token": token})).await;
        app.refresh(token).await;
    }
    // The header names a URL from which a key could be fetched.
    let header = "eyJhbGciOiJFZERTQSIsInR5cCI6ImF0K2p3dCIsImprdSI6Imh0dHA6Ly8xOTIuMC4yLjE6OS8ifQ";
    let lure = format!("{header}.{}", pair.access.split_once('.').unwrap().1);
    assert_eq!(app.me(&lure).await, 401);
    assert!(matches!(app.auth.context().keys.verify(&lure, NOON), Err(Refusal::ForbiddenHeader(_))));
    for path in ["/.well-known/jwks.json", "/.well-known/revocations"] {
        assert_eq!(app.get(path, &session).await.status, 200);
    }

    let database_port = std::env::var("DOORWARDEN_TEST_POSTGRES_URL").ok().and_then(|url| {
        let port = url.rsplit_once('@')?.1.split(['/', '?']).next()?.rsplit_once(':')?.1;
        port.parse::<u16>().ok()
    });
    let inodes: HashSet<String> = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok()?.to_str().map(str::to_owned))
        .filter_map(|link| Some(link.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    for table in ["/proc/self/net/tcp", "/proc/self/net/tcp6", "/proc/self/net/udp", "/proc/self/net/udp6"] {
        let Ok(text) = std::fs::read_to_string(table) else { continue };
        for line in text.lines().skip(1) {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            if !inodes.contains(words[9]) {
                continue;
            }
            let port = words[2].rsplit_once(':').map(|(_, port)| u16::from_str_radix(port, 16).unwrap());
            assert!(port == Some(0) || port == database_port, "a connection to elsewhere: {line}");
        }
    }
}

#[tokio::test]
async fn a_token_without_a_session_cannot_be_exchanged_or_revoked() {
    let database = Database::sqlite();
    let app = database.app_with(|b| b.settings(|s| s.session.without_session = WithoutSession::Accept)).await;
    app.register("jane").await;
    let keys = SessionTokenKeys::new(&SecretKey::new(SECRET).unwrap(), &[]);
    let django =
        keys.sign(&SessionClaims { id: 1, exp: NOON.as_seconds() + 60, iat: None, jti: None, sid: None });
    assert_eq!(app.me(&django).await, 200);
    let request = http::Request::post("/token").header(AUTHORIZATION, format!("Bearer {django}"));
    assert_eq!(app.send(request.body(axum::body::Body::empty()).unwrap()).await.status, 401);
    let answer = app.post("/token/revoke", json!({"token": django})).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (400, &json!("token_without_session")));
    app.post("/token/verify", json!({"token": django})).await.is(200, json!({}));
}
