//! Devops-like data after the Time Series Benchmark Suite: hosts with ten tags and a hundred metrics.
//!
//! The mix of shapes is that of the codec study: percentages as integers and with two decimals,
//! counters of bytes and packets, slow gauges, constants, and a few walks of full precision.

use base::rng::Rng;

/// Metrics of one host.
const METRICS: [(&str, Shape, usize); 9] = [
    ("cpu_usage", Shape::Percent, 10),
    ("cpu_load", Shape::TwoDecimals, 20),
    ("diskio", Shape::Counter(40_000), 14),
    ("disk", Shape::Slow, 10),
    ("net", Shape::Counter(9_000), 16),
    ("mem", Shape::Slow, 10),
    ("redis", Shape::Counter(30), 8),
    ("limits", Shape::Constant, 8),
    ("sensor", Shape::Walk, 4),
];

/// Metrics of one host in all.
pub(super) const METRICS_PER_HOST: usize = 100;

/// How a series moves.
#[derive(Clone, Copy, Debug)]
enum Shape {
    /// An integer walk in 0..=100.
    Percent,
    /// A walk in 0..=100 with two decimals.
    TwoDecimals,
    /// Grows by up to so much a step.
    Counter(u64),
    /// An integer that mostly stays.
    Slow,
    /// Never moves.
    Constant,
    /// A walk of full precision.
    Walk,
}

/// One series: its labels and its state.
#[derive(Clone, Debug)]
pub(super) struct Series {
    /// Name and value in name order, `__name__` first.
    pub labels: Vec<(&'static str, String)>,
    shape: Shape,
    value: f64,
}

impl Series {
    /// The series of that number. Numbers count through the metrics of a host, then the hosts.
    pub(super) fn new(number: usize, rng: &mut Rng) -> Self {
        let host = number / METRICS_PER_HOST;
        let mut index = number % METRICS_PER_HOST;
        let (mut group, mut shape) = ("metric", Shape::Constant);
        for (name, of_group, count) in METRICS {
            if index < count {
                (group, shape) = (name, of_group);
                break;
            }
            index -= count;
        }
        let region = ["eu-west-1", "eu-central-1", "us-east-1", "us-west-2"][host % 4];
        let labels = vec![
            ("__name__", format!("{group}_{index}")),
            ("arch", ["x64", "arm64"][host % 2].to_owned()),
            ("datacenter", format!("{region}{}", ["a", "b", "c"][host % 3])),
            ("hostname", format!("host_{host}")),
            ("os", ["Ubuntu22.04", "Debian12", "Ubuntu24.04"][host % 3].to_owned()),
            ("rack", (host % 100).to_string()),
            ("region", region.to_owned()),
            ("service", (host % 20).to_string()),
            ("service_environment", ["production", "staging", "test"][host % 3].to_owned()),
            ("service_version", (host % 2).to_string()),
            ("team", ["SF", "NYC", "LON", "CHI"][host % 4].to_owned()),
        ];
        let value = match shape {
            Shape::Percent | Shape::TwoDecimals => rng.below(101) as f64,
            Shape::Counter(by) => rng.below(by * 1000) as f64,
            Shape::Slow | Shape::Constant => rng.below(1_000_000) as f64,
            Shape::Walk => rng.unit_f64() * 100.0,
        };
        Self { labels, shape, value }
    }

    /// True for those that only grow.
    pub(super) fn is_counter(&self) -> bool {
        matches!(self.shape, Shape::Counter(_))
    }

    /// The next value.
    pub(super) fn step(&mut self, rng: &mut Rng) -> f64 {
        let walk = |size: f64, rng: &mut Rng| size * (rng.unit_f64() * 2.0 - 1.0);
        self.value = match self.shape {
            Shape::Percent => (self.value + walk(4.0, rng)).round().clamp(0.0, 100.0),
            Shape::TwoDecimals => {
                ((self.value + walk(2.0, rng)) * 100.0).round().clamp(0.0, 10_000.0) / 100.0
            }
            Shape::Counter(by) => self.value + rng.below(by) as f64,
            Shape::Slow if rng.one_in(8) => self.value + walk(500.0, rng).round(),
            Shape::Slow | Shape::Constant => self.value,
            Shape::Walk => self.value + walk(1.0, rng),
        };
        self.value
    }
}
