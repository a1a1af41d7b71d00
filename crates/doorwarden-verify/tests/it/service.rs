//! A Doorwarden on SQLite that listens on a real socket.

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use doorwarden::core::flow::TokenPair;
use doorwarden::core::password::HashSettings;
use doorwarden::core::user::UserId;
use doorwarden::{Doorwarden, Settings};
use doorwarden_testkit::{TempDir, sqlite_path};
use doorwarden_verify::{Builder, Verifier};
use serde_json::{Value, json};
use tower::ServiceExt;

pub(crate) const PASSWORD: &str = "correct horse battery";

pub(crate) struct Service {
    pub(crate) auth: Doorwarden,
    pub(crate) url: String,
    router: Router,
    _directory: TempDir,
}

impl Service {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Settings)) -> Self {
        let (directory, path) = sqlite_path();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let auth = Doorwarden::builder()
            .database_url(format!("sqlite://{}", path.display()))
            .hashing(HashSettings::insecure_for_tests())
            .settings(|settings| {
                settings.access.issuer.clone_from(&url);
                change(settings);
            })
            .build()
            .await
            .unwrap();
        let router = auth.router().layer(auth.layer());
        tokio::spawn(axum::serve(listener, router.clone()).into_future());
        Self { auth, url, router, _directory: directory }
    }

    pub(crate) fn builder(&self) -> Builder {
        Verifier::builder(&self.url)
    }

    /// A verifier that has the keys and has received a statement.
    pub(crate) async fn verifier(&self) -> Verifier {
        let verifier = self.builder().build().unwrap();
        verifier.ready().await.unwrap();
        verifier
    }

    /// Registers `name` and returns the id of the user.
    pub(crate) async fn register(&self, name: &str) -> UserId {
        let email = format!("{name}@example.com");
        let body = json!({"email": email, "username": name, "password": PASSWORD});
        let answer = self.call("POST", "/registration", None, Some(body)).await;
        let me = self.call("GET", "/me", answer["token"].as_str(), None).await;
        UserId(me["id"].as_i64().unwrap())
    }

    pub(crate) async fn log_in(&self, name: &str) -> Value {
        let body = json!({"email": format!("{name}@example.com"), "password": PASSWORD});
        self.call("POST", "/token", None, Some(body)).await
    }

    pub(crate) async fn log_out(&self, refresh: &str) {
        self.call("POST", "/token/revoke", None, Some(json!({"refresh": refresh}))).await;
    }

    pub(crate) async fn pair(&self, user: UserId) -> TokenPair {
        self.auth.tokens().issue_pair(user).await.unwrap()
    }

    /// The JSON of a response, which must be a success.
    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<Value>,
    ) -> Value {
        let mut request =
            Request::builder().method(method).uri(path).header("content-type", "application/json");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let response = self.router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let status = response.status();
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        assert!(status.is_success(), "{method} {path}: {status} {}", String::from_utf8_lossy(&bytes));
        serde_json::from_slice(&bytes).unwrap_or_default()
    }
}
