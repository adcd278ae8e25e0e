//! `tributary bench ingest`: every step of every series, in time order, over a few connections.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use base::clock::{Clock, SystemClock};
use base::rng::Rng;

use super::devops::Series;
use super::encode::Encoder;
use super::process::{Usage, usage};
use super::{BenchError, IngestArguments, Protocol};

/// Sends everything and prints what it cost the server.
pub(super) fn run(arguments: &IngestArguments) -> Result<(), BenchError> {
    let span_s = arguments.interval * (arguments.steps as i64 - 1);
    let start_s = arguments.start.unwrap_or(SystemClock.now_ms() / 1000 - span_s);
    let before = arguments.pid.map(usage).transpose()?;
    let started = Instant::now();
    std::thread::scope(|scope| {
        let connections = arguments.connections.max(1);
        let senders: Vec<_> = (0..connections)
            .map(|index| scope.spawn(move || send_share(arguments, start_s, index, connections)))
            .collect();
        senders.into_iter().try_for_each(|sender| match sender.join() {
            Ok(outcome) => outcome,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })?;
    let sent = started.elapsed();
    let after = settle(arguments)?;
    report(arguments, sent, before.zip(after));
    Ok(())
}

/// Waits until the server rests, since some protocols never say that a sample has arrived.
fn settle(arguments: &IngestArguments) -> Result<Option<Usage>, BenchError> {
    let Some(pid) = arguments.pid else {
        return Ok(None);
    };
    let mut last = usage(pid)?;
    // Bounded: a server that never rests is measured as it is.
    for _ in 0..120 {
        std::thread::sleep(Duration::from_secs_f64(arguments.settle));
        let now = usage(pid)?;
        let spent = now.cpu_seconds - last.cpu_seconds;
        last = now;
        if spent < 0.05 * arguments.settle {
            break;
        }
    }
    Ok(Some(last))
}

fn report(arguments: &IngestArguments, sent: Duration, usage: Option<(Usage, Usage)>) {
    let samples = (arguments.series * arguments.steps) as f64;
    let seconds = sent.as_secs_f64();
    println!("samples          {samples:.0} ({} series)", arguments.series);
    println!("sent in          {seconds:.2} s ({:.0} samples/s)", samples / seconds);
    if let Some((before, after)) = usage {
        let cpu = after.cpu_seconds - before.cpu_seconds;
        println!("server CPU       {cpu:.2} s ({:.3} µs a sample)", cpu * 1e6 / samples);
        println!("server memory    {} MB", after.resident_bytes / 1_000_000);
        println!("at its peak      {} MB", after.resident_bytes_peak / 1_000_000);
    }
}

fn send_share(
    arguments: &IngestArguments,
    start_s: i64,
    index: usize,
    connections: usize,
) -> Result<(), BenchError> {
    let mut rng = Rng::new(arguments.seed.wrapping_add(index as u64));
    let share = arguments.series.div_ceil(connections);
    let numbers = index * share..((index + 1) * share).min(arguments.series);
    let mut encoder = Encoder::new(arguments.protocol);
    let mut all: Vec<(Vec<u8>, Series)> = numbers
        .map(|number| Series::new(number, &mut rng))
        .map(|mut series| {
            let prefix = encoder.prefix(&series);
            // Said once and for all: ten million series fit without them.
            series.labels = Vec::new();
            (prefix, series)
        })
        .collect();
    let mut sender = Sender::connect(arguments)?;
    let mut body = Vec::new();
    let mut pending = 0;
    for step in 0..arguments.steps {
        let at_s = start_s + arguments.interval * step as i64;
        for (prefix, series) in &mut all {
            encoder.sample(prefix, at_s, series.step(&mut rng), &mut body);
            pending += 1;
            if pending == arguments.batch {
                encoder.finish(&mut body);
                sender.send(&mut body)?;
                pending = 0;
            }
        }
    }
    if pending > 0 {
        encoder.finish(&mut body);
        sender.send(&mut body)?;
    }
    Ok(())
}

/// A connection that sends bodies.
enum Sender<'a> {
    Http { agent: ureq::Agent, target: &'a str, protocol: Protocol },
    Stream { stream: TcpStream, target: &'a str },
}

impl<'a> Sender<'a> {
    fn connect(arguments: &'a IngestArguments) -> Result<Self, BenchError> {
        let target = arguments.target.as_str();
        match arguments.protocol {
            Protocol::RemoteWrite | Protocol::RemoteWrite2 | Protocol::HttpPut => {
                let config = ureq::Agent::config_builder().http_status_as_error(false).build();
                Ok(Self::Http { agent: config.into(), target, protocol: arguments.protocol })
            }
            _ => {
                let stream =
                    TcpStream::connect(target).map_err(|error| send_error(target, &error))?;
                Ok(Self::Stream { stream, target })
            }
        }
    }

    /// Sends `body` and empties it.
    fn send(&mut self, body: &mut Vec<u8>) -> Result<(), BenchError> {
        match self {
            Self::Stream { stream, target } => {
                stream.write_all(body).map_err(|error| send_error(target, &error))?;
            }
            Self::Http { agent, target, protocol } => post(agent, target, *protocol, body)?,
        }
        body.clear();
        Ok(())
    }
}

fn post(
    agent: &ureq::Agent,
    target: &str,
    protocol: Protocol,
    body: &[u8],
) -> Result<(), BenchError> {
    let request = agent.post(target);
    let remote_write = match protocol {
        Protocol::RemoteWrite => Some(("application/x-protobuf", "0.1.0")),
        Protocol::RemoteWrite2 => {
            Some(("application/x-protobuf;proto=io.prometheus.write.v2.Request", "2.0.0"))
        }
        _ => None,
    };
    let response = if let Some((content_type, version)) = remote_write {
        let compressed = snap::raw::Encoder::new()
            .compress_vec(body)
            .map_err(|error| send_error(target, &error))?;
        request
            .header("Content-Type", content_type)
            .header("Content-Encoding", "snappy")
            .header("X-Prometheus-Remote-Write-Version", version)
            .send(&compressed[..])
    } else {
        request.header("Content-Type", "application/json").send(body)
    };
    let mut response = response.map_err(|error| send_error(target, &error))?;
    let status = response.status().as_u16();
    let text = response.body_mut().read_to_string().unwrap_or_default();
    if (200..300).contains(&status) {
        return Ok(());
    }
    let body = text.chars().take(300).collect();
    Err(BenchError::Refused { target: target.to_owned(), status, body })
}

fn send_error(target: &str, error: &dyn std::error::Error) -> BenchError {
    BenchError::Send { target: target.to_owned(), reason: error.to_string() }
}
