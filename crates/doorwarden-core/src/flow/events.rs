//! The audit log, read by users and by staff.

use crate::audit::AuditRecord;
use crate::context::Context;
use crate::store::{EventFilter, StoreError};

/// The permission to read the events of everybody: Django's, of whoever may view users.
pub const PERMISSION: &str = "users.view_user";

/// Maximum number of events of a page.
pub const PAGE: u32 = 100;

/// A part of the list of events.
#[derive(Debug, Clone, PartialEq)]
pub struct EventPage {
    /// Events, newest first; at most [`PAGE`].
    pub events: Vec<AuditRecord>,
    /// Before which event the next page begins, if there is one.
    pub next: Option<i64>,
}

/// The events that match, newest first, those before this one.
///
/// # Errors
/// The database operation failed.
pub async fn events(
    context: &Context,
    filter: &EventFilter,
    before: Option<i64>,
) -> Result<EventPage, StoreError> {
    let mut events = context.store.find_events(filter, before, PAGE + 1).await?;
    let has_next = events.len() > PAGE as usize;
    events.truncate(PAGE as usize);
    let next = events.last().filter(|_| has_next).map(|last| last.id);
    Ok(EventPage { events, next })
}
