//! The commands. Results go to stdout, everything else to stderr; every refusal says what to do next.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong use, 75 try later.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::admin::api::FailureKind;
use crate::admin::client::ClientError;
use crate::config::{Config, Problem};

mod init;
mod inspect;
mod query;
mod table;

/// A BRSKI registrar and EST server whose certificates come from any ACME CA.
#[derive(Debug, Parser)]
#[command(name = "registrar", version, about, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a folder with everything that a registrar needs: CA, certificate, configuration, database
    Init(init::InitOptions),
    /// Run the registrar until SIGTERM or Ctrl-C
    Serve(ConfigOption),
    /// Say everything that 'serve' would find wrong
    Check(ConfigOption),
    /// Manufacturers whose devices may join
    #[command(subcommand)]
    Manufacturer(query::ManufacturerCommand),
    /// Devices that came
    #[command(subcommand)]
    Device(query::DeviceCommand),
    /// What was decided, and why
    #[command(subcommand)]
    Event(query::EventCommand),
    /// How a running registrar does
    Status(query::StatusOptions),
    /// Say what a file is and show it decoded: certificate, CSR, voucher, voucher request, certs-only
    Inspect(inspect::InspectOptions),
}

#[derive(Debug, Args)]
struct ConfigOption {
    /// The configuration file, such as DIR/registrar.toml
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Why a command failed, and with which exit code.
#[derive(Debug)]
struct Failed {
    code: u8,
    message: String,
}

impl Failed {
    fn new(message: impl Into<String>) -> Self {
        Self { code: 1, message: message.into() }
    }

    fn usage(message: impl Into<String>) -> Self {
        Self { code: 2, message: message.into() }
    }
}

impl From<ClientError> for Failed {
    fn from(error: ClientError) -> Self {
        let code = match &error {
            ClientError::Refused(failure) => match failure.kind {
                FailureKind::Invalid | FailureKind::Ambiguous => 2,
                FailureKind::Unavailable => 75,
                FailureKind::NotFound | FailureKind::Conflict => 1,
            },
            ClientError::Lock(_) => 75,
            _ => 1,
        };
        Self { code, message: error.to_string() }
    }
}

impl From<Vec<Problem>> for Failed {
    fn from(problems: Vec<Problem>) -> Self {
        let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
        Self::new(lines.join("\n"))
    }
}

/// Runs the command of this process's arguments.
#[must_use]
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("registrar: no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(perform(cli.command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            for line in failed.message.lines() {
                eprintln!("registrar: {line}");
            }
            ExitCode::from(failed.code)
        }
    }
}

async fn perform(command: Command) -> Result<(), Failed> {
    match command {
        Command::Init(options) => init::init(&options).await,
        Command::Serve(option) => {
            let config = Config::load(&option.config)?;
            let run = crate::daemon::run(config).await;
            run.map_err(|error| Failed::new(format!("{error:#}")))
        }
        Command::Check(option) => query::check(&option.config).await,
        Command::Manufacturer(command) => query::manufacturer(command).await,
        Command::Device(command) => query::device(command).await,
        Command::Event(command) => query::event(command).await,
        Command::Status(options) => query::status(&options).await,
        Command::Inspect(options) => inspect::inspect(&options),
    }
}
