//! What waits for one peer, and the stream that takes it.
//!
//! The loop puts messages in, the connection's own task takes them out when the socket has room:
//! whatever waits then becomes one frame. There is no task and no channel between the two, so a
//! frame is as full as the load makes it, and a message never waits for a timer.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::Stream;
use prost::Message as _;
use raft::eraftpb::Message;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::proto::{MessageFrame, Origin};
use crate::transport::size::message_bytes;

/// What a peer that is not connected is kept: a few votes and heartbeats for the moment at which
/// it comes back, the newest ones.
const OFFLINE_MESSAGES_MAX: usize = 64;

/// The queue of one peer.
///
/// - Bounded in messages and bytes; what does not fit is dropped, and the first drop since the
///   peer last took something is reported.
/// - One reader at a time: a new stream ends the one before it.
pub(crate) struct Outbox {
    limits: OutboxLimits,
    state: Mutex<State>,
    /// Told when something waits and nobody reads.
    wanted: Notify,
}

/// Bounds of an [`Outbox`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct OutboxLimits {
    pub(crate) messages_max: usize,
    pub(crate) bytes_max: u64,
    pub(crate) frame_bytes_max: u64,
    /// The largest message that can be sent at all.
    pub(crate) message_bytes_max: u64,
}

#[derive(Default)]
struct State {
    messages: VecDeque<(Message, u64)>,
    bytes: u64,
    /// The reader that waits for more.
    waker: Option<Waker>,
    /// Which stream may read; 0 while there is none.
    reader: u64,
    readers: u64,
    /// A drop was reported and the peer has taken nothing since.
    drop_reported: bool,
    /// Since when messages wait without the peer taking any.
    waiting_since: Option<Instant>,
}

/// What became of messages that were put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// All of them wait.
    All,
    /// Some were dropped, which has been reported already.
    Dropped,
    /// Some were dropped, for the first time since the peer last took something.
    FirstDrop,
}

impl Outbox {
    pub(crate) fn new(limits: OutboxLimits) -> Self {
        Self {
            limits,
            state: Mutex::default(),
            wanted: Notify::new(),
        }
    }

    /// Puts messages in, in order. Never waits.
    pub(crate) fn push(&self, messages: Vec<Message>) -> Pushed {
        let mut state = self.state();
        let mut dropped = false;
        for message in messages {
            let size = message_bytes(&message);
            if self.has_room(&mut state, &message, size) {
                state.bytes += size;
                state.messages.push_back((message, size));
            } else {
                dropped = true;
            }
        }
        let waker = state.wait_begins();
        let pushed = state.note_drop(dropped);
        let unread = state.reader == 0 && !state.messages.is_empty();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        if unread {
            self.wanted.notify_one();
        }
        pushed
    }

    /// Waits until something waits that nobody reads: a connection is wanted.
    pub(crate) async fn wanted(&self) {
        loop {
            let told = self.wanted.notified();
            if !self.state().messages.is_empty() {
                return;
            }
            told.await;
        }
    }

    /// While nobody reads, the oldest message goes for the newest; else the newest is not taken.
    fn has_room(&self, state: &mut State, message: &Message, size: u64) -> bool {
        // The estimate is from above; a message that is dropped for its size is dropped each time.
        if size > self.limits.message_bytes_max
            && message.encoded_len() as u64 > self.limits.message_bytes_max
        {
            return false;
        }
        if state.reader == 0 {
            while state.messages.len() >= OFFLINE_MESSAGES_MAX
                || (!state.messages.is_empty()
                    && state.bytes.saturating_add(size) > self.limits.frame_bytes_max)
            {
                state.pop();
            }
            return true;
        }
        state.messages.is_empty()
            || (state.messages.len() < self.limits.messages_max
                && state.bytes.saturating_add(size) <= self.limits.bytes_max)
    }

    /// A stream of frames with what waits and what comes. A stream opened before ends.
    pub(crate) fn open(self: &Arc<Self>, origin: Origin) -> OutboxStream {
        let mut state = self.state();
        state.readers += 1;
        state.reader = state.readers;
        state.waiting_since = (!state.messages.is_empty()).then(Instant::now);
        let waker = state.waker.take();
        let reader = state.reader;
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        OutboxStream {
            outbox: Arc::clone(self),
            addr: String::new(),
            origin,
            reader,
        }
    }

    /// Ends the stream that reads and drops what waits: it is old by the time that the peer is
    /// back, and Raft sends again.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        let (waker, readers) = (state.waker.take(), state.readers);
        *state = State {
            readers,
            ..State::default()
        };
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether messages have waited for `limit` without the peer taking any.
    pub(crate) fn is_stalled(&self, limit: Duration) -> bool {
        self.state()
            .waiting_since
            .is_some_and(|since| since.elapsed() >= limit)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn pop(&mut self) -> Option<(Message, u64)> {
        let (message, size) = self.messages.pop_front()?;
        self.bytes = self.bytes.saturating_sub(size);
        Some((message, size))
    }

    /// The reader to wake, when there is something to read.
    fn wait_begins(&mut self) -> Option<Waker> {
        if self.messages.is_empty() || self.reader == 0 {
            return None;
        }
        if self.waiting_since.is_none() {
            self.waiting_since = Some(Instant::now());
        }
        self.waker.take()
    }

    fn note_drop(&mut self, dropped: bool) -> Pushed {
        // Without a reader the failed connection has been reported.
        match (dropped, self.drop_reported || self.reader == 0) {
            (false, _) => Pushed::All,
            (true, true) => Pushed::Dropped,
            (true, false) => {
                self.drop_reported = true;
                Pushed::FirstDrop
            }
        }
    }

    fn take(&mut self, bytes_max: u64) -> Vec<Message> {
        let mut messages = Vec::with_capacity(self.messages.len().min(64));
        let mut bytes = 0u64;
        while let Some((_, size)) = self.messages.front() {
            bytes = bytes.saturating_add(*size);
            if bytes > bytes_max && !messages.is_empty() {
                break;
            }
            messages.extend(self.pop().map(|(message, _)| message));
        }
        messages
    }
}

/// The frames of one connection, each with as many messages as wait when it is taken.
pub(crate) struct OutboxStream {
    outbox: Arc<Outbox>,
    origin: Origin,
    /// Goes with the first frame.
    addr: String,
    reader: u64,
}

impl OutboxStream {
    /// Tells the receiver where this node can be answered.
    pub(crate) fn introducing(mut self, addr: &str) -> Self {
        self.addr = addr.to_owned();
        self
    }
}

impl Stream for OutboxStream {
    type Item = MessageFrame;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<MessageFrame>> {
        let outbox = Arc::clone(&self.outbox);
        let mut state = outbox.state();
        if state.reader != self.reader {
            return Poll::Ready(None);
        }
        if state.messages.is_empty() {
            state.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        let messages = state.take(self.outbox.limits.frame_bytes_max);
        state.drop_reported = false;
        state.waiting_since = (!state.messages.is_empty()).then(Instant::now);
        Poll::Ready(Some(MessageFrame {
            origin: Some(self.origin),
            messages,
            from_addr: std::mem::take(&mut self.addr),
        }))
    }
}

#[cfg(test)]
mod tests;
