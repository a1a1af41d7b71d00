//! Measurements without HTTP. Prints JSON.
//!
//! ```text
//! bench-check hash SECONDS                Argon2id of the default cost by the bare crate, on every core
//! bench-check tokens DIRECTORY            one full check of a token; allocations
//! bench-check passkeys                    one authentication with each algorithm, and its bare signature
//! bench-check limits DIRECTORY            one check of a limit by the address of a client; allocations
//! bench-check filter DIRECTORY COUNT      build and look-ups of a filter of COUNT breached passwords
//! bench-check live DIRECTORY SESSIONS     memory of sessions in the live cache, and reads of a cold cache
//! bench-check sessions DIRECTORY COUNT    one check, refresh, list and revoke among COUNT sessions on SQLite
//! bench-check insert DJANGO TARGET        a bare bulk insert of Django users into a migrated database
//! ```

mod counting;
mod database;
mod filter;
mod hash;
mod insert;
mod limits;
mod live;
mod passkeys;
mod sessions;
mod tokens;

use std::path::Path;

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse().expect("a number");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let result = match arguments[..] {
        ["hash", seconds] => hash::measure(seconds.parse().expect("seconds")),
        ["tokens", directory] => runtime.block_on(tokens::measure(Path::new(directory))),
        ["limits", directory] => runtime.block_on(limits::measure(Path::new(directory))),
        ["passkeys"] => passkeys::measure(),
        ["filter", directory, count] => filter::measure(Path::new(directory), number(count)),
        ["live", directory, count] => runtime.block_on(live::measure(Path::new(directory), number(count))),
        ["sessions", directory, count] => {
            runtime.block_on(sessions::measure(Path::new(directory), number(count)))
        }
        ["insert", source, target] => insert::measure(source, target),
        _ => panic!("hash, tokens, limits, passkeys, filter, live, sessions or insert; see the source"),
    };
    println!("{result}");
}
