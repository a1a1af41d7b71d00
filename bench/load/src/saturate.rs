//! Closed-loop load: each connection sends the next request as soon as it has the response, to find the
//! server's maximum throughput.

use crate::http::{self, Head};
use crate::job::Job;
use crate::summary::Samples;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use tokio::time::{sleep, timeout_at};

pub fn run(job: Job) -> (Job, Samples) {
    let job = Rc::new(job);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    // One thread, so that the client takes as little as possible from the server on the same machine.
    let samples = LocalSet::new().block_on(&runtime, async {
        let end = Instant::now() + Duration::from_secs_f64(job.seconds);
        let constant: Option<Rc<[u8]>> = job.constant().map(Rc::from);
        let connect =
            |index| tokio::task::spawn_local(connection(Rc::clone(&job), index, end, constant.clone()));
        let tasks: Vec<_> = (0..job.connections).map(connect).collect();
        let mut all = Samples::default();
        for task in tasks {
            all.add(task.await.expect("a connection does not panic"));
        }
        all
    });
    drop(runtime);
    (Rc::into_inner(job).expect("every connection has ended"), samples)
}

async fn connection(job: Rc<Job>, index: usize, end: Instant, constant: Option<Rc<[u8]>>) -> Samples {
    let mut samples = Samples::default();
    let mut refresh = job.refresh.get(index).cloned();
    let mut stream = None;
    let mut buffer = Vec::with_capacity(16 * 1024);
    for turn in 0.. {
        let rendered;
        let request: &[u8] = match &constant {
            Some(constant) => constant,
            None => {
                rendered = job.bytes(index, turn, refresh.as_deref());
                &rendered
            }
        };
        let began = Instant::now();
        let answer = timeout_at(end.into(), exchange(&job.address, &mut stream, request, &mut buffer)).await;
        let Ok(answer) = answer else { break };
        let status = match answer {
            Ok(head) => {
                if refresh.is_some() {
                    refresh = http::member(&buffer[head.body..], "refresh").or(refresh);
                }
                if head.close {
                    stream = None;
                }
                head.status
            }
            Err(_) => {
                stream = None;
                0
            }
        };
        samples.count(status, u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX));
        if !(200..300).contains(&status) && job.pause_ms > 0 {
            sleep(Duration::from_millis(job.pause_ms)).await;
        }
        if Instant::now() >= end {
            break;
        }
    }
    samples
}

/// Sends a request and reads its response into `buffer`; connects first if necessary.
async fn exchange(
    address: &str,
    stream: &mut Option<TcpStream>,
    request: &[u8],
    buffer: &mut Vec<u8>,
) -> std::io::Result<Head> {
    let stream = match stream {
        Some(stream) => stream,
        None => {
            let connected = TcpStream::connect(address).await?;
            connected.set_nodelay(true)?;
            stream.insert(connected)
        }
    };
    stream.write_all(request).await?;
    buffer.clear();
    let mut known = None;
    loop {
        if stream.read_buf(buffer).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        known = known.or_else(|| http::head(buffer));
        if let Some(head) = known
            && buffer.len() >= head.length
        {
            return Ok(head);
        }
    }
}
