//! Operators, accounts and users on disk, in the layout that `nsc` has: each tool reads what the other wrote.
//!
//! ```text
//! stores/OPERATOR/.nsc                                   that this is an operator
//! stores/OPERATOR/OPERATOR.jwt
//! stores/OPERATOR/accounts/ACCOUNT/ACCOUNT.jwt
//! stores/OPERATOR/accounts/ACCOUNT/users/USER.jwt
//! ```
//!
//! Keys lie elsewhere: [`keys`].

pub mod files;
pub mod keys;

use super::check;
use anyhow::{Context as _, Result, bail, ensure};
use dialtone_identity::creds;
use dialtone_identity::jwt::{self, Body, DecodedJwt};
use serde_json::json;
use std::path::{Path, PathBuf};

/// The file that marks an operator's folder.
const MARK: &str = ".nsc";
/// Bytes of a name of an operator, account or user.
const NAME_BYTES_MAX: usize = 200;

/// An operator's folder.
pub struct Store {
    folder: PathBuf,
    /// The operator's name.
    pub name: String,
}

/// What becomes of accounts and users when an operator is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signed {
    /// What is good stays good.
    Stays,
    /// A key is taken back, and what it signed with it.
    MayEnd,
}

/// A token of the store.
pub struct Entry {
    /// As it is given to others.
    pub text: String,
    /// What it says.
    pub token: DecodedJwt,
}

impl Store {
    /// The names of the operators in a folder of stores, sorted.
    pub fn list(stores: &Path) -> Result<Vec<String>> {
        let is_store = |name: &String| stores.join(name).join(MARK).is_file();
        Ok(files::folders(stores)?.into_iter().filter(is_store).collect())
    }

    /// Makes an operator's folder. Errors: there is one.
    pub fn create(stores: &Path, name: &str) -> Result<Self> {
        check_name(name)?;
        let folder = stores.join(name);
        if files::exists(&folder) {
            bail!("{} exists: there is an operator `{name}`", folder.display());
        }
        files::make_folder(&folder.join("accounts"))?;
        let mark = json!({ "managed": false, "name": name, "kind": "operator", "version": "1" });
        files::write(&folder.join(MARK), mark.to_string().as_bytes())?;
        Ok(Self { folder, name: name.to_owned() })
    }

    /// Opens an operator's folder.
    pub fn open(stores: &Path, name: &str) -> Result<Self> {
        check_name(name)?;
        let folder = stores.join(name);
        ensure!(files::exists(&folder.join(MARK)), "there is no operator `{name}` in {}", stores.display());
        Ok(Self { folder, name: name.to_owned() })
    }

    /// The operator's token.
    pub fn operator(&self) -> Result<Entry> {
        let entry = read_token(&self.operator_file())?;
        ensure!(
            matches!(entry.token.body, Body::Operator(_)),
            "{} is no operator's",
            self.operator_file().display()
        );
        Ok(entry)
    }

    /// An account's token.
    pub fn account(&self, account: &str) -> Result<Entry> {
        let file = self.account_file(account)?;
        if !files::exists(&file) {
            bail!("there is no account `{account}`{}", known(&self.accounts()?));
        }
        let entry = read_token(&file)?;
        ensure!(matches!(entry.token.body, Body::Account(_)), "{} is no account's", file.display());
        Ok(entry)
    }

    /// A user's token.
    pub fn user(&self, account: &str, user: &str) -> Result<Entry> {
        let file = self.user_file(account, user)?;
        if !files::exists(&file) {
            bail!("account `{account}` has no user `{user}`{}", known(&self.users(account)?));
        }
        let entry = read_token(&file)?;
        ensure!(matches!(entry.token.body, Body::User(_)), "{} is no user's", file.display());
        Ok(entry)
    }

    /// The names of the accounts, sorted.
    pub fn accounts(&self) -> Result<Vec<String>> {
        let accounts = self.folder.join("accounts");
        let has_token = |name: &String| accounts.join(name).join(format!("{name}.jwt")).is_file();
        Ok(files::folders(&accounts)?.into_iter().filter(has_token).collect())
    }

    /// The names of an account's users, sorted.
    pub fn users(&self, account: &str) -> Result<Vec<String>> {
        check_name(account)?;
        let names = files::names(&self.folder.join("accounts").join(account).join("users"))?;
        Ok(names.iter().filter_map(|name| name.strip_suffix(".jwt")).map(str::to_owned).collect())
    }

    /// Keeps the operator's token.
    ///
    /// Errors: a server would refuse it, or, if they must stay good, accounts or users that were good until now.
    pub fn write_operator(&self, text: &str, signed: Signed) -> Result<()> {
        let fresh = jwt::decode(text)?;
        check::refuse(&format!("operator `{}`", self.name), &fresh, check::operator(&fresh))?;
        if signed == Signed::Stays
            && let Ok(before) = self.operator()
        {
            let (was, is) = (self.refused_under(&before.token)?, self.refused_under(&fresh)?);
            let lost: Vec<&String> = is.iter().filter(|problem| !was.contains(problem)).collect();
            if let Some(first) = lost.first() {
                let more =
                    if lost.len() > 1 { format!("; and {} more", lost.len() - 1) } else { String::new() };
                bail!("servers would then refuse {first}{more}: sign again what must stay good");
            }
        }
        files::write(&self.operator_file(), text.as_bytes())
    }

    /// What servers that have this operator refuse of the accounts and their users.
    fn refused_under(&self, operator: &DecodedJwt) -> Result<Vec<String>> {
        let mut out = Vec::new();
        for name in self.accounts()? {
            // What cannot be read was not good before either.
            let Ok(account) = self.account(&name) else { continue };
            let problems = check::account(operator, &account.token);
            out.extend(problems.iter().map(|problem| format!("account {name}: {problem}")));
            for user in self.users(&name)? {
                let Ok(entry) = self.user(&name, &user) else { continue };
                let problems = check::user(operator, &account.token, &entry.token);
                out.extend(problems.iter().map(|problem| format!("user {name}/{user}: {problem}")));
            }
        }
        Ok(out)
    }

    /// Keeps an account's token. Errors: a server would refuse it.
    pub fn write_account(&self, account: &str, text: &str) -> Result<()> {
        let (operator, fresh) = (self.operator()?.token, jwt::decode(text)?);
        check::refuse(&format!("account `{account}`"), &fresh, check::account(&operator, &fresh))?;
        files::write(&self.account_file(account)?, text.as_bytes())
    }

    /// Keeps a user's token. Errors: a server would refuse it.
    pub fn write_user(&self, account: &str, user: &str, text: &str) -> Result<()> {
        let (operator, of) = (self.operator()?.token, self.account(account)?.token);
        let fresh = jwt::decode(text)?;
        check::refuse(&format!("user `{user}`"), &fresh, check::user(&operator, &of, &fresh))?;
        files::write(&self.user_file(account, user)?, text.as_bytes())
    }

    /// Removes an account with its users.
    pub fn remove_account(&self, account: &str) -> Result<()> {
        check_name(account)?;
        let folder = self.folder.join("accounts").join(account);
        std::fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))
    }

    /// Removes a user.
    pub fn remove_user(&self, account: &str, user: &str) -> Result<()> {
        files::remove(&self.user_file(account, user)?)
    }

    fn operator_file(&self) -> PathBuf {
        self.folder.join(format!("{}.jwt", self.name))
    }

    fn account_file(&self, account: &str) -> Result<PathBuf> {
        check_name(account)?;
        Ok(self.folder.join("accounts").join(account).join(format!("{account}.jwt")))
    }

    fn user_file(&self, account: &str, user: &str) -> Result<PathBuf> {
        check_name(account)?;
        check_name(user)?;
        Ok(self.folder.join("accounts").join(account).join("users").join(format!("{user}.jwt")))
    }
}

/// A name becomes the name of a file, so it must not lead anywhere else.
pub fn check_name(name: &str) -> Result<()> {
    let odd = |c: char| c.is_control() || "/\\:".contains(c);
    ensure!(!name.trim().is_empty(), "a name must not be empty");
    ensure!(name.trim() == name, "the name {name:?} begins or ends with a space");
    ensure!(name.len() <= NAME_BYTES_MAX, "a name has at most {NAME_BYTES_MAX} bytes");
    ensure!(!name.starts_with('.'), "the name {name:?} begins with a dot");
    ensure!(!name.contains(odd), "the name {name:?} has a character that file names cannot have");
    Ok(())
}

/// Reads a token from a file: alone, or between lines of dashes.
pub fn read_token(file: &Path) -> Result<Entry> {
    parse_token(&files::read(file)?).with_context(|| file.display().to_string())
}

/// Reads a token: alone, or between lines of dashes as in creds files.
pub fn parse_token(text: &str) -> Result<Entry> {
    let text = creds::token(text).unwrap_or(text).trim();
    // Other tools read JWTs of one line only.
    Ok(Entry { token: jwt::decode(text)?, text: jwt::single_line(text) })
}

/// `; there are: a, b`.
fn known(names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!("; there are: {}", names.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_the_store() {
        for name in ["", " ", "a/b", "..", ".", ".nsc", "a\\b", "a\n", " a", "a ", &"a".repeat(201)] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
        for name in ["a", "My Account", "a.b-c_d", "né"] {
            assert!(check_name(name).is_ok(), "{name:?}");
        }
    }

    #[test]
    fn operators_are_made_once_and_found() {
        let folder = tempfile::tempdir().expect("folder");
        let store = Store::create(folder.path(), "op").expect("made");
        assert!(Store::create(folder.path(), "op").is_err() && Store::open(folder.path(), "other").is_err());
        assert_eq!(Store::list(folder.path()).expect("list"), ["op"]);
        assert!(
            store.accounts().expect("accounts").is_empty() && store.users("a").expect("users").is_empty()
        );
        assert!(store.account("a").is_err() && store.account("../op").is_err() && store.operator().is_err());
    }
}
