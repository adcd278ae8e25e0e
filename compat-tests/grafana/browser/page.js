// The real data-source class of Grafana in a page of its own: asks tributary, hands its answers to run.mjs, and
// draws a panel from them. What Grafana's server does between the class and a Prometheus (pass resources on, make
// frames of range queries) is a few lines here.
import { PrometheusDatasource } from '@grafana/prometheus';
import { setBackendSrv, setTemplateSrv, setDataSourceSrv } from '@grafana/runtime';
import { dateTime } from '@grafana/data';
import { from, lastValueFrom } from 'rxjs';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';

const asked = [];

async function send(method, path, params, data) {
  const form = new URLSearchParams();
  for (const [name, value] of Object.entries(params ?? {})) {
    for (const one of Array.isArray(value) ? value : [value]) if (one !== undefined) form.append(name, one);
  }
  const query = form.size ? `?${form}` : '';
  const body = method === 'POST' ? (typeof data === 'string' ? data : new URLSearchParams(data ?? {})) : undefined;
  asked.push(`${method} ${path.split('?')[0]}`);
  const answer = await fetch(`/tributary/${path}${query}`, { method, body });
  const value = await answer.json().catch(() => null);
  if (!answer.ok) throw { status: answer.status, statusText: answer.statusText, data: value };
  return { status: answer.status, ok: true, data: value, headers: answer.headers, config: {} };
}

function frame(refId, series) {
  const [times, values] = [series.values.map(([at]) => at * 1000), series.values.map(([, value]) => Number(value))];
  const fields = [
    { name: 'Time', type: 'time', typeInfo: { frame: 'time.Time' } },
    { name: 'Value', type: 'number', typeInfo: { frame: 'float64' }, labels: series.metric },
  ];
  return { schema: { refId, meta: { type: 'timeseries-multi', custom: { resultType: 'matrix' } }, fields },
           data: { values: [times, values] } };
}

async function dataQuery({ queries, from: start, to: end }) {
  const results = {};
  for (const query of queries) {
    const step = Math.max(15, Math.ceil((query.intervalMs ?? 15000) / 1000));
    const form = { query: query.expr, start: Math.floor(start / 1000 / step) * step, end: Math.floor(end / 1000 / step) * step, step };
    const answer = await send('POST', 'api/v1/query_range', {}, form);
    results[query.refId] = { status: 200, frames: answer.data.data.result.map((series) => frame(query.refId, series)) };
  }
  return { status: 200, ok: true, data: { results } };
}

function fetchForGrafana({ url, method = 'GET', params, data }) {
  const resource = url.match(/\/resources\/(.*)$/);
  return from(resource ? send(method, resource[1].replace(/^\//, ''), params, data) : dataQuery(data));
}

setBackendSrv({
  fetch: fetchForGrafana,
  get: (url, params) => lastValueFrom(fetchForGrafana({ url, params })).then((answer) => answer.data),
  post: (url, data) => lastValueFrom(fetchForGrafana({ url, method: 'POST', data })).then((answer) => answer.data),
});
setTemplateSrv({
  replace: (text) => text, getVariables: () => [], containsTemplate: () => false, updateTimeRange: () => {},
  getAdhocFilters: () => [],
});
setDataSourceSrv({ getInstanceSettings: () => undefined, get: async () => undefined, getList: () => [] });

function draw(frames) {
  const first = frames[0].fields[0].values;
  const data = [Array.from(first, (at) => at / 1000), ...frames.map((one) => Array.from(one.fields[1].values))];
  const colors = ['#73bf69', '#f2cc0c', '#8ab8ff', '#ff780a', '#b877d9'];
  const series = frames.map((one, index) => ({
    label: Object.entries(one.fields[1].labels).filter(([name]) => name !== '__name__').map((pair) => pair.join('=')).join(', '),
    stroke: colors[index % colors.length], width: 2, fill: `${colors[index % colors.length]}22`,
  }));
  const axis = { stroke: '#ccccdc', grid: { stroke: '#2c3235' }, ticks: { stroke: '#2c3235' } };
  new uPlot({ width: 960, height: 380, series: [{}, ...series], axes: [axis, axis] }, data, document.getElementById('panel'));
}

async function run() {
  const now = Number(new URLSearchParams(location.search).get('now')) * 1000;
  const range = { from: dateTime(now - 3600_000), to: dateTime(now), raw: { from: 'now-1h', to: 'now' } };
  const source = new PrometheusDatasource({
    id: 1, uid: 'tributary', name: 'tributary', type: 'prometheus', url: '', access: 'proxy', readOnly: false,
    jsonData: { httpMethod: 'POST' }, meta: { info: {} },
  });
  const texts = async (query) => (await source.metricFindQuery(query, { range })).map((one) => one.text);
  const out = {};
  await source.languageProvider.start(range);
  out.metrics = [...source.languageProvider.retrieveMetrics()].sort();
  out.metadata = source.languageProvider.retrieveMetricsMetadata?.() ?? null;
  out.labelNames = (await texts('label_names()')).sort();
  out.labelValues = await texts('label_values(mode)');
  out.labelValuesOf = await texts('label_values(demo_cpu_seconds_total{mode="user"}, host)');
  out.escaped = await texts('label_values({"demo.dotted"}, a.b)');
  out.matching = await texts('metrics(demo_.*)');
  out.result = await texts('query_result(demo_up)');
  out.series = await texts('demo_up');
  out.tagKeys = (await source.getTagKeys({ filters: [], timeRange: range, queries: [] })).map((one) => one.text ?? one.value).sort();
  out.tagValues = (await source.getTagValues({ key: 'host', filters: [], timeRange: range, queries: [] })).map((one) => one.text ?? one.value);
  out.exemplars = await source.areExemplarsAvailable();
  const answer = await lastValueFrom(source.query({
    requestId: 'Q1', app: 'dashboard', interval: '15s', intervalMs: 60_000, maxDataPoints: 400, range, scopedVars: {},
    timezone: 'utc', startTime: now,
    targets: [{ refId: 'A', expr: 'sum by (mode) (rate(demo_cpu_seconds_total[5m]))', range: true, legendFormat: '{{mode}}' }],
  }));
  out.query = answer.data.map((one) => ({
    labels: one.fields[1].labels, points: one.fields[1].values.length, last: one.fields[1].values[one.fields[1].values.length - 1],
  }));
  out.asked = [...new Set(asked)].sort();
  document.getElementById('title').textContent = 'sum by (mode) (rate(demo_cpu_seconds_total[5m]))';
  draw(answer.data);
  return out;
}

run().then((out) => out, (error) => ({ error: String(error?.stack ?? JSON.stringify(error)), asked }))
  .then((out) => fetch('/result', { method: 'POST', body: JSON.stringify(out) }));
