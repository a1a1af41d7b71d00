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
            .map(|o| (o.method.as_str().to_ascii_lowercase(), operation(auth, o)))
            .collect();
        if path.contains("{id}") {
            let id = json!({
                "name": "id", "in": "path", "required": true, "description": "The id of a session.",
                "schema": {"type": "string", "format": "uuid"},
            });
            operations.insert("parameters".to_owned(), json!([id]));
        }
        paths.insert(path.to_owned(), Value::Object(operations));
    }
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
        "servers": [{"url": server(auth), "description": "This service."}],
        "paths": paths,
        "components": {
            "schemas": schemas(auth),
            "responses": common_answers(),
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

/// Where the paths begin: the issuer, which is the public address, also behind a proxy that takes a prefix away.
fn server(auth: &Auth) -> &str {
    let issuer = auth.context().settings.access.issuer.trim_end_matches('/');
    match issuer.starts_with("https://") || issuer.starts_with("http://") {
        true => issuer,
        false => "/",
    }
}

/// The members that the body of an operation must have.
pub(crate) fn required(auth: &Auth, resource: &Resource, operation: Option<usize>) -> Vec<String> {
    let body = operation.and_then(|operation| resource.operations[operation].body);
    let schemas = schemas(auth);
    let required = body.and_then(|name| schemas[name]["required"].as_array());
    required.into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect()
}

/// Answers that any operation may give, by status: the name under `components/responses`, what it means, a header of its own.
const COMMON: [(u16, &str, &str, Option<&str>); 9] = [
    (401, "Unauthorized", "No token was sent, or it is refused.", Some("WWW-Authenticate")),
    (408, "RequestTimeout", "The body took more than 30 s.", None),
    (413, "ContentTooLarge", "The body is larger than 64 KiB.", None),
    (414, "UriTooLong", "The address is longer than 8 KiB.", None),
    (
        415,
        "UnsupportedMediaType",
        "The body is neither JSON nor a form, or it is compressed.",
        Some("Accept"),
    ),
    (
        431,
        "HeaderFieldsTooLarge",
        "There are more than 100 header fields, or more than 16 KiB of them.",
        None,
    ),
    (405, "MethodNotAllowed", "Another method than those of the endpoint.", Some("Allow")),
    (500, "InternalServerError", "A fault of the service; its log has it under the request id.", None),
    (503, "ServiceUnavailable", "Too busy, or the database is not available.", Some("Retry-After")),
];

/// The statuses of [`COMMON`] that only an operation with a body answers.
const WITH_BODY: [u16; 3] = [408, 413, 415];

fn common_answers() -> Value {
    let one = |(status, name, description, header): (u16, &str, &str, Option<&str>)| {
        (name.to_owned(), answer(status, description, Some("Detail"), header))
    };
    Value::Object(COMMON.into_iter().map(one).collect())
}

fn headers() -> Value {
    let text = json!({"type": "string"});
    json!({
        "X-Request-Id": {"description": "The id of the request, also in the log.", "schema": text},
        "WWW-Authenticate": {"description": "What is needed, and what was wrong with what was sent (RFC 6750).", "schema": text},
        "Retry-After": {"description": "After how many seconds to try again.", "schema": {"type": "integer"}},
        "Accept": {"description": "The content types that a body may have.", "schema": text},
        "Allow": {"description": "The methods of the endpoint.", "schema": text},
        "ETag": {"description": "Changes with the answer.", "schema": text},
        "Cache-Control": {"description": "For how long the answer may be kept.", "schema": text},
    })
}

fn operation(auth: &Auth, operation: &Operation) -> Value {
    let mut answers = Map::new();
    for (status, name, ..) in COMMON {
        let is_possible = match status {
            401 => operation.authenticated,
            status if WITH_BODY.contains(&status) => operation.body.is_some(),
            _ => true,
        };
        if is_possible {
            answers.insert(status.to_string(), json!({"$ref": format!("#/components/responses/{name}")}));
        }
    }
    if operation.authenticated {
        let text = "More than one token was sent.";
        answers.insert("400".to_owned(), answer(400, text, Some("Detail"), None));
    }
    for (status, description, schema) in operation.answers {
        let common = COMMON.iter().find(|(common, ..)| common == status).and_then(|(.., header)| *header);
        answers.insert(status.to_string(), answer(*status, description, *schema, common));
    }
    let mut described = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "security": if operation.authenticated { json!([{"bearer": []}]) } else { json!([]) },
    });
    if let Some(body) = operation.body {
        let (kind, security) = match body {
            "TokenInForm" => ("application/x-www-form-urlencoded", Some(json!([{"basic": []}, {}]))),
            _ => ("application/json", None),
        };
        let content = json!({kind: {"schema": reference(body)}});
        described["requestBody"] = json!({"required": is_body_required(auth, operation), "content": content});
        if let Some(security) = security {
            described["security"] = security;
        }
    }
    if operation.id == "create_token" {
        described["security"] = json!([{}, {"bearer": []}]);
    }
    if operation.id == "list_sessions" {
        described["parameters"] = json!([{"name": "cursor", "in": "query", "schema": {"type": "string"}}]);
        let schema = json!({"type": "string"});
        let link = json!({"description": "The next page, as `<…>; rel=\"next\"`, if there is one.", "schema": schema});
        answers["200"]["headers"] = json!({"Link": link});
    }
    if operation.id == "delete_login" {
        described["parameters"] = json!([{
            "name": "scope", "in": "query", "description": "Which sessions end.",
            "schema": {"type": "string", "enum": ["this", "others", "all"], "default": "this"},
        }]);
    }
    described["responses"] = Value::Object(answers);
    described
}

/// A session token is exchanged without a body, the refresh cookie takes the place of one, and a profile may be left as it is.
fn is_body_required(auth: &Auth, operation: &Operation) -> bool {
    match operation.body {
        Some("Refresh" | "Revocation") => !auth.settings().refresh_cookie,
        _ => !["create_token", "update_me"].contains(&operation.id),
    }
}

fn answer(status: u16, description: &str, schema: Option<&str>, header: Option<&str>) -> Value {
    let names = ["X-Request-Id"].into_iter().chain(header);
    let cached = (status == 304 || matches!(schema, Some("KeySet" | "Statement" | "OpenApi" | "Metadata")))
        .then_some(["ETag", "Cache-Control"]);
    let names = names.chain(cached.into_iter().flatten());
    let headers: Map<String, Value> = names
        .map(|name| (name.to_owned(), json!({"$ref": format!("#/components/headers/{name}")})))
        .collect();
    let mut described = json!({"description": description, "headers": headers});
    let Some(name) = schema else { return described };
    let (kind, is_text) = match name {
        "Html" => ("text/html", true),
        "Statement" => ("application/jwt", true),
        "Events" => ("text/event-stream", true),
        "KeySet" => ("application/jwk-set+json", false),
        _ => ("application/json", false),
    };
    described["content"] = match name {
        // Neither JSON nor text: no schema could say more than the media type does.
        "Statement" => json!({kind: {}}),
        _ if is_text => json!({kind: {"schema": {"type": "string"}}}),
        "OpenApi" => json!({kind: {"schema": {"type": "object"}}}),
        name => json!({kind: {"schema": reference(name)}}),
    };
    if ["Detail", "FieldErrors"].contains(&name) {
        described["content"]["application/problem+json"] = json!({"schema": reference("Problem")});
    }
    described
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn schemas(auth: &Auth) -> Value {
    let context = auth.context();
    let policy = &context.settings.password_policy;
    let email = json!({"type": "string", "format": "email", "maxLength": 254});
    let username = json!({
        "type": ["string", "number"], "minLength": 1, "maxLength": 255,
        "description": "A number counts as the text it is written as.",
    });
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
            ("auth_time", &optional_time),
            ("amr", &texts),
            ("assurance_level", &json!({"type": "integer"})),
            ("client_id", &json!({"type": ["string", "null"]})),
            ("refresh_repeated_late_at", &optional_time),
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
    let complaint = object(&[("code", &text), ("detail", &text)], &["code", "detail"]);
    let given = json!({"type": "string", "minLength": 1});
    let login = [("email", &email), ("password", &typed)];
    let resource = json!({"anyOf": [given, {"type": "array", "items": given}]});
    let token_login = object(&[login[0], login[1], ("resource", &resource)], &["email", "password"]);
    let mut revocation = object(&[("refresh", &given), ("token", &given)], &[]);
    revocation["additionalProperties"] = false.into();
    if !auth.settings().refresh_cookie {
        revocation["minProperties"] = 1.into();
    }
    json!({
        "Registration": registration,
        "Login": object(&login, &["email", "password"]),
        "TokenLogin": token_login,
        "TokenPair": pair,
        "Refresh": object(&[("refresh", &given)], if auth.settings().refresh_cookie { &[] } else { &["refresh"] }),
        "TokenInBody": object(&[("token", &given)], &["token"]),
        "TokenInForm": object(
            &[("token", &given), ("token_type_hint", &text), ("client_id", &text), ("client_secret", &text)],
            &["token"],
        ),
        "Revocation": revocation,
        "Nothing": {"type": "object"},
        "KeySet": object(&[("keys", &json!({"type": "array", "items": {"type": "object"}}))], &["keys"]),
        "Metadata": object(
            &[
                ("issuer", &text),
                ("jwks_uri", &text),
                ("token_endpoint", &text),
                ("token_endpoint_auth_methods_supported", &texts),
                ("introspection_endpoint", &text),
                ("introspection_endpoint_auth_methods_supported", &texts),
                ("revocation_endpoint", &text),
                ("revocation_endpoint_auth_methods_supported", &texts),
                ("response_types_supported", &texts),
                ("grant_types_supported", &texts),
                ("subject_types_supported", &texts),
                ("id_token_signing_alg_values_supported", &texts),
            ],
            &["issuer", "response_types_supported", "grant_types_supported"],
        ),
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
        "Problem": object(
            &[
                ("type", &text),
                ("title", &text),
                ("status", &json!({"type": "integer"})),
                ("code", &text),
                ("detail", &text),
                ("hint", &text),
                ("errors", &json!({"type": "object", "additionalProperties": {"type": "array", "items": complaint}})),
            ],
            &["type", "title", "status", "code", "detail"],
        ),
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
