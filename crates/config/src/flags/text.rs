//! What the table says to people: the help, and the page of the docs.

use super::TOOLS;
use super::table::{FLAGS, Flag};
use crate::blocks::keys::{KEYS, Status};
use std::fmt::Write as _;

/// The flags as a section of docs/configuration.md.
pub(crate) fn page() -> String {
    let mut out = String::from(
        "\n## Flags\n\n\
         The notation is Go's: one dash or two, `-name value` or `-name=value`; a switch is on without a value and takes `=false`.\n\
         A flag wins over the file, at a reload too. A flag that is unknown or not carried out is an error.\n\n\
         | flag | meaning |\n|---|---|\n",
    );
    let dashed = |name: &&str| if name.len() == 1 { format!("`-{name}`") } else { format!("`--{name}`") };
    let names = |flag: &Flag| flag.names.iter().map(dashed).collect::<Vec<_>>().join(", ");
    for flag in FLAGS.iter().filter(|flag| flag.refusal().is_none()) {
        let value = if flag.value.is_empty() { String::new() } else { format!(" {}", flag.value) };
        let _ = writeln!(out, "| {}{value} | {} |", names(flag), flag.help.replace('|', "\\|"));
    }
    out.push_str("\nRefused:\n\n");
    for flag in FLAGS {
        if let Some(why) = flag.refusal() {
            let _ = writeln!(out, "- {}: {why}", names(flag));
        }
    }
    out
}

/// The text of `--help`.
pub fn help() -> String {
    let mut out = String::from(
        "Usage: dialtone [options]             runs the server\n       dialtone COMMAND --help        explains another command\n\nCommands:\n",
    );
    for (name, help) in TOOLS {
        let _ = writeln!(out, "    {name:<38} {help}");
    }
    for section in ["Server", "Logging", "Authorization", "TLS", "Cluster", "JetStream", "Common"] {
        let flags = || FLAGS.iter().filter(|flag| flag.section == section && flag.refusal().is_none());
        if flags().next().is_none() {
            continue;
        }
        let _ = write!(out, "\n{section} options:\n");
        for flag in flags() {
            let names =
                flag.names.iter().map(|n| if n.len() == 1 { format!("-{n}") } else { format!("--{n}") });
            let names = names.collect::<Vec<_>>().join(", ");
            let _ = writeln!(out, "    {:<38} {}", format!("{names} {}", flag.value).trim_end(), flag.help);
        }
    }
    out
}

/// The text of `--help_tls`.
pub fn help_tls() -> String {
    let mut out = String::from(
        "TLS for clients, by flags:\n\n    dialtone --tls --tlscert server.pem --tlskey key.pem [--tlsverify --tlscacert ca.pem]\n\n\
         or in the configuration file:\n\n    tls {\n        cert_file: server.pem\n        key_file: key.pem\n    }\n\nKeys of that block:\n\n",
    );
    for key in KEYS.iter().filter(|key| key.block == "tls" && !matches!(key.status, Status::Refused(_))) {
        let _ = writeln!(out, "    {:<24} {}", key.name, key.doc);
    }
    out
}
