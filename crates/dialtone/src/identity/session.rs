//! What a command works with: which store, operator and account it means, and which keys sign there.

use super::args::Call;
use super::args::values::now;
use super::store::keys::{KeyStore, read_seed};
use super::store::{Entry, Store, files};
use anyhow::{Context as _, Result, bail, ensure};
use dialtone_identity::creds;
use dialtone_identity::jwt::Body;
use dialtone_identity::jwt::account::Account;
use dialtone_identity::jwt::encode::Draft;
use dialtone_identity::nkey::{Kind, Public, Seed};
use serde_json::Value;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The stores and keys that a call means.
pub struct Places {
    /// Where operators' folders are.
    pub stores: PathBuf,
    /// Where keys are.
    pub keys: KeyStore,
    /// The operator and account that `nsc` was told to use.
    nsc: Value,
}

impl Places {
    /// The places that the call's options say, else those of `nsc`.
    pub fn of(call: &Call) -> Result<Self> {
        let data = home("XDG_DATA_HOME", ".local/share").map(|home| home.join("nats/nsc"));
        let nsc = home("XDG_CONFIG_HOME", ".config")
            .and_then(|home| files::read(&home.join("nats/nsc/nsc.json")).ok())
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or(Value::Null);
        let place = |option: &str, default: Option<PathBuf>| {
            let named = call.value(option).map(PathBuf::from);
            named.or(default).with_context(|| format!("there is no home folder: say {option}"))
        };
        let known = nsc.get("store_root").and_then(Value::as_str).map(PathBuf::from);
        let stores = place("--store", known.or_else(|| data.as_ref().map(|data| data.join("stores"))))?;
        let keys = place("--keystore", data.map(|data| data.join("keys")))?;
        Ok(Self { stores, keys: KeyStore::new(keys), nsc })
    }

    /// The operator that the call means.
    pub fn operator(&self, call: &Call) -> Result<Store> {
        if let Some(name) = call.value("--operator") {
            return Store::open(&self.stores, name);
        }
        let known = Store::list(&self.stores)?;
        let chosen = self.nsc.get("operator").and_then(Value::as_str);
        match (known.as_slice(), chosen) {
            ([], _) => bail!(
                "there is no operator in {}; make one with `dialtone identity init NAME`",
                self.stores.display()
            ),
            ([only], _) => Store::open(&self.stores, only),
            (_, Some(chosen)) if known.iter().any(|name| name == chosen) => Store::open(&self.stores, chosen),
            _ => bail!("there are several operators: {}; say --operator NAME", known.join(", ")),
        }
    }
}

fn home(variable: &str, within: &str) -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set(variable).or_else(|| Some(set("HOME")?.join(within)))
}

/// An operator's store, with the keys.
pub struct Session {
    /// The operator's tokens.
    pub store: Store,
    /// The key store.
    pub keys: KeyStore,
    chosen_account: Option<String>,
}

impl Session {
    /// The store and keys that a call means.
    pub fn open(call: &Call) -> Result<Self> {
        let places = Places::of(call)?;
        let store = places.operator(call)?;
        Ok(Self::new(store, places))
    }

    /// A session with this operator.
    pub fn new(store: Store, places: Places) -> Self {
        let chosen_account = places.nsc.get("account").and_then(Value::as_str).map(str::to_owned);
        Self { store, keys: places.keys, chosen_account }
    }

    /// The name of the account that a call means: the one it names, the only one beside the system account, or `nsc`'s.
    pub fn account_name(&self, call: &Call) -> Result<String> {
        if let Some(name) = call.value("--account") {
            self.store.account(name)?;
            return Ok(name.to_owned());
        }
        let system = self.system_account_name()?;
        let others: Vec<String> =
            self.store.accounts()?.into_iter().filter(|name| Some(name) != system.as_ref()).collect();
        let chosen = self.chosen_account.as_ref().filter(|chosen| others.contains(chosen));
        match (others.as_slice(), chosen) {
            ([only], _) => Ok(only.clone()),
            ([], _) => bail!("there is no account; make one with `dialtone identity add account NAME`"),
            (_, Some(chosen)) => Ok(chosen.clone()),
            _ => bail!("there are several accounts: {}; say --account NAME", others.join(", ")),
        }
    }

    /// The name of the system account, if it is in the store.
    pub fn system_account_name(&self) -> Result<Option<String>> {
        let Body::Operator(operator) = self.store.operator()?.token.body else { return Ok(None) };
        self.name_of(&operator.system_account)
    }

    /// The name of the account with this key, if it is in the store.
    pub fn name_of(&self, key: &str) -> Result<Option<String>> {
        for name in self.store.accounts()? {
            if self.store.account(&name)?.token.subject.to_string() == key {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    /// The key of an account that is named by its name or its key.
    pub fn account_key(&self, name: &str) -> Result<Public> {
        match Public::parse(name) {
            Ok(key) if key.kind == Kind::Account => Ok(key),
            Ok(_) => bail!("{name} is no key of an account"),
            Err(_) => Ok(self.store.account(name)?.token.subject),
        }
    }

    /// Signs what an account is to say, and keeps it.
    pub fn write_account(&self, call: &Call, draft: &Draft) -> Result<()> {
        let signer = self.operator_signer(call)?;
        let text = draft.sign(&signer, now())?;
        self.store.write_account(&draft.name, &text)
    }

    /// The key that signs accounts.
    pub fn operator_signer(&self, call: &Call) -> Result<Seed> {
        let operator = self.store.operator()?;
        let Body::Operator(claims) = &operator.token.body else { bail!("no operator") };
        let own = (!claims.strict_signing_key_usage).then(|| operator.token.subject.to_string());
        let allowed: Vec<String> = claims.signing_keys.iter().cloned().chain(own).collect();
        if let Some(seed) = call.parsed("--sign-with", |named| self.named_key(named, Kind::Operator))? {
            ensure!(
                allowed.contains(&seed.public().to_string()),
                "--sign-with: {} does not sign for operator `{}`",
                seed.public(),
                self.store.name
            );
            return Ok(seed);
        }
        self.first_of(&allowed)?.with_context(|| {
            format!(
                "the key store has no key that signs for operator `{}`: {}",
                self.store.name,
                allowed.join(", ")
            )
        })
    }

    /// The key that signs users and activations of an account: the one that the call names, a signing key without a
    /// role, else the account's own.
    pub fn account_signer(&self, call: &Call, account: &Entry) -> Result<Seed> {
        let Body::Account(claims) = &account.token.body else { bail!("no account") };
        if let Some(named) = call.value("--sign-with") {
            let key = key_of_role(claims, named).unwrap_or_else(|| named.to_owned());
            let seed = self.named_key(&key, Kind::Account).with_context(|| format!("--sign-with {named}"))?;
            let public = seed.public();
            ensure!(
                public == account.token.subject || claims.signing_keys.contains_key(&public.to_string()),
                "--sign-with: {public} does not sign for account `{}`",
                account.token.name
            );
            return Ok(seed);
        }
        let plain = claims.signing_keys.iter().filter(|(_, role)| role.is_none()).map(|(key, _)| key.clone());
        let operator = self.store.operator()?.token;
        let is_strict =
            matches!(&operator.body, Body::Operator(operator) if operator.strict_signing_key_usage);
        let own = (!is_strict).then(|| account.token.subject.to_string());
        let allowed: Vec<String> = plain.chain(own).collect();
        ensure!(
            !allowed.is_empty(),
            "the operator lets only signing keys sign, and account `{name}` has none without a role: \
             dialtone identity add signing-key --account {name}, or say --sign-with ROLE",
            name = account.token.name
        );
        self.first_of(&allowed)?.with_context(|| {
            format!(
                "the key store has no key that signs for account `{}`: {}",
                account.token.name,
                allowed.join(", ")
            )
        })
    }

    fn first_of(&self, keys: &[String]) -> Result<Option<Seed>> {
        for key in keys {
            if let Some(seed) = Public::parse(key).ok().map(|key| self.keys.find(&key)).transpose()?.flatten()
            {
                return Ok(Some(seed));
            }
        }
        Ok(None)
    }

    /// The secret of a public key that is in the key store, or in a file.
    pub fn named_key(&self, named: &str, kind: Kind) -> Result<Seed> {
        let seed = match Public::parse(named) {
            Ok(key) => {
                self.keys.find(&key)?.with_context(|| format!("the key store has no secret of {key}"))?
            }
            Err(_) => read_seed(Path::new(named))?,
        };
        ensure!(seed.public().kind == kind, "{} is no key of an {}", seed.public(), kind.name());
        Ok(seed)
    }

    /// Writes a user's creds file to its place in the key store, if its secret is there. Where it is.
    pub fn write_creds(&self, account: &str, user: &str) -> Result<Option<PathBuf>> {
        let Some(text) = self.creds(account, user)? else { return Ok(None) };
        let file = self.keys.creds_file(&self.store.name, account, user)?;
        files::write(&file, text.as_bytes())?;
        Ok(Some(file))
    }

    /// A user's creds, if its secret is in the key store.
    pub fn creds(&self, account: &str, user: &str) -> Result<Option<Zeroizing<String>>> {
        let entry = self.store.user(account, user)?;
        let seed = self.keys.find(&entry.token.subject)?;
        Ok(seed.map(|seed| creds::write(&entry.text, &seed)))
    }
}

/// The signing key that has this role.
pub fn key_of_role(account: &Account, role: &str) -> Option<String> {
    let mut keys = account.signing_keys.iter();
    keys.find(|(_, found)| found.as_ref().is_some_and(|found| found.role == role)).map(|(key, _)| key.clone())
}
