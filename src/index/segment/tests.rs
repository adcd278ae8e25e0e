//! Hostile bytes: damaged segments are refused by name, and nothing panics or over-allocates.
//!
//! Method: small segments are flipped, cut and filled with noise; every read either fails or ends.
//! Where the footer is rewritten to fit the damage, only sections that our own decoders read are
//! damaged: the `fst` crate trusts its bytes, so the checksum is what guards them.

use base::frame::checksum;
use base::rng::Rng;
use model::label::Labels;
use model::matcher::{Matcher, Pattern, ValueTest};
use std::collections::BTreeSet;

use super::footer::{Footer, Section};
use super::{SegmentReader, SegmentWriter, salvage_labels};
use crate::equivalence::{label_set, segment};
use crate::error::IndexError;

fn sample(seed: u64, count: usize) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    let all: BTreeSet<Labels> = (0..count).map(|_| label_set(&mut rng)).collect();
    segment(&all)
}

/// Everything a reader can be asked. Only the first error is returned, but all is asked.
fn ask_all(bytes: &[u8]) -> Result<(), IndexError> {
    let reader = SegmentReader::open(bytes)?;
    let pattern = Pattern::new(".*7").unwrap();
    let matchers = [
        vec![Matcher::equal("host", "a")],
        vec![Matcher::new("host", ValueTest::Regex(pattern.clone()))],
        vec![Matcher::new("__name__", ValueTest::NotRegex(pattern))],
        vec![Matcher::new("dc", ValueTest::NotEqual(String::new()))],
    ];
    let mut first = reader.verify();
    for matchers in &matchers {
        first = first.and(reader.select(matchers).map(|_| ()));
        first = first.and(reader.label_values("zone", matchers, "w", 3).map(|_| ()));
        first = first.and(reader.label_names(matchers).map(|_| ()));
    }
    for id in [0, 1, 63, 64, u32::MAX] {
        first = first.and(reader.labels(id.min(reader.len().saturating_sub(1))).map(|_| ()));
    }
    first
}

#[test]
fn flipped_and_cut_segments_are_refused() {
    let bytes = sample(1, 25);
    assert_eq!(ask_all(&bytes), Ok(()));
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        assert!(ask_all(&flipped).is_err(), "byte {at}");
        assert!(ask_all(&bytes[..at]).is_err(), "cut to {at}");
    }
}

#[test]
fn damage_names_section_expected_and_got() {
    let mut bytes = sample(2, 50);
    let extent = Footer::read(&bytes).unwrap().extents[Section::Postings as usize];
    bytes[extent.offset + 3] ^= 0x40;
    let reader = SegmentReader::open(&bytes[..]).unwrap();
    let error = reader.verify().unwrap_err();
    let got = checksum(&bytes[extent.offset..extent.offset + extent.length]);
    let expected = extent.checksum;
    assert_eq!(error, IndexError::Checksum { section: "postings", expected, got });
    assert!(reader.select(&[Matcher::equal("host", "a")]).is_err());
    // What does not need the section stays readable.
    assert!(reader.labels(3).is_ok());
}

#[test]
fn sections_with_right_checksums_and_wrong_contents_do_no_harm() {
    let sections =
        [Section::Names, Section::Terms, Section::Postings, Section::Sets, Section::Series];
    for seed in 0..250 {
        let mut rng = Rng::new(seed);
        let mut bytes = sample(seed % 7, 60);
        let mut footer = Footer::read(&bytes).unwrap();
        let extent = &mut footer.extents[sections[rng.below(5) as usize] as usize];
        for _ in 0..1 + rng.below(4) {
            let at = extent.offset + rng.below(extent.length as u64) as usize;
            bytes[at] = rng.next_u64() as u8;
        }
        extent.checksum = checksum(&bytes[extent.offset..extent.offset + extent.length]);
        let end = footer.extents.iter().map(|extent| extent.offset + extent.length).max().unwrap();
        bytes.truncate(end);
        footer.put(&mut bytes);
        // Neither outcome is wrong; ending without a panic is what counts.
        let _ = ask_all(&bytes);
    }
}

#[test]
fn noise_is_refused() {
    for seed in 0..2000 {
        let mut rng = Rng::new(seed);
        let bytes: Vec<u8> = (0..rng.below(300)).map(|_| rng.next_u64() as u8).collect();
        assert!(SegmentReader::open(bytes).is_err(), "seed {seed}");
    }
}

#[test]
fn series_must_come_in_label_order() {
    let mut writer = SegmentWriter::new();
    let labels = |value| Labels::from_pairs([("a", value)]);
    assert_eq!(writer.push(labels("b").view()), Ok(0));
    assert_eq!(writer.push(labels("b").view()), Err(IndexError::Order { series: 1 }));
    assert_eq!(writer.push(labels("a").view()), Err(IndexError::Order { series: 1 }));
    assert_eq!(writer.push(labels("bb").view()), Ok(1));
}

/// Whatever byte is changed, no label is lost: every section but one is whole then.
#[test]
fn labels_survive_the_loss_of_any_one_section() {
    let bytes = sample(9, 80);
    let whole = SegmentReader::open(bytes.as_slice()).unwrap();
    let want: Vec<Labels> = (0..whole.len()).map(|id| whole.labels(id).unwrap()).collect();
    let told = |bytes: &[u8]| salvage_labels(bytes, want.len() as u32);
    assert_eq!(told(&bytes).unwrap(), want);
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        assert_eq!(told(&flipped).unwrap(), want, "byte {at}");
    }
    let extents = Footer::read(&bytes).unwrap().extents;
    for section in Section::ALL {
        let extent = extents[section as usize];
        let mut emptied = bytes.clone();
        emptied[extent.offset..extent.offset + extent.length].fill(0x5a);
        assert_eq!(told(&emptied).unwrap(), want, "{}", section.name());
    }
}

/// Two sections that could replace each other: that is said, and no label is made up.
#[test]
fn labels_that_nothing_tells_are_not_made_up() {
    let bytes = sample(10, 60);
    let whole = SegmentReader::open(bytes.as_slice()).unwrap();
    let want: Vec<Labels> = (0..whole.len()).map(|id| whole.labels(id).unwrap()).collect();
    let extents = Footer::read(&bytes).unwrap().extents;
    let mut lost = 0;
    for one in Section::ALL {
        for other in Section::ALL.into_iter().filter(|other| *other != one) {
            let mut damaged = bytes.clone();
            damaged[extents[one as usize].offset] ^= 1;
            damaged[extents[other as usize].offset] ^= 1;
            match salvage_labels(&damaged, want.len() as u32) {
                Ok(labels) => assert_eq!(labels, want),
                Err(_) => lost += 1,
            }
        }
    }
    // fst with terms, and postings with names, sets or series, both ways round.
    assert_eq!(lost, 8);
    assert!(salvage_labels(&bytes, want.len() as u32 + 1).is_err(), "another number of series");
    for cut in 0..bytes.len() {
        let _ = salvage_labels(&bytes[..cut], want.len() as u32);
    }
}
