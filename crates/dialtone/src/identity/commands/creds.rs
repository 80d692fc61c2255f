//! Creds files.

use crate::identity::args::Call;
use crate::identity::session::Session;
use crate::identity::store::files;
use anyhow::{Context as _, Result};
use std::path::Path;

/// `creds USER`
pub fn creds(call: &Call) -> Result<()> {
    let user = call.required(0, "a user")?;
    let session = Session::open(call)?;
    let account = session.account_name(call)?;
    let text = session.creds(&account, user)?.with_context(|| {
        format!("the key store has no secret of user `{user}`, so there can be no creds file")
    })?;
    if call.is_on("--show-secret") {
        print!("{}", text.as_str());
        return Ok(());
    }
    if call.is_on("--path") {
        let file = session.keys.creds_file(&session.store.name, &account, user)?;
        if !file.is_file() {
            files::write(&file, text.as_bytes())?;
        }
        println!("{}", file.display());
        return Ok(());
    }
    let file = match call.value("--output") {
        Some(file) => {
            files::write(Path::new(file), text.as_bytes())?;
            file.to_owned()
        }
        None => {
            let file = session.write_creds(&account, user)?.context("the secret was there a moment ago")?;
            file.display().to_string()
        }
    };
    println!("creds {file}");
    Ok(())
}
