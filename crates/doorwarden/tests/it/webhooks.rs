//! Webhooks: what is sent to endpoints, when it is sent again, and when no more.

use crate::app::{App, Database, PASSWORD, SECRET};
use crate::post::Post;
use async_trait::async_trait;
use doorwarden::core::flow::send_webhooks::send_due;
use doorwarden::core::tasks;
use doorwarden::core::token::webhook::WebhookSecret;
use doorwarden::{
    Clock as _, DeclaredWebhook, DeliveryState, EventTypes, MailKind, RetryAfter, WebhookClient,
    WebhookError, WebhookName, WebhookRequest, WebhookResponse, WebhookState,
};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

on_both! {
    an_event_is_sent_signed_and_says_what_happened_without_secrets
    a_failed_message_comes_again_with_its_id_and_a_new_signature
    an_endpoint_that_answers_410_gets_no_more
    an_endpoint_that_fails_for_days_is_paused_and_loses_nothing
    an_endpoint_that_nobody_has_tried_for_days_is_not_paused
    both_secrets_sign_for_a_while
    events_of_an_account_arrive_in_their_order
    declared_endpoints_are_as_the_configuration_says
    a_message_is_given_up_after_ten_attempts_while_others_arrive
    secrets_are_sealed_again_under_a_new_secret_key
}

/// Endpoints that keep what they are sent, and answer what they are told.
#[derive(Debug, Clone, Default)]
struct Endpoint(Arc<Mutex<Said>>);

#[derive(Debug, Default)]
struct Said {
    got: Vec<WebhookRequest>,
    answers: VecDeque<Result<WebhookResponse, String>>,
    /// What is answered when nothing else is to be answered.
    otherwise: Option<u16>,
    /// A text whose messages are answered with 500.
    refused: Option<String>,
}

#[async_trait]
impl WebhookClient for Endpoint {
    fn check(&self, url: &str) -> Result<(), String> {
        if url.starts_with("https://") { Ok(()) } else { Err("must begin with `https://`".to_owned()) }
    }

    async fn send(&self, request: &WebhookRequest) -> Result<WebhookResponse, String> {
        let mut said = self.0.lock().unwrap();
        said.got.push(request.clone());
        let body = String::from_utf8(request.body.clone()).unwrap();
        if said.refused.as_ref().is_some_and(|refused| body.contains(refused)) {
            return Ok(WebhookResponse::new(500));
        }
        let otherwise = said.otherwise.unwrap_or(200);
        said.answers.pop_front().unwrap_or_else(|| Ok(WebhookResponse::new(otherwise)))
    }
}

impl Endpoint {
    fn answers(&self, answers: impl IntoIterator<Item = Result<WebhookResponse, String>>) {
        self.0.lock().unwrap().answers.extend(answers);
    }

    fn always(&self, status: u16) {
        self.0.lock().unwrap().otherwise = Some(status);
    }

    /// What has been sent since the last call.
    async fn got(&self, app: &App) -> Vec<WebhookRequest> {
        send_due(app.auth.context()).await.unwrap();
        std::mem::take(&mut self.0.lock().unwrap().got)
    }
}

fn name() -> WebhookName {
    "crm".parse().unwrap()
}

fn body(request: &WebhookRequest) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

fn types(requests: &[WebhookRequest]) -> Vec<String> {
    requests.iter().map(|request| body(request)["type"].as_str().unwrap().to_owned()).collect()
}

/// An application without background tasks, and an endpoint that gets events of these types.
async fn app(database: &Database, types: &[&str]) -> (App, Endpoint, Post, WebhookSecret) {
    let (endpoint, post) = (Endpoint::default(), Post::default());
    let (client, mailer) = (endpoint.clone(), post.clone());
    let app = database
        .app_with(|builder| {
            builder.webhook_client(client).mailer(mailer).background(false).settings(|settings| {
                settings.mail.operator = Some("ops@example.com".parse().unwrap());
            })
        })
        .await;
    let filter = EventTypes::of_types(types.iter().copied()).unwrap();
    let secret = app.auth.webhooks().add(&name(), "https://crm.example/hooks", filter).await.unwrap();
    endpoint.got(&app).await;
    (app, endpoint, post, secret)
}

async fn state(app: &App) -> WebhookState {
    app.auth.webhooks().list().await.unwrap()[0].state
}

async fn an_event_is_sent_signed_and_says_what_happened_without_secrets(database: Database) {
    let (app, endpoint, _, secret) = app(&database, &[]).await;
    app.register("jane").await;
    let got = endpoint.got(&app).await;
    assert_eq!(types(&got), ["user.created", "session.opened"]);
    for request in &got {
        assert_eq!(request.url, "https://crm.example/hooks");
        assert_eq!(request.seconds, app.clock.now().as_seconds());
        assert_eq!(request.signature, secret.sign(&request.id, request.seconds, &request.body));
        let text = String::from_utf8(request.body.clone()).unwrap();
        assert!(!text.contains("jane") && !text.contains('@') && !text.contains(PASSWORD), "{text}");
    }
    let created = body(&got[0]);
    assert_eq!(created["timestamp"], "2026-11-23T12:00:00.000000Z");
    assert_eq!(
        created["data"],
        json!({
            "user_id": 1, "session_id": null, "actor": {"type": "anonymous", "id": null},
            "result": "success", "details": {},
        })
    );
    assert!(body(&got[1])["data"]["session_id"].is_string());
    assert!(endpoint.got(&app).await.is_empty(), "once");
}

async fn a_failed_message_comes_again_with_its_id_and_a_new_signature(database: Database) {
    let (app, endpoint, _, secret) = app(&database, &["user.created"]).await;
    let mut redirect = WebhookResponse::new(302);
    redirect.retry_after = Some(RetryAfter::In(Duration::from_hours(1)));
    endpoint.answers([Ok(WebhookResponse::new(500)), Err("there was no response".to_owned()), Ok(redirect)]);
    app.register("jane").await;
    let first = endpoint.got(&app).await.remove(0);
    let mut last = first.clone();
    // The schedule, with its jitter, and what the endpoint asks for.
    for (early, late) in [(4, 2), (269, 62), (3599, 1)] {
        app.clock.advance(Duration::from_secs(early));
        assert!(endpoint.got(&app).await.is_empty(), "{early}");
        app.clock.advance(Duration::from_secs(late));
        let again = endpoint.got(&app).await.remove(0);
        assert_eq!((&again.id, &again.body), (&first.id, &first.body));
        assert!(again.seconds > last.seconds && again.signature != last.signature);
        assert_eq!(again.signature, secret.sign(&again.id, again.seconds, &again.body));
        last = again;
    }
    let delivery = app.auth.webhooks().deliveries(&name(), None, None, 9).await.unwrap().remove(0);
    assert_eq!(
        (delivery.state, delivery.attempts, delivery.status),
        (DeliveryState::Delivered, 4, Some(200))
    );
    let metrics = app.auth.render_metrics();
    for line in ["{outcome=\"delivered\"} 1\n", "{outcome=\"deferred\"} 3\n", "{outcome=\"given_up\"} 0\n"] {
        assert!(metrics.contains(&format!("doorwarden_webhooks_total{line}")), "{metrics}");
    }
    app.clock.advance(Duration::from_hours(100));
    assert!(endpoint.got(&app).await.is_empty());
}

async fn an_endpoint_that_answers_410_gets_no_more(database: Database) {
    let (app, endpoint, post, _) = app(&database, &["user.created"]).await;
    endpoint.answers([Ok(WebhookResponse::new(410))]);
    app.register("jane").await;
    assert_eq!(endpoint.got(&app).await.len(), 1);
    assert_eq!(state(&app).await, WebhookState::Disabled);
    let letter = post.one(&app, MailKind::WebhookStopped).await.0;
    assert_eq!((letter.to.as_str(), letter.content.webhook.as_deref()), ("ops@example.com", Some("crm")));
    assert_eq!(letter.content.reason.as_deref(), Some("the response was 410"));
    app.register("john").await;
    app.clock.advance(Duration::from_hours(100));
    assert!(endpoint.got(&app).await.is_empty());
    // What was refused waits for the operator; what came later does not.
    assert!(app.auth.webhooks().enable(&name()).await.unwrap());
    let got = endpoint.got(&app).await;
    assert_eq!(
        got.iter().map(|request| body(request)["data"]["user_id"].clone()).collect::<Vec<_>>(),
        [json!(1)]
    );
}

async fn an_endpoint_that_fails_for_days_is_paused_and_loses_nothing(database: Database) {
    let (app, endpoint, post, _) = app(&database, &["user.created"]).await;
    endpoint.always(503);
    app.register("n0").await;
    let mut attempts = 0;
    for hour in 1..=80 {
        attempts += endpoint.got(&app).await.len();
        if state(&app).await == WebhookState::Paused {
            assert!((72..=80).contains(&hour), "{hour}");
            break;
        }
        app.clock.advance(Duration::from_hours(1));
        if hour % 24 == 0 {
            app.register(&format!("n{hour}")).await;
        }
    }
    assert_eq!(state(&app).await, WebhookState::Paused);
    assert!(attempts > 10);
    let letter = post.one(&app, MailKind::WebhookStopped).await.0;
    assert_eq!(letter.content.at, Some(crate::app::NOON));
    app.register("later").await;
    app.clock.advance(Duration::from_hours(48));
    assert!(endpoint.got(&app).await.is_empty());
    endpoint.always(204);
    assert!(app.auth.webhooks().enable(&name()).await.unwrap());
    assert!(!app.auth.webhooks().enable(&name()).await.unwrap());
    let mut got: Vec<_> = endpoint
        .got(&app)
        .await
        .iter()
        .map(|request| body(request)["data"]["user_id"].as_i64().unwrap())
        .collect();
    got.sort_unstable();
    assert_eq!(got, [1, 2, 3, 4, 5]);
    assert_eq!(app.auth.webhooks().queue(&name()).await.unwrap().failed, 0);
}

/// As after the service was stopped for days.
async fn an_endpoint_that_nobody_has_tried_for_days_is_not_paused(database: Database) {
    let (app, endpoint, post, _) = app(&database, &["user.created"]).await;
    endpoint.always(503);
    app.register("jane").await;
    assert_eq!(endpoint.got(&app).await.len(), 1);
    app.clock.advance(Duration::from_hours(100));
    assert_eq!(endpoint.got(&app).await.len(), 1);
    assert_eq!((state(&app).await, post.read(&app).await.len()), (WebhookState::Enabled, 0));
    for _ in 0..2 {
        app.clock.advance(Duration::from_hours(1));
        assert_eq!(endpoint.got(&app).await.len(), 1);
    }
    assert_eq!(state(&app).await, WebhookState::Paused);
}

async fn both_secrets_sign_for_a_while(database: Database) {
    let (app, endpoint, _, old) = app(&database, &["user.created"]).await;
    let new = app.auth.webhooks().rotate_secret(&name()).await.unwrap();
    assert_ne!(new, old);
    app.register("jane").await;
    let request = endpoint.got(&app).await.remove(0);
    let signed = |secret: &WebhookSecret| secret.sign(&request.id, request.seconds, &request.body);
    assert_eq!(request.signature, format!("{} {}", signed(&new), signed(&old)));
    app.clock.advance(Duration::from_hours(24));
    app.register("john").await;
    let request = endpoint.got(&app).await.remove(0);
    assert_eq!(request.signature, new.sign(&request.id, request.seconds, &request.body));
    let store = &app.auth.context().store;
    assert!(store.webhooks().await.unwrap()[0].former.is_some());
    while tasks::run_once(app.auth.context()).await {}
    assert!(store.webhooks().await.unwrap()[0].former.is_none(), "what signs no longer is not kept");
}

async fn events_of_an_account_arrive_in_their_order(database: Database) {
    let (app, endpoint, ..) = app(&database, &[]).await;
    let token = app.register("jane").await;
    app.register("john").await;
    endpoint.0.lock().unwrap().refused = Some(r#""user_id":1"#.to_owned());
    app.call("PATCH", "/me", Some(&token), Some(json!({"username": "janet"}))).await;
    app.call("POST", "/logout", Some(&token), None).await;
    let got = endpoint.got(&app).await;
    let of = |got: &[WebhookRequest], user: i64| {
        let of: Vec<_> =
            got.iter().filter(|request| body(request)["data"]["user_id"] == user).cloned().collect();
        types(&of)
    };
    assert_eq!(of(&got, 1), ["user.created"], "the others wait for it");
    assert_eq!(of(&got, 2), ["user.created", "session.opened"]);
    endpoint.0.lock().unwrap().refused = None;
    app.clock.advance(Duration::from_secs(6));
    let got = endpoint.got(&app).await;
    assert_eq!(of(&got, 1), ["user.created", "session.opened", "user.updated", "session.ended"]);
}

async fn declared_endpoints_are_as_the_configuration_says(database: Database) {
    let declared = |url: &str, byte: u8| DeclaredWebhook {
        name: name(),
        url: url.to_owned(),
        events: EventTypes::of_types(["user.created"]).unwrap(),
        secret: WebhookSecret::of_random([byte; 32]),
    };
    let built = async |webhook: Option<DeclaredWebhook>| {
        let endpoint = Endpoint::default();
        let client = endpoint.clone();
        let change = |builder: doorwarden::Builder| {
            webhook.into_iter().fold(builder.webhook_client(client), doorwarden::Builder::webhook)
        };
        (database.app_with(change).await, endpoint)
    };
    let (app, _) = built(Some(declared("https://a.example", 1))).await;
    let webhooks = app.auth.webhooks();
    let first = webhooks.list().await.unwrap().remove(0);
    assert!(first.is_declared && first.url == "https://a.example" && first.former.is_none());
    assert!(matches!(webhooks.rotate_secret(&name()).await, Err(WebhookError::Declared(_))));
    app.auth.close().await;
    // The same again changes nothing; another secret replaces it, and both sign.
    let (app, _) = built(Some(declared("https://a.example", 1))).await;
    assert_eq!(app.auth.webhooks().list().await.unwrap().remove(0), first);
    app.auth.close().await;
    let (app, _) = built(Some(declared("https://b.example", 2))).await;
    let second = app.auth.webhooks().list().await.unwrap().remove(0);
    assert_eq!(
        (second.url.as_str(), second.former.as_ref().map(|(s, _)| s)),
        ("https://b.example", Some(&first.sealed))
    );
    app.auth.close().await;
    let (app, _) = built(None).await;
    let gone = app.auth.webhooks().list().await.unwrap().remove(0);
    assert_eq!(
        (gone.state, gone.reason.as_deref()),
        (WebhookState::Disabled, Some("no longer in the configuration"))
    );
    app.auth.close().await;
    let (app, _) = built(Some(declared("https://b.example", 2))).await;
    assert_eq!(state(&app).await, WebhookState::Enabled);
    app.auth.close().await;
    let client = Endpoint::default();
    let builder = doorwarden::Doorwarden::builder().database_url(&database.url).secret_key(SECRET);
    let refused = builder.webhook_client(client).webhook(declared("http://b.example", 2)).build().await;
    let refused = refused.map(drop).unwrap_err().to_string();
    assert_eq!(refused, "the URL of webhook `crm` must begin with `https://`");
}

async fn a_message_is_given_up_after_ten_attempts_while_others_arrive(database: Database) {
    let (app, endpoint, ..) = app(&database, &["user.created"]).await;
    endpoint.0.lock().unwrap().refused = Some(r#""user_id":1}"#.to_owned());
    app.register("n0").await;
    let mut attempts = 0;
    for hour in 1..=90 {
        attempts += endpoint.got(&app).await.iter().filter(|r| body(r)["data"]["user_id"] == 1).count();
        app.clock.advance(Duration::from_hours(1));
        if hour % 12 == 0 {
            app.register(&format!("n{hour}")).await;
        }
    }
    assert_eq!((attempts, state(&app).await), (10, WebhookState::Enabled));
    let webhooks = app.auth.webhooks();
    let failed = webhooks.deliveries(&name(), Some(DeliveryState::Failed), None, 9).await.unwrap();
    assert_eq!((failed.len(), failed[0].error.as_deref()), (1, Some("the response was 500")));
    endpoint.0.lock().unwrap().refused = None;
    assert!(webhooks.redeliver(&name(), failed[0].message).await.unwrap());
    let again = endpoint.got(&app).await;
    assert_eq!(
        again.iter().map(|request| request.id.clone()).collect::<Vec<_>>(),
        [failed[0].message.to_string()]
    );
}

async fn secrets_are_sealed_again_under_a_new_secret_key(database: Database) {
    let (before, _, _, secret) = app(&database, &["user.created"]).await;
    before.auth.close().await;
    let endpoint = Endpoint::default();
    let client = endpoint.clone();
    let other = "another secret key for tests, long enough";
    let app = database.app_with(|b| b.secret_key(other).old_secret_keys([SECRET])).await;
    app.auth.close().await;
    let app = database.app_with(|b| b.secret_key(other).webhook_client(client).background(false)).await;
    app.register("jane").await;
    let request = endpoint.got(&app).await.remove(0);
    assert_eq!(request.signature, secret.sign(&request.id, request.seconds, &request.body));
}
