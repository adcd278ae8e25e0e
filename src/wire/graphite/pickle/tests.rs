//! Frames as real senders write them, and frames as nobody should.

use base::rng::Rng;
use model::identity::flat_name;
use model::{SeriesHasher, TenantId};

use super::*;

fn batch() -> WriteBatch {
    WriteBatch::new(TenantId::DEFAULT, SeriesHasher::with_seed(1))
}

fn run(body: &[u8]) -> (Result<(), PickleError>, Vec<(String, i64, f64)>, u64) {
    let (mut batch, mut rejects) = (batch(), Rejects::default());
    let outcome = decode(body, 1_700_000_000_250, &mut batch, &mut rejects, &mut Intake::default());
    let points = batch.rows().iter().map(|row| {
        let (times, bits) = batch.samples(row);
        let name = flat_name(&batch.labels(row).to_labels());
        (name, times[0], f64::from_bits(bits[0]))
    });
    (outcome, points.collect(), rejects.total())
}

fn point(path: &str) -> Vec<(String, i64, f64)> {
    vec![(path.to_owned(), 1_700_000_000_000, 1.5)]
}

/// `[("a.b", (1700000000, 1.5))]` in the protocols, as CPython 3 writes it.
const SPELLINGS: [&[u8]; 4] = [
    b"(lp0\n(Va.b\np1\n(I1700000000\nF1.5\ntp2\ntp3\na.",
    b"]q\x00(X\x03\x00\x00\x00a.bq\x01(J\x00\xf1\x53\x65G\x3f\xf8\0\0\0\0\0\0tq\x02tq\x03a.",
    b"\x80\x02]q\x00X\x03\x00\x00\x00a.bq\x01J\x00\xf1\x53\x65G\x3f\xf8\0\0\0\0\0\0\x86q\x02\x86q\x03a.",
    b"\x80\x04\x95\x1c\0\0\0\0\0\0\0]\x94\x8c\x03a.b\x94J\x00\xf1\x53\x65G\x3f\xf8\0\0\0\0\0\0\x86\x94\x86\x94a.",
];

#[test]
fn every_protocol_is_read() {
    for body in SPELLINGS {
        assert_eq!(run(body), (Ok(()), point("a.b"), 0));
    }
}

#[test]
fn numbers_may_be_texts_and_names_bytes() {
    let java = b"(lp0\n(S'a.b'\n(L1700000000L\nS'1.5'\ntta.";
    assert_eq!(run(java), (Ok(()), point("a.b"), 0));
    let escaped = b"(lp0\n(S'a\\x2eb'\n(I1700000000\nF1.5\ntta.";
    assert_eq!(run(escaped), (Ok(()), point("a.b"), 0));
    let unicode = b"(lp0\n(Vna\\u00efve\n(I1700000000\nF1.5\ntta.";
    assert_eq!(run(unicode), (Ok(()), point("naïve"), 0));
    let bytes = b"]C\x03a.bJ\x00\xf1\x53\x65G\x3f\xf8\0\0\0\0\0\0\x86\x86a.";
    assert_eq!(run(bytes), (Ok(()), point("a.b"), 0));
}

#[test]
fn a_bad_element_costs_no_neighbour() {
    let body = b"((Va.b\n(Vx\nF1.5\ntt(Va.b\n(I1700000000\nF1.5\ntt(Va\nI5\ntNl.";
    assert_eq!(run(body), (Ok(()), point("a.b"), 3));
}

#[test]
fn programs_are_refused() {
    let opcode = |body: &[u8]| match run(body).0 {
        Err(PickleError::Opcode { opcode, .. }) => opcode,
        other => panic!("{other:?}"),
    };
    assert_eq!(opcode(b"(lp0\ncposix\nsystem\n(Vtrue\ntRa."), b'c');
    assert_eq!(opcode(b"\x80\x04\x8c\x05posix\x8c\x06system\x93."), 0x93);
    assert_eq!(opcode(b"}."), b'}');
    assert_eq!(run(b"N.").0, Err(PickleError::NotAList));
    assert_eq!(run(b"").0, Err(PickleError::Truncated));
    assert_eq!(run(b"]a.").0, Err(PickleError::Malformed { offset: 1 }));
    assert_eq!(run(b"r\xff\xff\xff\x7f").0, Err(PickleError::Malformed { offset: 0 }));
    assert_eq!(run(b"]r\xff\xff\xff\x7f.").0, Err(PickleError::Malformed { offset: 1 }));
    assert_eq!(run(b"X\xff\xff\xff\xff").0, Err(PickleError::Truncated));
    assert_eq!(run(b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff").0, Err(PickleError::Truncated));
}

#[test]
fn shared_and_cyclic_objects_stay_small() {
    // A list that holds itself.
    assert_eq!(run(b"]q\x00h\x00a."), (Ok(()), vec![], 1));
    // One long path, named a million times.
    let mut body = b"](X\x00\x40\x00\x00".to_vec();
    body.extend([b'a'; 0x4000]);
    body.extend(b"K\x01K\x01\x86\x86q\x00");
    for _ in 0..1_000_000 {
        body.extend(b"h\x00");
    }
    body.extend(b"e.");
    assert_eq!(run(&body).0, Err(PickleError::TooLarge));
    assert_eq!(run(&[b'('; 100_000]).0, Err(PickleError::Truncated));
    assert_eq!(run(&vec![b'N'; 4 << 20]).0, Err(PickleError::TooLarge));
    assert_eq!(run(&vec![b'('; 4 << 20]).0, Err(PickleError::TooLarge));
    // Lists that are thrown away at once.
    assert_eq!(run(&b"]0".repeat(4 << 20)).0, Err(PickleError::TooLarge));
}

#[test]
fn frames_are_cut_by_their_length() {
    assert_eq!(next_frame(b"\0\0", 9), Frame::Incomplete(2));
    assert_eq!(next_frame(b"\0\0\0\x03ab", 9), Frame::Incomplete(1));
    assert_eq!(next_frame(b"\0\0\0\x02abc", 2), Frame::Complete(2));
    assert_eq!(next_frame(b"a.b 1 1\n", 1 << 20), Frame::TooLong(0x612e_6220));
}

#[test]
fn damaged_frames_never_panic() {
    let mut rng = Rng::new(11);
    for round in 0..4000 {
        let mut body = SPELLINGS[round % SPELLINGS.len()].to_vec();
        for _ in 0..=rng.below(4) {
            let at = rng.below(body.len() as u64) as usize;
            match rng.below(3) {
                0 => body[at] = rng.next_u64() as u8,
                1 => drop(body.remove(at)),
                _ => body.insert(at, b"(].tael012\x86\x94"[rng.below(11) as usize]),
            }
        }
        let _ = run(&body);
    }
}
