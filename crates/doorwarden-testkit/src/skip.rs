use std::fs::OpenOptions;
use std::io::Write;

/// Records that the test `name` was skipped, and `why`, as a line of the file named by `DOORWARDEN_SKIPPED`
/// (`scripts/test` counts and shows them), or on standard error if it is not set.
pub fn skip(name: &str, why: &str) {
    let line = format!("{name}: {why}\n");
    match std::env::var_os("DOORWARDEN_SKIPPED") {
        Some(path) => {
            let mut file = OpenOptions::new()
                .create(true)
                .append(true)
                .open(path)
                .expect("the file that DOORWARDEN_SKIPPED names can be written");
            file.write_all(line.as_bytes()).expect("the file that DOORWARDEN_SKIPPED names can be written");
        }
        None => eprint!("not run: {line}"),
    }
}
