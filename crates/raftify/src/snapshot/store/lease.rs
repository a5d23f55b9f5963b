//! Who reads which snapshot: what is read is not deleted under its reader.

use std::collections::HashMap;
use std::sync::Arc;

use super::Inner;
use super::header::SnapshotKey;

/// The open readers of each snapshot.
#[derive(Debug, Default)]
pub(super) struct Leases(HashMap<SnapshotKey, Readers>);

#[derive(Debug, Default)]
struct Readers {
    count: usize,
    /// The snapshot was to be deleted meanwhile; its last reader does it.
    doomed: bool,
}

impl Leases {
    /// Whether `key` may be deleted now; when not, its last reader will.
    pub(super) fn may_delete(&mut self, key: &SnapshotKey) -> bool {
        match self.0.get_mut(key) {
            Some(readers) => {
                readers.doomed = true;
                false
            }
            None => true,
        }
    }

    /// What is wanted again is not deleted by its last reader.
    pub(super) fn spare(&mut self, key: &SnapshotKey) {
        if let Some(readers) = self.0.get_mut(key) {
            readers.doomed = false;
        }
    }

    fn enter(&mut self, key: SnapshotKey) {
        self.0.entry(key).or_default().count += 1;
    }

    /// Whether the last reader left a snapshot that was to be deleted.
    fn leave(&mut self, key: &SnapshotKey) -> bool {
        let Some(readers) = self.0.get_mut(key) else {
            return false;
        };
        readers.count -= 1;
        let (is_last, doomed) = (readers.count == 0, readers.doomed);
        if is_last {
            self.0.remove(key);
        }
        is_last && doomed
    }
}

/// The right to read one snapshot until it is dropped.
pub(super) struct Lease {
    store: Arc<Inner>,
    key: SnapshotKey,
}

impl Lease {
    pub(super) fn take(store: &Arc<Inner>, key: SnapshotKey) -> Self {
        super::lock(&store.leases).enter(key);
        Self {
            store: Arc::clone(store),
            key,
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut leases = super::lock(&self.store.leases);
        if leases.leave(&self.key) {
            // It is tried again by the next `retain`; a drop has nobody to tell.
            let _ = self.store.delete(&self.key);
        }
    }
}
