//! A server's configuration.

use super::write_out;
use crate::identity::args::Call;
use crate::identity::session::Session;
use crate::identity::store::files;
use anyhow::{Context as _, Result, bail, ensure};
use dialtone_identity::jwt::Body;
use std::fmt::Write as _;
use std::path::Path;

/// Where servers keep accounts that are pushed to them.
const RESOLVER_FOLDER_DEFAULT: &str = "./jwt";

/// `config`
pub fn config(call: &Call) -> Result<()> {
    if let Some(file) = call.value("--output") {
        ensure!(
            !files::exists(Path::new(file)) || call.is_on("--force"),
            "{file} exists; --force overwrites it"
        );
    }
    write_out(call, &text(call, &Session::open(call)?)?)
}

fn text(call: &Call, session: &Session) -> Result<String> {
    let operator = session.store.operator()?;
    let Body::Operator(claims) = &operator.token.body else { bail!("no operator") };
    let mut text = format!("# Operator {}\noperator: {}\n", session.store.name, operator.text);
    let system = session.system_account_name()?;
    if !claims.system_account.is_empty() {
        let _ = writeln!(text, "# System account {}", system.as_deref().unwrap_or("(not in the store)"));
        let _ = writeln!(text, "system_account: {}", claims.system_account);
    }
    let allow_delete = call.is_on("--allow-delete");
    let folder = call.value("--resolver-dir").unwrap_or(RESOLVER_FOLDER_DEFAULT);
    ensure!(
        !folder.contains(['"', '\\', '\n']),
        "--resolver-dir: the folder's name cannot be written to a configuration"
    );
    let of_system =
        |why: &str| system.clone().with_context(|| format!("{why} needs the system account in the store"));
    let preload = match call.value("--resolver").unwrap_or("memory") {
        "memory" => {
            text.push_str("\nresolver: MEMORY\n");
            session.store.accounts()?
        }
        "full" => {
            let _ = write!(
                text,
                "\n# Accounts are pushed to the servers (dialtone identity push), which keep them in a folder.\n\
                 resolver {{\n    type: full\n    dir: \"{folder}\"\n    \
                 # Whether accounts can be deleted (dialtone identity push --prune).\n    allow_delete: {allow_delete}\n    \
                 # How often servers compare what they have.\n    interval: \"2m\"\n    \
                 # How long other servers are waited for.\n    timeout: \"1.9s\"\n}}\n"
            );
            vec![of_system("a full resolver")?]
        }
        "cache" => {
            let _ = write!(
                text,
                "\n# Accounts are asked for at servers with a full resolver, and kept for a while.\n\
                 resolver {{\n    type: cache\n    dir: \"{folder}\"\n    ttl: \"1h\"\n    timeout: \"1.9s\"\n}}\n"
            );
            vec![of_system("a cache resolver")?]
        }
        other => bail!("--resolver {other}: memory, full or cache"),
    };
    text.push_str("\nresolver_preload: {\n");
    for name in preload {
        let account = session.store.account(&name)?;
        let _ = write!(text, "    # Account {name}\n    {}: {}\n", account.token.subject, account.text);
    }
    text.push_str("}\n");
    Ok(text)
}
