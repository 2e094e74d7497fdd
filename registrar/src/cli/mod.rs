//! The commands. Results go to stdout, everything else to stderr; every refusal says what to do next.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong use, 75 try later.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::options::{ConfigOption, ReadOptions};
use crate::admin::client::ClientError;
use crate::admin::problem::Kind;
use crate::config::Problem;
use crate::store::OpenError;

mod acme;
mod approval;
mod certificate;
mod clock;
mod contacts;
mod credential;
mod daemon;
mod device;
mod event;
mod init;
mod inspect;
mod manufacturer;
mod masa;
mod options;
mod order;
mod own;
mod story;
mod table;
mod voucher;

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
    Manufacturer(manufacturer::ManufacturerCommand),
    /// Devices, from import to retirement
    #[command(subcommand)]
    Device(device::DeviceCommand),
    /// Devices that wait for a person
    #[command(subcommand)]
    Approval(approval::ApprovalCommand),
    /// Vouchers: fetched ahead, or the last one of a device
    #[command(subcommand)]
    Voucher(voucher::VoucherCommand),
    /// Certificates that were issued
    #[command(subcommand)]
    Certificate(certificate::CertificateCommand),
    /// Orders at ACME CAs: what was done, and what the CA said
    #[command(subcommand)]
    Order(order::OrderCommand),
    /// The accounts at ACME CAs
    #[command(subcommand)]
    Acme(acme::AcmeCommand),
    /// Names and secrets for devices without an IDevID
    #[command(subcommand)]
    Credential(credential::CredentialCommand),
    /// What was decided, and why
    #[command(subcommand)]
    Event(event::EventCommand),
    /// The registrar's own certificate
    #[command(subcommand)]
    Identity(own::IdentityCommand),
    /// The root of the domain, which vouchers pin
    #[command(subcommand)]
    Ca(own::CaCommand),
    /// This machine's clock, where the trail holds later times
    #[command(subcommand)]
    Clock(clock::ClockCommand),
    /// How a running registrar does
    Status(ReadOptions),
    /// The operators' web page
    #[command(subcommand)]
    Console(daemon::ConsoleCommand),
    /// Let a running registrar read its configuration again
    Reload(ConfigOption),
    /// Copy the database to a new file, also while the registrar runs (SQLite)
    Backup(daemon::BackupOptions),
    /// Say what a file is and show it decoded: certificate, CSR, voucher, voucher request, certs-only
    Inspect(inspect::InspectOptions),
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

    fn later(message: impl Into<String>) -> Self {
        Self { code: 75, message: message.into() }
    }

    fn usage(message: impl Into<String>) -> Self {
        Self { code: 2, message: message.into() }
    }
}

impl From<ClientError> for Failed {
    fn from(error: ClientError) -> Self {
        let code = match &error {
            ClientError::Refused(problem) => match problem.known_kind() {
                Some(Kind::Invalid | Kind::Ambiguous | Kind::TooLarge) => 2,
                Some(Kind::Unavailable | Kind::TooMany) => 75,
                _ => 1,
            },
            ClientError::Store(OpenError::InUse { .. }) => 75,
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
        Command::Serve(option) => daemon::serve(&option).await,
        Command::Check(option) => daemon::check(&option.config).await,
        Command::Identity(command) => own::identity(command).await,
        Command::Ca(command) => own::ca(command).await,
        Command::Clock(command) => clock::clock(command).await,
        Command::Manufacturer(command) => manufacturer::manufacturer(command).await,
        Command::Device(command) => device::device(command).await,
        Command::Approval(command) => approval::approval(command).await,
        Command::Voucher(command) => voucher::voucher(command).await,
        Command::Certificate(command) => certificate::certificate(command).await,
        Command::Order(command) => order::order(command).await,
        Command::Acme(command) => acme::acme(command).await,
        Command::Credential(command) => credential::credential(command).await,
        Command::Event(command) => event::event(command).await,
        Command::Status(read) => daemon::status(&read).await,
        Command::Console(command) => daemon::console(command).await,
        Command::Reload(option) => daemon::reload(&option).await,
        Command::Backup(options) => daemon::backup(&options).await,
        Command::Inspect(options) => inspect::inspect(&options),
    }
}
