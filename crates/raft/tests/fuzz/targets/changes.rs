//! Changes of the configuration, one after the other.

use prost::Message as _;
use raft::confchange::{
    Changer, conf_changes_from_string, conf_changes_to_string, conf_states_equal, restore,
};
use raft::eraftpb::{ConfChangeSingle, ConfChangeV2};
use raft::tracker::ProgressTracker;

use super::input::Input;

/// Index of the last entry of the log in which the changes are made.
const LAST_INDEX: u64 = 10;

/// Makes the changes that the bytes choose. Whatever is refused leaves no trace; whatever is accepted
/// has voters, gives every member a progress, and is restored from its written form.
pub(crate) fn change_configurations(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(changes) = conf_changes_from_string(text)
    {
        let again = conf_changes_from_string(&conf_changes_to_string(&changes)).unwrap();
        assert_eq!(again, changes);
    }
    if let Ok(change) = ConfChangeV2::decode(bytes) {
        // Of a newer version or not: an answer, no panic.
        let _ = change.enter_joint();
    }
    let mut input = Input::new(bytes);
    let mut tracker = ProgressTracker::new(4, 0);
    while !input.is_empty() {
        one_change(&mut input, &mut tracker);
        check(&tracker);
    }
}

fn one_change(input: &mut Input<'_>, tracker: &mut ProgressTracker) {
    let changer = Changer::new(tracker, LAST_INDEX);
    let kind = input.below(4);
    let changes: Vec<ConfChangeSingle> = (0..input.below(5))
        .map(|_| ConfChangeSingle {
            change_type: i32::from(input.below(5)),
            node_id: input.number(),
        })
        .collect();
    let changed = match kind {
        0 => changer.simple(&changes),
        1 => changer.enter_joint(input.flag(), &changes),
        2 => changer.leave_joint(),
        _ => changer.simple(changes.get(..1).unwrap_or_default()),
    };
    if let Ok((config, progress)) = changed {
        (tracker.config, tracker.progress) = (config, progress);
    }
}

fn check(tracker: &ProgressTracker) {
    let config = &tracker.config;
    let state = tracker.conf_state();
    assert!(state.voters_outgoing.is_empty() || !state.voters.is_empty());
    for (id, progress) in tracker.progress.iter() {
        assert_eq!(progress.is_learner, config.learners.contains(id), "{id}");
        assert!(progress.matched < progress.next, "{id}: {progress}");
    }
    let voters = config.voters.ids();
    for id in voters.iter().chain(config.learners.iter()) {
        assert!(tracker.progress.contains(id), "{id} of {config}");
    }
    let empty = ProgressTracker::new(4, 0);
    let restored = restore(&Changer::new(&empty, LAST_INDEX), &state);
    let (restored, _) = restored.unwrap_or_else(|error| panic!("{state:?}: {error}"));
    assert!(conf_states_equal(&restored.conf_state(), &state));
}
