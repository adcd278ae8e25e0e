//! The configuration: one typed value, and the only place with defaults.
//!
//! A value comes from, later ones winning: the default, the TOML file, the environment
//! (`TRIBUTARY_` and the key in capitals, dots as underscores: `TRIBUTARY_WAL_SYNC`), the command
//! line (`--set wal.sync=interval`). Unknown keys are errors wherever they stand.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::otlp::Otlp;
pub(crate) use crate::units::{Bytes, Millis};

/// Everything a user may set.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// Directory of all data.
    pub data_dir: DataDir,
    /// Addresses.
    pub listen: Listen,
    /// The write-ahead log.
    pub wal: Wal,
    /// Head, blocks and retention.
    pub storage: Storage,
    /// What is refused.
    pub limits: Limits,
    /// The memory of the process.
    pub memory: Memory,
    /// Queries.
    pub query: Query,
    /// Prometheus.
    pub prometheus: Prometheus,
    /// OpenTelemetry's metrics.
    pub otlp: Otlp,
    /// Graphite.
    pub graphite: Graphite,
    /// OpenTSDB.
    pub opentsdb: OpenTsdb,
    /// Logging.
    pub log: Log,
}

/// `data_dir`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct DataDir(pub PathBuf);

impl Default for DataDir {
    fn default() -> Self {
        Self(PathBuf::from("./data"))
    }
}

/// `[listen]`: an empty address turns a listener off.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Listen {
    /// All three HTTP APIs.
    pub http: String,
    /// Graphite plaintext, TCP.
    pub graphite_tcp: String,
    /// Graphite plaintext, UDP.
    pub graphite_udp: String,
    /// Graphite pickle, TCP.
    pub graphite_pickle: String,
    /// OpenTSDB telnet and HTTP.
    pub opentsdb: String,
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            http: "0.0.0.0:9009".into(),
            graphite_tcp: "0.0.0.0:2003".into(),
            graphite_udp: "0.0.0.0:2003".into(),
            graphite_pickle: "0.0.0.0:2004".into(),
            opentsdb: "0.0.0.0:4242".into(),
        }
    }
}

/// `[wal]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Wal {
    /// `always`: a request is acknowledged once it is synced to disk. `interval`: synced in turns.
    pub sync: SyncPolicy,
    /// Time between syncs under `interval`.
    pub sync_interval: Millis,
    /// Size of a log file.
    pub file_bytes: Bytes,
    /// Size of the whole log beyond which windows are flushed early.
    pub bytes_max: Bytes,
}

impl Default for Wal {
    fn default() -> Self {
        Self {
            sync: SyncPolicy::Always,
            sync_interval: Millis(200),
            file_bytes: Bytes(128 << 20),
            bytes_max: Bytes(2 << 30),
        }
    }
}

/// `wal.sync`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SyncPolicy {
    /// Before every acknowledgement.
    Always,
    /// Every `wal.sync_interval`.
    Interval,
}

/// `[storage]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Storage {
    /// Length of the time windows that become blocks.
    pub partition: Millis,
    /// How long after its end a window is flushed.
    pub flush_after: Millis,
    /// Estimated memory of samples beyond which windows are flushed early.
    pub head_bytes_max: Bytes,
    /// Open windows beyond which the oldest are flushed early.
    pub partitions_max: usize,
    /// How long samples are kept; `0` = for ever.
    pub retention: Millis,
    /// Size of log and blocks beyond which the oldest blocks go; `0` = any.
    pub retention_bytes: Bytes,
    /// Write everything to blocks on shutdown, instead of leaving it to the log.
    pub flush_on_close: bool,
    /// How long the samples of some series are kept instead; the first rule that matches counts.
    pub retention_rule: Vec<RetentionRule>,
    /// Which series are rolled up; the first rule that matches counts.
    pub rollup_rule: Vec<RollupRule>,
}

/// `[[storage.retention_rule]]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RetentionRule {
    /// Which series, as a selector of PromQL.
    #[serde(rename = "match")]
    pub selector: String,
    /// How long their samples are kept; `0` = for ever.
    pub keep: Millis,
}

/// `[[storage.rollup_rule]]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RollupRule {
    /// Which series, as a selector of PromQL.
    #[serde(rename = "match")]
    pub selector: String,
    /// Lengths of time that are summarized, whole minutes of which a day is a multiple; none: these
    /// series are not rolled up.
    pub resolutions: Vec<Millis>,
    /// How long summaries are kept; `0` = for ever.
    #[serde(default)]
    pub keep: Millis,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            partition: Millis(2 * 3_600_000),
            flush_after: Millis(15 * 60_000),
            head_bytes_max: Bytes(2 << 30),
            partitions_max: 64,
            retention: Millis(0),
            retention_bytes: Bytes(0),
            retention_rule: Vec::new(),
            rollup_rule: Vec::new(),
            flush_on_close: false,
        }
    }
}

/// `[limits]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Limits {
    /// Series in the head at once; `0` = any number.
    pub series_max: u64,
    /// How far in the future a sample may lie; `0` = anywhere.
    pub future: Millis,
    /// Requests waiting for the log, in bytes.
    pub queue_bytes_max: Bytes,
    /// Estimated memory of annotations, UIDs, events and other small records.
    pub document_bytes_max: Bytes,
    /// Connections that may be open at once over all ports; `0` = any number.
    pub connections_max: u64,
    /// One HTTP body as sent.
    pub body_bytes_max: Bytes,
    /// Memory for the bodies of all requests under way.
    pub bodies_bytes_max: Bytes,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            series_max: 0,
            future: Millis(0),
            queue_bytes_max: Bytes(256 << 20),
            document_bytes_max: Bytes(1 << 30),
            connections_max: 10_000,
            body_bytes_max: Bytes(base::limits::BODY_BYTES_MAX as u64),
            bodies_bytes_max: Bytes(1 << 30),
        }
    }
}

/// `[memory]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Memory {
    /// Bytes that the process may hold beside mapped files; `0` = any.
    pub limit: Bytes,
}

impl Default for Memory {
    fn default() -> Self {
        Self { limit: Bytes(0) }
    }
}

/// `[query]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Query {
    /// Longest run time of a query.
    pub timeout: Millis,
    /// How far an instant selector looks back.
    pub lookback: Millis,
    /// Default step of PromQL sub-queries.
    pub subquery_step: Millis,
    /// Queries that run at once.
    pub concurrency: usize,
    /// Threads that large queries may use together; 0 = one for each processor.
    pub threads: usize,
    /// Queries of one client that run at once.
    pub client_concurrency: usize,
    /// Queries that may wait for their turn.
    pub waiting_max: usize,
    /// Queries of one client that may wait for their turn.
    pub client_waiting_max: usize,
    /// Samples that a query may hold.
    pub samples_max: u64,
    /// Series that one selector may touch.
    pub series_max: u64,
    /// Memory that a query may use.
    pub memory_bytes_max: Bytes,
    /// Queries may read summaries instead of samples, where rules make some.
    pub rollups: bool,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            timeout: Millis(120_000),
            lookback: Millis(300_000),
            subquery_step: Millis(60_000),
            concurrency: 20,
            threads: 0,
            client_concurrency: 15,
            waiting_max: 1000,
            client_waiting_max: 500,
            samples_max: 50_000_000,
            series_max: 30_000_000,
            memory_bytes_max: Bytes(2 << 30),
            rollups: true,
        }
    }
}

/// `[prometheus]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Prometheus {
    /// Let clients delete series through `/api/v1/admin/tsdb/`.
    pub admin_api: bool,
    /// Exemplars that are kept; the oldest go.
    pub exemplars_max: usize,
    /// Prometheus's feature flags, separated by commas.
    pub enable_feature: String,
    /// The greatest `limit` of a search; 0 = any.
    pub search_limit_max: usize,
}

impl Default for Prometheus {
    fn default() -> Self {
        Self {
            admin_api: false,
            exemplars_max: 100_000,
            enable_feature: String::new(),
            search_limit_max: 10_000,
        }
    }
}

/// `[graphite]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Graphite {
    /// Step of a series where no schema says otherwise.
    pub step: Millis,
    /// Take the step that the samples of a series have where no schema names it.
    pub learn_step: bool,
    /// Bytes of one frame of pickles, at most 64 MiB; a longer one closes its connection.
    pub pickle_bytes_max: Bytes,
    /// Path of a `storage-schemas.conf`; empty = none.
    pub storage_schemas: String,
    /// Path of a `storage-aggregation.conf`; empty = none.
    pub storage_aggregation: String,
    /// Expressions, searched in the path: carbon takes nothing that one of them matches.
    pub blacklist: Vec<String>,
    /// Path of a file of such expressions, one a line; empty = none.
    pub blacklist_file: String,
    /// Expressions, searched in the path: where there are any, carbon takes only what one matches.
    pub whitelist: Vec<String>,
    /// Path of a file of such expressions, one a line; empty = none.
    pub whitelist_file: String,
    /// Paths that become a name and labels; the first rule that matches counts.
    pub mapping: Vec<Mapping>,
}

/// `[[graphite.mapping]]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mapping {
    /// What the whole path must look like.
    #[serde(rename = "match")]
    pub pattern: String,
    /// How `match` is written.
    #[serde(default)]
    pub match_type: MatchType,
    /// The name; `$1` is what the first star or group matched. Empty keeps the path.
    #[serde(default)]
    pub name: String,
    /// Labels, likewise.
    #[serde(default)]
    pub labels: std::collections::BTreeMap<String, String>,
    /// What becomes of a matching path.
    #[serde(default)]
    pub action: MappingAction,
}

/// `match_type`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MatchType {
    /// Stars stand for one node each.
    #[default]
    Glob,
    /// A regular expression.
    Regex,
}

/// `action`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MappingAction {
    /// It gets the name and the labels.
    #[default]
    Map,
    /// It is not taken.
    Drop,
}

impl Default for Graphite {
    fn default() -> Self {
        Self {
            step: Millis(60_000),
            learn_step: true,
            pickle_bytes_max: Bytes(base::limits::PICKLE_BYTES_MAX as u64),
            storage_schemas: String::new(),
            storage_aggregation: String::new(),
            blacklist: Vec::new(),
            blacklist_file: String::new(),
            whitelist: Vec::new(),
            whitelist_file: String::new(),
            mapping: Vec::new(),
        }
    }
}

/// `[opentsdb]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct OpenTsdb {
    /// Bytes of the number of a name, 3 to 8; greater numbers are wider.
    pub uid_width: usize,
    /// Let queries delete what they find.
    pub allow_delete: bool,
    /// Take filters that name tag values which nobody ever wrote.
    pub skip_unresolved_tagvs: bool,
    /// Points of unknown metrics are taken.
    pub auto_create_metrics: bool,
    /// Points with unknown tag keys are taken.
    pub auto_create_tagks: bool,
    /// Points with unknown tag values are taken.
    pub auto_create_tagvs: bool,
    /// Origins whose pages may read answers: `*`, a list between commas, or nothing.
    pub cors_domains: String,
    /// Headers that such a page may send.
    pub cors_headers: String,
    /// Request header whose value becomes a tag of every point; empty = none.
    pub header_tag: String,
    /// JSON of the original's `tsd.rollups.config`; empty = rollups are refused.
    pub rollup_config: String,
    /// Histograms are taken.
    pub histograms: bool,
    /// Refused telnet lines are answered.
    pub telnet_errors: bool,
}

impl Default for OpenTsdb {
    fn default() -> Self {
        let settings = server::opentsdb::settings::OpenTsdbSettings::default();
        Self {
            uid_width: settings.uid_width,
            allow_delete: settings.allow_delete,
            skip_unresolved_tagvs: settings.skip_unresolved_tagvs,
            auto_create_metrics: settings.auto_create_metrics,
            auto_create_tagks: settings.auto_create_tagks,
            auto_create_tagvs: settings.auto_create_tagvs,
            cors_domains: settings.cors_domains,
            cors_headers: settings.cors_headers,
            header_tag: settings.header_tag,
            rollup_config: String::new(),
            histograms: settings.histograms,
            telnet_errors: settings.telnet_errors,
        }
    }
}

/// `[log]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `info,storage=debug`.
    pub level: String,
    /// `text` or `json`.
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".into(), format: LogFormat::Text }
    }
}

/// `log.format`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// One line a record for people.
    Text,
    /// One JSON object a record.
    Json,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The text is no TOML, a key is unknown, or a value has the wrong form.
    #[error("cannot use {origin}: {message}")]
    Invalid {
        /// The file, the variable or the flag.
        origin: String,
        /// What is wrong, with the place.
        message: String,
    },
}

impl Config {
    /// Reads the file at `path`, if given, then the variables of `environment`, then `overrides`
    /// (`key=value`).
    pub(crate) fn load(
        path: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        overrides: &[String],
    ) -> Result<Self, ConfigError> {
        let mut table = match path {
            None => Table::new(),
            Some(path) => read_file(path)?,
        };
        let keys = known_keys();
        let environment: Vec<_> = environment.into_iter().collect();
        for key in &keys {
            let variable = format!("TRIBUTARY_{}", key.to_uppercase().replace('.', "_"));
            if let Some((_, value)) = environment.iter().find(|(name, _)| *name == variable) {
                set(&mut table, key, value);
            }
        }
        for item in overrides {
            let (key, value) = item.split_once('=').ok_or_else(|| ConfigError::Invalid {
                origin: format!("--set {item}"),
                message: "write it as key=value".to_owned(),
            })?;
            if !keys.iter().any(|known| known == key) {
                return Err(ConfigError::Invalid {
                    origin: format!("--set {item}"),
                    message: format!("unknown key {key:?}; known are: {}", keys.join(", ")),
                });
            }
            set(&mut table, key, value);
        }
        let origin = path.map_or("the settings".to_owned(), |path| path.display().to_string());
        table.try_into().map_err(|error: toml::de::Error| ConfigError::Invalid {
            origin,
            message: error.to_string(),
        })
    }

    /// The whole configuration as TOML.
    pub(crate) fn to_toml(&self) -> String {
        toml::to_string_pretty(self).unwrap_or_default()
    }
}

fn read_file(path: &Path) -> Result<Table, ConfigError> {
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Read { path: shown.clone(), source })?;
    let invalid = |error: toml::de::Error| ConfigError::Invalid {
        origin: shown.clone(),
        message: error.to_string(),
    };
    // Read as the typed value first: its errors carry line and column of the file.
    toml::from_str::<Config>(&text).map_err(invalid)?;
    toml::from_str(&text).map_err(invalid)
}

/// Every key with its dots, in the order of the file.
pub(crate) fn known_keys() -> Vec<String> {
    let mut keys = Vec::new();
    if let Ok(table) = Table::try_from(Config::default()) {
        for (name, value) in table {
            match value {
                Value::Table(inner) => keys.extend(inner.keys().map(|key| format!("{name}.{key}"))),
                _ => keys.push(name),
            }
        }
    }
    keys
}

/// Sets a dotted key; numbers and booleans are taken as such, anything else is a text.
fn set(table: &mut Table, key: &str, text: &str) {
    let value = match (text.parse::<i64>(), text.parse::<bool>()) {
        (Ok(number), _) => Value::Integer(number),
        (_, Ok(flag)) => Value::Boolean(flag),
        _ => Value::String(text.to_owned()),
    };
    match key.split_once('.') {
        None => {
            table.insert(key.to_owned(), value);
        }
        Some((section, name)) => {
            let inner =
                table.entry(section.to_owned()).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                inner.insert(name.to_owned(), value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_sources_win_and_unknown_keys_are_errors() {
        let environment = [("TRIBUTARY_WAL_SYNC".to_owned(), "interval".to_owned())];
        let config =
            Config::load(None, environment, &["storage.retention=30d".to_owned()]).unwrap();
        assert_eq!(config.wal.sync, SyncPolicy::Interval);
        assert_eq!(config.storage.retention, Millis(30 * 86_400_000));
        assert!(Config::load(None, [], &["nothing=1".to_owned()]).is_err());
        assert!(Config::load(None, [], &["wal.sync=never".to_owned()]).is_err());
        assert!(Config::load(None, [], &["storage.retention=soon".to_owned()]).is_err());
    }

    #[test]
    fn the_printed_configuration_reads_back() {
        let text = Config::default().to_toml();
        let again: Config = toml::from_str(&text).unwrap();
        assert_eq!(again.to_toml(), text);
        assert!(text.contains("partition = \"2h\""));
    }
}
