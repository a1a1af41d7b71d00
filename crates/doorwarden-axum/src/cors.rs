//! Cross-origin requests from browsers.

use crate::settings::CorsSettings;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderName, Method};
use std::time::Duration;
use tower_http::cors::{AllowOrigin, CorsLayer};

pub(crate) const X_REQUESTED_WITH: HeaderName = HeaderName::from_static("x-requested-with");

/// Exact origins only. Tokens travel in a header, so no credentials of the browser are allowed, unless the refresh cookie is in
/// use.
pub(crate) fn layer(settings: &CorsSettings, refresh_cookie: bool) -> CorsLayer {
    let is_any = settings.origins.iter().any(|origin| origin == "*");
    let origins = match is_any {
        true => AllowOrigin::any(),
        false => AllowOrigin::list(settings.origins.clone()),
    };
    CorsLayer::new()
        .allow_origin(origins)
        .allow_credentials(refresh_cookie && !is_any)
        .allow_methods([Method::GET, Method::POST, Method::PATCH, Method::DELETE])
        .allow_headers([AUTHORIZATION, CONTENT_TYPE, X_REQUESTED_WITH])
        .max_age(Duration::from_mins(10))
}
