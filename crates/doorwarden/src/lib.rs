//! User accounts and JSON Web Tokens for axum applications, on SQLite or PostgreSQL.
