//! What is replicated.

use std::fmt;

use openraft::BasicNode;
use raftify_load::Keys;
use raftify_load::keys::KEY_BYTES;
use serde::{Deserialize, Serialize};

/// An entry. Key and value are text, as in openraft's examples, since entries are JSON on the disk
/// and on the wire.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Put {
    /// The key, in hexadecimal digits.
    pub key: String,
    /// Its value.
    pub value: String,
}

impl Put {
    /// An entry of as many bytes as the binary entries of the others.
    pub fn next(keys: &mut Keys, bytes: usize) -> Self {
        Self {
            key: next_key(keys),
            value: "Z".repeat(bytes.saturating_sub(KEY_BYTES)),
        }
    }
}

/// A key of [`KEY_BYTES`] digits.
pub fn next_key(keys: &mut Keys) -> String {
    format!("{:0width$x}", keys.next_key(), width = KEY_BYTES)
}

impl fmt::Display for Put {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} = {} bytes", self.key, self.value.len())
    }
}

openraft::declare_raft_types!(
    /// Openraft's usual types with the entry above; the answer is the index of the entry.
    pub Types:
        D = Put,
        R = u64,
        Node = BasicNode,
        AsyncRuntime = openraft_rt_tokio::TokioRuntime,
);
