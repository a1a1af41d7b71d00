use rusqlite::types::Value as Cell;
use rusqlite::{Connection, params_from_iter};
use serde_json::{Value, json};
use std::time::Instant;

/// Rows per transaction, as in the product's import.
const BATCH: usize = 50_000;

/// Inserts Django's users, which are in memory before the clock starts, into the table that the product has
/// made: a prepared statement, large transactions, a large cache, and the log kept as it is.
pub fn measure(source: &str, target: &str) -> Value {
    let source = Connection::open(source).expect("Django's database");
    let mut select = source
        .prepare(
            "SELECT id, username, email, password, is_active, is_staff, is_superuser,
                 replace(date_joined, ' ', 'T') || 'Z', replace(last_login, ' ', 'T') || 'Z', lower(username), lower(email)
             FROM auth_user ORDER BY id",
        )
        .expect("the table auth_user");
    let rows: Vec<Vec<Cell>> = select
        .query_map([], |row| (0..11).map(|column| row.get(column)).collect())
        .and_then(Iterator::collect)
        .expect("readable rows");

    let mut connection = Connection::open(target).expect("a migrated database");
    connection
        .execute_batch(
            "PRAGMA synchronous = FULL; PRAGMA cache_size = -1000000; PRAGMA wal_autocheckpoint = 100000;",
        )
        .expect("settings");
    let began = Instant::now();
    for batch in rows.chunks(BATCH) {
        let transaction = connection.transaction().expect("a transaction");
        {
            let mut insert = transaction
                .prepare(
                    "INSERT INTO users (id, username, email, password, is_active, is_staff, is_superuser, date_joined,
                         last_login, username_key, email_key)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
                )
                .expect("SQL");
            for row in batch {
                insert.execute(params_from_iter(row)).expect("a new user");
            }
        }
        transaction.commit().expect("committed");
    }
    let seconds = began.elapsed().as_secs_f64();
    json!({"rows": rows.len(), "seconds": seconds, "per_second": rows.len() as f64 / seconds})
}
