//! The commands of etcd's scripts, by name.

use raft::confchange::conf_changes_from_string;
use raft::eraftpb::{ConfChange, ConfChangeTransition, ConfChangeV2, Message, MessageType};

use crate::arguments::{Outcome, node_ids, number_at, value_of, word_at};
use crate::datadriven::Argument;
use crate::environment::Environment;

impl Environment {
    /// Runs one command that stands on a line of its own.
    pub(crate) fn run(&mut self, command: &str, arguments: &[Argument]) -> Outcome {
        match command {
            "_breakpoint" => Ok(()),
            "add-nodes" => self.add_nodes(arguments),
            "campaign" => self.campaign(number_at(arguments, 0)?),
            "compact" => self.compact(arguments),
            "deliver-msgs" => self.deliver_msgs(arguments),
            "forget-leader" => self.forget_leader(number_at(arguments, 0)?),
            "log-level" => self.log_level(arguments),
            "process-append-thread" => self.for_each(
                arguments,
                "processing append thread",
                Self::process_append_thread,
            ),
            "process-apply-thread" => self.for_each(
                arguments,
                "processing apply thread",
                Self::process_apply_thread,
            ),
            "process-ready" => self.for_each(arguments, "handling Ready", Self::process_ready),
            "propose" => self.propose(arguments),
            "raft-log" => self.raft_log(number_at(arguments, 0)?),
            "raft-state" => self.raft_state(),
            "report-unreachable" => self.report_unreachable(arguments),
            "send-snapshot" => self.send_snapshot(arguments),
            "set-randomized-election-timeout" => self.set_election_timeout(arguments),
            "stabilize" => self.stabilize_command(arguments),
            "status" => self.status(number_at(arguments, 0)?),
            "tick-election" => self.tick_election(number_at(arguments, 0)?),
            "tick-heartbeat" => self.tick_heartbeat(number_at(arguments, 0)?),
            "transfer-leadership" => self.transfer_leadership(arguments),
            command => self.run_extra(command, arguments),
        }
    }

    /// Runs a step of every node that is named, under a header when there are several.
    fn for_each(
        &mut self,
        arguments: &[Argument],
        header: &str,
        step: fn(&mut Self, u64) -> Outcome,
    ) -> Outcome {
        let ids = node_ids(arguments)?;
        for &id in &ids {
            if ids.len() > 1 {
                self.output.line(format_args!("> {id} {header}"));
                self.indented(|environment| step(environment, id))?;
            } else {
                step(self, id)?;
            }
        }
        Ok(())
    }

    fn campaign(&mut self, id: u64) -> Outcome {
        let result = self.node(id)?.raw.campaign();
        self.outcome(result)
    }

    /// Entries up to and with the index go; what is left is printed.
    fn compact(&mut self, arguments: &[Argument]) -> Outcome {
        let (id, index) = (number_at(arguments, 0)?, number_at(arguments, 1)?);
        let compacted = self.node(id)?.storage.compact(index);
        compacted.map_err(|error| error.to_string())?;
        self.raft_log(id)
    }

    fn forget_leader(&mut self, id: u64) -> Outcome {
        let result = self.node(id)?.raw.forget_leader();
        self.outcome(result)
    }

    fn log_level(&mut self, arguments: &[Argument]) -> Outcome {
        self.output.set_level(word_at(arguments, 0)?).map(|_| ())
    }

    fn propose(&mut self, arguments: &[Argument]) -> Outcome {
        let data = word_at(arguments, 1)?.as_bytes().to_vec();
        let result = self
            .node(number_at(arguments, 0)?)?
            .raw
            .propose(Vec::new(), data);
        self.outcome(result)
    }

    pub(crate) fn propose_conf_change(&mut self, arguments: &[Argument], input: &str) -> Outcome {
        let id = number_at(arguments, 0)?;
        let (mut first_generation, mut transition) = (false, ConfChangeTransition::Auto);
        for argument in arguments.iter().skip(1) {
            match argument.key.as_str() {
                "v1" => first_generation = argument.parse()?,
                "transition" => transition = parse_transition(argument.single()?)?,
                key => return Err(format!("unknown command {key}")),
            }
        }
        let changes = conf_changes_from_string(input).map_err(|error| error.to_string())?;
        let result = if first_generation {
            let [change] = changes.as_slice() else {
                return Err("v1 conf change can only have one operation".into());
            };
            if transition != ConfChangeTransition::Auto {
                return Err("v1 conf change can have no transition".into());
            }
            let change = ConfChange {
                change_type: change.change_type,
                node_id: change.node_id,
                ..ConfChange::default()
            };
            self.node(id)?.raw.propose_conf_change(Vec::new(), change)
        } else {
            let mut change = ConfChangeV2 {
                changes,
                ..ConfChangeV2::default()
            };
            change.set_transition(transition);
            self.node(id)?.raw.propose_conf_change(Vec::new(), change)
        };
        self.outcome(result)
    }

    fn report_unreachable(&mut self, arguments: &[Argument]) -> Outcome {
        let (id, peer) = (number_at(arguments, 0)?, number_at(arguments, 1)?);
        let result = self.node(id)?.raw.report_unreachable(peer);
        self.outcome(result)
    }

    /// Queues a message with the newest snapshot of one node to another.
    fn send_snapshot(&mut self, arguments: &[Argument]) -> Outcome {
        let (from, to) = (number_at(arguments, 0)?, number_at(arguments, 1)?);
        let node = self.node(from)?;
        let mut message = Message {
            from,
            to,
            term: node.raw.term(),
            snapshot: Some(Box::new(node.storage.newest_state())),
            ..Message::default()
        };
        message.set_msg_type(MessageType::MsgSnapshot);
        self.print_message(&message);
        self.messages.push(message);
        Ok(())
    }

    fn set_election_timeout(&mut self, arguments: &[Argument]) -> Outcome {
        let ticks: usize = value_of(arguments, "timeout")?;
        let node = self.node(number_at(arguments, 0)?)?;
        node.raw.set_randomized_election_timeout(ticks);
        Ok(())
    }

    fn tick_election(&mut self, id: u64) -> Outcome {
        let count = self.node(id)?.config.election_tick;
        self.tick(id, count)
    }

    fn tick_heartbeat(&mut self, id: u64) -> Outcome {
        let count = self.node(id)?.config.heartbeat_tick;
        self.tick(id, count)
    }

    pub(crate) fn tick(&mut self, id: u64, count: usize) -> Outcome {
        for _ in 0..count {
            let result = self.node(id)?.raw.tick();
            self.outcome(result)?;
        }
        Ok(())
    }

    fn transfer_leadership(&mut self, arguments: &[Argument]) -> Outcome {
        let (from, to) = (value_of(arguments, "from")?, value_of(arguments, "to")?);
        let result = self.node(from)?.raw.transfer_leader(to);
        self.outcome(result)
    }
}

fn parse_transition(name: &str) -> Outcome<ConfChangeTransition> {
    match name {
        "auto" => Ok(ConfChangeTransition::Auto),
        "implicit" => Ok(ConfChangeTransition::Implicit),
        "explicit" => Ok(ConfChangeTransition::Explicit),
        name => Err(format!("unknown transition {name}")),
    }
}
