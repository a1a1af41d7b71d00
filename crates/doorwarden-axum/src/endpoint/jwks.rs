use super::answer::{Document, Media};
use super::operation::{Anybody, Call};
use super::types::Types;
use crate::error::ApiError;
use doorwarden_core::etag::etag;
use schemars::JsonSchema;
use serde_json::{Map, Value};

/// A set of public keys (RFC 7517).
#[derive(Debug, JsonSchema)]
pub(super) struct KeySet {
    #[expect(dead_code, reason = "only the schema is needed: the core renders key sets")]
    keys: Vec<Map<String, Value>>,
}

impl Media for KeySet {
    const CONTENT_TYPE: &'static str = "application/jwk-set+json";

    fn schema(types: &mut Types) -> Option<Value> {
        Some(types.output::<Self>())
    }
}

pub(super) async fn get(call: Call<Anybody>) -> Result<Document<KeySet>, ApiError> {
    let context = call.auth.context();
    let keys = context.keys.jwks(context.now());
    Ok(Document::new(&call.parts.headers, context.settings.keys.cache, &etag(&keys), keys))
}
