//! Nothing is promised that is not durable (paper, section 5.6; thesis, section 3.8): an
//! acknowledged entry, a term and a vote are on the disk before the message that tells of them
//! leaves.

use raftify::raft::eraftpb::{Message, MessageType};

use super::{Broken, Disks};

/// A message leaves its node.
///
/// # Errors
/// What it promises is not on the node's disk.
pub fn sent(disks: &Disks, message: &Message) -> Result<(), Broken> {
    let node = message.from;
    let state = disks.state(node);
    let kind = message.msg_type();
    let (term, vote) = (state.hard_state.term, state.hard_state.vote);
    match kind {
        MessageType::MsgAppendResponse if !message.reject => {
            // A later leader may have replaced, in the same batch, what is acknowledged to an
            // earlier one: as if it had been written and then replaced.
            if term == message.term && state.last_index < message.index {
                return Err(format!(
                    "node {node} acknowledges {} with a disk that ends at {}",
                    message.index, state.last_index
                ));
            }
        }
        MessageType::MsgRequestVoteResponse if !message.reject => {
            if term < message.term || (term == message.term && vote != message.to) {
                return Err(format!(
                    "node {node} votes for {} in term {}, its disk says term {term} and vote {vote}",
                    message.to, message.term
                ));
            }
        }
        MessageType::MsgRequestVote => {
            if term < message.term || (term == message.term && vote != node) {
                return Err(format!(
                    "node {node} asks for votes in term {}, its disk says term {term} and vote \
                     {vote}",
                    message.term
                ));
            }
        }
        _ => return Ok(()),
    }
    if term < message.term {
        return Err(format!(
            "node {node} sends {kind:?} of term {}, its disk says term {term}",
            message.term
        ));
    }
    Ok(())
}
