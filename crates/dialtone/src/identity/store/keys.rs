//! The key store, in the layout that `nsc` has:
//!
//! ```text
//! keys/keys/O/AB/OAB….nk                   a seed, alone
//! keys/creds/OPERATOR/ACCOUNT/USER.creds   a user's token and seed
//! ```

use super::{check_name, files};
use anyhow::{Context as _, Result, bail, ensure};
use dialtone_identity::nkey::{Kind, Public, Seed};
use rand::TryRngCore as _;
use rand::rngs::OsRng;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Keeps secrets out of repositories, where someone keeps a key store in one.
const IGNORED: &str = "# ignore all nk files \n**/*.nk\n\n# ignore all creds files\n**/*.creds\n";

/// Where secret keys are kept.
pub struct KeyStore {
    folder: PathBuf,
}

impl KeyStore {
    /// The key store in this folder, which need not be there yet.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// A fresh key, which is kept.
    pub fn generate(&self, kind: Kind) -> Result<Seed> {
        let mut bytes = Zeroizing::new([0; 32]);
        OsRng.try_fill_bytes(&mut *bytes).context("the operating system gives no random bytes")?;
        let seed = Seed::from_bytes(kind, *bytes);
        self.keep(&seed)?;
        Ok(seed)
    }

    /// Keeps a key.
    pub fn keep(&self, seed: &Seed) -> Result<PathBuf> {
        let ignore = self.folder.join(".gitignore");
        if !files::exists(&ignore) {
            files::write(&ignore, IGNORED.as_bytes())?;
        }
        let file = self.file(&seed.public());
        if !files::exists(&file) {
            files::write(&file, seed.reveal().as_bytes())?;
        }
        Ok(file)
    }

    /// The secret of a public key, if it is here. Errors: the file holds another.
    pub fn find(&self, public: &Public) -> Result<Option<Seed>> {
        let file = self.file(public);
        if !files::exists(&file) {
            return Ok(None);
        }
        let seed = read_seed(&file)?;
        ensure!(seed.public() == *public, "{} holds another key than its name says", file.display());
        Ok(Some(seed))
    }

    /// Where a user's creds file lies.
    pub fn creds_file(&self, operator: &str, account: &str, user: &str) -> Result<PathBuf> {
        [operator, account, user].into_iter().try_for_each(check_name)?;
        Ok(self.folder.join("creds").join(operator).join(account).join(format!("{user}.creds")))
    }

    fn file(&self, public: &Public) -> PathBuf {
        let text = public.to_string();
        let (kind, rest) = text.split_at(1);
        let (shard, _) = rest.split_at(2);
        self.folder.join("keys").join(kind).join(shard).join(format!("{text}.nk"))
    }
}

/// Reads a seed from a file: alone, or between lines of dashes.
pub fn read_seed(file: &Path) -> Result<Seed> {
    let text = Zeroizing::new(files::read(file)?);
    // Some tools put lines of dashes or a public key around it: it is the one line that is a seed.
    let mut seeds = text.lines().filter_map(|line| Seed::parse(line.trim()).ok());
    match (seeds.next(), seeds.next()) {
        (Some(seed), None) => Ok(seed),
        (Some(_), Some(_)) => bail!("{} holds more than one NKey seed", file.display()),
        (None, _) => bail!("{} holds no NKey seed", file.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_kept_and_found() {
        let folder = tempfile::tempdir().expect("folder");
        let store = KeyStore::new(folder.path().to_owned());
        let (one, two) =
            (store.generate(Kind::User).expect("key"), store.generate(Kind::Curve).expect("key"));
        assert_ne!(one.public(), two.public());
        let found = store.find(&one.public()).expect("readable").expect("there");
        assert_eq!(found.reveal(), one.reveal());
        let text = one.public().to_string();
        assert!(folder.path().join(format!("keys/U/{}/{text}.nk", &text[1..3])).is_file());
        let other = Seed::from_bytes(Kind::User, [1; 32]).public();
        assert!(store.find(&other).expect("no error").is_none());
    }

    #[test]
    fn a_file_with_another_key_is_told() {
        let folder = tempfile::tempdir().expect("folder");
        let store = KeyStore::new(folder.path().to_owned());
        let (one, two) = (store.generate(Kind::User).expect("key"), store.generate(Kind::User).expect("key"));
        files::write(&store.file(&one.public()), two.reveal().as_bytes()).expect("written");
        assert!(store.find(&one.public()).is_err());
        files::write(&store.file(&one.public()), b"rubbish").expect("written");
        let error = store.find(&one.public()).expect_err("no seed").to_string();
        assert!(error.contains("holds no NKey seed") && !error.contains("rubbish"));
    }

    #[test]
    fn creds_stay_in_the_store() {
        let store = KeyStore::new(PathBuf::from("/k"));
        assert_eq!(store.creds_file("o", "a", "u").expect("path"), Path::new("/k/creds/o/a/u.creds"));
        assert!(store.creds_file("o", "..", "u").is_err());
    }
}
