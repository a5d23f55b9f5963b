//! What processes have used of the machine.

use std::time::Duration;

/// The unit of times in `/proc/<pid>/stat`: part of the kernel's interface on Linux.
const CLOCK_TICK: Duration = Duration::from_millis(10);
/// Where user time stands in `/proc/<pid>/stat`, counted from behind the name; system time follows.
const USER_TIME_FIELD: usize = 11;

/// The processes whose time is counted: this one and its nodes.
#[derive(Debug, Clone, Default)]
pub struct Meter {
    children: Vec<u32>,
}

impl Meter {
    /// Counts `children` too.
    pub fn with_children(children: Vec<u32>) -> Self {
        Self { children }
    }

    /// The processor time used so far.
    pub fn cpu(&self) -> Duration {
        let own = cpu_of("self");
        self.children
            .iter()
            .map(|pid| cpu_of(&pid.to_string()))
            .fold(own, |sum, one| sum + one)
    }
}

fn cpu_of(pid: &str) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name is in parentheses and may hold anything.
    let behind_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let ticks: u32 = behind_name
        .split_whitespace()
        .skip(USER_TIME_FIELD)
        .take(2)
        .filter_map(|field| field.parse::<u32>().ok())
        .sum();
    CLOCK_TICK * ticks
}
