//! Random sequences of everything that leads to a token, against a model that says who may have one.

use crate::app::{Answer, App, Database, NOON, PASSWORD};
use crate::phone::{ORIGIN, Phone, RECOVERY_CODE, give_passkey, give_totp, relying_party};
use crate::post::{Letter, Post};
use doorwarden::core::audit::Actor;
use doorwarden::core::factor::FactorKind;
use doorwarden::core::flow::factors::remove_factor_of;
use doorwarden::core::random::RandomSource;
use doorwarden::core::settings::EmailVerification;
use doorwarden::core::user::UserChange;
use doorwarden::{Builder, UserId};
use doorwarden_testkit::authenticator::Authenticator;
use doorwarden_testkit::{SeededRandom, drill};
use serde_json::{Value, json};
use std::time::Duration;

on_both! {
    drill_random_steps_give_tokens_to_whom_the_model_gives_them
}

/// What one of three clients does. The numbers choose among the accounts, the logins that have begun (of any
/// client, also those that are over), and what is right or wrong.
#[derive(Debug, Clone, Copy)]
enum Act {
    AskLogin(usize),
    AskReset(usize),
    LogIn(usize, Secrecy),
    /// The code of the second login with the login token of the first.
    Code(usize, usize),
    WrongCode(usize),
    /// The link of the second login by the client that began the first.
    Link(usize, usize),
    /// A link that was sent before the newest of its login.
    OldLink(usize),
    Resend(usize),
    Cancel(usize),
    Choose(usize),
    Keep(usize),
    Reset(usize, bool),
    MustChange(usize),
    Leave(usize),
    Deactivate(usize),
    Reactivate(usize),
    SignOut(usize),
    Wait(u64),
    GiveApp(usize),
    GivePasskey(usize),
    Remove(usize, FactorKind),
    /// A code of the app, also one that was used before, or a wrong one.
    AppCode(usize, bool),
    RecoveryCode(usize),
    /// With the passkey of an account, the second factor of a login.
    Passkey(usize, usize),
    /// With nothing else; whether its user is verified.
    PasskeyLogin(usize, bool),
    OwnPassword(usize, Secrecy),
}

/// Which password somebody types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Secrecy {
    Present,
    Former,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    LogIn,
    Verify,
    Reset,
}

/// What the next step of a login is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaits {
    Mail,
    Password,
    Stay,
    Factor,
    OwnPassword,
}

/// What somebody has proved.
#[derive(Debug, Clone, Copy, Default)]
struct Proved {
    password: bool,
    email: bool,
    /// A factor; whether it is a passkey that has verified its user, which is enough.
    factor: Option<bool>,
}

impl Proved {
    fn is_of_two(self) -> bool {
        self.factor.is_some_and(|is_enough| is_enough || self.password || self.email)
    }
}

/// What the model says of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Says {
    Tokens,
    Done,
    /// Another login is begun, or the same one goes on, that awaits this.
    Flow(&'static str),
    Refused(u16),
    /// A wrong code, and how many more may be tried.
    Wrong(u32),
}

#[derive(Debug, Clone)]
struct Account {
    id: i64,
    email: String,
    password: u32,
    is_verified: bool,
    must_change: bool,
    is_active: bool,
    is_leaving: bool,
    /// The newest step of which a code of its authenticator app was accepted, if it has one.
    app: Option<i64>,
    has_passkey: bool,
    /// Whether its recovery code can still be used.
    has_code: bool,
    /// How often everything of the account has ended.
    era: u32,
}

impl Account {
    fn has_factor(&self) -> bool {
        self.app.is_some() || self.has_passkey
    }
}

/// A login or a reset that has begun.
struct Ticket {
    token: String,
    /// The account, with its era; `None` of a decoy.
    of: Option<(usize, u32)>,
    email: usize,
    purpose: Purpose,
    awaits: Awaits,
    letters: Vec<Letter>,
    proved: Proved,
    /// A new password is stored at its end.
    is_reset: bool,
    is_over: bool,
    attempts: u32,
    carried: u32,
    created: u64,
    sent: u64,
    ends: u64,
}

/// The client that began a login has its token; there are three.
struct Machine<'a> {
    app: &'a App,
    post: &'a Post,
    is_required: bool,
    now: u64,
    accounts: [Account; 2],
    /// The authenticators of their users, also with passkeys that were removed.
    keys: [Authenticator; 2],
    tickets: Vec<Ticket>,
    /// The tokens that were given out, with account and era.
    tokens: Vec<(String, usize, u32)>,
}

impl Machine<'_> {
    fn is_open(&self, ticket: usize) -> bool {
        let ticket = &self.tickets[ticket];
        let lives = ticket.of.is_none_or(|(account, era)| self.accounts[account].era == era);
        !ticket.is_over && lives && self.now < ticket.ends
    }

    /// The new mails, without those that say that a password was changed.
    async fn asked_for(&self) -> Vec<doorwarden::Mail> {
        let mut mails = self.post.read(self.app).await;
        mails.retain(|mail| mail.kind != doorwarden::MailKind::PasswordChanged);
        mails
    }

    /// Begins a login or reset for the address of an account; the answer has its token.
    async fn begin(&mut self, answer: &Answer, mut ticket: Ticket, spends: Option<usize>) {
        answer.json()["login_token"].as_str().unwrap().clone_into(&mut ticket.token);
        let counted = self.tickets.iter().filter(|other| {
            let are_mailed = other.awaits == Awaits::Mail && ticket.awaits == Awaits::Mail;
            let is_same = other.purpose == ticket.purpose && other.email == ticket.email;
            are_mailed && is_same && other.created + 3600 > self.now
        });
        ticket.carried = counted.map(|other| other.attempts - other.carried).max().unwrap_or(0);
        ticket.attempts = ticket.carried;
        if let Some(spent) = spends {
            self.tickets[spent].is_over = true;
        }
        let mut mails = self.asked_for().await;
        let is_mailed = ticket.of.is_some() && ticket.awaits == Awaits::Mail;
        assert_eq!(mails.len(), usize::from(is_mailed), "{mails:?}");
        if let Some(mail) = mails.pop() {
            assert_eq!(mail.to, self.accounts[ticket.email].email);
            ticket.letters.push(Letter(mail));
        }
        self.tickets.push(ticket);
    }

    fn ticket(&self, email: usize, purpose: Purpose, awaits: Awaits) -> Ticket {
        let account = &self.accounts[email];
        let lifetime = match purpose {
            Purpose::LogIn => 600,
            Purpose::Reset => 3600,
            Purpose::Verify => 86_400,
        };
        Ticket {
            token: String::new(),
            of: account.is_active.then_some((email, account.era)),
            email,
            purpose,
            awaits,
            letters: Vec::new(),
            proved: Proved::default(),
            is_reset: false,
            is_over: false,
            attempts: 0,
            carried: 0,
            created: self.now,
            sent: self.now,
            ends: self.now + lifetime,
        }
    }

    /// The policy: what somebody who has proved this needs.
    fn needs(&self, account: usize, proved: Proved) -> Option<(Purpose, Awaits, &'static str)> {
        let account = &self.accounts[account];
        let is_enough = proved.factor == Some(true);
        if !proved.password && !proved.email && !is_enough {
            Some((Purpose::LogIn, Awaits::OwnPassword, "password"))
        } else if self.is_required && !account.is_verified && !proved.email {
            Some((Purpose::Verify, Awaits::Mail, "verify_email"))
        } else if account.has_factor() && !proved.is_of_two() {
            Some((Purpose::LogIn, Awaits::Factor, "mfa_authenticate"))
        } else if account.is_leaving {
            Some((Purpose::LogIn, Awaits::Stay, "cancel_deletion"))
        } else if account.must_change || !account.is_verified && !proved.password && !is_enough {
            Some((Purpose::LogIn, Awaits::Password, "change_password"))
        } else {
            None
        }
    }

    /// The answer to the last step of a login in which this was proved.
    async fn proved(
        &mut self,
        answer: &Answer,
        account: usize,
        proved: Proved,
        spends: Option<usize>,
    ) -> Says {
        let Some((purpose, awaits, flow)) = self.needs(account, proved) else {
            if let Some(spent) = spends {
                self.tickets[spent].is_over = true;
            }
            self.accounts[account].is_verified |= proved.email;
            if answer.status == 200 {
                self.tokens.push((answer.token(), account, self.accounts[account].era));
            }
            return Says::Tokens;
        };
        let mut ticket = self.ticket(account, purpose, awaits);
        ticket.proved = proved;
        if answer.json()["login_token"].is_string() {
            self.begin(answer, ticket, spends).await;
        }
        Says::Flow(flow)
    }

    /// The answer to a step in which a factor was proved.
    async fn with_factor(&mut self, answer: &Answer, ticket: usize, is_enough: bool) -> Option<Says> {
        let Ticket { of, mut proved, is_reset, .. } = self.tickets[ticket];
        let (account, _) = of?;
        proved.factor = Some(is_enough);
        if !is_reset {
            return Some(self.proved(answer, account, proved, Some(ticket)).await);
        }
        self.tickets[ticket].is_over = true;
        self.new_password(account, true);
        self.post.read(self.app).await;
        Some(Says::Done)
    }

    fn end_everything(&mut self, account: usize) {
        self.accounts[account].era += 1;
    }

    fn new_password(&mut self, account: usize, email: bool) {
        self.end_everything(account);
        let account = &mut self.accounts[account];
        account.password += 1;
        account.must_change = false;
        account.is_verified |= email;
    }

    async fn update(&self, account: usize, change: UserChange) {
        self.app.auth.users().update(UserId(self.accounts[account].id), change).await.unwrap();
    }

    async fn step(&self, ticket: usize, method: &str, more: (&str, String)) -> Answer {
        let mut body = json!({"login_token": self.tickets[ticket].token, "method": method});
        body[more.0] = more.1.into();
        self.app.post("/login/verify", body).await
    }

    /// A code is tried: what is said if it is the wrong one or comes too late, or that it is right.
    fn attempt(&mut self, ticket: usize, is_right: bool) -> Option<Says> {
        if !self.is_open(ticket) {
            return Some(Says::Refused(401));
        }
        let Ticket { email, purpose, attempts, awaits, .. } = self.tickets[ticket];
        if attempts >= 5 {
            return Some(Says::Wrong(0));
        }
        // It counts for every other mailed code of the purpose and address, too.
        for (place, other) in self.tickets.iter_mut().enumerate() {
            let are_mailed = other.awaits == Awaits::Mail && awaits == Awaits::Mail;
            let is_same = other.email == email && other.purpose == purpose;
            let is_open = !other.is_over && self.now < other.ends;
            if is_open && (place == ticket || are_mailed && is_same) && other.attempts < 5 {
                other.attempts += 1;
            }
        }
        (!is_right).then_some(Says::Wrong(4 - attempts))
    }

    /// The same of a step that awaits this secret.
    fn try_step(&mut self, ticket: usize, awaits: Awaits) -> Option<Says> {
        match self.tickets[ticket].awaits == awaits {
            true => self.attempt(ticket, true),
            false => Some(Says::Refused(401)),
        }
    }

    fn typed(&self, account: usize, which: Secrecy) -> String {
        let present = self.accounts[account].password;
        match which {
            Secrecy::Present => password(present),
            Secrecy::Former => password(present.wrapping_sub(1)),
        }
    }

    /// The account has a factor, and if it is the first everything else ends.
    fn gains_factor(&mut self, account: usize) {
        if !self.accounts[account].has_factor() {
            self.end_everything(account);
            self.accounts[account].has_code = true;
        }
    }

    async fn remove(&mut self, account: usize, kind: FactorKind) {
        let (context, id) = (self.app.auth.context(), UserId(self.accounts[account].id));
        let factors = context.store.factors_of(id).await.unwrap();
        let Some(factor) = factors.iter().find(|factor| factor.kind() == kind) else { return };
        assert!(remove_factor_of(context, id, factor.id, &Actor::Operator.into()).await.unwrap());
        self.post.read(self.app).await;
        self.end_everything(account);
        let account = &mut self.accounts[account];
        match kind {
            FactorKind::Totp => account.app = None,
            _ => account.has_passkey = false,
        }
        account.has_code &= account.has_factor();
    }

    async fn take(&mut self, act: Act) -> Option<(Answer, Says)> {
        match act {
            Act::AskLogin(account) | Act::AskReset(account) => {
                let (path, purpose) = match act {
                    Act::AskLogin(_) => ("/login/email", Purpose::LogIn),
                    _ => ("/password/reset", Purpose::Reset),
                };
                let answer = self.app.post(path, json!({"email": self.accounts[account].email})).await;
                let ticket = self.ticket(account, purpose, Awaits::Mail);
                self.begin(&answer, ticket, None).await;
                Some((answer, Says::Flow("email_code")))
            }
            Act::LogIn(account, which) => {
                let typed = self.typed(account, which);
                let of = &self.accounts[account];
                let answer = self.app.post("/login", json!({"email": of.email, "password": typed})).await;
                if which == Secrecy::Former || !of.is_active {
                    return Some((answer, Says::Refused(400)));
                }
                let says = {
                    let proved = Proved { password: true, ..Proved::default() };
                    self.proved(&answer, account, proved, None).await
                };
                Some((answer, says))
            }
            Act::Code(with, of) => {
                let code = self.tickets[of].letters.last()?.code();
                let answer = self.step(with, "email_code", ("code", code)).await;
                if let Some(says) = self.attempt(with, with == of) {
                    return Some((answer, says));
                }
                let ticket = &self.tickets[with];
                let (account, _) = ticket.of?;
                if ticket.purpose == Purpose::Reset {
                    return Some((answer, Says::Refused(400)));
                }
                let proved = Proved { email: true, ..ticket.proved };
                let says = self.proved(&answer, account, proved, Some(with)).await;
                Some((answer, says))
            }
            Act::WrongCode(with) => {
                let answer = self.step(with, "email_code", ("code", "BBBB-BBBB".to_owned())).await;
                let says = self.attempt(with, false)?;
                Some((answer, says))
            }
            Act::Link(by, of) => {
                let key = self.tickets[of].letters.last()?.key();
                let body = json!({"key": key, "login_token": self.tickets[by].token});
                let answer = self.app.post("/login/link", body).await;
                let ticket = &self.tickets[of];
                if !self.is_open(of) || ticket.purpose == Purpose::Reset {
                    return Some((answer, Says::Refused(400)));
                }
                let proved = if by == of { ticket.proved } else { Proved::default() };
                let proved = Proved { email: true, ..proved };
                let says = self.proved(&answer, ticket.of?.0, proved, Some(of)).await;
                Some((answer, says))
            }
            Act::OldLink(of) => {
                let [.., old, _] = &self.tickets[of].letters[..] else { return None };
                let answer = self.app.post("/login/link", json!({"key": old.key()})).await;
                Some((answer, Says::Refused(400)))
            }
            Act::Resend(of) => {
                let body = json!({"login_token": self.tickets[of].token});
                let answer = self.app.post("/registration/resend-email", body).await;
                let mails = self.asked_for().await;
                if !self.is_open(of) || self.tickets[of].awaits != Awaits::Mail {
                    assert!(mails.is_empty());
                    return Some((answer, Says::Refused(401)));
                }
                let (now, ticket) = (self.now, &mut self.tickets[of]);
                let is_due = now >= ticket.sent + 30;
                assert_eq!(mails.len(), usize::from(is_due && ticket.of.is_some()));
                if is_due {
                    ticket.sent = now;
                }
                ticket.letters.extend(mails.into_iter().map(Letter));
                let flow = if ticket.purpose == Purpose::Verify { "verify_email" } else { "email_code" };
                Some((answer, Says::Flow(flow)))
            }
            Act::Cancel(of) => {
                let body = json!({"login_token": self.tickets[of].token});
                let answer = self.app.post("/login/cancel", body).await;
                self.tickets[of].is_over = true;
                Some((answer, Says::Done))
            }
            Act::Choose(of) => {
                let account = self.tickets[of].email;
                let new = password(self.accounts[account].password + 1);
                let answer = self.step(of, "new_password", ("new_password", new)).await;
                let ticket = &self.tickets[of];
                if !self.is_open(of) || ticket.awaits != Awaits::Password {
                    return Some((answer, Says::Refused(401)));
                }
                let proved = Proved { password: true, ..ticket.proved };
                self.tickets[of].is_over = true;
                self.new_password(account, proved.email);
                let says = self.proved(&answer, account, proved, None).await;
                Some((answer, says))
            }
            Act::Keep(of) => {
                let answer = self.step(of, "cancel_deletion", ("code", String::new())).await;
                let ticket = &self.tickets[of];
                if !self.is_open(of) || ticket.awaits != Awaits::Stay {
                    return Some((answer, Says::Refused(401)));
                }
                let (account, proved) = (ticket.email, ticket.proved);
                self.accounts[account].is_leaving = false;
                let says = self.proved(&answer, account, proved, Some(of)).await;
                Some((answer, says))
            }
            Act::Reset(of, by_code) => {
                let letter = self.tickets[of].letters.last()?;
                let account = self.tickets[of].email;
                let new = password(self.accounts[account].password + 1);
                let mut body = json!({"new_password": new});
                match by_code {
                    true => {
                        (body["code"], body["login_token"]) =
                            (letter.code().into(), self.tickets[of].token.clone().into());
                    }
                    false => body["key"] = letter.key().into(),
                }
                let answer = self.app.post("/password/reset/confirm", body).await;
                self.post.read(self.app).await;
                if by_code && let Some(says) = self.attempt(of, true) {
                    return Some((answer, says));
                }
                if !self.is_open(of) || self.tickets[of].purpose != Purpose::Reset {
                    return Some((answer, Says::Refused(400)));
                }
                if self.accounts[account].has_factor() {
                    let mut ticket = self.ticket(account, Purpose::LogIn, Awaits::Factor);
                    (ticket.proved.email, ticket.is_reset) = (true, true);
                    self.begin(&answer, ticket, Some(of)).await;
                    return Some((answer, Says::Flow("mfa_authenticate")));
                }
                self.new_password(account, true);
                Some((answer, Says::Done))
            }
            Act::AppCode(with, is_right) => {
                let phone = Phone::given();
                let code = if is_right { phone.code(self.app) } else { phone.wrong(self.app) };
                let answer = self.step(with, "totp", ("code", code)).await;
                if let Some(says) = self.try_step(with, Awaits::Factor) {
                    return Some((answer, says));
                }
                let (left, step) = (5 - self.tickets[with].attempts, phone.step(self.app));
                let app = &mut self.accounts[self.tickets[with].email].app;
                if !is_right || app.is_none_or(|newest| newest >= step) {
                    return Some((answer, Says::Wrong(left)));
                }
                *app = Some(step);
                let says = self.with_factor(&answer, with, false).await?;
                Some((answer, says))
            }
            Act::RecoveryCode(with) => {
                let answer = self.step(with, "recovery_code", ("code", RECOVERY_CODE.to_owned())).await;
                if let Some(says) = self.try_step(with, Awaits::Factor) {
                    return Some((answer, says));
                }
                let Ticket { email, attempts, .. } = self.tickets[with];
                if !std::mem::take(&mut self.accounts[email].has_code) {
                    return Some((answer, Says::Wrong(5 - attempts)));
                }
                let says = self.with_factor(&answer, with, false).await?;
                Some((answer, says))
            }
            Act::Passkey(with, of) => {
                let token = self.tickets[with].token.clone();
                let asked = self.app.post("/login/passkey/options", json!({"login_token": token})).await;
                if !self.is_open(with) || self.tickets[with].awaits != Awaits::Factor {
                    return Some((asked, Says::Refused(401)));
                }
                let account = self.tickets[with].email;
                if !self.accounts[account].has_passkey {
                    return Some((asked, Says::Refused(400)));
                }
                let mut options = asked.json()["options"].clone();
                options["allowCredentials"] = json!([]);
                self.keys[of].user_verified = false;
                let credential = self.keys[of].get(&options, ORIGIN)?;
                let body = json!({"login_token": token, "credential": credential});
                let answer = self.app.post("/login/passkey", body).await;
                if of != account {
                    return Some((answer, Says::Refused(400)));
                }
                let says = self.with_factor(&answer, with, false).await?;
                Some((answer, says))
            }
            Act::PasskeyLogin(account, is_verified) => {
                let asked = self.app.post("/login/passkey/options", json!({})).await;
                self.keys[account].user_verified = is_verified;
                let credential = self.keys[account].get(&asked.json()["options"], ORIGIN)?;
                let answer = self.app.post("/login/passkey", json!({"credential": credential})).await;
                let Account { has_passkey, is_active, .. } = self.accounts[account];
                if !has_passkey || !is_active {
                    return Some((answer, Says::Refused(400)));
                }
                let proved = Proved { factor: Some(is_verified), ..Proved::default() };
                let says = self.proved(&answer, account, proved, None).await;
                Some((answer, says))
            }
            Act::OwnPassword(with, which) => {
                let account = self.tickets[with].email;
                let typed = self.typed(account, which);
                let answer = self.step(with, "password", ("password", typed)).await;
                if let Some(says) = self.try_step(with, Awaits::OwnPassword) {
                    return Some((answer, says));
                }
                if which == Secrecy::Former {
                    return Some((answer, Says::Refused(400)));
                }
                let proved = Proved { password: true, ..self.tickets[with].proved };
                let says = self.proved(&answer, account, proved, Some(with)).await;
                Some((answer, says))
            }
            _ => {
                self.by_hand(act).await;
                None
            }
        }
    }

    /// What no client does.
    async fn by_hand(&mut self, act: Act) {
        let nothing = UserChange::default();
        match act {
            Act::MustChange(account) => {
                self.accounts[account].must_change = true;
                self.update(account, UserChange { must_change_password: Some(true), ..nothing }).await;
            }
            Act::Leave(account) => {
                self.accounts[account].is_leaving = true;
                let at = NOON.after(Duration::from_hours(1000));
                self.update(account, UserChange { deletion_at: Some(Some(at)), ..nothing }).await;
            }
            Act::Deactivate(account) | Act::Reactivate(account) => {
                let is_active = matches!(act, Act::Reactivate(_));
                if self.accounts[account].is_active && !is_active {
                    self.end_everything(account);
                }
                self.accounts[account].is_active = is_active;
                self.update(account, UserChange { is_active: Some(is_active), ..nothing }).await;
            }
            Act::SignOut(account) => {
                self.app.auth.users().sign_out(UserId(self.accounts[account].id)).await.unwrap();
                self.end_everything(account);
            }
            Act::Wait(seconds) => {
                self.now += seconds;
                self.app.clock.advance(Duration::from_secs(seconds));
            }
            Act::GiveApp(account)
                if self.accounts[account].is_active && self.accounts[account].app.is_none() =>
            {
                give_totp(self.app, UserId(self.accounts[account].id)).await;
                self.gains_factor(account);
                self.accounts[account].app = Some(i64::MIN);
            }
            Act::GivePasskey(account)
                if self.accounts[account].is_active && !self.accounts[account].has_passkey =>
            {
                let key = &mut self.keys[account];
                let create = |options: &Value| key.create(options, ORIGIN).unwrap();
                give_passkey(self.app, UserId(self.accounts[account].id), create).await;
                self.gains_factor(account);
                self.accounts[account].has_passkey = true;
            }
            Act::GiveApp(_) | Act::GivePasskey(_) => {}
            Act::Remove(account, kind) => self.remove(account, kind).await,
            other => panic!("{other:?} is answered"),
        }
    }

    /// Every token that was given out is good exactly as long as the model says.
    async fn check_tokens(&self) {
        for (token, account, era) in &self.tokens {
            let account = &self.accounts[*account];
            let answer = self.app.get("/me", token).await;
            let is_good = account.era == *era && account.is_active;
            assert_eq!(answer.status == 200, is_good, "{answer:?}");
            if is_good {
                assert_eq!(answer.json()["email"], account.email, "of its own account");
            }
        }
    }
}

fn password(n: u32) -> String {
    format!("{PASSWORD} number {n}")
}

/// What an answer says, in the words of the model.
fn said(answer: &Answer) -> Says {
    let body = if answer.body.is_empty() { Value::Null } else { answer.json() };
    if body.get("token").is_some() || body.get("access").is_some() {
        assert_eq!(answer.status, 200);
        return Says::Tokens;
    }
    let flows =
        ["email_code", "verify_email", "change_password", "cancel_deletion", "mfa_authenticate", "password"];
    if let Some(flow) = flows.into_iter().find(|flow| body["flows"][0]["id"] == *flow) {
        return Says::Flow(flow);
    }
    match body["attempts_left"].as_u64() {
        Some(left) => Says::Wrong(u32::try_from(left).unwrap()),
        None if answer.status.is_success() => Says::Done,
        None => Says::Refused(answer.status.as_u16()),
    }
}

/// A number below `most`, not evenly.
fn below(random: &SeededRandom, most: usize) -> usize {
    let random: &dyn RandomSource = random;
    usize::from_le_bytes(random.bytes()) % most
}

fn act(random: &SeededRandom, tickets: usize) -> Act {
    let below = |most| below(random, most);
    let account = below(2);
    // Mostly the newest, and now and then one that may be over.
    let any = || tickets - 1 - below(tickets.min(if below(3) == 0 { tickets } else { 2 }));
    let which = || if below(3) == 0 { Secrecy::Former } else { Secrecy::Present };
    let chosen = below(if tickets == 0 { 13 } else { 56 });
    match chosen {
        // The second account never has a factor.
        9 => Act::GiveApp(0),
        10 => Act::GivePasskey(0),
        11 | 12 => Act::PasskeyLogin(0, below(2) == 0),
        40..=45 => Act::AppCode(any(), below(4) > 0),
        46 | 47 => Act::RecoveryCode(any()),
        48..=50 => Act::Passkey(any(), 0),
        51..=53 => Act::OwnPassword(any(), which()),
        54 => Act::Remove(0, [FactorKind::Totp, FactorKind::Webauthn][below(2)]),
        55 => Act::AskLogin(0),
        0 | 1 => Act::AskLogin(account),
        2 => Act::AskReset(account),
        3 | 4 => Act::LogIn(account, Secrecy::Present),
        5 => Act::LogIn(account, Secrecy::Former),
        6 => Act::MustChange(account),
        7 => match below(4) {
            0 => Act::Deactivate(account),
            1 => Act::SignOut(account),
            _ => Act::Reactivate(account),
        },
        8 if below(3) == 0 => Act::Leave(account),
        8 => Act::Wait([1, 29, 30, 300, 600, 3600][below(6)]),
        13..=15 => {
            let of = any();
            Act::Code(of, of)
        }
        16 | 17 => Act::Code(any(), any()),
        18 | 19 => Act::WrongCode(any()),
        20..=22 => {
            let of = any();
            Act::Link(of, of)
        }
        23..=25 => Act::Link(any(), any()),
        26 => Act::OldLink(any()),
        27 | 28 => Act::Resend(any()),
        29 => Act::Cancel(any()),
        30..=33 => Act::Choose(any()),
        34 | 35 => Act::Keep(any()),
        _ => Act::Reset(any(), below(2) == 0),
    }
}

/// An application on the database, and the accounts of a round.
async fn round(app: &App, post: &Post, is_required: bool, seed: u64) -> [usize; 2] {
    let random = SeededRandom::new(seed);
    let mut accounts = Vec::new();
    for n in 0..2 {
        let (name, email) = (format!("u{seed}of{n}"), format!("u{seed}of{n}@example.com"));
        let user = app.auth.users().create_user(&name, &email, Some(&password(1))).await.unwrap();
        let is_verified = below(&random, 2) == 0;
        if is_verified {
            let change =
                UserChange { email_verified_at: Some(app.auth.context().now()), ..UserChange::default() };
            app.auth.users().update(user.id, change).await.unwrap();
        }
        accounts.push(Account {
            id: user.id.0,
            email,
            password: 1,
            is_verified,
            must_change: false,
            is_active: true,
            is_leaving: false,
            app: None,
            has_passkey: false,
            has_code: false,
            era: 0,
        });
    }
    let accounts = <[Account; 2]>::try_from(accounts).unwrap();
    let keys = [Authenticator::new(-7), Authenticator::new(-7)];
    let (tickets, tokens) = (Vec::new(), Vec::new());
    let mut machine = Machine { app, post, is_required, now: 0, accounts, keys, tickets, tokens };
    let (mut acts, mut flows) = (Vec::new(), 0);
    for _ in 0..40 {
        let act = act(&random, machine.tickets.len());
        acts.push(act);
        if let Some((answer, says)) = machine.take(act).await {
            flows += usize::from(matches!(says, Says::Flow(_)));
            assert_eq!(said(&answer), says, "required: {is_required}, seed {seed}, {acts:#?}");
        }
        machine.check_tokens().await;
    }
    [machine.tokens.len(), flows]
}

async fn drill_random_steps_give_tokens_to_whom_the_model_gives_them(database: Database) {
    let rounds = drill().rounds(15, 2500);
    let (mut tokens, mut flows) = (0, 0);
    for is_required in [false, true] {
        let post = Post::default();
        let mailer = post.clone();
        let change = |builder: Builder| {
            // Mails are sent when they are read, and by nobody else.
            builder.background(false).mailer(mailer).settings(|settings| {
                settings.factors.passkeys = Some(relying_party());
                if is_required {
                    settings.mail.verification = EmailVerification::Required;
                }
            })
        };
        let app = database.app_with(change).await;
        for seed in 0..rounds as u64 {
            let seed = 2 * seed + u64::from(is_required);
            let [given, begun] = round(&app, &post, is_required, seed).await;
            (tokens, flows) = (tokens + given, flows + begun);
        }
    }
    assert!(tokens > rounds && flows > rounds, "{tokens} tokens after {flows} steps");
}
