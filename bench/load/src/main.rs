//! Sends HTTP requests and measures the responses. Takes a [`Job`] as JSON in its one argument (or in the
//! file named after an `@`), and prints a [`summary`] as JSON.

mod http;
mod job;
mod paced;
mod saturate;
mod summary;

use job::Job;

fn main() {
    let argument = std::env::args().nth(1).expect("a job as JSON, or @FILE");
    let text = match argument.strip_prefix('@') {
        Some(path) => std::fs::read_to_string(path).expect("the file of the job can be read"),
        None => argument,
    };
    let job: Job = serde_json::from_str(&text).expect("a job");
    let (job, samples) = match job.rate {
        Some(rate) => {
            let samples = paced::run(&job, rate);
            (job, samples)
        }
        None => saturate::run(job),
    };
    println!("{}", summary::of(&job, samples));
}
