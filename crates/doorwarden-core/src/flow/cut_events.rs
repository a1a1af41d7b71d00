//! The deletion of events because of their age: of whole seals, the oldest first, so that the others can
//! still be verified.

use crate::audit::Actor;
use crate::audit::seal::{Mark, MarkKind};
use crate::context::Context;
use crate::event::Event;
use crate::store::StoreError;
use crate::time::Timestamp;

/// How many seals are deleted at once at most.
const BATCH: u32 = 8;

/// Deletes a batch of the events that were sealed before this instant; whether there may be more. None are
/// deleted unless the cut and the seals are genuine.
///
/// # Errors
/// [`StoreError`] if the database operation failed.
pub(crate) async fn cut_events(context: &Context, before: Timestamp) -> Result<bool, StoreError> {
    let state = context.store.audit_state().await?;
    let keys = context.store.audit_keys().await?;
    let key = |id: &str| keys.iter().find(|key| key.id == *id).and_then(|stored| context.audit.open(stored));
    let Some(key) = key(&state.cut.key_id).filter(|key| key.has_set(MarkKind::Cut, &state.cut)) else {
        return Ok(false);
    };
    let (mut cut, mut ids) = (state.cut.clone(), Vec::new());
    let seals = context.store.seals(cut.number, BATCH).await?;
    let due = seals.iter().take_while(|seal| seal.at < before && seal.number <= state.head.number);
    for seal in due {
        let is_next = seal.number == cut.number.saturating_add(1) && seal.previous == cut.hash;
        if !is_next || seal.computed_hash()[..] != seal.hash {
            tracing::error!(seal = seal.number, "old events are not deleted: their seal is not genuine");
            break;
        }
        ids.extend(seal.records().map(|(id, _)| id));
        cut = Mark::after(&cut, seal, MarkKind::Cut, context.now(), &key);
    }
    if cut.number == state.cut.number {
        return Ok(false);
    }
    let is_full = cut.number.saturating_sub(state.cut.number) >= i64::from(BATCH);
    let count = ids.len() as u64;
    let effects = context.effects(&Actor::System.into(), [Event::EventsDeleted { count }]);
    if context.store.cut_events(state.cut.number, cut, &ids, effects.clone()).await? {
        context.notify(&effects).await;
    }
    Ok(is_full)
}
