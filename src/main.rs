//! Parse, run, exit.

fn main() -> std::process::ExitCode {
    propsync::cli::main()
}
