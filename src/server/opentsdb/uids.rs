//! Numbers of names: metrics, tag keys and tag values count 1, 2, 3 … in the order of their first
//! use, each kind by itself, and series are known by the numbers of their parts (a TSUID).
//!
//! Invariants: a number is on the disk before anybody is told it; it is never given twice; the bytes
//! of numbers and of TSUIDs sort as the numbers do and say themselves where they end, so there is no
//! greatest number.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::ops::Bound;
use std::sync::Arc;

use model::{DocumentChange, DocumentError, Documents, LabelsRef, METRIC_NAME, TenantId};
use parking_lot::{Mutex, RwLock};

/// Fewest and most bytes of a small number, `opentsdb.uid_width`.
pub const WIDTH_MIN: usize = 3;
/// See [`WIDTH_MIN`].
pub const WIDTH_MAX: usize = 8;
/// First byte of a number that is wider than the others.
const WIDER: u8 = 0xff;

/// What a name names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum UidKind {
    /// A metric.
    Metric,
    /// A tag's key.
    Key,
    /// A tag's value.
    Value,
}

impl UidKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Metric, Self::Key, Self::Value];

    /// As parameters of requests spell it.
    pub fn parameter(self) -> &'static str {
        match self {
            Self::Metric => "metric",
            Self::Key => "tagk",
            Self::Value => "tagv",
        }
    }

    /// As complaints spell it.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Metric => "metrics",
            other => other.parameter(),
        }
    }

    /// The kind that a request names, in any case; metrics also in the plural.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        if text == "metrics" {
            return Some(Self::Metric);
        }
        Self::ALL.into_iter().find(|kind| kind.parameter() == text)
    }

    fn table(self) -> &'static str {
        match self {
            Self::Metric => "opentsdb.uid.metric",
            Self::Key => "opentsdb.uid.tagk",
            Self::Value => "opentsdb.uid.tagv",
        }
    }
}

/// The number of a name; 0 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uid(pub u64);

/// A TSUID taken apart: the metric and the tags, by ascending key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesUids {
    /// The metric.
    pub metric: Uid,
    /// Key and value of each tag.
    pub tags: Vec<(Uid, Uid)>,
}

/// A series by its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesNames {
    /// The metric.
    pub metric: Arc<str>,
    /// Key and value of each tag, by ascending number of the key.
    pub tags: Vec<(Arc<str>, Arc<str>)>,
}

/// Upper-case hexadecimal digits.
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02X}");
        out
    })
}

/// Bytes of hexadecimal digits in either case.
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    text.as_bytes().chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

/// The numbers of all tenants.
#[derive(Debug)]
pub struct Uids {
    documents: Arc<dyn Documents>,
    width: usize,
    spaces: RwLock<HashMap<TenantId, Arc<UidSpace>>>,
}

impl Uids {
    /// Numbers that are kept in `documents`; small ones have `width` bytes.
    pub fn new(documents: Arc<dyn Documents>, width: usize) -> Self {
        let width = width.clamp(WIDTH_MIN, WIDTH_MAX);
        Self { documents, width, spaces: RwLock::default() }
    }

    /// The numbers of one tenant.
    pub fn of(&self, tenant: TenantId) -> Arc<UidSpace> {
        if let Some(space) = self.spaces.read().get(&tenant) {
            return space.clone();
        }
        let mut spaces = self.spaces.write();
        let load = || Arc::new(UidSpace::load(self.documents.clone(), tenant, self.width));
        spaces.entry(tenant).or_insert_with(load).clone()
    }
}

/// The numbers of one tenant.
#[derive(Debug)]
pub struct UidSpace {
    documents: Arc<dyn Documents>,
    tenant: TenantId,
    width: usize,
    names: RwLock<[Names; 3]>,
    /// Held from the choice of a number until it is on the disk.
    writing: Mutex<()>,
}

/// The numbers of one kind.
#[derive(Debug, Default)]
struct Names {
    by_name: BTreeMap<Arc<str>, Uid>,
    by_uid: HashMap<Uid, Arc<str>>,
    /// The greatest number given.
    last: u64,
}

impl Names {
    fn set(&mut self, uid: Uid, name: Arc<str>) {
        self.last = self.last.max(uid.0);
        if let Some(old) = self.by_uid.insert(uid, name.clone()) {
            self.by_name.remove(&old);
        }
        self.by_name.insert(name, uid);
    }
}

impl UidSpace {
    fn load(documents: Arc<dyn Documents>, tenant: TenantId, width: usize) -> Self {
        let names = UidKind::ALL.map(|kind| {
            let mut names = Names::default();
            for (key, value) in documents.scan(tenant, kind.table(), b"", b"", usize::MAX) {
                // Only this file writes the table, so both can be read; what cannot is skipped.
                let number = <[u8; 8]>::try_from(key.as_slice()).ok().map(u64::from_be_bytes);
                if let (Some(number), Ok(name)) = (number, std::str::from_utf8(&value)) {
                    names.set(Uid(number), name.into());
                }
            }
            names
        });
        Self { documents, tenant, width, names: RwLock::new(names), writing: Mutex::new(()) }
    }

    /// The number of a name that has one.
    pub fn uid(&self, kind: UidKind, name: &str) -> Option<Uid> {
        self.names.read()[kind as usize].by_name.get(name).copied()
    }

    /// The name of a number that was given.
    pub fn name(&self, kind: UidKind, uid: Uid) -> Option<Arc<str>> {
        self.names.read()[kind as usize].by_uid.get(&uid).cloned()
    }

    /// How many names of a kind there are.
    pub fn count(&self, kind: UidKind) -> usize {
        self.names.read()[kind as usize].by_name.len()
    }

    /// The first names of a kind that start with `prefix`, in byte order, at most `max`.
    pub fn first_names(&self, kind: UidKind, prefix: &str, max: usize) -> Vec<Arc<str>> {
        let names = self.names.read();
        let by_name = &names[kind as usize].by_name;
        let from = (Bound::Included(prefix), Bound::Unbounded);
        let found = by_name.range::<str, _>(from).map(|(name, _)| name);
        found.take_while(|name| name.starts_with(prefix)).take(max).cloned().collect()
    }

    /// The parts of `labels` that have no number yet: the metric, then the tags, each its key and its
    /// value: first those named by `keys`, then the others in label order.
    pub fn missing<'l>(&self, labels: LabelsRef<'l>, keys: &[&str]) -> Vec<(UidKind, &'l str)> {
        let known = self.names.read();
        let mut missing = Vec::new();
        let mut look = |kind: UidKind, name: &'l str| {
            if !known[kind as usize].by_name.contains_key(name) {
                missing.push((kind, name));
            }
        };
        if let Some(metric) = labels.get(METRIC_NAME) {
            look(UidKind::Metric, metric);
        }
        let mut tags: Vec<(&str, &str)> =
            labels.iter().filter(|(key, _)| *key != METRIC_NAME).collect();
        let place = |key: &str| keys.iter().position(|named| *named == key).unwrap_or(keys.len());
        tags.sort_by_key(|(key, _)| place(key));
        for (key, value) in tags {
            look(UidKind::Key, key);
            look(UidKind::Value, value);
        }
        missing
    }

    /// Gives every name that has none a number, in this order; durable on return. Blocks.
    pub fn assign<S: AsRef<str>>(&self, names: &[(UidKind, S)]) -> Result<(), DocumentError> {
        let _writing = self.writing.lock();
        let mut fresh: Vec<(UidKind, Uid, Arc<str>)> = Vec::new();
        {
            let known = self.names.read();
            let mut chosen: [HashMap<&str, ()>; 3] = Default::default();
            let mut last = [0, 1, 2].map(|kind: usize| known[kind].last);
            for (kind, name) in names {
                let (at, name) = (*kind as usize, name.as_ref());
                let is_known = known[at].by_name.contains_key(name);
                if !is_known && chosen[at].insert(name, ()).is_none() {
                    last[at] += 1;
                    fresh.push((*kind, Uid(last[at]), name.into()));
                }
            }
        }
        if fresh.is_empty() {
            return Ok(());
        }
        let change = |(kind, uid, name): &(UidKind, Uid, Arc<str>)| {
            DocumentChange::put(kind.table(), uid.0.to_be_bytes(), name.as_bytes())
        };
        self.documents.write(self.tenant, &fresh.iter().map(change).collect::<Vec<_>>())?;
        let mut known = self.names.write();
        fresh.into_iter().for_each(|(kind, uid, name)| known[kind as usize].set(uid, name));
        Ok(())
    }

    /// Gives the number of a name to another name, which must have none; durable on return. False
    /// when the old one has none or the new one has. Blocks.
    pub fn rename(&self, kind: UidKind, old: &str, new: &str) -> Result<bool, DocumentError> {
        let _writing = self.writing.lock();
        let Some(uid) = self.uid(kind, old).filter(|_| self.uid(kind, new).is_none()) else {
            return Ok(false);
        };
        let change = DocumentChange::put(kind.table(), uid.0.to_be_bytes(), new);
        self.documents.write(self.tenant, &[change])?;
        self.names.write()[kind as usize].set(uid, new.into());
        Ok(true)
    }

    /// The TSUID of a series; parts without a number get one first. Blocks where that happens.
    pub fn tsuid(&self, labels: LabelsRef<'_>) -> Result<Vec<u8>, DocumentError> {
        let missing = self.missing(labels, &[]);
        if !missing.is_empty() {
            self.assign(&missing)?;
        }
        Ok(self.known_tsuid(labels).unwrap_or_default())
    }

    /// The TSUID of a series whose parts all have numbers.
    pub fn known_tsuid(&self, labels: LabelsRef<'_>) -> Option<Vec<u8>> {
        let known = self.names.read();
        let uid = |kind: UidKind, name: &str| known[kind as usize].by_name.get(name).copied();
        let metric = uid(UidKind::Metric, labels.get(METRIC_NAME)?)?;
        let tags = labels.iter().filter(|(key, _)| *key != METRIC_NAME);
        let mut tags = tags
            .map(|(key, value)| Some((uid(UidKind::Key, key)?, uid(UidKind::Value, value)?)))
            .collect::<Option<Vec<_>>>()?;
        tags.sort_unstable();
        Some(self.join(&SeriesUids { metric, tags }))
    }

    /// The bytes of a TSUID.
    pub fn join(&self, series: &SeriesUids) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.width * (1 + 2 * series.tags.len()));
        push_uid(&mut out, self.width, series.metric);
        for (key, value) in &series.tags {
            push_uid(&mut out, self.width, *key);
            push_uid(&mut out, self.width, *value);
        }
        out
    }

    /// Takes a TSUID apart; `None` where it does not end between two tags.
    pub fn split(&self, tsuid: &[u8]) -> Option<SeriesUids> {
        let (metric, mut rest) = take_uid(tsuid, self.width)?;
        let mut tags = Vec::new();
        while !rest.is_empty() {
            let (key, behind) = take_uid(rest, self.width)?;
            let (value, behind) = take_uid(behind, self.width)?;
            tags.push((key, value));
            rest = behind;
        }
        Some(SeriesUids { metric, tags })
    }

    /// The names of the parts of a TSUID; `None` where it is malformed or a number was never given.
    pub fn series(&self, tsuid: &[u8]) -> Option<SeriesNames> {
        let uids = self.split(tsuid)?;
        let metric = self.name(UidKind::Metric, uids.metric)?;
        let tag = |(key, value): &(Uid, Uid)| {
            Some((self.name(UidKind::Key, *key)?, self.name(UidKind::Value, *value)?))
        };
        Some(SeriesNames { metric, tags: uids.tags.iter().map(tag).collect::<Option<_>>()? })
    }

    /// The bytes of a number.
    pub fn bytes(&self, uid: Uid) -> Vec<u8> {
        let mut out = Vec::new();
        push_uid(&mut out, self.width, uid);
        out
    }

    /// A number as clients see it: hexadecimal digits.
    pub fn show(&self, uid: Uid) -> String {
        to_hex(&self.bytes(uid))
    }

    /// Reads [`UidSpace::show`].
    pub fn parse(&self, hex: &str) -> Option<Uid> {
        let bytes = from_hex(hex)?;
        let (uid, rest) = take_uid(&bytes, self.width)?;
        rest.is_empty().then_some(uid)
    }
}

/// Numbers below this have `width` bytes, the first of which is not [`WIDER`].
fn first_wider(width: usize) -> u64 {
    u64::from(WIDER) << (8 * (width - 1))
}

/// Appends the bytes of a number: `width` of them, or [`WIDER`] and what one byte more would hold.
fn push_uid(out: &mut Vec<u8>, mut width: usize, uid: Uid) {
    while width < WIDTH_MAX && uid.0 >= first_wider(width) {
        out.push(WIDER);
        width += 1;
    }
    out.extend_from_slice(&uid.0.to_be_bytes()[8 - width..]);
}

/// Reads a number and gives what stands behind it.
fn take_uid(mut bytes: &[u8], mut width: usize) -> Option<(Uid, &[u8])> {
    while width < WIDTH_MAX && bytes.first() == Some(&WIDER) {
        bytes = &bytes[1..];
        width += 1;
    }
    let (number, rest) = bytes.split_at_checked(width)?;
    let mut wide = [0; 8];
    wide[8 - width..].copy_from_slice(number);
    Some((Uid(u64::from_be_bytes(wide)), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::rng::Rng;
    use model::{Labels, MemoryDocuments};

    const T: TenantId = TenantId::DEFAULT;

    #[test]
    fn names_count_from_one_in_order_of_first_use_and_keep_their_numbers() {
        let documents: Arc<dyn Documents> = Arc::new(MemoryDocuments::default());
        let labels = |host| Labels::from_pairs([("__name__", "m"), ("host", host), ("z", "a")]);
        let uids = Uids::new(documents.clone(), 3);
        let space = uids.of(T);
        let first = space.tsuid(labels("a").view()).unwrap();
        assert_eq!(to_hex(&first), "000001000001000001000002000001");
        let second = space.tsuid(labels("b").view()).unwrap();
        assert_eq!(to_hex(&second), "000001000001000002000002000001");
        assert!(space.rename(UidKind::Metric, "m", "n").unwrap());
        assert!(!space.rename(UidKind::Metric, "m", "o").unwrap());
        assert!(!space.rename(UidKind::Value, "a", "b").unwrap());
        let again = Uids::new(documents, 3).of(T);
        let series = again.series(&second).unwrap();
        assert_eq!(&*series.metric, "n");
        assert_eq!(series.tags, [("host".into(), "b".into()), ("z".into(), "a".into())]);
        again
            .assign(&[(UidKind::Value, "c"), (UidKind::Value, "a"), (UidKind::Value, "c")])
            .unwrap();
        assert_eq!(again.uid(UidKind::Value, "c"), Some(Uid(3)));
        assert_eq!(again.uid(UidKind::Metric, "m"), None);
        let new = Labels::from_pairs([("__name__", "n"), ("a", "1"), ("host", "b"), ("k", "2")]);
        let names: Vec<&str> =
            again.missing(new.view(), &["k", "host"]).iter().map(|missing| missing.1).collect();
        assert_eq!(names, ["k", "2", "a", "1"]);
        assert_eq!(again.series(&[0, 0, 9]), None);
    }

    #[test]
    fn numbers_of_any_size_sort_and_end_by_themselves() {
        let mut numbers: Vec<u64> =
            (0..64).flat_map(|shift| [(1 << shift) - 1, 1 << shift]).collect();
        for width in 3..8 {
            let wider = first_wider(width);
            numbers.extend([wider - 1, wider, wider + 1]);
        }
        numbers.push(u64::MAX);
        numbers.sort_unstable();
        let mut rng = Rng::new(3);
        for width in WIDTH_MIN..=WIDTH_MAX {
            let space = Uids::new(Arc::new(MemoryDocuments::default()), width).of(T);
            let bytes: Vec<Vec<u8>> =
                numbers.iter().map(|number| space.bytes(Uid(*number))).collect();
            assert!(bytes.is_sorted(), "width {width}");
            for number in &numbers {
                assert_eq!(space.parse(&space.show(Uid(*number))), Some(Uid(*number)));
            }
            for _ in 0..500 {
                let mut uid = || Uid(numbers[rng.below(numbers.len() as u64) as usize]);
                let series =
                    SeriesUids { metric: uid(), tags: vec![(uid(), uid()), (uid(), uid())] };
                let joined = space.join(&series);
                assert_eq!(space.split(&joined), Some(series));
                assert_eq!(space.split(&joined[..joined.len() - 1]), None);
            }
        }
        assert_eq!(from_hex("00fFa0"), Some(vec![0, 0xff, 0xa0]));
        assert_eq!((from_hex("0"), from_hex("0g"), from_hex("é")), (None, None, None));
    }
}
