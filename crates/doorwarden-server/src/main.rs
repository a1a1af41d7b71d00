//! The program: the service and its command line. Nothing here decides anything about accounts: every command
//! calls the flows that HTTP calls.

// `output::tell` is the one way to people: it lets nothing through that a terminal would obey.
#![deny(clippy::print_stderr)]

mod cli;
mod command;
mod config;
mod failure;
mod output;
mod serve;

use clap::Parser;
use std::process::ExitCode;
use std::time::Duration;

// musl's allocator is slow, and glibc's keeps what it was given.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return failure::Failure::software(format!("the runtime could not be started: {error}")).report();
        }
    };
    let done = runtime.block_on(command::run(cli));
    // What still hangs then, hangs for good.
    runtime.shutdown_timeout(Duration::from_millis(500));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
