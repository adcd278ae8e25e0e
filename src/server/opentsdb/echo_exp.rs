//! The question of `/api/query/exp`, repeated in its answer with what it left out.

use lang::opentsdb::exp::{ExpRequest, Fill, Filters, Metric, NamedExpression, Output, Time};
use wire::opentsdb::exp_json::push_value;
use wire::opentsdb::query_json::push_text;

/// Appends the request.
pub(super) fn push_request(out: &mut Vec<u8>, request: &ExpRequest) {
    push_name(out, b'{', "name");
    push_option(out, request.name.as_deref());
    push_name(out, b',', "time");
    match &request.time {
        Some(time) => push_time(out, time),
        None => out.extend_from_slice(b"null"),
    }
    push_name(out, b',', "filters");
    push_list(out, request.filters.as_deref(), push_filters);
    push_name(out, b',', "metrics");
    push_list(out, Some(&request.metrics), push_metric);
    push_name(out, b',', "expressions");
    push_list(out, request.expressions.as_deref(), push_expression);
    push_name(out, b',', "outputs");
    push_list(out, request.outputs.as_deref(), |out, Output { id, alias }| {
        push_members(out, &[("id", id), ("alias", alias)]);
        out.push(b'}');
    });
    out.push(b'}');
}

fn push_name(out: &mut Vec<u8>, before: u8, name: &str) {
    out.push(before);
    push_text(out, name);
    out.push(b':');
}

fn push_option(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => push_text(out, text),
        None => out.extend_from_slice(b"null"),
    }
}

fn push_flag(out: &mut Vec<u8>, name: &str, flag: bool) {
    push_name(out, b',', name);
    out.extend_from_slice(if flag { b"true" } else { b"false" });
}

/// The front of an object.
fn push_members(out: &mut Vec<u8>, members: &[(&str, &Option<String>)]) {
    for (index, (name, text)) in members.iter().enumerate() {
        push_name(out, if index > 0 { b',' } else { b'{' }, name);
        push_option(out, text.as_deref());
    }
}

fn push_list<T>(out: &mut Vec<u8>, items: Option<&[T]>, push: impl Fn(&mut Vec<u8>, &T)) {
    let Some(items) = items else { return out.extend_from_slice(b"null") };
    out.push(b'[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push(out, item);
    }
    out.push(b']');
}

fn push_time(out: &mut Vec<u8>, time: &Time) {
    let members = [("start", &time.start), ("end", &time.end), ("timezone", &time.timezone)];
    push_members(out, &members);
    push_name(out, b',', "downsampler");
    match &time.downsampler {
        Some(downsampler) => {
            let aggregator = &downsampler.aggregator;
            let members = [("interval", &downsampler.interval), ("aggregator", aggregator)];
            push_members(out, &members);
            push_fill(out, downsampler.fill.as_ref());
            out.push(b'}');
        }
        None => out.extend_from_slice(b"null"),
    }
    push_name(out, b',', "aggregator");
    push_option(out, time.aggregator.as_deref());
    push_flag(out, "rate", time.rate);
    out.push(b'}');
}

fn push_fill(out: &mut Vec<u8>, fill: Option<&Fill>) {
    push_name(out, b',', "fillPolicy");
    let Some(Fill { policy, value }) = fill else { return out.extend_from_slice(b"null") };
    push_name(out, b'{', "policy");
    push_text(out, policy);
    push_name(out, b',', "value");
    push_value(out, *value);
    out.push(b'}');
}

fn push_filters(out: &mut Vec<u8>, filters: &Filters) {
    push_members(out, &[("id", &filters.id)]);
    push_name(out, b',', "tags");
    push_list(out, filters.tags.as_deref(), |out, filter| {
        push_name(out, b'{', "tagk");
        push_text(out, &filter.tagk);
        push_name(out, b',', "filter");
        push_text(out, &filter.text);
        push_flag(out, "group_by", filter.group_by);
        push_name(out, b',', "type");
        push_text(out, filter.kind.name());
        out.push(b'}');
    });
    push_flag(out, "explicitTags", filters.explicit_tags);
    out.push(b'}');
}

fn push_metric(out: &mut Vec<u8>, metric: &Metric) {
    let members = [
        ("metric", &metric.metric),
        ("id", &metric.id),
        ("filter", &metric.filter),
        ("aggregator", &metric.aggregator),
        ("timeOffset", &metric.time_offset),
    ];
    push_members(out, &members);
    push_fill(out, metric.fill.as_ref());
    out.push(b'}');
}

fn push_expression(out: &mut Vec<u8>, expression: &NamedExpression) {
    push_members(out, &[("id", &expression.id), ("expr", &expression.text)]);
    push_name(out, b',', "join");
    let join = expression.join;
    push_name(out, b'{', "operator");
    push_text(out, if join.union { "union" } else { "intersection" });
    push_flag(out, "useQueryTags", join.query_tags);
    push_flag(out, "includeAggTags", join.aggregated_tags);
    out.push(b'}');
    push_fill(out, expression.fill.as_ref());
    out.push(b'}');
}
