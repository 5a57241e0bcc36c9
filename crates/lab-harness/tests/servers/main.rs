//! Real servers and the lab's own children, on both backends where there are two.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands, helpers included")]

mod backends;
mod bad_luck;
mod common;
mod faults;
mod processes;
mod replica;
mod topologies;
mod wire;
