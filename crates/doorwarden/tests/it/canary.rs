//! What a client sends or is given in confidence is in no log, event, metric or error. The OpenAPI document
//! says where something can be sent, so a new endpoint is covered, or fails the test.

use crate::app::{Answer, App, Database, NOON};
use crate::phone::Phone;
use crate::post::Post;
use axum::body::Body;
use doorwarden::core::event::Event;
use doorwarden::core::mail::MailKind;
use doorwarden::core::settings::EmailVerification;
use doorwarden::core::user::UserChange;
use doorwarden::core::webauthn::RelyingParty;
use doorwarden::{OauthClients, UserId};
use doorwarden_testkit::authenticator::Authenticator;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, COOKIE, ORIGIN, REFERER};
use http::{Method, Request, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

on_both! {
    what_is_sent_or_given_in_confidence_is_in_no_log_event_metric_or_error
}

/// In everything that is sent; and in the folded forms of it.
const CANARY: &str = "c4nary";
const EMAIL: &str = "c4nary-jane@c4nary.example";
const PASSWORD: &str = "c4nary horse battery";
/// Where passkeys are good.
const PAGE: &str = "https://c4nary.example";
/// Streams, which have no input and no end.
const STREAM: &str = "stream_revocations";

static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// The log of the process at every level, of whichever thread and test.
#[derive(Debug, Clone, Copy)]
struct Log;

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Debug, Clone, Default)]
struct Events(Arc<Mutex<Vec<String>>>);

#[doorwarden::async_trait]
impl doorwarden::Hooks for Events {
    async fn on_event(&self, event: &Event) {
        self.0.lock().unwrap().push(format!("{event:?} {:?}", event.data()));
    }
}

/// The application, and what was seen of it.
struct Watched {
    app: App,
    post: Post,
    document: Value,
    /// The operations that were called with success.
    called: BTreeSet<String>,
    /// Tokens, keys and codes that were given to somebody.
    secrets: BTreeSet<String>,
}

impl Watched {
    /// The operation of a request.
    fn operation(&self, method: &str, path: &str) -> String {
        let path = path.split('?').next().unwrap_or_default();
        let (name, _) = self.document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(template, _)| (template, template.split('/').zip(path.split('/'))))
            .filter(|(template, _)| template.matches('/').count() == path.matches('/').count())
            .find(|(_, pairs)| pairs.clone().all(|(a, b)| a == b || a.starts_with('{')))
            .unwrap_or_else(|| panic!("no operation has the path {path}"));
        self.document["paths"][name][method.to_lowercase()]["operationId"].as_str().unwrap().to_owned()
    }

    /// Calls an operation; the answer has this status.
    async fn call(&mut self, method: &str, path: &str, token: &str, body: Value, status: u16) -> Value {
        let mut request = Request::builder().method(method).uri(path).header("sec-fetch-site", "same-origin");
        if !token.is_empty() {
            request = request.header(AUTHORIZATION, token);
        }
        let is_page = ["/link", "/password/forgotten"].contains(&path);
        let body = match (body.is_null(), is_page || path.starts_with("/oauth/")) {
            (true, _) => Body::empty(),
            (_, true) => {
                request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
                let pair = |(name, value): (&String, &Value)| format!("{name}={}", value.as_str().unwrap());
                let form: Vec<_> = body.as_object().unwrap().iter().map(pair).collect();
                Body::from(form.join("&").replace(' ', "+"))
            }
            _ => {
                request = request.header(CONTENT_TYPE, "application/json");
                Body::from(body.to_string())
            }
        };
        let answer = self.app.send(request.body(body).unwrap()).await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path}: {answer:?}");
        self.called.insert(self.operation(method, path));
        let json: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        for name in ["token", "access", "refresh", "login_token", "secret", "otpauth_uri"] {
            self.secrets.extend(json[name].as_str().map(str::to_owned));
        }
        for name in ["recovery_codes", "codes"] {
            let codes = json[name].as_array().into_iter().flatten().filter_map(Value::as_str);
            self.secrets.extend(codes.flat_map(|code| [code.to_owned(), code.replace('-', "")]));
        }
        json
    }

    async fn send(&mut self, path: &str, body: Value, status: u16) -> Value {
        self.call("POST", path, "", body, status).await
    }

    async fn log_in(&mut self, email: &str) -> String {
        let answer = self.send("/login", json!({"email": email, "password": PASSWORD}), 200).await;
        format!("Bearer {}", answer["token"].as_str().unwrap())
    }

    /// The key and the code of a mail.
    async fn mail(&mut self, kind: MailKind) -> (String, String) {
        let letter = self.post.first(&self.app, kind).await;
        let code = letter.0.content.code.clone().unwrap_or_default();
        let of_mail = (letter.key(), code);
        self.secrets.extend([of_mail.0.clone(), of_mail.1.clone()].into_iter().filter(|one| !one.is_empty()));
        of_mail
    }

    /// Calls every operation as people do.
    async fn succeed(&mut self) {
        self.send("/registration", json!({"email": EMAIL, "username": "c4nary", "password": PASSWORD}), 201)
            .await;
        let (key, _) = self.mail(MailKind::VerifyEmail).await;
        self.send("/registration/verify-email", json!({"key": key, "password": PASSWORD}), 201).await;
        let token = self.log_in(EMAIL).await;
        self.call("PATCH", "/me", &token, json!({"username": "c4nary-2"}), 200).await;
        self.call("PUT", "/me", &token, json!({"username": "c4nary-3"}), 200).await;
        self.without_a_password().await;
        self.with_new_passwords().await;
        self.with_tokens().await;
        self.with_invitations().await;
        self.with_another_address().await;
        self.app.auth.users().invite("c4nary-kim@c4nary.example").await.unwrap();
        let (key, _) = self.mail(MailKind::Invitation).await;
        let kim = json!({"key": key, "username": "c4nary-kim", "password": PASSWORD});
        self.send("/invitations/accept", kim, 201).await;
        let token = self.log_in("c4nary-kim@c4nary.example").await;
        for path in [
            "/me",
            "/me/export",
            "/me/events",
            "/sessions",
            "/config",
            "/healthz",
            "/pow/challenge?for=login",
            "/readyz",
            "/openapi.json",
            "/docs",
            "/.well-known/jwks.json",
            "/.well-known/revocations",
            "/.well-known/openid-configuration",
            "/.well-known/oauth-authorization-server",
        ] {
            self.call("GET", path, &token, Value::Null, 200).await;
        }
        self.with_factors("c4nary-kim@c4nary.example", &token).await;
        let session = self.log_in("c4nary-kim@c4nary.example").await;
        self.log_in("c4nary-kim@c4nary.example").await;
        let sessions = self.app.get("/sessions", &session["Bearer ".len()..]).await.json();
        let other = sessions.as_array().unwrap().iter().find(|one| one["current"] == false).unwrap();
        let id = other["id"].as_str().unwrap();
        self.call("DELETE", &format!("/sessions/{id}"), &session, Value::Null, 204).await;
        self.call("POST", "/logout?scope=others", &session, Value::Null, 204).await;
        self.call("DELETE", "/me", &session, json!({"password": PASSWORD}), 204).await;
    }

    async fn with_invitations(&mut self) {
        let (token, users) = (self.log_in(EMAIL).await, self.app.auth.users());
        let change = |is_superuser| UserChange { is_superuser: Some(is_superuser), ..UserChange::default() };
        users.update(UserId(1), change(true)).await.unwrap();
        let body = json!({"email": "c4nary-lee@c4nary.example"});
        let id = self.call("POST", "/invitations", &token, body, 201).await["id"].clone();
        self.mail(MailKind::Invitation).await;
        self.call("GET", "/invitations", &token, Value::Null, 200).await;
        self.call("GET", "/events", &token, Value::Null, 200).await;
        self.call("DELETE", &format!("/invitations/{}", id.as_str().unwrap()), &token, Value::Null, 204)
            .await;
        self.app.auth.users().update(UserId(1), change(false)).await.unwrap();
    }

    async fn without_a_password(&mut self) {
        let asked = self.send("/login/email", json!({"email": EMAIL}), 202).await;
        let (key, code) = self.mail(MailKind::LogIn).await;
        self.send("/links/inspect", json!({"key": key}), 200).await;
        self.call("GET", &format!("/link?key={key}"), "", Value::Null, 200).await;
        let token = &asked["login_token"];
        self.send("/login/state", json!({"login_token": token}), 401).await;
        let step = json!({"login_token": token, "method": "email_code", "code": code});
        self.send("/login/verify", step, 200).await;
        let asked = self.send("/login/email", json!({"email": EMAIL}), 202).await;
        self.app.clock.advance(Duration::from_secs(31));
        let token = &asked["login_token"];
        self.mail(MailKind::LogIn).await;
        self.send("/registration/resend-email", json!({"login_token": token}), 202).await;
        let (key, _) = self.mail(MailKind::LogIn).await;
        self.send("/login/link", json!({"key": key}), 200).await;
        self.send("/login/cancel", json!({"login_token": token}), 204).await;
    }

    async fn with_new_passwords(&mut self) {
        self.send("/password/reset", json!({"email": EMAIL}), 202).await;
        let (key, _) = self.mail(MailKind::ResetPassword).await;
        let new = "c4nary battery horse";
        self.send("/password/reset/confirm", json!({"key": key, "new_password": new}), 204).await;
        self.call("GET", "/.well-known/change-password", "", Value::Null, 303).await;
        self.call("GET", "/password/forgotten", "", Value::Null, 200).await;
        self.send("/password/forgotten", json!({"email": EMAIL}), 200).await;
        let (key, _) = self.mail(MailKind::ResetPassword).await;
        let form = json!({"key": key, "new_password": PASSWORD, "new_password_again": PASSWORD});
        self.send("/link", form, 200).await;
        let token = self.log_in(EMAIL).await;
        let change = json!({"current_password": PASSWORD, "new_password": new});
        self.call("POST", "/password/change", &token, change, 204).await;
        let back = json!({"current_password": new, "new_password": PASSWORD});
        self.call("POST", "/password/change", &token, back, 204).await;
    }

    async fn with_tokens(&mut self) {
        let basic = format!(
            "Basic {}",
            base64_simd::STANDARD.encode_to_string("c4nary-blog:c4nary+secret+of+the+blog")
        );
        let pair = self.send("/token", json!({"email": EMAIL, "password": PASSWORD}), 200).await;
        let pair = self.send("/token/refresh", json!({"refresh": pair["refresh"]}), 200).await;
        self.send("/token/verify", json!({"token": pair["access"]}), 200).await;
        let access = json!({"token": pair["access"]});
        self.call("POST", "/oauth/introspect", &basic, access, 200).await;
        self.send("/token/revoke", json!({"refresh": pair["refresh"]}), 204).await;
        let pair = self.send("/token", json!({"email": EMAIL, "password": PASSWORD}), 200).await;
        self.call("POST", "/oauth/revoke", &basic, json!({"token": pair["refresh"]}), 200).await;
    }

    async fn with_another_address(&mut self) {
        let token = self.log_in(EMAIL).await;
        self.call("POST", "/reauthenticate", &token, json!({"password": PASSWORD}), 200).await;
        let body = json!({"email": "c4nary-other@c4nary.example"});
        self.call("POST", "/email/change", &token, body.clone(), 202).await;
        self.call("GET", "/email/change", &token, Value::Null, 200).await;
        self.call("DELETE", "/email/change", &token, Value::Null, 204).await;
        self.mail(MailKind::EmailChange).await;
        self.call("POST", "/email/change", &token, body, 202).await;
        let (key, _) = self.mail(MailKind::EmailChange).await;
        self.send("/email/change/confirm", json!({"key": key}), 200).await;
        let (key, _) = self.mail(MailKind::EmailChanged).await;
        self.send("/email/change/revert", json!({"key": key}), 200).await;
    }

    async fn with_factors(&mut self, email: &str, token: &str) {
        let begun = self.call("POST", "/factors/totp", token, json!({"name": "c4nary phone"}), 201).await;
        let (phone, id) = (Phone::new(begun["secret"].as_str().unwrap()), begun["id"].as_str().unwrap());
        let confirm = format!("/factors/totp/{id}/confirm");
        let code = self.code_of(&phone);
        self.call("POST", &confirm, token, json!({"code": code}), 200).await;
        let renewed = self.call("POST", "/factors/recovery-codes", token, Value::Null, 200).await;
        self.call("PATCH", &format!("/factors/{id}"), token, json!({"name": "c4nary app"}), 200).await;
        let mut key = Authenticator::new(-7);
        let asked = self.call("POST", "/factors/passkeys/options", token, json!({}), 200).await;
        let credential = self.answer_of(key.create(&asked["options"], PAGE));
        let made = json!({"credential": credential, "name": "c4nary key"});
        self.call("POST", "/factors/passkeys", token, made, 201).await;
        for path in ["/factors", "/factors/passkeys/signals", "/.well-known/webauthn"] {
            self.call("GET", path, token, Value::Null, 200).await;
        }
        let asked = self.send("/login/passkey/options", json!({}), 200).await;
        let credential = self.answer_of(key.get(&asked["options"], PAGE));
        self.send("/login/passkey", json!({"credential": credential}), 200).await;
        self.send("/login/passkey", json!({"credential": credential}), 400).await;

        self.app.clock.advance(Duration::from_mins(1));
        let login = json!({"email": email, "password": PASSWORD});
        let (right, wrong) = (self.code_of(&phone), phone.wrong(&self.app));
        let (used, recovery) = (right.clone(), renewed["codes"][0].clone());
        for (method, code, status) in [
            ("totp", json!(wrong), 400),
            ("totp", json!(right), 200),
            ("totp", json!(used), 400),
            ("recovery_code", recovery.clone(), 200),
            ("recovery_code", recovery, 400),
        ] {
            let begun = self.send("/login", login.clone(), 401).await;
            let step = json!({"login_token": begun["login_token"], "method": method, "code": code});
            self.send("/login/verify", step, status).await;
        }
        let factors = self.app.get("/factors", &token["Bearer ".len()..]).await.json();
        for factor in factors.as_array().unwrap().iter().filter(|factor| factor["type"] != "recovery_codes") {
            let path = format!("/factors/{}", factor["id"].as_str().unwrap());
            self.call("DELETE", &path, token, Value::Null, 204).await;
        }
    }

    fn code_of(&mut self, phone: &Phone) -> String {
        let code = phone.code(&self.app);
        self.secrets.insert(code.clone());
        code
    }

    /// What an authenticator answered, of which nothing is for others.
    fn answer_of(&mut self, credential: Option<Value>) -> Value {
        let credential = credential.unwrap();
        let parts = credential["response"].as_object().unwrap().values().chain([&credential["id"]]);
        self.secrets.extend(parts.filter_map(|part| part.as_str().map(str::to_owned)));
        credential
    }

    /// Sends canaries in every place of every operation; errors do not repeat them.
    async fn fail(&self, token: &str) {
        for (template, methods) in self.document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                if operation["operationId"] == STREAM {
                    continue;
                }
                for body in bodies(&self.document, operation) {
                    let callers = [format!("Bearer {CANARY}.{CANARY}.{CANARY}"), token.to_owned()];
                    let formats = ["application/json", "application/problem+json"];
                    for (caller, format) in
                        callers.iter().zip(formats).chain(callers.iter().rev().zip(formats))
                    {
                        let request = canaries(template, method, operation, caller).header(ACCEPT, format);
                        let request = match &body {
                            Some((kind, body)) => {
                                request.header(CONTENT_TYPE, *kind).body(body.clone().into())
                            }
                            None => request.body(Body::empty()),
                        };
                        let answer = self.app.send_unchecked(request.unwrap()).await;
                        check(&format!("{method} {template} {body:?}"), &answer);
                    }
                }
            }
        }
    }
}

/// An error repeats nothing, except that a form shows again what may be corrected.
#[track_caller]
fn check(request: &str, answer: &Answer) {
    assert!(answer.status < StatusCode::INTERNAL_SERVER_ERROR, "{request}: {answer:?}");
    let is_page = answer.header("content-type").starts_with("text/html");
    if answer.status.is_success() || is_page {
        return;
    }
    let text = format!("{:?} {}", answer.headers, String::from_utf8_lossy(&answer.body));
    assert!(!text.contains(CANARY), "{request}: {text}");
}

/// A request with canaries in its path, query and headers.
fn canaries(template: &str, method: &str, operation: &Value, authorization: &str) -> http::request::Builder {
    let (mut path, mut query, mut headers) = (template.to_owned(), Vec::new(), Vec::new());
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap();
        match parameter["in"].as_str().unwrap() {
            "path" => path = path.replace(&format!("{{{name}}}"), "c4nary-in-the-path"),
            "header" => headers.push(name.to_owned()),
            _ => query.push(format!("{name}=c4nary-in-the-query")),
        }
    }
    let method: Method = method.to_uppercase().parse().unwrap();
    let request = Request::builder().method(method).uri(format!("{path}?{}&unknown=c4nary", query.join("&")));
    let request =
        headers.into_iter().fold(request, |request, name| request.header(name, "c4nary-in-a-header"));
    request
        .header(AUTHORIZATION, authorization)
        .header(COOKIE, "__Host-doorwarden-session=c4nary; __Host-doorwarden-refresh=c4nary")
        .header(REFERER, "https://c4nary.example/#key=c4nary")
        .header(ORIGIN, "https://c4nary.example")
}

/// Bodies with a canary for every member: in each form, and with each of the words that a member may be.
fn bodies(document: &Value, operation: &Value) -> Vec<Option<(&'static str, String)>> {
    let Some(content) = operation["requestBody"]["content"].as_object() else { return vec![None] };
    let schema = resolved(document, &content.values().next().unwrap()["schema"]);
    let properties = schema["properties"].as_object().unwrap();
    let planted = |name: &str| match name {
        "key" => format!("dwk_{}", "c4nary0".repeat(7).split_at(43).0),
        "login_token" => format!("dwl_{}", "c4nary0".repeat(7).split_at(43).0),
        "email" => "c4nary-stranger@c4nary.example".to_owned(),
        name => format!("c4nary in {name}"),
    };
    let all: Vec<_> = properties.keys().map(|name| (name.clone(), planted(name))).collect();
    let mut variants = vec![all.clone()];
    for (name, property) in properties {
        for word in words(document, property) {
            let change = |(other, value): &(String, String)| {
                (other.clone(), if other == name { word.clone() } else { value.clone() })
            };
            variants.push(all.iter().map(change).collect());
        }
        let without = all.iter().filter(|(other, _)| other != name).cloned().collect();
        variants.push(without);
    }
    let mut bodies = Vec::new();
    for variant in variants {
        let json: serde_json::Map<_, _> = variant.iter().map(|(n, v)| (n.clone(), json!(v))).collect();
        let form: Vec<_> = variant.iter().map(|(n, v)| format!("{n}={}", v.replace(' ', "+"))).collect();
        bodies.push(Some(("application/json", Value::Object(json).to_string())));
        bodies.push(Some(("application/x-www-form-urlencoded", form.join("&"))));
    }
    if properties.contains_key("credential") {
        for credential in credentials() {
            bodies.push(Some(("application/json", json!({"credential": credential}).to_string())));
        }
    }
    bodies.push(Some(("application/json", r#"{"c4nary": "c4nary"#.to_owned())));
    bodies.push(Some((
        "application/json",
        r#"{"email": {"c4nary": ["c4nary"]}, "c4nary": 1, "c4nary": 2}"#.to_owned(),
    )));
    bodies.push(Some(("text/plain", "c4nary".to_owned())));
    bodies
}

/// What authenticators could answer, with a canary in every member, and in what some of them encode.
fn credentials() -> [Value; 2] {
    let encode = |text: &str| base64_simd::URL_SAFE_NO_PAD.encode_to_string(text);
    let credential = |data: &str| {
        json!({
            "id": "c4nary_c4nary_c4nary0", "rawId": "c4nary_c4nary_c4nary0", "type": "public-key", "c4nary": "c4nary",
            "authenticatorAttachment": "c4nary", "clientExtensionResults": {"c4nary": "c4nary"},
            "response": {
                "clientDataJSON": data, "authenticatorData": "c4naryc4nary", "signature": "c4naryc4nary",
                "attestationObject": "c4naryc4nary", "userHandle": "c4naryc4nary", "transports": ["c4nary"],
            },
        })
    };
    let client_data = json!({
        "type": "webauthn.get", "challenge": "c4naryc4naryc4naryc4nary", "origin": "https://c4nary.example",
        "crossOrigin": false, "c4nary": "c4nary",
    });
    [credential("c4naryc4nary"), credential(&encode(&client_data.to_string()))]
}

/// Whether a text has a secret. One of digits alone stands by itself, or every long number would have it.
fn has(text: &str, secret: &str) -> bool {
    if !secret.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.to_lowercase().contains(&secret.to_lowercase());
    }
    text.split(|character: char| !character.is_alphanumeric()).any(|word| word == secret)
}

fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(place) => document.pointer(place.trim_start_matches('#')).unwrap(),
        None => schema,
    }
}

/// The words that a member may be.
fn words(document: &Value, schema: &Value) -> Vec<String> {
    let schema = resolved(document, schema);
    let here = schema["enum"].as_array().into_iter().flatten().chain([&schema["const"]]);
    let mut found: Vec<_> = here.filter_map(|word| Some(word.as_str()?.to_owned())).collect();
    for list in ["anyOf", "oneOf", "allOf"] {
        let inner = schema[list].as_array().into_iter().flatten();
        found.extend(inner.flat_map(|schema| words(document, schema)));
    }
    found
}

async fn what_is_sent_or_given_in_confidence_is_in_no_log_event_metric_or_error(database: Database) {
    // The other database may have begun in this process.
    let _ = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(|| Log)
        .try_init();
    let (post, events) = (Post::default(), Events::default());
    let (mailer, hooks) = (post.clone(), events.clone());
    let mut clients = OauthClients::default();
    // printf %s 'c4nary secret of the blog' | sha256sum
    clients.add("c4nary-blog", "402212f3f9f5753b00cd1056ab28460a6996c353086cdd887cb7be3eb7a6d111").unwrap();
    let app = database
        .app_with(|b| {
            b.mailer(mailer)
                .hook(hooks)
                .settings(|s| {
                    s.mail.verification = EmailVerification::Asked;
                    s.factors.passkeys = Some(RelyingParty::new("c4nary.example", "c4nary", [PAGE]).unwrap());
                })
                .http(|http| http.oauth_clients = clients)
        })
        .await;
    let document = serde_json::from_slice(&app.auth.openapi()).unwrap();
    let (called, secrets) = (BTreeSet::new(), BTreeSet::new());
    let mut watched = Watched { app, post, document, called, secrets };
    watched.succeed().await;

    let ids = watched.document["paths"].as_object().unwrap().values();
    let ids = ids.flat_map(|methods| methods.as_object().unwrap().values());
    let ids: BTreeSet<_> = ids.map(|operation| operation["operationId"].as_str().unwrap()).collect();
    let called: BTreeSet<_> = watched.called.iter().map(String::as_str).chain([STREAM]).collect();
    assert_eq!(called, ids, "every operation is called with success");

    let max = json!({"email": "c4nary-max@c4nary.example", "username": "c4nary-max", "password": PASSWORD});
    watched.send("/registration", max, 201).await;
    let change = UserChange { email_verified_at: Some(NOON), ..UserChange::default() };
    watched.app.auth.users().update(UserId(3), change).await.unwrap();
    let token = watched.log_in("c4nary-max@c4nary.example").await;
    watched.fail(&token).await;
    watched.call("GET", "/me", &token, Value::Null, 200).await;

    let (log, metrics) = (LOG.lock().unwrap().clone(), watched.app.auth.render_metrics());
    let log = String::from_utf8(log).unwrap();
    let events = events.0.lock().unwrap().join("\n");
    for (place, text, known) in
        [("log", &log, "logged in"), ("events", &events, "LoggedIn"), ("metrics", &metrics, "login")]
    {
        assert!(text.contains(known), "{place}: {text}");
        for secret in watched.secrets.iter().map(String::as_str).chain([CANARY]) {
            let line = text.lines().find(|line| has(line, secret));
            assert_eq!(line, None, "{place} has {secret}");
        }
    }
}
