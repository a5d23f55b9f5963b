//! The same table as is measured with this raftify: values of a fixed number of keys.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use original::{AbstractLogEntry, AbstractStateMachine, Result};
use raftify_load::keys::key_of;

/// An entry: a key and its value.
#[derive(Debug, Clone)]
pub struct Put(pub Vec<u8>);

impl AbstractLogEntry for Put {
    fn encode(&self) -> Result<Vec<u8>> {
        Ok(self.0.clone())
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        Ok(Self(bytes.to_vec()))
    }
}

/// Values by key. Its snapshots hold nothing: none is made while it is measured.
#[derive(Debug, Clone, Default)]
pub struct Table(Arc<Mutex<HashMap<u64, Bytes>>>);

#[original::async_trait]
impl AbstractStateMachine for Table {
    async fn apply(&mut self, entry: Vec<u8>) -> Result<Vec<u8>> {
        if let Some(key) = key_of(&entry) {
            let mut values = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            values.insert(key, entry.into());
        }
        Ok(Vec::new())
    }

    async fn snapshot(&self) -> Result<Vec<u8>> {
        Ok(Vec::new())
    }

    async fn restore(&mut self, _snapshot: Vec<u8>) -> Result<()> {
        Ok(())
    }

    fn encode(&self) -> Result<Vec<u8>> {
        Ok(Vec::new())
    }

    fn decode(_bytes: &[u8]) -> Result<Self> {
        Ok(Self::default())
    }
}
