//! Folders that are used, bounded, and found damaged.

use super::*;
use dialtone_config::Position;
use dialtone_identity::jwt::account::{Account, AccountLimits};
use dialtone_identity::jwt::encode::Draft;
use dialtone_identity::nkey::{Kind, Seed};
use std::time::Duration;

fn seed(kind: Kind, number: u8) -> Seed {
    Seed::from_bytes(kind, [number; 32])
}

/// The token of account `number`, signed in that second, with its key.
fn token(number: u8, issued_at: i64, expires: Option<i64>) -> (String, String, DecodedJwt) {
    let subject = seed(Kind::Account, number).public();
    let body = Body::Account(Box::new(Account { limits: AccountLimits::unlimited(), ..Account::default() }));
    let draft = Draft { expires, ..Draft::new(subject, "A", body) };
    let jwt = draft.sign(&seed(Kind::Operator, 1), issued_at).expect("signed");
    let token = jwt::decode(&jwt).expect("token");
    (subject.to_string(), jwt, token)
}

fn open(dir: &Path, keeps: Keeps) -> Store {
    let folder = Folder { at: Position::default(), dir: dir.to_owned(), keeps, timeout: Duration::ZERO };
    Store::open(&folder, &Logger::silent()).expect("open")
}

fn full(limit: Option<u64>, hard_delete: bool) -> Keeps {
    Keeps::All { allow_delete: true, hard_delete, limit, interval: Duration::ZERO }
}

fn save(store: &Store, number: u8) -> Result<String, StoreError> {
    let (key, jwt, token) = token(number, 1, None);
    store.save(&key, &jwt, &token).map(|()| key)
}

fn files(dir: &Path) -> Vec<String> {
    let name =
        |entry: io::Result<fs::DirEntry>| entry.expect("entry").file_name().into_string().expect("name");
    let mut names: Vec<String> = fs::read_dir(dir).expect("folder").map(name).collect();
    names.sort();
    names
}

#[test]
fn what_is_saved_is_there_after_a_restart() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(dir.path(), full(None, false));
    let key = save(&store, 1).expect("saved");
    let (_, newer, decoded) = token(1, 9, None);
    store.save(&key, &newer, &decoded).expect("saved");
    for store in [store, open(dir.path(), full(None, false))] {
        assert_eq!(store.load(&key).as_deref(), Some(&*newer));
        assert_eq!((store.list(), store.issued_at(&key)), (vec![key.clone()], Some(9)));
    }
    assert_eq!(files(dir.path()), [format!("{key}.jwt")]);
}

/// CVE-2022-28357: what is no account's key is no file.
#[test]
fn only_keys_become_files() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(dir.path(), full(None, false));
    let (_, jwt, token) = token(1, 1, None);
    let user = seed(Kind::User, 1).public().to_string();
    for key in ["", "x", "../x", "/etc/passwd", "..", "A", &user, &format!("{user}/../../x")] {
        assert!(matches!(store.save(key, &jwt, &token), Err(StoreError::Key)), "{key}");
        assert!(store.load(key).is_none() && store.delete(key).is_err(), "{key}");
    }
    assert!(files(dir.path()).is_empty());
}

#[test]
fn damaged_and_foreign_files_are_set_aside() {
    let dir = tempfile::tempdir().expect("dir");
    let keys: Vec<String> = {
        let store = open(dir.path(), full(None, false));
        (1..=3).map(|n| save(&store, n).expect("saved")).collect()
    };
    let path = |key: &str| dir.path().join(format!("{key}.jwt"));
    // Torn in the middle, of another account, a name that is no key, and one that was being written.
    let whole = fs::read(path(&keys[0])).expect("file");
    fs::write(path(&keys[0]), &whole[..whole.len() / 2]).expect("written");
    fs::copy(path(&keys[2]), path(&keys[1])).expect("copied");
    fs::write(path("nokey"), "x").expect("written");
    fs::write(dir.path().join(format!("{UNFINISHED}x")), "x").expect("written");
    fs::write(dir.path().join("README"), "x").expect("written");
    let store = open(dir.path(), full(None, false));
    assert_eq!(store.list(), [keys[2].clone()]);
    let names = files(dir.path());
    for damaged in [&keys[0], &keys[1], "nokey"] {
        assert!(names.contains(&format!("{damaged}.jwt.damaged")), "{names:?}");
    }
    assert!(names.contains(&"README".to_owned()) && names.len() == 5, "{names:?}");
}

#[test]
fn deleted_accounts_leave_a_file_or_none() {
    for (hard, left) in [(false, 1), (true, 0)] {
        let dir = tempfile::tempdir().expect("dir");
        let store = open(dir.path(), full(None, hard));
        let key = save(&store, 1).expect("saved");
        assert!(store.delete(&key).expect("deleted") && !store.delete(&key).expect("gone"));
        assert!(store.load(&key).is_none() && store.list().is_empty());
        assert_eq!(files(dir.path()).len(), left);
        assert!(open(dir.path(), full(None, hard)).list().is_empty());
    }
}

#[test]
fn a_full_folder_refuses_and_a_cache_forgets() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(dir.path(), full(Some(2), false));
    let first = save(&store, 1).expect("saved");
    save(&store, 2).expect("saved");
    assert!(matches!(save(&store, 3), Err(StoreError::Full)));
    save(&store, 1).expect("what is there may change");
    let dir = tempfile::tempdir().expect("dir");
    let cache = open(dir.path(), Keeps::Some { limit: 2, ttl: Duration::from_secs(60) });
    save(&cache, 1).expect("saved");
    let second = save(&cache, 2).expect("saved");
    assert!(cache.load(&first).is_some());
    save(&cache, 3).expect("saved");
    assert!(!cache.has(&second) && cache.has(&first) && files(dir.path()).len() == 2);
    let short = open(dir.path(), Keeps::Some { limit: 2, ttl: Duration::from_nanos(1) });
    assert!(short.list().is_empty() && files(dir.path()).is_empty());
}

#[test]
fn folders_with_the_same_tokens_have_the_same_hash() {
    let (one, two) = (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"));
    let (a, b) = (open(one.path(), full(None, false)), open(two.path(), full(None, false)));
    assert_eq!(a.hash(), [0; 32]);
    for n in [1, 2, 3] {
        save(&a, n).expect("saved");
    }
    for n in [3, 1, 2] {
        assert_ne!(a.hash(), b.hash());
        save(&b, n).expect("saved");
    }
    assert_eq!(a.hash(), b.hash());
    // What is over does not count, and is not listed.
    let (key, jwt, over) = token(4, 1, Some(2));
    a.save(&key, &jwt, &over).expect("saved");
    assert!(a.hash() == b.hash() && !a.list().contains(&key));
}
