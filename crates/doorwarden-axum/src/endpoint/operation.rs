//! An operation: one method of an endpoint, as one typed thing.

use super::answer::{Answer, Described};
use super::problem::{self, Problem};
use super::types::Types;
use crate::auth::Auth;
use crate::body::RequestData;
use crate::client::client_info;
use crate::error::ApiError;
use crate::extract::CurrentUser;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use doorwarden_core::error::Input;
use doorwarden_core::field::Raw;
use doorwarden_core::flow::authenticate::{AuthenticateError, ShownTo};
use doorwarden_core::flow::events;
use doorwarden_core::flow::invite;
use doorwarden_core::flow::reauthenticate::{RECENT, is_recent};
use doorwarden_core::mail::Locale;
use doorwarden_core::session::ClientInfo;
use doorwarden_core::store::patience::one_request;
use futures_util::future::BoxFuture;
use http::Method;
use http::header::ACCEPT_LANGUAGE;
use http::request::Parts;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::value::StrDeserializer;
use serde_json::Value;
use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;

/// Who may call an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Permission {
    Anybody,
    /// Anybody; the token of a user may take the place of the body.
    AnybodyOrUser,
    /// A user who was authenticated a few minutes ago at most, or whose login waits for this, by the login
    /// token in the body.
    RecentUserOrLogin,
    User,
    /// A user who was authenticated a few minutes ago at most.
    RecentUser,
    /// A user with this permission of Django's (`app_label.codename`), or a superuser.
    UserWith(&'static str),
    /// A service that shows its secret, as HTTP Basic or in the form.
    Service,
}

/// Who calls, as far as the operation needs to know before it reads the body.
pub(crate) trait Caller: Sized + Send {
    const PERMISSION: Permission;

    fn find(auth: &Auth, parts: &Parts) -> impl Future<Output = Result<Self, ApiError>> + Send;
}

/// Callers whom the operation looks at itself, if at all.
macro_rules! unknown_callers {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub(crate) struct $name;

        impl Caller for $name {
            const PERMISSION: Permission = Permission::$name;

            async fn find(_: &Auth, _: &Parts) -> Result<Self, ApiError> {
                Ok(Self)
            }
        }
    )+};
}

unknown_callers! {
    /// Nobody needs to say who they are.
    Anybody,
    /// [`user`] says who it is, where there is no body.
    AnybodyOrUser,
    /// [`user`] says who it is, where there is no login token.
    RecentUserOrLogin,
    /// One of [`oauth_clients`](crate::settings::HttpSettings::oauth_clients).
    Service,
}

impl Caller for CurrentUser {
    const PERMISSION: Permission = Permission::User;

    async fn find(auth: &Auth, parts: &Parts) -> Result<Self, ApiError> {
        user(auth, parts).await
    }
}

/// A user who was authenticated a few minutes ago at most.
#[derive(Debug)]
pub(crate) struct Recent(pub(crate) CurrentUser);

impl Caller for Recent {
    const PERMISSION: Permission = Permission::RecentUser;

    async fn find(auth: &Auth, parts: &Parts) -> Result<Self, ApiError> {
        let user = user(auth, parts).await?;
        match one_request(is_recent(auth.context(), user.authenticated(), RECENT)).await? {
            true => Ok(Self(user)),
            false => Err(ApiError::reauthentication_required(RECENT)),
        }
    }
}

/// A permission of Django's that an operation needs.
pub(crate) trait Right: Send {
    /// `app_label.codename`.
    const NAME: &'static str;
}

/// The right to invite people.
#[derive(Debug)]
pub(crate) struct Inviting;

impl Right for Inviting {
    const NAME: &'static str = invite::PERMISSION;
}

/// The right to read the events of everybody.
#[derive(Debug)]
pub(crate) struct Auditing;

impl Right for Auditing {
    const NAME: &'static str = events::PERMISSION;
}

/// A user who has a right: by a permission, of their own or through a group, or as a superuser.
#[derive(Debug)]
pub(crate) struct Permitted<R> {
    pub(crate) user: CurrentUser,
    right: PhantomData<R>,
}

impl<R: Right> Caller for Permitted<R> {
    const PERMISSION: Permission = Permission::UserWith(R::NAME);

    async fn find(auth: &Auth, parts: &Parts) -> Result<Self, ApiError> {
        let user = user(auth, parts).await?;
        match user.has_perm(R::NAME) {
            true => Ok(Self { user, right: PhantomData }),
            false => Err(ApiError::permission_denied()),
        }
    }
}

/// The user of a request about their own account, or 401.
pub(crate) async fn user(auth: &Auth, parts: &Parts) -> Result<CurrentUser, ApiError> {
    let Some(user) = CurrentUser::found(&parts.extensions, auth) else {
        return auth.authenticate_for(ShownTo::Account, &parts.headers).await;
    };
    // A layer of the application let it through, which lets others through as well.
    let judged = user.authenticated().counts_for(ShownTo::Account, &auth.context().settings.access);
    judged.map_err(AuthenticateError::from)?;
    Ok(user)
}

/// What an operation takes of the body.
pub(crate) trait RequestBody: Sized + Send {
    /// The schema; `None` if no body is taken.
    fn describe(types: &mut Types) -> Option<Value>;

    fn read(parts: &Parts, body: Body) -> impl Future<Output = Result<Self, ApiError>> + Send;
}

/// No body is taken, and one that was sent is not read.
impl RequestBody for () {
    fn describe(_: &mut Types) -> Option<Value> {
        None
    }

    async fn read(_: &Parts, _: Body) -> Result<Self, ApiError> {
        Ok(())
    }
}

/// The fields of a body: those that its type names, and all others, among which are the declared ones.
#[derive(Debug)]
pub(crate) struct Data<T> {
    pub(crate) fields: T,
    pub(crate) others: HashMap<String, Input<Raw>>,
}

impl<T> From<RequestData> for Data<T>
where
    T: for<'de> Deserialize<'de>,
{
    fn from(mut data: RequestData) -> Self {
        Self { fields: data.take(), others: data.others() }
    }
}

impl<T> RequestBody for Data<T>
where
    T: for<'de> Deserialize<'de> + JsonSchema + Send,
{
    fn describe(types: &mut Types) -> Option<Value> {
        Some(types.input::<T>())
    }

    async fn read(parts: &Parts, body: Body) -> Result<Self, ApiError> {
        Ok(RequestData::read(&parts.headers, body).await?.into())
    }
}

/// A body that the operation reads when it has looked at the headers.
#[derive(Debug)]
pub(crate) struct Unread<T>(Body, PhantomData<fn() -> T>);

impl<T> Unread<T>
where
    T: for<'de> Deserialize<'de>,
{
    pub(crate) async fn read(self, parts: &Parts) -> Result<Data<T>, ApiError> {
        Ok(RequestData::read(&parts.headers, self.0).await?.into())
    }

    /// As [`read`](Self::read), where no body is needed.
    pub(crate) async fn read_optional(self, parts: &Parts) -> Result<Data<T>, ApiError> {
        Ok(RequestData::read_optional(&parts.headers, self.0).await?.into())
    }
}

impl<T> RequestBody for Unread<T>
where
    T: for<'de> Deserialize<'de> + JsonSchema,
{
    fn describe(types: &mut Types) -> Option<Value> {
        Some(types.input::<T>())
    }

    async fn read(_: &Parts, body: Body) -> Result<Self, ApiError> {
        Ok(Self(body, PhantomData))
    }
}

/// A call of an operation.
#[derive(Debug)]
pub(crate) struct Call<C, B = ()> {
    pub(crate) auth: Auth,
    pub(crate) parts: Parts,
    pub(crate) caller: C,
    pub(crate) body: B,
}

impl<C, B> Call<C, B> {
    /// Where it came from.
    pub(crate) fn client(&self) -> ClientInfo {
        client_info(&self.parts, self.auth.settings())
    }

    /// The language that the client prefers, if mails are written in it.
    pub(crate) fn locale(&self) -> Option<Locale> {
        self.parts.headers.get(ACCEPT_LANGUAGE).and_then(|value| Locale::accepted(value.to_str().ok()?))
    }

    /// A parameter of the query; `None` if it is missing.
    ///
    /// # Errors
    /// `refused` if it is no value of this type.
    pub(crate) fn query<T: for<'de> Deserialize<'de>>(
        &self,
        name: &str,
        refused: impl FnOnce() -> ApiError,
    ) -> Result<Option<T>, ApiError> {
        let query = self.parts.uri.query().unwrap_or_default();
        let Some((_, value)) = form_urlencoded::parse(query.as_bytes()).find(|(given, _)| given == name)
        else {
            return Ok(None);
        };
        let value: StrDeserializer<'_, serde::de::value::Error> = StrDeserializer::new(&value);
        T::deserialize(value).map(Some).map_err(|_| refused())
    }
}

/// A parameter of the path or the query.
#[derive(Debug, Clone)]
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    /// `path` or `query`.
    pub(crate) place: &'static str,
    pub(crate) text: &'static str,
    pub(crate) schema: fn(&mut Types) -> Value,
}

type Handler = Box<dyn Fn(Auth, Request) -> BoxFuture<'static, Result<Response, ApiError>> + Send + Sync>;

/// What one method of an endpoint does.
pub(crate) struct Operation {
    pub(crate) method: Method,
    /// The stable name for generated clients: `verb_resource`.
    pub(crate) id: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) permission: Permission,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) body: fn(&mut Types) -> Option<Value>,
    /// Whether a body may be left out although it has required members.
    pub(crate) is_body_optional: bool,
    /// Whether the body must be a form.
    pub(crate) is_form: bool,
    pub(crate) answers: fn(&mut Types) -> Vec<Described>,
    /// What each of the answers means.
    pub(crate) meanings: &'static [&'static str],
    /// The errors beside those that follow from the permission and the body.
    pub(crate) errors: &'static [Problem],
    /// Whether pages of every origin may read the answer.
    pub(crate) is_public: bool,
    pub(crate) handler: Handler,
}

/// An operation that `handler` performs for callers of the type `C` with a body of the type `B` and a
/// response of the type `A`.
pub(crate) fn operation<C, B, A>(
    method: Method,
    id: &'static str,
    summary: &'static str,
    handler: impl Handle<C, B, A> + Copy + Send + Sync + 'static,
) -> Operation
where
    C: Caller + 'static,
    B: RequestBody + 'static,
    A: Answer + 'static,
{
    Operation {
        method,
        id,
        summary,
        permission: C::PERMISSION,
        parameters: Vec::new(),
        body: B::describe,
        is_body_optional: false,
        is_form: false,
        answers: A::describe,
        meanings: &[],
        errors: &[],
        is_public: A::IS_PUBLIC,
        handler: Box::new(move |auth, request| {
            Box::pin(one_request(async move {
                let (parts, body) = request.into_parts();
                let caller = C::find(&auth, &parts).await?;
                let body = B::read(&parts, body).await?;
                Ok(handler.handle(Call { auth, parts, caller, body }).await?.respond())
            }))
        }),
    }
}

/// An `async fn` from a call to an answer.
pub(crate) trait Handle<C, B, A> {
    fn handle(self, call: Call<C, B>) -> impl Future<Output = Result<A, ApiError>> + Send;
}

impl<C, B, A, F, R> Handle<C, B, A> for F
where
    F: FnOnce(Call<C, B>) -> R,
    R: Future<Output = Result<A, ApiError>> + Send,
{
    fn handle(self, call: Call<C, B>) -> impl Future<Output = Result<A, ApiError>> + Send {
        self(call)
    }
}

impl Operation {
    /// What its answers mean, in the order of [`Answer::describe`].
    pub(super) fn answers(self, meanings: &'static [&'static str]) -> Self {
        Self { meanings, ..self }
    }

    /// The errors beside those that follow from the permission and the body.
    pub(super) fn errors(self, errors: &'static [Problem]) -> Self {
        Self { errors, ..self }
    }

    /// A parameter of the path.
    pub(super) fn path<T: JsonSchema>(self, name: &'static str, text: &'static str) -> Self {
        self.parameter::<T>("path", name, text)
    }

    /// An optional parameter of the query.
    pub(super) fn query<T: JsonSchema>(self, name: &'static str, text: &'static str) -> Self {
        self.parameter::<T>("query", name, text)
    }

    fn parameter<T: JsonSchema>(
        mut self,
        place: &'static str,
        name: &'static str,
        text: &'static str,
    ) -> Self {
        self.parameters.push(Parameter { name, place, text, schema: Types::input::<T> });
        self
    }

    /// The body may be left out.
    pub(super) fn body_optional(self) -> Self {
        Self { is_body_optional: true, ..self }
    }

    /// The body must be `application/x-www-form-urlencoded`.
    pub(super) fn form(self) -> Self {
        Self { is_form: true, ..self }
    }

    /// Every error that it can answer.
    pub(crate) fn all_errors(&self) -> impl Iterator<Item = &'static Problem> {
        let of_user = match self.permission {
            Permission::User
            | Permission::RecentUser
            | Permission::RecentUserOrLogin
            | Permission::UserWith(_) => problem::OF_USERS,
            _ => &[],
        };
        let of_standing = match self.permission {
            Permission::RecentUser | Permission::RecentUserOrLogin => problem::OF_RECENT_USERS,
            Permission::UserWith(_) => problem::OF_PERMITTED_USERS,
            _ => &[],
        };
        let of_body = if (self.body)(&mut Types::default()).is_some() { problem::OF_BODIES } else { &[] };
        problem::COMMON.iter().chain(of_user).chain(of_standing).chain(of_body).chain(self.errors)
    }
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operation").field("id", &self.id).finish_non_exhaustive()
    }
}
