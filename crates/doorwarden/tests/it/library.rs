//! The parts for applications: protection, extractors, permissions, hooks, custom endpoints.

use crate::app::{Answer, App, Database, PASSWORD};
use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use doorwarden::core::flow::manage::create_superuser;
use doorwarden::core::permission::PermissionName;
use doorwarden::core::session::{ClientInfo, Session};
use doorwarden::core::user::{NewUser, UserChange};
use doorwarden::{
    Builder, Claims, CorsSettings, CreateUserError, CurrentUser, Doorwarden, Endpoint, Event, FieldError,
    FieldErrors, Hooks, NewAccount, User, UserId, async_trait,
};
use http::header::{ACCEPT, ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, CONTENT_LENGTH, ORIGIN};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use serde_json::json;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::time::sleep;
use tower::ServiceExt;

on_both! {
    protect_requires_a_user_for_its_router_only
    require_perm_checks_a_permission
    users_has_djangos_rules_and_texts
    permissions_and_groups_are_as_in_django
    a_handler_and_verify_see_the_user_as_they_are_now
    endpoints_can_be_left_out_moved_and_replaced
    hooks_can_refuse_and_receive_events
    a_hook_makes_every_way_in_wait_for_the_applications_own_step
    a_removed_endpoint_is_not_in_the_document
    the_document_describes_requests_and_responses
    the_docs_page_uses_relative_urls
    the_service_responds_as_the_router_with_the_layer
    the_service_handles_cors_as_the_router_does
    a_dropped_handle_closes_its_database
}

fn blog(auth: &Doorwarden) -> Router {
    async fn feed(user: CurrentUser) -> String {
        format!("{} sees the feed", user.username())
    }
    async fn home(user: Option<CurrentUser>) -> String {
        user.map_or("hello".to_owned(), |user| format!("hello {}", user.username()))
    }
    async fn claims(Claims(claims): Claims) -> String {
        format!("{claims:?}").contains("sid").to_string()
    }
    let guarded = Router::new()
        .route("/posts", post(async || "published").route_layer(auth.require_perm("blog.add_post")))
        .route("/admin", get(async || "admin").route_layer(auth.require_staff()))
        .route("/claims", get(claims))
        .route("/feed", get(feed));
    auth.protect(guarded).route("/", get(home)).merge(auth.router())
}

async fn protect_requires_a_user_for_its_router_only(database: Database) {
    let app = database.app_around(|b| b, blog).await;
    app.call("GET", "/feed", None, None)
        .await
        .is(401, json!({"detail": "Authentication credentials were not provided."}));
    assert_eq!(app.call("GET", "/unknown", None, None).await.status, 404);
    assert_eq!(app.call("GET", "/", None, None).await.body, b"hello");
    let token = app.register("jane").await;
    assert_eq!(app.get("/feed", &token).await.body, b"jane sees the feed");
    assert_eq!(app.get("/", &token).await.body, b"hello jane");
    assert_eq!(app.get("/claims", &token).await.body, b"true");
    assert_eq!(app.get("/", "garbage").await.status, 401, "a token that is refused is no anonymous visitor");
    let late = app
        .call(
            "POST",
            "/login",
            Some("garbage"),
            Some(json!({"email": "jane@example.com", "password": PASSWORD})),
        )
        .await;
    assert_eq!(late.status, 200, "a stale token locks nobody out of the way in");
}

async fn require_perm_checks_a_permission(database: Database) {
    let app = database.app_around(|b| b.permission("blog.add_post", "Can add post"), blog).await;
    let token = app.register("jane").await;
    let publish = || app.call("POST", "/posts", Some(&token), None);
    let refused = publish().await;
    assert!(refused.header("www-authenticate").contains("insufficient_scope"));
    refused.is(403, json!({"detail": "You do not have permission to perform this action."}));
    let permission: PermissionName = "blog.add_post".parse().unwrap();
    app.auth.users().grant(UserId(1), &permission).await.unwrap();
    assert_eq!(publish().await.body, b"published");
    app.auth.users().revoke(UserId(1), &permission).await.unwrap();
    assert_eq!(publish().await.status, 403, "what is taken away is gone at once");
    assert_eq!(app.call("POST", "/posts", None, None).await.status, 401);
    assert_eq!(app.get("/admin", &token).await.status, 403);
}

async fn users_has_djangos_rules_and_texts(database: Database) {
    let app = database.app().await;
    let users = app.auth.users();
    let said = |result: Result<User, CreateUserError>| result.unwrap_err().to_string();
    assert_eq!(said(users.create_user("", "a@example.com", None).await), "The given username must be set");
    assert_eq!(said(users.create_user("a", "", None).await), "The given email must be set");
    let context = app.auth.context();
    let superuser = |staff, superuser| NewAccount {
        username: "root".into(),
        email: "root@example.com".into(),
        is_staff: staff,
        is_superuser: superuser,
        ..NewAccount::default()
    };
    let refused = said(create_superuser(context, superuser(Some(false), None), app.auth.origin()).await);
    assert_eq!(refused, "Superuser must have is_staff=True.");
    let refused = said(create_superuser(context, superuser(None, Some(false)), app.auth.origin()).await);
    assert_eq!(refused, "Superuser must have is_superuser=True.");

    let root = users.create_superuser("root", "Root@EXAMPLE.com", PASSWORD).await.unwrap();
    assert_eq!((root.is_staff, root.is_superuser, root.email.as_str()), (true, true, "Root@example.com"));
    assert!(
        users
            .create_user("no-password", "np@example.com", None)
            .await
            .unwrap()
            .password
            .as_str()
            .starts_with('!')
    );
    assert!(users.create_user("ROOT", "other@example.com", None).await.is_err());
    assert_eq!(users.get_by_email("ROOT@example.COM").await.unwrap().unwrap().id, root.id);
    assert_eq!(
        app.post("/login", json!({"email": "root@example.com", "password": PASSWORD})).await.status,
        200
    );
}

async fn permissions_and_groups_are_as_in_django(database: Database) {
    let app = database
        .app_with(|b| b.permission("blog.add_post", "Can add post").permission("shop.sell", "Can sell"))
        .await;
    let users = app.auth.users();
    let (add_post, sell): (PermissionName, PermissionName) =
        ("blog.add_post".parse().unwrap(), "shop.sell".parse().unwrap());
    let jane = users.create_user("jane", "jane@example.com", None).await.unwrap().id;
    let root = users.create_superuser("root", "root@example.com", PASSWORD).await.unwrap().id;
    assert!(users.create_group("editors").await.unwrap());
    users.add_to_group(jane, "editors").await.unwrap();
    users.grant_to_group("editors", &add_post).await.unwrap();
    users.grant(jane, &sell).await.unwrap();
    let account = users.account(jane).await.unwrap().unwrap();
    assert_eq!(account.permissions, ["blog.add_post", "shop.sell"]);
    assert!(account.has_perm("shop.sell") && account.has_perms(["shop.sell", "blog.add_post"]));
    assert!(
        account.has_module_perms("blog") && !account.has_module_perms("blo") && !account.has_perm("shop.buy")
    );
    let root_account = users.account(root).await.unwrap().unwrap();
    assert!(root_account.has_perm("anything.at_all") && root_account.permissions.len() == 2);
    let who: Vec<_> = users.with_perm(&add_post, 10).await.unwrap().iter().map(|u| u.id).collect();
    assert_eq!(who, [jane, root]);
    let off = doorwarden::core::user::UserChange { is_active: Some(false), ..Default::default() };
    users.update(jane, off).await.unwrap();
    let account = users.account(jane).await.unwrap().unwrap();
    assert!(account.permissions.is_empty() && !account.has_perm("shop.sell"));
    let unknown: PermissionName = "blog.no_such".parse().unwrap();
    assert!(users.grant(root, &unknown).await.is_err());
}

async fn a_handler_and_verify_see_the_user_as_they_are_now(database: Database) {
    async fn seen(user: CurrentUser) -> String {
        json!({
            "id": user.id(),
            "email": user.email(),
            "is_superuser": user.is_superuser(),
            "groups": user.groups(),
            "permissions": user.permissions(),
            "has_perm": [user.has_perm("blog.add_post"), user.has_perm("blog.delete_post")],
            "has_perms": user.has_perms(["blog.add_post", "blog.delete_post"]),
            "has_module_perms": [user.has_module_perms("blog"), user.has_module_perms("shop")],
            "session": user.session(),
            "acr": user.acr(),
        })
        .to_string()
    }
    let declared = |b: Builder| b.permission("blog.add_post", "Can add post");
    let app =
        database.app_around(declared, |auth| auth.protect(Router::new().route("/seen", get(seen)))).await;
    let users = app.auth.users();
    let jane = users.create_user("jane", "Jane@Example.com", Some(PASSWORD)).await.unwrap();
    let session_token = app.auth.tokens().issue(jane.id).await.unwrap();
    let pair = app.auth.tokens().issue_pair(jane.id).await.unwrap();
    users.create_group("editors").await.unwrap();
    users.add_to_group(jane.id, "editors").await.unwrap();
    users.grant_to_group("editors", &"blog.add_post".parse().unwrap()).await.unwrap();

    for (token, session, acr) in
        [(&session_token.token, session_token.session, None), (&pair.access, pair.session, Some("0"))]
    {
        app.get("/seen", token).await.is(
            200,
            json!({
                "id": jane.id, "email": "Jane@example.com", "is_superuser": false, "groups": ["editors"],
                "permissions": ["blog.add_post"], "has_perm": [true, false], "has_perms": false,
                "has_module_perms": [true, false], "session": session, "acr": acr,
            }),
        );
        let verified = app.auth.tokens().verify(token).await.unwrap();
        assert_eq!((verified.id(), verified.session(), verified.acr()), (jane.id, Some(session), acr));
        assert_eq!(verified.claims().session(), Some(session));
        assert!(verified.claims().iat().is_some_and(|iat| iat < verified.claims().exp()));
        assert_eq!(verified.user().username, jane.username);
        assert_eq!(verified.account().groups, ["editors"]);
        assert!(verified.has_perm("blog.add_post"));
    }
}

async fn endpoints_can_be_left_out_moved_and_replaced(database: Database) {
    let change = |b: doorwarden::Builder| {
        b.without(Endpoint::Registration).endpoint_at(Endpoint::Login, "/api/session").without(Endpoint::Docs)
    };
    let own = |auth: &Doorwarden| {
        let application = Router::new()
            .route("/registration", post(async || "by invitation only"))
            .route("/healthz", get(async || axum::Json(json!({"status": "own"}))));
        application.merge(auth.router())
    };
    let app = database.app_around(change, own).await;
    assert_eq!(app.call("POST", "/registration", None, None).await.body, b"by invitation only");
    assert_eq!(app.call("GET", "/healthz", None, None).await.json()["status"], "own");
    let other = app.call("POST", "/healthz", None, None).await;
    assert_eq!(other.headers["allow"], "GET, HEAD, OPTIONS", "the other methods are the endpoint's");
    app.auth.users().create_user("jane", "jane@example.com", Some(PASSWORD)).await.unwrap();
    let login = json!({"email": "jane@example.com", "password": PASSWORD});
    assert_eq!(app.post("/login", login.clone()).await.status, 404);
    assert_eq!(app.post("/api/session", login.clone()).await.status, 200);
    assert_eq!(app.post("/api/session/", login).await.status, 200);
    assert_eq!(app.call("GET", "/docs", None, None).await.status, 404);
}

#[derive(Debug, Default)]
struct Doorkeeper {
    heard: Mutex<Vec<&'static str>>,
}

#[async_trait]
impl Hooks for Listener {
    async fn before_registration(&self, user: &mut NewUser, _: &ClientInfo) -> Result<(), FieldErrors> {
        if user.email.as_str().ends_with("@example.com") {
            user.metadata.insert("source".into(), "hook".into());
            return Ok(());
        }
        Err(FieldErrors::one("email", FieldError::new("not_allowed", "Use your company's address.")))
    }

    async fn after_registration(&self, user: &User) -> Result<(), FieldErrors> {
        match user.username.as_str() {
            "unlucky" => {
                Err(FieldErrors::one("username", FieldError::new("unlucky", "No profile could be made.")))
            }
            _ => Ok(()),
        }
    }

    async fn before_login(&self, user: &User, _: &ClientInfo) -> Result<(), FieldErrors> {
        match user.username.as_str() {
            "barred" => {
                Err(FieldErrors::one("non_field_errors", FieldError::new("barred", "Ask the office.")))
            }
            _ => Ok(()),
        }
    }

    async fn after_login(&self, user: &User, _: &Session) -> Result<(), FieldErrors> {
        match user.username.as_str() {
            "late" => Err(FieldErrors::one("non_field_errors", FieldError::new("late", "Closed at night."))),
            _ => Ok(()),
        }
    }

    async fn on_event(&self, event: &Event) {
        self.0.heard.lock().unwrap().push(event.name());
    }
}

/// A hook that records its calls.
#[derive(Debug, Clone, Default)]
struct Listener(Arc<Doorkeeper>);

async fn hooks_can_refuse_and_receive_events(database: Database) {
    let hook = Listener::default();
    let app = database.app_with(|b| b.hook(hook.clone())).await;
    let body = json!({"email": "x@elsewhere.test", "username": "x", "password": PASSWORD});
    app.post("/registration", body).await.is(400, json!({"email": ["Use your company's address."]}));
    let unlucky = app.try_register("unlucky").await;
    unlucky.is(400, json!({"username": ["No profile could be made."]}));
    assert!(
        app.auth.users().get_by_username("unlucky").await.unwrap().is_none(),
        "the account is taken back"
    );
    let token = app.register("jane").await;
    let stored = app.auth.users().get_by_username("jane").await.unwrap().unwrap();
    assert_eq!(stored.metadata["source"], "hook");

    for (name, text) in [("barred", "Ask the office."), ("late", "Closed at night.")] {
        app.register(name).await;
        app.log_in(name, PASSWORD).await.is(400, json!({"non_field_errors": [text]}));
        let wrong = app.log_in(name, "wrong horse battery").await.json();
        assert_ne!(wrong["non_field_errors"], json!([text]), "a hook speaks only to who knows the password");
    }
    let late = app.auth.users().get_by_username("late").await.unwrap().unwrap().id;
    let sessions = app.auth.context().store.sessions_of(late, crate::app::NOON, None, 1000).await.unwrap();
    assert_eq!(sessions.len(), 1, "only that of the registration lives");

    hook.0.heard.lock().unwrap().clear();
    app.log_in("jane", PASSWORD).await;
    app.call("POST", "/logout", Some(&token), None).await;
    assert_eq!(*hook.0.heard.lock().unwrap(), ["logged_in", "session_ended"]);
}

async fn a_removed_endpoint_is_not_in_the_document(database: Database) {
    let field = doorwarden::Field::choice("plan", ["free", "team"]).describe("What is paid for.");
    let app = database.app_with(|b| b.without(Endpoint::Registration).field(field)).await;
    let document = app.call("GET", "/openapi.json", None, None).await.json();
    let paths: Vec<_> = document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    assert!(paths.contains(&"/me") && paths.contains(&"/sessions/{id}") && !paths.contains(&"/registration"));
    let plan = &document["components"]["schemas"]["Profile"]["properties"]["plan"];
    assert_eq!(plan["anyOf"][0]["enum"], json!(["free", "team"]));
    assert_eq!(plan["description"], "What is paid for.");
    assert_eq!(document["paths"]["/me"]["get"]["security"], json!([{"bearer": []}]));
}

async fn the_document_describes_requests_and_responses(database: Database) {
    let issuer = |b: Builder| b.settings(|s| "https://example.com/auth/".clone_into(&mut s.access.issuer));
    let app = database.app_with(issuer).await;
    let document = app.call("GET", "/openapi.json", None, None).await.json();
    assert_eq!(
        document["servers"][0]["url"], "https://example.com/auth",
        "also behind a proxy that takes a prefix away"
    );
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, about) in
            methods.as_object().unwrap().iter().filter(|(method, _)| *method != "parameters")
        {
            assert!(about["security"].is_array(), "{method} {path} says whether it needs a token");
            for status in ["405", "414", "431", "500", "503"] {
                assert!(about["responses"].get(status).is_some(), "{method} {path}: {status}");
            }
            let kinds = about["requestBody"]["content"].as_object().map_or(1, serde_json::Map::len);
            assert_eq!(kinds, 1, "{method} {path}: a body is described once");
        }
    }
    assert_eq!(document["paths"]["/login"]["post"]["security"], json!([]));
    assert_eq!(document["paths"]["/me"]["put"]["security"], json!([{"bearer": []}]));
    let schemas = &document["components"]["schemas"];
    assert_eq!(schemas["Refresh"]["required"], json!(["refresh"]));
    assert_eq!(schemas["Refresh"]["properties"]["refresh"]["minLength"], 1);
    let busy = &document["components"]["responses"]["ServiceUnavailable"];
    assert!(busy["headers"].get("Retry-After").is_some() && busy["headers"].get("X-Request-Id").is_some());
    assert!(busy["content"].get("application/problem+json").is_some());
    let cookie = Database::sqlite();
    let cookie = cookie.app_with(|b| b.http(|http| http.refresh_cookie = true)).await;
    let document = cookie.call("GET", "/openapi.json", None, None).await.json();
    assert_eq!(document["paths"]["/token/refresh"]["post"]["requestBody"]["required"], false);
}

async fn the_docs_page_uses_relative_urls(database: Database) {
    let moved = |b: Builder| {
        b.endpoint_at(Endpoint::Docs, "/help/api").endpoint_at(Endpoint::OpenApi, "/help/api.json")
    };
    let app = database.app_with(moved).await;
    let page =
        async |app: &App, path| String::from_utf8(app.call("GET", path, None, None).await.body).unwrap();
    assert!(page(&app, "/help/api").await.contains("\"../help/api.json\""));
    assert!(page(&app, "/help/api/").await.contains("\"../../help/api.json\""));
    let plain = Database::sqlite();
    let plain = plain.app().await;
    assert!(page(&plain, "/docs").await.contains("\"./openapi.json\""));
    assert!(page(&plain, "/docs/").await.contains("\"../openapi.json\""));
}

/// Sends a request to the service and to the router with the middleware, and compares the responses.
async fn same_answers(app: &App, request: impl Fn() -> Request<Body>) -> Answer {
    let served = Answer::read(app.auth.service().oneshot(request()).await.unwrap()).await;
    let routed = app.send(request()).await;
    let essence = |answer: &Answer| {
        let mut headers = answer.headers.clone();
        assert!(headers.remove("x-request-id").is_some(), "{answer:?}");
        // The router sets it and drops the body of a response to HEAD; for the service, the server does.
        headers.remove(CONTENT_LENGTH);
        let is_head = request().method() == Method::HEAD;
        (answer.status, headers, (!is_head).then(|| String::from_utf8(answer.body.clone()).unwrap()))
    };
    assert_eq!(essence(&served), essence(&routed), "{:?}", request());
    served
}

async fn the_service_responds_as_the_router_with_the_layer(database: Database) {
    let moved =
        |b: Builder| b.endpoint_at(Endpoint::Login, "/api/{version}/login").without(Endpoint::Registration);
    let app = database.app_with(moved).await;
    let jane = app.auth.users().create_user("jane", "jane@example.com", Some(PASSWORD)).await.unwrap();
    let token = app.auth.tokens().issue(jane.id).await.unwrap().token;

    let moved = ["/api/1/login", "/api/1/login/", "/login", "/registration"];
    let strange =
        ["/", "", "//me", "/me//", "/ME", "/%6de", "/me?a=b", "/sessions/1/2", "/sessions/%2e", "*"];
    let mut found = 0;
    for path in Endpoint::ALL.map(Endpoint::default_path).into_iter().chain(moved).chain(strange) {
        let path = path.replace("{id}", "0199a5c4-0000-7000-8000-000000000000");
        for path in [path.clone(), format!("{path}/")] {
            for (method, token) in [
                ("GET", Some(&token)),
                ("HEAD", Some(&token)),
                ("GET", None),
                ("POST", None),
                ("DELETE", None),
                ("OPTIONS", None),
                ("BREW", None),
            ] {
                if path.contains("/stream") && ["GET", "HEAD"].contains(&method) {
                    continue; // It does not end.
                }
                let Ok(uri) = path.parse::<Uri>() else { continue };
                let answer = same_answers(&app, || {
                    let request = Request::builder().method(method).uri(uri.clone());
                    let request = match token {
                        Some(token) => request.header(AUTHORIZATION, format!("Bearer {token}")),
                        None => request.header(ACCEPT, "application/problem+json"),
                    };
                    request.body(Body::empty()).unwrap()
                })
                .await;
                found += usize::from(answer.status == StatusCode::OK);
            }
        }
    }
    assert!(found > 30, "only {found} were answered with 200");
}

async fn the_service_handles_cors_as_the_router_does(database: Database) {
    let origin = HeaderValue::from_static("https://app.example.com");
    let app = database.app_with(|b| b.cors(CorsSettings::new([origin.clone()]))).await;
    for (method, path) in [("OPTIONS", "/me"), ("GET", "/me"), ("GET", "/healthz"), ("GET", "/unknown")] {
        let answer = same_answers(&app, || {
            let request = Request::builder().method(method).uri(path).header(ORIGIN, origin.clone());
            request.header(ACCESS_CONTROL_REQUEST_METHOD, "PATCH").body(Body::empty()).unwrap()
        })
        .await;
        assert_eq!(answer.header("access-control-allow-origin"), "https://app.example.com", "{answer:?}");
    }
}

async fn a_dropped_handle_closes_its_database(database: Database) {
    let app = database.app().await;
    let token = app.register("jane").await;
    assert_eq!(app.get("/me", &token).await.status, 200);
    assert!(database.is_open().await);
    drop(app);
    let limit = Instant::now() + Duration::from_secs(5);
    while database.is_open().await {
        assert!(Instant::now() < limit, "the database is still open");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Terms that must be accepted.
#[derive(Debug)]
struct Terms;

#[async_trait]
impl Hooks for Terms {
    async fn stage(&self, user: &User) -> Option<&'static str> {
        (user.metadata.get("terms") != Some(&json!(2026))).then_some("terms")
    }
}

async fn a_hook_makes_every_way_in_wait_for_the_applications_own_step(database: Database) {
    let app = database.app_with(|builder| builder.hook(Terms)).await;
    let registered = app.try_register("ada").await;
    assert_eq!((registered.status.as_u16(), &registered.json()["code"]), (401, &json!("stage_required")));
    let pair = app.post("/token", json!({"email": "ada@example.com", "password": PASSWORD})).await.json();
    assert_eq!(pair["flows"][0], json!({"id": "stage", "is_pending": true, "name": "terms"}));
    let step = json!({"login_token": pair["login_token"], "method": "continue"});
    let early = app.post("/login/verify", step.clone()).await;
    assert_eq!((early.status.as_u16(), &early.json()["code"]), (401, &json!("stage_required")));
    let login_token = early.json()["login_token"].clone();
    assert_eq!(
        app.post("/login/verify", step).await.json()["code"],
        "login_expired",
        "each step is taken once"
    );

    let users = app.auth.users();
    let (user, stage) = users.stage_of_login(login_token.as_str().unwrap()).await.unwrap().unwrap();
    assert_eq!((user.username.as_str(), stage.as_str()), ("ada", "terms"));
    assert!(users.stage_of_login("dwl_unknown").await.unwrap().is_none());
    let metadata = [("terms".to_owned(), json!(2026))].into_iter().collect();
    users.update(user.id, UserChange { metadata, ..UserChange::default() }).await.unwrap();
    let done = app.post("/login/verify", json!({"login_token": login_token, "method": "continue"})).await;
    assert!(done.json()["refresh"].is_string(), "{done:?}");
    assert_eq!(app.log_in("ada", PASSWORD).await.status, 200);
}
