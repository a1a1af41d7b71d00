//! The OpenAPI 3.1 document, generated from the table of endpoints, so that it reflects endpoints that were
//! moved or left out and the fields that the application declared.

use super::answer::Described;
use super::operation::{Operation, Permission};
use super::operations;
use super::problem::{Problem, Shape, THROTTLED};
use super::types::Types;
use crate::auth::Auth;
use crate::error::{ByField, Detail, OauthError, ProblemDetails};
use crate::settings::{Endpoint, HttpSettings};
use bytes::Bytes;
use doorwarden_core::context::Context;
use doorwarden_core::field::{Field, FieldKind, Writer};
use doorwarden_core::settings::RegistrationMode;
use doorwarden_core::user::METADATA_MAX_BYTES;
use serde_json::{Map, Value, json};

impl Auth {
    /// The OpenAPI document of the endpoints, as JSON.
    pub fn openapi(&self) -> Bytes {
        self.openapi_cell().get_or_init(|| document(self.context(), self.settings())).clone()
    }
}

fn document(context: &Context, settings: &HttpSettings) -> Bytes {
    let mut types = Types::default();
    let mut paths = Map::new();
    for endpoint in Endpoint::ALL {
        let Some(path) = settings.path(endpoint) else { continue };
        let mut described = Map::new();
        for one in operations(endpoint) {
            described.insert(
                one.method.as_str().to_ascii_lowercase(),
                operation(context, settings, &one, &mut types),
            );
        }
        paths.insert(path.to_owned(), Value::Object(described));
    }
    let responses = common_responses(&mut types);
    adapt(context, settings, &mut types);
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Accounts",
            "summary": "User accounts and JSON Web Tokens.",
            "description": "By Doorwarden. Bodies may also be sent as forms. Errors have the shapes of Django REST framework; \
                with `Accept: application/problem+json` they follow RFC 9457. Every path works with a slash at its end, too.",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": server(context), "description": "This service."}],
        "paths": paths,
        "components": {
            "schemas": types.into_definitions(),
            "responses": responses,
            "headers": headers(),
            "securitySchemes": {
                "bearer": {
                    "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                    "description": "A session token or an access token.",
                },
                "basic": {
                    "type": "http", "scheme": "basic", "description": "The id of a service and its secret.",
                },
            },
        },
    });
    document.to_string().into()
}

/// The base URL of the paths: the issuer, which is the public URL, including behind a proxy that strips a
/// prefix.
fn server(context: &Context) -> &str {
    let issuer = context.settings.access.issuer.trim_end_matches('/');
    match issuer.starts_with("https://") || issuer.starts_with("http://") {
        true => issuer,
        false => "/",
    }
}

/// The required members of the body of an operation.
pub(super) fn required(context: &Context, settings: &HttpSettings, operation: &Operation) -> Vec<String> {
    let schema = body(context, settings, operation);
    let required = schema["required"].as_array();
    required.into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect()
}

/// Whether the body of an operation has required members.
fn needs_members(context: &Context, settings: &HttpSettings, operation: &Operation) -> bool {
    let schema = body(context, settings, operation);
    schema.get("required").is_some() || schema.get("minProperties").is_some()
}

/// The whole schema of the body of an operation.
fn body(context: &Context, settings: &HttpSettings, operation: &Operation) -> Value {
    let mut types = Types::default();
    let schema = (operation.body)(&mut types).unwrap_or_default();
    adapt(context, settings, &mut types);
    types.resolved(&schema).clone()
}

/// The headers that spare a client the wait of a 429.
const AGAINST_WAITING: [(&str, &str); 2] = [
    ("X-Device-Token", "The `device_token` of an earlier login on the same device."),
    ("X-Altcha", "The solution of the `proof_of_work` of a 429, as the libraries of ALTCHA write it."),
];

fn operation(context: &Context, settings: &HttpSettings, operation: &Operation, types: &mut Types) -> Value {
    let mut described = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "security": match operation.permission {
            Permission::Anybody => json!([]),
            Permission::AnybodyOrUser | Permission::RecentUserOrLogin => json!([{}, {"bearer": []}]),
            Permission::User | Permission::RecentUser => json!([{"bearer": []}]),
            Permission::UserWith(permission) => json!([{"bearer": [permission]}]),
            Permission::Service => json!([{"basic": []}, {}]),
        },
        "responses": responses(operation, types),
    });
    let mut parameters: Vec<Value> = operation
        .parameters
        .iter()
        .map(|one| {
            json!({
                "name": one.name, "in": one.place, "required": one.place == "path",
                "description": one.text, "schema": (one.schema)(types),
            })
        })
        .collect();
    if operation.errors.iter().any(|error| error.code == THROTTLED.code) {
        parameters.extend(AGAINST_WAITING.iter().map(|(name, text)| {
            json!({"name": name, "in": "header", "required": false, "description": text, "schema": {"type": "string"}})
        }));
    }
    if !parameters.is_empty() {
        described["parameters"] = parameters.into();
    }
    if let Some(schema) = (operation.body)(types) {
        let kind = match operation.is_form {
            true => "application/x-www-form-urlencoded",
            false => "application/json",
        };
        let is_required = !operation.is_body_optional && needs_members(context, settings, operation);
        described["requestBody"] = json!({"required": is_required, "content": {kind: {"schema": schema}}});
    }
    described
}

/// The responses by status: those of the operation's own type, then its errors.
fn responses(operation: &Operation, types: &mut Types) -> Value {
    let mut all = Map::new();
    for (described, meaning) in (operation.answers)(types).into_iter().zip(operation.meanings) {
        all.insert(described.status.to_string(), answer(described, meaning));
    }
    let errors: Vec<&Problem> = operation.all_errors().collect();
    for status in errors.iter().map(|error| error.status) {
        let name = status.to_string();
        let of_status: Vec<&Problem> =
            errors.iter().copied().filter(|error| error.status == status).collect();
        let described = match COMMON.iter().find(|(common, ..)| *common == status) {
            Some((_, name, errors)) if codes(&errors()) == codes(&of_status) => {
                json!({"$ref": format!("#/components/responses/{name}")})
            }
            _ => failure(&of_status, types),
        };
        // A status that is not an error here, such as 503 of the readiness endpoint, is kept.
        all.entry(name).or_insert(described);
    }
    Value::Object(all)
}

fn codes(errors: &[&Problem]) -> Vec<&'static str> {
    errors.iter().map(|error| error.code).collect()
}

/// A response that many operations share: its status, its name under `components/responses`, the errors.
type CommonResponse = (u16, &'static str, fn() -> Vec<&'static Problem>);

fn of_status(status: u16) -> Vec<&'static Problem> {
    Problem::implied().filter(|error| error.status == status).collect()
}

const COMMON: [CommonResponse; 9] = [
    (401, "Unauthorized", || of_status(401)),
    (405, "MethodNotAllowed", || of_status(405)),
    (408, "RequestTimeout", || of_status(408)),
    (413, "ContentTooLarge", || of_status(413)),
    (414, "UriTooLong", || of_status(414)),
    (415, "UnsupportedMediaType", || of_status(415)),
    (431, "HeaderFieldsTooLarge", || of_status(431)),
    (500, "InternalServerError", || of_status(500)),
    (503, "ServiceUnavailable", || of_status(503)),
];

fn common_responses(types: &mut Types) -> Value {
    let all = COMMON.into_iter().map(|(_, name, errors)| (name.to_owned(), failure(&errors(), types)));
    Value::Object(all.collect())
}

fn headers() -> Value {
    let text = json!({"type": "string"});
    json!({
        "X-Request-Id": {"description": "The id of the request, also in the log.", "schema": text},
        "WWW-Authenticate": {"description": "What is needed, and what was wrong with what was sent (RFC 6750).", "schema": text},
        "Retry-After": {"description": "After how many seconds to try again.", "schema": {"type": "integer"}},
        "RateLimit": {"description": "The limit that refused the request, how much of it is left, and for how many seconds.", "schema": text},
        "RateLimit-Policy": {"description": "What the limit allows, and within how many seconds.", "schema": text},
        "Accept": {"description": "The content types that a body may have.", "schema": text},
        "Allow": {"description": "The methods of the endpoint.", "schema": text},
        "ETag": {"description": "Changes with the answer.", "schema": text},
        "Cache-Control": {"description": "For how long the answer may be kept.", "schema": text},
        "Link": {"description": "The next page, as `<…>; rel=\"next\"`, if there is one.", "schema": text},
    })
}

fn header_references(names: &[&str]) -> Value {
    let all = ["X-Request-Id"].iter().chain(names);
    let one = |name: &&str| ((*name).to_owned(), json!({"$ref": format!("#/components/headers/{name}")}));
    Value::Object(all.map(one).collect())
}

fn answer(described: Described, meaning: &str) -> Value {
    let mut answer = json!({"description": meaning, "headers": header_references(described.headers)});
    if let Some((kind, schema)) = described.content {
        answer["content"] = match schema {
            Some(schema) => json!({kind: {"schema": schema}}),
            None => json!({kind: {}}),
        };
    }
    answer
}

/// The schema of the errors of one status.
fn failure(errors: &[&Problem], types: &mut Types) -> Value {
    let headers: &[&str] = match errors.first().map(|error| error.status) {
        Some(401 | 403) => &["WWW-Authenticate"],
        Some(405) => &["Allow"],
        Some(415) => &["Accept"],
        Some(429) => &["Retry-After", "RateLimit", "RateLimit-Policy"],
        Some(503) => &["Retry-After"],
        _ => &[],
    };
    let has = |shape| errors.iter().any(|error| error.shape == shape);
    let mut schemas = Vec::new();
    if has(Shape::Oauth) {
        schemas.push(types.output::<OauthError<'_>>());
    }
    // The schema of errors by field includes that of a detail.
    if has(Shape::Fields) {
        schemas.push(types.output::<ByField<'_>>());
    } else if has(Shape::Detail) {
        schemas.push(types.output::<Detail<'_>>());
    }
    if has(Shape::Step) && (has(Shape::Fields) || !has(Shape::Detail)) {
        schemas.push(types.output::<Detail<'_>>());
    }
    let schema = match schemas.len() {
        1 => schemas.remove(0),
        _ => json!({"anyOf": schemas}),
    };
    let mut content = json!({"application/json": {"schema": schema}});
    if [Shape::Fields, Shape::Detail, Shape::Step].into_iter().any(has) {
        content["application/problem+json"] = json!({"schema": types.output::<ProblemDetails<'_>>()});
    }
    let lines: Vec<String> =
        errors.iter().map(|error| format!("`{}`: {}", error.code, error.meaning)).collect();
    json!({"description": lines.join("\n\n"), "headers": header_references(headers), "content": content})
}

/// Adds to the schemas what is decided at run time: declared fields, password rules, and whether refresh
/// tokens are cookies.
fn adapt(context: &Context, settings: &HttpSettings, types: &mut Types) {
    let policy = &context.settings.password_policy;
    if let Some(password) = types.named("NewPassword") {
        password.insert("minLength".to_owned(), policy.min_length.into());
        password.insert("maxLength".to_owned(), policy.max_length.into());
    }
    let fields: Vec<&Field> = context.fields.iter().collect();
    let writable = || fields.iter().copied().filter(|field| field.writer == Writer::User);
    for (name, fields, are_required) in [
        ("Registration", writable().collect::<Vec<_>>(), true),
        ("WholeProfile", writable().collect(), true),
        ("Profile", writable().collect(), false),
        ("User", fields.iter().copied().filter(|field| field.returned).collect(), false),
    ] {
        if let Some(schema) = types.named(name) {
            declare(schema, &fields, are_required);
        }
    }
    if !fields.is_empty()
        && let Some(registration) = types.named("Registration")
    {
        let note = format!("The declared fields of an account may take at most {METADATA_MAX_BYTES} bytes.");
        registration.insert("description".to_owned(), note.into());
    }
    // A passkey may take the place of the password of whoever proves the address.
    if context.settings.factors.passkeys.is_some() {
        let modes = [
            ("Registration", context.settings.registration.mode == RegistrationMode::Verified),
            ("Acceptance", true),
        ];
        for (name, _) in modes.into_iter().filter(|(_, may_lack)| *may_lack) {
            let required = types.named(name).and_then(|schema| schema.get_mut("required")?.as_array_mut());
            if let Some(list) = required {
                list.retain(|member| member != "password");
            }
        }
    }
    if settings.refresh_cookie {
        for (name, rule) in [("Refresh", "required"), ("Revocation", "minProperties")] {
            types.named(name).and_then(|schema| schema.remove(rule));
        }
    }
}

/// Adds declared fields to the schema of an object.
fn declare(schema: &mut Map<String, Value>, fields: &[&Field], are_required: bool) {
    for field in fields {
        schema.entry("properties").or_insert_with(|| json!({}))[&field.name] = field_schema(field);
        if are_required && field.required {
            let required = schema.entry("required").or_insert_with(|| json!([]));
            required.as_array_mut().into_iter().for_each(|list| list.push(field.name.as_str().into()));
        }
    }
}

fn field_schema(field: &Field) -> Value {
    let mut schema = match &field.kind {
        FieldKind::Text { max_length } => json!({"type": "string", "maxLength": max_length}),
        FieldKind::Integer { min: i64::MIN, max: i64::MAX } => json!({"type": "integer", "format": "int64"}),
        FieldKind::Integer { min, max } => json!({"type": "integer", "minimum": min, "maximum": max}),
        FieldKind::Boolean => json!({"type": "boolean"}),
        FieldKind::Choice(of) => json!({"type": "string", "enum": of}),
    };
    if !field.required {
        schema = json!({"anyOf": [schema, {"type": "null"}]});
    }
    if let Some(description) = &field.description {
        schema["description"] = description.as_str().into();
    }
    schema
}
