use super::answer::{Page, Rendered};
use super::operation::{Auditing, Call, Permitted};
use crate::error::ApiError;
use crate::extract::CurrentUser;
use doorwarden_core::flow::events::events;
use doorwarden_core::store::EventFilter;
use doorwarden_core::user::UserId;
use doorwarden_core::view::{EventView, OwnEventView};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use std::str::FromStr;

fn invalid_cursor() -> ApiError {
    ApiError::detail(StatusCode::BAD_REQUEST, "invalid_cursor", "Invalid cursor.")
}

fn invalid_filter() -> ApiError {
    ApiError::detail(StatusCode::BAD_REQUEST, "invalid_filter", "Invalid filter.")
}

/// A parameter of the query.
fn parsed<T: FromStr, C>(
    call: &Call<C>,
    name: &str,
    refused: fn() -> ApiError,
) -> Result<Option<T>, ApiError> {
    let text = call.query::<String>(name, refused)?;
    text.map(|text| text.parse().map_err(|_| refused())).transpose()
}

fn page<T: Serialize, U>(shown: &[T], query: &str, next: Option<i64>) -> Page<U> {
    let body = serde_json::to_vec(shown).expect("texts and numbers are JSON");
    let link = next.map(|next| format!("<?{query}cursor={next}>; rel=\"next\""));
    Page(Rendered::new(body.into()), link.and_then(|link| HeaderValue::try_from(link).ok()))
}

pub(super) async fn own(call: Call<CurrentUser>) -> Result<Page<OwnEventView<'static>>, ApiError> {
    let before = parsed(&call, "cursor", invalid_cursor)?;
    let user = call.caller.id();
    let filter = EventFilter { user: Some(user), ..EventFilter::default() };
    let found = events(call.auth.context(), &filter, before).await?;
    let shown: Vec<_> = found.events.iter().map(|event| OwnEventView::new(user, event)).collect();
    Ok(page(&shown, "", found.next))
}

/// The conditions as they begin the query of the next page.
fn query_of(filter: &EventFilter) -> String {
    let conditions = [
        ("user", filter.user.map(|user| user.to_string())),
        ("event", filter.kind.clone()),
        ("since", filter.since.map(|since| since.to_string())),
        ("until", filter.until.map(|until| until.to_string())),
    ];
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in conditions {
        query.extend_pairs(value.map(|value| (name, value)));
    }
    let query = query.finish();
    if query.is_empty() { query } else { query + "&" }
}

pub(super) async fn all(call: Call<Permitted<Auditing>>) -> Result<Page<EventView<'static>>, ApiError> {
    let before = parsed(&call, "cursor", invalid_cursor)?;
    let filter = EventFilter {
        user: parsed(&call, "user", invalid_filter)?.map(UserId),
        kind: call.query::<String>("event", invalid_filter)?.filter(|kind| !kind.contains('\0')),
        since: parsed(&call, "since", invalid_filter)?,
        until: parsed(&call, "until", invalid_filter)?,
    };
    let query = query_of(&filter);
    let found = events(call.auth.context(), &filter, before).await?;
    let shown: Vec<_> = found.events.iter().map(EventView::from).collect();
    Ok(page(&shown, &query, found.next))
}
