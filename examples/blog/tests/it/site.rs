//! A blog in its own directory, and requests to it.

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use doorwarden::Doorwarden;
use doorwarden::core::password::HashSettings;
use doorwarden_testkit::{TempDir, sqlite_path};
use example_blog::Blog;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

pub(crate) const PASSWORD: &str = "correct horse battery";

pub(crate) struct Site {
    pub(crate) blog: Blog,
    router: Router,
    _directory: TempDir,
}

impl Site {
    pub(crate) async fn new() -> Self {
        let (directory, path) = sqlite_path();
        let builder = Doorwarden::builder().hashing(HashSettings::insecure_for_tests());
        let blog = Blog::open(&path, builder).await.unwrap();
        Self { router: blog.router(), blog, _directory: directory }
    }

    /// The status and the body; a body that is not JSON becomes a string.
    pub(crate) async fn call(&self, method: &str, path: &str, token: &str, body: Value) -> (u16, Value) {
        let mut request =
            Request::builder().method(method).uri(path).header(CONTENT_TYPE, "application/json");
        if !token.is_empty() {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let answer = self.router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let status = answer.status().as_u16();
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::String(text)))
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> (u16, Value) {
        self.call("GET", path, token, Value::Null).await
    }

    pub(crate) async fn register(&self, name: &str, display_name: &str) -> (u16, Value) {
        let email = format!("{name}@example.com");
        let body =
            json!({"email": email, "username": name, "password": PASSWORD, "display_name": display_name});
        self.call("POST", "/registration", "", body).await
    }

    /// Registers a user and returns the token.
    pub(crate) async fn reader(&self, name: &str, display_name: &str) -> String {
        let (status, answer) = self.register(name, display_name).await;
        assert_eq!(status, 201, "{answer}");
        answer["token"].as_str().unwrap().to_owned()
    }

    /// Registers a user who may publish, and returns the token.
    pub(crate) async fn author(&self, name: &str, display_name: &str) -> String {
        let token = self.reader(name, display_name).await;
        assert!(self.blog.make_author(&format!("{name}@example.com")).await.unwrap());
        token
    }

    pub(crate) async fn publish(&self, token: &str, title: &str) -> (u16, Value) {
        self.call("POST", "/posts", token, json!({"title": title, "body": "Once upon a time."})).await
    }

    /// A number from the database.
    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.blog.database).await.unwrap()
    }
}
