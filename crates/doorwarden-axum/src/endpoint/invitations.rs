use super::answer::{Created, Json, NoContent, Page, Rendered};
use super::operation::{Call, Data, Inviting, Permitted};
use crate::body::{Email, Word};
use crate::error::ApiError;
use axum::RequestPartsExt;
use axum::extract::Path;
use doorwarden_core::audit::{Actor, Origin};
use doorwarden_core::challenge::ChallengeId;
use doorwarden_core::flow::invite::{self, invitations, invite, revoke_invitation};
use doorwarden_core::time::Timestamp;
use http::{HeaderValue, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The number of invitations of a page.
const PAGE: u8 = 100;

/// An invitation that can be accepted.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Invitation {
    id: ChallengeId,
    /// The address that may register.
    email: String,
    /// When it was mailed.
    sent_at: Timestamp,
    /// Until when it can be accepted.
    expires_at: Timestamp,
}

impl From<invite::Invitation> for Invitation {
    fn from(invitation: invite::Invitation) -> Self {
        let invite::Invitation { id, email, sent_at, expires_at, .. } = invitation;
        Self { id, email: email.as_str().to_owned(), sent_at, expires_at }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct NewInvitation {
    email: Email,
    /// The id of another invitation that ends with it, because it went to a wrong address.
    #[serde(default)]
    replaces: Word,
}

fn origin<B>(call: &Call<Permitted<Inviting>, B>) -> Origin {
    Origin::new(Actor::User(call.caller.user.id()), call.client())
}

pub(super) async fn get(call: Call<Permitted<Inviting>>) -> Result<Page<Invitation>, ApiError> {
    let refused = || ApiError::detail(StatusCode::BAD_REQUEST, "invalid_cursor", "Invalid cursor.");
    let after = call.query::<ChallengeId>("cursor", refused)?;
    let mut open = invitations(call.auth.context(), after, u32::from(PAGE) + 1).await?;
    let has_next = open.len() > usize::from(PAGE);
    open.truncate(usize::from(PAGE));
    let next = open.last().filter(|_| has_next);
    let next =
        next.and_then(|last| HeaderValue::try_from(format!("<?cursor={}>; rel=\"next\"", last.id.0)).ok());
    let shown: Vec<Invitation> = open.into_iter().map(Invitation::from).collect();
    let body = serde_json::to_vec(&shown).expect("texts are JSON");
    Ok(Page(Rendered::new(body.into()), next))
}

pub(super) async fn post(
    call: Call<Permitted<Inviting>, Data<NewInvitation>>,
) -> Result<Created<Invitation>, ApiError> {
    let (origin, locale) = (origin(&call), call.locale());
    let NewInvitation { email, replaces } = call.body.fields;
    let invitation = invite(call.auth.context(), email.0, replaces.0, locale, &origin).await?;
    Ok(Json(invitation.into()))
}

pub(super) async fn delete(mut call: Call<Permitted<Inviting>>) -> Result<NoContent, ApiError> {
    let Ok(Path(id)) = call.parts.extract::<Path<ChallengeId>>().await else {
        return Err(ApiError::not_found());
    };
    match revoke_invitation(call.auth.context(), id, &origin(&call)).await? {
        true => Ok(NoContent),
        false => Err(ApiError::not_found()),
    }
}
