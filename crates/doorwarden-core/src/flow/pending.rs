//! Authentications that need more than one request: what a client is told to do next, and what the service
//! keeps meanwhile, which is a [challenge](crate::challenge).

use super::obtain_tokens::Resources;
use super::open_session::new_session;
use super::throttle::{self, LimitError};
use super::token_pair::new_pair_session;
use crate::audit::{Effects, Origin};
use crate::authentication::{FactorProof, Need, PasswordProof, Proof};
use crate::challenge::{Challenge, ChallengeId, ChallengePurpose, Code, Secret};
use crate::context::Context;
use crate::event::Event;
use crate::factor::{Factor, FactorKind};
use crate::identity::EmailAddress;
use crate::mail::{Locale, MailContent, MailKind};
use crate::outbox::Letter;
use crate::password::PasswordHash;
use crate::session::{ClientInfo, Session, SessionId};
use crate::store::{CreateChallengeError, NewMail, StoreError};
use crate::time::Timestamp;
use crate::user::{User, UserId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::time::Duration;

/// What a client must do before it gets tokens.
#[derive(Debug, Clone)]
pub struct Pending {
    /// The next step.
    pub step: PendingStep,
    /// The login token, which the next request sends back: `dwl_…`.
    pub login_token: LoginToken,
    /// For how long.
    pub expires_in: Duration,
}

/// The login token of a pending authentication. `Debug` does not show it.
#[derive(Clone)]
pub struct LoginToken(pub String);

impl std::fmt::Debug for LoginToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LoginToken(..)")
    }
}

/// The next step of an authentication.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PendingStep {
    /// A code or link was mailed that proves the address of the account.
    VerifyEmail {
        /// The address, as [`mask`] shows it.
        email: String,
    },
    /// A code or link was mailed with which the user logs in, if there is an account with the address.
    EmailCode,
    /// A new password must be chosen.
    ChangePassword,
    /// The user must say that the account stays.
    CancelDeletion,
    /// Something of the application's must be done, which has this name.
    Stage(String),
    /// The password must be given, too.
    Password,
    /// A second factor must be given.
    SecondFactor {
        /// Of one of these kinds.
        kinds: Vec<FactorKind>,
        /// Too many wrong codes came: so many right ones are needed, one after the other. `None`: one.
        codes_left: Option<u8>,
    },
    /// A factor must be set up, with the login token.
    EnrollFactor {
        /// Of one of these kinds.
        kinds: Vec<FactorKind>,
    },
}

/// Which tokens a login is for.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum WantedTokens {
    /// A session token.
    #[default]
    Session,
    /// A token pair for these resources.
    Pair(Option<String>),
}

impl WantedTokens {
    /// A token pair for these resources.
    pub fn pair(resources: Option<Resources>) -> Self {
        Self::Pair(resources.map(|named| named.0))
    }

    /// A session for these tokens that is not stored yet.
    pub(super) fn session(&self, context: &Context, user: UserId, client: ClientInfo) -> Session {
        match self {
            Self::Session => new_session(context, user, client, context.settings.session.lifetime),
            Self::Pair(audience) => new_pair_session(context, user, client, audience.clone().map(Resources)),
        }
    }
}

/// What is kept of an authentication between its steps.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct State {
    pub(super) tokens: WantedTokens,
    /// The hash that the password was verified against.
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<String>,
    /// Whether that password was leaked.
    is_leaked: bool,
    /// Whether a mail to the address of the account was answered.
    pub(super) has_email: bool,
    /// Another factor that was verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) factor: Option<FactorProof>,
    /// What the client must do, of those steps that are no mail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) needs: Option<StoredNeed>,
    /// The application's own step, if it is the next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stage: Option<String>,
    /// What the proofs are for.
    pub(super) goal: Goal,
    /// How many right codes of a disabled TOTP came, one after the other.
    pub(super) right_codes: u8,
}

/// What an authentication is for.
#[derive(Default, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Goal {
    /// A session.
    #[default]
    LogIn,
    /// A new password, of which this is the hash.
    ResetPassword(String),
    /// The session goes on, authenticated once more.
    Reauthenticate(SessionId),
}

/// A step that is no mail.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum StoredNeed {
    ChangePassword,
    CancelDeletion,
    Password,
    SecondFactor,
    EnrollFactor,
    Stage,
}

impl State {
    pub(super) fn new(tokens: WantedTokens, proofs: &[Proof]) -> Self {
        let mut state = Self { tokens, ..Self::default() };
        for proof in proofs {
            state.add(proof);
        }
        state
    }

    /// With this proof, too.
    pub(super) fn add(&mut self, proof: &Proof) {
        match proof {
            Proof::Password(PasswordProof { verified, is_leaked, .. }) => {
                self.password = Some(verified.as_str().to_owned());
                self.is_leaked = *is_leaked;
            }
            Proof::Email => self.has_email = true,
            Proof::Factor(factor) => self.factor = Some(*factor),
        }
    }

    pub(super) fn proofs(&self) -> Vec<Proof> {
        let password = self.password.as_ref().map(|hash| {
            let proof = PasswordProof::of_new(PasswordHash::from_stored(hash.clone()));
            Proof::Password(PasswordProof { is_leaked: self.is_leaked, ..proof })
        });
        let email = self.has_email.then_some(Proof::Email);
        password.into_iter().chain(email).chain(self.factor.map(Proof::Factor)).collect()
    }

    pub(super) fn read(challenge: &Challenge) -> Self {
        serde_json::from_value(Value::Object(challenge.data.clone())).unwrap_or_default()
    }

    pub(super) fn write(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(members)) => members,
            _ => Map::new(),
        }
    }
}

/// A challenge to be made, with or without a mail.
pub(super) struct Ask<'a> {
    pub(super) purpose: ChallengePurpose,
    /// The account; `None` of one that does not exist yet, and of a decoy.
    pub(super) user: Option<&'a User>,
    pub(super) email: EmailAddress,
    pub(super) lifetime: Duration,
    pub(super) data: Map<String, Value>,
    pub(super) username_key: Option<String>,
    /// The mail with link and code.
    pub(super) mail: Option<MailKind>,
    pub(super) is_decoy: bool,
    /// The language of whoever asks, for those of whom none is known.
    pub(super) locale: Option<Locale>,
    /// The challenge that led here, which is used up.
    pub(super) spends: Option<ChallengeId>,
}

/// Makes a challenge with a login token, and queues its mail, in one write.
pub(super) async fn ask(
    context: &Context,
    ask: Ask<'_>,
    origin: &Origin,
    event: Option<Event>,
) -> Result<(LoginToken, Timestamp), CreateChallengeError> {
    let now = context.now();
    let random = context.random.as_ref();
    let (token, key, code) =
        (Secret::new(Secret::LOGIN, random), Secret::new(Secret::LINK, random), Code::new(random));
    let id = ChallengeId::new(now, context.random.bytes());
    let expires_at = now.after(ask.lifetime);
    let challenge = Challenge {
        id,
        purpose: ask.purpose,
        user: ask.user.map(|user| user.id),
        email: ask.email.clone(),
        is_of_current_email: ask.user.is_some(),
        generation: ask.user.map(|user| user.sessions_generation),
        token: Some(token.hash()),
        key: ask.mail.is_some().then(|| key.hash()),
        code: ask.mail.is_some().then(|| context.codes.hash(id, &code)),
        username_key: ask.username_key,
        data: ask.data,
        attempts: 0,
        created_at: now,
        sent_at: now,
        expires_at,
    };
    let mut effects = Effects { spends: ask.spends, ..context.effects(origin, event) };
    if let Some(kind) = ask.mail {
        let about =
            About { kind, user: ask.user, email: &ask.email, locale: ask.locale, is_decoy: ask.is_decoy };
        effects = effects.mailing_all(mail(context, &about, &key, &code, expires_at, origin));
    }
    context.store.create_challenge(challenge, false, effects.clone()).await?;
    context.notify(&effects).await;
    Ok((LoginToken(token.expose()), expires_at))
}

/// To whom a mail goes.
pub(super) struct About<'a> {
    pub(super) kind: MailKind,
    pub(super) user: Option<&'a User>,
    pub(super) email: &'a EmailAddress,
    pub(super) locale: Option<Locale>,
    pub(super) is_decoy: bool,
}

/// The mail with a link and a code.
pub(super) fn mail(
    context: &Context,
    about: &About<'_>,
    key: &Secret,
    code: &Code,
    expires_at: Timestamp,
    origin: &Origin,
) -> Option<NewMail> {
    let mut content = notice(about.user, context.now(), origin);
    if about.kind != MailKind::AccountExists {
        content.link = Some(link(context, key));
        content.code = Some(code.shown());
        content.expires_at = Some(expires_at);
    }
    let known = about.user.map(|user| user.locale.unwrap_or(context.settings.mail.locale));
    context.write_mail(Letter {
        kind: about.kind,
        to: about.email.as_str().to_owned(),
        user: about.user.map(|user| user.id),
        // The language of the account, never of whoever asks for a mail to it.
        locale: known.or(about.locale).unwrap_or(context.settings.mail.locale),
        content,
        worth: expires_at.since(context.now()),
        is_decoy: about.is_decoy,
    })
}

/// Who asked, when and from where.
pub(super) fn notice(user: Option<&User>, at: Timestamp, origin: &Origin) -> MailContent {
    MailContent {
        username: user.map(|user| user.username.as_str().to_owned()),
        at: Some(at),
        address: origin.client.address.map(|address| address.to_string()),
        device: origin.client.device_name(),
        ..MailContent::default()
    }
}

/// Where a link leads. The key stands behind `#` where a front end takes it: it is in no log and no
/// `Referer`.
pub(super) fn link(context: &Context, key: &Secret) -> String {
    if let Some(page) = &context.settings.mail.front_end {
        return format!("{page}#key={}", key.expose());
    }
    format!("{}?key={}", context.link_page, key.expose())
}

/// An address as it is shown to whoever may not know it: `j•••@example.com`.
pub fn mask(email: &str) -> String {
    let (local, domain) = email.rsplit_once('@').unwrap_or((email, ""));
    let first: String = local.chars().take(1).collect();
    format!("{first}•••@{domain}")
}

/// Lets an authentication go on with another request: keeps what was proved, and mails what must be answered.
pub(super) async fn go_on(
    context: &Context,
    user: &User,
    need: Need,
    mut state: State,
    spends: Option<ChallengeId>,
    origin: &Origin,
) -> Result<Pending, LimitError> {
    let (step, mail) = match need {
        Need::VerifyEmail => {
            (PendingStep::VerifyEmail { email: mask(user.email.as_str()) }, Some(MailKind::VerifyEmail))
        }
        Need::ChangePassword => (PendingStep::ChangePassword, None),
        Need::CancelDeletion => (PendingStep::CancelDeletion, None),
        Need::FirstFactor => (PendingStep::Password, None),
        Need::Stage(name) => (PendingStep::Stage(name.to_owned()), None),
        Need::SecondFactor => (second_factor(context, user, &state).await?, None),
        Need::EnrollFactor => (PendingStep::EnrollFactor { kinds: context.settings.factors.kinds() }, None),
    };
    state.needs = match need {
        Need::ChangePassword => Some(StoredNeed::ChangePassword),
        Need::CancelDeletion => Some(StoredNeed::CancelDeletion),
        Need::FirstFactor => Some(StoredNeed::Password),
        Need::Stage(_) => Some(StoredNeed::Stage),
        Need::SecondFactor => Some(StoredNeed::SecondFactor),
        Need::EnrollFactor => Some(StoredNeed::EnrollFactor),
        Need::VerifyEmail => None,
    };
    state.stage = match need {
        Need::Stage(name) => Some(name.to_owned()),
        _ => None,
    };
    let lifetime = match need {
        Need::VerifyEmail => context.settings.mail.verify_lifetime,
        _ => context.settings.mail.login_lifetime,
    };
    if mail.is_some() {
        throttle::mail_of(context, &origin.client, user, &user.email.key()).await?;
    }
    let asked = Ask {
        purpose: if mail.is_some() { ChallengePurpose::VerifyEmail } else { ChallengePurpose::LogIn },
        user: Some(user),
        email: user.email.clone(),
        lifetime,
        data: state.write(),
        username_key: None,
        mail,
        is_decoy: false,
        locale: None,
        spends,
    };
    let (login_token, expires_at) = ask(context, asked, origin, None).await?;
    Ok(Pending { step, login_token, expires_in: expires_at.since(context.now()) })
}

/// The step in which a user gives a second factor.
pub(super) async fn second_factor(
    context: &Context,
    user: &User,
    state: &State,
) -> Result<PendingStep, StoreError> {
    let factors = context.store.factors_of(user.id).await?;
    let mut kinds: Vec<_> = factors.iter().filter(|factor| factor.is_confirmed()).map(Factor::kind).collect();
    kinds.sort();
    kinds.dedup();
    let codes_left = (state.right_codes > 0).then(|| RIGHT_CODES.saturating_sub(state.right_codes));
    Ok(PendingStep::SecondFactor { kinds, codes_left })
}

/// So many right codes, one after the other, enable a TOTP that too many wrong ones have disabled.
pub(super) const RIGHT_CODES: u8 = 3;
