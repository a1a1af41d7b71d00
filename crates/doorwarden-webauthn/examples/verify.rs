//! Verifies ceremonies for `tests/interop`, which compares the verdicts with those of other libraries.
//!
//! Reads a question a line, JSON: `{"ceremony", "challenge", "response", "credential", "required"}`, where
//! the ceremony is `registration` or `authentication`, `credential` is `{"id", "publicKey", "counter",
//! "userHandle"}`, the key as an array of bytes, and `required` says whether the user must be verified;
//! answers a line: `{"accepts", "reason"}`.

use doorwarden_webauthn::{
    Challenge, Expectation, PublicKey, RelyingParty, Requirement, StoredCredential, UserHandle,
};
use serde_json::{Value, json};
use std::error::Error;
use std::io::{self, BufRead, Write};

fn verify(party: &RelyingParty, question: &Value) -> Result<(), Box<dyn Error>> {
    let challenge: Challenge = serde_json::from_value(question["challenge"].clone())?;
    let response = question["response"].clone();
    let requirement =
        if question["required"] == true { Requirement::Required } else { Requirement::Preferred };
    if question["ceremony"] == "registration" {
        party.register(&serde_json::from_value(response)?, &challenge, requirement)?;
        return Ok(());
    }
    let credential = &question["credential"];
    let public_key: Vec<u8> = serde_json::from_value(credential["publicKey"].clone())?;
    let user_handle: UserHandle = serde_json::from_value(credential["userHandle"].clone())?;
    let stored = StoredCredential {
        id: serde_json::from_value(credential["id"].clone())?,
        public_key: PublicKey::from_cose(&public_key)?,
        sign_count: serde_json::from_value(credential["counter"].clone())?,
    };
    let expectation = Expectation {
        challenge: &challenge,
        credential: &stored,
        user_handle: &user_handle,
        discoverable: false,
        user_verification: requirement,
    };
    party.authenticate(&serde_json::from_value(response)?, &expectation)?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let party = RelyingParty::new("example.org", "Example", ["https://example.org"])?;
    let mut answers = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let answer = match verify(&party, &serde_json::from_str(&line?)?) {
            Ok(()) => json!({"accepts": true}),
            Err(error) => json!({"accepts": false, "reason": error.to_string()}),
        };
        writeln!(answers, "{answer}")?;
    }
    Ok(())
}
