//! Writing a view of the state machine, beside the apply task.

use tokio::sync::mpsc;

use super::ApplyEvent;
use crate::snapshot::{SnapshotDescriptor, SnapshotStore};
use crate::state_machine::SnapshotSource;

/// Tells the loop how a snapshot came out, also when the user's code panics: without a report no
/// other snapshot would be made.
pub(super) struct SnapshotReport {
    made: Result<SnapshotDescriptor, String>,
    events: mpsc::UnboundedSender<ApplyEvent>,
}

impl SnapshotReport {
    pub(super) fn new(events: mpsc::UnboundedSender<ApplyEvent>) -> Self {
        Self {
            made: Err("its writing ended by a panic, or the runtime ended".into()),
            events,
        }
    }

    pub(super) fn of(mut self, made: Result<SnapshotDescriptor, String>) {
        self.made = made;
    }
}

impl Drop for SnapshotReport {
    fn drop(&mut self) {
        let made = std::mem::replace(&mut self.made, Err(String::new()));
        self.events.send(ApplyEvent::SnapshotMade(made)).ok();
    }
}

/// Writes a view, until it is durable.
pub(super) fn write_snapshot<V: SnapshotSource>(
    snapshots: &SnapshotStore,
    descriptor: SnapshotDescriptor,
    view: V,
) -> Result<SnapshotDescriptor, String> {
    let mut sink = snapshots
        .create(&descriptor)
        .map_err(|error| error.to_string())?;
    view.write_to(&mut sink)
        .map_err(|error| error.to_string())?;
    sink.finish().map_err(|error| error.to_string())
}
