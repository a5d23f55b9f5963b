//! Between the framework's types and the service's messages.

use std::time::Duration;

use raft::eraftpb::ConfChangeTransition;

use super::proto;
use crate::membership::{
    ChangeReply, ClusterJoinTicket, ConfChangeRequest, InitialRole, NodeChange, Peer, Peers,
};
use crate::transport::size::message_bytes;
use crate::transport::{Consistency, Frame, NodeStatus, Origin, PeerStatus};

/// Milliseconds for the wire; a wait below one millisecond is one, since 0 means "your default".
pub(crate) fn millis(timeout: Duration) -> u64 {
    u64::try_from(timeout.as_millis())
        .unwrap_or(u64::MAX)
        .max(1)
}

/// The wait that a request asks for: `default` for 0, at most `max`.
pub(crate) fn timeout_from(millis: u64, default: Duration, max: Duration) -> Duration {
    if millis == 0 {
        default
    } else {
        Duration::from_millis(millis).min(max)
    }
}

/// The frame that the inbox takes. A frame without an origin is one of cluster 0, which no node
/// belongs to.
pub(crate) fn frame_from(frame: proto::MessageFrame) -> Frame {
    let size_bytes = frame.messages.iter().map(message_bytes).sum();
    Frame {
        origin: origin_from(&frame.origin.unwrap_or_default()),
        messages: frame.messages,
        size_bytes,
    }
}

/// Who sends, as the inbox checks it.
pub(crate) fn origin_from(origin: &proto::Origin) -> Origin {
    Origin {
        cluster_id: origin.cluster_id,
        group_id: origin.group_id,
        from: origin.from,
        to: origin.to,
        incarnation: origin.incarnation,
        to_incarnation: origin.to_incarnation,
    }
}

/// Who sends, for the wire.
pub(crate) fn origin_to(origin: &Origin) -> proto::Origin {
    proto::Origin {
        cluster_id: origin.cluster_id,
        group_id: origin.group_id,
        from: origin.from,
        to: origin.to,
        incarnation: origin.incarnation,
        to_incarnation: origin.to_incarnation,
    }
}

fn role_to(role: InitialRole) -> proto::PeerRole {
    match role {
        InitialRole::Voter => proto::PeerRole::Voter,
        InitialRole::Learner => proto::PeerRole::Learner,
        InitialRole::Leader => proto::PeerRole::Leader,
    }
}

fn role_from(role: proto::PeerRole) -> InitialRole {
    match role {
        proto::PeerRole::Voter => InitialRole::Voter,
        proto::PeerRole::Learner => InitialRole::Learner,
        proto::PeerRole::Leader => InitialRole::Leader,
    }
}

/// The peers and the cluster that they belong to (0 when not known).
pub(crate) fn peers_to(peers: &Peers) -> (Vec<proto::Peer>, u64) {
    let list = peers
        .iter()
        .map(|(id, peer)| proto::Peer {
            id,
            addr: peer.addr.clone(),
            role: role_to(peer.role).into(),
            incarnation: peer.incarnation,
            promote: peer.promote,
        })
        .collect();
    (list, peers.cluster_id().unwrap_or(0))
}

/// As [`peers_to`], back. A role that this version does not know becomes a voter.
pub(crate) fn peers_from(list: Vec<proto::Peer>, cluster_id: u64) -> Peers {
    let peers: Peers = list
        .into_iter()
        .map(|peer| {
            let role = role_from(peer.role());
            let id = peer.id;
            let peer = Peer {
                addr: peer.addr,
                role,
                incarnation: peer.incarnation,
                promote: peer.promote,
            };
            (id, peer)
        })
        .collect();
    match cluster_id {
        0 => peers,
        known => peers.of_cluster(known),
    }
}

pub(crate) fn ticket_to(ticket: ClusterJoinTicket) -> proto::RequestIdReply {
    let (peers, _) = peers_to(&ticket.peers);
    proto::RequestIdReply {
        reserved_id: ticket.reserved_id,
        raft_addr: ticket.raft_addr,
        leader_id: ticket.leader_id,
        leader_addr: ticket.leader_addr,
        cluster_id: ticket.cluster_id,
        peers,
    }
}

pub(crate) fn ticket_from(reply: proto::RequestIdReply) -> ClusterJoinTicket {
    ClusterJoinTicket {
        reserved_id: reply.reserved_id,
        raft_addr: reply.raft_addr,
        leader_id: reply.leader_id,
        leader_addr: reply.leader_addr,
        cluster_id: reply.cluster_id,
        peers: peers_from(reply.peers, reply.cluster_id),
    }
}

fn change_to(change: &NodeChange) -> proto::NodeChange {
    use proto::node_change::Change;
    let change = match change.clone() {
        NodeChange::AddVoter { id, addr } => Change::AddVoter(proto::AddVoter { id, addr }),
        NodeChange::AddLearner {
            id,
            addr,
            incarnation,
            promote,
        } => Change::AddLearner(proto::AddLearner {
            id,
            addr,
            incarnation,
            promote,
        }),
        NodeChange::Remove { id } => Change::Remove(proto::RemoveNode { id }),
        NodeChange::UpdateAddr { id, addr } => Change::UpdateAddr(proto::UpdateAddr { id, addr }),
    };
    proto::NodeChange {
        change: Some(change),
    }
}

fn change_from(change: proto::NodeChange) -> Result<NodeChange, String> {
    use proto::node_change::Change;
    match change.change {
        Some(Change::AddVoter(add)) => Ok(NodeChange::AddVoter {
            id: add.id,
            addr: add.addr,
        }),
        Some(Change::AddLearner(add)) => Ok(NodeChange::AddLearner {
            id: add.id,
            addr: add.addr,
            incarnation: add.incarnation,
            promote: add.promote,
        }),
        Some(Change::Remove(remove)) => Ok(NodeChange::Remove { id: remove.id }),
        Some(Change::UpdateAddr(update)) => Ok(NodeChange::UpdateAddr {
            id: update.id,
            addr: update.addr,
        }),
        None => Err("a change is empty or of a kind that this version does not know".into()),
    }
}

pub(crate) fn change_request_to(
    request: &ConfChangeRequest,
    timeout: Duration,
    forwarded: bool,
) -> proto::ChangeConfigRequest {
    proto::ChangeConfigRequest {
        changes: request.changes.iter().map(change_to).collect(),
        transition: request.transition.into(),
        timeout_ms: millis(timeout),
        forwarded,
    }
}

/// The request, or what is wrong with it. A kind of change or transition that this version does
/// not know is refused as a whole, never done in part.
pub(crate) fn change_request_from(
    request: proto::ChangeConfigRequest,
) -> Result<ConfChangeRequest, String> {
    let transition = ConfChangeTransition::try_from(request.transition)
        .map_err(|_| format!("no transition has the number {}", request.transition))?;
    let changes: Result<Vec<_>, _> = request.changes.into_iter().map(change_from).collect();
    Ok(ConfChangeRequest {
        changes: changes?,
        transition,
    })
}

pub(crate) fn change_reply_to(reply: ChangeReply) -> proto::ChangeConfigReply {
    let (peers, cluster_id) = peers_to(&reply.peers);
    proto::ChangeConfigReply {
        index: reply.index,
        conf_state: Some(reply.conf_state),
        peers,
        cluster_id,
    }
}

pub(crate) fn change_reply_from(reply: proto::ChangeConfigReply) -> ChangeReply {
    ChangeReply {
        index: reply.index,
        conf_state: reply.conf_state.unwrap_or_default(),
        peers: peers_from(reply.peers, reply.cluster_id),
    }
}

pub(crate) fn consistency_to(consistency: Consistency) -> proto::Consistency {
    match consistency {
        Consistency::Linearizable => proto::Consistency::Linearizable,
        Consistency::Stale => proto::Consistency::Stale,
    }
}

/// An unknown number asks for the stronger promise.
pub(crate) fn consistency_from(consistency: proto::Consistency) -> Consistency {
    match consistency {
        proto::Consistency::Linearizable => Consistency::Linearizable,
        proto::Consistency::Stale => Consistency::Stale,
    }
}

pub(crate) fn status_to(status: NodeStatus) -> proto::NodeStatus {
    proto::NodeStatus {
        node_id: status.node_id,
        cluster_id: status.cluster_id,
        incarnation: status.incarnation,
        role: status.role,
        term: status.term,
        vote: status.vote,
        leader_id: status.leader_id,
        first_index: status.first_index,
        last_index: status.last_index,
        commit_index: status.commit_index,
        applied_index: status.applied_index,
        snapshot_index: status.snapshot_index,
        voters: status.voters,
        voters_outgoing: status.voters_outgoing,
        learners: status.learners,
        uncommitted_bytes: status.uncommitted_bytes,
        waiting_proposals: status.waiting_proposals,
        peers: status.peers.into_iter().map(peer_status_to).collect(),
    }
}

pub(crate) fn status_from(status: proto::NodeStatus) -> NodeStatus {
    NodeStatus {
        node_id: status.node_id,
        cluster_id: status.cluster_id,
        incarnation: status.incarnation,
        role: status.role,
        term: status.term,
        vote: status.vote,
        leader_id: status.leader_id,
        first_index: status.first_index,
        last_index: status.last_index,
        commit_index: status.commit_index,
        applied_index: status.applied_index,
        snapshot_index: status.snapshot_index,
        voters: status.voters,
        voters_outgoing: status.voters_outgoing,
        learners: status.learners,
        uncommitted_bytes: status.uncommitted_bytes,
        waiting_proposals: status.waiting_proposals,
        peers: status.peers.into_iter().map(peer_status_from).collect(),
    }
}

fn peer_status_to(peer: PeerStatus) -> proto::PeerStatus {
    proto::PeerStatus {
        id: peer.id,
        addr: peer.addr,
        state: peer.state,
        matched: peer.matched,
        next: peer.next,
        active: peer.active,
    }
}

fn peer_status_from(peer: proto::PeerStatus) -> PeerStatus {
    PeerStatus {
        id: peer.id,
        addr: peer.addr,
        state: peer.state,
        matched: peer.matched,
        next: peer.next,
        active: peer.active,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_survives_a_round_trip() {
        let request = ConfChangeRequest {
            changes: vec![
                NodeChange::AddVoter {
                    id: 1,
                    addr: "a:1".into(),
                },
                NodeChange::AddLearner {
                    id: 2,
                    addr: "b:2".into(),
                    incarnation: 9,
                    promote: true,
                },
                NodeChange::Remove { id: 3 },
                NodeChange::UpdateAddr {
                    id: 4,
                    addr: "d:4".into(),
                },
            ],
            transition: ConfChangeTransition::Explicit,
        };
        let wire = change_request_to(&request, Duration::from_secs(1), true);
        assert_eq!(change_request_from(wire), Ok(request));
    }

    #[test]
    fn an_unknown_kind_of_change_is_refused_as_a_whole() {
        let wire = proto::ChangeConfigRequest {
            changes: vec![proto::NodeChange { change: None }],
            ..Default::default()
        };
        assert!(change_request_from(wire).is_err());
        let wire = proto::ChangeConfigRequest {
            transition: 77,
            ..Default::default()
        };
        assert!(change_request_from(wire).is_err());
    }

    #[test]
    fn tickets_and_their_peers_survive_a_round_trip() {
        let mut peers = Peers::new().of_cluster(7);
        peers.insert(
            2,
            Peer {
                incarnation: 5,
                promote: true,
                ..Peer::new("x:1", InitialRole::Learner)
            },
        );
        let ticket = ClusterJoinTicket {
            reserved_id: 4,
            raft_addr: "y:2".into(),
            leader_id: 2,
            leader_addr: "x:1".into(),
            cluster_id: 7,
            peers,
        };
        assert_eq!(ticket_from(ticket_to(ticket.clone())), ticket);
    }
}
