//! Tables and JSON on standard output.

use std::io::{self, Write};

use comfy_table::{Table, presets};
use serde::Serialize;

use crate::error::CliError;

/// A table that reads well and can be pasted into an issue.
pub(crate) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(header);
    table
}

/// A table of names and values.
pub(crate) fn pairs<'a>(rows: impl IntoIterator<Item = (&'a str, String)>) -> Table {
    let mut table = table(&["what", "value"]);
    for (name, value) in rows {
        table.add_row([name.to_owned(), value]);
    }
    table
}

/// Writes a line.
pub(crate) fn line(text: impl std::fmt::Display) -> Result<(), CliError> {
    Ok(writeln!(io::stdout().lock(), "{text}")?)
}

/// Writes `value` as JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value)?;
    Ok(writeln!(out)?)
}
