//! Carbon's pickle protocol: frames of a 4-byte big-endian length and one pickle of
//! `(path, (timestamp, value))` elements, in protocols 0 to 5.
//!
//! A pickle is a program. The machine here knows the opcodes that build numbers, texts, lists, tuples
//! and sets, and refuses the frame at any other: nothing can be imported, called or constructed.
//! Invariants: nothing recurses; every length is checked against what is left of the frame; values
//! are small copies that refer into arenas, so a shared or cyclic object costs nothing; stack and
//! memo have bounds of their own.

mod machine;

use model::WriteBatch;

use self::machine::{Machine, Value};
use super::intake::Intake;
use super::line::{check_value, timestamp_ms};
use super::reject::{Reason, Rejects};

/// Why a frame cannot be read; its connection goes on with the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PickleError {
    /// The frame ends before the pickle does.
    #[error("pickle ends inside an opcode or without STOP")]
    Truncated,
    /// An opcode that is not one of plain data.
    #[error("pickle opcode {opcode:#04x} at byte {offset} is not allowed")]
    Opcode {
        /// The opcode.
        opcode: u8,
        /// Its place in the frame's body.
        offset: usize,
    },
    /// An opcode finds something else on the stack than it needs, or a malformed argument.
    #[error("pickle is malformed at byte {offset}")]
    Malformed {
        /// Place of the opcode in the frame's body.
        offset: usize,
    },
    /// More objects than a frame may hold at once.
    #[error("pickle holds too many objects")]
    TooLarge,
    /// The pickle is no list, tuple or set.
    #[error("pickle is not a list of data points")]
    NotAList,
}

/// What stands at the front of a stream of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// At least this many more bytes are needed.
    Incomplete(usize),
    /// A whole frame: its body is at 4 .. 4 + this.
    Complete(usize),
    /// A length beyond what is taken: no pickle sender, or one out of step.
    TooLong(u32),
}

/// Looks for a frame of at most `length_max` bytes at the front of `bytes`.
pub fn next_frame(bytes: &[u8], length_max: usize) -> Frame {
    let Some((head, body)) = bytes.split_first_chunk::<4>() else {
        return Frame::Incomplete(4 - bytes.len());
    };
    let length = u32::from_be_bytes(*head);
    if length as usize > length_max {
        Frame::TooLong(length)
    } else if body.len() < length as usize {
        Frame::Incomplete(length as usize - body.len())
    } else {
        Frame::Complete(length as usize)
    }
}

/// Decodes the body of a frame into `batch`. Elements that are no data points are counted in
/// `rejects` and skipped. On `Err` nothing of the frame is in the batch, but for
/// [`PickleError::TooLarge`], which may leave the elements before the limit.
pub fn decode(
    body: &[u8],
    now_ms: i64,
    batch: &mut WriteBatch,
    rejects: &mut Rejects,
    intake: &mut Intake<'_>,
) -> Result<(), PickleError> {
    let mut machine = Machine::new(body);
    let root = machine.run()?;
    let elements = machine.items(root).ok_or(PickleError::NotAList)?;
    // References make a frame name one long path any number of times; what stands in the batch may
    // be a multiple of the frame, but not any multiple.
    let bytes_max = batch.bytes() + (16 << 20) + 8 * body.len();
    for element in elements {
        if batch.bytes() > bytes_max {
            return Err(PickleError::TooLarge);
        }
        if let Err((reason, path)) = push_element(&machine, *element, now_ms, batch, intake) {
            rejects.note(reason, path.unwrap_or_default());
        }
    }
    Ok(())
}

type Refusal<'m> = (Reason, Option<&'m [u8]>);

fn push_element<'m>(
    machine: &'m Machine<'_>,
    element: Value,
    now_ms: i64,
    batch: &mut WriteBatch,
    intake: &mut Intake<'_>,
) -> Result<(), Refusal<'m>> {
    let malformed = || (Reason::Malformed, None);
    let [path, point] = *machine.items(element).and_then(as_pair).ok_or_else(malformed)?;
    let path = machine.text(path).ok_or_else(malformed)?;
    let refused = |reason| (reason, Some(path));
    let pair = machine.items(point).and_then(as_pair);
    let [time, value] = *pair.ok_or_else(|| refused(Reason::Malformed))?;
    let value = machine.number(value).ok_or_else(|| refused(Reason::InvalidValue))?;
    let value = check_value(value).map_err(refused)?;
    let time = machine.number(time).ok_or_else(|| refused(Reason::InvalidTimestamp))?;
    let time = timestamp_ms(time, now_ms).map_err(refused)?;
    intake.open_row(batch, path).map_err(refused)?;
    batch.push_float(time, value);
    Ok(())
}

fn as_pair(items: &[Value]) -> Option<&[Value; 2]> {
    items.try_into().ok()
}

#[cfg(test)]
mod tests;
