//! Reads, runs and rewrites data-driven scripts.
//!
//! A script is a text file of blocks. Each block is a command line (`command key key=value
//! key=(a,b)`), optional input lines, a `----` line, and the expected output up to a blank line.
//! Output that holds blank lines itself stands between two doubled `----` lines. Lines that begin
//! with `#` between blocks are comments, a trailing `\` continues a command on the next line.
//!
//! The runner stops a script at its first difference, because everything after it is a
//! consequence, and reports the first difference of every script of a folder.

// Every test program that includes this file uses a part of it.
#![allow(dead_code, unused_imports)]

#[path = "datadriven/difference.rs"]
mod difference;
#[path = "datadriven/folder.rs"]
mod folder;

pub(crate) use folder::run_folder;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// One argument of a command: a key with no, one or several values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Argument {
    /// What stands before `=`, or the whole word.
    pub(crate) key: String,
    /// What stands after `=`, split at commas when it is in parentheses.
    pub(crate) values: Vec<String>,
}

impl Argument {
    /// The one value, or why there is not exactly one.
    pub(crate) fn single(&self) -> Result<&str, String> {
        match self.values.as_slice() {
            [value] => Ok(value),
            values => Err(format!(
                "{} needs one value, has {}",
                self.key,
                values.len()
            )),
        }
    }

    /// The one value, parsed.
    pub(crate) fn parse<T: std::str::FromStr>(&self) -> Result<T, String> {
        parse(&self.key, self.single()?)
    }

    /// All values, parsed.
    pub(crate) fn parse_all<T: std::str::FromStr>(&self) -> Result<Vec<T>, String> {
        self.values
            .iter()
            .map(|value| parse(&self.key, value))
            .collect()
    }
}

fn parse<T: std::str::FromStr>(key: &str, value: &str) -> Result<T, String> {
    value
        .parse()
        .map_err(|_| format!("cannot read {value:?} as the value of {key}"))
}

/// One block of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Directive {
    /// Line of the command in its file, from 1.
    pub(crate) line: usize,
    /// First word of the command line.
    pub(crate) command: String,
    /// The words after it.
    pub(crate) arguments: Vec<Argument>,
    /// The lines between the command and `----`, trimmed.
    pub(crate) input: String,
    /// The lines after `----`, each with its line end.
    pub(crate) expected: String,
}

impl Directive {
    /// The argument with this key, if it was given.
    pub(crate) fn argument(&self, key: &str) -> Option<&Argument> {
        self.arguments.iter().find(|argument| argument.key == key)
    }
}

/// Splits a command line into its command and arguments.
pub(crate) fn parse_line(line: &str) -> Result<(String, Vec<Argument>), String> {
    let mut words = split_words(line)?.into_iter();
    let command = words
        .next()
        .ok_or_else(|| "a command is missing".to_owned())?;
    let arguments = words
        .map(|word| parse_argument(&word))
        .collect::<Result<_, _>>()?;
    Ok((command, arguments))
}

/// Splits at white space that is not inside parentheses.
fn split_words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut depth = 0_usize;
    for character in line.chars() {
        match character {
            '(' => depth += 1,
            ')' => {
                depth = depth
                    .checked_sub(1)
                    .ok_or_else(|| format!("')' too many: {line}"))?
            }
            _ => {}
        }
        if character.is_whitespace() && depth == 0 {
            if !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
        } else {
            word.push(character);
        }
    }
    if depth > 0 {
        return Err(format!("')' is missing: {line}"));
    }
    if !word.is_empty() {
        words.push(word);
    }
    Ok(words)
}

fn parse_argument(word: &str) -> Result<Argument, String> {
    let Some((key, value)) = word.split_once('=') else {
        return Ok(Argument {
            key: word.to_owned(),
            values: Vec::new(),
        });
    };
    if key.is_empty() {
        return Err(format!("a key is missing before '=': {word}"));
    }
    let values = match value
        .strip_prefix('(')
        .and_then(|rest| rest.strip_suffix(')'))
    {
        Some(list) if list.trim().is_empty() => Vec::new(),
        Some(list) => list.split(',').map(|item| item.trim().to_owned()).collect(),
        None => vec![value.to_owned()],
    };
    Ok(Argument {
        key: key.to_owned(),
        values,
    })
}

/// A piece of a script, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    /// Comments, blank lines and the lines of a command up to its `----`; written back unchanged.
    Text(String),
    /// What follows a `----`: the directive whose expected output belongs here.
    Expected(Box<Directive>),
}

/// A script that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Script {
    path: PathBuf,
    pieces: Vec<Piece>,
}

const SEPARATOR: &str = "----";

struct Lines<'a> {
    lines: Vec<&'a str>,
    next: usize,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let line = self.lines.get(self.next).copied();
        self.next += usize::from(line.is_some());
        line
    }
}

impl Script {
    /// Reads a script; the error names the file and the line.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        Self::from_text(path, &text)
    }

    /// Parses the text of a script; `path` is used in messages.
    pub(crate) fn from_text(path: &Path, text: &str) -> Result<Self, String> {
        let mut lines = Lines {
            // All carriage returns at the end of a line, or each rewriting would take one off.
            lines: text
                .lines()
                .map(|line| line.trim_end_matches('\r'))
                .collect(),
            next: 0,
        };
        let mut pieces = Vec::new();
        let mut verbatim = String::new();
        while let Some(line) = lines.next() {
            let _ = writeln!(verbatim, "{line}");
            let trimmed = line.trim();
            if trimmed.is_empty() || trimmed.starts_with('#') {
                continue;
            }
            let number = lines.next;
            let directive = read_directive(&mut lines, &mut verbatim, trimmed)
                .map_err(|error| format!("{}:{number}: {error}", path.display()))?;
            pieces.push(Piece::Text(std::mem::take(&mut verbatim)));
            pieces.push(Piece::Expected(Box::new(Directive {
                line: number,
                ..directive
            })));
        }
        pieces.push(Piece::Text(verbatim));
        Ok(Self {
            path: path.to_owned(),
            pieces,
        })
    }

    /// The blocks of the script.
    pub(crate) fn directives(&self) -> impl Iterator<Item = &Directive> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Text(_) => None,
            Piece::Expected(directive) => Some(directive.as_ref()),
        })
    }

    /// Runs every block; the error describes the first difference.
    pub(crate) fn run(
        &self,
        handle: &mut dyn FnMut(&Directive) -> String,
    ) -> Result<usize, String> {
        let mut count = 0;
        for directive in self.directives() {
            let actual = ended(handle(directive));
            if actual != directive.expected {
                return Err(self.describe_difference(directive, &actual));
            }
            count += 1;
        }
        Ok(count)
    }

    /// Runs every block and gives the script with the outputs that were seen.
    pub(crate) fn rewritten(&self, handle: &mut dyn FnMut(&Directive) -> String) -> String {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(verbatim) => text.push_str(verbatim),
                Piece::Expected(directive) => write_expected(&mut text, &ended(handle(directive))),
            }
        }
        // A file ends with its last line of output, not with a blank line.
        format!("{}\n", text.trim_end())
    }

    fn describe_difference(&self, directive: &Directive, actual: &str) -> String {
        let mut words = directive.command.clone();
        for argument in &directive.arguments {
            let _ = match argument.values.as_slice() {
                [] => write!(words, " {}", argument.key),
                [value] => write!(words, " {}={value}", argument.key),
                values => write!(words, " {}=({})", argument.key, values.join(",")),
            };
        }
        for line in directive.input.lines() {
            let _ = write!(words, "\n    {line}");
        }
        format!(
            "{}:{}: {words}\n(- is what the script expects, + is what came)\n{}",
            self.path.display(),
            directive.line,
            difference::describe_lines(&directive.expected, actual)
        )
    }
}

fn read_directive(
    lines: &mut Lines<'_>,
    verbatim: &mut String,
    first: &str,
) -> Result<Directive, String> {
    let mut command_line = first.to_owned();
    while let Some(head) = command_line.strip_suffix('\\') {
        let line = lines
            .next()
            .ok_or_else(|| "the continued line is missing".to_owned())?;
        let _ = writeln!(verbatim, "{line}");
        command_line = format!("{} {}", head.trim_end(), line.trim());
    }
    let (command, arguments) = parse_line(&command_line)?;
    let mut input = String::new();
    loop {
        let line = lines
            .next()
            .ok_or_else(|| format!("{SEPARATOR} is missing"))?;
        let _ = writeln!(verbatim, "{line}");
        if line.trim() == SEPARATOR {
            break;
        }
        let _ = writeln!(input, "{line}");
    }
    let expected = read_expected(lines)?;
    Ok(Directive {
        line: 0,
        command,
        arguments,
        input: input.trim().to_owned(),
        expected,
    })
}

fn read_expected(lines: &mut Lines<'_>) -> Result<String, String> {
    let mut expected = String::new();
    let Some(first) = lines.next() else {
        return Ok(expected);
    };
    if first.trim() == SEPARATOR {
        loop {
            let line = lines
                .next()
                .ok_or_else(|| format!("closing {SEPARATOR} is missing"))?;
            if line.trim() == SEPARATOR {
                let closing = lines.next().map(str::trim);
                if closing != Some(SEPARATOR) {
                    return Err(format!("the closing {SEPARATOR} must be doubled"));
                }
                lines.next();
                return Ok(expected);
            }
            let _ = writeln!(expected, "{line}");
        }
    }
    let mut line = first;
    while !line.trim().is_empty() {
        let _ = writeln!(expected, "{line}");
        let Some(next) = lines.next() else {
            break;
        };
        line = next;
    }
    Ok(expected)
}

fn write_expected(text: &mut String, output: &str) {
    let holds_blank_line = output.lines().any(|line| line.trim().is_empty());
    let _ = if holds_blank_line {
        writeln!(text, "{SEPARATOR}\n{output}{SEPARATOR}\n{SEPARATOR}\n")
    } else {
        writeln!(text, "{output}")
    };
}

/// The output with a line end after its last line.
fn ended(mut output: String) -> String {
    if !output.is_empty() && !output.ends_with('\n') {
        output.push('\n');
    }
    output
}
