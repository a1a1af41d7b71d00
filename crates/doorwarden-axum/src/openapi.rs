//! The OpenAPI 3.1 document, made from the same table as the router, so that it knows what was moved or left out and
//! which fields the application declared.

use crate::auth::Auth;
use crate::endpoint::{Operation, Resource, resources};
use bytes::Bytes;
use doorwarden_core::field::{Field, FieldKind, Writer};
use doorwarden_core::user::METADATA_MAX_BYTES;
use serde_json::{Map, Value, json};

pub(crate) fn document(auth: &Auth) -> Bytes {
    let mut paths = Map::new();
    for resource in resources() {
        let Some(path) = auth.settings().path(resource.endpoint) else { continue };
        let mut operations: Map<String, Value> = resource
            .operations
            .iter()
            .map(|o| (o.method.as_str().to_ascii_lowercase(), operation(o)))
            .collect();
        if path.contains("{id}") {
            let id = json!({"name": "id", "in": "path", "required": true, "schema": {"type": "string", "format": "uuid"}});
            operations.insert("parameters".to_owned(), json!([id]));
        }
        paths.insert(path.to_owned(), Value::Object(operations));
    }
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Accounts",
            "description": "User accounts and JSON Web Tokens, by Doorwarden. Errors have these shapes by default; with `Accept: application/problem+json` they follow RFC 9457.",
            "version": env!("CARGO_PKG_VERSION"),
        },
        "paths": paths,
        "components": {
            "schemas": schemas(auth),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "basic": {"type": "http", "scheme": "basic"},
            },
        },
    });
    document.to_string().into()
}

/// The members that the body of an operation must have.
pub(crate) fn required(auth: &Auth, resource: &Resource, operation: Option<usize>) -> Vec<String> {
    let body = operation.and_then(|operation| resource.operations[operation].body);
    let schemas = schemas(auth);
    let required = body.and_then(|name| schemas[name]["required"].as_array());
    required.into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect()
}

fn operation(operation: &Operation) -> Value {
    let mut answers = Map::new();
    for (status, description, schema) in operation.answers {
        answers.insert(status.to_string(), answer(description, *schema));
    }
    let mut described = json!({"operationId": operation.id, "summary": operation.summary});
    if operation.authenticated {
        answers.insert("401".to_owned(), answer("No token was sent, or it is refused.", Some("Detail")));
        described["security"] = json!([{"bearer": []}]);
    }
    if let Some(body) = operation.body {
        answers.insert("413".to_owned(), answer("The body is larger than 64 KiB.", Some("Detail")));
        answers.insert("415".to_owned(), answer("The body is neither JSON nor a form.", Some("Detail")));
        let schema = json!({"schema": reference(body)});
        let content = match body {
            "TokenInForm" => json!({"application/x-www-form-urlencoded": schema}),
            _ => json!({
                "application/json": schema,
                "application/x-www-form-urlencoded": schema,
                "multipart/form-data": schema,
            }),
        };
        described["requestBody"] = json!({"required": true, "content": content});
        if body == "TokenInForm" {
            described["security"] = json!([{"basic": []}]);
        }
    }
    if operation.id == "create_token" {
        described["requestBody"]["required"] = false.into();
        described["security"] = json!([{}, {"bearer": []}]);
    }
    if operation.id == "delete_login" {
        let schema = json!({"type": "string", "enum": ["this", "others", "all"], "default": "this"});
        described["parameters"] = json!([{"name": "scope", "in": "query", "schema": schema}]);
    }
    described["responses"] = Value::Object(answers);
    described
}

fn answer(description: &str, schema: Option<&str>) -> Value {
    match schema {
        Some(name) => {
            let (kind, is_text) = match name {
                "Html" => ("text/html", true),
                "Statement" => ("application/jwt", true),
                "Events" => ("text/event-stream", true),
                "KeySet" => ("application/jwk-set+json", false),
                _ => ("application/json", false),
            };
            let schema = if is_text { json!({"type": "string"}) } else { reference(name) };
            json!({"description": description, "content": {kind: {"schema": schema}}})
        }
        None => json!({"description": description}),
    }
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn schemas(auth: &Auth) -> Value {
    let context = auth.context();
    let policy = &context.settings.password_policy;
    let email = json!({"type": "string", "format": "email", "maxLength": 254});
    let username = json!({"type": "string", "minLength": 1, "maxLength": 255});
    let typed = json!({"type": "string", "format": "password", "minLength": 1});
    let new_password = json!({
        "type": "string", "format": "password", "minLength": policy.min_length, "maxLength": policy.max_length,
    });
    let time = json!({"type": "string", "format": "date-time"});
    let texts = json!({"type": "array", "items": {"type": "string"}});

    let mut registration = object(
        &[("email", &email), ("username", &username), ("password", &new_password)],
        &["email", "username", "password"],
    );
    let mut profile = object(&[("username", &username)], &[]);
    let optional_time = json!({"type": ["string", "null"], "format": "date-time"});
    let flag = json!({"type": "boolean"});
    let id = json!({"type": "integer", "format": "int64"});
    let mut user = object(
        &[
            ("id", &id),
            ("username", &json!({"type": "string"})),
            ("email", &json!({"type": "string"})),
            ("is_active", &flag),
            ("is_staff", &flag),
            ("is_superuser", &flag),
            ("date_joined", &time),
            ("last_login", &optional_time),
            ("groups", &texts),
            ("permissions", &texts),
        ],
        &[
            "id",
            "username",
            "email",
            "is_active",
            "is_staff",
            "is_superuser",
            "date_joined",
            "last_login",
            "groups",
            "permissions",
        ],
    );
    for field in context.fields.iter() {
        let schema = field_schema(field);
        if field.writer == Writer::User {
            registration["properties"][&field.name] = schema.clone();
            profile["properties"][&field.name] = schema.clone();
            if field.required
                && let Some(required) = registration["required"].as_array_mut()
            {
                required.push(field.name.clone().into());
            }
        }
        if field.returned {
            user["properties"][&field.name] = schema;
        }
    }
    if context.fields.iter().next().is_some() {
        let note = format!("The declared fields of an account may take at most {METADATA_MAX_BYTES} bytes.");
        registration["description"] = note.into();
    }

    let mut whole_profile = profile.clone();
    whole_profile["required"] = required_of_profile(&registration);

    let session = object(
        &[
            ("id", &json!({"type": "string", "format": "uuid"})),
            ("current", &flag),
            ("device", &json!({"type": ["string", "null"]})),
            ("address", &json!({"type": ["string", "null"]})),
            ("user_agent", &json!({"type": ["string", "null"]})),
            ("created_at", &time),
            ("last_seen_at", &time),
            ("expires_at", &time),
            ("auth_time", &time),
            ("amr", &texts),
            ("assurance_level", &json!({"type": "integer"})),
            ("client_id", &json!({"type": ["string", "null"]})),
        ],
        &["id", "current", "created_at", "expires_at"],
    );
    let text = json!({"type": "string"});
    let seconds = json!({"type": "integer", "format": "int64"});
    let pair = object(
        &[
            ("access", &text),
            ("refresh", &text),
            ("token_type", &json!({"const": "Bearer"})),
            ("expires_in", &seconds),
            ("refresh_expires_in", &seconds),
        ],
        &["access", "token_type", "expires_in", "refresh_expires_in"],
    );
    json!({
        "Registration": registration,
        "Login": object(&[("email", &json!({"type": "string"})), ("password", &typed)], &["email", "password"]),
        "TokenPair": pair,
        "Refresh": object(&[("refresh", &text)], &[]),
        "TokenInBody": object(&[("token", &text)], &["token"]),
        "TokenInForm": object(&[("token", &text), ("token_type_hint", &text)], &["token"]),
        "Revocation": object(&[("refresh", &text), ("token", &text)], &[]),
        "Nothing": object(&[], &[]),
        "KeySet": object(&[("keys", &json!({"type": "array", "items": {"type": "object"}}))], &["keys"]),
        "Introspection": object(
            &[
                ("active", &flag),
                ("sub", &text),
                ("username", &text),
                ("client_id", &text),
                ("token_type", &text),
                ("iss", &text),
                ("aud", &texts),
                ("exp", &seconds),
                ("iat", &seconds),
                ("jti", &text),
                ("sid", &json!({"type": "string", "format": "uuid"})),
                ("acr", &text),
                ("amr", &texts),
                ("auth_time", &seconds),
            ],
            &["active"],
        ),
        "OauthError": object(&[("error", &text), ("error_description", &text)], &["error"]),
        "Token": object(&[("token", &json!({"type": "string"}))], &["token"]),
        "User": user,
        "Profile": profile,
        "WholeProfile": whole_profile,
        "Confirmation": object(&[("password", &typed)], &["password"]),
        "PasswordChange": object(
            &[("current_password", &typed), ("new_password", &new_password)],
            &["current_password", "new_password"],
        ),
        "Sessions": {"type": "array", "items": session},
        "FieldErrors": {
            "type": "object",
            "description": "Complaints by field; `non_field_errors` for those of no single field, `detail` for the request as a whole.",
            "additionalProperties": {"anyOf": [texts, {"type": "string"}]},
        },
        "Detail": object(&[("detail", &json!({"type": "string"})), ("code", &json!({"type": "string"}))], &["detail"]),
        "Status": object(&[("status", &json!({"type": "string"}))], &["status"]),
    })
}

/// What a registration must give and a profile has.
fn required_of_profile(registration: &Value) -> Value {
    let required = registration["required"].as_array().into_iter().flatten();
    required.filter(|name| *name != "email" && *name != "password").cloned().collect()
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

fn object(properties: &[(&str, &Value)], required: &[&str]) -> Value {
    let properties: Map<String, Value> =
        properties.iter().map(|(name, schema)| ((*name).to_owned(), (*schema).clone())).collect();
    json!({"type": "object", "properties": properties, "required": required})
}
