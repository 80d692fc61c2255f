//! Who may come in, and the accounts that there are.

use super::account::{Account, accounts};
use super::authorization::{Authorization, authorization};
use super::block;
use super::keys::Status;
use super::mapping::{Mapping, mappings};
use super::operator::OperatorMode;
use super::reader::{self, Block, Notes, noted};
use super::rule::Rule::{Reloads, Restarts, Within};
use super::rule::{Change, LogForm, show};
use crate::error::ConfigError;
use crate::language::Value;
use crate::nkey;
use LogForm::{Lines, Words};

block! {
    /// Who may come in, and the accounts that there are.
    pub struct Access in "" {
        /// Users of the default account; its keys have rules of their own.
        authorization: Authorization = Authorization::default(),
            authorization: "Users of the default account, or one user or token.",
            block (authorization), Within(Status::Reloads);
        accounts: Vec<Account> = Vec::new(),
            accounts: "Accounts with their users.", block (accounts), Reloads(Change::Users, Words("accounts"));
        /// Of the default account.
        mappings: Vec<Mapping> = Vec::new(),
            mappings | "maps": "Subject mappings of the default account.",
            block (mappings), Reloads(Change::Users, Words("mappings"));
        system_account: Option<String> = None,
            system_account | "system": "The account for system events.",
            read (reader::optional), Restarts("SystemAccount", show);
        no_system_account: bool = false,
            no_system_account | "no_system" | "no_sys_acc": "Have no system account.",
            read (reader::boolean), Restarts("NoSystemAccount", show);
        /// It may go together with the user that it names, which `plan` looks at.
        no_auth_user: Option<String> = None,
            no_auth_user: "The user that a connection without credentials is.",
            read (reader::optional), Within(Status::Restarts);
        /// Public NKeys.
        trusted_proxies: Vec<String> = Vec::new(),
            proxies: "Keys of trusted proxies.",
            block (proxies), Reloads(Change::Users, Lines(|old, new| went_and_came("proxies trusted keys", old, new)));
        /// Accounts that are known by signature.
        operator_mode: OperatorMode = OperatorMode::default();
    }
}

block! {
    /// Proxies.
    pub struct Proxies in "proxies" {
        trusted: Vec<String> = Vec::new(),
            trusted: "Proxies that are trusted.", block (trusted), Within(Status::Reloads);
    }
}

block! {
    /// A proxy.
    pub struct Proxy in "proxy" {
        key: String = String::new(),
            key | "public_key": "Its public NKey.", read (proxy_key), Within(Status::Reloads);
    }
}

impl Access {
    /// Reads the keys.
    pub(crate) fn read_all(&mut self, block: &Block<'_>, notes: &mut Notes) {
        self.read(block, notes);
        // Who names one wants one.
        self.no_system_account &= self.system_account.is_none();
        self.operator_mode.read(block, notes);
    }
}

/// `{ trusted: [ { key: … }, … ] }`
fn proxies(value: &Value, notes: &mut Notes) -> Vec<String> {
    let mut out = Proxies::default();
    if let Some(map) = noted(reader::map(value), &mut notes.errors) {
        out.read(&Block::new("proxies", map, &mut notes.errors), notes);
    }
    out.trusted
}

fn trusted(value: &Value, notes: &mut Notes) -> Vec<String> {
    let mut keys = Vec::new();
    for value in noted(reader::array(value), &mut notes.errors).unwrap_or_default() {
        let Some(map) = noted(reader::map(value), &mut notes.errors) else { continue };
        let block = Block::new("proxy", map, &mut notes.errors);
        if block.get("key").is_none() {
            notes.errors.push(ConfigError::new(&value.at, "a trusted proxy needs a key"));
        }
        let mut proxy = Proxy::default();
        proxy.read(&block, notes);
        keys.push(proxy.key);
    }
    keys
}

fn proxy_key(value: &Value) -> Result<String, ConfigError> {
    let key = reader::text(value)?;
    match nkey::is_public(&key, None) {
        true => Ok(key),
        false => Err(ConfigError::new(&value.at, format!("invalid proxy key {key:?}"))),
    }
}

/// Which names are not there any more, and which were not there before.
fn went_and_came(words: &str, old: &[String], new: &[String]) -> Vec<String> {
    let only = |of: &[String], not: &[String]| -> Vec<String> {
        of.iter().filter(|name| !not.contains(name)).map(|name| format!("{name:?}")).collect()
    };
    [(only(old, new), "removed"), (only(new, old), "added")]
        .into_iter()
        .filter(|(names, _)| !names.is_empty())
        .map(|(names, what)| format!("{words} [{}] were {what}", names.join(" ")))
        .collect()
}
