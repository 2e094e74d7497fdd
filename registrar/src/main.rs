//! The `registrar` program.

fn main() -> std::process::ExitCode {
    brski_registrar::cli::run()
}
