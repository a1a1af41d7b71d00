//! Whoever receives the tokens of a login.

use crate::auth::Auth;
use crate::body::Word;
use crate::client::client_info;
use crate::device_cookie;
use crate::error::ApiError;
use crate::refresh_cookie::Transport;
use doorwarden_core::error::{FieldError, FieldErrors, Input};
use doorwarden_core::flow::throttle::device_mark;
use doorwarden_core::session::ClientInfo;
use doorwarden_core::user::UserId;
use http::HeaderValue;
use http::request::Parts;

/// No solution is shorter: it has the challenge, whose signature alone is 64 characters.
const SHORTEST: usize = 100;

/// The client of a login.
#[derive(Clone, Copy)]
pub(super) struct Receiver<'c> {
    auth: &'c Auth,
    parts: &'c Parts,
    pub(super) transport: Transport,
}

impl<'c> Receiver<'c> {
    pub(super) fn of(auth: &'c Auth, parts: &'c Parts, transport: Transport) -> Self {
        Self { auth, parts, transport }
    }

    /// Where the request came from, with the proof of work of its body, if it has one.
    ///
    /// # Errors
    /// 400 if the proof is no text.
    pub(super) fn client(&self, altcha: Word) -> Result<ClientInfo, ApiError> {
        let client = client_info(self.parts, self.auth.settings());
        match altcha.0 {
            Input::Missing => Ok(client),
            given => match given.required() {
                Ok(work) if work.len() >= SHORTEST => Ok(ClientInfo { proof_of_work: Some(work), ..client }),
                Ok(_) => {
                    let complaint = FieldError::new("invalid", "Not a solution of ALTCHA.");
                    Err(ApiError::fields(FieldErrors::one("altcha", complaint)))
                }
                Err(complaint) => Err(ApiError::fields(FieldErrors::one("altcha", complaint))),
            },
        }
    }

    /// The mark of the device, as a member of the answer and as a cookie.
    pub(super) fn device(&self, user: UserId) -> (Option<String>, Option<HeaderValue>) {
        let client = client_info(self.parts, self.auth.settings());
        let Some(mark) = device_mark(self.auth.context(), user, &client) else { return (None, None) };
        let cookie = device_cookie::set(&mark, &self.parts.headers);
        (Some(mark.expose().to_owned()), cookie)
    }
}
