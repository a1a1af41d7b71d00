//! Values of one key each.

use super::passkeys;
use super::value::{
    Duration, List, Number, Pairs, Setting, Text, Written, no_default, schema, text, texts, wraps,
};
use doorwarden::core::limit::{Limit, LimitSettings, Quota};
use doorwarden::core::password::{PasswordPolicy, PoolSettings};
use doorwarden::core::settings::{EmailVerification, FactorPolicy, PasswordChangeEnds, RegistrationMode};
use doorwarden::{CorsSettings, DatabaseUrl, DatabaseUrlError, Endpoint, OauthClients, OldSecretKey, core};
use http::HeaderValue;
use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::collections::HashMap;
use std::net::IpAddr;
use toml::Value;
use zeroize::Zeroizing;

/// An address to listen on and a port: `127.0.0.1:8000`, `[::1]:8000`, `localhost:8000`.
pub(super) struct Address(String);

text!(Address, {"type": "string"});

impl Text for Address {
    fn parse(text: &str) -> Result<Self, String> {
        let is_port = |port: &str| port.parse::<u16>().is_ok();
        let meant = match text.rsplit_once(':') {
            Some((host, port)) if is_port(port) && (!host.contains(':') || host.starts_with('[')) => {
                match host {
                    "" => format!("0.0.0.0:{port}"),
                    _ => return Ok(Self(text.to_owned())),
                }
            }
            None if is_port(text) => format!("127.0.0.1:{text}"),
            None if !text.is_empty() && !text.contains('/') => format!("{text}:8000"),
            _ => "127.0.0.1:8000".to_owned(),
        };
        Err(format!("must be an address and a port, such as `{meant}`"))
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

wraps!(Address: String);

/// Text; empty means not set.
#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub(super) struct Optional(String);

impl Written<Option<String>> for Optional {
    fn write(place: &Option<String>) -> Self {
        Self(place.clone().unwrap_or_default())
    }

    fn read(self) -> Option<String> {
        Some(self.0).filter(|text| !text.is_empty())
    }
}

/// Text that is never shown; empty means not set.
pub(super) struct Secret(Zeroizing<String>);

text!(Secret, {"type": "string", "writeOnly": true});

impl Text for Secret {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(Self(text.to_owned().into()))
    }

    fn text(&self) -> String {
        self.0.as_str().to_owned()
    }
}

impl Written<Option<Zeroizing<String>>> for Secret {
    fn write(place: &Option<Zeroizing<String>>) -> Self {
        Self(place.clone().unwrap_or_default())
    }

    fn read(self) -> Option<Zeroizing<String>> {
        Some(self.0).filter(|text| !text.is_empty())
    }
}

/// The URL of the database, which may hold a password.
pub(super) struct Url(DatabaseUrl);

text!(Url, {"type": "string", "writeOnly": true});

impl Text for Url {
    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|error: DatabaseUrlError| match error.hint() {
            // The error of a deserializer has no place for a hint.
            Some(hint) => format!("{error}; {hint}"),
            None => error.to_string(),
        })
    }

    fn text(&self) -> String {
        self.0.as_str().to_owned()
    }
}

wraps!(Url: DatabaseUrl);

/// How mails are sent, which may hold a password; empty means not set.
pub(super) struct MailUrl(Option<doorwarden_mail::MailUrl>);

text!(MailUrl, {"type": "string", "writeOnly": true});

impl Text for MailUrl {
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        match text.parse() {
            Ok(doorwarden_mail::MailUrl::Memory) => {
                Err("`memory` is for programs; leave it empty to read mails at `/dev/mailbox`".to_owned())
            }
            Ok(url) => Ok(Self(Some(url))),
            Err(error) => Err(match doorwarden_mail::MailUrlError::hint(error) {
                Some(hint) => format!("{error}; {hint}"),
                None => error.to_string(),
            }),
        }
    }

    fn text(&self) -> String {
        self.0.as_ref().map(ToString::to_string).unwrap_or_default()
    }
}

wraps!(MailUrl: Option<doorwarden_mail::MailUrl>);

/// Where the limits count, which may hold a password.
pub(super) struct LimitStore(super::LimitStore);

text!(LimitStore, {"type": "string", "writeOnly": true});

impl Text for LimitStore {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(Self(match text {
            "database" => super::LimitStore::Database,
            "memory" => super::LimitStore::Memory,
            url => {
                super::LimitStore::Redis(url.parse().map_err(|error: doorwarden_redis::RedisUrlError| {
                    format!("is neither `database` nor `memory`, and {error}")
                })?)
            }
        }))
    }

    fn text(&self) -> String {
        match &self.0 {
            super::LimitStore::Database => "database".to_owned(),
            super::LimitStore::Memory => "memory".to_owned(),
            super::LimitStore::Redis(url) => url.as_str().to_owned(),
        }
    }
}

wraps!(LimitStore: super::LimitStore);

/// The sender of mails; empty means not set.
pub(super) struct Sender(Option<doorwarden_mail::Sender>);

text!(Sender, {"type": "string"});

impl Text for Sender {
    fn parse(text: &str) -> Result<Self, String> {
        let sender = (!text.is_empty()).then(|| text.parse()).transpose();
        sender.map(Self).map_err(|error: doorwarden_mail::SenderError| error.to_string())
    }

    fn text(&self) -> String {
        let Some(sender) = &self.0 else { return String::new() };
        match sender.name() {
            Some(name) => format!("{name} <{}>", sender.address()),
            None => sender.address().to_owned(),
        }
    }
}

wraps!(Sender: Option<doorwarden_mail::Sender>);

/// The email address of an operator; empty means not set.
pub(super) struct Operator(Option<core::identity::EmailAddress>);

text!(Operator, {"type": "string"});

impl Text for Operator {
    fn parse(text: &str) -> Result<Self, String> {
        let address = (!text.is_empty()).then(|| text.parse()).transpose();
        address.map(Self).map_err(|_| "must be an email address".to_owned())
    }

    fn text(&self) -> String {
        self.0.as_ref().map(|address| address.as_str().to_owned()).unwrap_or_default()
    }
}

wraps!(Operator: Option<core::identity::EmailAddress>);

/// A mail that only tells a user what has happened.
pub(super) struct Notice(core::mail::MailKind);

text!(Notice, {"enum": Notice::all().map(core::mail::MailKind::as_str).collect::<Vec<_>>()});

impl Notice {
    fn all() -> impl Iterator<Item = core::mail::MailKind> {
        core::mail::MailKind::ALL.into_iter().filter(|kind| kind.is_notice())
    }
}

impl Text for Notice {
    fn parse(text: &str) -> Result<Self, String> {
        let known = Self::all().find(|kind| kind.as_str() == text);
        known.map(Self).ok_or_else(|| format!("`{text}` is not a notice"))
    }

    fn text(&self) -> String {
        self.0.as_str().to_owned()
    }
}

wraps!(Notice: core::mail::MailKind);

/// The URL of a page; empty means not set.
pub(super) struct FrontEnd(Option<String>);

text!(FrontEnd, {"type": "string"});

impl Text for FrontEnd {
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        let url = text.parse::<http::Uri>().ok().filter(|_| !text.contains('#'));
        let is_page = url.is_some_and(|url| {
            matches!(url.scheme_str(), Some("http" | "https"))
                && url.host().is_some_and(|host| !host.is_empty())
        });
        let wrong = "must be an absolute URL without a fragment, such as `https://app.example.com/account`";
        is_page.then(|| Self(Some(text.to_owned()))).ok_or_else(|| wrong.to_owned())
    }

    fn text(&self) -> String {
        self.0.clone().unwrap_or_default()
    }
}

wraps!(FrontEnd: Option<String>);

/// A value that is written as one of a few words.
macro_rules! words {
    ($name:ident: $place:ty { $($variant:ident = $value:path,)+ }) => {
        #[derive(Clone, Copy, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "lowercase")]
        #[schemars(inline)]
        pub(super) enum $name {
            $($variant,)+
        }

        impl Written<$place> for $name {
            fn write(place: &$place) -> Self {
                match place {
                    $($value => Self::$variant,)+
                }
            }

            fn read(self) -> $place {
                match self {
                    $(Self::$variant => $value,)+
                }
            }
        }
    };
}

words!(Verification: EmailVerification {
    Off = EmailVerification::Off,
    Asked = EmailVerification::Asked,
    Required = EmailVerification::Required,
});

words!(Registering: RegistrationMode {
    Open = RegistrationMode::Open,
    Verified = RegistrationMode::Verified,
    Invitation = RegistrationMode::Invitation,
    Closed = RegistrationMode::Closed,
});

words!(Requiring: FactorPolicy {
    Nobody = FactorPolicy::Nobody,
    Staff = FactorPolicy::Staff,
    Everybody = FactorPolicy::Everybody,
});

/// The domain that passkeys belong to, or `off`; empty means that of the issuer. Whether it is a domain is
/// found out with the origins.
pub(super) struct RpId(passkeys::RpId);

text!(RpId, {"type": "string"});

impl Text for RpId {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(Self(match text {
            "" => passkeys::RpId::OfIssuer,
            "off" => passkeys::RpId::Off,
            domain => passkeys::RpId::Domain(domain.to_owned()),
        }))
    }

    fn text(&self) -> String {
        match &self.0 {
            passkeys::RpId::OfIssuer => String::new(),
            passkeys::RpId::Off => "off".to_owned(),
            passkeys::RpId::Domain(domain) => domain.clone(),
        }
    }
}

wraps!(RpId: passkeys::RpId);

/// The domain of email addresses.
pub(super) struct Domain(core::identity::Domain);

text!(Domain, {"type": "string"});

impl Text for Domain {
    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|error: core::identity::DomainError| error.to_string())
    }

    fn text(&self) -> String {
        self.0.to_string()
    }
}

wraps!(Domain: core::identity::Domain);

/// A language.
pub(super) struct Locale(core::locale::Locale);

text!(Locale, {"enum": core::locale::Locale::ALL.map(core::locale::Locale::as_str)});

impl Text for Locale {
    fn parse(text: &str) -> Result<Self, String> {
        let known = core::locale::Locale::ALL.into_iter().find(|locale| locale.as_str() == text);
        known.map(Self).ok_or_else(|| "must be `en` or `de`".to_owned())
    }

    fn text(&self) -> String {
        self.0.as_str().to_owned()
    }
}

wraps!(Locale: core::locale::Locale);

#[derive(Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(super) enum LogFormat {
    Auto,
    Text,
    Json,
}

impl Written<Option<bool>> for LogFormat {
    fn write(place: &Option<bool>) -> Self {
        match place {
            None => Self::Auto,
            Some(false) => Self::Text,
            Some(true) => Self::Json,
        }
    }

    fn read(self) -> Option<bool> {
        match self {
            Self::Auto => None,
            Self::Text => Some(false),
            Self::Json => Some(true),
        }
    }
}

/// Whether, or until when, tokens without a session are accepted.
pub(super) struct WithoutSession(core::settings::WithoutSession);

text!(WithoutSession, {"anyOf": [{"type": "boolean"}, {"type": "string", "format": "date-time"}]});

impl Text for WithoutSession {
    fn parse(text: &str) -> Result<Self, String> {
        use core::settings::WithoutSession::{Accept, AcceptUntil, Refuse};
        let wrong = "must be `true`, `false`, or a date and time such as `2027-03-01T00:00:00Z`";
        Ok(Self(match text {
            "false" => Refuse,
            "true" => Accept,
            _ => AcceptUntil(text.parse().map_err(|_| wrong)?),
        }))
    }

    fn text(&self) -> String {
        use core::settings::WithoutSession::{Accept, AcceptUntil, Refuse};
        match self.0 {
            Refuse => "false".to_owned(),
            Accept => "true".to_owned(),
            AcceptUntil(end) => end.to_string(),
        }
    }
}

wraps!(WithoutSession: core::settings::WithoutSession);

words!(Endings: PasswordChangeEnds {
    Others = PasswordChangeEnds::OtherSessions,
    All = PasswordChangeEnds::AllSessions,
});

/// The number of hashing threads, and with it the queue; `None`: one per core.
pub(super) struct Threads(Option<Number<1, 1024>>);

text!(Threads, {"anyOf": [schema::<Number<1, 1024>>(), {"const": "cores"}]});

impl Text for Threads {
    fn parse(text: &str) -> Result<Self, String> {
        if text == "cores" { Ok(Self(None)) } else { Number::parse(text).map(|number| Self(Some(number))) }
    }

    fn text(&self) -> String {
        self.0.map_or_else(|| "cores".to_owned(), |number| number.text())
    }
}

impl Setting<PoolSettings> for Threads {
    fn of(pool: &PoolSettings) -> Self {
        Self((pool.threads != PoolSettings::default().threads).then(|| Number::write(&pool.threads)))
    }

    fn store(self, pool: &mut PoolSettings) {
        pool.threads = self.0.map_or(PoolSettings::default().threads, Number::read);
        pool.queue = 64 * pool.threads;
    }
}

/// An algorithm of signing keys.
pub(super) struct Algorithm(core::token::Algorithm);

text!(Algorithm, {"enum": core::token::Algorithm::ALL.map(core::token::Algorithm::as_str)});

impl Text for Algorithm {
    fn parse(text: &str) -> Result<Self, String> {
        let name = if text == "Ed25519" { "EdDSA" } else { text };
        let known = core::token::Algorithm::from_name(name).map(Self);
        known.ok_or_else(|| format!("must be `ES256`, `EdDSA` and `RS256`, or some of them, not `{text}`"))
    }

    fn text(&self) -> String {
        self.0.as_str().to_owned()
    }
}

wraps!(Algorithm: core::token::Algorithm);

/// An address or a network.
pub(super) struct Network(IpNet);

text!(Network, {"type": "string"});

impl Text for Network {
    fn parse(text: &str) -> Result<Self, String> {
        let host = || text.parse::<IpAddr>().ok().map(IpNet::from);
        let network = text.parse().ok().or_else(host).map(Self);
        network.ok_or_else(|| format!("`{text}` is not an IP address or network"))
    }

    fn text(&self) -> String {
        self.0.to_string()
    }
}

wraps!(Network: IpNet);

/// A list of keys, or a table of two such lists.
#[derive(JsonSchema)]
#[schemars(inline, with = "OldSecretKeysForm", extend("writeOnly" = true))]
pub(super) struct OldSecretKeys(Vec<(Zeroizing<String>, OldSecretKey)>);

no_default!(OldSecretKeys);
wraps!(OldSecretKeys: Vec<(Zeroizing<String>, OldSecretKey)>);

/// The syntax of [`OldSecretKeys`].
#[derive(JsonSchema)]
#[schemars(untagged, inline)]
#[expect(dead_code, reason = "only the schema is used")]
enum OldSecretKeysForm {
    List(Vec<String>),
    Table(OldSecretKeysTable),
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
struct OldSecretKeysTable {
    opens_keys: Option<List<String>>,
    verifies_tokens: Option<List<String>>,
}

impl<'de> Deserialize<'de> for OldSecretKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use OldSecretKey::{Everything, OpensKeys, VerifiesTokens};
        let keys: Vec<(String, OldSecretKey)> = match Value::deserialize(deserializer)? {
            table @ Value::Table(_) => {
                let table = OldSecretKeysTable::deserialize(table);
                let table = table.map_err(|error| D::Error::custom(error.message()))?;
                let lists = [(table.opens_keys, OpensKeys), (table.verifies_tokens, VerifiesTokens)];
                let keys = |(list, good_for): (Option<List<String>>, _)| {
                    list.into_iter().flat_map(|List(keys)| keys).map(move |key| (key, good_for))
                };
                lists.into_iter().flat_map(keys).collect()
            }
            list => {
                let key = |text: String| match text.split_once('=') {
                    Some(("opens_keys", key)) => (key.to_owned(), OpensKeys),
                    Some(("verifies_tokens", key)) => (key.to_owned(), VerifiesTokens),
                    _ => (text, Everything),
                };
                texts(list).map_err(D::Error::custom)?.into_iter().map(key).collect()
            }
        };
        Ok(Self(keys.into_iter().map(|(key, good_for)| (key.into(), good_for)).collect()))
    }
}

/// Services, each with the SHA-256 of its secret.
#[derive(Deserialize, JsonSchema)]
#[serde(try_from = "Pairs")]
#[schemars(inline, with = "Pairs", extend("writeOnly" = true))]
pub(super) struct Clients(OauthClients);

no_default!(Clients);
wraps!(Clients: OauthClients);

impl TryFrom<Pairs> for Clients {
    type Error = String;

    fn try_from(pairs: Pairs) -> Result<Self, String> {
        let mut clients = OauthClients::default();
        for (id, hash) in pairs.0 {
            clients.add(id.as_str(), &hash).map_err(|error| format!("the value of `{id}` is {error}"))?;
        }
        Ok(Self(clients))
    }
}

/// Quotas of limits, `NAME=COUNT/DURATION`.
#[derive(Deserialize, JsonSchema)]
#[serde(try_from = "Pairs")]
#[schemars(inline, with = "Pairs")]
pub(super) struct Quotas(Vec<(Limit, Quota)>);

no_default!(Quotas);

impl TryFrom<Pairs> for Quotas {
    type Error = String;

    fn try_from(pairs: Pairs) -> Result<Self, String> {
        let quota = |(name, value): (String, String)| {
            let known = Limit::ALL.into_iter().find(|limit| limit.as_str() == name);
            let limit = known.ok_or_else(|| {
                let names = Limit::ALL.map(|limit| format!("`{}`", limit.as_str())).join(", ");
                format!("`{name}` is no limit; there are {names}")
            })?;
            let malformed =
                || format!("the value of `{name}` must be a number and a duration, such as `30/1m`");
            let (count, window) = value.split_once('/').ok_or_else(malformed)?;
            let count = count.trim().parse().ok().filter(|count| *count > 0).ok_or_else(malformed)?;
            let window = Duration::<1, { 30 * 86_400 }>::parse(window.trim())
                .map_err(|wrong| format!("the duration of `{name}` {wrong}"))?;
            Ok((limit, Quota::new(count, window.read())))
        };
        pairs.0.into_iter().map(quota).collect::<Result<_, String>>().map(Self)
    }
}

impl Setting<LimitSettings> for Quotas {
    fn of(_: &LimitSettings) -> Self {
        Self(Vec::new())
    }

    fn store(self, settings: &mut LimitSettings) {
        for (limit, quota) in self.0 {
            settings.set_quota(limit, quota);
        }
    }
}

/// Django's validators for new passwords.
#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub(super) struct Validators(List<Validator>);

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum Validator {
    Similarity,
    Common,
    Numeric,
    None,
}

impl Setting<PasswordPolicy> for Validators {
    fn of(policy: &PasswordPolicy) -> Self {
        use Validator::{Common, Numeric, Similarity};
        let all = [(Similarity, policy.similarity), (Common, policy.common), (Numeric, policy.numeric)];
        Self(List(all.into_iter().filter_map(|(validator, is_on)| is_on.then_some(validator)).collect()))
    }

    fn store(self, policy: &mut PasswordPolicy) {
        let Self(List(validators)) = self;
        policy.similarity = validators.contains(&Validator::Similarity);
        policy.common = validators.contains(&Validator::Common);
        policy.numeric = validators.contains(&Validator::Numeric);
    }
}

/// Origins whose pages may call from a browser.
#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub(super) struct Origins(List<Origin>);

struct Origin(HeaderValue);

text!(Origin, {"type": "string"});
wraps!(Origin: HeaderValue);

impl Text for Origin {
    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| format!("`{text}` is not an origin"))
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(self.0.as_bytes()).into_owned()
    }
}

impl Written<Option<CorsSettings>> for Origins {
    fn write(cors: &Option<CorsSettings>) -> Self {
        Self(cors.as_ref().map_or_else(|| List(Vec::new()), |cors| List::write(&cors.origins)))
    }

    fn read(self) -> Option<CorsSettings> {
        Some(self.0.read()).filter(|origins| !origins.is_empty()).map(CorsSettings::new)
    }
}

/// Endpoints to leave out, by their paths.
#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub(super) struct LeftOut(List<Path>);

struct Path(Endpoint);

text!(Path, {"enum": Endpoint::ALL.map(Endpoint::default_path).to_vec()});

impl Text for Path {
    fn parse(text: &str) -> Result<Self, String> {
        let known = Endpoint::ALL.into_iter().find(|endpoint| endpoint.default_path() == text);
        known.map(Self).ok_or_else(|| format!("there is no endpoint `{text}`"))
    }

    fn text(&self) -> String {
        self.0.default_path().to_owned()
    }
}

impl Setting<HashMap<Endpoint, Option<String>>> for LeftOut {
    fn of(endpoints: &HashMap<Endpoint, Option<String>>) -> Self {
        let left_out = endpoints.iter().filter(|(_, path)| path.is_none());
        Self(List(left_out.map(|(endpoint, _)| Path(*endpoint)).collect()))
    }

    fn store(self, endpoints: &mut HashMap<Endpoint, Option<String>>) {
        let Self(List(paths)) = self;
        endpoints.extend(paths.into_iter().map(|Path(endpoint)| (endpoint, None)));
    }
}
