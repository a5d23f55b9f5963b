//! The reader of data-driven scripts, against texts whose reading is known.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/datadriven.rs"]
mod support;

use std::path::Path;
use support::{Argument, Script, parse_line};

const TEXT: &str = "\
# A comment.

first 1 2 word=value list=(a, b,c) none=()
----
ok

second \\
  third
input of two
lines
----
----
out

put
----
----

# The end.
last
----
";

fn script() -> Script {
    Script::from_text(Path::new("text"), TEXT).unwrap()
}

fn argument(key: &str, values: &[&str]) -> Argument {
    Argument {
        key: key.into(),
        values: values.iter().map(|&value| value.into()).collect(),
    }
}

#[test]
fn a_script_line_gives_its_words_values_and_lists() {
    let (command, arguments) = parse_line("first 1 word=value list=(a, b,c) none=()").unwrap();
    assert_eq!(command, "first");
    let expected = [
        argument("1", &[]),
        argument("word", &["value"]),
        argument("list", &["a", "b", "c"]),
        argument("none", &[]),
    ];
    assert_eq!(arguments, expected);
    assert!(parse_line("first list=(1,2").is_err());
    assert!(parse_line("first list=1)").is_err());
}

#[test]
fn a_script_gives_its_blocks_with_lines_inputs_and_outputs() {
    let script = script();
    let blocks: Vec<_> = script.directives().collect();
    assert_eq!(blocks.len(), 3);
    assert_eq!((blocks[0].line, blocks[0].expected.as_str()), (3, "ok\n"));
    assert_eq!(
        (blocks[1].line, blocks[1].arguments.clone()),
        (7, vec![argument("third", &[])])
    );
    assert_eq!(blocks[1].input, "input of two\nlines");
    assert_eq!(blocks[1].expected, "out\n\nput\n");
    assert_eq!((blocks[2].line, blocks[2].expected.as_str()), (20, ""));
}

#[test]
fn a_script_rewritten_with_its_own_outputs_is_the_same_text() {
    let text = script().rewritten(&mut |directive| directive.expected.clone());
    assert_eq!(text, TEXT);
}

#[test]
fn a_script_that_differs_names_its_line_and_both_outputs() {
    let error = script()
        .run(&mut |directive| match directive.command.as_str() {
            "second" => "out\nother".into(),
            _ => directive.expected.clone(),
        })
        .unwrap_err();
    assert!(error.starts_with("text:7: second third"), "{error}");
    assert!(error.contains("    out\n"), "{error}");
    assert!(error.contains("  - put\n"), "{error}");
    assert!(error.contains("  + other\n"), "{error}");
}

#[test]
fn a_script_block_without_its_separator_is_an_error_with_its_line() {
    let error = Script::from_text(Path::new("text"), "\ncommand\n").unwrap_err();
    assert_eq!(error, "text:2: ---- is missing");
}
