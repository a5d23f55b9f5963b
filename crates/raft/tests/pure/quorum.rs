//! The commands of the `quorum` scripts.
//!
//! - `committed cfg=(1,2) [cfgj=(2,3)] idx=(5,_,7) [groups=(1,1,2)]` draws the acknowledged indexes
//!   and prints the committed one; with `groups`, also whether the commit groups decided it.
//! - `vote cfg=(1,2) [cfgj=(2,3)] votes=(y,n,_)` prints how the vote stands.
//!
//! `idx`, `votes` and `groups` belong to the voters in the order in which they first appear; `_` is a
//! voter of which nothing is known. `cfgj=zero` asks for a joint configuration with an empty half.
//!
//! Every command also computes the answer in other ways that must agree, and prints a line for each
//! that does not.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use raft::quorum::{AckedIndexer, JointConfig, MajorityConfig, VoteResult, index_to_string};

use crate::datadriven::Directive;

pub(crate) fn run(directive: &Directive) -> String {
    let answer = Voters::read(directive).and_then(|voters| match directive.command.as_str() {
        "committed" => committed(directive, &voters),
        "vote" => vote(directive, &voters),
        other => Err(format!("unknown command: {other}")),
    });
    answer.unwrap_or_else(|error| format!("error: {error}\n"))
}

/// The configuration of one command.
struct Voters {
    incoming: Vec<u64>,
    /// `None` when the command has no second half, not even an empty one.
    outgoing: Option<Vec<u64>>,
}

impl Voters {
    fn read(directive: &Directive) -> Result<Self, String> {
        for argument in &directive.arguments {
            if !["cfg", "cfgj", "idx", "votes", "groups"].contains(&argument.key.as_str()) {
                return Err(format!("unknown arg {}", argument.key));
            }
        }
        let incoming = directive.argument("cfg");
        let outgoing = directive.argument("cfgj").map(|argument| {
            if argument.values == ["zero"] {
                return Ok(Vec::new());
            }
            argument.parse_all()
        });
        Ok(Self {
            incoming: incoming.map_or(Ok(Vec::new()), |argument| argument.parse_all())?,
            outgoing: outgoing.transpose()?,
        })
    }

    fn joint(&self) -> JointConfig {
        let outgoing = self.outgoing.clone().unwrap_or_default();
        JointConfig::new(
            self.incoming.iter().copied().collect(),
            outgoing.into_iter().collect(),
        )
    }

    /// The same configuration with its halves interchanged.
    fn swapped(&self) -> JointConfig {
        let joint = self.joint();
        JointConfig::new(joint.outgoing, joint.incoming)
    }

    /// What the argument `key` says about each voter, `_` and zeros left out.
    fn values<T>(
        &self,
        directive: &Directive,
        key: &str,
        read: impl Fn(&str) -> Result<Option<T>, String>,
    ) -> Result<BTreeMap<u64, T>, String> {
        let words = directive
            .argument(key)
            .map_or(&[][..], |argument| argument.values.as_slice());
        let mut ids: Vec<u64> = Vec::new();
        for id in self.incoming.iter().chain(self.outgoing.iter().flatten()) {
            if !ids.contains(id) {
                ids.push(*id);
            }
        }
        if ids.len() != words.len() {
            return Err(format!(
                "mismatched input (explicit or _) for voters {ids:?}: {words:?}"
            ));
        }
        let mut values = BTreeMap::new();
        for (id, word) in ids.into_iter().zip(words) {
            if let Some(value) = read(word)? {
                values.insert(id, value);
            }
        }
        Ok(values)
    }
}

fn read_index(word: &str) -> Result<Option<u64>, String> {
    match word {
        "_" => Ok(None),
        "0" => Err("cannot use 0 as idx".to_owned()),
        number => number
            .parse()
            .map(Some)
            .map_err(|error| format!("{number}: {error}")),
    }
}

fn read_vote(word: &str) -> Result<Option<bool>, String> {
    match word {
        "y" => Ok(Some(true)),
        "n" => Ok(Some(false)),
        "_" => Ok(None),
        other => Err(format!("unknown vote: {other}")),
    }
}

/// Acknowledged indexes together with commit groups.
struct Grouped<'a> {
    indexes: &'a BTreeMap<u64, u64>,
    groups: BTreeMap<u64, u64>,
}

impl AckedIndexer for Grouped<'_> {
    fn acked_index(&self, voter: u64) -> Option<u64> {
        self.indexes.get(&voter).copied()
    }

    fn commit_group(&self, voter: u64) -> u64 {
        self.groups.get(&voter).copied().unwrap_or(0)
    }
}

fn committed(directive: &Directive, voters: &Voters) -> Result<String, String> {
    let indexes = voters.values(directive, "idx", read_index)?;
    if directive.argument("groups").is_some() {
        let groups = voters.values(directive, "groups", read_index)?;
        let indexes = &indexes;
        return Ok(committed_by_group(voters, &Grouped { indexes, groups }));
    }
    let joint = voters.joint();
    let mut output;
    let index = if voters.outgoing.is_some() {
        output = joint.describe(&indexes);
        joint.committed_index(&indexes)
    } else {
        output = joint.incoming.describe(&indexes);
        let index = joint.incoming.committed_index(&indexes);
        compare_majority(&mut output, &joint.incoming, &indexes, index);
        index
    };
    expect(
        &mut output,
        "symmetry",
        index,
        voters.swapped().committed_index(&indexes),
    );
    let _ = writeln!(output, "{}", index_to_string(index));
    Ok(output)
}

fn committed_by_group(voters: &Voters, acked: &Grouped<'_>) -> String {
    let joint = voters.joint();
    let (index, by_group) = joint.committed_index_by_group(acked);
    let mut output = joint.describe(acked);
    let (swapped, _) = voters.swapped().committed_index_by_group(acked);
    expect(&mut output, "symmetry", index, swapped);
    let how = if by_group { "by group" } else { "not by group" };
    let _ = writeln!(output, "{} {how}", index_to_string(index));
    output
}

fn expect(output: &mut String, way: &str, index: u64, other: u64) {
    if index != other {
        let _ = writeln!(output, "{} <-- via {way}", index_to_string(other));
    }
}

/// Other computations of the same index.
fn compare_majority(
    output: &mut String,
    config: &MajorityConfig,
    indexes: &BTreeMap<u64, u64>,
    index: u64,
) {
    expect(
        output,
        "alternative computation",
        index,
        slow_committed_index(config, indexes),
    );
    let zero_joint = JointConfig::new(config.clone(), MajorityConfig::new());
    expect(
        output,
        "zero-joint quorum",
        index,
        zero_joint.committed_index(indexes),
    );
    let self_joint = JointConfig::new(config.clone(), config.clone());
    expect(
        output,
        "self-joint quorum",
        index,
        self_joint.committed_index(indexes),
    );
    // A voter that is already below the committed index may fall further without changing it.
    for (id, acked) in indexes.iter().filter(|(_, acked)| **acked < index) {
        for lower in [acked - 1, 0] {
            let mut lowered = indexes.clone();
            lowered.insert(*id, lower);
            let way = format!("overlaying {id}->{lower}");
            expect(output, &way, index, config.committed_index(&lowered));
        }
    }
}

/// The definition itself: the highest acknowledged index that a majority has reached.
fn slow_committed_index(config: &MajorityConfig, indexes: &BTreeMap<u64, u64>) -> u64 {
    if config.is_empty() {
        return u64::MAX;
    }
    let reached = |index: &u64| {
        let voters = config
            .iter()
            .filter(|id| indexes.get(id).is_some_and(|acked| acked >= index));
        voters.count() > config.len() / 2
    };
    indexes.values().copied().filter(reached).max().unwrap_or(0)
}

fn vote(directive: &Directive, voters: &Voters) -> Result<String, String> {
    let votes = voters.values(directive, "votes", read_vote)?;
    let vote_of = |id| votes.get(&id).copied();
    let mut output = String::new();
    let joint = voters.joint();
    let result = if voters.outgoing.is_some() {
        joint.vote_result(vote_of)
    } else {
        joint.incoming.vote_result(vote_of)
    };
    expect_vote(
        &mut output,
        "symmetry",
        result,
        voters.swapped().vote_result(vote_of),
    );
    let _ = writeln!(output, "{result}");
    Ok(output)
}

fn expect_vote(output: &mut String, way: &str, result: VoteResult, other: VoteResult) {
    if result != other {
        let _ = writeln!(output, "{other} <-- via {way}");
    }
}
