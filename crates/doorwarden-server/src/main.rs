//! The program: the service and its command line. It has no business rules: commands call the same flows as
//! the HTTP API.

// `output::tell` is the only way to print: it replaces control characters.
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

// musl's allocator is slow, and glibc's does not return memory to the system.
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
    // A task that has not finished by then never will.
    runtime.shutdown_timeout(Duration::from_millis(500));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
