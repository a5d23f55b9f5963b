//! A snapshot from one store to another.

use raft::eraftpb::Message;

use super::{InMemoryNetwork, Registered};
use crate::snapshot::{SnapshotChunks, SnapshotDescriptor};
use crate::transport::size::message_bytes;
use crate::transport::{Frame, Refusal, SnapshotOutcome};

/// The size of a piece; faults are looked at between two of them.
const CHUNK_BYTES: usize = 1 << 20;
/// How often a full inbox is tried again before the snapshot counts as failed.
const DELIVER_TRIES: u32 = 1_000;

impl InMemoryNetwork {
    /// Copies the snapshot's bytes, delivers the message, and says how it ended. It reads and
    /// writes where it is called: simulated stores are in memory, and a thread would make
    /// histories depend on the machine.
    pub(super) async fn send_snapshot(
        &self,
        from: u64,
        to: u64,
        message: Message,
    ) -> SnapshotOutcome {
        match self.try_send_snapshot(from, to, message).await {
            Ok(()) => SnapshotOutcome::Delivered,
            Err(reason) => {
                tracing::debug!(from, to, reason, "a snapshot was not delivered");
                SnapshotOutcome::Failed
            }
        }
    }

    async fn try_send_snapshot(&self, from: u64, to: u64, message: Message) -> Result<(), String> {
        let sender = self.shared.node(from).ok_or("the sender is gone")?;
        let receiver = self.shared.node(to).ok_or("the receiver is gone")?;
        let snapshot = message
            .snapshot
            .as_deref()
            .ok_or("the message holds no snapshot")?;
        let descriptor =
            SnapshotDescriptor::from_snapshot(snapshot).map_err(|error| error.to_string())?;
        // Opened before it is on its way, as a stream's file is: what is being sent stays.
        let chunks = match descriptor.has_data {
            true => Some(open(&sender, &descriptor)?),
            false => None,
        };
        self.way(from, to).await.map_err(|()| "lost on the way")?;
        if let Some(chunks) = chunks {
            self.copy(from, to, chunks, &descriptor, &receiver).await?;
        }
        let frame = Frame {
            origin: sender.inbox.origin_to(to),
            size_bytes: message_bytes(&message),
            messages: vec![message],
        };
        deliver(&receiver, frame).await
    }

    async fn copy(
        &self,
        from: u64,
        to: u64,
        chunks: SnapshotChunks,
        descriptor: &SnapshotDescriptor,
        receiver: &Registered,
    ) -> Result<(), String> {
        let mut writer = receiver
            .store
            .receive(descriptor)
            .map_err(|error| error.to_string())?;
        for chunk in chunks {
            let chunk = chunk.map_err(|error| error.to_string())?;
            writer
                .write(chunk.offset, &chunk.data)
                .map_err(|error| error.to_string())?;
            tokio::task::yield_now().await;
            if self.shared.faults().is_cut(from, to) || receiver.gone.is_cancelled() {
                return Err("the link was cut".into());
            }
        }
        writer.finish().map_err(|error| error.to_string())
    }
}

fn open(sender: &Registered, descriptor: &SnapshotDescriptor) -> Result<SnapshotChunks, String> {
    let chunks = sender.store.chunks(descriptor, CHUNK_BYTES);
    chunks.map_err(|error| error.to_string())
}

async fn deliver(receiver: &Registered, frame: Frame) -> Result<(), String> {
    for _ in 0..DELIVER_TRIES {
        match receiver.inbox.deliver(frame.clone()) {
            Ok(()) => return Ok(()),
            Err(Refusal::Full) => tokio::task::yield_now().await,
            Err(refusal) => return Err(refusal.to_string()),
        }
    }
    Err(Refusal::Full.to_string())
}
