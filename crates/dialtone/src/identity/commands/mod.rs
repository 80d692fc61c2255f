//! What each command does.

pub mod account;
pub mod config;
pub mod creds;
pub mod describe;
pub mod init;
pub mod keys;
pub mod list;
pub mod operator;
pub mod resolver;
pub mod revoke;
pub mod rotate;
pub mod sharing;
pub mod signing_key;
pub mod user;
pub mod validate;

use super::args::Call;
use super::store::files;
use anyhow::Result;
use std::path::Path;

/// Writes to the file that `--output` names, else to standard output.
fn write_out(call: &Call, text: &str) -> Result<()> {
    match call.value("--output") {
        Some(file) => {
            files::write(Path::new(file), text.as_bytes())?;
            println!("written to {file}");
        }
        None => print!("{text}"),
    }
    Ok(())
}
