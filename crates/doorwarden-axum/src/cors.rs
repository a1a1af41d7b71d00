//! Cross-origin requests from browsers.

use crate::settings::CorsSettings;
use http::Method;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use std::time::Duration;
use tower_http::cors::{AllowOrigin, CorsLayer};

/// Exact origins only. Tokens travel in a header, so no credentials of the browser are allowed.
pub(crate) fn layer(settings: &CorsSettings) -> CorsLayer {
    let origins = match settings.origins.iter().any(|origin| origin == "*") {
        true => AllowOrigin::any(),
        false => AllowOrigin::list(settings.origins.clone()),
    };
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::POST, Method::PATCH, Method::DELETE])
        .allow_headers([AUTHORIZATION, CONTENT_TYPE])
        .max_age(Duration::from_mins(10))
}
