//! Nobody learns from an answer, or from the time that it takes, whether an address has an account, nor
//! whether the account has a second factor: every second one has.

use crate::app::{Answer, App, Database, PASSWORD};
use crate::phone::give_totp;
use crate::post::Post;
use axum::body::Body;
use doorwarden::core::flow::seal_events::write_refusals;
use doorwarden::core::limit::{Limit, Quota};
use doorwarden::core::random::RandomSource;
use doorwarden::core::settings::RegistrationMode;
use doorwarden_testkit::{SeededRandom, drill};
use futures_util::stream::{self, StreamExt};
use http::header::CONTENT_TYPE;
use http::{Request, StatusCode};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

on_both! {
    known_and_unknown_addresses_cause_the_same_writes
    drill_known_and_unknown_addresses_are_answered_alike_and_after_the_same_time
}

/// Where an address, or a login that was begun with one, is sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Probe {
    WrongPassword,
    LoginByMail,
    Reset,
    Registration,
    Resend,
    WrongCode,
}

/// How many ask at the same time.
const CLIENTS: usize = 16;

const PROBES: [Probe; 6] = [
    Probe::WrongPassword,
    Probe::LoginByMail,
    Probe::Reset,
    Probe::Registration,
    Probe::Resend,
    Probe::WrongCode,
];

/// An address that has an account, or one of the same form that has none.
fn address(is_known: bool, n: usize) -> String {
    let name = if is_known { "known" } else { "other" };
    format!("{name}{n:05}@example.com")
}

fn request(path: &str, body: &Value) -> Request<Body> {
    let request = Request::builder().method("POST").uri(path).header(CONTENT_TYPE, "application/json");
    request.body(Body::from(body.to_string())).unwrap()
}

impl Probe {
    fn request(self, email: &str, token: &Value, serial: usize) -> Request<Body> {
        match self {
            Self::WrongPassword => request("/login", &json!({"email": email, "password": "a wrong battery"})),
            Self::LoginByMail => request("/login/email", &json!({"email": email})),
            Self::Reset => request("/password/reset", &json!({"email": email})),
            Self::Registration => {
                let username = format!("somebody{serial:08}");
                request("/registration", &json!({"email": email, "username": username, "password": PASSWORD}))
            }
            Self::Resend => request("/registration/resend-email", &json!({"login_token": token})),
            Self::WrongCode => request(
                "/login/verify",
                &json!({"login_token": token, "method": "email_code", "code": "BBBB-BBBB"}),
            ),
        }
    }
}

/// What an answer shows besides its time.
fn shape(answer: &Answer) -> (StatusCode, Vec<String>, usize) {
    let mut names: Vec<_> = answer.headers.keys().map(ToString::to_string).collect();
    names.sort();
    (answer.status, names, answer.body.len())
}

/// The probability that an answer to a known address takes longer than one to an unknown address, by the sum
/// of the ranks of Mann and Whitney: one half if the time says nothing.
fn auc(mut times: Vec<(Duration, bool)>) -> f64 {
    times.sort();
    let known = times.iter().filter(|(_, is_known)| *is_known).count();
    let unknown = times.len() - known;
    let ranks = times.iter().enumerate().filter(|(_, (_, is_known))| *is_known).map(|(rank, _)| rank);
    let above = ranks.sum::<usize>() - known * (known - 1) / 2;
    let count = |count: usize| f64::from(u32::try_from(count).unwrap());
    count(above) / count(known * unknown)
}

/// One run: as many samples of each class, in random order.
async fn run(app: &App, probe: Probe, each: usize, owners: usize, serial: &mut usize) -> f64 {
    let random = SeededRandom::new(*serial as u64);
    let random: &dyn RandomSource = &random;
    let mut order: Vec<_> = (0..each).flat_map(|n| [(true, n), (false, n)]).collect();
    order.sort_by_cached_key(|_| random.bytes::<8>());
    let first = *serial;
    *serial += order.len();
    let begin = |(serial, (is_known, n)): (usize, (bool, usize))| async move {
        let email = address(is_known, n % owners);
        let token = match probe {
            Probe::Resend | Probe::WrongCode => loop {
                let begun = app.post("/login/email", json!({"email": email})).await;
                if begun.status == StatusCode::ACCEPTED {
                    break begun.json()["login_token"].clone();
                }
            },
            _ => Value::Null,
        };
        (is_known, probe.request(&email, &token, serial))
    };
    let begun = stream::iter((first..).zip(order)).map(begin).buffered(CLIENTS);
    let samples: Vec<_> = begun.collect().await;
    app.clock.advance(Duration::from_secs(30));
    let ask = |(is_known, request): (bool, Request<Body>)| async move {
        let begin = Instant::now();
        let answer = app.send_unchecked(request).await;
        ((begin.elapsed(), is_known), shape(&answer))
    };
    let asked = stream::iter(samples).map(ask).buffer_unordered(CLIENTS);
    // A database that did not respond in time (a checkpoint, a busy disk) says nothing of anybody.
    let (late, asked): (Vec<_>, Vec<_>) = asked
        .collect::<Vec<_>>()
        .await
        .into_iter()
        .partition(|(_, (status, ..))| *status == StatusCode::SERVICE_UNAVAILABLE);
    assert!(late.len() * 100 <= asked.len(), "{probe:?}: {} answers of {} are 503", late.len(), each * 2);
    let (times, shapes): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
    let odd = shapes.iter().find(|shape| **shape != shapes[0]);
    assert_eq!(odd, None, "{probe:?}: as {:?}", shapes[0]);
    // Whatever was begun is over, and no attempt counts any more.
    app.clock.advance(Duration::from_hours(25));
    auc(times)
}

/// An application with this many accounts, of which no task sends mails, or does anything else meanwhile.
async fn app_of(database: &Database, owners: usize) -> App {
    let app = database.app_with(|builder| {
        builder.background(false).mailer(Post::default()).settings(|settings| {
            settings.registration.mode = RegistrationMode::Verified;
            // What is limited counts, and nobody is refused: many ask for few addresses.
            (settings.limits.free_attempts, settings.limits.attempts) = (u32::MAX, u32::MAX);
            for limit in Limit::ALL {
                settings.limits.set_quota(limit, Quota::new(u32::MAX, Duration::from_hours(1)));
            }
        })
    });
    let app = app.await;
    for n in 0..owners {
        let (name, email) = (format!("owner{n}"), address(true, n));
        let user = app.auth.users().create_user(&name, &email, Some(PASSWORD)).await.unwrap();
        if n % 2 == 1 {
            give_totp(&app, user.id).await;
        }
    }
    app
}

async fn known_and_unknown_addresses_cause_the_same_writes(database: Database) {
    let app = app_of(&database, 2).await;
    let tables = ["doorwarden_challenges", "doorwarden_outbox"];
    for probe in PROBES {
        let mut wrote = Vec::new();
        for (is_known, n) in [(true, 0), (true, 1), (false, 0)] {
            for table in tables {
                database.sql.execute(&format!("DELETE FROM {table}")).await.unwrap();
            }
            let events_before = events(&app).await;
            let email = address(is_known, n);
            let begun = app.post("/login/email", json!({"email": email})).await.json()["login_token"].clone();
            app.clock.advance(Duration::from_secs(31));
            let serial = wrote.len();
            let answer = app.send_unchecked(probe.request(&email, &begun, serial)).await;
            let mut rows = Vec::new();
            for table in tables {
                rows.push(count(&database, table).await);
            }
            rows.push(events(&app).await - events_before);
            wrote.push((shape(&answer), rows));
        }
        assert_eq!(wrote[0], wrote[1], "{probe:?}: without a second factor, and with one");
        assert_eq!(wrote[0], wrote[2], "{probe:?}: with an account, and without");
    }
}

/// How many events there are, with those that wait to be written.
async fn events(app: &App) -> usize {
    write_refusals(app.auth.context(), true).await;
    app.auth.context().store.audit_records(None, 10_000).await.unwrap().len()
}

/// How many rows a table has.
async fn count(database: &Database, table: &str) -> usize {
    for n in 0..100 {
        if database.has(&format!("SELECT 1 FROM (SELECT count(*) AS n FROM {table}) t WHERE n = {n}")).await {
            return n;
        }
    }
    panic!("{table} has 100 rows and more")
}

async fn drill_known_and_unknown_addresses_are_answered_alike_and_after_the_same_time(database: Database) {
    let drill = drill();
    // A short run says no more than this of the same times: its error is 0.05.
    let (each, within) = if drill.full { (10_000, 0.02) } else { (60, 0.2) };
    let owners = each.min(500);
    let app = app_of(&database, owners).await;
    let (mut serial, mut told) = (0, Vec::new());
    for probe in PROBES {
        // A busy machine may spoil a run; the median of three is spoiled less often, and rarely three times.
        let mut seen = Vec::new();
        for _ in 0..3 {
            let mut runs = Vec::new();
            for _ in 0..drill.rounds(1, 3) {
                runs.push(run(&app, probe, each, owners, &mut serial).await);
            }
            runs.sort_by(f64::total_cmp);
            let median = runs[runs.len() / 2];
            seen.push(median);
            if (median - 0.5).abs() <= within {
                seen.clear();
                break;
            }
        }
        if !seen.is_empty() {
            told.push(format!("{probe:?}: {seen:.3?}"));
        }
    }
    assert!(told.is_empty(), "the time tells whether there is an account: {told:?}");
}
