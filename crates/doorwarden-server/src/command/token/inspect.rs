use super::reason::Reason;
use crate::command::prompt;
use crate::command::user::{session_value, value};
use crate::failure::Failure;
use crate::output::{self, Output, Style, clean_line, line};
use doorwarden::core::flow::authenticate::AuthenticateError;
use doorwarden::core::flow::introspect::introspect;
use doorwarden::core::session::{Session, SessionId};
use doorwarden::core::time::Timestamp;
use doorwarden::core::token::bearer;
use doorwarden::core::token::inspect::{Inspection, inspect};
use doorwarden::core::token::{Refusal, access};
use doorwarden::{Doorwarden, User, UserId};
use serde_json::{Value, json};

/// Decodes a token, verifies it as a request would, and looks up its user and session.
pub(super) async fn run(auth: &Doorwarden, token: Option<String>, out: Output) -> Result<(), Failure> {
    let text = match token.filter(|text| text != "-") {
        Some(text) => text,
        None => prompt::read_line()?,
    };
    let token = Looked::at(auth, bare(&text)).await?;
    let reason = refused(auth, bare(&text), &token).await?;
    // Inspecting a token must not count as use of its session.
    drop(auth.context().live.take_seen());
    match out.is_json() {
        true => report(&token, reason.as_ref())?,
        false => print(out, &token, reason.as_ref())?,
    }
    match reason {
        None => Ok(()),
        Some(reason) => Err(Failure::no(format!("the token is refused: {}", reason.text))),
    }
}

/// The token without an HTTP authentication scheme, whitespace or quotes around it.
fn bare(text: &str) -> &str {
    let text = text.trim().trim_matches(['"', '\'']);
    let text = text.strip_prefix("Authorization:").unwrap_or(text).trim_start();
    // `Token` is the scheme of Django REST framework's own tokens.
    match bearer::parse([text.as_bytes()]) {
        Ok(token) => token,
        Err(_) => match text.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("token") => token.trim(),
            _ => text,
        },
    }
}

/// The kind of a token by its form, whether or not it is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Session,
    Access,
    Refresh,
    Unknown,
}

impl Kind {
    fn of(text: &str, jwt: Option<&Inspection>) -> Self {
        let typed = jwt.and_then(|jwt| jwt.header.get("typ")).and_then(Value::as_str);
        match typed {
            _ if text.starts_with("dwr_") => Self::Refresh,
            Some(access::TYPE) => Self::Access,
            _ if jwt.is_some() => Self::Session,
            _ => Self::Unknown,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Access => "access",
            Self::Refresh => "refresh",
            Self::Unknown => "unknown",
        }
    }
}

/// A token's contents with its user and session from the database. Nothing here is verified.
pub(super) struct Looked {
    pub(super) kind: Kind,
    pub(super) jwt: Option<Inspection>,
    /// The counter of a refresh token, or why it is not valid.
    pub(super) counter: Option<Result<i64, Refusal>>,
    pub(super) user: Option<User>,
    pub(super) session: Option<Session>,
}

impl Looked {
    async fn at(auth: &Doorwarden, text: &str) -> Result<Self, Failure> {
        let context = auth.context();
        let jwt = inspect(text).ok();
        let kind = Kind::of(text, jwt.as_ref());
        let claim = |name: &str| jwt.as_ref().and_then(|jwt| jwt.claims.get(name));
        let mut user = claim("id").and_then(Value::as_i64).map(UserId);
        let mut session = claim("sid").and_then(|sid| serde_json::from_value::<SessionId>(sid.clone()).ok());
        let refresh = (kind == Kind::Refresh).then(|| context.refresh_keys.parse(text));
        if let Some(Ok((id, _))) = &refresh {
            session = Some(SessionId(*id));
        }
        let session = match session {
            Some(id) => context.store.session(id).await?,
            None => None,
        };
        user = user.or(session.as_ref().map(|session| session.user));
        let user = match user {
            Some(id) => auth.users().get(id).await?,
            None => None,
        };
        let counter = refresh.map(|parsed| parsed.map(|(_, counter)| counter));
        Ok(Self { kind, jwt, counter, user, session })
    }
}

/// Why a token is refused, if it is. The flows decide; the contents of the token explain.
async fn refused(auth: &Doorwarden, text: &str, token: &Looked) -> Result<Option<Reason>, Failure> {
    if let Some(counter) = token.counter {
        let is_accepted = introspect(auth.context(), text).await?.is_some();
        return Ok((!is_accepted).then(|| Reason::of_refresh(auth, counter, token)));
    }
    match auth.tokens().verify(text).await {
        Ok(_) => Ok(None),
        Err(AuthenticateError::Refused(refused)) => Ok(Some(Reason::of_bearer(auth, &refused, token))),
        Err(AuthenticateError::Store(error)) => Err(error.into()),
    }
}

fn report(token: &Looked, reason: Option<&Reason>) -> Result<(), Failure> {
    output::json(&json!({
        "kind": token.kind.word(),
        "accepted": reason.is_none(),
        "reason": reason.map(|reason| json!({
            "code": reason.code,
            "text": reason.text,
            "hint": reason.hint,
        })),
        "header": token.jwt.as_ref().map(|jwt| &jwt.header),
        "claims": token.jwt.as_ref().map(|jwt| &jwt.claims),
        "user": token.user.as_ref().map(value),
        "session": token.session.as_ref().map(session_value),
    }))
}

fn print(out: Output, token: &Looked, reason: Option<&Reason>) -> Result<(), Failure> {
    let mut facts = vec![("kind", token.kind.word().to_owned())];
    if let Some(jwt) = &token.jwt {
        facts.push(("header", Value::from(jwt.header.clone()).to_string()));
        for (name, claim) in &jwt.claims {
            let is_instant = ["exp", "iat", "nbf", "auth_time"].contains(&name.as_str());
            let shown = match claim.as_i64().filter(|_| is_instant) {
                Some(seconds) => format!("{seconds}  {}", Timestamp::from_seconds(seconds)),
                None => claim.to_string(),
            };
            facts.push((name.as_str(), shown));
        }
    }
    if let Some(user) = &token.user {
        let active = if user.is_active { "active" } else { "inactive" };
        facts.push(("user", format!("{} ({}), {active}", user.email, user.username)));
    }
    if let Some(session) = &token.session {
        let state = match session.ended {
            Some((at, reason)) => format!("ended {at} ({})", reason.as_str()),
            None => format!("last seen {}, expires {}", session.last_seen_at, session.expires_at),
        };
        facts.push(("session", format!("opened {}, {state}", session.created_at)));
    }
    out.facts(&facts)?;
    match reason {
        None => line(&out.paint(Style::Green, "accepted")),
        Some(reason) => {
            line(&out.paint(Style::Red, &format!("refused ({})", reason.code)))?;
            reason.hint.as_ref().map_or(Ok(()), |hint| line(&clean_line(&format!("hint: {hint}"))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::bare;

    #[test]
    fn a_token_is_found_in_what_people_copy() {
        for copied in
            ["a.b.c", " a.b.c\n", "Bearer a.b.c", "Token a.b.c", "\"a.b.c\"", "Authorization: bearer  a.b.c"]
        {
            assert_eq!(bare(copied), "a.b.c", "{copied:?}");
        }
    }
}
