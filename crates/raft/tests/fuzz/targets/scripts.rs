//! The reader of data-driven scripts.

use std::path::Path;

#[path = "../../support/datadriven.rs"]
mod datadriven;

/// Reads the bytes as a script. One that is read is not changed by being rewritten with the outputs
/// that it has, but for white space at the end, which a file does not keep.
pub(crate) fn parse_scripts(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Some(line) = text.lines().next() {
        let _ = datadriven::parse_line(line);
    }
    let Ok(script) = datadriven::Script::from_text(Path::new("fuzz"), &text) else {
        return;
    };
    let rewritten = script.rewritten(&mut |directive| directive.expected.clone());
    let again = datadriven::Script::from_text(Path::new("fuzz"), &rewritten)
        .unwrap_or_else(|error| panic!("{error}\nin\n{rewritten}"));
    let expected = |script: &datadriven::Script| -> Vec<(String, String)> {
        script
            .directives()
            .map(|directive| {
                let expected = directive.expected.trim_end().to_owned();
                (directive.command.clone(), expected)
            })
            .collect()
    };
    assert_eq!(expected(&again), expected(&script));
}
