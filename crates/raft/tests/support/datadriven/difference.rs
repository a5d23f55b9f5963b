//! Shows how two texts differ, line by line.

use std::fmt::Write as _;

/// Marks the lines of the longest common subsequence with a space, the others with - and +.
pub(super) fn describe_lines(expected: &str, actual: &str) -> String {
    let expected: Vec<&str> = expected.lines().collect();
    let actual: Vec<&str> = actual.lines().collect();
    let mut common = vec![vec![0_usize; actual.len() + 1]; expected.len() + 1];
    for (row, left) in expected.iter().enumerate().rev() {
        for (column, right) in actual.iter().enumerate().rev() {
            common[row][column] = if left == right {
                common[row + 1][column + 1] + 1
            } else {
                common[row + 1][column].max(common[row][column + 1])
            };
        }
    }
    let (mut row, mut column, mut text) = (0, 0, String::new());
    while row < expected.len() || column < actual.len() {
        if row < expected.len() && column < actual.len() && expected[row] == actual[column] {
            let _ = writeln!(text, "    {}", expected[row]);
            (row, column) = (row + 1, column + 1);
        } else if column == actual.len()
            || row < expected.len() && common[row + 1][column] >= common[row][column + 1]
        {
            let _ = writeln!(text, "  - {}", expected[row]);
            row += 1;
        } else {
            let _ = writeln!(text, "  + {}", actual[column]);
            column += 1;
        }
    }
    text
}
