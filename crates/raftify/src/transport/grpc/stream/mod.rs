//! Many requests in flight on one stream, from the caller's side.
//!
//! [`CallStream`] is what clients' streams and forwarded proposals are made of: requests that wait
//! go out together, answers come by id in any order, and every request that left without an answer
//! is told apart from one that never left.

mod batches;
mod by_id;
mod forward;
mod kind;
mod queue;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use self::batches::Batches;
use self::queue::{Asked, Queue};
use super::dialer::Connection;
use super::proto::ErrorCode;
use super::remote::Remote;
use super::wire_error::detail_of;

pub(crate) use forward::Forward;
pub(crate) use kind::{Proposals, Queries, StreamKind};

/// How much longer than the node's own deadline to wait for its answer.
const GRACE: Duration = Duration::from_millis(500);
/// A request takes one place of those in flight for each so many bytes that it begins, so that the
/// places bound the bytes as well.
const PLACE_BYTES: usize = 16 << 10;

/// How a request ended without the answer that was hoped for.
#[derive(Debug)]
pub(crate) enum StreamError<E> {
    /// It never left; the stream is of no more use.
    NotSent,
    /// It left, and the time is over.
    Late,
    /// It left, and the stream broke.
    Broken,
    /// The node answered with an error.
    Answered(E),
}

/// What one caller is told.
pub(crate) type Outcome<K> = Result<Bytes, StreamError<<K as StreamKind>::Error>>;

/// Many requests in flight on one stream. A cheap clone; the stream ends with the last one.
pub(crate) struct CallStream<K: StreamKind> {
    handle: Arc<Handle<K>>,
    places: Arc<Semaphore>,
    places_max: usize,
}

impl<K: StreamKind> Clone for CallStream<K> {
    fn clone(&self) -> Self {
        Self {
            handle: Arc::clone(&self.handle),
            places: Arc::clone(&self.places),
            places_max: self.places_max,
        }
    }
}

/// Ends the stream when the last clone is gone.
struct Handle<K: StreamKind>(Arc<Queue<K>>);

impl<K: StreamKind> Drop for Handle<K> {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl<K: StreamKind> CallStream<K> {
    /// Opens a stream to `remote`. It breaks when `cancel` is cancelled.
    ///
    /// # Errors
    /// See [`StreamKind::Error`]; nothing was asked then.
    pub(crate) async fn open(
        remote: &Remote,
        in_flight_max: usize,
        timeout: Duration,
        cancel: CancellationToken,
    ) -> Result<Self, K::Error> {
        let queue = Arc::new(Queue::default());
        let bytes_max = remote.batch_bytes_max();
        let batches = || Batches::new(Arc::clone(&queue), bytes_max);
        let (answers, connection) = remote.open_stream::<K, _>(batches, timeout).await?;
        let places_max = in_flight_max.clamp(1, Semaphore::MAX_PERMITS);
        let receiving = Receiving {
            queue: Arc::clone(&queue),
            answers,
            _connection: Arc::clone(&connection),
        };
        let waiting = Arc::clone(&queue);
        connection.run_beside(async move {
            tokio::select! {
                biased;
                () = cancel.cancelled() => {}
                () = receiving.run() => {}
                () = waiting.keep_deadlines() => {}
            }
        });
        Ok(Self {
            handle: Arc::new(Handle(queue)),
            places: Arc::new(Semaphore::new(places_max)),
            places_max,
        })
    }

    /// Waits for room for a request with so many bytes; in turn.
    pub(crate) async fn place(&self, payload_bytes: usize) -> Option<OwnedSemaphorePermit> {
        let places = (1 + payload_bytes / PLACE_BYTES).min(self.places_max);
        let places = u32::try_from(places).unwrap_or(u32::MAX);
        // The semaphore is never closed.
        Arc::clone(&self.places)
            .acquire_many_owned(places)
            .await
            .ok()
    }

    /// Asks, and waits for the answer: so long as the node was told, and a little longer.
    pub(crate) async fn call(
        &self,
        place: OwnedSemaphorePermit,
        timeout: Duration,
        request: impl FnOnce(u64) -> K::Request,
    ) -> Outcome<K> {
        let limit = timeout.saturating_add(GRACE);
        Asked::new(&self.handle.0, place, limit, request)?
            .outcome()
            .await
    }

    /// Whether nothing can be asked on it any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.handle.0.is_closed()
    }
}

/// The stream's answers on their way to the callers.
struct Receiving<K: StreamKind> {
    queue: Arc<Queue<K>>,
    answers: Streaming<K::Answers>,
    /// Open for as long.
    _connection: Arc<Connection>,
}

impl<K: StreamKind> Receiving<K> {
    async fn run(mut self) {
        while let Some(answers) = self.answers.next().await {
            match answers {
                Ok(answers) => self.queue.answer(answers),
                Err(status) => {
                    let took_nothing_more = says_stopped(&status);
                    self.queue.broke(took_nothing_more);
                    return;
                }
            }
        }
    }
}

impl<K: StreamKind> Drop for Receiving<K> {
    fn drop(&mut self) {
        self.queue.broke(false);
    }
}

/// A node that stops answers all that it took, and then ends its streams with this.
fn says_stopped(status: &Status) -> bool {
    detail_of(status).is_some_and(|detail| detail.code() == ErrorCode::Stopped)
}

/// The batches of a stream.
pub(crate) trait Requests<K: StreamKind>: Stream<Item = K::Batch> + Send + 'static {}

impl<K: StreamKind, S: Stream<Item = K::Batch> + Send + 'static> Requests<K> for S {}
