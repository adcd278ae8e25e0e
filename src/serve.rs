//! Wiring: opens the store, binds the listeners, serves, and closes in order.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Instant;

use base::clock::{Clock, SystemClock};
use base::memory::MemoryWatch;
use base::metrics::Metrics;
use server::KnownKeys;
use server::opentsdb::RollupConfig;
use server::opentsdb::settings::OpenTsdbSettings;
use server::prometheus::search;
use server::state::{BlockFigures, LabelFigures, PromqlSettings, StoreFigures, StoreStatus};
use server::turns::TurnLimits;
use server::{Bound, GraphiteSettings, Helpers, Listeners, Settings, Shutdown, State};
use storage::{Engine, EngineOptions, RetentionRule, RollupRule, WalSync};

use crate::config::{Config, Prometheus, SyncPolicy};

/// Why the server does not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    /// A port cannot be had.
    #[error(transparent)]
    Bind(#[from] server::listen::BindError),
    /// The store does not open.
    #[error("cannot open the store: {0}")]
    Storage(#[from] storage::StorageError),
    /// The runtime cannot start.
    #[error("cannot start: {0}")]
    Runtime(#[from] std::io::Error),
    /// A setting has a value that cannot be used.
    #[error("cannot use {key}: {reason}")]
    Setting {
        /// The setting.
        key: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A file named in the configuration cannot be used.
    #[error(transparent)]
    Rules(#[from] crate::rules::RulesError),
}

/// The store's figures for the server.
struct Figures(Arc<Engine>);

impl StoreStatus for Figures {
    fn status(&self) -> StoreFigures {
        let status = self.0.status();
        StoreFigures {
            series: status.head_series,
            head_samples: status.head_samples,
            head_chunks: status.head_chunks,
            time_range_ms: status.min_time_ms.zip(status.max_time_ms),
            blocks: status.blocks,
            block_bytes: status.block_bytes,
        }
    }

    fn labels(&self, limit: usize) -> LabelFigures {
        let found = self.0.label_statistics(limit);
        LabelFigures {
            pairs: found.pairs,
            metrics: found.metrics,
            values: found.values,
            bytes: found.bytes,
            series: found.series,
        }
    }

    fn blocks(&self) -> Vec<BlockFigures> {
        let figures = |block: storage::BlockStatus| BlockFigures {
            id: block.id,
            time_range_ms: (block.min_time_ms, block.max_time_ms),
            series: block.series,
            samples: block.samples,
            chunks: block.chunks,
            level: block.level,
            sources: block.sources,
            version: block.version,
        };
        self.0.block_list().into_iter().map(figures).collect()
    }
}

/// Runs the server until SIGINT or SIGTERM.
pub(crate) fn serve(config: &Config) -> Result<(), ServeError> {
    let memory = MemoryWatch::new(config.memory.limit.0);
    let memory = Arc::new(memory.giving_back(crate::allocator::give_memory_back));
    crate::allocator::runtime(&memory)?.block_on(run(config, memory))
}

async fn run(config: &Config, memory: Arc<MemoryWatch>) -> Result<(), ServeError> {
    let graphite = crate::rules::graphite(&config.graphite)?;
    let opentsdb = opentsdb_settings(&config.opentsdb)?;
    let otlp = config.otlp.settings(config)?;
    let bound = Bound::bind(&listeners(config)).await?;
    let metrics = Arc::new(Metrics::default());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let started = Instant::now();
    tracing::info!(data_dir = %config.data_dir.0.display(), "opening the store");
    let engine = {
        let (options, clock) = (
            EngineOptions { memory: memory.clone(), ..engine_options(config)? },
            Arc::clone(&clock),
        );
        let metrics = Arc::clone(&metrics);
        tokio::task::spawn_blocking(move || Engine::open(options, clock, metrics))
            .await
            .map_err(std::io::Error::other)??
    };
    let engine = Arc::new(engine);
    let status = engine.status();
    tracing::info!(
        series = status.head_series,
        blocks = status.blocks,
        seconds = started.elapsed().as_secs_f64(),
        "store is open"
    );
    let state = State::new(
        engine.clone(),
        engine.clone(),
        Arc::new(Figures(Arc::clone(&engine))),
        metrics,
        clock,
        Settings { otlp, memory, ..settings(config, graphite, opentsdb) },
    );
    let state = Arc::new(state.with_documents(engine.documents()));
    for (name, address) in bound.addresses() {
        tracing::info!(listener = name, %address, "listening");
    }
    let (switch, shutdown) = Shutdown::channel();
    state.set_ready(true);
    let serving = tokio::spawn(bound.serve(Arc::clone(&state), shutdown));
    drop(tokio::task::spawn_blocking(crate::prepare::prepare));
    wait_for_signal().await?;
    tracing::info!("stopping: no new connections, open requests finish");
    let _ = switch.send(true);
    let _ = serving.await;
    state.set_ready(false);
    let closed = tokio::task::spawn_blocking(move || engine.close()).await;
    closed.map_err(std::io::Error::other)??;
    tracing::info!("stopped");
    Ok(())
}

async fn wait_for_signal() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        outcome = tokio::signal::ctrl_c() => outcome,
        _ = terminate.recv() => Ok(()),
    }
}

fn listeners(config: &Config) -> Listeners {
    let address = |text: &String| (!text.is_empty()).then(|| text.clone());
    let listen = &config.listen;
    Listeners {
        http: address(&listen.http),
        graphite_tcp: address(&listen.graphite_tcp),
        graphite_udp: address(&listen.graphite_udp),
        graphite_pickle: address(&listen.graphite_pickle),
        opentsdb: address(&listen.opentsdb),
    }
}

/// One in so many bytes of the memory limit may be the head's samples, waiting writes, one query's, one
/// body as sent (which takes up to twelve times as much while it is decoded), the documents (of which the
/// most frequent, numbers of names, take as much again where they are looked up), what one protocol
/// remembers of spellings.
const HEAD_SHARE: u64 = 4;
const QUEUE_SHARE: u64 = 16;
const QUERY_SHARE: u64 = 4;
const BODY_SHARE: u64 = 32;
const DOCUMENT_SHARE: u64 = 16;
const SPELLING_SHARE: u64 = 64;
/// The same for one file of the log: a restart brings back every series that is in a file which is still
/// needed. Files are not made smaller than this.
const LOG_FILE_SHARE: u64 = 16;
const LOG_FILE_BYTES_MIN: u64 = 1 << 20;

/// One in `one_in` bytes of the memory limit; any number without a limit.
fn memory_share(config: &Config, one_in: u64) -> u64 {
    match config.memory.limit.0 {
        0 => u64::MAX,
        limit => (limit / one_in).max(1),
    }
}

/// Threads for queries: as many as there are processors if nobody says.
fn query_threads(threads: usize) -> usize {
    match threads {
        0 => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
        threads => threads,
    }
}

fn retention_rules(config: &Config) -> Result<Vec<RetentionRule>, ServeError> {
    let rule = |rule: &crate::config::RetentionRule| {
        let failed = |reason: String| ServeError::Setting { key: "storage.retention_rule", reason };
        let matchers = server::parse_selector(&rule.selector)
            .map_err(|error| failed(format!("{}: {error}", rule.selector)))?;
        Ok(RetentionRule { matchers, keep_ms: (rule.keep.0 > 0).then_some(rule.keep.0) })
    };
    config.storage.retention_rule.iter().map(rule).collect()
}

/// The shortest resolution of a rollup: edges are told from their neighbours by whole minutes.
const RESOLUTION_UNIT_MS: i64 = 60_000;

fn rollup_rules(config: &Config) -> Result<Vec<RollupRule>, ServeError> {
    let rule = |rule: &crate::config::RollupRule| {
        let failed = |reason: String| ServeError::Setting { key: "storage.rollup_rule", reason };
        let matchers = server::parse_selector(&rule.selector)
            .map_err(|error| failed(format!("{}: {error}", rule.selector)))?;
        let widths_ms: Vec<i64> = rule.resolutions.iter().map(|width| width.0).collect();
        if widths_ms.iter().any(|width| *width <= 0 || width % RESOLUTION_UNIT_MS != 0) {
            return Err(failed(format!("{}: resolutions are whole minutes", rule.selector)));
        }
        let keep_ms = (rule.keep.0 > 0).then_some(rule.keep.0);
        Ok(RollupRule { matchers, widths_ms, keep_ms })
    };
    config.storage.rollup_rule.iter().map(rule).collect()
}

/// The store's part of the configuration; `check-config` asks for it as well.
pub(crate) fn engine_options(config: &Config) -> Result<EngineOptions, ServeError> {
    let (wal, storage, limits) = (&config.wal, &config.storage, &config.limits);
    let share = |one_in| memory_share(config, one_in);
    let retention_bytes = storage.retention_bytes.0;
    Ok(EngineOptions {
        retention_rules: retention_rules(config)?,
        rollup_rules: rollup_rules(config)?,
        retention_bytes: (retention_bytes > 0).then_some(retention_bytes),
        wal_sync: match wal.sync {
            SyncPolicy::Always => WalSync::Always,
            SyncPolicy::Interval => WalSync::Interval(wal.sync_interval.0.unsigned_abs()),
        },
        wal_file_bytes: wal.file_bytes.0.min(share(LOG_FILE_SHARE).max(LOG_FILE_BYTES_MIN)),
        wal_bytes_max: wal.bytes_max.0,
        partition_ms: storage.partition.0,
        flush_after_ms: storage.flush_after.0,
        head_bytes_max: storage.head_bytes_max.0.min(share(HEAD_SHARE)),
        partitions_max: storage.partitions_max,
        retention_ms: (storage.retention.0 > 0).then_some(storage.retention.0),
        flush_on_close: storage.flush_on_close,
        future_ms_max: (limits.future.0 > 0).then_some(limits.future.0),
        series_max: (limits.series_max > 0).then_some(limits.series_max),
        document_bytes_max: limits.document_bytes_max.0.min(share(DOCUMENT_SHARE)),
        queue_bytes_max: limits.queue_bytes_max.0.min(share(QUEUE_SHARE)) as usize,
        ..EngineOptions::new(&config.data_dir.0)
    })
}

/// The parts of PromQL and the search that the flags switch on; flags of Prometheus that mean nothing
/// here are named in the log.
fn feature_settings(config: &Prometheus) -> (PromqlSettings, search::Settings) {
    let mut promql = PromqlSettings::default();
    let mut search =
        search::Settings { limit_max: config.search_limit_max, ..search::Settings::default() };
    let flags = config.enable_feature.split(',').map(str::trim);
    for flag in flags.filter(|flag| !flag.is_empty()) {
        let is_known = promql.enable(flag)
            || search.enable(flag)
            || server::prometheus::otlp::Settings::default().enable(flag);
        if !is_known {
            tracing::warn!(flag, "this feature flag switches nothing on");
        }
    }
    (promql, search)
}

fn opentsdb_settings(config: &crate::config::OpenTsdb) -> Result<OpenTsdbSettings, ServeError> {
    Ok(OpenTsdbSettings {
        rollups: rollups(&config.rollup_config)?,
        histograms: config.histograms,
        uid_width: config.uid_width,
        allow_delete: config.allow_delete,
        skip_unresolved_tagvs: config.skip_unresolved_tagvs,
        auto_create_metrics: config.auto_create_metrics,
        auto_create_tagks: config.auto_create_tagks,
        auto_create_tagvs: config.auto_create_tagvs,
        cors_domains: config.cors_domains.clone(),
        cors_headers: config.cors_headers.clone(),
        header_tag: config.header_tag.clone(),
        telnet_errors: config.telnet_errors,
    })
}

/// The rollups of a JSON document, or of the file that has one.
fn rollups(text: &str) -> Result<Option<RollupConfig>, ServeError> {
    if text.is_empty() {
        return Ok(None);
    }
    let key = "opentsdb.rollup_config";
    let failed = |reason| ServeError::Setting { key, reason };
    let document = if text.trim_start().starts_with('{') {
        text.to_owned()
    } else {
        std::fs::read_to_string(text).map_err(|error| failed(format!("{text}: {error}")))?
    };
    RollupConfig::parse(&document).map(Some).map_err(failed)
}

fn settings(config: &Config, graphite: GraphiteSettings, opentsdb: OpenTsdbSettings) -> Settings {
    let query = &config.query;
    let (promql, search) = feature_settings(&config.prometheus);
    Settings {
        query_limits: server::state::QueryLimits {
            samples_max: query.samples_max,
            series_max: query.series_max,
            memory_bytes_max: query.memory_bytes_max.0.min(memory_share(config, QUERY_SHARE)),
            // Without rules queries are planned as if there were no such thing.
            rollups: query.rollups && !config.storage.rollup_rule.is_empty(),
        },
        query_timeout_ms: query.timeout.0.unsigned_abs(),
        lookback_ms: query.lookback.0,
        subquery_step_ms: query.subquery_step.0,
        turns: TurnLimits {
            running_max: query.concurrency.max(1),
            client_running_max: query.client_concurrency.max(1),
            waiting_max: query.waiting_max,
            client_waiting_max: query.client_waiting_max,
        },
        helpers: Arc::new(Helpers::new(query_threads(query.threads))),
        memory: Arc::default(),
        connections_max: config.limits.connections_max,
        body_bytes_max: config.limits.body_bytes_max.0.min(memory_share(config, BODY_SHARE))
            as usize,
        known_keys_max: (memory_share(config, SPELLING_SHARE) / KnownKeys::KEY_BYTES as u64)
            .min(KnownKeys::KEYS_MAX as u64) as usize,
        bodies_bytes_max: config.limits.bodies_bytes_max.0,
        graphite,
        prometheus_admin_api: config.prometheus.admin_api,
        exemplars_max: config.prometheus.exemplars_max,
        promql,
        search,
        opentsdb,
        otlp: server::prometheus::otlp::Settings::default(),
        config_text: config.to_toml(),
        retention_ms: (config.storage.retention.0 > 0).then_some(config.storage.retention.0),
        enabled_features: config.prometheus.enable_feature.clone(),
    }
}
