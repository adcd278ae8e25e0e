//! The program's own metrics: the handles, the one catalogue of names, and the text page.
//!
//! [`Metrics`] is created once and shared by `Arc`; a component gets the whole catalogue and touches
//! its own fields. Adding a metric is one line in [`Metrics`]' table, which is also its documentation.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `count`.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// The sum so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that moves both ways.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// Replaces the value.
    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Moves the value by `delta`; returns what it was before.
    pub fn add(&self, delta: i64) -> i64 {
        self.0.fetch_add(delta, Ordering::Relaxed)
    }

    /// The value now.
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One counter per value of one label; the values are fixed in the catalogue.
#[derive(Debug)]
pub struct CounterVec<const N: usize> {
    values: [&'static str; N],
    counters: [Counter; N],
}

impl<const N: usize> CounterVec<N> {
    fn new(values: [&'static str; N]) -> Self {
        Self { values, counters: std::array::from_fn(|_| Counter::default()) }
    }

    /// The counter of `value`; the last one (by convention "other") when the value is unknown.
    pub fn with(&self, value: &str) -> &Counter {
        let index = self.values.iter().position(|known| *known == value).unwrap_or(N - 1);
        &self.counters[index]
    }
}

/// Upper bounds in seconds of every duration histogram.
const BOUNDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

/// Durations in seconds, as a classic histogram.
#[derive(Debug, Default)]
pub struct DurationHistogram {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    sum_us: AtomicU64,
}

impl DurationHistogram {
    /// Counts one duration.
    pub fn observe(&self, duration: std::time::Duration) {
        let seconds = duration.as_secs_f64();
        let index = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        self.buckets[index].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(duration.as_micros() as u64, Ordering::Relaxed);
    }
}

/// Writes itself in the text exposition format.
trait Expose {
    const TYPE: &'static str;
    fn expose(&self, name: &str, label: &str, out: &mut String);
}

impl Expose for Counter {
    const TYPE: &'static str = "counter";
    fn expose(&self, name: &str, _label: &str, out: &mut String) {
        let _ = writeln!(out, "{name} {}", self.get());
    }
}

impl Expose for Gauge {
    const TYPE: &'static str = "gauge";
    fn expose(&self, name: &str, _label: &str, out: &mut String) {
        let _ = writeln!(out, "{name} {}", self.get());
    }
}

impl<const N: usize> Expose for CounterVec<N> {
    const TYPE: &'static str = "counter";
    fn expose(&self, name: &str, label: &str, out: &mut String) {
        for (value, counter) in self.values.iter().zip(&self.counters) {
            let _ = writeln!(out, "{name}{{{label}=\"{value}\"}} {}", counter.get());
        }
    }
}

impl Expose for DurationHistogram {
    const TYPE: &'static str = "histogram";
    fn expose(&self, name: &str, _label: &str, out: &mut String) {
        let mut total = 0;
        for (index, bucket) in self.buckets.iter().enumerate() {
            total += bucket.load(Ordering::Relaxed);
            match BOUNDS.get(index) {
                Some(bound) => writeln!(out, "{name}_bucket{{le=\"{bound}\"}} {total}"),
                None => writeln!(out, "{name}_bucket{{le=\"+Inf\"}} {total}"),
            }
            .ok();
        }
        let sum = self.sum_us.load(Ordering::Relaxed) as f64 / 1e6;
        let _ = writeln!(out, "{name}_sum {sum}\n{name}_count {total}");
    }
}

macro_rules! catalogue {
    ($( $field:ident : $kind:ty = $name:literal, $help:literal $(, $label:ident in [$($value:literal),+])?; )+) => {
        /// Every metric of the program; see the table in `base/metrics.rs`.
        #[derive(Debug)]
        pub struct Metrics { $( #[doc = $help] pub $field: $kind, )+ }

        impl Default for Metrics {
            fn default() -> Self {
                Self { $( $field: catalogue!(@new $kind $(, $($value),+)?), )+ }
            }
        }

        impl Metrics {
            /// Name, type and help of every metric, in catalogue order.
            pub const CATALOGUE: &'static [(&'static str, &'static str, &'static str)] =
                &[$( ($name, <$kind as Expose>::TYPE, $help), )+];

            /// The page of `/metrics`, in the Prometheus text format.
            pub fn expose(&self) -> String {
                let mut out = String::with_capacity(16 * 1024);
                $( {
                    let kind = <$kind as Expose>::TYPE;
                    let _ = writeln!(out, "# HELP {} {}\n# TYPE {} {kind}", $name, $help, $name);
                    self.$field.expose($name, concat!($(stringify!($label))?), &mut out);
                } )+
                out
            }
        }
    };
    (@new $kind:ty, $($value:literal),+) => { <$kind>::new([$($value),+]) };
    (@new $kind:ty) => { <$kind>::default() };
}

catalogue! {
    // Ingest
    ingested_samples: CounterVec<7> = "tributary_ingested_samples_total", "Samples acknowledged or taken, by protocol.", protocol in ["remote_write", "otlp", "carbon", "pickle", "telnet", "http_put", "import"];
    rejected_samples: CounterVec<14> = "tributary_rejected_samples_total", "Samples refused, by reason.", reason in ["malformed", "invalid_name", "invalid_value", "invalid_timestamp", "too_long", "too_many_labels", "too_old", "too_far_in_future", "series_limit", "nan", "blacklisted", "not_whitelisted", "unmapped", "other"];
    ingest_requests: CounterVec<4> = "tributary_ingest_requests_total", "Write requests over HTTP, by outcome.", outcome in ["ok", "invalid", "unavailable", "other"];
    body_bytes: Gauge = "tributary_request_body_bytes", "Memory set aside for the bodies of requests under way.";
    connections: Gauge = "tributary_connections", "Open connections, of all protocols.";
    connections_refused: Counter = "tributary_connections_refused_total", "Connections closed at once since there were as many as there may be.";
    memory_used: Gauge = "tributary_memory_used_bytes", "Memory held beside mapped files: what memory.limit is about.";
    memory_owed: Gauge = "tributary_memory_owed_bytes", "Memory that writing the head to a block will take.";
    // Storage
    series_active: Gauge = "tributary_head_series", "Series in the head.";
    series_created: Counter = "tributary_head_series_created_total", "Series created in the head.";
    head_samples: Gauge = "tributary_head_samples", "Samples in the head that no block holds yet.";
    head_bytes: Gauge = "tributary_head_bytes", "Estimated memory of the head's samples in bytes.";
    wal_bytes: Counter = "tributary_wal_written_bytes_total", "Bytes appended to the write-ahead log.";
    wal_size_bytes: Gauge = "tributary_wal_size_bytes", "Bytes of write-ahead log on disk.";
    wal_syncs: Counter = "tributary_wal_syncs_total", "Syncs of the write-ahead log; each may commit many requests.";
    wal_sync_seconds: DurationHistogram = "tributary_wal_sync_seconds", "Duration of a sync of the write-ahead log.";
    wal_errors: Counter = "tributary_wal_errors_total", "Failed writes or syncs of the write-ahead log.";
    wal_corrupt_records: Counter = "tributary_wal_corrupt_records_total", "Damaged records met while replaying the log.";
    wal_cut_bytes: Counter = "tributary_wal_cut_bytes_total", "Bytes of unfinished writes that were cut off the log when it was opened.";
    corrupt_sections: Counter = "tributary_corrupt_sections_total", "Damaged sections met in blocks.";
    flushes: Counter = "tributary_flushes_total", "Partitions of the head written to blocks.";
    flush_seconds: DurationHistogram = "tributary_flush_seconds", "Duration of a flush.";
    flush_failures: Counter = "tributary_flush_failures_total", "Flushes that failed and will be tried again.";
    compactions: Counter = "tributary_compactions_total", "Compactions finished.";
    compaction_seconds: DurationHistogram = "tributary_compaction_seconds", "Duration of a compaction.";
    rollups: Counter = "tributary_rollups_total", "Blocks of summaries written.";
    rollup_seconds: DurationHistogram = "tributary_rollup_seconds", "Duration of writing a block of summaries.";
    rollup_failures: Counter = "tributary_rollup_failures_total", "Blocks of summaries that could not be written and will be tried again.";
    compaction_failures: Counter = "tributary_compaction_failures_total", "Compactions that failed and will be tried again.";
    blocks: Gauge = "tributary_blocks", "Blocks named by the newest manifest.";
    deletes: Gauge = "tributary_deletes", "Deletes that blocks still wait to be rewritten for.";
    delete_blocks: Gauge = "tributary_delete_blocks", "Blocks with deleted samples, which are invisible, to be rewritten without them.";
    delete_bytes: Gauge = "tributary_delete_bytes", "Bytes of those blocks that are still to be rewritten.";
    delete_rewritten_bytes: Counter = "tributary_delete_rewritten_bytes_total", "Bytes of blocks that were rewritten, or merged with others, without their deleted samples.";
    block_bytes: Gauge = "tributary_block_bytes", "Bytes of those blocks.";
    block_id_bytes: Gauge = "tributary_block_id_bytes", "Memory in which blocks keep the numbers that their series have in the head's index, once a query has met both.";
    retention_deleted_blocks: Counter = "tributary_retention_deleted_blocks_total", "Blocks dropped by retention.";
    storage_writable: Gauge = "tributary_storage_writable", "1 while writes are accepted, 0 while the disk refuses them.";
    // Query
    queries: CounterVec<4> = "tributary_queries_total", "Queries answered, by language.", language in ["promql", "opentsdb", "graphite", "other"];
    query_failures: CounterVec<7> = "tributary_query_failures_total", "Queries that failed, by kind; throttled is a client at its own bound, unavailable a server at one.", kind in ["invalid", "too_large", "timeout", "canceled", "throttled", "unavailable", "other"];
    query_seconds: DurationHistogram = "tributary_query_seconds", "Duration of a query from text to result.";
    queries_running: Gauge = "tributary_queries_running", "Queries executing now.";
    queries_waiting: Gauge = "tributary_queries_waiting", "Queries waiting for a permit.";
    query_clients: Gauge = "tributary_query_clients", "Clients with a query that runs or waits.";
    select_cache_hits: Counter = "tributary_select_cache_hits_total", "Times that an index knew which series some matchers select, since it had been asked before.";
    select_cache_misses: Counter = "tributary_select_cache_misses_total", "Times that it did not.";
    select_cache_bytes: Gauge = "tributary_select_cache_bytes", "Memory in which indexes keep what was selected lately.";
    query_samples: Counter = "tributary_query_samples_total", "Samples read by queries.";
    http_requests: CounterVec<5> = "tributary_http_requests_total", "HTTP responses by status class.", class in ["2xx", "3xx", "4xx", "5xx", "other"];
    panics: Counter = "tributary_panics_total", "Panics caught in handlers or background tasks.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_every_metric_once() {
        let metrics = Metrics::default();
        metrics.ingested_samples.with("carbon").add(7);
        metrics.wal_sync_seconds.observe(std::time::Duration::from_millis(3));
        let page = metrics.expose();
        for (name, _, _) in Metrics::CATALOGUE {
            assert_eq!(page.matches(&format!("# TYPE {name} ")).count(), 1, "{name}");
        }
        assert!(page.contains("tributary_ingested_samples_total{protocol=\"carbon\"} 7\n"));
        assert!(page.contains("tributary_wal_sync_seconds_bucket{le=\"0.005\"} 1\n"));
    }
}
