//! The service as a program. What it does is compiled with the library, once.

use std::process::ExitCode;

fn main() -> ExitCode {
    storefront::command_line::main()
}
