//! Receiving a snapshot: to the disk on a thread that may block, then to the core.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use raft::eraftpb::{Message, MessageType};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tonic::{Status, Streaming};
use tracing::{info, warn};

use super::Shared;
use crate::snapshot::{SnapshotDescriptor, SnapshotFileError, SnapshotStore};
use crate::transport::grpc::convert::origin_from;
use crate::transport::grpc::proto::{InstallSnapshotReply, Origin, SnapshotChunk};
use crate::transport::grpc::wire_error::refusal_status;
use crate::transport::size::message_bytes;
use crate::transport::{Frame, Refusal};

/// Chunks that wait for the disk; then the stream's flow control holds the sender back.
const WRITE_AHEAD_CHUNKS: usize = 2;
/// How long the message of a received snapshot may wait for room in the node's queue.
const DELIVER_MAX: Duration = Duration::from_secs(5);
/// How long to wait between tries to deliver it.
const DELIVER_RETRY: Duration = Duration::from_millis(10);

/// A piece for the writing thread.
enum Piece {
    Chunk {
        offset: u64,
        data: Bytes,
        crc32c: u32,
    },
    /// The sender ended the stream as it should.
    End,
}

/// Receives one snapshot and answers when it is durable and its message is with the core.
pub(super) async fn receive(
    shared: &Arc<Shared>,
    mut chunks: Streaming<SnapshotChunk>,
) -> Result<InstallSnapshotReply, Status> {
    let first = next(shared, &mut chunks)
        .await?
        .ok_or_else(|| Status::invalid_argument("the stream has no header"))?;
    let header = first
        .header
        .ok_or_else(|| Status::invalid_argument("the first chunk has no header"))?;
    let origin = header.origin.unwrap_or_default();
    check(shared, origin)?;
    let message = header.message.unwrap_or_default();
    let descriptor = descriptor_of(&message)?;
    let received_bytes = if descriptor.has_data {
        store(shared, &mut chunks, descriptor).await?
    } else {
        0
    };
    let (index, term) = message
        .snapshot
        .as_ref()
        .and_then(|snapshot| snapshot.metadata.as_ref())
        .map_or((0, 0), |metadata| (metadata.index, metadata.term));
    deliver(shared, origin, message).await?;
    info!(
        from = origin.from,
        index, term, received_bytes, "received a snapshot"
    );
    Ok(InstallSnapshotReply { received_bytes })
}

fn check(shared: &Shared, origin: Origin) -> Result<(), Status> {
    let from = origin.from;
    shared
        .inbox
        .check(&origin_from(&origin))
        .map_err(|refusal| {
            if refusal != Refusal::Full && shared.log_lets(&refusal) {
                warn!(from, %refusal, "a snapshot was refused");
            }
            refusal_status(&refusal)
        })
}

fn descriptor_of(message: &Message) -> Result<SnapshotDescriptor, Status> {
    let snapshot = message
        .snapshot
        .as_deref()
        .filter(|_| message.msg_type() == MessageType::MsgSnapshot)
        .ok_or_else(|| Status::invalid_argument("the header's message is no MsgSnapshot"))?;
    SnapshotDescriptor::from_snapshot(snapshot)
        .map_err(|error| Status::invalid_argument(format!("the snapshot's descriptor: {error}")))
}

/// The next chunk, if the sender does not take too long and the node does not stop.
async fn next(
    shared: &Shared,
    chunks: &mut Streaming<SnapshotChunk>,
) -> Result<Option<SnapshotChunk>, Status> {
    tokio::select! {
        biased;
        () = shared.shutdown.cancelled() => Err(refusal_status(&Refusal::Stopped)),
        chunk = tokio::time::timeout(shared.options.snapshot_stall_timeout, chunks.message()) => {
            chunk.map_err(|_| Status::deadline_exceeded("no chunk came in time"))?
        }
    }
}

/// Writes the chunks; how many bytes they had. The snapshot is durable when this returns.
async fn store(
    shared: &Shared,
    chunks: &mut Streaming<SnapshotChunk>,
    descriptor: SnapshotDescriptor,
) -> Result<u64, Status> {
    let (sender, receiver) = mpsc::channel(WRITE_AHEAD_CHUNKS);
    let writer = spawn_writer(shared.store.clone(), descriptor, receiver);
    let fed = feed(shared, chunks, sender).await;
    // The writer ends in any case: with the last piece, or because none can come any more.
    let written = writer
        .await
        .map_err(|error| Status::internal(error.to_string()))?;
    // A reason of the stream is the cause of the writer's, which is then "the stream broke".
    fed?;
    written.inspect_err(|status| {
        warn!(reason = status.message(), "a snapshot could not be kept");
    })
}

/// What a sender hears when its snapshot cannot be stored: a full disk is told from a broken one.
fn not_stored(error: SnapshotFileError) -> Status {
    let reason = error.to_string();
    match io::Error::from(error).kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Status::resource_exhausted(reason)
        }
        _ => Status::internal(reason),
    }
}

async fn feed(
    shared: &Shared,
    chunks: &mut Streaming<SnapshotChunk>,
    writer: mpsc::Sender<Piece>,
) -> Result<(), Status> {
    loop {
        let (piece, is_end) = match next(shared, chunks).await? {
            Some(chunk) => {
                let piece = Piece::Chunk {
                    offset: chunk.offset,
                    data: chunk.data,
                    crc32c: chunk.crc32c,
                };
                (piece, false)
            }
            None => (Piece::End, true),
        };
        // An error means that the writer has ended, and says why itself.
        if writer.send(piece).await.is_err() || is_end {
            return Ok(());
        }
    }
}

fn spawn_writer(
    store: SnapshotStore,
    descriptor: SnapshotDescriptor,
    mut pieces: mpsc::Receiver<Piece>,
) -> JoinHandle<Result<u64, Status>> {
    tokio::task::spawn_blocking(move || {
        let mut receiver = store.receive(&descriptor).map_err(not_stored)?;
        loop {
            match pieces.blocking_recv() {
                Some(Piece::Chunk {
                    offset,
                    data,
                    crc32c,
                }) => {
                    check_crc(offset, &data, crc32c)?;
                    receiver.write(offset, &data).map_err(not_stored)?;
                }
                Some(Piece::End) => {
                    let received = receiver.offset();
                    receiver.finish().map_err(not_stored)?;
                    return Ok(received);
                }
                None => return Err(Status::internal("the stream broke")),
            }
        }
    })
}

fn check_crc(offset: u64, data: &[u8], announced: u32) -> Result<(), Status> {
    let found = crc32c::crc32c(data);
    if found == announced {
        return Ok(());
    }
    Err(Status::internal(format!(
        "the chunk at byte {offset} has the checksum {found:08x}, {announced:08x} was announced"
    )))
}

/// Gives the message to the core, waiting a little for room.
async fn deliver(shared: &Shared, origin: Origin, message: Message) -> Result<(), Status> {
    let frame = Frame {
        origin: origin_from(&origin),
        size_bytes: message_bytes(&message),
        messages: vec![message],
    };
    let deadline = Instant::now() + DELIVER_MAX;
    loop {
        match shared.inbox.deliver(frame.clone()) {
            Ok(()) => return Ok(()),
            Err(Refusal::Full) if Instant::now() < deadline => {
                tokio::time::sleep(DELIVER_RETRY).await;
            }
            Err(refusal) => return Err(refusal_status(&refusal)),
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn a_sender_hears_whether_the_receivers_disk_is_full_or_broken() {
        let error = |kind: io::ErrorKind| SnapshotFileError::Io {
            path: "snapshots/1".into(),
            source: kind.into(),
        };
        let full = not_stored(error(io::ErrorKind::StorageFull));
        assert_eq!(full.code(), Code::ResourceExhausted);
        assert!(full.message().contains("snapshots/1"), "{full}");
        let broken = not_stored(error(io::ErrorKind::Other));
        assert_eq!(broken.code(), Code::Internal);
    }
}
