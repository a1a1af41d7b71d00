//! Web Authentication, level 3, for a relying party: the options of a ceremony, and the strict verification
//! of its response.
//!
//! The crate does no input or output, reads no clock and draws no randomness. The caller draws the challenge
//! of a ceremony, remembers it, and accepts one response for it; the caller stores credentials and finds them
//! by their ids. All the rest of the [specification](https://www.w3.org/TR/webauthn-3/), sections 7.1 and
//! 7.2, is here:
//!
//! | | registration | authentication |
//! |---|---|---|
//! | for the browser | [`RelyingParty::creation_options`] | [`RelyingParty::request_options`] |
//! | from the browser | [`RegistrationResponse`] | [`AuthenticationResponse`] |
//! | verification | [`RelyingParty::register`] | [`RelyingParty::authenticate`] |
//! | result | [`Registered`] | [`Authenticated`] |
//!
//! The options are the JSON types of the specification, so a page needs no code for them:
//!
//! ```js
//! const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options);
//! const credential = await navigator.credentials.create({ publicKey });
//! send(credential.toJSON());
//! ```
//!
//! What the crate is strict about:
//!
//! - The algorithms are ES256, EdDSA with Ed25519, RS256 with 2048 to 4096 bits, and ES384; a credential of
//!   another one, which could never log in, is not registered.
//! - CBOR is canonical, client data has no duplicate members, base64url has one spelling.
//! - The origin is one of a list. Frames of other origins are refused unless their origins are listed.
//! - The user is present. Whether the authenticator has to verify the user is a parameter, and whether it did
//!   is a result: a passkey is two factors only if it did.
//! - The credential and the user handle of an authentication are those that the caller expects.
//! - Attestation is not asked for and not trusted. [`Attestation`] says what was there and whether it was
//!   verified.
//!
//! And what it reports instead of refusing, because correct authenticators do it: a [`Counter`] that does not
//! grow, and a change of the backup flags.
//!
//! Every refusal has a named reason, a [`Refusal`], for logs and operators.
//!
//! ```
//! # use doorwarden_testkit::authenticator::Authenticator;
//! use doorwarden_webauthn::{
//!     Algorithm, Challenge, Counter, Expectation, RelyingParty, Requirement, StoredCredential, User,
//!     UserHandle,
//! };
//!
//! let party = RelyingParty::new("example.org", "Example", ["https://example.org"])?;
//! let user = User { id: UserHandle::new([7; 16])?, name: "jane".into(), display_name: "Jane".into() };
//! # let mut browser = Authenticator::new(-7);
//!
//! // Registration. 16 random bytes or more are the challenge.
//! let challenge = Challenge::new([1; 16])?;
//! let options = party.creation_options(user.clone(), challenge.clone(), vec![]);
//! let json = serde_json::to_value(options)?;
//! # let json = browser.create(&json, "https://example.org").expect("a credential");
//! let response = serde_json::from_value(json)?;
//! let registered = party.register(&response, &challenge, Requirement::Preferred)?;
//! assert_eq!(registered.public_key.algorithm(), Algorithm::Es256);
//!
//! // Authentication, with any passkey of any user.
//! let challenge = Challenge::new([2; 16])?;
//! let options = party.request_options(challenge.clone(), vec![], Requirement::Required);
//! let json = serde_json::to_value(options)?;
//! # let json = browser.get(&json, "https://example.org").expect("an assertion");
//! let response: doorwarden_webauthn::AuthenticationResponse = serde_json::from_value(json)?;
//! assert_eq!(response.challenge()?, challenge);
//! assert_eq!(*response.credential_id(), registered.credential_id);
//! let credential = StoredCredential {
//!     id: registered.credential_id,
//!     public_key: registered.public_key,
//!     sign_count: registered.sign_count,
//! };
//! let authenticated = party.authenticate(&response, &Expectation {
//!     challenge: &challenge,
//!     credential: &credential,
//!     user_handle: &user.id,
//!     discoverable: true,
//!     user_verification: Requirement::Required,
//! })?;
//! assert!(authenticated.user_verified);
//! assert_eq!(authenticated.counter, Counter::Grew);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod aaguid;
mod algorithm;
mod authentication;
pub mod authenticator_data;
mod binary;
pub mod cbor;
mod ceremony;
pub mod client_data;
mod descriptor;
mod key;
mod options;
mod refusal;
mod registration;
mod relying_party;
mod response;
mod signal;

pub use algorithm::Algorithm;
pub use authentication::{Authenticated, Counter, Expectation, StoredCredential};
pub use binary::{BinaryError, Challenge, CredentialId, UserHandle};
pub use descriptor::{Descriptor, Transport};
pub use key::{KeyError, PublicKey};
pub use options::{AuthenticatorSelection, CreationOptions, RequestOptions, Requirement, User};
pub use refusal::Refusal;
pub use registration::{Attestation, Registered};
pub use relying_party::{RelyingParty, RelyingPartyError, WellKnown};
pub use response::{AuthenticationResponse, RegistrationResponse};
pub use signal::{AllAcceptedCredentials, CurrentUserDetails, UnknownCredential};
