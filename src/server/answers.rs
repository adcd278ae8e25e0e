//! What answers take of memory while they are written out.
//!
//! An answer that is made as a whole claims its room before the first byte: rows that are already there
//! become two or three times as much text, all at once. What has been written out is seen by the reading
//! of the process's memory, however slowly its client takes it. Answers that are sent while they are made
//! need no claim.

use base::memory::Claim;
use model::ResultSeries;

use crate::run_query::QueryError;
use crate::state::State;

/// Bytes for each point of a row: a slot of the encoder's own, and a text of some thirty characters in a
/// buffer that doubles when it grows.
const POINT_BYTES: u64 = 80;
/// Bytes for each row beside its labels, which are written twice.
const ROW_BYTES: u64 = 512;

/// Room for the whole answer that `rows` become; to be held until it is written.
pub(crate) fn claim<'r>(
    state: &State,
    rows: impl IntoIterator<Item = &'r ResultSeries>,
) -> Result<Claim, QueryError> {
    Ok(state.settings.memory.claim(rows.into_iter().map(bytes).sum())?)
}

fn bytes(row: &ResultSeries) -> u64 {
    let slots = row.grid.map_or(row.points.timestamps.len(), |grid| grid.len());
    slots as u64 * POINT_BYTES + row.labels.as_packed().len() as u64 * 2 + ROW_BYTES
}
