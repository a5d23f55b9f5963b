//! A cluster that a script drives.

use raft::eraftpb::Message;

use crate::arguments::Outcome;
use crate::datadriven::{Directive, parse_line};
use crate::node::Node;
use crate::output::Output;

/// Nodes with consecutive ids from 1, the messages between them, and what is printed.
#[derive(Default)]
pub(crate) struct Environment {
    pub(crate) nodes: Vec<Node>,
    /// Messages that were sent and neither delivered nor dropped, in the order of sending.
    pub(crate) messages: Vec<Message>,
    pub(crate) output: Output,
    /// Errors are printed with their reasons.
    pub(crate) explains_errors: bool,
}

impl Environment {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Runs one block of a script and gives what it prints; errors are part of the output.
    pub(crate) fn handle(&mut self, directive: &Directive) -> String {
        let result = match directive.command.as_str() {
            "propose-conf-change" => {
                self.propose_conf_change(&directive.arguments, &directive.input)
            }
            _ => self.run_lines(directive),
        };
        let quiet = self.output.is_quiet();
        let mut text = self.output.take();
        match result {
            Err(error) if quiet => return error,
            Err(error) => text.push_str(&error),
            Ok(()) => {}
        }
        if text.is_empty() { "ok".into() } else { text }
    }

    /// The command line is a command, and so is every line below it.
    fn run_lines(&mut self, directive: &Directive) -> Outcome {
        self.run(&directive.command, &directive.arguments)?;
        for line in directive.input.lines() {
            let (command, arguments) = parse_line(line)?;
            if let Err(error) = self.run(&command, &arguments) {
                if self.output.is_quiet() {
                    return Err(error);
                }
                self.output.write(error);
            }
        }
        Ok(())
    }

    pub(crate) fn node(&mut self, id: u64) -> Outcome<&mut Node> {
        let position = id
            .checked_sub(1)
            .and_then(|position| usize::try_from(position).ok());
        let node = position.and_then(|position| self.nodes.get_mut(position));
        node.ok_or_else(|| format!("there is no node {id}"))
    }

    /// Runs a part of a command and indents what it prints.
    pub(crate) fn indented<T>(&mut self, run: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.output.take();
        let result = run(self);
        let inner = self.output.take();
        self.output.put_back_indented(before, &inner);
        result
    }

    /// The text of an error of the core: short, as in the scripts of etcd, or with its reason.
    pub(crate) fn describe_error(&self, error: &raft::Error) -> String {
        match error {
            raft::Error::ProposalDropped(_) if !self.explains_errors => {
                "raft proposal dropped".into()
            }
            error => error.to_string(),
        }
    }

    /// The result of a call of the core as the outcome of a command.
    pub(crate) fn outcome<T>(&self, result: raft::Result<T>) -> Outcome {
        result
            .map(|_| ())
            .map_err(|error| self.describe_error(&error))
    }
}
