//! What a selection brings near is what was never read, and damage in it is for the reads to name.

use std::fs;

use base::rng::Rng;
use model::{Hints, Matcher, Samples, Source as _, SourceError, TimeRange};
use roaring::RoaringBitmap;

use super::support::*;
use crate::block::approach::{APPROACH_BYTES_MAX, FreshPage};
use crate::block::meta::BlockMeta;
use crate::block::reader::Block;

const SERIES: u32 = 200;

/// A store whose samples are in one block of several pages, closed, and that block.
fn one_block(dir: &TestDir) -> Block {
    let store = Store::open(dir);
    let rows: Vec<Row> = (0..u64::from(SERIES))
        .map(|n| floats(n, &[(START + n as i64, n as f64), (START + 60_000, 0.5)]))
        .collect();
    store.append(&rows).unwrap();
    store.engine.flush_now().unwrap();
    drop(store);
    block_of(dir)
}

fn block_of(dir: &TestDir) -> Block {
    let files = dir.files("meta.json");
    let meta: BlockMeta = serde_json::from_slice(&fs::read(&files[0]).unwrap()).unwrap();
    Block::open_dir(files[0].parent().unwrap(), meta)
}

fn fresh_of(block: &Block, series: &RoaringBitmap) -> Vec<FreshPage> {
    let mut left = APPROACH_BYTES_MAX;
    block.approach_pages(series, &mut left)
}

#[test]
fn only_what_was_never_read_is_asked_for() {
    let dir = TestDir::new();
    let block = one_block(&dir);
    let range = TimeRange::ALL;
    let one = RoaringBitmap::from([70]);
    let all: RoaringBitmap = (0..SERIES).collect();
    block.approach();
    assert_eq!(fresh_of(&block, &RoaringBitmap::new()).len(), 0);
    assert_eq!(fresh_of(&block, &one).len(), 1);
    // Asked for again until it was read.
    let fresh = fresh_of(&block, &one);
    assert_eq!(fresh.len(), 1);
    block.approach_columns(&fresh, &one, range);
    assert_eq!(fresh_of(&block, &one).len(), 0);
    assert_eq!(
        block.approach_pages(&all, &mut 1).len(),
        1,
        "one page is more than may be asked for"
    );
    let others = fresh_of(&block, &all);
    assert_eq!(others.len(), SERIES.div_ceil(64) as usize - 1);
    block.approach_columns(&others, &all, range);
    assert_eq!(fresh_of(&block, &all).len(), 0);
}

#[test]
fn damage_is_left_to_the_reads() {
    let dir = TestDir::new();
    one_block(&dir);
    let file = dir.files("chunks").pop().unwrap();
    let good = fs::read(&file).unwrap();
    for at in (0..good.len()).step_by(7) {
        let mut bytes = good.clone();
        bytes[at] ^= 0x41;
        fs::write(&file, bytes).unwrap();
        let block = block_of(&dir);
        let all: RoaringBitmap = (0..SERIES).collect();
        let fresh = fresh_of(&block, &all);
        block.approach_columns(&fresh, &all, TimeRange::ALL);
        assert!(fresh_of(&block, &all).len() <= 1, "byte {at}: one page is damaged at most");
    }
    // In the middle of the first page's values.
    let mut bytes = good.clone();
    bytes[good.len() / 8] ^= 0x41;
    fs::write(&file, bytes).unwrap();
    let store = Store::open(&dir);
    let hints = Hints { sorted: true, ..Hints::default() };
    let select = |matchers: &[Matcher]| store.engine.select(matchers, TimeRange::ALL, &hints);
    let found = select(&[]).unwrap();
    let read = |index| found.read(index, &mut Samples::default());
    let failed = (0..SERIES as usize).filter(|index| {
        let result = read(*index);
        assert!(matches!(result, Ok(()) | Err(SourceError::Corrupt { .. })), "{result:?}");
        result.is_err()
    });
    let failed = failed.count();
    assert!(failed > 0 && failed <= 64, "{failed}");
}

/// In order and out of it, with what is asked for brought near or something else.
#[test]
fn a_reader_reads_what_single_reads_do() {
    let (dir, mut rng) = (TestDir::new(), Rng::new(8));
    let store = Store::open(&dir);
    for round in 0..4 {
        // Some of the series each time, the last time into the head alone.
        for n in (0..u64::from(SERIES)).filter(|n| n % 5 != round) {
            let samples: Vec<(i64, f64)> = (0..1 + rng.below(150))
                .map(|at| (START + (round * 40 + at) as i64 * 10_000, rng.below(99) as f64))
                .collect();
            store.append(&[floats(n, &samples)]).unwrap();
        }
        if round < 3 {
            store.engine.flush_now().unwrap();
        }
    }
    for sorted in [false, true] {
        let hints = Hints { sorted, ..Hints::default() };
        let range = TimeRange::new(START + 150_000, START + 1_200_000);
        let selection = store.engine.select(&[], range, &hints).unwrap();
        let mut reader = selection.reader();
        let (mut got, mut want) = (Samples::default(), Samples::default());
        let mut filled = 0;
        for turn in 0..6 * selection.len() {
            let index = match turn / selection.len() {
                0 | 1 => turn % selection.len(),
                _ => rng.below(selection.len() as u64) as usize,
            };
            if turn % 7 == 0 {
                let next: Vec<usize> = (index..selection.len() + 3).take(20).collect();
                reader.approach(&next);
            }
            reader.read(index, &mut got).unwrap();
            selection.read(index, &mut want).unwrap();
            assert_eq!(got.timestamps, want.timestamps, "series {index}");
            assert_eq!(got.values, want.values, "series {index}");
            filled += usize::from(!got.is_empty());
        }
        assert!(filled > 5 * selection.len(), "{filled}");
    }
}
