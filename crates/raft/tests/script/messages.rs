//! The network of a script: `deliver-msgs` and `stabilize`.

use raft::eraftpb::Message;
use raft::formatter::{DefaultFormatter, describe_message, message_type_name};
use raft::{LOCAL_APPEND_THREAD, LOCAL_APPLY_THREAD};

use crate::arguments::{Outcome, node_ids};
use crate::datadriven::Argument;
use crate::environment::Environment;

/// More rounds than any script needs; a cluster that never comes to rest is an error.
const ROUNDS_MAX: usize = 10_000;

/// Whose messages to take, and whether they are lost.
struct Recipient {
    id: u64,
    drops: bool,
}

impl Environment {
    pub(crate) fn print_message(&mut self, message: &Message) {
        self.output
            .line(describe_message(message, &DefaultFormatter));
    }

    pub(crate) fn deliver_msgs(&mut self, arguments: &[Argument]) -> Outcome {
        let mut kind = None;
        let mut recipients = Vec::new();
        for argument in arguments {
            match argument.key.as_str() {
                "drop" => {
                    let ids: Vec<u64> = argument.parse_all()?;
                    if let Some(id) = ids.iter().find(|&&id| is_delivered(&recipients, id)) {
                        return Err(format!("can't both deliver and drop msgs to {id}"));
                    }
                    recipients.extend(ids.into_iter().map(|id| Recipient { id, drops: true }));
                }
                "type" => kind = Some(argument.single()?),
                key => {
                    let id = key
                        .parse()
                        .map_err(|_| format!("{key:?} is not a node id"))?;
                    recipients.push(Recipient { id, drops: false });
                }
            }
        }
        let mut count = 0;
        for recipient in &recipients {
            count += self.deliver_to(recipient, kind)?;
        }
        if count == 0 {
            self.output.line("no messages");
        }
        Ok(())
    }

    /// Delivers or drops the messages for a node; returns their number.
    fn deliver_to(&mut self, recipient: &Recipient, kind: Option<&str>) -> Outcome<usize> {
        let is_taken = |message: &Message| {
            message.to == recipient.id
                && !(recipient.drops && is_local(message))
                && kind.is_none_or(|kind| message_type_name(message.msg_type()) == kind)
        };
        let (taken, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.messages)
            .into_iter()
            .partition(is_taken);
        self.messages = rest;
        let count = taken.len();
        for message in taken {
            if recipient.drops {
                self.output.write("dropped: ");
            }
            self.print_message(&message);
            if !recipient.drops {
                let result = self.node(recipient.id)?.raw.step(message);
                if let Err(error) = self.outcome(result) {
                    self.output.line(error);
                }
            }
        }
        Ok(count)
    }

    pub(crate) fn stabilize_command(&mut self, arguments: &[Argument]) -> Outcome {
        let level = match arguments
            .iter()
            .find(|argument| argument.key == "log-level")
        {
            Some(argument) => Some(self.output.set_level(argument.single()?)?),
            None => None,
        };
        let mut ids = node_ids(arguments)?;
        if ids.is_empty() {
            ids = self.nodes.iter().map(|node| node.id()).collect();
        }
        let result = self.stabilize(&ids);
        if let Some(level) = level {
            self.output.restore_level(level);
        }
        result
    }

    /// Handles Readys, messages and storage work of these nodes until there are none.
    fn stabilize(&mut self, ids: &[u64]) -> Outcome {
        for _ in 0..ROUNDS_MAX {
            let mut at_rest = true;
            for step in [
                Self::stabilize_ready,
                Self::stabilize_messages,
                Self::stabilize_append_thread,
                Self::stabilize_apply_thread,
            ] {
                for &id in ids {
                    at_rest &= !step(self, id)?;
                }
            }
            if at_rest {
                return Ok(());
            }
        }
        Err(format!(
            "the nodes did not come to rest within {ROUNDS_MAX} rounds"
        ))
    }

    fn stabilize_ready(&mut self, id: u64) -> Outcome<bool> {
        if !self.node(id)?.raw.has_ready() {
            return Ok(false);
        }
        self.output.line(format_args!("> {id} handling Ready"));
        self.indented(|environment| environment.process_ready(id))?;
        Ok(true)
    }

    fn stabilize_messages(&mut self, id: u64) -> Outcome<bool> {
        if !self.messages.iter().any(|message| message.to == id) {
            return Ok(false);
        }
        self.output.line(format_args!("> {id} receiving messages"));
        let recipient = Recipient { id, drops: false };
        self.indented(|environment| environment.deliver_to(&recipient, None))?;
        Ok(true)
    }

    fn stabilize_append_thread(&mut self, id: u64) -> Outcome<bool> {
        if self.node(id)?.append_work.is_empty() {
            return Ok(false);
        }
        self.output
            .line(format_args!("> {id} processing append thread"));
        while !self.node(id)?.append_work.is_empty() {
            self.indented(|environment| environment.process_append_thread(id))?;
        }
        Ok(true)
    }

    fn stabilize_apply_thread(&mut self, id: u64) -> Outcome<bool> {
        if self.node(id)?.apply_work.is_empty() {
            return Ok(false);
        }
        self.output
            .line(format_args!("> {id} processing apply thread"));
        while !self.node(id)?.apply_work.is_empty() {
            self.indented(|environment| environment.process_apply_thread(id))?;
        }
        Ok(true)
    }
}

fn is_delivered(recipients: &[Recipient], id: u64) -> bool {
    recipients
        .iter()
        .any(|recipient| recipient.id == id && !recipient.drops)
}

/// Messages that do not cross the network cannot be lost.
fn is_local(message: &Message) -> bool {
    let is_thread = |id| id == LOCAL_APPEND_THREAD || id == LOCAL_APPLY_THREAD;
    message.from == message.to || is_thread(message.from) || is_thread(message.to)
}
