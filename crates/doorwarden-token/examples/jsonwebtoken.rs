//! The crate jsonwebtoken verifies access tokens as its manual says; `tests/interop` compares it with other
//! libraries.
//!
//! Reads a question a line, JSON: `{"jwks", "issuer", "audience", "token"}`, and answers a line:
//! `{"accepts", "reason"}`.

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use serde_json::{Value, json};
use std::error::Error;
use std::io::{self, BufRead, Write};

fn verify(question: &Value) -> Result<(), Box<dyn Error>> {
    let text = |name: &str| question[name].as_str().ok_or("a member is missing");
    let token = text("token")?;
    let header = decode_header(token)?;
    let keys: JwkSet = serde_json::from_value(question["jwks"].clone())?;
    let key = keys.find(&header.kid.ok_or("the token names no key")?).ok_or("the key is not in the set")?;
    let mut validation = Validation::new(header.alg);
    validation.set_issuer(&[text("issuer")?]);
    validation.set_audience(&[text("audience")?]);
    decode::<Value>(token, &DecodingKey::from_jwk(key)?, &validation)?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut answers = io::stdout();
    for line in io::stdin().lock().lines() {
        let answer = match verify(&serde_json::from_str(&line?)?) {
            Ok(()) => json!({"accepts": true}),
            Err(error) => json!({"accepts": false, "reason": error.to_string()}),
        };
        writeln!(answers, "{answer}")?;
        answers.flush()?;
    }
    Ok(())
}
