//! A request becomes rows of a batch, exemplars and metadata.
//!
//! Errors do not stop the walk: as in Prometheus all are told, and the whole request is then refused.
//! What is only odd becomes a warning.

use std::collections::{BTreeSet, HashSet};

use base::limits::SAMPLES_PER_REQUEST_MAX;
use model::sample::STALE_NAN_BITS;
use model::{Histogram, METRIC_NAME, WriteBatch};

use super::buckets;
use super::labels::{Common, IDENTIFYING, LabelMaker, Origin};
use super::message::{
    Data, Exemplar, ExponentialPoint, HistogramPoint, Metric, Number, NumberPoint, Request,
    ResourceMetrics, Stamp, SummaryPoint, Temporality,
};
use super::names::{self, LabelRules, NameKind, Strategy};
use super::value::KeyValue;
use crate::prometheus::remote_write::{Metadata, SeriesExemplar};

/// Errors that are told one by one.
const ERRORS_MAX: usize = 100;
/// Characters of the labels of an exemplar beyond which only its trace is kept.
const EXEMPLAR_CHARACTERS_MAX: usize = 128;
const NS_PER_MS: i64 = 1_000_000;
/// Attributes of points that no label may come from.
const RESERVED: [&str; 1] = [METRIC_NAME];

/// The settings of Prometheus's `otlp` section, and what its flags say.
#[derive(Clone, Debug)]
pub struct OtlpSettings {
    /// How names are translated.
    pub strategy: Strategy,
    /// All attributes of resources become labels but those in `attributes`; else only those in it.
    pub promote_all: bool,
    /// Names of attributes of resources.
    pub attributes: BTreeSet<String>,
    /// `target_info` also has what `job` and `instance` are made of.
    pub keep_identifying: bool,
    /// Listed bounds become native histograms with custom buckets.
    pub convert_to_custom: bool,
    /// Scopes become labels.
    pub promote_scope_metadata: bool,
    /// A label name that begins with one underscore gets `key` in front.
    pub label_name_underscore_sanitization: bool,
    /// Underscores in a row stay in label names.
    pub label_name_preserve_multiple_underscores: bool,
    /// Differences are stored as they come.
    pub takes_delta: bool,
    /// Labels `__type__` and `__unit__` are added.
    pub type_and_unit_labels: bool,
    /// Twice the distance of the samples of `target_info`, in ms.
    pub lookback_ms: i64,
}

impl Default for OtlpSettings {
    fn default() -> Self {
        Self {
            strategy: Strategy::default(),
            promote_all: false,
            attributes: BTreeSet::new(),
            keep_identifying: false,
            convert_to_custom: false,
            promote_scope_metadata: false,
            label_name_underscore_sanitization: true,
            label_name_preserve_multiple_underscores: true,
            takes_delta: false,
            type_and_unit_labels: false,
            lookback_ms: 300_000,
        }
    }
}

impl OtlpSettings {
    /// How label names are translated.
    pub fn label_rules(&self) -> LabelRules {
        LabelRules {
            escapes: self.strategy.escapes(),
            marks_underscore: self.label_name_underscore_sanitization,
            keeps_underscores: self.label_name_preserve_multiple_underscores,
        }
    }

    /// True when the attribute `name` of a resource becomes a label of all its series.
    pub fn promotes(&self, name: &str) -> bool {
        self.attributes.contains(name) != self.promote_all
    }
}

/// What a request held beside the rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Translated {
    /// Exemplars with the packed labels of their series.
    pub exemplars: Vec<SeriesExemplar>,
    /// What was said of metric families.
    pub metadata: Vec<Metadata>,
    /// What is odd, but stored.
    pub warnings: Vec<String>,
    /// Why the request is refused; empty when it is not.
    pub errors: Vec<String>,
}

/// Appends the series of `request` to `batch`. Where there are errors the batch must not be stored.
pub fn translate(
    request: &Request<'_>,
    settings: &OtlpSettings,
    batch: &mut WriteBatch,
) -> Translated {
    let mut walk = Walk {
        settings,
        batch,
        maker: LabelMaker::default(),
        common: Common::default(),
        seen_targets: HashSet::new(),
        family: Family::default(),
        out: Translated::default(),
    };
    for resource in &request.resource_metrics {
        let done = walk.resource(resource);
        walk.note(done);
    }
    let Walk { maker, mut out, .. } = walk;
    out.warnings.extend(maker.collisions.into_values());
    out
}

/// The family whose points are being walked.
#[derive(Debug, Default)]
struct Family {
    name: String,
    type_name: &'static str,
    unit: String,
}

struct Walk<'w> {
    settings: &'w OtlpSettings,
    batch: &'w mut WriteBatch,
    maker: LabelMaker,
    common: Common,
    seen_targets: HashSet<(u128, i64)>,
    family: Family,
    out: Translated,
}

type Outcome = Result<(), String>;

/// Nanoseconds as milliseconds, towards zero.
fn to_ms(ns: u64) -> i64 {
    ns as i64 / NS_PER_MS
}

impl Walk<'_> {
    fn note(&mut self, outcome: Outcome) {
        if let Err(text) = outcome
            && self.out.errors.len() < ERRORS_MAX
        {
            self.out.errors.push(text);
        }
    }

    fn resource(&mut self, metrics: &ResourceMetrics<'_>) -> Outcome {
        self.common = Common::of_resource(&metrics.resource, self.settings)?;
        let mut times: Option<(u64, u64)> = None;
        for scope in &metrics.scope_metrics {
            if let Err(text) = self.common.enter_scope(scope, self.settings) {
                self.note(Err(text));
                continue;
            }
            for metric in &scope.metrics {
                for time in times_of(&metric.data) {
                    let (first, last) = times.unwrap_or((time, time));
                    times = Some((first.min(time), last.max(time)));
                }
                let done = self.metric(metric);
                self.note(done);
            }
        }
        self.common.leave_scope();
        match times {
            Some((first, last)) => self.target_info(metrics, first as i64, last as i64),
            None => Ok(()),
        }
    }

    fn metric(&mut self, metric: &Metric<'_>) -> Outcome {
        let name = &metric.name;
        let (kind, temporality, type_number) = describe(&metric.data);
        if matches!(metric.data, Data::Empty) {
            return Err(format!(
                "could not get aggregation temporality for {name} as it has unsupported metric \
                 type Empty"
            ));
        }
        let is_taken = match temporality {
            None | Some(Temporality::Cumulative) => true,
            Some(Temporality::Delta) => self.settings.takes_delta,
            Some(Temporality::Unspecified) => false,
        };
        if !is_taken {
            return Err(format!("invalid temporality and type combination for metric {name:?}"));
        }
        self.family.name = names::metric(name, &metric.unit, kind, self.settings.strategy)?;
        self.family.unit = names::unit(&metric.unit, true);
        self.family.type_name = TYPE_NAMES[usize::from(type_number)];
        let before = self.batch.rows().len();
        self.points(&metric.data, temporality.unwrap_or_default())?;
        if self.batch.rows().len() == before {
            self.out.warnings.push(format!("empty data points. {name} is dropped"));
            return Ok(());
        }
        self.out.metadata.push(Metadata {
            family: self.family.name.clone(),
            kind: type_number,
            help: metric.description.clone().into_owned(),
            unit: self.family.unit.clone(),
        });
        Ok(())
    }

    fn points(&mut self, data: &Data<'_>, temporality: Temporality) -> Outcome {
        match data {
            Data::Empty => Ok(()),
            Data::Gauge(points) => points.iter().try_for_each(|point| self.number(point, &[])),
            Data::Sum { points, .. } => {
                points.iter().try_for_each(|point| self.number(point, &point.exemplars))
            }
            Data::Histogram { points, .. } if self.settings.convert_to_custom => {
                points.iter().try_for_each(|point| {
                    let converted = buckets::custom(point, temporality)?;
                    self.native(&point.attributes, &point.stamp, converted, &point.exemplars)
                })
            }
            Data::Histogram { points, .. } => {
                points.iter().try_for_each(|point| self.classic(point))
            }
            Data::Exponential { points, .. } => points.iter().try_for_each(|point| {
                let ExponentialPoint { attributes, stamp, exemplars, .. } = point;
                let converted = buckets::exponential(point, temporality)?;
                self.native(attributes, stamp, converted, exemplars)
            }),
            Data::Summary(points) => points.iter().try_for_each(|point| self.summary(point)),
        }
    }

    /// Makes the labels of a point without its metric's name.
    fn labels(&mut self, attributes: &[KeyValue<'_>]) -> Outcome {
        let (settings, origin) = (self.settings, Origin::DataPoint);
        self.maker.make(attributes, &RESERVED, &self.common, settings, origin)?;
        if settings.type_and_unit_labels {
            let escapes = settings.strategy.escapes();
            let (type_name, unit) = (self.family.type_name, &self.family.unit);
            if type_name != TYPE_NAMES[0] {
                self.maker.labels.set("__type__", type_name);
            }
            if !unit.is_empty() {
                self.maker.labels.set("__unit__", &names::unit(unit, escapes));
            }
        }
        Ok(())
    }

    /// Opens a row of the labels that were made, with the name of the family and `suffix`, and
    /// `extra` in the place of what they say.
    fn begin(&mut self, suffix: &str, extra: Option<(&str, &str)>) -> Outcome {
        if self.batch.sample_count() >= SAMPLES_PER_REQUEST_MAX {
            return Err(format!("request has more than {SAMPLES_PER_REQUEST_MAX} samples"));
        }
        self.batch.begin_row();
        let extra_name = extra.map(|(name, _)| name);
        for (name, value) in self.maker.labels.iter() {
            if name != METRIC_NAME && Some(name) != extra_name {
                self.batch.push_label(name.as_bytes(), value.as_bytes());
            }
        }
        if let Some((name, value)) = extra {
            self.batch.push_label(name.as_bytes(), value.as_bytes());
        }
        let base = self.family.name.len();
        self.family.name.push_str(suffix);
        self.batch.push_label(METRIC_NAME.as_bytes(), self.family.name.as_bytes());
        self.family.name.truncate(base);
        self.batch.end_labels().map_err(|error| {
            self.batch.abandon_row();
            error.to_string()
        })
    }

    /// A row of one float.
    fn float(
        &mut self,
        suffix: &str,
        extra: Option<(&str, &str)>,
        stamp: &Stamp,
        value: f64,
    ) -> Outcome {
        self.begin(suffix, extra)?;
        let value = if stamp.is_stale() { f64::from_bits(STALE_NAN_BITS) } else { value };
        self.batch.push_float(to_ms(stamp.time_ns), value);
        self.batch.set_start(to_ms(stamp.start_ns));
        Ok(())
    }

    fn number(&mut self, point: &NumberPoint<'_>, exemplars: &[Exemplar<'_>]) -> Outcome {
        self.labels(&point.attributes)?;
        self.float("", None, &point.stamp, point.value.to_f64())?;
        self.exemplars(&point.stamp, exemplars)
    }

    fn summary(&mut self, point: &SummaryPoint<'_>) -> Outcome {
        self.labels(&point.attributes)?;
        self.float("_sum", None, &point.stamp, point.sum)?;
        self.float("_count", None, &point.stamp, point.count as f64)?;
        for quantile in &point.quantiles {
            let text = plain_number(quantile.quantile);
            self.float("", Some(("quantile", &text)), &point.stamp, quantile.value)?;
        }
        Ok(())
    }

    /// A histogram as series of sums, counts and cumulated buckets.
    fn classic(&mut self, point: &HistogramPoint<'_>) -> Outcome {
        self.labels(&point.attributes)?;
        let stamp = &point.stamp;
        if let Some(sum) = point.sum {
            self.float("_sum", None, stamp, sum)?;
        }
        self.float("_count", None, stamp, point.count as f64)?;
        let mut exemplars = point.exemplars.as_slice();
        let mut cumulated = 0u64;
        for (bound, count) in point.bounds.iter().zip(&point.bucket_counts) {
            cumulated = cumulated.wrapping_add(*count);
            self.float("_bucket", Some(("le", &plain_number(*bound))), stamp, cumulated as f64)?;
            // Both are sorted: what lies above the bound is another bucket's.
            let above = exemplars.iter().position(|one| one.value.to_f64() > *bound);
            let (mine, others) = exemplars.split_at(above.unwrap_or(exemplars.len()));
            self.exemplars(stamp, mine)?;
            exemplars = others;
        }
        self.float("_bucket", Some(("le", "+Inf")), stamp, point.count as f64)?;
        self.exemplars(stamp, exemplars)
    }

    /// A row of one native histogram.
    fn native(
        &mut self,
        attributes: &[KeyValue<'_>],
        stamp: &Stamp,
        (histogram, warning): (Histogram, Option<String>),
        exemplars: &[Exemplar<'_>],
    ) -> Outcome {
        self.out.warnings.extend(warning);
        self.labels(attributes)?;
        self.begin("", None)?;
        self.batch
            .push_histogram(to_ms(stamp.time_ns), &histogram)
            .map_err(|error| error.to_string())?;
        self.batch.set_start(to_ms(stamp.start_ns));
        self.exemplars(stamp, exemplars)
    }

    /// Keeps exemplars of the last row.
    fn exemplars(&mut self, stamp: &Stamp, exemplars: &[Exemplar<'_>]) -> Outcome {
        if exemplars.is_empty() {
            return Ok(());
        }
        let Some(row) = self.batch.rows().last() else {
            return Ok(());
        };
        let series = self.batch.labels(row).as_packed().to_vec();
        for exemplar in exemplars {
            let Some(labels) = exemplar_labels(exemplar)? else {
                continue;
            };
            if stamp.is_stale() {
                continue;
            }
            self.out.exemplars.push(SeriesExemplar {
                series: series.clone(),
                labels,
                value: exemplar.value.to_f64(),
                timestamp_ms: to_ms(exemplar.time_ns),
            });
        }
        Ok(())
    }

    /// The series that says what is known of a resource: at the times of its data, and no further
    /// apart than an instant query looks back, halved.
    fn target_info(
        &mut self,
        metrics: &ResourceMetrics<'_>,
        first_ns: i64,
        last_ns: i64,
    ) -> Outcome {
        let attributes = &metrics.resource.attributes;
        let identifying =
            IDENTIFYING.iter().filter(|name| attributes.iter().any(|one| one.key == **name));
        if attributes.len() == identifying.count() {
            return Ok(());
        }
        let ignored: &[&str] = if self.settings.keep_identifying { &[] } else { &IDENTIFYING };
        self.maker.make(attributes, ignored, &self.common, self.settings, Origin::Resource)?;
        let labels = &self.maker.labels;
        if labels.get("job").is_empty() && labels.get("instance").is_empty() {
            return Ok(());
        }
        self.family.name.replace_range(.., "target_info");
        let step_ns = (self.settings.lookback_ms.max(2) / 2).saturating_mul(NS_PER_MS);
        let mut at_ns = first_ns;
        while at_ns < last_ns {
            self.target_sample(at_ns)?;
            at_ns = at_ns.saturating_add(step_ns);
        }
        self.target_sample(last_ns)?;
        self.out.metadata.push(Metadata {
            family: self.family.name.clone(),
            kind: 2,
            help: "Target metadata".to_owned(),
            unit: String::new(),
        });
        Ok(())
    }

    /// One sample, unless the request had it before.
    fn target_sample(&mut self, at_ns: i64) -> Outcome {
        self.begin("", None)?;
        let hash = self.batch.rows().last().map_or(0, |row| row.hash);
        let at_ms = at_ns.div_euclid(NS_PER_MS);
        if self.seen_targets.insert((hash, at_ms)) {
            self.batch.push_float(at_ms, 1.0);
        } else {
            self.batch.abandon_row();
        }
        Ok(())
    }
}

/// Names of the types in labels, by their number in remote write.
const TYPE_NAMES: [&str; 6] =
    ["unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary"];

/// How a metric is named, what its points count, and the number of its type in remote write.
/// Differences have no type of their own.
fn describe(data: &Data<'_>) -> (NameKind, Option<Temporality>, u8) {
    let typed = |temporality: Temporality, number: u8| {
        if temporality == Temporality::Delta { 0 } else { number }
    };
    match data {
        Data::Empty => (NameKind::Other, None, 0),
        Data::Gauge(_) => (NameKind::Gauge, None, 2),
        Data::Sum { temporality, is_monotonic: true, .. } => {
            (NameKind::Monotonic, Some(*temporality), typed(*temporality, 1))
        }
        Data::Sum { temporality, .. } => {
            (NameKind::Other, Some(*temporality), typed(*temporality, 2))
        }
        Data::Histogram { temporality, .. } | Data::Exponential { temporality, .. } => {
            (NameKind::Other, Some(*temporality), typed(*temporality, 3))
        }
        Data::Summary(_) => (NameKind::Other, None, 5),
    }
}

fn times_of<'d>(data: &'d Data<'_>) -> Box<dyn Iterator<Item = u64> + 'd> {
    match data {
        Data::Empty => Box::new(std::iter::empty()),
        Data::Gauge(points) | Data::Sum { points, .. } => {
            Box::new(points.iter().map(|point| point.stamp.time_ns))
        }
        Data::Histogram { points, .. } => Box::new(points.iter().map(|point| point.stamp.time_ns)),
        Data::Exponential { points, .. } => {
            Box::new(points.iter().map(|point| point.stamp.time_ns))
        }
        Data::Summary(points) => Box::new(points.iter().map(|point| point.stamp.time_ns)),
    }
}

/// A number without an exponent, as labels of buckets have it.
fn plain_number(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    format!("{value}")
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The packed labels of an exemplar; `None` where they are no label set.
fn exemplar_labels(exemplar: &Exemplar<'_>) -> Result<Option<Vec<u8>>, String> {
    if exemplar.value == Number::None {
        return Err("unsupported exemplar value type: Empty".to_owned());
    }
    let mut labels: Vec<(String, String)> = Vec::new();
    for (name, id) in [("trace_id", &exemplar.trace_id), ("span_id", &exemplar.span_id)] {
        if id.iter().any(|byte| *byte != 0) {
            labels.push((name.to_owned(), hex(id)));
        }
    }
    let own = labels.len();
    for attribute in &exemplar.attributes {
        let mut text = String::new();
        attribute.value.write_text(&mut text);
        labels.push((attribute.key.clone().into_owned(), text));
    }
    let characters =
        |(name, value): &(String, String)| name.chars().count() + value.chars().count();
    if labels.iter().map(characters).sum::<usize>() > EXEMPLAR_CHARACTERS_MAX {
        labels.truncate(own);
    }
    labels.retain(|(_, value)| !value.is_empty());
    labels.sort();
    if labels.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return Ok(None);
    }
    let pairs = labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    Ok(Some(model::Labels::from_pairs(pairs).as_packed().to_vec()))
}
