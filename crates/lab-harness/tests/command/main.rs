//! The `lab` command as a user calls it: real benches from end to end, every way of being cut short,
//! bad input and bad luck.

#![allow(clippy::unwrap_used, reason = "a test fails where it stands, helpers included")]

mod bad_input;
mod bad_luck;
mod gate;
mod lab;
mod replica;
mod scale_out;
mod scenarios;
mod trials;
