//! A relying party on standard input, for `tests/interop`, which compares it with other libraries and uses it
//! with a browser.
//!
//! Reads a question a line, JSON: `{"ask", "challenge", "response", "credential", "required", "origin"}`, and
//! answers a line: `{"accepts", "result", "reason"}`. What is asked for is `creation options`, `request
//! options`, `signals`, or the verification of a `registration` or an `authentication`. `credential` is
//! `{"id", "publicKey", "counter", "userHandle"}`, the key as an array of bytes. `required` says whether the
//! user must be verified. The relying party is `example.org`, or localhost if there is an origin.

use doorwarden_webauthn::{
    Challenge, Counter, Expectation, PublicKey, RelyingParty, Requirement, StoredCredential, User, UserHandle,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::error::Error;
use std::io::{self, BufRead, Write};

fn answer(question: &Value) -> Result<Value, Box<dyn Error>> {
    let party = match question["origin"].as_str() {
        None => RelyingParty::new("example.org", "Example", ["https://example.org"])?,
        Some(origin) => RelyingParty::new("localhost", "Example", [origin])?,
    };
    let challenge: Challenge = read(&question["challenge"])?;
    let required = if question["required"] == true { Requirement::Required } else { Requirement::Preferred };
    let user = || -> Result<User, Box<dyn Error>> {
        let id: UserHandle = read(&question["credential"]["userHandle"])?;
        Ok(User { id, name: "jane@example.org".into(), display_name: "Jane".into() })
    };
    Ok(match question["ask"].as_str() {
        Some("creation options") => json!(party.creation_options(user()?, challenge, vec![])),
        Some("request options") => json!(party.request_options(challenge, vec![], required)),
        Some("signals") => json!({
            "unknown": party.unknown_credential(read(&question["credential"]["id"])?),
            "accepted": party.all_accepted_credentials(user()?.id, vec![read(&question["credential"]["id"])?]),
            "details": party.current_user_details(user()?),
        }),
        Some("registration") => {
            let registered = party.register(&read(&question["response"])?, &challenge, required)?;
            json!({
                "id": registered.credential_id,
                "publicKey": registered.public_key.as_cose(),
                "algorithm": registered.public_key.algorithm().cose(),
                "counter": registered.sign_count,
                "userVerified": registered.user_verified,
                "backupEligible": registered.backup_eligible,
                "backedUp": registered.backed_up,
                "discoverable": registered.discoverable,
                "transports": registered.transports,
            })
        }
        _ => {
            let credential = &question["credential"];
            let public_key: Vec<u8> = read(&credential["publicKey"])?;
            let authenticated = party.authenticate(
                &read(&question["response"])?,
                &Expectation {
                    challenge: &challenge,
                    credential: &StoredCredential {
                        id: read(&credential["id"])?,
                        public_key: PublicKey::from_cose(&public_key)?,
                        sign_count: read(&credential["counter"])?,
                    },
                    user_handle: &user()?.id,
                    discoverable: question["origin"].is_string(),
                    user_verification: required,
                },
            )?;
            json!({
                "counter": authenticated.sign_count,
                "grew": authenticated.counter == Counter::Grew,
                "userVerified": authenticated.user_verified,
                "backupEligible": authenticated.backup_eligible,
                "backedUp": authenticated.backed_up,
            })
        }
    })
}

fn read<T: DeserializeOwned>(value: &Value) -> Result<T, serde_json::Error> {
    serde_json::from_value(value.clone())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut answers = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let answer = match answer(&serde_json::from_str(&line?)?) {
            Ok(result) => json!({"accepts": true, "result": result}),
            Err(error) => json!({"accepts": false, "reason": error.to_string()}),
        };
        writeln!(answers, "{answer}")?;
    }
    Ok(())
}
