//! The commands that the scripts of etcd do not have.

use raft::SnapshotStatus;
use raft::eraftpb::Entry;

use crate::arguments::{Outcome, node_ids, number_at, value_of, word_at};
use crate::datadriven::Argument;
use crate::environment::Environment;

impl Environment {
    pub(crate) fn run_extra(&mut self, command: &str, arguments: &[Argument]) -> Outcome {
        match command {
            "assign-commit-groups" => self.assign_commit_groups(arguments),
            "bounds" => self.bounds(number_at(arguments, 0)?),
            "enable-group-commit" => {
                let enable = value_of(arguments, "enable")?;
                let result = self
                    .node(number_at(arguments, 0)?)?
                    .raw
                    .enable_group_commit(enable);
                self.outcome(result)
            }
            "entries-fetched" => self.entries_fetched(arguments),
            "explain-errors" => {
                self.explains_errors = true;
                Ok(())
            }
            "fetch-entries-later" => {
                let later = value_of(arguments, "later")?;
                self.node(number_at(arguments, 0)?)?
                    .storage
                    .set_fetches_later(later);
                Ok(())
            }
            "make-snapshots-later" => {
                let later = value_of(arguments, "later")?;
                self.node(number_at(arguments, 0)?)?
                    .storage
                    .set_snapshot_later(later);
                Ok(())
            }
            "ping" => {
                let result = self.node(number_at(arguments, 0)?)?.raw.ping();
                self.outcome(result)
            }
            "propose-entries" => self.propose_entries(arguments),
            "read-index" => self.read_index(arguments),
            "report-snapshot" => self.report_snapshot(arguments),
            "request-snapshot" => {
                let result = self.node(number_at(arguments, 0)?)?.raw.request_snapshot();
                self.outcome(result)
            }
            "resign" => {
                let result = self.node(number_at(arguments, 0)?)?.raw.resign();
                self.outcome(result)
            }
            "restart" => self.node(number_at(arguments, 0)?)?.restart(),
            "set-priority" => {
                let priority = value_of(arguments, "priority")?;
                self.node(number_at(arguments, 0)?)?
                    .raw
                    .set_priority(priority);
                Ok(())
            }
            "tick" => {
                let count = usize::try_from(number_at(arguments, 1)?).map_err(|e| e.to_string())?;
                self.tick(number_at(arguments, 0)?, count)
            }
            _ => Err("unknown command".into()),
        }
    }

    /// `assign-commit-groups ID group=(NODE,...) group=(NODE,...)`: groups are numbered from 1.
    fn assign_commit_groups(&mut self, arguments: &[Argument]) -> Outcome {
        let mut groups = Vec::new();
        for (number, argument) in (1..).zip(arguments.iter().filter(|a| a.key == "group")) {
            let members: Vec<u64> = argument.parse_all()?;
            groups.extend(members.into_iter().map(|member| (member, number)));
        }
        let [id] = node_ids(arguments)?[..] else {
            return Err("one node is needed".into());
        };
        let result = self.node(id)?.raw.assign_commit_groups(&groups);
        self.outcome(result)
    }

    /// Prints how far a node is and what it holds back.
    fn bounds(&mut self, id: u64) -> Outcome {
        let raw = &self.node(id)?.raw;
        let text = format!(
            "commit={} applied={} last={} uncommitted-bytes={}",
            raw.commit_index(),
            raw.applied_index(),
            raw.last_index(),
            raw.uncommitted_bytes()
        );
        self.output.line(text);
        Ok(())
    }

    fn entries_fetched(&mut self, arguments: &[Argument]) -> Outcome {
        let (id, to) = (number_at(arguments, 0)?, number_at(arguments, 1)?);
        let result = self.node(id)?.raw.on_entries_fetched(to);
        self.outcome(result)
    }

    /// Proposes several entries in one call and prints the positions that they got.
    fn propose_entries(&mut self, arguments: &[Argument]) -> Outcome {
        let id = number_at(arguments, 0)?;
        let data = arguments
            .iter()
            .skip(1)
            .map(|argument| argument.key.as_bytes().to_vec());
        let entries = data
            .map(|data| Entry {
                data: data.into(),
                ..Entry::default()
            })
            .collect();
        match self.node(id)?.raw.propose_entries(entries) {
            Ok(proposed) => {
                let (first, last) = (proposed.first_index, proposed.last_index);
                self.output.line(format_args!(
                    "term={} indexes={first}..={last}",
                    proposed.term
                ));
                Ok(())
            }
            Err(error) => Err(self.describe_error(&error)),
        }
    }

    fn read_index(&mut self, arguments: &[Argument]) -> Outcome {
        let context = word_at(arguments, 1)?.as_bytes().to_vec();
        let result = self.node(number_at(arguments, 0)?)?.raw.read_index(context);
        self.outcome(result)
    }

    fn report_snapshot(&mut self, arguments: &[Argument]) -> Outcome {
        let (id, peer) = (number_at(arguments, 0)?, number_at(arguments, 1)?);
        let status = match value_of::<String>(arguments, "status")?.as_str() {
            "finish" => SnapshotStatus::Finish,
            "failure" => SnapshotStatus::Failure,
            status => return Err(format!("unknown snapshot status {status}")),
        };
        let result = self.node(id)?.raw.report_snapshot(peer, status);
        self.outcome(result)
    }
}
