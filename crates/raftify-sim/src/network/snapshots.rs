//! Snapshots on their way: piece by piece, each with its delay, sometimes cut in the middle.

use prost::Message as _;
use raftify::raft::eraftpb::Message;
use raftify::snapshot::SnapshotDescriptor;
use raftify::transport::{Frame, Refusal, SnapshotOutcome};
use tokio::time::sleep;

use super::{Endpoint, Fate, SimTransport};
use crate::lock;
use crate::plan::Fault;

/// The size of a piece: small, so that a small snapshot has several.
const CHUNK_BYTES: usize = 512;
/// How often a full inbox is tried again.
const DELIVER_TRIES: u32 = 100;

impl SimTransport {
    /// Sends one snapshot and reports exactly once how that ended.
    pub(super) async fn run_snapshot(self, to: u64, message: Message) {
        let claimed = self.knows(to) && lock(&self.snapshots).insert(to);
        let outcome = if claimed {
            let sent = tokio::select! {
                biased;
                () = self.ended.cancelled() => return,
                sent = self.try_snapshot(to, message) => sent,
            };
            lock(&self.snapshots).remove(&to);
            match sent {
                Ok(()) => SnapshotOutcome::Delivered,
                Err(reason) => {
                    self.network.observer.count("snapshots not delivered");
                    self.network
                        .observer
                        .event(self.node, format_args!("no snapshot for {to}: {reason}"));
                    SnapshotOutcome::Failed
                }
            }
        } else {
            SnapshotOutcome::Failed
        };
        self.inbox.report_snapshot(to, outcome).await;
    }

    async fn try_snapshot(&self, to: u64, message: Message) -> Result<(), String> {
        let sender = self
            .network
            .endpoint(self.node)
            .ok_or("the sender is gone")?;
        let receiver = self.network.endpoint(to).ok_or("the receiver is gone")?;
        let snapshot = message
            .snapshot
            .as_deref()
            .ok_or("the message holds none")?;
        let descriptor =
            SnapshotDescriptor::from_snapshot(snapshot).map_err(|error| error.to_string())?;
        let origin = self.inbox.origin_to(to);
        self.piece(to).await?;
        receiver
            .inbox
            .check(&origin)
            .map_err(|refusal| refusal.to_string())?;
        if descriptor.has_data {
            self.copy(to, &descriptor, &sender, &receiver).await?;
        }
        let frame = Frame {
            origin,
            size_bytes: message.encoded_len() as u64,
            messages: vec![message],
        };
        self.network.observer.event(
            to,
            format_args!(
                "<- {} snapshot ({}, {})",
                self.node, descriptor.index, descriptor.term
            ),
        );
        deliver(&receiver, frame).await
    }

    async fn copy(
        &self,
        to: u64,
        descriptor: &SnapshotDescriptor,
        sender: &Endpoint,
        receiver: &Endpoint,
    ) -> Result<(), String> {
        let chunks = sender
            .snapshots
            .chunks(descriptor, CHUNK_BYTES)
            .map_err(|error| error.to_string())?;
        let mut writer = receiver
            .snapshots
            .receive(descriptor)
            .map_err(|error| error.to_string())?;
        for chunk in chunks {
            let chunk = chunk.map_err(|error| error.to_string())?;
            writer
                .write(chunk.offset, &chunk.data)
                .map_err(|error| error.to_string())?;
            self.piece(to).await?;
            if receiver.gone.is_cancelled() {
                return Err("the receiver died".into());
            }
        }
        writer.finish().map_err(|error| error.to_string())
    }

    /// The time of one piece on its way. Pieces are not lost: that is a stream.
    async fn piece(&self, to: u64) -> Result<(), String> {
        let cut = {
            let mut state = lock(&self.network.state);
            let chance = state.weather.snapshot_cut_per_mille;
            state.link(self.node, to).chance(chance)
        };
        if cut {
            self.network
                .observer
                .inject(Fault::SnapshotCuts, "snapshots cut in the middle");
            return Err("the stream broke".into());
        }
        if let Fate::Arrives { after, .. } = self.network.fate(self.node, to) {
            sleep(after).await;
        }
        if self.network.is_cut(self.node, to) {
            return Err("the link was cut".into());
        }
        Ok(())
    }
}

async fn deliver(receiver: &Endpoint, frame: Frame) -> Result<(), String> {
    for _ in 0..DELIVER_TRIES {
        match receiver.inbox.deliver(frame.clone()) {
            Ok(()) => return Ok(()),
            Err(Refusal::Full) => sleep(std::time::Duration::from_millis(5)).await,
            Err(refusal) => return Err(refusal.to_string()),
        }
    }
    Err(Refusal::Full.to_string())
}
