//! `tributary bench`: a load generator for this server and its peers, in CPU seconds of the server.
//!
//! The same data goes to whatever speaks the protocol, so figures of two servers compare. Wall time is
//! printed but says little on a shared machine; with `--pid` the server's own CPU time and memory are
//! read from the operating system.

mod devops;
mod encode;
mod ingest;
mod process;
mod query;
mod symbols;

use clap::{Args, Subcommand, ValueEnum};

/// Arguments of `tributary bench`.
#[derive(Args)]
pub(crate) struct BenchArguments {
    #[command(subcommand)]
    command: BenchCommand,
}

#[derive(Subcommand)]
enum BenchCommand {
    /// Write devops-like data: hosts with a hundred metrics each, eleven labels a series
    Ingest(IngestArguments),
    /// Ask one PromQL query again and again
    Query(QueryArguments),
}

/// Protocols that the generator speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Protocol {
    /// Prometheus remote write 1.0; the target is the URL of the endpoint
    RemoteWrite,
    /// Prometheus remote write 2.0 with types and help texts; the target is the URL of the endpoint
    #[value(name = "remote-write-2")]
    RemoteWrite2,
    /// Graphite plaintext; the target is HOST:PORT
    Carbon,
    /// Graphite plaintext with tags; the target is HOST:PORT
    CarbonTagged,
    /// Graphite pickle, as a carbon-relay sends it; the target is HOST:PORT
    Pickle,
    /// OpenTSDB telnet put; the target is HOST:PORT
    Telnet,
    /// OpenTSDB HTTP put; the target is the URL of the endpoint
    HttpPut,
}

/// Arguments of `tributary bench ingest`.
#[derive(Args)]
pub(crate) struct IngestArguments {
    /// What to speak
    #[arg(long, value_enum, default_value = "remote-write")]
    protocol: Protocol,
    /// Where to: a URL or HOST:PORT
    #[arg(long)]
    target: String,
    /// Distinct series
    #[arg(long, default_value_t = 100_000)]
    series: usize,
    /// Samples of each series
    #[arg(long, default_value_t = 240)]
    steps: usize,
    /// Seconds between two samples of a series
    #[arg(long, default_value_t = 15)]
    interval: i64,
    /// Unix seconds of the first sample [default: so that the last one is now]
    #[arg(long)]
    start: Option<i64>,
    /// Samples of a request (or of a write to the socket)
    #[arg(long, default_value_t = 5_000)]
    batch: usize,
    /// Connections, each with its share of the series
    #[arg(long, default_value_t = 2)]
    connections: usize,
    /// Process of the server, for its CPU time and memory
    #[arg(long)]
    pid: Option<u32>,
    /// Seed of the values
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Wait until the server has taken everything, for protocols without an answer: seconds of
    /// no CPU use that count as done
    #[arg(long, default_value_t = 1.0)]
    settle: f64,
}

/// Arguments of `tributary bench query`.
#[derive(Args)]
pub(crate) struct QueryArguments {
    /// Base URL of a Prometheus query API, such as http://127.0.0.1:9009
    #[arg(long)]
    target: String,
    /// The expression
    #[arg(long)]
    query: String,
    /// Unix seconds of the first step; without it the query is instant
    #[arg(long)]
    start: Option<f64>,
    /// Unix seconds of the last step, or the time of an instant query [default: now]
    #[arg(long)]
    end: Option<f64>,
    /// Seconds between steps
    #[arg(long, default_value_t = 60.0)]
    step: f64,
    /// How often
    #[arg(long, default_value_t = 20)]
    repeat: usize,
    /// Process of the server, for its CPU time
    #[arg(long)]
    pid: Option<u32>,
}

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// The connection failed.
    #[error("cannot send to {target}: {reason}")]
    Send {
        /// Where to.
        target: String,
        /// What happened.
        reason: String,
    },
    /// The server refused.
    #[error("{target} answered {status}: {body}")]
    Refused {
        /// Where to.
        target: String,
        /// HTTP status.
        status: u16,
        /// Start of the answer.
        body: String,
    },
    /// The process cannot be watched.
    #[error("cannot read the figures of process {pid}")]
    Process {
        /// Its number.
        pid: u32,
    },
}

/// Runs what the arguments say and prints the figures.
pub(crate) fn run(arguments: &BenchArguments) -> Result<(), BenchError> {
    match &arguments.command {
        BenchCommand::Ingest(arguments) => ingest::run(arguments),
        BenchCommand::Query(arguments) => query::run(arguments),
    }
}
