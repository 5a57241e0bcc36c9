//! The generator as a program. What it does is compiled with the library, once.

use std::process::ExitCode;

fn main() -> ExitCode {
    lab_load::command_line::main()
}
