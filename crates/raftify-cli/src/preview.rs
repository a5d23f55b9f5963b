//! Bytes that people can read.

use std::fmt::Write;

/// How much of an entry is shown.
const PREVIEW_CHARS: usize = 60;
/// How much of it is looked at, so that a large entry costs no more than a small one.
const PREVIEW_BYTES: usize = PREVIEW_CHARS * 4;

/// The beginning of `bytes`: as text when most of it is text, else in hexadecimal.
pub(crate) fn preview(bytes: &[u8]) -> String {
    let shown = bytes.get(..PREVIEW_BYTES).unwrap_or(bytes);
    let text = String::from_utf8_lossy(shown);
    let odd = |c: char| c == char::REPLACEMENT_CHARACTER || c.is_control();
    let odd_count = text.chars().filter(|c| odd(*c)).count();
    let readable = if odd_count * 4 > text.chars().count() {
        hex(shown)
    } else {
        text.chars()
            .map(|c| if odd(c) { '\u{b7}' } else { c })
            .collect()
    };
    shorten(&readable, shown.len() < bytes.len())
}

/// All of `bytes` in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
    }
    out
}

fn shorten(text: &str, more: bool) -> String {
    match text.char_indices().nth(PREVIEW_CHARS) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or(text)),
        None if more => format!("{text}..."),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text_and_odd_bytes_become_dots() {
        assert_eq!(preview(b"colour=blue"), "colour=blue");
        assert_eq!(
            preview(b"\x01\x00\x06colourblue"),
            "\u{b7}\u{b7}\u{b7}colourblue"
        );
    }

    #[test]
    fn binary_becomes_hexadecimal() {
        assert_eq!(preview(&[0, 1, 2, 255]), "000102ff");
        assert_eq!(preview(b""), "");
    }

    #[test]
    fn long_entries_are_cut() {
        assert_eq!(preview(&[b'x'; 1000]), format!("{}...", "x".repeat(60)));
        assert_eq!(preview(&[0xff; 1000]).len(), 63);
        let wide = "\u{1f600}".repeat(100);
        assert_eq!(preview(wide.as_bytes()).chars().count(), 63);
    }
}
