//! The command line of the service: `serve`, `seed` and `reset`, each with one file.

use std::{io::IsTerminal, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use lab_core::target::TargetConfig;
use tokio::runtime::{Builder, Runtime};
use tracing_subscriber::EnvFilter;

use crate::{config, dataset, serve};

/// A product catalogue with Redis in front and PostgreSQL behind.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until SIGTERM or Ctrl-C.
    Serve(File),
    /// Create the schema and load the data set into PostgreSQL.
    Seed(File),
    /// Bring PostgreSQL and Redis back to the state every trial starts from.
    Reset(File),
}

#[derive(Debug, Args)]
struct File {
    /// JSON file as the lab writes it.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Does what the arguments of this process say, and gives its exit code.
pub fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line, causes included, for whoever started it.
            eprintln!("storefront: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    match Cli::parse().command {
        Command::Serve(file) => {
            let config = config::read(&file.config)?;
            let runtime = runtime(&config)?;
            runtime.block_on(serve::serve(config))?;
            // A query whose caller has left must not keep the process alive.
            runtime.shutdown_background();
            Ok(())
        }
        Command::Seed(file) => {
            let config = config::read(&file.config)?;
            runtime(&config)?.block_on(dataset::seed(&config)).context("failed to seed")
        }
        Command::Reset(file) => {
            let config = config::read(&file.config)?;
            runtime(&config)?.block_on(dataset::reset(&config)).context("failed to reset")
        }
    }
}

fn runtime(config: &TargetConfig) -> anyhow::Result<Runtime> {
    let worker_threads = usize::try_from(config.worker_threads.get())?;
    Builder::new_multi_thread()
        .worker_threads(worker_threads)
        .enable_all()
        .build()
        .context("failed to start the runtime")
}
