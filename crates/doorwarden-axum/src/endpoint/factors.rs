use super::answer::{Json, NoContent, WithCookies};
use super::login::Token;
use super::operation::{Call, Data, Recent, RecentUserOrLogin, user};
use super::receiver::Receiver;
use super::token::{self, TokenPair};
use crate::body::{Text, Word};
use crate::error::ApiError;
use crate::extract::CurrentUser;
use crate::next_step::NextStep;
use crate::refresh_cookie;
use axum::RequestPartsExt;
use axum::extract::Path;
use doorwarden_core::error::Input;
use doorwarden_core::factor::FactorId;
use doorwarden_core::factor::recovery::RecoveryCode;
use doorwarden_core::flow::continue_login::LoginTokens;
use doorwarden_core::flow::factors::{
    Enrolled, EnrolledLogin, Enroller, begin_totp, confirm_totp, factors, remove_factor, rename_factor,
    renew_recovery_codes,
};
pub(super) use doorwarden_core::view::FactorView;
use http::header::AUTHORIZATION;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(super) async fn get(call: Call<CurrentUser>) -> Result<Json<Vec<FactorView>>, ApiError> {
    let factors = factors(call.auth.context(), call.caller.id()).await?;
    Ok(Json(factors.iter().map(Into::into).collect()))
}

/// Who sets up a factor: the user of a token, or whoever has a login token.
pub(super) async fn caller<B>(
    call: &Call<RecentUserOrLogin, B>,
    login_token: &Word,
) -> Result<Option<CurrentUser>, ApiError> {
    if call.parts.headers.contains_key(AUTHORIZATION) {
        return user(&call.auth, &call.parts).await.map(Some);
    }
    match login_token.0 {
        Input::Missing => Err(ApiError::not_authenticated()),
        _ => Ok(None),
    }
}

/// As the flows take it.
pub(super) fn enroller(caller: Option<&CurrentUser>, login_token: Word) -> Enroller<'_> {
    caller.map_or(Enroller::Login(login_token.0), |user| Enroller::User(user.authenticated()))
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct NewTotp {
    /// What to call it.
    #[serde(default)]
    name: Text,
    /// Of a login that waits for a factor, in the place of a token.
    #[serde(default)]
    login_token: Word,
}

/// An authenticator app that waits for its first code.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "TotpSetUp")]
pub(super) struct TotpSetUp {
    id: FactorId,
    /// To be typed into an app that cannot see the picture: base32.
    secret: String,
    /// What the picture says.
    otpauth_uri: String,
    /// The picture: an SVG.
    qr_svg: String,
    /// Seconds.
    expires_in: u64,
}

pub(super) async fn post_totp(
    call: Call<RecentUserOrLogin, Data<NewTotp>>,
) -> Result<Json<TotpSetUp, 201>, ApiError> {
    let caller = caller(&call, &call.body.fields.login_token).await?;
    let (client, context) = (call.client(), call.auth.context());
    let NewTotp { name, login_token } = call.body.fields;
    let new = begin_totp(context, enroller(caller.as_ref(), login_token), name.0, client).await?;
    Ok(Json(TotpSetUp {
        id: new.id,
        secret: new.secret.expose().to_owned(),
        otpauth_uri: new.uri,
        qr_svg: new.qr_svg,
        expires_in: new.expires_in.as_secs(),
    }))
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct FirstCode {
    /// That the app shows now.
    code: Word,
    /// Of a login that waits for a factor, in the place of a token.
    #[serde(default)]
    login_token: Word,
}

/// A factor that counts from now on, and what became of the login that has waited for it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "EnrolledFactor")]
pub(super) struct EnrolledFactor {
    factor: FactorView,
    /// With the first factor: to be kept by the user. They are not shown again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<String>")]
    recovery_codes: Option<Vec<String>>,
    #[serde(flatten)]
    login: Login,
}

/// What became of a login that has waited for a factor.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
enum Login {
    /// There was none.
    None {},
    Session(Token),
    Pair(TokenPair),
    /// It needs another step.
    Next(NextStep),
}

/// With the status of the operation, and the cookie of a pair.
pub(super) type EnrolledAnswer<const STATUS: u16> = WithCookies<Json<EnrolledFactor, STATUS>>;

/// The factor as an answer.
pub(super) fn enrolled<const STATUS: u16>(
    enrolled: Enrolled,
    receiver: &Receiver<'_>,
) -> EnrolledAnswer<STATUS> {
    let mut cookies = Vec::new();
    let login = match enrolled.login {
        None => Login::None {},
        Some(EnrolledLogin::Pending(pending)) => Login::Next(NextStep::of(&pending)),
        Some(EnrolledLogin::Tokens(tokens)) => match *tokens {
            LoginTokens::Session(issued) => {
                let WithCookies(token, set) = Token::of_login(issued, receiver);
                cookies = set;
                Login::Session(token)
            }
            LoginTokens::Pair(pair) => {
                let WithCookies(Json(pair), set) = token::of_login(pair, receiver);
                cookies = set;
                Login::Pair(pair)
            }
            LoginTokens::Reauthenticated(_) | LoginTokens::PasswordReset => Login::None {},
        },
    };
    let codes = |codes: Vec<RecoveryCode>| codes.iter().map(RecoveryCode::shown).collect();
    let recovery_codes = enrolled.recovery_codes.map(codes);
    WithCookies(Json(EnrolledFactor { factor: (&enrolled.factor).into(), recovery_codes, login }), cookies)
}

pub(super) async fn confirm(
    mut call: Call<RecentUserOrLogin, Data<FirstCode>>,
) -> Result<EnrolledAnswer<200>, ApiError> {
    let transport = refresh_cookie::transport(call.auth.settings(), &call.parts.headers)?;
    let id = id(&mut call).await?;
    let caller = caller(&call, &call.body.fields.login_token).await?;
    let receiver = Receiver::of(&call.auth, &call.parts, transport);
    let (client, context) = (call.client(), call.auth.context());
    let FirstCode { code, login_token } = call.body.fields;
    let enroller = enroller(caller.as_ref(), login_token);
    Ok(enrolled(confirm_totp(context, enroller, id, code.0, client).await?, &receiver))
}

/// The recovery codes, each good once.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RecoveryCodes")]
pub(super) struct Codes {
    codes: Vec<String>,
}

pub(super) async fn post_codes(call: Call<Recent>) -> Result<Json<Codes>, ApiError> {
    let client = call.client();
    let codes = renew_recovery_codes(call.auth.context(), call.caller.0.authenticated(), client).await?;
    Ok(Json(Codes { codes: codes.iter().map(RecoveryCode::shown).collect() }))
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct NewName {
    name: Word,
}

pub(super) async fn patch(mut call: Call<CurrentUser, Data<NewName>>) -> Result<Json<FactorView>, ApiError> {
    let id = id(&mut call).await?;
    let (client, context) = (call.client(), call.auth.context());
    let (who, name) = (call.caller.authenticated(), call.body.fields.name.0);
    Ok(Json((&rename_factor(context, who, id, name, client).await?).into()))
}

pub(super) async fn delete(mut call: Call<Recent>) -> Result<NoContent, ApiError> {
    let id = id(&mut call).await?;
    let client = call.client();
    remove_factor(call.auth.context(), call.caller.0.authenticated(), id, client).await?;
    Ok(NoContent)
}

async fn id<C, B>(call: &mut Call<C, B>) -> Result<FactorId, ApiError> {
    let path = call.parts.extract::<Path<FactorId>>().await;
    path.map(|Path(id)| id).map_err(|_| ApiError::not_found())
}
