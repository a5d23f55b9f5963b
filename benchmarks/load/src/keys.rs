//! What is written and read: values of a fixed number of keys.

use bytes::{BufMut as _, Bytes, BytesMut};

/// How many keys there are: snapshots stay small, as they are not what is measured.
pub const KEYS: u64 = 10_000;
/// The bytes of a key, at the beginning of an entry.
pub const KEY_BYTES: usize = 8;

/// The key at the beginning of an entry or a query.
pub fn key_of(bytes: &[u8]) -> Option<u64> {
    bytes
        .first_chunk::<KEY_BYTES>()
        .map(|key| u64::from_be_bytes(*key))
}

/// Keys in an order that jumps about; no two clients begin alike.
#[derive(Debug, Clone)]
pub struct Keys(u64);

impl Keys {
    /// Where the client of this number begins.
    pub fn of_client(client: usize) -> Self {
        Self(client as u64 * 7919)
    }

    /// The next key.
    pub fn next_key(&mut self) -> u64 {
        // Knuth's multiplier: a full period with few steps that look alike.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % KEYS
    }

    /// An entry of `bytes` in all, for the next key.
    pub fn entry(&mut self, bytes: usize) -> Bytes {
        let mut entry = vec![0x5a; bytes.max(KEY_BYTES)];
        if let Some(place) = entry.first_chunk_mut::<KEY_BYTES>() {
            *place = self.next_key().to_be_bytes();
        }
        entry.into()
    }

    /// The same at the end of `memory`.
    pub fn write_entry(&mut self, bytes: usize, memory: &mut BytesMut) {
        memory.put_u64(self.next_key());
        memory.put_bytes(0x5a, bytes.saturating_sub(KEY_BYTES));
    }

    /// A query for the next key.
    pub fn query(&mut self) -> Bytes {
        Bytes::copy_from_slice(&self.next_key().to_be_bytes())
    }
}
