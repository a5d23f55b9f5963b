//! What processes have used of the machine.

use std::fs;
use std::time::Duration;

/// The unit of times in `/proc/<pid>/stat`: part of the kernel's interface on Linux.
const CLOCK_TICK: Duration = Duration::from_millis(10);
/// Where user time stands in `/proc/<pid>/stat`, counted from behind the name; system time follows.
const USER_TIME_FIELD: usize = 11;
/// Written into `/proc/<pid>/clear_refs`, it begins the peak of memory anew.
const RESET_PEAK: &str = "5";

/// The processes that are counted: this one, unless it only drives others, and the nodes.
#[derive(Debug, Clone, Default)]
pub struct Meter {
    children: Vec<u32>,
}

/// What has been used since the processes began.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reading {
    /// Processor time.
    pub cpu: Duration,
    /// How often a thread left a processor, by itself or not.
    pub switches: u64,
}

impl Meter {
    /// Counts `children` too.
    pub fn with_children(children: Vec<u32>) -> Self {
        Self { children }
    }

    /// What has been used so far.
    pub fn read(&self) -> Reading {
        self.processes()
            .fold(Reading::default(), |sum, pid| Reading {
                cpu: sum.cpu + cpu_of(&pid),
                switches: sum.switches + switches_of(&pid),
            })
    }

    /// Lets [`peak_bytes`](Self::peak_bytes) begin anew.
    pub fn reset_peak(&self) {
        for pid in self.processes() {
            // Where the kernel refuses, the peak is that since the process began.
            fs::write(format!("/proc/{pid}/clear_refs"), RESET_PEAK).ok();
        }
    }

    /// The most memory that was resident, summed over the processes.
    pub fn peak_bytes(&self) -> u64 {
        self.processes()
            .map(|pid| {
                let status = fs::read_to_string(format!("/proc/{pid}/status"));
                field(&status.unwrap_or_default(), "VmHWM:") << 10
            })
            .sum()
    }

    fn processes(&self) -> impl Iterator<Item = String> {
        let children = self.children.iter().map(u32::to_string);
        std::iter::once("self".to_owned()).chain(children)
    }
}

/// Of the threads that run now: those that a node needs run as long as it.
fn switches_of(pid: &str) -> u64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task"));
    threads
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("status")).ok())
        .map(|status| {
            field(&status, "voluntary_ctxt_switches:")
                + field(&status, "nonvoluntary_ctxt_switches:")
        })
        .sum()
}

/// The number behind a name at the beginning of a line.
fn field(status: &str, name: &str) -> u64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .unwrap_or_default()
}

fn cpu_of(pid: &str) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
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
