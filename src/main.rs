//! The program: reads arguments and configuration, and picks what to do.

mod allocator;
mod archive;
mod bench;
mod config;
mod otlp;
mod prepare;
mod rules;
mod serve;
#[cfg(test)]
mod tidy;
mod units;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{Config, LogFormat};

/// Metrics from Prometheus, Graphite and OpenTSDB in one store; answers in PromQL, Graphite and
/// OpenTSDB.
///
/// Without a command the server starts: data in ./data, HTTP on 9009, Graphite on 2003 (TCP, UDP) and
/// 2004 (pickle), OpenTSDB on 4242.
///
///   Prometheus:  remote_write: [{url: "http://HOST:9009/api/v1/write"}]
///   carbon:      echo "servers.a.load 0.5 $(date +%s)" | nc HOST 2003
///   OpenTSDB:    echo "put sys.load $(date +%s) 0.5 host=a" | nc HOST 4242
///   Grafana:     data sources Prometheus, Graphite and OpenTSDB, all at http://HOST:9009
#[derive(Parser)]
#[command(name = "tributary", version, verbatim_doc_comment)]
struct Arguments {
    #[command(flatten)]
    settings: SettingArguments,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Args)]
struct SettingArguments {
    /// TOML file with settings; all of them have defaults
    #[arg(long, short, global = true, env = "TRIBUTARY_CONFIG")]
    config: Option<PathBuf>,
    /// Directory of all data [default: ./data]
    #[arg(long, visible_alias = "data", global = true)]
    data_dir: Option<PathBuf>,
    /// Any setting by its key, such as --set wal.sync=interval; `check-config` prints all keys
    #[arg(long = "set", global = true, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Prometheus's feature flags, separated by commas
    #[arg(long, global = true, value_name = "NAMES")]
    enable_feature: Vec<String>,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server (the default)
    Serve,
    /// Read the configuration as the server would, print it whole, and say what is wrong with it
    CheckConfig,
    /// Decode a file or a directory of the store and print it; never changes anything
    Inspect {
        /// A log file, a manifest, a block's directory, or the data directory
        path: PathBuf,
        /// Check every checksum and every value as well; the exit code is 1 if anything is damaged
        #[arg(long)]
        verify: bool,
    },
    /// Read every byte of a stopped store (or of a snapshot) and say what is damaged and what is lost
    /// by it; the exit code is 1 if anything is
    Verify,
    /// Take what is damaged out of a stopped store and keep all that can be read; the originals and a
    /// report go to `damaged` in the data directory
    Repair,
    /// Copy a stopped store, or a snapshot of a running one, to another place; sends only what is not
    /// there yet
    Backup {
        /// A directory, or a URL such as s3://BUCKET/PREFIX in builds with the feature `cloud`
        #[arg(long)]
        to: String,
        /// Backups that stay; older ones are removed; 0 keeps all
        #[arg(long, default_value_t = 0)]
        keep: usize,
        /// The running server of this data directory, such as http://localhost:9009: it is asked for a
        /// snapshot (prometheus.admin_api must be on), which is removed afterwards
        #[arg(long)]
        server: Option<String>,
    },
    /// Make a store from a backup, in a data directory that does not exist yet or is empty
    Restore {
        /// Where the backups are
        #[arg(long)]
        from: String,
        /// The backup; the newest without it
        #[arg(long)]
        name: Option<String>,
        /// Print the names of the backups instead
        #[arg(long)]
        list: bool,
    },
    /// Send load to a server (this one or a peer) and measure what it costs
    Bench(bench::BenchArguments),
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("tributary: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<ExitCode, Box<dyn std::error::Error>> {
    match arguments.command {
        None | Some(Command::Serve) => {
            let config = load(&arguments.settings)?;
            start_logging(&config)?;
            serve::serve(&config)?;
        }
        Some(Command::CheckConfig) => {
            let config = load(&arguments.settings)?;
            rules::graphite(&config.graphite)?;
            serve::engine_options(&config)?.check()?;
            print!("{}", config.to_toml());
        }
        Some(Command::Inspect { path, verify }) => {
            let report = storage::inspect(&path, &mut std::io::stdout().lock(), verify)?;
            if report.faults > 0 {
                return Ok(ExitCode::FAILURE);
            }
        }
        Some(Command::Verify) => {
            return Ok(archive::verify(&load(&arguments.settings)?.data_dir.0)?);
        }
        Some(Command::Repair) => {
            return Ok(archive::repair(&load(&arguments.settings)?.data_dir.0)?);
        }
        Some(Command::Backup { to, keep, server }) => {
            let data_dir = load(&arguments.settings)?.data_dir.0;
            archive::backup(&data_dir, &to, keep, server.as_deref())?;
        }
        Some(Command::Restore { from, list: true, .. }) => {
            storage::backups(&from)?.iter().for_each(|name| println!("{name}"));
        }
        Some(Command::Restore { from, name, .. }) => {
            let data_dir = load(&arguments.settings)?.data_dir.0;
            archive::restore(&from, name.as_deref(), &data_dir)?;
        }
        Some(Command::Bench(arguments)) => bench::run(&arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn load(settings: &SettingArguments) -> Result<Config, config::ConfigError> {
    let mut overrides = settings.set.clone();
    if let Some(dir) = &settings.data_dir {
        overrides.push(format!("data_dir={}", dir.display()));
    }
    if !settings.enable_feature.is_empty() {
        let names = settings.enable_feature.join(",");
        overrides.push(format!("prometheus.enable_feature={names}"));
    }
    Config::load(settings.config.as_deref(), std::env::vars(), &overrides)
}

fn start_logging(config: &Config) -> Result<(), Box<dyn std::error::Error>> {
    let filter = tracing_subscriber::EnvFilter::try_new(&config.log.level)
        .map_err(|error| format!("cannot use log.level {:?}: {error}", config.log.level))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match config.log.format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}
