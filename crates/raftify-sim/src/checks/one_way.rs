//! Terms and commit indexes on one disk never go back, and a vote in a term is never changed
//! (paper, figure 2: persistent state).

use raftify::raft::eraftpb::HardState;

use super::Broken;

/// A hard state replaces another on a disk.
///
/// # Errors
/// It goes back, or changes a vote.
pub fn written(node: u64, before: HardState, now: HardState) -> Result<(), Broken> {
    if now.term < before.term {
        return Err(format!(
            "the term on node {node} goes from {} to {}",
            before.term, now.term
        ));
    }
    if now.commit < before.commit {
        return Err(format!(
            "the commit index on node {node} goes from {} to {}",
            before.commit, now.commit
        ));
    }
    if now.term == before.term && before.vote != 0 && now.vote != before.vote {
        return Err(format!(
            "the vote of node {node} in term {} goes from {} to {}",
            now.term, before.vote, now.vote
        ));
    }
    Ok(())
}
