//! `/api/config`: the original's settings, as far as this server has them with the values that it
//! has, the others with the values by which it behaves.

use axum::extract::Request;
use axum::http::Method;
use wire::opentsdb::query_json::push_tags;

use super::dispatch::allow;
use super::reply::{Refusal, Reply};
use crate::state::State;

/// Settings that nobody can change here; sorted.
const FIXED: [(&str, &str); 78] = [
    ("tsd.core.authentication.enable", "false"),
    ("tsd.core.authentication.plugin", ""),
    ("tsd.core.bulk.allow_out_of_order_timestamps", "true"),
    ("tsd.core.connections.limit", "0"),
    ("tsd.core.enable_api", "true"),
    ("tsd.core.enable_ui", "true"),
    ("tsd.core.meta.cache.enable", "false"),
    ("tsd.core.meta.enable_realtime_ts", "true"),
    ("tsd.core.meta.enable_realtime_uid", "true"),
    ("tsd.core.meta.enable_tsuid_incrementing", "true"),
    ("tsd.core.meta.enable_tsuid_tracking", "true"),
    ("tsd.core.plugin_path", ""),
    ("tsd.core.preload_uid_cache", "true"),
    ("tsd.core.preload_uid_cache.max_entries", "0"),
    ("tsd.core.socket.timeout", "0"),
    ("tsd.core.stats_with_port", "false"),
    ("tsd.core.storage_exception_handler.enable", "false"),
    ("tsd.core.tree.enable_processing", "false"),
    ("tsd.core.uid.random_metrics", "false"),
    ("tsd.gnuplot.options.allowlist", ""),
    ("tsd.http.cachedir", ""),
    ("tsd.http.request.enable_chunked", "true"),
    ("tsd.http.show_stack_trace", "false"),
    ("tsd.http.staticroot", ""),
    ("tsd.mode", "rw"),
    ("tsd.network.async_io", "true"),
    ("tsd.network.bind", "0.0.0.0"),
    ("tsd.network.keep_alive", "true"),
    ("tsd.network.port", ""),
    ("tsd.network.reuse_address", "true"),
    ("tsd.network.tcp_no_delay", "true"),
    ("tsd.network.worker_threads", ""),
    ("tsd.no_diediedie", "true"),
    ("tsd.query.allow_simultaneous_duplicates", "true"),
    ("tsd.query.enable_fuzzy_filter", "true"),
    ("tsd.query.filter.expansion_limit", "0"),
    ("tsd.query.limits.bytes.allow_override", "false"),
    ("tsd.query.limits.data_points.allow_override", "false"),
    ("tsd.query.limits.overrides.interval", "0"),
    ("tsd.query.multi_get.batch_size", "0"),
    ("tsd.query.multi_get.concurrent", "0"),
    ("tsd.query.multi_get.enable", "false"),
    ("tsd.query.multi_get.get_all_salts", "false"),
    ("tsd.query.multi_get.limit", "0"),
    ("tsd.rollups.agg_tag_key", "_aggregate"),
    ("tsd.rollups.block_derived", "true"),
    ("tsd.rollups.raw_agg_tag_value", "RAW"),
    ("tsd.rollups.split_query.enable", "false"),
    ("tsd.rollups.tag_raw", "false"),
    ("tsd.rtpublisher.enable", "false"),
    ("tsd.rtpublisher.plugin", ""),
    ("tsd.search.enable", "false"),
    ("tsd.search.plugin", ""),
    ("tsd.startup.enable", "false"),
    ("tsd.startup.plugin", ""),
    ("tsd.stats.canonical", "false"),
    ("tsd.storage.compaction.flush_interval", "0"),
    ("tsd.storage.compaction.flush_speed", "0"),
    ("tsd.storage.compaction.max_concurrent_flushes", "0"),
    ("tsd.storage.compaction.min_flush_threshold", "0"),
    ("tsd.storage.enable_appends", "true"),
    ("tsd.storage.enable_compaction", "true"),
    ("tsd.storage.fix_duplicates", "true"),
    ("tsd.storage.flush_interval", "0"),
    ("tsd.storage.get_date_tiered_compaction_start", "0"),
    ("tsd.storage.hbase.data_table", ""),
    ("tsd.storage.hbase.meta_table", ""),
    ("tsd.storage.hbase.prefetch_meta", "false"),
    ("tsd.storage.hbase.scanner.maxNumRows", "0"),
    ("tsd.storage.hbase.tree_table", ""),
    ("tsd.storage.hbase.uid_table", ""),
    ("tsd.storage.hbase.zk_basedir", ""),
    ("tsd.storage.hbase.zk_quorum", ""),
    ("tsd.storage.repair_appends", "false"),
    ("tsd.storage.use_max_value", "false"),
    ("tsd.storage.use_otsdb_timestamp", "false"),
    ("tsd.timeseriesfilter.enable", "false"),
    ("tsd.uidfilter.enable", "false"),
];

/// Settings of a cache that is not there.
const CACHES: [(&str, &str); 4] = [
    ("tsd.uid.lru.enable", "false"),
    ("tsd.uid.lru.id.size", "0"),
    ("tsd.uid.lru.name.size", "0"),
    ("tsd.uid.use_mode", "false"),
];

/// The handler.
pub(super) fn config(state: &State, request: &Request) -> Result<Reply, Refusal> {
    allow(request, &[Method::GET, Method::POST])?;
    let (settings, all) = (&state.settings.opentsdb, &state.settings);
    let own = [
        ("tsd.core.auto_create_metrics", settings.auto_create_metrics.to_string()),
        ("tsd.core.auto_create_tagks", settings.auto_create_tagks.to_string()),
        ("tsd.core.auto_create_tagvs", settings.auto_create_tagvs.to_string()),
        ("tsd.http.header_tag", settings.header_tag.clone()),
        ("tsd.http.query.allow_delete", settings.allow_delete.to_string()),
        ("tsd.http.request.cors_domains", settings.cors_domains.clone()),
        ("tsd.http.request.cors_headers", settings.cors_headers.clone()),
        ("tsd.http.request.max_chunk", all.body_bytes_max.to_string()),
        ("tsd.query.limits.bytes.default", all.query_limits.memory_bytes_max.to_string()),
        ("tsd.query.limits.data_points.default", all.query_limits.samples_max.to_string()),
        ("tsd.query.skip_unresolved_tagvs", settings.skip_unresolved_tagvs.to_string()),
        ("tsd.query.timeout", all.query_timeout_ms.to_string()),
        ("tsd.rollups.enable", settings.rollups.is_some().to_string()),
        ("tsd.rpc.telnet.return_errors", settings.telnet_errors.to_string()),
    ];
    let fixed = FIXED.into_iter().chain(CACHES).map(|(name, value)| (name, value.to_owned()));
    let mut shown: Vec<(&str, String)> = own.into_iter().chain(fixed).collect();
    shown.sort_unstable();
    let mut out = Vec::new();
    push_tags(&mut out, shown.iter().map(|(name, value)| (*name, value.as_str())));
    Ok(Reply::ok(out))
}
