//! What every handler shares.

use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base::clock::Clock;
use base::memory::MemoryWatch;
use base::metrics::Metrics;
use model::{Appender, Catalog, Documents, MemoryDocuments, TenantId, WriteBatch};
use parking_lot::RwLock;
pub use plan::QueryLimits;
use tokio::sync::Semaphore;
use wire::known_keys::KnownKeys;

use crate::graphite::GraphiteSettings;
use crate::opentsdb::settings::OpenTsdbSettings;
use crate::opentsdb::uids::Uids;
use crate::prometheus::exemplars::Exemplars;
use crate::prometheus::otlp::{self, OtlpState};
use crate::prometheus::parsed::ParsedQueries;
use crate::prometheus::search;
use crate::spare::Spare;
use crate::turns::{TurnLimits, Turns};

/// Figures about the store for status pages; implemented by whoever owns the store.
pub trait StoreStatus: Send + Sync {
    /// The figures now.
    fn status(&self) -> StoreFigures;

    /// Labels of the series in the head, counted; at most `limit` counts of a kind. Takes time: call
    /// it where one may wait.
    fn labels(&self, _limit: usize) -> LabelFigures {
        LabelFigures::default()
    }

    /// The live blocks, by time.
    fn blocks(&self) -> Vec<BlockFigures> {
        Vec::new()
    }
}

/// Names with counts, largest first.
pub type Counts = Vec<(String, u64)>;

/// See [`StoreStatus::labels`].
#[derive(Clone, Debug, Default)]
pub struct LabelFigures {
    /// Number of distinct label pairs.
    pub pairs: u64,
    /// Series by metric name.
    pub metrics: Counts,
    /// Values by label name.
    pub values: Counts,
    /// Bytes by label name.
    pub bytes: Counts,
    /// Series by `name=value`.
    pub series: Counts,
}

/// See [`StoreStatus::blocks`].
#[derive(Clone, Debug, Default)]
pub struct BlockFigures {
    /// Its id.
    pub id: String,
    /// Earliest and latest sample, in milliseconds.
    pub time_range_ms: (i64, i64),
    /// Number of series.
    pub series: u64,
    /// Number of samples.
    pub samples: u64,
    /// Number of chunks.
    pub chunks: u64,
    /// How often its samples have been merged.
    pub level: u32,
    /// The blocks that it was merged from.
    pub sources: Vec<String>,
    /// Version of its format.
    pub version: u32,
}

/// See [`StoreStatus`].
#[derive(Clone, Debug, Default)]
pub struct StoreFigures {
    /// Series in the head.
    pub series: u64,
    /// Samples in the head.
    pub head_samples: u64,
    /// Chunks and open buffers in the head.
    pub head_chunks: u64,
    /// Earliest and latest sample, in milliseconds; `None` without samples.
    pub time_range_ms: Option<(i64, i64)>,
    /// Live blocks.
    pub blocks: u64,
    /// Their bytes.
    pub block_bytes: u64,
}

/// What `--enable-feature` switches on.
#[derive(Clone, Copy, Debug, Default)]
pub struct PromqlSettings {
    /// Parts of the language.
    pub features: lang::promql::Features,
    /// `stats=all` counts samples per step.
    pub per_step_stats: bool,
}

impl PromqlSettings {
    /// Switches the feature of this name on; `false` where nothing here has the name.
    pub fn enable(&mut self, name: &str) -> bool {
        if name == "promql-per-step-stats" {
            self.per_step_stats = true;
            return true;
        }
        self.features.enable(name)
    }
}

/// Look-ups that may run at once on any machine: a long one must not keep all others waiting.
const LOOKUPS_MIN: usize = 2;

/// What a user may set about the server; the defaults stand in the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Bounds of one query.
    pub query_limits: QueryLimits,
    /// Longest run time of a query in milliseconds.
    pub query_timeout_ms: u64,
    /// Look-back of instant selectors in milliseconds.
    pub lookback_ms: i64,
    /// Default step of sub-queries in milliseconds.
    pub subquery_step_ms: i64,
    /// Queries that run at once and wait.
    pub turns: TurnLimits,
    /// Threads that large queries may use beside their own.
    pub helpers: Arc<exec::Helpers>,
    /// The memory of the process: when it is full, bodies and queries are refused.
    pub memory: Arc<MemoryWatch>,
    /// Connections that may be open at once over all ports; 0 = any number.
    pub connections_max: u64,
    /// Bytes of one request body as sent.
    pub body_bytes_max: usize,
    /// Bytes of memory for the bodies of all requests under way.
    pub bodies_bytes_max: u64,
    /// Spellings of series that each protocol remembers.
    pub known_keys_max: usize,
    /// Graphite.
    pub graphite: GraphiteSettings,
    /// Series may be deleted through the API.
    pub prometheus_admin_api: bool,
    /// Exemplars that are kept; the oldest go.
    pub exemplars_max: usize,
    /// Switched-on parts of PromQL.
    pub promql: PromqlSettings,
    /// Search for names.
    pub search: search::Settings,
    /// OpenTelemetry's metrics.
    pub otlp: otlp::Settings,
    /// OpenTSDB's side.
    pub opentsdb: OpenTsdbSettings,
    /// Configuration as text, for the status page.
    pub config_text: String,
    /// How long samples are kept, in milliseconds; `None` = for ever. For the status page.
    pub retention_ms: Option<i64>,
    /// The feature flags as they were given, for the status page.
    pub enabled_features: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            query_limits: QueryLimits::default(),
            query_timeout_ms: 120_000,
            lookback_ms: 300_000,
            subquery_step_ms: 60_000,
            turns: TurnLimits {
                running_max: 20,
                client_running_max: 15,
                waiting_max: 1000,
                client_waiting_max: 500,
            },
            helpers: Arc::default(),
            memory: Arc::default(),
            connections_max: 0,
            body_bytes_max: base::limits::BODY_BYTES_MAX,
            bodies_bytes_max: 1 << 30,
            known_keys_max: KnownKeys::KEYS_MAX,
            graphite: GraphiteSettings::default(),
            prometheus_admin_api: false,
            exemplars_max: 100_000,
            promql: PromqlSettings::default(),
            search: search::Settings::default(),
            otlp: otlp::Settings::default(),
            opentsdb: OpenTsdbSettings::default(),
            config_text: String::new(),
            retention_ms: None,
            enabled_features: String::new(),
        }
    }
}

/// Shared by all listeners of a process.
pub struct State {
    /// Where writes go.
    pub appender: Arc<dyn Appender>,
    /// Where reads come from.
    pub source: Arc<dyn Catalog>,
    /// Small durable records beside the samples.
    pub documents: Arc<dyn Documents>,
    /// Figures for status pages.
    pub status: Arc<dyn StoreStatus>,
    /// The program's metrics.
    pub metrics: Arc<Metrics>,
    /// Numbers of OpenTSDB's names.
    pub uids: Uids,
    /// Exemplars of remote write.
    pub exemplars: Exemplars,
    /// What OTLP's endpoint remembers.
    pub otlp: OtlpState,
    /// Trees of PromQL queries.
    pub parsed: ParsedQueries,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// What the user set.
    pub settings: Settings,
    /// Spellings of label sets that remote write has seen.
    pub known_keys: RwLock<KnownKeys>,
    /// Spellings of tagged paths that carbon's listeners have seen.
    pub(crate) graphite_keys: RwLock<wire::known_keys::KnownKeys>,
    /// Held while an event of Graphite's gets its number.
    pub(crate) events_lock: parking_lot::Mutex<()>,
    /// Spellings of series in OpenTSDB's lines.
    pub telnet_keys: RwLock<KnownKeys>,
    /// Spellings of series in OpenTSDB's JSON.
    pub put_keys: RwLock<KnownKeys>,
    /// Permits to run queries.
    pub turns: Arc<Turns>,
    /// Permits to look things up: any number without a limit of memory, else one for each processor. What a
    /// look-up takes is only known when it is done.
    pub lookups: Arc<Semaphore>,
    /// Batches of writes that are done.
    pub spare_batches: Spare<WriteBatch>,
    /// What bodies were decompressed to.
    pub spare_bytes: Spare<Vec<u8>>,
    /// When the process started, in milliseconds.
    pub started_ms: i64,
    ready: AtomicBool,
}

impl State {
    /// Bounds of a query whose parameter `rollups` is this: `false` or `0` reads samples alone.
    pub fn limits_with(&self, rollups: Option<&str>) -> QueryLimits {
        let is_refused = matches!(rollups, Some("false" | "0"));
        let limits = self.settings.query_limits;
        QueryLimits { rollups: limits.rollups && !is_refused, ..limits }
    }

    /// State over a store, its documents in memory; not ready until [`State::set_ready`].
    pub fn new(
        appender: Arc<dyn Appender>,
        source: Arc<dyn Catalog>,
        status: Arc<dyn StoreStatus>,
        metrics: Arc<Metrics>,
        clock: Arc<dyn Clock>,
        settings: Settings,
    ) -> Self {
        let turns = Turns::new(settings.turns, Arc::clone(&metrics));
        let lookups = match settings.memory.limit() {
            0 => Semaphore::MAX_PERMITS,
            _ => std::thread::available_parallelism().map_or(1, NonZero::get).max(LOOKUPS_MIN),
        };
        let lookups = Arc::new(Semaphore::new(lookups));
        let keys_max = settings.known_keys_max;
        let known_keys = || RwLock::new(KnownKeys::at_most(keys_max));
        let started_ms = clock.now_ms();
        let ready = AtomicBool::new(false);
        let documents: Arc<dyn Documents> = Arc::new(MemoryDocuments::default());
        let uids = Uids::new(documents.clone(), settings.opentsdb.uid_width);
        let exemplars = Exemplars::new(documents.clone(), settings.exemplars_max);
        Self {
            appender,
            source,
            documents,
            status,
            metrics,
            uids,
            exemplars,
            otlp: OtlpState::default(),
            parsed: ParsedQueries::default(),
            clock,
            settings,
            known_keys: known_keys(),
            graphite_keys: known_keys(),
            events_lock: parking_lot::Mutex::new(()),
            telnet_keys: known_keys(),
            put_keys: known_keys(),
            turns,
            lookups,
            spare_batches: Spare::default(),
            spare_bytes: Spare::default(),
            started_ms,
            ready,
        }
    }

    /// With documents that last.
    pub fn with_documents(mut self, documents: Arc<dyn Documents>) -> Self {
        self.uids = Uids::new(documents.clone(), self.settings.opentsdb.uid_width);
        self.exemplars = Exemplars::new(documents.clone(), self.settings.exemplars_max);
        self.documents = documents;
        self
    }

    /// Says whether requests are served.
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Release);
    }

    /// True while requests are served.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// An empty batch for the default tenant, to be given to [`State::spare_batches`] once it is stored.
    pub fn batch(&self) -> WriteBatch {
        let spare = self.spare_batches.take();
        let mut batch = spare.unwrap_or_else(|| self.appender.batch(TenantId::DEFAULT));
        batch.clear();
        batch
    }

    /// Milliseconds since the epoch.
    pub fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }
}
