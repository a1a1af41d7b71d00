//! Doorwarden for axum: router, extractors, layers, error shapes, OpenAPI.
