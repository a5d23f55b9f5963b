//! What one entry costs the core alone, ours beside the published raft 0.7.0.
//!
//! Three nodes in one thread, logs in memory, messages by function call: nothing is measured but the
//! two cores, their own memory storages, and the same small loop around each. The rounds of the two
//! alternate, so that what else the machine does hits both; the table shows medians.
//!
//! ```text
//! cargo run --release --bin cost [-- --rounds N --milliseconds N --only ours|theirs --row N]
//! ```

mod allocations;
mod cpu;
mod load;
mod ours;
mod theirs;

use std::time::Duration;

use bytes::Bytes;

use crate::load::{Form, Load, Trio};

/// Entries that a log keeps before it is cut, in both.
const LOG_ENTRIES_MAX: u64 = 20_000;

/// Ticks of an idle cluster between two looks at the clock.
const IDLE_TICKS: u64 = 500_000;

/// What a measured round has shown.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    entries_per_second: f64,
    allocations_per_entry: f64,
    bytes_per_entry: f64,
}

struct Arguments {
    rounds: usize,
    duration: Duration,
    only: Option<String>,
    row: Option<usize>,
}

impl Arguments {
    fn parse() -> Self {
        let mut parsed = Self {
            rounds: 7,
            duration: Duration::from_millis(150),
            only: None,
            row: None,
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let value = words.next().unwrap_or_else(|| usage());
            match word.as_str() {
                "--rounds" => parsed.rounds = value.parse().unwrap_or_else(|_| usage()),
                "--milliseconds" => {
                    let milliseconds = value.parse().unwrap_or_else(|_| usage());
                    parsed.duration = Duration::from_millis(milliseconds);
                }
                "--only" => parsed.only = Some(value),
                "--row" => parsed.row = Some(value.parse().unwrap_or_else(|_| usage())),
                _ => usage(),
            }
        }
        parsed
    }

    fn wants(&self, name: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == name)
    }
}

fn usage() -> ! {
    eprintln!("cost [--rounds N] [--milliseconds N] [--only ours|theirs] [--row N]");
    std::process::exit(2);
}

fn loads() -> impl Iterator<Item = Load> {
    let shapes = [
        (1, Form::OneCall),
        (100, Form::OneCall),
        (1000, Form::OneCall),
        (100, Form::CallEach),
        (1000, Form::CallEach),
    ];
    [16, 1024].into_iter().flat_map(move |payload_bytes| {
        shapes.into_iter().map(move |(batch, form)| Load {
            payload_bytes,
            batch,
            form,
        })
    })
}

/// Runs rounds for about the duration, of this thread's processor time.
fn measure(trio: &mut dyn Trio, load: Load, duration: Duration) -> Figures {
    let payload = Bytes::from(vec![b'x'; load.payload_bytes]);
    let mut entries = 0;
    let mut spent = Duration::ZERO;
    let mut allocated = allocations::Count::default();
    while spent < duration {
        // Logs are cut outside of what is measured.
        trio.compact();
        let (cpu_before, before) = (cpu::used(), allocations::Count::now());
        let mut in_log = 0;
        while in_log < LOG_ENTRIES_MAX {
            trio.round(&payload, load);
            in_log += load.batch as u64;
        }
        spent += cpu::used() - cpu_before;
        allocated += allocations::Count::now() - before;
        entries += in_log;
    }
    let entries = entries as f64;
    Figures {
        entries_per_second: entries / spent.as_secs_f64(),
        allocations_per_entry: allocated.calls as f64 / entries,
        bytes_per_entry: allocated.bytes as f64 / entries,
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn medians(rounds: &[Figures]) -> Figures {
    let of = |field: fn(&Figures) -> f64| median(rounds.iter().map(field).collect());
    Figures {
        entries_per_second: of(|figures| figures.entries_per_second),
        allocations_per_entry: of(|figures| figures.allocations_per_entry),
        bytes_per_entry: of(|figures| figures.bytes_per_entry),
    }
}

fn main() {
    let arguments = Arguments::parse();
    println!(
        "Three nodes in one thread; medians of {} rounds of {} ms of processor time each, which alternate.\n",
        arguments.rounds,
        arguments.duration.as_millis()
    );
    println!(
        "| payload | proposals a Ready | M entries/CPU s: ours | raft 0.7.0 | ratio | allocations an entry: ours | raft 0.7.0 | bytes allocated an entry: ours | raft 0.7.0 |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let wanted = |(number, _): &(usize, Load)| arguments.row.is_none_or(|row| row == number + 1);
    for (_, load) in loads().enumerate().filter(wanted) {
        let (mut our_rounds, mut their_rounds) = (Vec::new(), Vec::new());
        for _ in 0..arguments.rounds {
            if arguments.wants("ours") {
                let mut trio = ours::Ours::new();
                our_rounds.push(measure(&mut trio, load, arguments.duration));
            }
            if arguments.wants("theirs") {
                let mut trio = theirs::Theirs::new();
                their_rounds.push(measure(&mut trio, load, arguments.duration));
            }
        }
        print_row(load, medians(&our_rounds), medians(&their_rounds));
    }
    if arguments.row.is_none() {
        let ours = idle_tick(&mut ours::Ours::new());
        let theirs = idle_tick(&mut theirs::Theirs::new());
        println!(
            "\nA tick of three idle nodes, one round of heartbeats (processor time, allocations):"
        );
        println!(
            "ours {:.0} ns, {:.2}; raft 0.7.0 {:.0} ns, {:.2}",
            ours.0, ours.1, theirs.0, theirs.1
        );
    }
}

/// Nanoseconds and allocations of one tick.
fn idle_tick(trio: &mut dyn Trio) -> (f64, f64) {
    let (cpu_before, before) = (cpu::used(), allocations::Count::now());
    for _ in 0..IDLE_TICKS {
        trio.tick();
    }
    let ticks = IDLE_TICKS as f64;
    let spent = (cpu::used() - cpu_before).as_nanos() as f64;
    let allocated = allocations::Count::now() - before;
    (spent / ticks, allocated.calls as f64 / ticks)
}

fn print_row(load: Load, ours: Figures, theirs: Figures) {
    let form = match load.form {
        Form::OneCall if load.batch == 1 => "",
        Form::OneCall => " in one call",
        Form::CallEach => ", a call each",
    };
    println!(
        "| {} B | {}{form} | {:.2} | {:.2} | {:.1} | {:.3} | {:.3} | {:.0} | {:.0} |",
        load.payload_bytes,
        load.batch,
        ours.entries_per_second / 1e6,
        theirs.entries_per_second / 1e6,
        ours.entries_per_second / theirs.entries_per_second,
        ours.allocations_per_entry,
        theirs.allocations_per_entry,
        ours.bytes_per_entry,
        theirs.bytes_per_entry,
    );
}
