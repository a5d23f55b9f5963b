//! What log and table share: a database with its column families, and JSON in it.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rocksdb::{ColumnFamily, DB, Options};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The column family of what is not an entry.
pub const META: &str = "meta";

/// A database that several hold.
#[derive(Clone)]
pub struct Rocks(Arc<DB>);

impl Rocks {
    /// Opens the database in `dir`, with RocksDB's usual options, as openraft's examples do.
    pub fn open(dir: &Path, families: &[&str]) -> Result<Self, io::Error> {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        let db = DB::open_cf(&options, dir, families).map_err(io::Error::other)?;
        Ok(Self(Arc::new(db)))
    }

    /// The database itself.
    pub fn db(&self) -> &DB {
        &self.0
    }

    /// One of its column families.
    pub fn family(&self, name: &str) -> Result<&ColumnFamily, io::Error> {
        let family = self.0.cf_handle(name);
        family.ok_or_else(|| io::Error::other(format!("no column family {name}")))
    }

    /// What was stored under a name.
    pub fn meta<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, io::Error> {
        let stored = self.0.get_cf(self.family(META)?, name);
        let stored = stored.map_err(io::Error::other)?;
        stored.map(|bytes| from_json(&bytes)).transpose()
    }

    /// Stores something under a name, not yet durably.
    pub fn put_meta(&self, name: &str, value: &impl Serialize) -> Result<(), io::Error> {
        let written = self.0.put_cf(self.family(META)?, name, to_json(value)?);
        written.map_err(io::Error::other)
    }

    /// Makes what was written durable.
    pub fn sync(&self) -> Result<(), io::Error> {
        self.0.flush_wal(true).map_err(io::Error::other)
    }
}

/// A value as bytes.
pub fn to_json(value: &impl Serialize) -> Result<Vec<u8>, io::Error> {
    serde_json::to_vec(value).map_err(io::Error::other)
}

/// A value from its bytes.
pub fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, io::Error> {
    serde_json::from_slice(bytes).map_err(io::Error::other)
}
