//! The progress of a follower against a slow and obvious model: what was sent and not answered is a
//! list of all messages, and everything else is read off it.

use proptest::prelude::*;

use super::{Inflights, Progress, ProgressState};

const MESSAGES_MAX: usize = 4;
const BYTES_MAX: u64 = 40;

/// What a leader does to a follower's progress, in numbers relative to what is known.
#[derive(Clone, Debug)]
enum Step {
    /// Sends so many entries of so many bytes each, if the flow is not paused.
    Send {
        entries: u64,
        bytes: u64,
    },
    /// An acknowledgement of an index so far behind the last entry sent.
    Acknowledge {
        behind: u64,
    },
    /// A rejection of the message after an index so far behind the last sent, with a hint before it.
    Reject {
        behind: u64,
        hint_before: u64,
    },
    /// An answer to a heartbeat, which lets one message pass.
    HeartbeatAnswer,
    Probe,
    Replicate,
    /// A snapshot so far behind or before the next entry.
    Snapshot {
        ahead: u64,
    },
    /// The follower asks for a snapshot up to an index so far behind the last entry sent.
    AsksForSnapshot {
        behind: u64,
    },
    Reset,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..4u64, 0..16u64).prop_map(|(entries, bytes)| Step::Send { entries, bytes }),
        5 => (0..6u64).prop_map(|behind| Step::Acknowledge { behind }),
        2 => (0..6u64, 0..6u64)
            .prop_map(|(behind, hint_before)| Step::Reject { behind, hint_before }),
        2 => Just(Step::HeartbeatAnswer),
        1 => Just(Step::Probe),
        2 => Just(Step::Replicate),
        1 => (0..5u64).prop_map(|ahead| Step::Snapshot { ahead }),
        1 => (0..5u64).prop_map(|behind| Step::AsksForSnapshot { behind }),
        1 => Just(Step::Reset),
    ]
}

/// How the leader talks to the follower, with what only matters then.
#[derive(Clone, Debug)]
enum Talk {
    /// Looks for the place; whether a probe with entries waits for its answer.
    Probe {
        waits: bool,
    },
    /// Sends ahead: the last index and the bytes of each message without answer, and whether the
    /// window was full after the last one and nothing was heard since.
    Replicate {
        unanswered: Vec<(u64, u64)>,
        waits: bool,
    },
    Snapshot {
        index: u64,
    },
}

#[derive(Clone, Debug)]
struct Model {
    acknowledged: u64,
    next: u64,
    talk: Talk,
}

impl Model {
    fn new(next: u64) -> Self {
        Self {
            acknowledged: 0,
            next,
            talk: Talk::Probe { waits: false },
        }
    }

    fn is_paused(&self) -> bool {
        match &self.talk {
            Talk::Probe { waits } | Talk::Replicate { waits, .. } => *waits,
            Talk::Snapshot { .. } => true,
        }
    }

    fn send(&mut self, entries: u64, bytes: u64) {
        match &mut self.talk {
            Talk::Probe { waits } => *waits = *waits || entries > 0,
            Talk::Replicate { unanswered, waits } => {
                if entries > 0 {
                    self.next += entries;
                    unanswered.push((self.next - 1, bytes));
                }
                *waits = is_full(unanswered);
            }
            Talk::Snapshot { .. } => panic!("nothing is sent while a snapshot travels"),
        }
    }

    fn hears(&mut self) {
        match &mut self.talk {
            Talk::Probe { waits } | Talk::Replicate { waits, .. } => *waits = false,
            Talk::Snapshot { .. } => {}
        }
    }

    /// Whether the acknowledgement is news.
    fn acknowledge(&mut self, index: u64) -> bool {
        let news = index > self.acknowledged;
        if news {
            self.acknowledged = index;
            self.next = self.next.max(index + 1);
            self.hears();
        }
        news
    }

    /// Whether the rejection is about what is not known better.
    fn reject(&mut self, rejected: u64, hint: u64) -> bool {
        match self.talk {
            Talk::Replicate { .. } => {
                let counts = rejected > self.acknowledged;
                if counts {
                    self.next = self.acknowledged + 1;
                }
                counts
            }
            Talk::Probe { .. } | Talk::Snapshot { .. } => {
                let counts = rejected == self.next - 1;
                if counts {
                    self.next = rejected.min(hint + 1).max(self.acknowledged + 1);
                    self.hears();
                }
                counts
            }
        }
    }

    fn probe(&mut self) {
        let known = match self.talk {
            Talk::Snapshot { index } => index.max(self.acknowledged),
            Talk::Probe { .. } | Talk::Replicate { .. } => self.acknowledged,
        };
        self.next = known + 1;
        self.talk = Talk::Probe { waits: false };
    }

    fn replicate(&mut self) {
        self.next = self.acknowledged + 1;
        self.talk = Talk::Replicate {
            unanswered: Vec::new(),
            waits: false,
        };
    }
}

fn is_full(unanswered: &[(u64, u64)]) -> bool {
    let bytes: u64 = unanswered.iter().map(|(_, bytes)| bytes).sum();
    unanswered.len() >= MESSAGES_MAX || bytes >= BYTES_MAX
}

/// The leader's way: it frees the window by an acknowledgement only while it replicates.
fn acknowledge(progress: &mut Progress, model: &mut Model, index: u64) -> bool {
    let news = model.acknowledge(index);
    if news && let Talk::Replicate { unanswered, .. } = &mut model.talk {
        unanswered.retain(|(last, _)| *last > index);
    }
    let said = progress.maybe_update(index);
    if said && progress.state == ProgressState::Replicate {
        progress.inflights.free_le(index);
    }
    said == news
}

fn apply(progress: &mut Progress, model: &mut Model, step: Step) -> Result<(), TestCaseError> {
    let last_sent = model.next - 1;
    match step {
        Step::Send { entries, bytes } => {
            // After an answer to a heartbeat a message may pass a full window, but an empty one.
            let full = progress.inflights.full();
            if full {
                prop_assert!(progress.clone().sent_entries(1, bytes).is_err());
            }
            if !model.is_paused() {
                let entries = if full { 0 } else { entries };
                model.send(entries, bytes);
                progress.sent_entries(entries as usize, bytes).unwrap();
            }
        }
        Step::Acknowledge { behind } => {
            let index = last_sent.saturating_sub(behind);
            prop_assert!(acknowledge(progress, model, index));
        }
        Step::Reject {
            behind,
            hint_before,
        } => {
            let rejected = last_sent.saturating_sub(behind);
            let hint = rejected.saturating_sub(hint_before);
            let counts = model.reject(rejected, hint);
            prop_assert_eq!(progress.maybe_decr_to(rejected, hint), counts);
            // The leader goes back to probing then.
            if counts && progress.state == ProgressState::Replicate {
                progress.become_probe();
                model.probe();
            }
        }
        Step::HeartbeatAnswer => {
            model.hears();
            progress.msg_app_flow_paused = false;
        }
        Step::Probe => {
            model.probe();
            progress.become_probe();
        }
        Step::Replicate => {
            model.replicate();
            progress.become_replicate();
        }
        Step::Snapshot { ahead } => {
            let index = model.acknowledged + ahead;
            model.talk = Talk::Snapshot { index };
            model.next = index + 1;
            progress.become_snapshot(index);
        }
        Step::AsksForSnapshot { behind } => {
            let index = last_sent.saturating_sub(behind);
            let news = model.acknowledge(index);
            if let Talk::Replicate { .. } = model.talk {
                model.probe();
            }
            model.hears();
            prop_assert_eq!(progress.note_snapshot_request(index), news);
            prop_assert_eq!(progress.pending_request_snapshot, index);
        }
        Step::Reset => {
            let next = model.next;
            *model = Model::new(next);
            progress.reset(next);
        }
    }
    Ok(())
}

fn compare(progress: &Progress, model: &Model) -> Result<(), TestCaseError> {
    prop_assert_eq!(progress.matched, model.acknowledged);
    prop_assert_eq!(progress.next, model.next);
    prop_assert_eq!(progress.is_paused(), model.is_paused());
    prop_assert!(progress.matched < progress.next);
    let (state, unanswered) = match &model.talk {
        Talk::Probe { .. } => (ProgressState::Probe, &[][..]),
        Talk::Replicate { unanswered, .. } => (ProgressState::Replicate, &unanswered[..]),
        Talk::Snapshot { index } => {
            prop_assert_eq!(progress.pending_snapshot, *index);
            (ProgressState::Snapshot, &[][..])
        }
    };
    prop_assert_eq!(progress.state, state);
    prop_assert_eq!(progress.inflights.count(), unanswered.len());
    prop_assert_eq!(progress.inflights.full(), is_full(unanswered));
    Ok(())
}

proptest! {
    #[test]
    fn the_progress_of_a_follower_is_what_was_sent_to_it_and_answered(
        next in 1..6u64,
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let mut progress = Progress::new(next, Inflights::new(MESSAGES_MAX, BYTES_MAX));
        let mut model = Model::new(next);
        for step in steps {
            apply(&mut progress, &mut model, step)?;
            compare(&progress, &model)?;
        }
    }
}
