//! The service on a real Redis and a real PostgreSQL.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod instances;
mod mitigations;
mod outage;
mod pages;
mod replica;
mod stack;
mod topologies;
mod writes;
