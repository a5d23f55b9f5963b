//! The framework's own replicated state, stored in every snapshot.

use prost::Message as _;

use super::{InitialRole, Peer, Peers};
use crate::error::CodecError;

/// What the framework replicates beside the user's state machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SystemState {
    /// The cluster's identity.
    pub cluster_id: u64,
    /// The highest id ever given out or used; ids are never used twice.
    pub last_id: u64,
    /// The address book.
    pub peers: Peers,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SystemStateProto {
    #[prost(fixed64, tag = "1")]
    cluster_id: u64,
    #[prost(uint64, tag = "2")]
    last_id: u64,
    #[prost(message, repeated, tag = "3")]
    peers: Vec<PeerProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PeerProto {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(string, tag = "2")]
    addr: String,
    #[prost(uint32, tag = "3")]
    role: u32,
    #[prost(fixed64, tag = "4")]
    incarnation: u64,
    #[prost(bool, tag = "5")]
    promote: bool,
}

impl SystemState {
    /// The bytes that snapshots and the store's metadata hold.
    pub fn encode(&self) -> Vec<u8> {
        SystemStateProto {
            cluster_id: self.cluster_id,
            last_id: self.last_id,
            peers: self
                .peers
                .iter()
                .map(|(id, peer)| peer_to_proto(id, peer))
                .collect(),
        }
        .encode_to_vec()
    }

    /// The state that `bytes` hold.
    ///
    /// # Errors
    /// When they do not.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let proto = SystemStateProto::decode(bytes).map_err(CodecError::new)?;
        let mut peers = Peers::new();
        for peer in proto.peers {
            let role = role_from(peer.role)?;
            peers.insert(
                peer.id,
                Peer {
                    addr: peer.addr,
                    role,
                    incarnation: peer.incarnation,
                    promote: peer.promote,
                },
            );
        }
        Ok(Self {
            cluster_id: proto.cluster_id,
            last_id: proto.last_id,
            peers,
        })
    }
}

fn peer_to_proto(id: u64, peer: &Peer) -> PeerProto {
    let role = match peer.role {
        InitialRole::Voter => 0,
        InitialRole::Learner => 1,
        InitialRole::Leader => 2,
    };
    PeerProto {
        id,
        addr: peer.addr.clone(),
        role,
        incarnation: peer.incarnation,
        promote: peer.promote,
    }
}

fn role_from(number: u32) -> Result<InitialRole, CodecError> {
    match number {
        0 => Ok(InitialRole::Voter),
        1 => Ok(InitialRole::Learner),
        2 => Ok(InitialRole::Leader),
        other => Err(CodecError::text(format!("no role has the number {other}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_survives_a_round_trip() {
        let mut peers = Peers::new();
        peers.insert(
            3,
            Peer {
                incarnation: 9,
                promote: true,
                ..Peer::new("a:1", InitialRole::Learner)
            },
        );
        peers.add_peer(1, "b:2");
        let state = SystemState {
            cluster_id: 7,
            last_id: 3,
            peers,
        };
        assert_eq!(SystemState::decode(&state.encode()).unwrap(), state);
    }

    #[test]
    fn damaged_bytes_are_an_error() {
        assert!(SystemState::decode(&[0xff, 0xff]).is_err());
    }
}
