//! The commands of the `confchange` scripts.
//!
//! - `simple`, `enter-joint [autoleave=true]` with changes below (`v1 l2 r3 u4`), and `leave-joint`
//!   change the configuration and print it, or print why the change is refused.
//! - `restore` rebuilds the configuration from its written form and prints it; it must be the same.
//!
//! Every command counts as one entry of the log: new members are probed at the number of commands
//! before.

use raft::confchange::{
    Changed, Changer, ConfChangeError, conf_changes_from_string, conf_changes_to_string, restore,
};
use raft::eraftpb::ConfChangeSingle;
use raft::tracker::ProgressTracker;

use crate::datadriven::Directive;

pub(crate) struct Cluster {
    tracker: ProgressTracker,
    last_index: u64,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        Self {
            tracker: ProgressTracker::new(10, 0),
            last_index: 0,
        }
    }

    pub(crate) fn run(&mut self, directive: &Directive) -> String {
        let output = self.answer(directive);
        self.last_index += 1;
        output.unwrap_or_else(|error| format!("{error}\n"))
    }

    fn answer(&mut self, directive: &Directive) -> Result<String, String> {
        let changes =
            conf_changes_from_string(&directive.input).map_err(|error| error.to_string())?;
        let words: Vec<&str> = directive.input.split_whitespace().collect();
        if conf_changes_to_string(&changes) != words.join(" ") {
            return Err(format!("{changes:?} does not print as it was read"));
        }
        if directive.command == "restore" {
            return self.restore();
        }
        let changed = self
            .change(directive, &changes)?
            .map_err(|error| error.to_string())?;
        (self.tracker.config, self.tracker.progress) = changed;
        Ok(self.print())
    }

    fn change(
        &self,
        directive: &Directive,
        changes: &[ConfChangeSingle],
    ) -> Result<Result<Changed, ConfChangeError>, String> {
        let changer = Changer::new(&self.tracker, self.last_index);
        match directive.command.as_str() {
            "simple" => Ok(changer.simple(changes)),
            "enter-joint" => {
                let auto_leave = directive.argument("autoleave");
                let auto_leave = auto_leave.map_or(Ok(false), |argument| argument.parse())?;
                Ok(changer.enter_joint(auto_leave, changes))
            }
            "leave-joint" if changes.is_empty() => Ok(changer.leave_joint()),
            "leave-joint" => Err("this command takes no input".to_owned()),
            _ => Err("unknown command".to_owned()),
        }
    }

    fn restore(&self) -> Result<String, String> {
        let empty = ProgressTracker::new(10, 0);
        let changer = Changer::new(&empty, self.last_index);
        let state = self.tracker.conf_state();
        let (config, progress) = restore(&changer, &state).map_err(|error| error.to_string())?;
        if config != self.tracker.config {
            return Err(format!("{} restores to {config}", self.tracker.config));
        }
        Ok(format!("{config}\n{progress}"))
    }

    fn print(&self) -> String {
        format!("{}\n{}", self.tracker.config, self.tracker.progress)
    }
}
