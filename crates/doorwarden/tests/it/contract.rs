//! Every response in the tests matches the OpenAPI document.

use crate::app::Answer;
use boon::{Compiler, Draft, SchemaIndex, Schemas};
use http::Method;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Mutex;

/// An OpenAPI document against which responses are checked.
pub(crate) struct Contract {
    document: Value,
    /// Compiled response schemas, by JSON pointer.
    compiled: Mutex<HashMap<String, (Schemas, SchemaIndex)>>,
}

/// The URI of the document for the schema compiler.
const URL: &str = "https://example.com/openapi.json";

impl Contract {
    pub(crate) fn new(document: &[u8]) -> Self {
        let document: Value = serde_json::from_slice(document).unwrap();
        Self { document, compiled: Mutex::default() }
    }

    /// Checks that the document describes a response. Paths that the document does not have are not checked.
    ///
    /// # Errors
    /// The deviation.
    pub(crate) fn check(&self, method: &Method, path: &str, answer: &Answer) -> Result<(), String> {
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        let Some(template) = self.template(path) else { return Ok(()) };
        let operation = ["paths", &template, &method.as_str().to_ascii_lowercase()];
        let Some(described) = at(&self.document, &operation) else { return Ok(()) };
        let status = answer.status.as_str();
        let response = &described["responses"][status];
        let (place, response) = match response["$ref"].as_str() {
            Some(common) => (common.to_owned(), self.document.pointer(&common[1..]).unwrap()),
            None => (pointer(&[&operation[..], &["responses", status]].concat()), response),
        };
        if response.is_null() {
            return Err(format!("the status {status} is not described"));
        }
        if answer.body.is_empty() {
            return Ok(());
        }
        let kind = answer.header("content-type").split(';').next().unwrap_or_default();
        if response["content"][kind].is_null() {
            return Err(format!("the content type {kind} is not described"));
        }
        if !kind.ends_with("json") {
            return Ok(());
        }
        let body = answer.json();
        let schema = format!("{URL}{place}/content/{}/schema", escaped(kind));
        let mut compiled = self.compiled.lock().unwrap();
        let (schemas, index) = compiled.entry(schema).or_insert_with_key(|schema| self.compile(schema));
        schemas.validate(&body, *index).map_err(|error| format!("{error:#}\n{body}"))?;
        // An error code.
        let description = response["description"].as_str().unwrap_or_default();
        match body["code"].as_str() {
            Some(code) if !description.contains(&format!("`{code}`")) => {
                Err(format!("the code {code} is not described"))
            }
            _ => Ok(()),
        }
    }

    fn compile(&self, schema: &str) -> (Schemas, SchemaIndex) {
        let (mut compiler, mut schemas) = (Compiler::new(), Schemas::new());
        compiler.set_default_draft(Draft::V2020_12);
        compiler.enable_format_assertions();
        compiler.add_resource(URL, self.document.clone()).unwrap();
        let index = compiler.compile(schema, &mut schemas).unwrap();
        (schemas, index)
    }

    /// The path template in the document that matches a request's path.
    fn template(&self, path: &str) -> Option<String> {
        let path = path.split('?').next().unwrap_or_default();
        let path = if path.len() > 1 { path.strip_suffix('/').unwrap_or(path) } else { path };
        let is_of = |template: &str| {
            let (of_template, of_path) = (template.split('/'), path.split('/'));
            template.matches('/').count() == path.matches('/').count()
                && of_template.zip(of_path).all(|(a, b)| a == b || a.starts_with('{'))
        };
        let paths = self.document["paths"].as_object()?;
        let exact = paths.keys().find(|template| *template == path);
        exact.or_else(|| paths.keys().find(|template| is_of(template))).cloned()
    }
}

fn at<'a>(document: &'a Value, names: &[&str]) -> Option<&'a Value> {
    names.iter().try_fold(document, |value, name| value.get(*name))
}

fn pointer(names: &[&str]) -> String {
    names.iter().fold("#".to_owned(), |place, name| format!("{place}/{}", escaped(name)))
}

/// A name, escaped for a JSON pointer in a URL.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1").replace('{', "%7B").replace('}', "%7D").replace('+', "%2B")
}

mod tests {
    use super::*;
    use crate::app::Database;
    use http::{HeaderMap, HeaderValue, StatusCode};
    use serde_json::json;

    #[tokio::test]
    async fn an_undocumented_response_fails_the_check() {
        let app = Database::sqlite().app().await;
        let contract = Contract::new(&app.auth.openapi());
        let is_described = |method: Method, path: &str, status: u16, kind: &'static str, body: Value| {
            let headers =
                HeaderMap::from_iter([(http::header::CONTENT_TYPE, HeaderValue::from_static(kind))]);
            let status = StatusCode::from_u16(status).unwrap();
            let answer = Answer { status, headers, body: body.to_string().into() };
            contract.check(&method, path, &answer).is_ok()
        };
        let (json, problem) = ("application/json", "application/problem+json");
        let token = json!({"token": "x"});
        assert!(is_described(Method::POST, "/login/", 200, json, token.clone()));
        assert!(!is_described(Method::POST, "/login", 201, json, token.clone()), "another status");
        assert!(!is_described(Method::POST, "/login", 200, "text/plain", token), "another content type");
        assert!(!is_described(Method::POST, "/login", 200, json, json!({"tokens": "x"})), "another member");
        assert!(!is_described(Method::GET, "/me", 200, json, json!({"id": 7})), "members that are missing");
        let error = |code: &str| json!({"type": "about:blank", "title": "Bad Request", "status": 400, "code": code, "detail": "x"});
        assert!(is_described(Method::POST, "/logout", 400, problem, error("invalid_scope")));
        assert!(
            !is_described(Method::POST, "/logout", 400, problem, error("invalid_cursor")),
            "another code"
        );
        let path = "/sessions/0190d3a8-0000-7000-8000-000000000000";
        assert!(is_described(Method::DELETE, path, 404, json, json!({"detail": "Not found."})));
        assert!(!is_described(Method::DELETE, path, 409, json, json!({"detail": "x"})));
    }
}
