//! Election safety (paper, figure 3 and section 5.2): at most one leader a term, because nobody
//! votes for two candidates in one.

use std::collections::BTreeMap;

use raftify::raft::eraftpb::{Message, MessageType};

use super::Broken;

/// Who led and who voted, by term.
#[derive(Default)]
pub struct ElectionSafety {
    leaders: BTreeMap<u64, u64>,
    votes: BTreeMap<(u64, u64), u64>,
}

impl ElectionSafety {
    /// A message leaves its node. True when it shows a leader that was not known.
    ///
    /// # Errors
    /// Two leaders in one term, or two votes of one node in one term.
    pub fn sent(&mut self, message: &Message) -> Result<bool, Broken> {
        let (from, to, term) = (message.from, message.to, message.term);
        match message.msg_type() {
            MessageType::MsgAppend | MessageType::MsgHeartbeat | MessageType::MsgSnapshot => {
                let known = self.leaders.insert(term, from);
                match known {
                    Some(other) if other != from => {
                        Err(format!("nodes {other} and {from} both lead in term {term}"))
                    }
                    known => Ok(known.is_none()),
                }
            }
            MessageType::MsgRequestVoteResponse if !message.reject => {
                match self.votes.insert((from, term), to) {
                    Some(other) if other != to => Err(format!(
                        "node {from} votes for {other} and for {to} in term {term}"
                    )),
                    _ => Ok(false),
                }
            }
            _ => Ok(false),
        }
    }

    /// How many terms had a leader that spoke.
    pub fn leaders(&self) -> u64 {
        self.leaders.len() as u64
    }
}
