//! The target service: a product catalogue with Redis in front and PostgreSQL behind.
//!
//! Where to look first: `page` is the read path with every mitigation in its place, `http` the
//! routes, `database` the pool and the queries, `dataset` what `seed` and `reset` do. The
//! service does not know that it is part of an experiment: it takes a configuration, serves, and
//! tells what it sees on a port of its own.

pub mod command_line;

mod admission;
mod config;
mod database;
mod dataset;
mod error;
mod events;
mod http;
mod metrics;
mod page;
mod preload;
mod random;
mod redis_client;
mod redis_limit;
mod redis_loader;
mod registry;
mod request;
mod serve;
mod sessions;
mod shop;
mod switches;
mod totals;
mod views;
