//! Strict JSON Web Tokens: sign, verify, key sets and refresh tokens, for accounts.
