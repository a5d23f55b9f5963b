//! Whether a cluster of ours and a cluster of theirs agree, event by event.
//!
//! After every event of a [schedule], both clusters must show the same of every node: term, vote,
//! role, leader, commit index, last entry, configuration, and the digest of all that is applied.
//!
//! # What is evened out
//!
//! Where theirs leaves something to its application that ours does by itself, the driver of theirs
//! does it, so that schedules go on:
//!
//! - **The entry that leaves a joint configuration is sent at once.** Theirs appends it and lets the
//!   next proposal, commit or heartbeat carry it along; ours (as etcd) proposes it as any other entry.
//!   [`Theirs`](crate::theirs::Theirs) broadcasts after it.
//! - **Only voters are asked to campaign.** Theirs would let learners and strangers campaign when its
//!   application asks for it; ours refuses.
//! - **Election timeouts** are set on both: theirs draws them from the thread's generator.
//!
//! # Where they differ
//!
//! A [`Difference`] ends the schedule: what follows two different histories cannot be compared. Each
//! has a condition of its own that must hold at that very event; anything else is a failure.

use std::any::Any;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use raft::StateRole;

use crate::cluster::{Cluster, Kind};
use crate::member::{Settings, View};
use crate::rng::Rng;
use crate::schedule::{Event, Menu, schedule};

/// A difference that is known, with its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    /// Theirs panics: a leader that has applied its own removal commits what is behind it.
    ///
    /// Its `maybe_commit` looks up the leader's own progress, which is gone with its membership, and
    /// unwraps `None`. Ours commits by the others' acknowledgements.
    LeaderRemoved,
    /// Theirs leaves a joint configuration while leadership is being transferred.
    ///
    /// It appends the entry past the check that drops all proposals during a transfer. The
    /// transferee, which had the whole log, then lacks an entry of the leader, and can lose the
    /// election that it was asked to hold. Ours (as etcd) proposes to leave once the transfer is over.
    LeftJointInTransfer,
    /// Theirs commits what a vote request or a refused vote says is committed.
    ///
    /// Ours takes over a commit index from a refused vote only, and only if a change of the
    /// configuration lies before it: that is where an election could be blocked for ever. Otherwise
    /// it waits for the next leader, as etcd does.
    CommitByVote,
}

/// How a schedule has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Both agreed to the end.
    Agreed {
        /// The entries that were committed.
        committed: u64,
    },
    /// Both agreed up to a known difference.
    Ended {
        /// The event at which it showed.
        event: usize,
        /// What it is.
        difference: Difference,
    },
}

type Views = BTreeMap<u64, View>;

/// The settings of a seed.
pub fn settings(seed: u64) -> Settings {
    let mut rng = Rng::new(!seed);
    Settings {
        check_quorum: rng.chance(50),
        pre_vote: rng.chance(50),
        append_bytes_max: [0, 60, 1 << 20][rng.below(3) as usize],
    }
}

/// Runs the schedule of a seed on both.
///
/// # Errors
///
/// A text that shows where they differ without a known reason.
///
/// # Panics
///
/// When a safety property is broken, see [`Cluster::happen`].
pub fn lock_step(seed: u64, events: usize, menu: Menu) -> Result<Outcome, String> {
    let settings = settings(seed);
    let mut ours = Cluster::new(settings, |_| Kind::Ours);
    let mut theirs = Cluster::new(settings, |_| Kind::Theirs);
    for (number, event) in schedule(seed, events, menu).iter().enumerate() {
        ours.happen(event);
        let panic = quietly(|| theirs.happen(event)).err();
        let (our_views, their_views) = (ours.views(), theirs.views());
        if panic.is_none() && our_views == their_views {
            continue;
        }
        let left_in_transfer = theirs.left_joint_in_transfer();
        let known = match &panic {
            Some(panic) => panicked_as_known(panic.as_ref(), &their_views),
            None if left_in_transfer => Some(Difference::LeftJointInTransfer),
            None => only_commits_by_votes(&our_views, &their_views),
        };
        return match known {
            Some(difference) => Ok(Outcome::Ended {
                event: number,
                difference,
            }),
            None => Err(describe(
                number,
                event,
                &our_views,
                &their_views,
                panic.as_deref(),
            )),
        };
    }
    assert_eq!(ours.decided, theirs.decided, "the committed logs differ");
    Ok(Outcome::Agreed {
        committed: ours.decided.len() as u64,
    })
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Catches a panic, without the lines that it would print.
///
/// # Errors
///
/// The panic.
pub fn quietly<T>(run: impl FnOnce() -> T) -> Result<T, Box<dyn Any + Send>> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !QUIET.get() {
                usual(panic);
            }
        }));
    });
    QUIET.set(true);
    let result = catch_unwind(AssertUnwindSafe(run));
    QUIET.set(false);
    result
}

/// The text of a panic.
pub fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
        .unwrap_or_default()
}

fn panicked_as_known(panic: &(dyn Any + Send), theirs: &Views) -> Option<Difference> {
    let unwraps_none = panic_text(panic).contains("`Option::unwrap()` on a `None` value");
    let stranger_leads = theirs
        .iter()
        .any(|(id, view)| view.role == StateRole::Leader && !is_member(*id, view));
    (unwraps_none && stranger_leads).then_some(Difference::LeaderRemoved)
}

fn is_member(id: u64, view: &View) -> bool {
    let conf_state = &view.conf_state;
    conf_state.voters.contains(&id)
        || conf_state.learners.contains(&id)
        || conf_state.voters_outgoing.contains(&id)
}

/// Whether nothing differs but what is committed, and that on nodes of theirs that are ahead and know
/// no leader.
fn only_commits_by_votes(ours: &Views, theirs: &Views) -> Option<Difference> {
    let explained = ours.iter().all(|(id, our)| {
        let Some(their) = theirs.get(id) else {
            return false;
        };
        let but_for_commits = View {
            commit: our.commit,
            applied: our.applied,
            conf_state: our.conf_state.clone(),
            role: our.role,
            ..their.clone()
        };
        let ahead = their.commit > our.commit && their.leader == 0;
        our == their || (ahead && *our == but_for_commits)
    });
    explained.then_some(Difference::CommitByVote)
}

fn describe(
    number: usize,
    event: &Event,
    ours: &Views,
    theirs: &Views,
    panic: Option<&(dyn Any + Send)>,
) -> String {
    let mut text = format!("event {number}, {event:?}:\n");
    if let Some(panic) = panic {
        text += &format!("theirs panics: {}\n", panic_text(panic));
    }
    for (id, our) in ours {
        match theirs.get(id) {
            Some(their) if our != their => {
                text += &format!("node {id}\n  ours   {our:?}\n  theirs {their:?}\n");
            }
            Some(_) | None => {}
        }
    }
    text
}
