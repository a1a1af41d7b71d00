//! Revocation (RFC 7009) and introspection (RFC 7662) for services, in the formats of those RFCs. The
//! services are the operator's own, so each may introspect and revoke every token that it receives.

use super::answer::Json;
use super::operation::{Call, Service, Unread};
use super::token_verify::Nothing;
use crate::auth::Auth;
use crate::body::{Text, Word, media_type};
use crate::error::ApiError;
use doorwarden_core::error::Input;
use doorwarden_core::flow::authenticate::{Authenticated, TokenClaims};
use doorwarden_core::flow::introspect::{self, Introspected};
use doorwarden_core::flow::revoke_token::{RevokeError, Revoker, revoke_token};
use doorwarden_core::flow::throttle;
use doorwarden_core::limit::Limit;
use doorwarden_core::refresh::idle_until;
use doorwarden_core::session::{ClientInfo, Session};
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A token, and the secret of the service where it is not in the header.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct TokenInForm {
    token: Word,
    /// Not needed.
    #[serde(default, rename = "token_type_hint")]
    _token_type_hint: Text,
    #[serde(default)]
    client_id: Text,
    #[serde(default)]
    client_secret: Text,
}

/// What a token says, if it is active (RFC 7662, section 2.2).
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(super) struct Introspection {
    active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iat: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acr: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amr: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_time: Option<i64>,
}

pub(super) async fn revoke(call: Call<Service, Unread<TokenInForm>>) -> Result<Json<Nothing>, ApiError> {
    let client = call.client();
    let Authorized { auth, service, token } = authorized(call).await?;
    match revoke_token(auth.context(), &token, Revoker::Client(service), client).await {
        // An invalid token does not count already (RFC 7009, section 2.2).
        Ok(()) | Err(RevokeError::Token(_)) => Ok(Json(Nothing {})),
        Err(RevokeError::WithoutSession) => {
            let text = "the token names no session and cannot be revoked by itself";
            Err(ApiError::oauth(StatusCode::BAD_REQUEST, "unsupported_token_type", text))
        }
        Err(RevokeError::Store(error)) => Err(error.into()),
    }
}

pub(super) async fn introspect(
    call: Call<Service, Unread<TokenInForm>>,
) -> Result<Json<Introspection>, ApiError> {
    let client = call.client();
    let Authorized { auth, token, service } = authorized(call).await?;
    let mut known = match introspect::introspect(auth.context(), &token).await? {
        None => {
            let limit = Limit::IntrospectionClient;
            throttle::refused(auth.context(), &client, limit, Some(&service))
                .await
                .map_err(|throttled| *throttled)?;
            return Ok(Json(Introspection::default()));
        }
        Some(Introspected::Bearer(who)) => bearer(&who),
        Some(Introspected::Refresh { session, user }) => {
            let username = user.account.user.username.as_str().to_owned();
            Introspection { username: Some(username), ..refresh(&session) }
        }
    };
    known.iss = Some(auth.context().settings.access.issuer.clone());
    // Tools keep an answer until then, and would not hear of the end of a session.
    let soon = auth.context().now().after(auth.settings().introspection_lifetime).as_seconds();
    known.exp = known.exp.map(|exp| exp.min(soon));
    Ok(Json(known))
}

fn bearer(who: &Authenticated) -> Introspection {
    let (user, claims) = (who.user(), who.claims());
    let known = Introspection {
        active: true,
        token_type: Some("Bearer"),
        sub: Some(user.id.to_string()),
        username: Some(user.username.as_str().to_owned()),
        exp: Some(claims.exp()),
        iat: claims.iat(),
        sid: claims.session().map(|session| session.to_string()),
        ..Introspection::default()
    };
    match claims {
        TokenClaims::Access(claims) => Introspection {
            aud: Some(claims.aud.clone()),
            jti: Some(claims.jti.clone()),
            client_id: Some(claims.client_id.clone()),
            acr: claims.acr.clone(),
            amr: Some(claims.amr.clone()).filter(|amr| !amr.is_empty()),
            auth_time: claims.auth_time,
            ..known
        },
        _ => known,
    }
}

fn refresh(session: &Session) -> Introspection {
    let ends = idle_until(session).map_or(session.expires_at, |idle| session.expires_at.min(idle));
    Introspection {
        active: true,
        sub: Some(session.user.to_string()),
        client_id: session.client_id.clone(),
        sid: Some(session.id.to_string()),
        exp: Some(ends.as_seconds()),
        auth_time: session.auth.map(|auth| auth.auth_time.as_seconds()),
        ..Introspection::default()
    }
}

/// A known service, and the token that it sends.
struct Authorized {
    auth: Auth,
    /// Its id.
    service: String,
    token: String,
}

/// The parameter `token` of a request by a known service.
///
/// A service authenticates with HTTP Basic or, without that header, with `client_id` and `client_secret` in
/// the form (RFC 6749, section 2.3.1).
async fn authorized(call: Call<Service, Unread<TokenInForm>>) -> Result<Authorized, ApiError> {
    let headers = &call.parts.headers;
    let clients = &call.auth.settings().oauth_clients;
    let has_header = headers.contains_key(AUTHORIZATION);
    let is_form = media_type(headers).eq_ignore_ascii_case("application/x-www-form-urlencoded");
    let known = if has_header { clients.authenticate(headers) } else { None };
    if known.is_none() && (has_header || !is_form) {
        return Err(refused(&call.auth, &call.client()).await);
    }
    let invalid = |text| ApiError::oauth(StatusCode::BAD_REQUEST, "invalid_request", text);
    if !is_form {
        return Err(invalid("the parameters must be sent as application/x-www-form-urlencoded"));
    }
    let client = call.client();
    let form = call.body.read(&call.parts).await?.fields;
    let service = match (known, form.client_id.0, form.client_secret.0) {
        (Some(id), ..) => id,
        (None, Input::Given(id), Input::Given(secret)) if clients.knows(&id, &secret) => id,
        _ => return Err(refused(&call.auth, &client).await),
    };
    match form.token.0 {
        Input::Given(token) if !token.is_empty() => Ok(Authorized { auth: call.auth, service, token }),
        _ => Err(invalid("the parameter token is missing")),
    }
}

/// The answer to a service that is not known. It counts.
async fn refused(auth: &Auth, client: &ClientInfo) -> ApiError {
    match throttle::refused(auth.context(), client, Limit::IntrospectionAddress, None).await {
        Ok(()) => invalid_client(),
        Err(throttled) => (*throttled).into(),
    }
}

fn invalid_client() -> ApiError {
    let text = "HTTP Basic, or client_id and client_secret in the form, with a known id and its secret";
    let challenge = HeaderValue::from_static("Basic realm=\"oauth\", charset=\"UTF-8\"");
    ApiError::oauth(StatusCode::UNAUTHORIZED, "invalid_client", text).header(WWW_AUTHENTICATE, challenge)
}
