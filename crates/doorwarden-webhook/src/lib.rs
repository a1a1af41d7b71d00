//! Sends Doorwarden's webhooks: [`HttpClient`] implements
//! [`WebhookClient`](doorwarden_core::webhook::WebhookClient).
//!
//! Whoever may choose the URL of an endpoint must not reach by it what only this machine reaches. So the name
//! is resolved once, every address is checked, and the connection goes to one of exactly these addresses: a
//! name that resolves to another address a moment later changes nothing. Redirects are not followed, proxies
//! are not used, and a message takes 15 seconds at most.
//!
//! ```
//! use doorwarden_core::webhook::WebhookClient;
//! use doorwarden_webhook::HttpClient;
//!
//! let client = HttpClient::new([]);
//! assert!(client.check("https://example.com/hooks").is_ok());
//! assert!(client.check("https://169.254.169.254/latest/meta-data").is_err());
//! assert!(client.check("http://example.com/hooks").is_err());
//! ```

mod address;
mod client;
mod target;

pub use address::is_public;
pub use client::HttpClient;
pub use ipnet::IpNet;
