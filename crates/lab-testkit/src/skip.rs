//! How a test says that it could not run on this machine.

/// Prints the line that `cargo xtask test` collects: what was skipped, and why. The caller then
/// returns, and the test passes; nothing is skipped without this line.
#[expect(
    clippy::print_stdout,
    reason = "the test harness keeps it, and --show-output gives it back"
)]
pub fn skip(what: &str, reason: &str) {
    println!("SKIPPED {what}: {reason}");
}
