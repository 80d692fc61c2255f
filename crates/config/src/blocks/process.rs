//! Files that say which process the server is, and where it listens.

use super::block;
use super::rule::{LogForm::Value, Rule::Reloads, show};
use crate::blocks::reader;
use crate::blocks::rule::Change;
use std::path::PathBuf;

block! {
    /// Files that say which process the server is, and where it listens.
    pub struct Process in "" {
        pid_file: Option<PathBuf> = None,
            pid_file | "pidfile": "File that holds the process id.",
            read (reader::path), Reloads(Change::Process, Value(show));
        ports_file_dir: Option<PathBuf> = None,
            ports_file_dir: "Folder for a file that lists the ports.",
            read (reader::path), Reloads(Change::Process, Value(show));
    }
}
