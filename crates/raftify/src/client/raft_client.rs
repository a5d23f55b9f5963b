//! [`RaftClient`]: a client that finds the leader.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::proposals::ProposalStream;
use super::queries::QueryStream;
use super::retry::{Next, Retry};
use super::route::{Route, Target};
use crate::error::{MembershipError, ProposeError, ReadError, SnapshotError, UnknownCause};
use crate::log_entry::{AbstractLogEntry, AbstractResponse};
use crate::membership::{ChangeReply, ClusterJoinTicket, ConfChangeRequest, Peers};
use crate::transport::grpc::{Backoff, Dialer, GrpcOptions};
use crate::transport::{Consistency, NodeStatus};

/// Times and bounds of a [`RaftClient`].
#[derive(Debug, Clone, PartialEq)]
pub struct ClientOptions {
    /// How long one call may take with all its tries.
    pub timeout: Duration,
    /// The first wait before another try; it doubles, with jitter.
    pub retry_min: Duration,
    /// The longest wait before another try.
    pub retry_max: Duration,
    /// Proposals in flight on one [`ProposalStream`], queries on one [`QueryStream`]; one more
    /// waits. A large one takes several places: one for each 16 KiB.
    pub stream_in_flight_max: usize,
    /// Limits and times of the connections.
    pub grpc: GrpcOptions,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            retry_min: Duration::from_millis(20),
            retry_max: Duration::from_millis(500),
            stream_in_flight_max: 4_096,
            grpc: GrpcOptions::default(),
        }
    }
}

/// A client of a cluster. A cheap clone; all clones share their connections and what they know of
/// the leader.
///
/// A call is tried again, until the deadline, only when the error says that nothing took effect
/// (see `is_retryable` of the errors); an unknown outcome goes to the caller at once.
///
/// # Examples
///
/// ```no_run
/// use raftify::RaftClient;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let client = RaftClient::connect(["127.0.0.1:60061", "127.0.0.1:60062"]).await?;
/// let answer: String = client.propose(&"an entry".to_owned()).await?;
/// println!("{answer}; the leader is node {}", client.status().await?.leader_id);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RaftClient {
    shared: Arc<Shared>,
}

struct Shared {
    options: ClientOptions,
    route: Mutex<Route>,
}

impl RaftClient {
    /// A client of the cluster of which nodes are at `addresses` (`host:port`). Nothing is
    /// connected before the first call.
    pub fn new<A: Into<String>>(
        addresses: impl IntoIterator<Item = A>,
        options: ClientOptions,
    ) -> Self {
        let dialer = Dialer::new(Arc::new(options.grpc.clone()));
        let contacts = addresses.into_iter().map(Into::into).collect();
        Self {
            shared: Arc::new(Shared {
                route: Mutex::new(Route::new(contacts, dialer)),
                options,
            }),
        }
    }

    /// As [`new`](Self::new), and asks a node for the leader and for the other members.
    ///
    /// # Errors
    /// [`MembershipError::Unreachable`] when none of the nodes answers in time.
    pub async fn connect<A: Into<String>>(
        addresses: impl IntoIterator<Item = A>,
    ) -> Result<Self, MembershipError> {
        let client = Self::new(addresses, ClientOptions::default());
        let status = client.status().await?;
        let mut route = client.route();
        let leader = status
            .peers
            .iter()
            .find(|peer| peer.id == status.leader_id && !peer.addr.is_empty());
        if let Some(leader) = leader {
            route.leads(&leader.addr, "");
        }
        route.add_contacts(status.peers.into_iter().map(|peer| peer.addr));
        drop(route);
        Ok(client)
    }

    /// Proposes `entry` and brings back the state machine's answer to it.
    ///
    /// # Errors
    /// See [`ProposeError`]; only errors that are not retryable, or the last one at the deadline.
    pub async fn propose<L: AbstractLogEntry, R: AbstractResponse>(
        &self,
        entry: &L,
    ) -> Result<R, ProposeError> {
        let entry = entry
            .encode_shared()
            .map_err(|error| ProposeError::InvalidEntry(error.to_string()))?;
        let answer = self.propose_bytes(entry).await?;
        // It was applied; only the answer cannot be read here.
        R::decode(&answer).map_err(|_| ProposeError::Unknown(UnknownCause::Answer))
    }

    /// As [`propose`](Self::propose), with encoded entry and answer.
    ///
    /// # Errors
    /// As [`propose`](Self::propose).
    pub async fn propose_bytes(&self, entry: Bytes) -> Result<Bytes, ProposeError> {
        self.tried(ProposeError::NotLeader { leader: None }, |target, left| {
            let entry = entry.clone();
            async move {
                target
                    .remote
                    .propose(entry, left, target.direct, None)
                    .await
            }
        })
        .await
    }

    /// Opens a stream of proposals to the leader, or to a node that forwards to it: many in
    /// flight on one connection. It does not try again by itself.
    ///
    /// # Errors
    /// [`ProposeError::NotLeader`] when no node takes the stream before the deadline.
    pub async fn proposal_stream(&self) -> Result<ProposalStream, ProposeError> {
        let in_flight_max = self.shared.options.stream_in_flight_max;
        self.tried(
            ProposeError::NotLeader { leader: None },
            |target, left| async move {
                ProposalStream::open(&target.remote, in_flight_max, left).await
            },
        )
        .await
    }

    /// Opens a stream of queries to the leader, or to whichever node can be reached: many in
    /// flight on one connection. It does not try again by itself.
    ///
    /// # Errors
    /// [`ReadError::Unreachable`] when no node takes the stream before the deadline.
    pub async fn query_stream(&self) -> Result<QueryStream, ReadError> {
        let in_flight_max = self.shared.options.stream_in_flight_max;
        self.tried(no_node_for_read(), |target, left| async move {
            QueryStream::open(&target.remote, in_flight_max, left).await
        })
        .await
    }

    /// Asks the state machine.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn query(
        &self,
        request: Bytes,
        consistency: Consistency,
    ) -> Result<Bytes, ReadError> {
        self.tried(no_node_for_read(), |target, left| {
            let request = request.clone();
            async move { target.remote.query(request, consistency, left).await }
        })
        .await
    }

    /// Confirms a linearizable read; the answer is the index confirmed.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn read_index(&self) -> Result<u64, ReadError> {
        self.tried(no_node_for_read(), |target, left| async move {
            target.remote.read_index(left).await
        })
        .await
    }

    /// The state of the node that answers (the leader when it is known).
    ///
    /// # Errors
    /// [`MembershipError::Unreachable`] when none does.
    pub async fn status(&self) -> Result<NodeStatus, MembershipError> {
        self.tried(no_node(), |target, _| async move {
            target.remote.status().await
        })
        .await
    }

    /// The address book.
    ///
    /// # Errors
    /// [`MembershipError::Unreachable`] when no node answers.
    pub async fn peers(&self) -> Result<Peers, MembershipError> {
        self.tried(
            no_node(),
            |target, _| async move { target.remote.peers().await },
        )
        .await
    }

    /// Adds addresses to the own book of the node that answers (not replicated).
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub async fn add_peers(&self, peers: &Peers) -> Result<(), MembershipError> {
        self.tried(no_node(), |target, _| async move {
            target.remote.set_peers(peers).await
        })
        .await
    }

    /// Reserves an id for a joiner at `raft_addr`.
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub async fn reserve_id(
        &self,
        raft_addr: impl Into<String>,
    ) -> Result<ClusterJoinTicket, MembershipError> {
        let raft_addr = raft_addr.into();
        self.tried(no_node(), |target, left| {
            let raft_addr = raft_addr.clone();
            async move {
                target
                    .remote
                    .reserve_id(raft_addr, left, target.direct)
                    .await
            }
        })
        .await
    }

    /// Changes the configuration; answers when the change has been applied on the leader.
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub async fn change_config(
        &self,
        request: &ConfChangeRequest,
    ) -> Result<ChangeReply, MembershipError> {
        self.tried(no_node(), |target, left| async move {
            target
                .remote
                .change_config(request, left, target.direct)
                .await
        })
        .await
    }

    /// Leaves the joint configuration.
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub async fn leave_joint(&self) -> Result<(), MembershipError> {
        self.tried(no_node(), |target, left| async move {
            target.remote.leave_joint(left).await
        })
        .await
    }

    /// Hands leadership to the node `to`.
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub async fn transfer_leader(&self, to: u64) -> Result<(), MembershipError> {
        self.tried(no_node(), |target, left| async move {
            target.remote.transfer_leader(to, left).await
        })
        .await
    }

    /// Makes the node that answers start an election; use a client of that node alone.
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub async fn campaign(&self) -> Result<(), MembershipError> {
        self.tried(no_node(), |target, _| async move {
            target.remote.campaign().await
        })
        .await
    }

    /// Makes the node that answers take a snapshot; the answer is the snapshot's index.
    ///
    /// # Errors
    /// See [`SnapshotError`].
    pub async fn create_snapshot(&self) -> Result<u64, SnapshotError> {
        let none = SnapshotError::Failed("no address is known".into());
        self.tried(none, |target, _| async move {
            target.remote.create_snapshot().await
        })
        .await
    }

    /// Tries `call` on the nodes that the route says, until it works, must not be repeated, or
    /// the deadline passes. `none` is the error when there is no address at all.
    async fn tried<T, E, F>(&self, none: E, call: impl Fn(Target, Duration) -> F) -> Result<T, E>
    where
        E: Retry,
        F: Future<Output = Result<T, E>>,
    {
        let options = &self.shared.options;
        let deadline = Instant::now() + options.timeout;
        let mut waits = Backoff::new(options.retry_min, options.retry_max);
        // A round through all nodes comes before the first wait.
        let mut failed_in_a_row = 0;
        loop {
            let (target, contacts) = {
                let mut route = self.route();
                (route.target(), route.len())
            };
            let Some(target) = target else {
                return Err(none);
            };
            let asked = target.remote.addr().to_owned();
            let left = deadline.saturating_duration_since(Instant::now());
            let error = match call(target, left).await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let wait_first = match error.next() {
                Next::Stop => return Err(error),
                Next::Later => true,
                Next::Leader(addr) => {
                    let ask_now = self.route().leads(&addr, &asked);
                    !ask_now
                }
                Next::Elsewhere => {
                    self.route().failed(&asked);
                    failed_in_a_row += 1;
                    failed_in_a_row % contacts.max(1) == 0
                }
            };
            let wait = if wait_first {
                waits.wait()
            } else {
                Duration::ZERO
            };
            if Instant::now() + wait >= deadline {
                return Err(error);
            }
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
        }
    }

    fn route(&self) -> MutexGuard<'_, Route> {
        self.shared
            .route
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn no_node() -> MembershipError {
    MembershipError::Unreachable("no address is known".into())
}

fn no_node_for_read() -> ReadError {
    ReadError::Unreachable("no address is known".into())
}

impl std::fmt::Debug for RaftClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RaftClient")
            .field("options", &self.shared.options)
            .finish_non_exhaustive()
    }
}
