//! Changes as short text, for scripts, logs and operators.

use super::ConfChangeError;
use crate::eraftpb::{ConfChangeSingle, ConfChangeType};

/// Reads changes that are separated by spaces: `v1` makes node 1 a voter, `l1` a learner, `r1`
/// removes it and `u1` updates it.
///
/// # Errors
///
/// [`ConfChangeError::Unparsable`] naming the first word that is none of these.
pub fn conf_changes_from_string(text: &str) -> Result<Vec<ConfChangeSingle>, ConfChangeError> {
    text.split_whitespace().map(parse_change).collect()
}

fn parse_change(word: &str) -> Result<ConfChangeSingle, ConfChangeError> {
    let unparsable = |why: &str| ConfChangeError::Unparsable(format!("{why}: {word}"));
    let mut letters = word.chars();
    let change_type = match letters.next() {
        Some('v') => ConfChangeType::AddNode,
        Some('l') => ConfChangeType::AddLearnerNode,
        Some('r') => ConfChangeType::RemoveNode,
        Some('u') => ConfChangeType::UpdateNode,
        Some(_) | None => return Err(unparsable("unknown input")),
    };
    let node_id = letters
        .as_str()
        .parse()
        .map_err(|_| unparsable("no node id"))?;
    Ok(ConfChangeSingle {
        change_type: change_type.into(),
        node_id,
    })
}

/// Prints changes the way [`conf_changes_from_string`] reads them.
pub fn conf_changes_to_string(changes: &[ConfChangeSingle]) -> String {
    let words: Vec<String> = changes
        .iter()
        .map(|change| {
            let letter = match ConfChangeType::try_from(change.change_type) {
                Ok(ConfChangeType::AddNode) => "v",
                Ok(ConfChangeType::AddLearnerNode) => "l",
                Ok(ConfChangeType::RemoveNode) => "r",
                Ok(ConfChangeType::UpdateNode) => "u",
                Err(_) => "unknown",
            };
            format!("{letter}{}", change.node_id)
        })
        .collect();
    words.join(" ")
}

/// Prints changes in words, for log lines: `ConfChangeAddNode(1) ConfChangeRemoveNode(2)`.
pub fn describe(changes: &[ConfChangeSingle]) -> String {
    let words: Vec<String> = changes
        .iter()
        .map(|change| {
            let name = match ConfChangeType::try_from(change.change_type) {
                Ok(ConfChangeType::AddNode) => "ConfChangeAddNode".to_owned(),
                Ok(ConfChangeType::AddLearnerNode) => "ConfChangeAddLearnerNode".to_owned(),
                Ok(ConfChangeType::RemoveNode) => "ConfChangeRemoveNode".to_owned(),
                Ok(ConfChangeType::UpdateNode) => "ConfChangeUpdateNode".to_owned(),
                Err(_) => change.change_type.to_string(),
            };
            format!("{name}({})", change.node_id)
        })
        .collect();
    words.join(" ")
}
