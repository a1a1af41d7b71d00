//! Files generated from the table of endpoints through the OpenAPI document. `UPDATE_DOCS=1` rewrites them.

use crate::app::Database;
use doorwarden::Endpoint;
use doorwarden_testkit::pinned;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

async fn document() -> Value {
    let app = Database::sqlite().app().await;
    serde_json::from_slice(&app.auth.openapi()).unwrap()
}

/// Every operation in the order of the table: path, method and description.
fn operations(document: &Value) -> impl Iterator<Item = (&'static str, String, &Value)> {
    Endpoint::ALL.into_iter().map(Endpoint::default_path).flat_map(|path| {
        let methods = document["paths"][path].as_object().unwrap().iter();
        methods.map(move |(method, about)| (path, method.to_uppercase(), about))
    })
}

/// A schema, or the one that it refers to.
fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    schema["$ref"].as_str().map_or(schema, |place| document.pointer(&place[1..]).unwrap())
}

/// The schema of a body, and its media type.
fn body<'a>(document: &'a Value, about: &'a Value) -> Option<(&'a str, &'a Value)> {
    let content = about["requestBody"]["content"].as_object()?;
    content.iter().next().map(|(kind, content)| (kind.as_str(), resolved(document, &content["schema"])))
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

#[tokio::test]
async fn the_endpoint_table_in_the_http_reference_matches_the_program() {
    let document = document().await;
    let mut table = "| operation | description | request | response |\n|---|---|---|---|\n".to_owned();
    for (path, method, about) in operations(&document) {
        let request = request(&document, about);
        let (summary, response) = (about["summary"].as_str().unwrap(), response(&document, about));
        let needed = names(&about["security"][0]["bearer"]).join("`, `");
        let needed = if needed.is_empty() { needed } else { format!(" Needs the permission `{needed}`.") };
        writeln!(table, "| `{method} {path}` | {summary}{needed} | {request} | {response} |").unwrap();
    }
    pinned("docs/http.md", ("<!-- endpoints: begin -->\n", "<!-- endpoints: end -->"), &table);
}

/// Every status of an error with its codes, and what each means, wherever it does.
#[tokio::test]
async fn the_table_of_errors_in_the_http_reference_matches_the_program() {
    let document = document().await;
    let mut errors: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for (_, _, about) in operations(&document) {
        for (status, response) in about["responses"].as_object().unwrap() {
            let text = resolved(&document, response)["description"].as_str().unwrap();
            for line in text.split("\n\n") {
                if let Some((code, meaning)) = line.strip_prefix('`').and_then(|line| line.split_once("`: "))
                {
                    errors.entry((status, code)).or_default().insert(meaning);
                }
            }
        }
    }
    assert!(errors.contains_key(&("429", "throttled")), "{errors:?}");
    let mut table = "| status | code | when |\n|---|---|---|\n".to_owned();
    for ((status, code), meanings) in errors {
        let meanings: Vec<_> = meanings.into_iter().collect();
        writeln!(table, "| {status} | `{code}` | {} |", meanings.join(" Or: ")).unwrap();
    }
    pinned("docs/http.md", ("<!-- errors: begin -->\n", "<!-- errors: end -->"), &table);
}

/// A client that is generated from the document can send what spares the wait, and read how long it is.
#[tokio::test]
async fn whatever_may_be_throttled_takes_a_device_token_and_a_proof_of_work() {
    let document = document().await;
    // A page tells a person to wait.
    let is_throttled = |about: &Value| !about["responses"]["429"]["content"]["application/json"].is_null();
    let throttled = operations(&document).filter(|(.., about)| is_throttled(about));
    let mut paths = Vec::new();
    for (path, _, about) in throttled {
        let parameters = about["parameters"].as_array().into_iter().flatten();
        let sent: Vec<_> = parameters.filter(|one| one["in"] == "header").map(|one| &one["name"]).collect();
        assert_eq!(sent, ["X-Device-Token", "X-Altcha"], "{path}");
        let read = about["responses"]["429"]["headers"].as_object().unwrap();
        assert!(["Retry-After", "RateLimit", "RateLimit-Policy"].iter().all(|name| read.contains_key(*name)));
        paths.push(path);
    }
    assert!(["/login", "/token", "/registration", "/password/reset"].iter().all(|path| paths.contains(path)));
}

/// The members of the body and the parameters of the query.
fn request(document: &Value, about: &Value) -> String {
    let mut all = Vec::new();
    if let Some((_, schema)) = body(document, about) {
        let required = names(&schema["required"]);
        all.extend(required.iter().map(|name| format!("`{name}`")));
        let members = schema["properties"].as_object().into_iter().flatten();
        let optional = members.filter(|(name, _)| !required.contains(&name.as_str()));
        all.extend(optional.map(|(name, _)| format!("[`{name}`]")));
    }
    let parameters = about["parameters"].as_array().into_iter().flatten();
    let query = parameters.filter(|one| one["in"] == "query");
    all.extend(query.map(|one| format!("[`?{}=`]", one["name"].as_str().unwrap())));
    all.join(", ")
}

/// The success responses.
fn response(document: &Value, about: &Value) -> String {
    let responses = about["responses"].as_object().unwrap().iter();
    let answers = responses.filter(|(status, _)| status.starts_with('2')).map(|(status, answer)| {
        let schema = &answer["content"]["application/json"]["schema"];
        let members = resolved(document, schema)["properties"].as_object();
        let members: Vec<_> = members.into_iter().flatten().map(|(name, _)| format!("`{name}`")).collect();
        let meaning = answer["description"].as_str().unwrap();
        match members.len() {
            1..=5 => format!("{status}, {}: {meaning}", members.join(", ")),
            _ => format!("{status}: {meaning}"),
        }
    });
    answers.collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn the_postman_collection_has_every_operation() {
    let document = document().await;
    let requests: Vec<Value> =
        operations(&document).map(|(path, method, about)| item(&document, path, &method, about)).collect();
    let text = serde_json::to_string_pretty(&requests).unwrap().replace('\n', "\n      ");
    let begin = "      \"description\": \"Generated from the table of endpoints.\",\n      \"item\": ";
    pinned("deploy/postman.json", (begin, "\n    }\n  ]\n}\n"), &text);
}

/// A sample request for an operation.
fn item(document: &Value, path: &str, method: &str, about: &Value) -> Value {
    let path = path.trim_start_matches('/');
    let path = path
        .replace("sessions/{id}", "sessions/{{session}}")
        .replace("invitations/{id}", "invitations/{{invitation}}")
        .replace("{id}", "{{factor}}");
    let variable =
        |key: &str, name: &str| json!({"key": key, "value": format!("{{{{{name}}}}}"), "type": "string"});
    let security = about["security"].to_string();
    let auth = match &*security {
        _ if security.contains("basic") => {
            json!({"type": "basic", "basic": [variable("username", "client"), variable("password", "client_secret")]})
        }
        _ if security.contains("{}") || security == "[]" => json!({"type": "noauth"}),
        _ => json!({"type": "bearer", "bearer": [variable("token", "token")]}),
    };
    let mut request = json!({
        "method": method,
        "header": [],
        "url": {
            "raw": format!("{{{{url}}}}/{path}"),
            "host": ["{{url}}"],
            "path": path.split('/').collect::<Vec<_>>(),
        },
        "auth": auth,
    });
    if let Some((kind, schema)) = body(document, about) {
        let required = names(&schema["required"]);
        let name_of =
            |member: &'_ str| if member == "current_password" { "password" } else { member }.to_owned();
        request["body"] = if kind == "application/json" {
            let members: serde_json::Map<String, Value> = required
                .iter()
                .map(|name| ((*name).to_owned(), format!("{{{{{}}}}}", name_of(name)).into()))
                .collect();
            let raw = serde_json::to_string_pretty(&members).unwrap();
            json!({"mode": "raw", "raw": raw, "options": {"raw": {"language": "json"}}})
        } else {
            let members: Vec<Value> = required.iter().map(|name| variable(name, &name_of(name))).collect();
            json!({"mode": "urlencoded", "urlencoded": members})
        };
    }
    // The errors that follow from the request.
    let is_expected = |status: &&str| !["405", "408", "413", "414", "415", "431", "500"].contains(status);
    let statuses = about["responses"].as_object().unwrap().keys().map(String::as_str);
    let statuses: Vec<_> = statuses.filter(is_expected).collect();
    let test = format!(
        "pm.test('status', () => pm.expect(pm.response.code).to.be.oneOf([{}]));",
        statuses.join(", ")
    );
    let script = json!({"type": "text/javascript", "exec": [test]});
    let mut item = json!({
        "name": about["operationId"],
        "request": request,
        "response": [],
        "event": [{"listen": "test", "script": script}],
    });
    if statuses.contains(&"303") {
        item["protocolProfileBehavior"] = json!({"followRedirects": false});
    }
    item
}
