//! Reads the arguments of commands.

use crate::datadriven::Argument;

pub(crate) type Outcome<T = ()> = Result<T, String>;

/// The argument at a position, without values, as a number.
pub(crate) fn number_at(arguments: &[Argument], position: usize) -> Outcome<u64> {
    let word = word_at(arguments, position)?;
    word.parse()
        .map_err(|_| format!("{word:?} is not a number"))
}

/// The argument at a position, without values.
pub(crate) fn word_at(arguments: &[Argument], position: usize) -> Outcome<&str> {
    match arguments.get(position) {
        Some(argument) if argument.values.is_empty() => Ok(&argument.key),
        Some(argument) => Err(format!("{} must not have a value here", argument.key)),
        None => Err(format!("argument {} is missing", position + 1)),
    }
}

/// The node ids among the arguments: all that have no value.
pub(crate) fn node_ids(arguments: &[Argument]) -> Outcome<Vec<u64>> {
    let ids = arguments
        .iter()
        .filter(|argument| argument.values.is_empty());
    ids.map(|argument| {
        let key = &argument.key;
        key.parse().map_err(|_| format!("{key:?} is not a node id"))
    })
    .collect()
}

/// The value of a key that must be there.
pub(crate) fn value_of<T: std::str::FromStr>(arguments: &[Argument], key: &str) -> Outcome<T> {
    match arguments.iter().find(|argument| argument.key == key) {
        Some(argument) => argument.parse(),
        None => Err(format!("{key}= is missing")),
    }
}
