// Runs Grafana's own Prometheus data-source class (the npm package @grafana/prometheus) in headless Chromium against
// a tributary of its own, checks what it finds, and takes a picture of a panel drawn from its answers.
//
//   TRIBUTARY=target/release/tributary node compat-tests/grafana/browser/run.mjs [picture.png]
//
// Needs npm with a registry, and chromium; says so and ends with 0 where they cannot be had. The packages are put
// into a temporary directory (WORK= keeps them).
import { execFileSync, spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import assert from 'node:assert/strict';

const here = dirname(fileURLToPath(import.meta.url));
const tributary = resolve(process.env.TRIBUTARY ?? join(here, '../../../target/release/tributary'));
const picture = process.argv[2] ? resolve(process.argv[2]) : undefined;
const port = Number(process.env.PORT ?? 19300);

function skip(why) {
  console.log(`0 compared: ${why}`);
  process.exit(0);
}

function find(names) {
  for (const name of names) {
    try {
      return execFileSync('sh', ['-c', `command -v ${name}`]).toString().trim();
    } catch { /* the next one */ }
  }
}

const chromium = process.env.CHROMIUM ?? find(['chromium', 'chromium-browser', 'google-chrome']);
if (!chromium) skip('there is no chromium');
if (!find(['npm'])) skip('there is no npm');
if (!existsSync(tributary)) skip(`there is no ${tributary}`);

const work = process.env.WORK ?? mkdtempSync(join(tmpdir(), 'tributary-grafana-'));
mkdirSync(work, { recursive: true });
for (const file of ['package.json', 'page.js', 'page.html']) cpSync(join(here, file), join(work, file));
if (!existsSync(join(work, 'node_modules/@grafana/prometheus'))) {
  try {
    execFileSync('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts', '--legacy-peer-deps'], { cwd: work, stdio: 'pipe' });
  } catch (error) {
    skip(`npm cannot install @grafana/prometheus: ${String(error.stderr).split('\n')[0]}`);
  }
}
const loaders = ['svg', 'png', 'ttf', 'woff', 'woff2'].map((kind) => `--loader:.${kind}=dataurl`);
execFileSync(join(work, 'node_modules/.bin/esbuild'), ['page.js', '--bundle', '--outfile=built/page.js', '--format=iife',
  '--define:process.env.NODE_ENV="production"', '--define:global=window', '--log-level=error', ...loaders], { cwd: work });

const data = join(work, `data-${process.pid}`);
const off = ['graphite_tcp', 'graphite_udp', 'graphite_pickle', 'opentsdb'].flatMap((name) => ['--set', `listen.${name}=`]);
const server = spawn(tributary, ['--data-dir', data, '--set', `listen.http=127.0.0.1:${port}`, ...off], { stdio: 'ignore' });
const base = `http://127.0.0.1:${port}`;

async function ready() {
  for (let attempt = 0; attempt < 100; attempt++) {
    try {
      if ((await fetch(`${base}/-/ready`)).ok) return;
    } catch { /* not yet */ }
    await new Promise((done) => setTimeout(done, 100));
  }
  throw new Error('tributary did not become ready');
}

// An hour of counters that grow by 0.6, 0.3 and 0.1 a second on two hosts, a gauge, and a name with dots.
async function fill(now) {
  const lines = [];
  for (let at = now - 3900; at <= now; at += 15) {
    const phase = (at - now) / 600;
    for (const host of ['a', 'b']) {
      for (const [mode, rate] of [['user', 0.6], ['system', 0.3], ['iowait', 0.1]]) {
        const value = rate * (at - now + 4000) + (mode === 'user' ? 20 * (1 + Math.sin(phase)) : 0);
        lines.push(`demo_cpu_seconds_total{host="${host}",mode="${mode}"} ${value} ${at * 1000}`);
      }
      lines.push(`demo_up{host="${host}"} 1 ${at * 1000}`);
    }
    lines.push(`{"demo.dotted","a.b"="c d"} 1 ${at * 1000}`);
  }
  const answer = await fetch(`${base}/api/v1/import/prometheus`, { method: 'POST', body: lines.join('\n') + '\n' });
  assert.equal(answer.status, 204, await answer.text());
}

function serve() {
  let report;
  const reported = new Promise((done) => { report = done; });
  const files = { '/': ['page.html', 'text/html'], '/page.js': ['built/page.js', 'text/javascript'], '/page.css': ['built/page.css', 'text/css'] };
  const pages = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    const path = request.url.split('?')[0];
    if (path === '/result') {
      response.end();
      report(JSON.parse(body.toString()));
    } else if (request.url.startsWith('/tributary/')) {
      const headers = request.headers['content-type'] ? { 'content-type': request.headers['content-type'] } : {};
      const answer = await fetch(base + request.url.slice('/tributary'.length), { method: request.method, headers, body: body.length ? body : undefined });
      response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? 'text/plain' });
      response.end(Buffer.from(await answer.arrayBuffer()));
    } else if (files[path]) {
      response.writeHead(200, { 'content-type': files[path][1] });
      response.end(readFileSync(join(work, files[path][0])));
    } else {
      response.writeHead(404).end();
    }
  });
  return new Promise((done) => pages.listen(0, '127.0.0.1', () => done({ pages, reported })));
}

let checks = 0;
function same(name, got, want) {
  assert.deepEqual(got, want, `${name}: ${JSON.stringify(got)}`);
  checks += 1;
}

let browser;
try {
  await ready();
  const now = Math.floor(Date.now() / 60_000) * 60;
  await fill(now);
  const { pages, reported } = await serve();
  const url = `http://127.0.0.1:${pages.address().port}/?now=${now}`;
  const shot = join(work, 'panel.png');
  browser = spawn(chromium, ['--headless=new', '--no-sandbox', '--disable-gpu', '--hide-scrollbars', '--disable-dev-shm-usage',
    `--user-data-dir=${join(work, 'profile')}`, '--window-size=1000,480', `--screenshot=${shot}`, '--virtual-time-budget=60000', url], { stdio: 'ignore' });
  const left = new Promise((done) => browser.on('exit', done));
  const late = new Promise((_, fail) => setTimeout(() => fail(new Error('the page did not report within 120 s')), 120_000));
  const out = await Promise.race([reported, late]);
  assert.equal(out.error, undefined, `${out.error}\n${out.asked?.join('\n')}`);
  const metrics = ['demo.dotted', 'demo_cpu_seconds_total', 'demo_up'];
  same('metrics of the language provider', out.metrics, metrics);
  same('label_names()', out.labelNames, ['__name__', 'a.b', 'host', 'mode']);
  same('label_values(mode)', out.labelValues, ['iowait', 'system', 'user']);
  same('label_values(selector, host)', out.labelValuesOf, ['a', 'b']);
  same('values of a label with a dot', out.escaped, ['c d']);
  same('metrics(regex)', out.matching, ['demo_cpu_seconds_total', 'demo_up']);
  same('query_result', out.result.map((text) => text.replace(/ \d+$/, '')), ['demo_up{host="a"} 1', 'demo_up{host="b"} 1']);
  same('series', [...out.series].sort(), ['demo_up{host="a"}', 'demo_up{host="b"}']);
  same('keys of filters', out.tagKeys.filter((key) => key !== '__name__'), ['a.b', 'host', 'mode']);
  same('values of filters', out.tagValues, ['a', 'b']);
  same('exemplars are offered', out.exemplars, true);
  same('series of the panel', out.query.map((one) => one.labels.mode), ['iowait', 'system', 'user']);
  for (const one of out.query) assert.ok(one.points === 61, `${JSON.stringify(one)}`);
  const of = (mode) => out.query.find((one) => one.labels.mode === mode).last;
  assert.ok(Math.abs(of('system') - 0.6) < 1e-9 && Math.abs(of('iowait') - 0.2) < 1e-9, JSON.stringify(out.query));
  checks += 2;
  await Promise.race([left, new Promise((done) => setTimeout(done, 60_000))]);
  assert.ok(existsSync(shot), 'chromium took no picture');
  if (picture) cpSync(shot, picture);
  pages.close();
  console.log(`${checks} passed, 0 failed; the class asked:\n  ${out.asked.join('\n  ')}`);
} finally {
  browser?.kill('SIGKILL');
  server.kill('SIGTERM');
  rmSync(data, { recursive: true, force: true });
  if (!process.env.WORK) rmSync(work, { recursive: true, force: true });
}
process.exit(0);
