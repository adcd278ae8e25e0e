//! `tributary bench query`: one expression again and again, latency and CPU of each.

use std::time::Instant;

use base::clock::{Clock, SystemClock};

use super::process::usage;
use super::{BenchError, QueryArguments};

/// Asks and prints the figures.
pub(super) fn run(arguments: &QueryArguments) -> Result<(), BenchError> {
    let config = ureq::Agent::config_builder().http_status_as_error(false).build();
    let agent: ureq::Agent = config.into();
    let before = arguments.pid.map(usage).transpose()?;
    let mut latencies = Vec::new();
    let mut bytes = 0;
    for _ in 0..arguments.repeat.max(1) {
        let started = Instant::now();
        bytes = ask(&agent, arguments)?;
        latencies.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    latencies.sort_by(f64::total_cmp);
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize];
    println!("answer           {bytes} bytes");
    println!("latency ms       min {:.2}  median {:.2}  max {:.2}", at(0.0), at(0.5), at(1.0));
    if let (Some(before), Some(pid)) = (before, arguments.pid) {
        let spent = usage(pid)?.cpu_seconds - before.cpu_seconds;
        println!("server CPU       {:.2} ms a query", spent * 1000.0 / latencies.len() as f64);
    }
    Ok(())
}

/// One request; the length of the answer's body.
fn ask(agent: &ureq::Agent, arguments: &QueryArguments) -> Result<usize, BenchError> {
    let now_s = SystemClock.now_ms() as f64 / 1000.0;
    let end = arguments.end.unwrap_or(now_s).to_string();
    let url = arguments.target.trim_end_matches('/');
    let request = match arguments.start {
        None => agent.get(format!("{url}/api/v1/query")).query("time", &end),
        Some(start) => agent
            .get(format!("{url}/api/v1/query_range"))
            .query("start", start.to_string())
            .query("end", &end)
            .query("step", arguments.step.to_string()),
    };
    let failed = |error: ureq::Error| BenchError::Send {
        target: arguments.target.clone(),
        reason: error.to_string(),
    };
    // `nocache` keeps VictoriaMetrics from answering out of its result cache.
    let request = request.query("query", &arguments.query).query("nocache", "1");
    let mut response = request.call().map_err(failed)?;
    let status = response.status().as_u16();
    let text = response.body_mut().with_config().limit(1 << 32).read_to_string().map_err(failed)?;
    if status == 200 {
        return Ok(text.len());
    }
    let body = text.chars().take(300).collect();
    Err(BenchError::Refused { target: arguments.target.clone(), status, body })
}
