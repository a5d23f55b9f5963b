//! Rebuilds a configuration from its written form.

use super::{Changed, Changer, ConfChangeError};
use crate::eraftpb::{ConfChangeSingle, ConfChangeType, ConfState};

/// Rebuilds the configuration that `state` describes, on top of the changer's empty configuration.
///
/// The configuration is reached by the same steps that a running cluster takes, so a restored node
/// holds exactly what its peers hold: first the outgoing voters one by one, then a joint change that
/// removes them and adds what is in force.
///
/// # Errors
///
/// When `state` contradicts itself, for example with a node that is voter and learner at once.
pub fn restore(changer: &Changer<'_>, state: &ConfState) -> Result<Changed, ConfChangeError> {
    let (outgoing, incoming) = to_changes(state);
    let mut tracker = changer.tracker().clone();
    let last_index = changer.last_index();

    let one_by_one = if outgoing.is_empty() {
        &incoming
    } else {
        &outgoing
    };
    for change in one_by_one {
        let step = Changer::new(&tracker, last_index).simple(std::slice::from_ref(change))?;
        (tracker.config, tracker.progress) = step;
    }
    if !outgoing.is_empty() {
        let step = Changer::new(&tracker, last_index).enter_joint(state.auto_leave, &incoming)?;
        (tracker.config, tracker.progress) = step;
    }

    let restored = tracker.conf_state();
    if !conf_states_equal(&restored, state) {
        return Err(ConfChangeError::Inconsistent(format!(
            "{state:?} restores to {restored:?}"
        )));
    }
    Ok((tracker.config, tracker.progress))
}

/// Whether two written configurations mean the same; the order of the ids does not matter.
pub fn conf_states_equal(left: &ConfState, right: &ConfState) -> bool {
    same_ids(&left.voters, &right.voters)
        && same_ids(&left.learners, &right.learners)
        && same_ids(&left.voters_outgoing, &right.voters_outgoing)
        && same_ids(&left.learners_next, &right.learners_next)
        && left.auto_leave == right.auto_leave
}

fn same_ids(left: &[u64], right: &[u64]) -> bool {
    let sorted = |ids: &[u64]| {
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids
    };
    left == right || sorted(left) == sorted(right)
}

/// The changes that build the outgoing voters, and those that lead from there to the state.
fn to_changes(state: &ConfState) -> (Vec<ConfChangeSingle>, Vec<ConfChangeSingle>) {
    let outgoing = changes(ConfChangeType::AddNode, &state.voters_outgoing).collect();
    let incoming = changes(ConfChangeType::RemoveNode, &state.voters_outgoing)
        .chain(changes(ConfChangeType::AddNode, &state.voters))
        .chain(changes(ConfChangeType::AddLearnerNode, &state.learners))
        .chain(changes(
            ConfChangeType::AddLearnerNode,
            &state.learners_next,
        ))
        .collect();
    (outgoing, incoming)
}

fn changes(
    change_type: ConfChangeType,
    ids: &[u64],
) -> impl Iterator<Item = ConfChangeSingle> + '_ {
    ids.iter().map(move |id| ConfChangeSingle {
        change_type: change_type.into(),
        node_id: *id,
    })
}
