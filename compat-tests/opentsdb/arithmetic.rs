//! Random series and random questions: the whole way from the text of a request to the text of its
//! answer, over a real head, gives what the restated rules give.

use base::rng::Rng;
use serde_json::{Value, json};

use super::client::http;
use super::model::{Downsample, Fill, Number, Point, Question, Rate, Rules, answer};
use super::server::Server;

/// Data sets of a run; `LONG=1` makes it fifty times as many.
const SETS: usize = 40;
/// Questions asked of each.
const QUESTIONS: usize = 40;
/// 2013-01-01T00:00:00Z.
const ORIGIN_MS: i64 = 1_356_998_400_000;

const AGGREGATORS: [&str; 35] = lang::opentsdb::aggregator::NAMES;
const INTERVALS: [(&str, i64); 9] = [
    ("500ms", 500),
    ("1s", 1_000),
    ("10s", 10_000),
    ("1m", 60_000),
    ("7m", 420_000),
    ("15m", 900_000),
    ("1h", 3_600_000),
    ("90m", 5_400_000),
    ("5h", 18_000_000),
];

fn pick<T: Copy>(rng: &mut Rng, items: &[T]) -> T {
    items[rng.below(items.len() as u64) as usize]
}

fn series(rng: &mut Rng) -> Vec<Vec<Point>> {
    let step_ms = pick(rng, &[250, 1_000, 10_000, 60_000, 600_000, 2_000_000]);
    let (shared, kind) = (rng.below(3) == 0, rng.below(5));
    let count = 1 + rng.below(5);
    let one = |rng: &mut Rng| {
        let mut at = ORIGIN_MS + 3_600_000 * rng.below(3) as i64;
        if !shared {
            at += step_ms / 10 * rng.below(20) as i64;
        }
        let mut counted: i64 = 0;
        let mut points: Vec<Point> = Vec::new();
        for _ in 0..rng.below(30) {
            let float = kind == 0 || kind == 1 && rng.below(4) == 0;
            counted += rng.below(50) as i64 - if rng.below(8) == 0 { 200 } else { 0 };
            let value = match kind {
                _ if float => Number::Float(counted as f64 + rng.below(1_000) as f64 / 1_000.0),
                // Large enough for sums and products to wrap around.
                2 => Number::Integer((rng.next_u64() >> rng.below(60)) as i64),
                _ => Number::Integer(counted),
            };
            points.push((at, value));
            at += step_ms * (1 + if rng.below(3) == 0 { rng.below(6) as i64 } else { 0 });
        }
        points
    };
    (0..count).map(|_| one(rng)).collect()
}

fn question(rng: &mut Rng) -> (Question, String) {
    let start_ms = ORIGIN_MS - 1_800_000 + 1_000 * rng.below(9_000) as i64;
    let end_ms = start_ms + 1_000 * pick(rng, &[0, 1, 59, 600, 3_600, 7_200, 20_000]);
    let aggregator = pick(rng, &AGGREGATORS);
    let mut text = aggregator.to_owned();
    let downsample = (rng.below(3) > 0).then(|| {
        let (name, width) = pick(rng, &INTERVALS);
        let whole = rng.below(8) == 0;
        let function = loop {
            let function = pick(rng, &AGGREGATORS);
            if function != "none" {
                break function;
            }
        };
        let (fill, fill_name) = match rng.below(4) {
            // Buckets of half a second over hours are more than anyone can look at.
            1 if width > 5_000 => (Fill::Nan, "-nan"),
            2 if width > 5_000 => (Fill::Zero, "-zero"),
            3 if width > 5_000 => (Fill::Nan, "-null"),
            _ => (Fill::None, ""),
        };
        text += &format!(":{}-{function}{fill_name}", if whole { "0all" } else { name });
        Downsample { interval_ms: (!whole).then_some(width), function, fill }
    });
    let rate = (rng.below(3) == 0).then(|| {
        let mut rate = Rate { counter: false, drop_resets: false, max: i64::MAX, reset: 0 };
        text += match rng.below(5) {
            0 => ":rate",
            1 => {
                rate.counter = true;
                ":rate{counter}"
            }
            2 => {
                (rate.counter, rate.max) = (true, 1_000);
                ":rate{counter,1000}"
            }
            3 => {
                (rate.counter, rate.max, rate.reset) = (true, 1_000, 5);
                ":rate{counter,1000,5}"
            }
            _ => {
                (rate.counter, rate.drop_resets) = (true, true);
                ":rate{dropcounter}"
            }
        };
        rate
    });
    (Question { start_ms, end_ms, aggregator, downsample, rate }, text)
}

fn store(server: &Server, metric: &str, series: &[Vec<Point>]) {
    for (place, points) in series.iter().enumerate().filter(|(_, points)| !points.is_empty()) {
        let points: Vec<Value> = points
            .iter()
            .map(|(at, value)| {
                let value = match value {
                    Number::Integer(value) => json!(value),
                    Number::Float(value) => json!(value),
                };
                json!({"metric": metric, "timestamp": at, "value": value,
                       "tags": {"s": format!("s{place}")}})
            })
            .collect();
        let request = json!({"method": "POST", "uri": "/api/put", "body": points});
        assert_eq!(http(server.address(), &request).status, 204);
    }
}

fn same(want: &Number, got: &Value) -> bool {
    match (want, got) {
        (Number::Integer(want), got) => got.as_i64() == Some(*want),
        (Number::Float(want), got) if want.is_nan() => got.is_null() || got == "NaN",
        (Number::Float(want), Value::Number(number)) => {
            let text = number.to_string();
            let got: f64 = text.parse().unwrap();
            let close = (got - want).abs() <= 1e-12 * got.abs().max(want.abs());
            text.contains(['.', 'E', 'e']) && close
        }
        _ => false,
    }
}

/// What is different, if anything is.
fn compare(want: &[Vec<Point>], got: &Value) -> Option<String> {
    let rows = got.as_array()?;
    if rows.len() != want.len() {
        return Some(format!("want {} rows, got {}", want.len(), rows.len()));
    }
    for (want, got) in want.iter().zip(rows) {
        let points = got["dps"].as_array().unwrap();
        let equal = want.len() == points.len()
            && want.iter().zip(points).all(|((at, value), point)| {
                point[0].as_i64() == Some(*at) && same(value, &point[1])
            });
        if !equal {
            return Some(format!("want {want:?}\n got {}", got["dps"]));
        }
    }
    None
}

/// Asks everything; how many questions each of the bent rules answers wrongly.
fn run(sets: usize, seed: u64, bent: &[Rules]) -> Vec<usize> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let server = Server::start(&runtime, ::server::Settings::default());
    let mut rng = Rng::new(seed);
    // Names get their numbers in this order, which is that of the series of a group.
    let names: Vec<String> = (0..6).map(|place| format!("s{place}")).collect();
    let assign = json!({"method": "POST", "uri": "/api/uid/assign", "body": {"tagv": names}});
    assert_eq!(http(server.address(), &assign).status, 200);
    let mut wrong = vec![0; bent.len()];
    for set in 0..sets {
        let metric = format!("m{set}");
        let series = series(&mut rng);
        store(&server, &metric, &series);
        if series.iter().all(Vec::is_empty) {
            continue;
        }
        for _ in 0..QUESTIONS {
            let (asked, text) = question(&mut rng);
            let uri = format!(
                "/api/query?ms&arrays&start={}&end={}&m={text}:{metric}",
                asked.start_ms, asked.end_ms
            );
            let reply = http(server.address(), &json!({"method": "GET", "uri": uri}));
            let want = answer(Rules::ORIGINAL, &series, &asked);
            let overflows = want
                .iter()
                .flatten()
                .any(|point| matches!(point.1, Number::Float(value) if value.is_infinite()));
            if overflows {
                assert_eq!(reply.status, 400, "seed {seed} {uri}: {}", reply.body);
                continue;
            }
            assert_eq!(reply.status, 200, "seed {seed} {uri}: {}", reply.body);
            let got: Value = serde_json::from_str(&reply.body).unwrap();
            if let Some(why) = compare(&want, &got) {
                panic!("seed {seed} {uri}\n{series:?}\n{why}");
            }
            for (rules, wrong) in bent.iter().zip(&mut wrong) {
                *wrong += usize::from(compare(&answer(*rules, &series, &asked), &got).is_some());
            }
        }
    }
    wrong
}

#[test]
fn opentsdb_computes_by_the_rules() {
    let sets = if std::env::var_os("LONG").is_some() { SETS * 50 } else { SETS };
    let original = Rules::ORIGINAL;
    let bent = [
        Rules { reads_hours: false, ..original },
        Rules { holds_rates: false, ..original },
        Rules { knows_first_rate: false, ..original },
        Rules { looks_ahead: false, ..original },
    ];
    let wrong = run(sets, 20_130_101, &bent);
    // A comparison that a wrong rule survives compares nothing.
    assert!(wrong.iter().all(|count| *count > 0), "bent rules were found {wrong:?} times");
}
