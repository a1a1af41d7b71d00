use super::{Operation, Resource, document};
use crate::settings::Endpoint;
use doorwarden_core::feed::etag;
use http::Method;

pub(super) fn resource() -> Resource {
    let operation = Operation {
        method: Method::GET,
        id: "read_keys",
        summary: "The public keys that access tokens and revocation statements are verified with (RFC 7517).",
        authenticated: false,
        body: None,
        answers: &[(200, "The key set.", Some("KeySet")), (304, "It has not changed.", None)],
        handler: |auth, request| {
            Box::pin(async move {
                let context = auth.context();
                let keys = context.keys.jwks(context.now());
                let (etag, max_age) = (etag(&keys), context.settings.keys.cache);
                Ok(document(request.headers(), "application/jwk-set+json", max_age, &etag, keys))
            })
        },
    };
    Resource { endpoint: Endpoint::Jwks, operations: vec![operation] }
}
