//! What every configuration fulfils, before and after a change.

use super::ConfChangeError;
use crate::tracker::{Configuration, ProgressMap};

/// Checks that every node has exactly one role and a progress that agrees with it.
///
/// The empty configuration is allowed: a cluster begins with it.
pub(super) fn check_invariants(
    config: &Configuration,
    progress: &ProgressMap,
) -> Result<(), ConfChangeError> {
    check_progress(config, progress)?;
    check_learners_next(config, progress)?;
    check_learners(config, progress)?;
    check_joint_only(config)
}

fn check_progress(config: &Configuration, progress: &ProgressMap) -> Result<(), ConfChangeError> {
    let voters = config
        .voters
        .incoming
        .iter()
        .chain(config.voters.outgoing.iter());
    let learners = config.learners.iter().chain(config.learners_next.iter());
    for id in voters.chain(learners) {
        ensure(progress.contains(id), || format!("no progress for {id}"))?;
    }
    for id in progress.ids() {
        ensure(
            config.voters.contains(id) || config.learners.contains(id),
            || format!("progress for {id}, which has no role"),
        )?;
    }
    Ok(())
}

fn check_learners_next(
    config: &Configuration,
    progress: &ProgressMap,
) -> Result<(), ConfChangeError> {
    for id in config.learners_next.iter() {
        ensure(config.voters.outgoing.contains(id), || {
            format!("{id} is in LearnersNext, but not Voters[1]")
        })?;
        ensure(!is_learner(progress, id), || {
            format!("{id} is in LearnersNext, but is already marked as learner")
        })?;
    }
    Ok(())
}

fn check_learners(config: &Configuration, progress: &ProgressMap) -> Result<(), ConfChangeError> {
    for id in config.learners.iter() {
        ensure(!config.voters.outgoing.contains(id), || {
            format!("{id} is in Learners and Voters[1]")
        })?;
        ensure(!config.voters.incoming.contains(id), || {
            format!("{id} is in Learners and Voters[0]")
        })?;
        ensure(is_learner(progress, id), || {
            format!("{id} is in Learners, but is not marked as learner")
        })?;
    }
    Ok(())
}

fn check_joint_only(config: &Configuration) -> Result<(), ConfChangeError> {
    if config.voters.is_joint() {
        return Ok(());
    }
    ensure(config.learners_next.is_empty(), || {
        format!(
            "learners_next={} outside of a joint config",
            config.learners_next
        )
    })?;
    ensure(!config.auto_leave, || {
        "AutoLeave must be false when not joint".to_owned()
    })
}

fn is_learner(progress: &ProgressMap, id: u64) -> bool {
    progress.get(id).is_some_and(|progress| progress.is_learner)
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), ConfChangeError> {
    if holds {
        Ok(())
    } else {
        Err(ConfChangeError::Inconsistent(otherwise()))
    }
}
