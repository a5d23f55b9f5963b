//! What is left out of a run, so that what remains of a failure can be read; and what is switched on
//! in each, so that what needs it is met sooner.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use clap::{Parser as _, ValueEnum as _};

use crate::plan::Fault;

/// What is left out of the plan of a seed, or put into it.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub struct Reduction {
    /// Kinds of faults that every seed has, whatever it draws.
    #[arg(long, value_delimiter = ',', value_name = "FAULT,..")]
    pub with: Vec<Fault>,
    /// Kinds of faults that are switched off.
    #[arg(long, value_delimiter = ',', value_name = "FAULT,..")]
    pub without: Vec<Fault>,
    /// Single faults that do not happen, by their numbers, as in 1-4,9.
    #[arg(long, default_value_t, value_name = "NUMBERS")]
    pub skip: Numbers,
    /// So many members at the beginning.
    #[arg(long)]
    pub nodes: Option<u64>,
    /// So many clients.
    #[arg(long)]
    pub clients: Option<u64>,
    /// No more operations than these while faults happen.
    #[arg(long)]
    pub operations: Option<u64>,
    /// Faults happen so many milliseconds.
    #[arg(long)]
    pub chaos_ms: Option<u64>,
}

/// A set of numbers, written as ranges.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Numbers(pub BTreeSet<u64>);

impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for number in &self.0 {
            match ranges.last_mut() {
                Some((_, last)) if last.checked_add(1) == Some(*number) => *last = *number,
                _ => ranges.push((*number, *number)),
            }
        }
        for (position, (first, last)) in ranges.iter().enumerate() {
            let comma = if position == 0 { "" } else { "," };
            if first == last {
                write!(f, "{comma}{first}")?;
            } else {
                write!(f, "{comma}{first}-{last}")?;
            }
        }
        Ok(())
    }
}

/// More numbers than a run has faults are a slip of the hand.
const NUMBER_MAX: u64 = 1_000_000;

impl FromStr for Numbers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut numbers = BTreeSet::new();
        for range in text.split(',').filter(|range| !range.is_empty()) {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let number = |text: &str| {
                text.parse::<u64>()
                    .ok()
                    .filter(|number| *number <= NUMBER_MAX)
                    .ok_or_else(|| format!("{text:?} is no number up to {NUMBER_MAX}"))
            };
            numbers.extend(number(first)?..=number(last)?);
        }
        Ok(Self(numbers))
    }
}

fn names(faults: &[Fault]) -> String {
    let values = faults.iter().filter_map(|fault| fault.to_possible_value());
    let names: Vec<String> = values.map(|value| value.get_name().to_owned()).collect();
    names.join(",")
}

/// As options of the command line, each with a blank before it.
impl fmt::Display for Reduction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (option, faults) in [("with", &self.with), ("without", &self.without)] {
            if !faults.is_empty() {
                write!(f, " --{option} {}", names(faults))?;
            }
        }
        if !self.skip.0.is_empty() {
            write!(f, " --skip {}", self.skip)?;
        }
        let numbers = [
            ("nodes", self.nodes),
            ("clients", self.clients),
            ("operations", self.operations),
            ("chaos-ms", self.chaos_ms),
        ];
        for (name, number) in numbers {
            if let Some(number) = number {
                write!(f, " --{name} {number}")?;
            }
        }
        Ok(())
    }
}

#[derive(clap::Parser)]
#[command(no_binary_name = true)]
struct Words {
    #[command(flatten)]
    reduction: Reduction,
}

/// From the options of the command line, as they are shown.
impl FromStr for Reduction {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Words::try_parse_from(text.split_whitespace())
            .map(|words| words.reduction)
            .map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn numbers_are_read_as_they_are_written() {
        let numbers: Numbers = "1-4,9,11-12".parse().unwrap();
        assert_eq!(numbers.0.len(), 7);
        assert_eq!(numbers.to_string(), "1-4,9,11-12");
        assert!("1-x".parse::<Numbers>().is_err());
        assert!("0-99999999999".parse::<Numbers>().is_err());
        assert_eq!("".parse::<Numbers>().unwrap(), Numbers::default());
    }

    #[test]
    fn a_reduction_is_read_as_it_is_written() {
        let reduction = Reduction {
            with: vec![Fault::Membership],
            without: vec![Fault::OneWayCuts, Fault::Loss],
            skip: "2-3".parse().unwrap(),
            nodes: Some(3),
            chaos_ms: Some(1_500),
            ..Reduction::default()
        };
        assert_eq!(reduction.to_string().parse(), Ok(reduction));
        assert_eq!("".parse(), Ok(Reduction::default()));
        assert!("--without nothing".parse::<Reduction>().is_err());
    }
}
