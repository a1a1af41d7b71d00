//! Open-loop load: requests are sent when they are due, whether or not earlier ones were answered. The
//! latency of a request that is late because its connection was busy is measured from when it was due.

use crate::http;
use crate::job::Job;
use crate::summary::Samples;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Threads, because a runtime's timer has milliseconds.
pub fn run(job: &Job, rate: f64) -> Samples {
    let begin = Instant::now() + Duration::from_millis(20);
    let mut all = Samples::default();
    std::thread::scope(|scope| {
        let connect = |index| scope.spawn(move || connection(job, index, rate, begin));
        let threads: Vec<_> = (0..job.connections).map(connect).collect();
        for thread in threads {
            all.add(thread.join().expect("a connection does not panic"));
        }
    });
    all
}

fn connection(job: &Job, index: usize, rate: f64, begin: Instant) -> Samples {
    let mut samples = Samples::default();
    let mut stream = None;
    for turn in 0.. {
        let number = (turn * job.connections + index) as f64;
        if number / rate > job.seconds {
            break;
        }
        let due = begin + Duration::from_secs_f64(number / rate);
        let request = job.bytes(index, turn, None);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let status = exchange(&job.address, &mut stream, &request).unwrap_or_else(|_| {
            stream = None;
            0
        });
        samples.count(status, u64::try_from(due.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }
    samples
}

fn exchange(address: &str, stream: &mut Option<TcpStream>, request: &[u8]) -> std::io::Result<u16> {
    let stream = match stream {
        Some(stream) => stream,
        None => {
            let connected = TcpStream::connect(address)?;
            connected.set_nodelay(true)?;
            connected.set_read_timeout(Some(Duration::from_secs(10)))?;
            stream.insert(connected)
        }
    };
    stream.write_all(request)?;
    let (mut buffer, mut filled) = ([0; 16 * 1024], 0);
    loop {
        match stream.read(&mut buffer[filled..])? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            more => filled += more,
        }
        if let Some(head) = http::head(&buffer[..filled])
            && filled >= head.length
        {
            return Ok(head.status);
        }
    }
}
