//! Commands of the system.

use tokio::process::Command;

/// Runs a command to its end; its standard output.
///
/// # Errors
/// The command, and what it wrote to standard error.
pub(crate) async fn run(words: &[&str]) -> Result<String, String> {
    let told = |reason: &str| format!("{}: {}", words.join(" "), reason.trim());
    let Some((program, arguments)) = words.split_first() else {
        return Ok(String::new());
    };
    let output = Command::new(program)
        .args(arguments)
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| told(&error.to_string()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let reason = String::from_utf8_lossy(&output.stderr);
    Err(told(if reason.trim().is_empty() {
        "it failed"
    } else {
        &reason
    }))
}
