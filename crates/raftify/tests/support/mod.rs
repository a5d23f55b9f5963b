//! What the tests of the node share: a state machine, a transport to nowhere, waiting.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

pub mod cluster;
pub mod simulated;
mod waiting;
pub mod world;

pub(crate) use waiting::until;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use raft::eraftpb::Message;
use raftify::membership::{ChangeReply, ConfChangeRequest};
use raftify::state_machine::{AbstractStateMachine, ApplyError, SnapshotReader};
use raftify::transport::{BoxFuture, Transport};
use raftify::{BoxError, ClusterJoinTicket, MembershipError, ProposeError};

/// A list of all strings applied, shared with the test. Answers with the list's length.
#[derive(Clone, Default)]
pub struct Journal {
    lines: Arc<Mutex<Vec<String>>>,
    queries: Arc<AtomicUsize>,
}

impl Journal {
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// How many queries it was asked.
    pub fn queries(&self) -> usize {
        self.queries.load(Ordering::Relaxed)
    }
}

impl AbstractStateMachine for Journal {
    type LogEntry = String;
    type Response = u64;
    type Snapshot = Vec<u8>;

    async fn apply(&mut self, entry: String) -> Result<u64, ApplyError> {
        if entry == "fatal" {
            return Err(ApplyError::Fatal("asked to fail".into()));
        }
        if entry == "reject" {
            return Err(ApplyError::Reject("asked to refuse".into()));
        }
        let mut lines = self.lines.lock().unwrap();
        lines.push(entry);
        Ok(lines.len() as u64)
    }

    async fn snapshot(&mut self) -> Result<Vec<u8>, BoxError> {
        Ok(self.lines().join("\n").into_bytes())
    }

    async fn restore(&mut self, snapshot: SnapshotReader) -> Result<(), BoxError> {
        let text = String::from_utf8(snapshot.into_vec()?)?;
        *self.lines.lock().unwrap() = text.lines().map(str::to_owned).collect();
        Ok(())
    }

    async fn query(&mut self, request: Bytes) -> Result<Bytes, BoxError> {
        self.queries.fetch_add(1, Ordering::Relaxed);
        let wanted: usize = std::str::from_utf8(&request)?.parse()?;
        let line = self.lines().get(wanted).cloned().ok_or("no such line")?;
        Ok(Bytes::from(line))
    }
}

/// A transport for a node that is alone.
pub struct NoTransport;

impl Transport for NoTransport {
    fn send(&self, _to: u64, _messages: Vec<Message>) {}
    fn send_snapshot(&self, _to: u64, _message: Message) {}
    fn set_peer(&self, _id: u64, _addr: Option<String>) {}
    fn propose(
        &self,
        _to: u64,
        _entry: Bytes,
        _timeout: Duration,
    ) -> BoxFuture<'static, Result<Bytes, ProposeError>> {
        Box::pin(async { Err(ProposeError::NotLeader { leader: None }) })
    }
    fn change_config(
        &self,
        _to: u64,
        _request: ConfChangeRequest,
        _timeout: Duration,
    ) -> BoxFuture<'static, Result<ChangeReply, MembershipError>> {
        Box::pin(async { Err(MembershipError::NotLeader { leader: None }) })
    }
    fn reserve_id(
        &self,
        _to: u64,
        _raft_addr: String,
        _timeout: Duration,
    ) -> BoxFuture<'static, Result<ClusterJoinTicket, MembershipError>> {
        Box::pin(async { Err(MembershipError::NotLeader { leader: None }) })
    }
    fn shutdown(&self) -> BoxFuture<'static, ()> {
        Box::pin(async {})
    }
}
