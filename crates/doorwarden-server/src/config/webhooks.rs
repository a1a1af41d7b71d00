//! The endpoints of webhooks that the file declares: `[webhooks.endpoints.NAME]`.

use super::value::{List, Written, no_default, wraps};
use doorwarden::core::token::webhook::WebhookSecret;
use doorwarden::{DeclaredWebhook, EventTypes};
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::de::{DeserializeSeed, Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;

/// The section `[webhooks]`, without what the library knows.
#[derive(Clone, Default)]
pub(crate) struct Webhooks {
    pub(crate) endpoints: Vec<DeclaredWebhook>,
    pub(crate) allow_private: Vec<IpNet>,
}

/// The declared endpoints.
#[derive(JsonSchema)]
#[schemars(inline, with = "BTreeMap<String, Declaration>")]
pub(super) struct Endpoints(Vec<DeclaredWebhook>);

no_default!(Endpoints);
wraps!(Endpoints: Vec<DeclaredWebhook>);

/// A declared endpoint.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
struct Declaration {
    /// Where events are sent: an `https://` URL.
    url: Option<String>,
    /// Types of the events that it gets, such as `user.created,user.deleted`; all of them unless set.
    events: Option<List<String>>,
    /// The secret that receiver and sender share: `whsec_` and the Base64 of 24 to 64 random bytes.
    #[schemars(extend("writeOnly" = true))]
    secret: Option<String>,
}

impl Declaration {
    fn webhook(self, name: &str) -> Result<DeclaredWebhook, String> {
        let Self { url, events, secret } = self;
        let types = events.as_ref().map(|List(types)| types.as_slice()).unwrap_or_default();
        let secret = secret.ok_or("needs a `secret`")?;
        Ok(DeclaredWebhook {
            name: name
                .parse()
                .map_err(|error: doorwarden::core::webhook::WebhookNameError| error.to_string())?,
            url: url.ok_or("needs a `url`")?,
            events: EventTypes::of_types(types.iter().map(String::as_str))
                .map_err(|error| error.to_string())?,
            secret: secret.parse::<WebhookSecret>().map_err(|error| format!("the secret {error}"))?,
        })
    }
}

impl<'de> Deserialize<'de> for Endpoints {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EndpointsVisitor)
    }
}

struct EndpointsVisitor;

impl<'de> Visitor<'de> for EndpointsVisitor {
    type Value = Endpoints;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut endpoints: A) -> Result<Endpoints, A::Error> {
        let mut declared = Vec::new();
        while let Some(name) = endpoints.next_key::<String>()? {
            declared.push(endpoints.next_value_seed(Named(&name))?);
        }
        Ok(Endpoints(declared))
    }
}

/// The declaration of the endpoint of this name.
struct Named<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for Named<'_> {
    type Value = DeclaredWebhook;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<DeclaredWebhook, D::Error> {
        Declaration::deserialize(deserializer)?.webhook(self.0).map_err(D::Error::custom)
    }
}
