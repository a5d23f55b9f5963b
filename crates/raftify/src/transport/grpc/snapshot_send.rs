//! Sending one snapshot: its own connection, so that Raft messages never wait behind it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use raft::eraftpb::Message;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use super::dialer::{Dialer, reasons};
use super::proto::{Origin, SnapshotChunk, SnapshotHeader};
use crate::snapshot::{SnapshotDescriptor, SnapshotStore};

/// Chunks read ahead of the socket.
const READ_AHEAD_CHUNKS: usize = 2;
/// How long the receiver may take to make a whole snapshot durable, after the last chunk; whether
/// it lives at all is found out by pings.
const INSTALL_MAX: Duration = Duration::from_secs(600);

/// One snapshot on its way.
pub(crate) struct SnapshotSend {
    pub(crate) addr: String,
    pub(crate) origin: Origin,
    pub(crate) message: Message,
    pub(crate) store: SnapshotStore,
    pub(crate) dialer: Dialer,
    pub(crate) cancel: CancellationToken,
}

/// How far the socket has taken the chunks.
#[derive(Default)]
struct Taken {
    chunks: AtomicU64,
    all: AtomicBool,
}

impl SnapshotSend {
    /// Sends it, or says why not. When this returns, nothing of it runs any more.
    pub(crate) async fn run(self) -> Result<(), String> {
        let snapshot = self
            .message
            .snapshot
            .as_deref()
            .ok_or("the message holds no snapshot")?;
        let descriptor =
            SnapshotDescriptor::from_snapshot(snapshot).map_err(|error| error.to_string())?;
        let connection = tokio::select! {
            biased;
            () = self.cancel.cancelled() => return Err("cancelled".into()),
            connection = self.dialer.connect(&self.addr) => connection.map_err(|error| error.0)?,
        };
        let (sender, receiver) = mpsc::channel(READ_AHEAD_CHUNKS);
        let reader = self.spawn_reader(descriptor, sender);
        let taken = Arc::new(Taken::default());
        let chunks = {
            let (each, end) = (Arc::clone(&taken), Arc::clone(&taken));
            ReceiverStream::new(receiver)
                .inspect(move |_| {
                    each.chunks.fetch_add(1, Ordering::Relaxed);
                })
                .chain(futures_util::stream::poll_fn(move |_| {
                    end.all.store(true, Ordering::Relaxed);
                    std::task::Poll::Ready(None)
                }))
        };
        let mut client = connection.client.clone();
        let sent = tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err("cancelled".to_owned()),
            reason = self.stalled(&taken) => Err(reason),
            reply = client.install_snapshot(chunks) => {
                reply.map(drop).map_err(|status| reasons(&status))
            }
        };
        // The socket is closed, and with it goes the receiver of the chunks: the reader ends.
        drop(connection);
        let read = reader.await.map_err(|error| error.to_string())?;
        match (sent, read) {
            (Ok(()), _) => Ok(()),
            (Err(_), Err(Some(reason))) => Err(reason),
            (Err(reason), _) => Err(format!("{}: {reason}", self.addr)),
        }
    }

    /// Reads the chunks on a thread that may block. Its error is the disk's, `None` when the
    /// stream wanted no more.
    fn spawn_reader(
        &self,
        descriptor: SnapshotDescriptor,
        sender: mpsc::Sender<SnapshotChunk>,
    ) -> tokio::task::JoinHandle<Result<(), Option<String>>> {
        let header = SnapshotChunk {
            header: Some(SnapshotHeader {
                origin: Some(self.origin),
                message: Some(self.message.clone()),
            }),
            ..SnapshotChunk::default()
        };
        let store = self.store.clone();
        let chunk_bytes = self.dialer.options().snapshot_chunk_bytes;
        tokio::task::spawn_blocking(move || {
            sender.blocking_send(header).map_err(|_| None)?;
            if !descriptor.has_data {
                return Ok(());
            }
            let text = |error: crate::snapshot::SnapshotFileError| Some(error.to_string());
            for chunk in store.chunks(&descriptor, chunk_bytes).map_err(text)? {
                let chunk = chunk.map_err(text)?;
                let chunk = SnapshotChunk {
                    header: None,
                    offset: chunk.offset,
                    crc32c: crc32c::crc32c(&chunk.data),
                    data: chunk.data,
                };
                sender.blocking_send(chunk).map_err(|_| None)?;
            }
            Ok(())
        })
    }

    /// Ends when the receiver has taken no chunk for too long.
    async fn stalled(&self, taken: &Taken) -> String {
        let stall = self.dialer.options().snapshot_stall_timeout;
        let mut last = (0, false);
        let mut since = Instant::now();
        loop {
            tokio::time::sleep(stall / 8).await;
            let now = (
                taken.chunks.load(Ordering::Relaxed),
                taken.all.load(Ordering::Relaxed),
            );
            if now != last {
                (last, since) = (now, Instant::now());
            }
            let (_, all_taken) = now;
            let limit = if all_taken { INSTALL_MAX } else { stall };
            if since.elapsed() >= limit {
                return format!("the receiver made no progress for {limit:?}");
            }
        }
    }
}
