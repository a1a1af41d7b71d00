use super::answer::{NoContent, Page, Rendered};
use super::operation::Call;
use crate::error::ApiError;
use crate::extract::CurrentUser;
use axum::RequestPartsExt;
use axum::extract::Path;
use doorwarden_core::flow::sessions::{end_session, sessions};
use doorwarden_core::session::{EndReason, SessionCursor, SessionId};
use doorwarden_core::view::SessionView;
use http::{HeaderValue, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;

/// A session, as its user sees it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Session")]
pub(super) struct UserSession<'a> {
    /// Whether it is the session of the token.
    current: bool,
    #[serde(flatten)]
    session: SessionView<'a>,
}

pub(super) async fn get(call: Call<CurrentUser>) -> Result<Page<UserSession<'static>>, ApiError> {
    let refused = || ApiError::detail(StatusCode::BAD_REQUEST, "invalid_cursor", "Invalid cursor.");
    let after = call.query::<String>("cursor", refused)?;
    let after: Option<SessionCursor> = after.map(|text| text.parse().map_err(|_| refused())).transpose()?;
    let page = sessions(call.auth.context(), call.caller.authenticated(), after).await?;
    let current = call.caller.session();
    let shown = page
        .sessions
        .iter()
        .map(|session| UserSession { current: Some(session.id) == current, session: session.into() });
    let body = serde_json::to_vec(&shown.collect::<Vec<_>>()).expect("texts, numbers and flags are JSON");
    // Relative to the address that was asked, whatever a proxy has made of it.
    let next =
        page.next.and_then(|next| HeaderValue::try_from(format!("<?cursor={next}>; rel=\"next\"")).ok());
    Ok(Page(Rendered::new(body.into()), next))
}

pub(super) async fn delete(mut call: Call<CurrentUser>) -> Result<NoContent, ApiError> {
    let Ok(Path(id)) = call.parts.extract::<Path<SessionId>>().await else {
        return Err(ApiError::not_found());
    };
    let (context, who, client) = (call.auth.context(), call.caller.authenticated(), call.client());
    match end_session(context, who, id, EndReason::Revoked, client).await? {
        true => Ok(NoContent),
        false => Err(ApiError::not_found()),
    }
}
