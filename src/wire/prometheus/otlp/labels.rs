//! The labels of a series out of the attributes of its point, its scope and its resource.
//!
//! A label set in the making is one text and places in it, reused from point to point, so that nothing
//! is allocated per label. Of names that become equal the values are joined with `;`, in the order of
//! the names as they were sent.

use std::collections::BTreeMap;
use std::ops::Range;

use super::message::{Resource, ScopeMetrics};
use super::names::{self, LabelRules};
use super::translate::OtlpSettings;
use super::value::KeyValue;

/// Names and values, of which each name occurs once. A name with an empty value is none.
#[derive(Clone, Debug, Default)]
pub struct LabelScratch {
    text: String,
    pairs: Vec<(Range<usize>, Range<usize>)>,
}

impl LabelScratch {
    /// Forgets the labels, keeps the memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.pairs.clear();
    }

    /// The labels in the order in which they were set.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let text = |range: &Range<usize>| self.text.get(range.clone()).unwrap_or_default();
        let pairs = self.pairs.iter().map(move |(name, value)| (text(name), text(value)));
        pairs.filter(|(_, value)| !value.is_empty())
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.pairs.iter().position(|(range, _)| self.text.get(range.clone()) == Some(name))
    }

    /// The value of `name`; empty where it has none.
    pub fn get(&self, name: &str) -> &str {
        let pair = self.position(name).and_then(|place| self.pairs.get(place));
        pair.and_then(|(_, value)| self.text.get(value.clone())).unwrap_or_default()
    }

    fn append(&mut self, write: impl FnOnce(&mut String)) -> Range<usize> {
        let start = self.text.len();
        write(&mut self.text);
        start..self.text.len()
    }

    /// Gives `name` the value, in the place of another.
    pub fn set(&mut self, name: &str, value: &str) {
        let value = self.append(|text| text.push_str(value));
        self.set_range(name, value);
    }

    fn set_range(&mut self, name: &str, value: Range<usize>) {
        match self.position(name) {
            Some(place) => self.pairs[place].1 = value,
            None => {
                let name = self.append(|text| text.push_str(name));
                self.pairs.push((name, value));
            }
        }
    }

    /// Gives `name` the value where it has none.
    fn set_default(&mut self, name: &str, value: &str) {
        if self.get(name).is_empty() {
            self.set(name, value);
        }
    }

    /// Gives the attribute's translated name its value; `joins` it to one that is there. True when it
    /// was joined.
    fn set_attribute(
        &mut self,
        attribute: &KeyValue<'_>,
        rules: LabelRules,
        joins: bool,
    ) -> Result<bool, String> {
        let start = self.text.len();
        names::label(&attribute.key, rules, &mut self.text)?;
        let name = start..self.text.len();
        let place = self
            .pairs
            .iter()
            .position(|(other, _)| self.text.get(other.clone()) == self.text.get(name.clone()));
        let Some(place) = place else {
            let value = self.append(|text| attribute.value.write_text(text));
            self.pairs.push((name, value));
            return Ok(false);
        };
        let before = self.text.get(self.pairs[place].1.clone()).unwrap_or_default();
        let before = if joins && !before.is_empty() { format!("{before};") } else { String::new() };
        self.pairs[place].1 = self.append(|text| {
            text.push_str(&before);
            attribute.value.write_text(text);
        });
        Ok(!before.is_empty())
    }
}

/// What all points of a resource, and of a scope in it, have in common.
#[derive(Debug, Default)]
pub struct Common {
    job: String,
    instance: String,
    promoted: LabelScratch,
    scope: Option<LabelScratch>,
}

const SERVICE_NAME: &str = "service.name";
const SERVICE_NAMESPACE: &str = "service.namespace";
const SERVICE_INSTANCE: &str = "service.instance.id";
/// Attributes of a resource that become `job` and `instance`.
pub const IDENTIFYING: [&str; 3] = [SERVICE_NAMESPACE, SERVICE_NAME, SERVICE_INSTANCE];

/// The text of the first attribute of this name.
fn text_of(attributes: &[KeyValue<'_>], name: &str) -> Option<String> {
    let attribute = attributes.iter().find(|attribute| attribute.key == name)?;
    let mut text = String::new();
    attribute.value.write_text(&mut text);
    Some(text)
}

impl Common {
    /// Reads a resource; no scope yet.
    pub fn of_resource(resource: &Resource<'_>, settings: &OtlpSettings) -> Result<Self, String> {
        let attributes = &resource.attributes;
        if attributes.len() > ATTRIBUTES_MAX {
            return Err(format!("{} attributes are more than {ATTRIBUTES_MAX}", attributes.len()));
        }
        let mut common = Self::default();
        if let Some(name) = text_of(attributes, SERVICE_NAME) {
            common.job = match text_of(attributes, SERVICE_NAMESPACE) {
                Some(namespace) => format!("{namespace}/{name}"),
                None => name,
            };
        }
        common.instance = text_of(attributes, SERVICE_INSTANCE).unwrap_or_default();
        let rules = settings.label_rules();
        for attribute in attributes.iter().filter(|one| settings.promotes(&one.key)) {
            common.promoted.set_attribute(attribute, rules, false)?;
        }
        Ok(common)
    }

    /// Reads the scope of the points that come next.
    pub fn enter_scope(
        &mut self,
        metrics: &ScopeMetrics<'_>,
        settings: &OtlpSettings,
    ) -> Result<(), String> {
        self.scope = None;
        let scope = &metrics.scope;
        if scope.attributes.len() > ATTRIBUTES_MAX {
            let got = scope.attributes.len();
            return Err(format!("{got} attributes are more than {ATTRIBUTES_MAX}"));
        }
        if !settings.promote_scope_metadata || scope.name.is_empty() {
            return Ok(());
        }
        let mut labels = LabelScratch::default();
        for attribute in &scope.attributes {
            let key = format!("otel_scope_{}", attribute.key).into();
            let attribute = KeyValue { key, value: attribute.value.clone() };
            labels.set_attribute(&attribute, settings.label_rules(), false)?;
        }
        labels.set("otel_scope_name", &scope.name);
        labels.set("otel_scope_version", &scope.version);
        labels.set("otel_scope_schema_url", &metrics.schema_url);
        self.scope = Some(labels);
        Ok(())
    }

    /// Forgets the scope: what comes next is the resource's own.
    pub fn leave_scope(&mut self) {
        self.scope = None;
    }
}

/// Makes label sets.
#[derive(Debug, Default)]
pub struct LabelMaker {
    /// The set that was made last, without the metric's name.
    pub labels: LabelScratch,
    order: Vec<usize>,
    /// Texts on names that became equal, by that name.
    pub collisions: BTreeMap<String, String>,
}

/// Texts on collisions that are kept of a request.
const COLLISIONS_MAX: usize = 100;
/// Attributes of one point or resource: far more than a series may have labels.
const ATTRIBUTES_MAX: usize = 1024;

/// Whose attributes a set is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A point's; the resource's promoted attributes are added.
    DataPoint,
    /// A resource's own.
    Resource,
}

impl LabelMaker {
    /// Makes the labels of `attributes` without those named in `ignored`.
    pub fn make(
        &mut self,
        attributes: &[KeyValue<'_>],
        ignored: &[&str],
        common: &Common,
        settings: &OtlpSettings,
        origin: Origin,
    ) -> Result<(), String> {
        if attributes.len() > ATTRIBUTES_MAX {
            return Err(format!("{} attributes are more than {ATTRIBUTES_MAX}", attributes.len()));
        }
        self.labels.clear();
        self.order.clear();
        let taken = |place: &usize| !ignored.contains(&&*attributes[*place].key);
        self.order.extend((0..attributes.len()).filter(taken));
        self.order.sort_by(|a, b| attributes[*a].key.cmp(&attributes[*b].key));
        let rules = settings.label_rules();
        for index in 0..self.order.len() {
            let attribute = &attributes[self.order[index]];
            if !rules.escapes {
                self.set_verbatim(attribute)?;
            } else if self.labels.set_attribute(attribute, rules, true)? {
                self.note_collision(attribute, attributes, rules, origin);
            }
        }
        if origin == Origin::DataPoint {
            common.promoted.iter().for_each(|(name, value)| self.labels.set_default(name, value));
        }
        for (name, value) in [("job", &common.job), ("instance", &common.instance)] {
            if !value.is_empty() {
                self.labels.set(name, value);
            }
        }
        if let Some(scope) = &common.scope {
            scope.iter().for_each(|(name, value)| self.labels.set(name, value));
        }
        Ok(())
    }

    /// Takes a name as it is; the same twice is a mistake of the sender's.
    fn set_verbatim(&mut self, attribute: &KeyValue<'_>) -> Result<(), String> {
        if attribute.key.is_empty() || !self.labels.get(&attribute.key).is_empty() {
            return Err(format!("label name {:?} is not unique: invalid sample", attribute.key));
        }
        let value = self.labels.append(|text| attribute.value.write_text(text));
        self.labels.set_range(&attribute.key, value);
        Ok(())
    }

    fn note_collision(
        &mut self,
        attribute: &KeyValue<'_>,
        attributes: &[KeyValue<'_>],
        rules: LabelRules,
        origin: Origin,
    ) {
        let name_of = |key: &str| {
            let mut name = String::new();
            names::label(key, rules, &mut name).map(|()| name).unwrap_or_default()
        };
        let name = name_of(&attribute.key);
        if self.collisions.len() >= COLLISIONS_MAX || self.collisions.contains_key(&name) {
            return;
        }
        let keys = self.order.iter().map(|place| &attributes[*place].key);
        let keys = keys.filter(|key| name_of(key) == name).map(|key| format!("{key:?}"));
        let keys = keys.collect::<Vec<_>>().join(", ");
        let source = if origin == Origin::Resource { "resource" } else { "data point" };
        let text = format!(
            "OTLP {source} attributes {keys} collide as label {name:?} after name sanitization, \
             values are concatenated with ';'"
        );
        self.collisions.insert(name, text);
    }
}
