//! `/api/query`: sub-queries one after the other, each a plan of its own.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::Request;
use axum::http::Method;
use exec::Value;
use lang::opentsdb::downsample::FillPolicy;
use lang::opentsdb::lower::selections;
use lang::opentsdb::{Checked, Query, Request as Asked, Resolution, lower, validate};
use model::{ResultSeries, TenantId};
use wire::opentsdb::query_json::{Extras, Style, push_result, push_texts};

use super::dispatch::allow;
use super::echo;
use super::params::{Params, read_body};
use super::query_annotations::Notes;
use super::query_members::Members;
use super::query_names::resolution;
use super::reply::{Refusal, Reply};
use super::uids::UidKind;
use crate::answers;
use crate::run_query::run_query;
use crate::state::State;

/// The handler.
pub(super) async fn query(
    state: &Arc<State>,
    request: Request,
    params: &Params,
) -> Result<Reply, Refusal> {
    allow(&request, &[Method::GET, Method::POST, Method::DELETE])?;
    let deletes = request.method() == Method::DELETE;
    let asked = if request.method() == Method::POST {
        let body = read_body(request, state.settings.body_bytes_max).await?;
        Asked::from_json(&body, params.has("arrays"))?
    } else {
        Asked::from_params(&params.0)?
    };
    let deletes = deletes || asked.delete;
    if deletes && !state.settings.opentsdb.allow_delete {
        return Err(Refusal::bad("Bad request")
            .with("Deleting data is not enabled (tsd.http.query.allow_delete=false)"));
    }
    let query = validate(asked, state.now_ms())?;
    let mut planned = Vec::with_capacity(query.queries.len());
    for sub in &query.queries {
        let resolution = resolution(state, sub).await?;
        let limits = state.limits_with(params.get("rollups"));
        let plan = lower(&query, sub, &resolution, TenantId::DEFAULT, limits)?;
        planned.push((sub, resolution, plan));
    }
    let mut out = b"[".to_vec();
    let mut totals = echo::Totals::default();
    for (index, (sub, resolution, plan)) in planned.into_iter().enumerate() {
        let started = Instant::now();
        let output = run_query(state, plan, None, "opentsdb").await?;
        let Value::Vector(rows) = &output.value else { continue };
        let _claim = answers::claim(state, rows)?;
        let figures = echo::Figures::new(index, rows, started.elapsed());
        totals.add(&figures);
        let about = About::find(state, &query, sub, &resolution, deletes).await?;
        write(&mut out, &query, sub, rows, &figures, &about);
        if deletes {
            delete(state, &query, sub, &resolution).await?;
        }
    }
    if query.flags.show_summary {
        begin_item(&mut out);
        totals.write(&mut out);
    }
    out.push(b']');
    Ok(Reply::ok(out))
}

/// Deletes what was asked for: the points inside the range, and not the hours around them.
async fn delete(
    state: &Arc<State>,
    query: &Query,
    sub: &Checked,
    resolution: &Resolution,
) -> Result<(), Refusal> {
    let selections = selections(sub, resolution);
    let (appender, range) = (state.appender.clone(), query.range);
    let deleted = tokio::task::spawn_blocking(move || {
        selections
            .iter()
            .try_for_each(|matchers| appender.delete(TenantId::DEFAULT, matchers, range))
    });
    match deleted.await {
        Ok(outcome) => outcome.map_err(|error| Refusal::of(&error)),
        Err(panic) => Err(Refusal::internal(panic.to_string())),
    }
}

/// What an answer says beside the points.
struct About {
    members: Option<Members>,
    notes: Option<Notes>,
    filter_keys: Vec<Vec<u8>>,
}

impl About {
    async fn find(
        state: &Arc<State>,
        query: &Query,
        sub: &Checked,
        resolution: &Resolution,
        deletes: bool,
    ) -> Result<Self, Refusal> {
        let notes = Notes::find(state, query, sub)?;
        // Names stay known after their last point is deleted, so they get their numbers before.
        let names_series = query.flags.show_tsuids
            || deletes
            || notes.as_ref().is_some_and(|notes| notes.of_series);
        let members = match names_series {
            true => Some(Members::find(state, query, sub, resolution).await?),
            false => None,
        };
        let space = state.uids.of(TenantId::DEFAULT);
        let keys = sub.query.filters.iter();
        let mut filter_keys: Vec<Vec<u8>> = keys
            .filter_map(|filter| space.uid(UidKind::Key, &filter.tagk))
            .map(|uid| space.bytes(uid))
            .collect();
        filter_keys.sort_unstable();
        filter_keys.dedup();
        Ok(Self { members, notes, filter_keys })
    }
}

/// A comma before all items but the first.
pub(super) fn begin_item(out: &mut Vec<u8>) {
    if out.len() > 1 {
        out.push(b',');
    }
}

fn write(
    out: &mut Vec<u8>,
    query: &Query,
    sub: &Checked,
    rows: &[ResultSeries],
    figures: &echo::Figures,
    about: &About,
) {
    let nan_as_null = sub.downsample.as_ref().is_some_and(|ds| ds.fill == FillPolicy::Null);
    let (arrays, milliseconds) = (query.flags.arrays, query.flags.milliseconds);
    let style = Style { arrays, milliseconds, nan_as_null };
    let sub_query =
        query.flags.show_query.then(|| echo::sub_query(sub, figures.index, &about.filter_keys));
    let stats = query.flags.show_stats.then(|| figures.to_json());
    for row in rows {
        let tsuids = about.members.as_ref().filter(|_| query.flags.show_tsuids).map(|members| {
            let mut json = Vec::new();
            push_texts(&mut json, members.of(row));
            json
        });
        let notes = about.notes.as_ref();
        let of_series = notes.zip(about.members.as_ref());
        let annotations = of_series.and_then(|(notes, members)| notes.of(members, row));
        let extras = Extras {
            query: sub_query.as_deref(),
            tsuids: tsuids.as_deref(),
            annotations: annotations.as_deref(),
            global_annotations: notes.and_then(|notes| notes.global.as_deref()),
            stats: stats.as_deref(),
        };
        begin_item(out);
        push_result(out, row, style, extras);
    }
}
