//! Length and CRC-32C framing shared by log records and file sections.
//!
//! ```text
//! | length u32 LE | crc32c u32 LE of the payload | payload |
//! ```

/// Bytes in front of a frame's payload.
pub const FRAME_HEADER_BYTES: usize = 8;

/// CRC-32C (Castagnoli) of `bytes`.
pub fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
}

/// Appends `payload` as one frame.
pub fn put_frame(out: &mut Vec<u8>, payload: &[u8]) {
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&checksum(payload).to_le_bytes());
    out.extend_from_slice(payload);
}

/// What stands at the start of a slice.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A whole frame: its payload and the bytes it takes, header included.
    Whole {
        /// The checked payload.
        payload: &'a [u8],
        /// Header and payload together.
        bytes: usize,
    },
    /// The slice ends inside the frame.
    Torn,
    /// The length is beyond `payload_max`.
    TooLong {
        /// What the header claims.
        length: usize,
    },
    /// The checksum does not match.
    Damaged {
        /// What the header says.
        expected: u32,
        /// What the payload has.
        got: u32,
        /// Header and payload together, so that a reader may go on behind it.
        bytes: usize,
    },
}

/// Reads the frame at the start of `bytes`.
pub fn read_frame(bytes: &[u8], payload_max: usize) -> Frame<'_> {
    let Some((header, rest)) = bytes.split_at_checked(FRAME_HEADER_BYTES) else {
        return Frame::Torn;
    };
    let length = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
    let expected = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
    if length > payload_max {
        return Frame::TooLong { length };
    }
    let Some(payload) = rest.get(..length) else {
        return Frame::Torn;
    };
    let got = checksum(payload);
    let bytes = FRAME_HEADER_BYTES + length;
    if got == expected {
        Frame::Whole { payload, bytes }
    } else {
        Frame::Damaged { expected, got, bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_round_trip_and_name_their_damage() {
        let mut out = Vec::new();
        put_frame(&mut out, b"payload");
        assert_eq!(read_frame(&out, 100), Frame::Whole { payload: b"payload", bytes: 15 });
        assert_eq!(read_frame(&out[..14], 100), Frame::Torn);
        assert_eq!(read_frame(&out[..3], 100), Frame::Torn);
        assert_eq!(read_frame(&out, 3), Frame::TooLong { length: 7 });
        out[9] ^= 1;
        assert!(matches!(read_frame(&out, 100), Frame::Damaged { bytes: 15, .. }));
    }
}
