//! Bits from the highest of each byte downwards, and the numbers that Prometheus's chunks make of them.

/// Bits that are being written.
#[derive(Clone, Debug, Default)]
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    /// Bits of the last byte that are not used yet.
    free: u32,
}

/// Prefix length and bits of each form of a variable number.
const FORMS: [(u32, u64, u32); 7] = [
    (2, 0b10, 3),
    (3, 0b110, 6),
    (4, 0b1110, 9),
    (5, 0b1_1110, 12),
    (6, 0b11_1110, 18),
    (7, 0b111_1110, 25),
    (8, 0b1111_1110, 56),
];

/// True when `value` lies in what `bits` bits hold here: one more upwards than downwards.
fn fits(value: i64, bits: u32) -> bool {
    let half = 1i64 << (bits - 1);
    (-(half - 1)..=half).contains(&value)
}

impl BitWriter {
    /// The bytes, the last one filled up with zeros.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The lowest `count` bits of `value`, the highest of them first; `count` is at most 64.
    pub(super) fn put(&mut self, value: u64, count: u32) {
        let mut left = count;
        while left > 0 {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            let taken = left.min(self.free);
            let part = (value >> (left - taken)) & ((1 << taken) - 1);
            if let Some(last) = self.bytes.last_mut() {
                *last |= (part as u8) << (self.free - taken);
            }
            self.free -= taken;
            left -= taken;
        }
    }

    /// One byte.
    pub(super) fn put_byte(&mut self, byte: u8) {
        self.put(u64::from(byte), 8);
    }

    /// A LEB128 number.
    pub(super) fn put_uvarint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.put_byte(value as u8 | 0x80);
            value >>= 7;
        }
        self.put_byte(value as u8);
    }

    /// A signed number: a prefix tells how many bits follow.
    pub(super) fn put_signed(&mut self, value: i64) {
        self.put_number(value as u64, value == 0, |bits| fits(value, bits));
    }

    /// An unsigned number, likewise.
    pub(super) fn put_unsigned(&mut self, value: u64) {
        self.put_number(value, value == 0, |bits| value < 1 << bits);
    }

    fn put_number(&mut self, bits: u64, is_zero: bool, fits: impl Fn(u32) -> bool) {
        if is_zero {
            return self.put(0, 1);
        }
        match FORMS.iter().find(|(_, _, count)| fits(*count)) {
            Some((prefix_bits, prefix, count)) => {
                self.put(*prefix, *prefix_bits);
                self.put(bits, *count);
            }
            None => {
                self.put(0xff, 8);
                self.put(bits, 64);
            }
        }
    }

    /// A difference of instants' differences, as in chunks of floats.
    pub(super) fn put_instant_step(&mut self, value: i64) {
        const FORMS: [(u32, u64, u32); 3] = [(2, 0b10, 14), (3, 0b110, 17), (4, 0b1110, 20)];
        if value == 0 {
            return self.put(0, 1);
        }
        match FORMS.iter().find(|(_, _, count)| fits(value, *count)) {
            Some((prefix_bits, prefix, count)) => {
                self.put(*prefix, *prefix_bits);
                self.put(value as u64, *count);
            }
            None => {
                self.put(0b1111, 4);
                self.put(value as u64, 64);
            }
        }
    }
}

/// Floats of one column: each as what differs from the one before.
#[derive(Clone, Debug)]
pub(super) struct XorColumn {
    bits: u64,
    /// Leading and trailing zeros of the window in use.
    window: Option<(u32, u32)>,
}

impl XorColumn {
    /// Writes the first value whole.
    pub(super) fn start(value: f64, out: &mut BitWriter) -> Self {
        out.put(value.to_bits(), 64);
        Self { bits: value.to_bits(), window: None }
    }

    /// Writes the next value.
    pub(super) fn push(&mut self, value: f64, out: &mut BitWriter) {
        let delta = value.to_bits() ^ self.bits;
        self.bits = value.to_bits();
        if delta == 0 {
            return out.put(0, 1);
        }
        out.put(1, 1);
        let (leading, trailing) = (delta.leading_zeros().min(31), delta.trailing_zeros());
        if let Some((first, last)) = self.window
            && leading >= first
            && trailing >= last
        {
            out.put(0, 1);
            return out.put(delta >> last, 64 - first - last);
        }
        self.window = Some((leading, trailing));
        let count = 64 - leading - trailing;
        out.put(1, 1);
        out.put(u64::from(leading), 5);
        // 64 has no place in six bits, and stands there as 0.
        out.put(u64::from(count & 63), 6);
        out.put(delta >> trailing, count);
    }
}
