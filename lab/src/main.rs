//! The `brski-lab` program.

fn main() -> std::process::ExitCode {
    brski_lab::cli::run()
}
