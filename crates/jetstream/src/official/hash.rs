//! `HighwayHash` of 64 bits: the checksum of official servers' records and files.

/// What is hashed so far.
#[derive(Clone, Debug)]
pub(super) struct HighwayHash {
    v0: [u64; 4],
    v1: [u64; 4],
    mul0: [u64; 4],
    mul1: [u64; 4],
    rest: [u8; 32],
    rest_bytes: usize,
}

const MUL0: [u64; 4] =
    [0xdbe6_d5d5_fe4c_ce2f, 0xa409_3822_299f_31d0, 0x1319_8a2e_0370_7344, 0x243f_6a88_85a3_08d3];
const MUL1: [u64; 4] =
    [0x3bd3_9e10_cb0e_f593, 0xc0ac_f169_b5f1_8a8c, 0xbe54_66cf_34e9_0c6c, 0x4528_21e6_38d0_1377];

fn lanes(bytes: &[u8; 32]) -> [u64; 4] {
    let mut out = [0; 4];
    for (lane, piece) in out.iter_mut().zip(bytes.chunks_exact(8)) {
        *lane = u64::from_le_bytes(piece.try_into().unwrap_or_default());
    }
    out
}

impl HighwayHash {
    /// By a key of 32 bytes.
    pub(super) fn new(key: &[u8; 32]) -> Self {
        let key = lanes(key);
        let (mut v0, mut v1) = ([0; 4], [0; 4]);
        for lane in 0..4 {
            v0[lane] = MUL0[lane] ^ key[lane];
            v1[lane] = MUL1[lane] ^ key[lane].rotate_left(32);
        }
        Self { v0, v1, mul0: MUL0, mul1: MUL1, rest: [0; 32], rest_bytes: 0 }
    }

    /// Hashes more.
    pub(super) fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let taken = bytes.len().min(32 - self.rest_bytes);
            self.rest[self.rest_bytes..self.rest_bytes + taken].copy_from_slice(&bytes[..taken]);
            self.rest_bytes += taken;
            bytes = &bytes[taken..];
            if self.rest_bytes == 32 {
                let packet = self.rest;
                self.update(lanes(&packet));
                self.rest_bytes = 0;
            }
        }
    }

    /// The hash.
    pub(super) fn finish(mut self) -> u64 {
        if self.rest_bytes > 0 {
            self.update_rest();
        }
        for _ in 0..4 {
            let turned = [2, 3, 0, 1].map(|lane: usize| self.v0[lane].rotate_left(32));
            self.update(turned);
        }
        self.v0[0].wrapping_add(self.v1[0]).wrapping_add(self.mul0[0]).wrapping_add(self.mul1[0])
    }

    fn update_rest(&mut self) {
        let size = self.rest_bytes;
        let (words, last) = (size & !3, size & 3);
        for lane in 0..4 {
            self.v0[lane] = self.v0[lane].wrapping_add(((size as u64) << 32) + size as u64);
            let (low, high) = (self.v1[lane] as u32, (self.v1[lane] >> 32) as u32);
            let (low, high) = (low.rotate_left(size as u32), high.rotate_left(size as u32));
            self.v1[lane] = u64::from(high) << 32 | u64::from(low);
        }
        let mut packet = [0; 32];
        packet[..words].copy_from_slice(&self.rest[..words]);
        if size & 16 != 0 {
            packet[28..].copy_from_slice(&self.rest[size - 4..size]);
        } else if last > 0 {
            packet[16] = self.rest[words];
            packet[17] = self.rest[words + (last >> 1)];
            packet[18] = self.rest[words + last - 1];
        }
        self.update(lanes(&packet));
    }

    fn update(&mut self, lanes: [u64; 4]) {
        for (lane, &word) in lanes.iter().enumerate() {
            self.v1[lane] = self.v1[lane].wrapping_add(self.mul0[lane]).wrapping_add(word);
            self.mul0[lane] ^= (self.v1[lane] & 0xffff_ffff).wrapping_mul(self.v0[lane] >> 32);
            self.v0[lane] = self.v0[lane].wrapping_add(self.mul1[lane]);
            self.mul1[lane] ^= (self.v0[lane] & 0xffff_ffff).wrapping_mul(self.v1[lane] >> 32);
        }
        for low in [0, 2] {
            let (even, odd) = merged(self.v1[low], self.v1[low + 1]);
            self.v0[low] = self.v0[low].wrapping_add(even);
            self.v0[low + 1] = self.v0[low + 1].wrapping_add(odd);
        }
        for low in [0, 2] {
            let (even, odd) = merged(self.v0[low], self.v0[low + 1]);
            self.v1[low] = self.v1[low].wrapping_add(even);
            self.v1[low + 1] = self.v1[low + 1].wrapping_add(odd);
        }
    }
}

/// The bytes of two lanes, mixed.
fn merged(even: u64, odd: u64) -> (u64, u64) {
    let (v0, v1) = (even, odd);
    let add0 = ((v0 & 0xff00_0000 | v1 & 0xff_0000_0000) >> 24)
        | ((v0 & 0xff00_0000_0000 | v1 & 0xff_0000_0000_0000) >> 16)
        | v0 & 0xff_0000
        | (v0 & 0xff00) << 32
        | (v1 & 0xff00_0000_0000_0000) >> 8
        | v0 << 56;
    let add1 = ((v1 & 0xff00_0000 | v0 & 0xff_0000_0000) >> 24)
        | v1 & 0xff_0000
        | (v1 & 0xff00_0000_0000) >> 16
        | (v1 & 0xff00) << 24
        | (v0 & 0xff_0000_0000_0000) >> 8
        | (v1 & 0xff) << 48
        | v0 & 0xff00_0000_0000_0000;
    (add0, add1)
}
