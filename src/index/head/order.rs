//! Label order of series, found from the numbers of their pairs.
//!
//! Series with the same pair stand together whatever follows it, so groups are cut label by label, as
//! strings are sorted by their first letter first. Text is looked at only where pairs differ, and as
//! integers of seven bytes: no comparison follows a place, and none is made under the lock. A sort that
//! compares label sets took five times as long for a thousand series and kept all their text.

use roaring::RoaringBitmap;

use super::{HeadIndex, STEP, SeriesId, State};

/// What follows the pairs of a series: no pair has this number.
const END: u32 = u32::MAX;
/// Bytes of text in a key.
const KEY_BYTES: usize = 7;
/// Series whose pairs are counted to tell how many there are.
const SERIES_ASKED: usize = 64;
/// Memory of a series that is being sorted, beside its pairs: itself, as much for the sort to move it, a
/// group of two, its place.
const SERIES_BYTES: usize = 2 * size_of::<Series>() + size_of::<Group>() / 2 + 4;

/// A series on its way to its place.
#[derive(Clone, Copy)]
struct Series {
    /// The text at the current cut, as an integer.
    key: u64,
    /// Where its pairs begin in the lists; in front of them stands its place among those asked for.
    list: usize,
}

/// Neighbouring series that are the same up to a cut.
struct Group {
    start: usize,
    end: usize,
    cut: Cut,
}

/// A place in the labels of series.
#[derive(Clone, Copy)]
struct Cut {
    /// The number of the label.
    column: usize,
    part: Part,
    /// Bytes of the part in front of the cut.
    depth: usize,
}

/// A part of a label.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The number of its name. It orders nothing, but mostly tells that there is one name only.
    NameNumber,
    Name,
    Value,
}

impl Cut {
    fn before(column: usize) -> Self {
        Self { column, part: Part::NameNumber, depth: 0 }
    }

    /// Where series go on that have the same `key` at this cut.
    fn behind(self, key: u64) -> Self {
        let Self { column, part, depth } = self;
        match part {
            Part::NameNumber => Self { part: Part::Value, ..self },
            _ if key as u8 as usize > KEY_BYTES => Self { depth: depth + KEY_BYTES, ..self },
            Part::Name => Self { part: Part::Value, depth: 0, ..self },
            Part::Value => Self::before(column + 1),
        }
    }
}

impl HeadIndex {
    /// The series of `ids` in label order.
    pub fn sorted(&self, ids: &RoaringBitmap) -> Vec<SeriesId> {
        // Keeps pair numbers what they are until the order is known.
        let _numbers_stay = self.maintenance.lock();
        let ids: Vec<u32> = ids.iter().collect();
        let order = self.label_order(&ids);
        order
            .into_iter()
            .filter_map(|place| ids.get(place as usize))
            .copied()
            .map(SeriesId)
            .collect()
    }

    /// The places in `ids` in the label order of their series. No series that is dropped meanwhile has a
    /// certain place. Holds the lock for a few thousand series at a time.
    pub fn label_order(&self, ids: &[u32]) -> Vec<u32> {
        let mut lists = Vec::with_capacity(self.list_words(ids));
        let mut series = Vec::with_capacity(ids.len());
        let mut place = 0;
        for step in ids.chunks(STEP) {
            let state = self.state.read();
            for id in step {
                lists.push(place);
                series.push(Series { key: 0, list: lists.len() });
                lists.extend(state.series.pairs(*id));
                lists.push(END);
                place += 1;
            }
        }
        let mut waiting = vec![Group { start: 0, end: series.len(), cut: Cut::before(0) }];
        while let Some(group) = waiting.pop() {
            if let Some(series) = series.get_mut(group.start..group.end) {
                self.sort_group(&group, series, &lists, &mut waiting);
            }
        }
        let place = |one: &Series| lists.get(one.list - 1).copied();
        series.iter().filter_map(place).collect()
    }

    /// About how many bytes of memory [`HeadIndex::label_order`] takes for these.
    pub fn label_order_bytes(&self, ids: &[u32]) -> usize {
        self.list_words(ids) * size_of::<u32>() + ids.len() * SERIES_BYTES
    }

    /// About how many words the lists of pairs take, told from a few of them.
    fn list_words(&self, ids: &[u32]) -> usize {
        let state = self.state.read();
        let asked = ids.iter().step_by(ids.len().div_ceil(SERIES_ASKED).max(1));
        let (mut count, mut pairs) = (0, 0);
        for id in asked {
            (count, pairs) = (count + 1, pairs + state.series.pairs(*id).count());
        }
        // Somewhat more, for those that were not looked at.
        ids.len() * 2 + (ids.len() * pairs).checked_div(count).unwrap_or(0) * 9 / 8
    }

    /// Sorts the series of a group by the first text in which they differ, and appends to `waiting` the
    /// groups of those that are still the same.
    fn sort_group(
        &self,
        group: &Group,
        series: &mut [Series],
        lists: &[u32],
        waiting: &mut Vec<Group>,
    ) {
        let mut cut = group.cut;
        loop {
            let pair = |one: &Series| lists.get(one.list + cut.column).copied().unwrap_or(END);
            let Some(first) = series.first().map(pair) else { return };
            if series.iter().all(|one| pair(one) == first) {
                if first == END {
                    return;
                }
                cut = Cut::before(cut.column + 1);
                continue;
            }
            self.set_keys(series, pair, cut);
            let first = series.first().map_or(0, |one| one.key);
            if series.iter().all(|one| one.key == first) {
                cut = cut.behind(first);
            } else if cut.part == Part::NameNumber {
                cut = Cut { part: Part::Name, ..cut };
            } else {
                break;
            }
        }
        // Stable, since that sort sees the runs that series mostly come in.
        series.sort_by_key(|one| one.key);
        let mut start = group.start;
        for same in series.chunk_by(|a, b| a.key == b.key) {
            let end = start + same.len();
            if let [first, _, ..] = same {
                waiting.push(Group { start, end, cut: cut.behind(first.key) });
            }
            start = end;
        }
    }

    /// Gives each series the key of its `pair` at `cut`.
    fn set_keys(&self, series: &mut [Series], pair: impl Fn(&Series) -> u32, cut: Cut) {
        for step in series.chunks_mut(STEP) {
            let state = self.state.read();
            // A series without the label comes first; neighbours often have the same pair.
            let mut last = (END, 0);
            for one in step {
                let pair = pair(one);
                if pair != last.0 {
                    last = (pair, if pair == END { 0 } else { state.key(pair, cut) });
                }
                one.key = last.1;
            }
        }
    }
}

impl State {
    fn key(&self, pair: u32, cut: Cut) -> u64 {
        let name = self.pairs.name_of(pair);
        let text = match cut.part {
            Part::NameNumber => return u64::from(name) + 1,
            Part::Name => {
                self.pairs.names().get(name as usize).map_or(&[][..], |name| name.as_bytes())
            }
            Part::Value => self.pairs.value(pair),
        };
        key_of(text.get(cut.depth..).unwrap_or_default())
    }
}

/// Orders as `text` does as far as it goes: seven bytes, and how many of them there are, or that there are
/// more.
fn key_of(text: &[u8]) -> u64 {
    let mut bytes = [0; KEY_BYTES + 1];
    match text.first_chunk() {
        Some(first) => bytes = *first,
        None => bytes[..text.len()].copy_from_slice(text),
    }
    bytes[KEY_BYTES] = text.len().min(KEY_BYTES + 1) as u8;
    u64::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use base::rng::Rng;
    use model::label::{Labels, SeriesHasher};

    use super::*;

    /// Texts that are prefixes of each other, by one byte and by more than a key holds; some begin with
    /// what a key is filled up with.
    fn text(rng: &mut Rng) -> String {
        let stem =
            ["", "a", "\0", "host_", "sixsix", "sevense", "seven-a", "a-long-common-prefix-"];
        let end = ["", "\0", "\0\0", "1", "10", "2", "\u{e9}", "a\0b", "zzzzzzzzzzzzzzz"];
        let stem = stem[rng.below(stem.len() as u64) as usize];
        match rng.below(3) {
            0 => format!("{stem}{}", rng.below(2000)),
            _ => format!("{stem}{}", end[rng.below(end.len() as u64) as usize]),
        }
    }

    fn labels(rng: &mut Rng, names: &[String]) -> Labels {
        let pairs: Vec<(String, String)> = (0..rng.below(7))
            .map(|_| (names[rng.below(names.len() as u64) as usize].clone(), text(rng)))
            .filter(|(name, _)| !name.is_empty())
            .collect();
        Labels::from_pairs(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())))
    }

    /// Random series, of which parts are dropped between rounds, so that numbers of pairs are freed and
    /// given again.
    #[test]
    fn it_is_the_order_of_label_sets() {
        let (mut rng, hasher) = (Rng::new(77), SeriesHasher::with_seed(3));
        for names in [1, 3, 12] {
            let head = HeadIndex::new();
            let names: Vec<String> = (0..names).map(|_| text(&mut rng)).collect();
            let mut live: Vec<(Labels, u32)> = Vec::new();
            let mut purges = 0;
            for _ in 0..20 {
                for _ in 0..rng.below(300) {
                    let labels = labels(&mut rng, &names);
                    let hash = hasher.hash(labels.as_packed());
                    let (id, is_new) = head.insert(hash, labels.view()).unwrap();
                    is_new.then(|| live.push((labels, id.0)));
                }
                live.retain(|_| rng.below(4) > 0);
                head.retain(&live.iter().map(|(_, id)| *id).collect()).unwrap();
                let mut asked: Vec<&(Labels, u32)> = live.iter().collect();
                asked.retain(|_| rng.below(5) > 0);
                let ids: Vec<u32> = asked.iter().map(|(_, id)| *id).collect();
                let order = head.label_order(&ids);
                let got: Vec<u32> = order.iter().map(|place| ids[*place as usize]).collect();
                asked.sort();
                let expected: Vec<u32> = asked.iter().map(|(_, id)| *id).collect();
                assert_eq!(got, expected);
                let sorted: Vec<u32> =
                    head.sorted(&ids.iter().collect()).iter().map(|id| id.0).collect();
                assert_eq!(sorted, expected);
                purges = head.state.read().purges;
            }
            assert!(purges > 3, "numbers were freed {purges} times");
        }
    }

    #[test]
    fn series_that_are_gone_have_some_place() {
        let (head, hasher) = (HeadIndex::new(), SeriesHasher::with_seed(3));
        for value in ["c", "a", "b"] {
            let labels = Labels::from_pairs([("n", value)]);
            head.insert(hasher.hash(labels.as_packed()), labels.view()).unwrap();
        }
        head.retain(&RoaringBitmap::from([0, 2])).unwrap();
        let mut order = head.label_order(&[0, 1, 2, 7]);
        order.retain(|place| [0, 2].contains(place));
        assert_eq!(order, [2, 0]);
        assert_eq!(head.label_order(&[]), [0u32; 0]);
        assert_eq!(head.label_order(&[7, 7]), [0, 1]);
    }

    #[test]
    fn the_estimate_of_memory_holds() {
        let (head, hasher, mut rng) = (HeadIndex::new(), SeriesHasher::with_seed(3), Rng::new(4));
        let names: Vec<String> = (0..9).map(|number| format!("n{number}")).collect();
        for _ in 0..5000 {
            let labels = labels(&mut rng, &names);
            head.insert(hasher.hash(labels.as_packed()), labels.view()).unwrap();
        }
        let ids: Vec<u32> = (0..head.series_end()).collect();
        let words: usize =
            ids.iter().map(|id| head.state.read().series.pairs(*id).count() + 2).sum();
        let estimate = head.list_words(&ids);
        assert!((words..words * 5 / 4).contains(&estimate), "{estimate} for {words}");
    }
}
