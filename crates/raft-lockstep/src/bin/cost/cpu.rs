//! The processor time of this thread.

use std::time::Duration;

/// The first number of this file is the time on a processor, in nanoseconds; `/proc/self/stat` has
/// the same in units of 10 ms, which is too coarse for a round.
const SCHEDSTAT: &str = "/proc/thread-self/schedstat";

/// The processor time used so far.
///
/// # Panics
///
/// Where the kernel does not count it.
pub(crate) fn used() -> Duration {
    let text = std::fs::read_to_string(SCHEDSTAT).expect("a Linux kernel with schedstat");
    let nanoseconds = text.split_whitespace().next();
    Duration::from_nanos(
        nanoseconds
            .and_then(|number| number.parse().ok())
            .expect("the time on a processor comes first"),
    )
}
