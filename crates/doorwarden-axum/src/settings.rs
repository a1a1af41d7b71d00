//! What an application may decide about the HTTP interface.

use http::HeaderValue;
use ipnet::IpNet;
use std::collections::HashMap;

/// The endpoints that [`Auth::router`](crate::Auth::router) offers. Each can be left out or moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Endpoint {
    /// `POST /registration`
    Registration,
    /// `POST /login`
    Login,
    /// `GET`, `PATCH` and `DELETE /me`
    Me,
    /// `POST /logout`
    Logout,
    /// `POST /password/change`
    PasswordChange,
    /// `GET /sessions`
    Sessions,
    /// `DELETE /sessions/{id}`
    Session,
    /// `GET /openapi.json`
    OpenApi,
    /// `GET /docs`
    Docs,
    /// `GET /healthz`
    Health,
    /// `GET /readyz`
    Ready,
}

impl Endpoint {
    /// Every endpoint.
    pub const ALL: [Self; 11] = [
        Self::Registration,
        Self::Login,
        Self::Me,
        Self::Logout,
        Self::PasswordChange,
        Self::Sessions,
        Self::Session,
        Self::OpenApi,
        Self::Docs,
        Self::Health,
        Self::Ready,
    ];

    /// Where it lies unless it is moved.
    pub const fn default_path(self) -> &'static str {
        match self {
            Self::Registration => "/registration",
            Self::Login => "/login",
            Self::Me => "/me",
            Self::Logout => "/logout",
            Self::PasswordChange => "/password/change",
            Self::Sessions => "/sessions",
            Self::Session => "/sessions/{id}",
            Self::OpenApi => "/openapi.json",
            Self::Docs => "/docs",
            Self::Health => "/healthz",
            Self::Ready => "/readyz",
        }
    }
}

/// Every decision, with its default.
#[derive(Debug, Clone, Default)]
pub struct HttpSettings {
    /// Endpoints that were moved (`Some`) or left out (`None`).
    pub endpoints: HashMap<Endpoint, Option<String>>,
    /// Which other origins may call from a browser. By default none.
    pub cors: Option<CorsSettings>,
    /// Proxies whose `X-Forwarded-For` is believed. By default none.
    pub trusted_proxies: Vec<IpNet>,
}

/// Cross-origin requests from browsers.
#[derive(Debug, Clone, Default)]
pub struct CorsSettings {
    /// The origins that may call, exactly as a browser sends them (`https://app.example.com`). `*` lets every origin call,
    /// without cookies.
    pub origins: Vec<HeaderValue>,
}

impl HttpSettings {
    /// Where an endpoint lies; `None` if it is left out.
    pub fn path(&self, endpoint: Endpoint) -> Option<&str> {
        match self.endpoints.get(&endpoint) {
            Some(choice) => choice.as_deref(),
            None => Some(endpoint.default_path()),
        }
    }
}
