use super::answer::{Answer, Described, Json};
use super::operation::{Anybody, Call};
use super::types::Types;
use crate::error::ApiError;
use axum::response::Response;
use schemars::JsonSchema;
use serde::Serialize;

/// `ok`, or what is wrong.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Status {
    status: &'static str,
}

const OK: Status = Status { status: "ok" };

pub(super) async fn alive(_: Call<Anybody>) -> Result<Json<Status>, ApiError> {
    Ok(Json(OK))
}

/// Whether requests can be answered.
#[derive(Debug)]
pub(super) struct Ready(bool);

impl Answer for Ready {
    fn describe(types: &mut Types) -> Vec<Described> {
        let mut both = Json::<Status>::describe(types);
        both.extend(Json::<Status, 503>::describe(types));
        both
    }

    fn respond(self) -> Response {
        match self.0 {
            true => Json::<_>(OK).respond(),
            false => Json::<_, 503>(Status { status: "the database does not answer" }).respond(),
        }
    }
}

pub(super) async fn ready(call: Call<Anybody>) -> Result<Ready, ApiError> {
    Ok(Ready(call.auth.readiness().ask(call.auth.context().store.as_ref()).await))
}
