//! Encrypted stores: what is on disk says nothing, keys change, and a key that is missing or wrong changes nothing.

mod common;

use std::path::PathBuf;
use std::sync::Arc;

use common::{App, Op, encryption, options, script};
use dialtone_store::{
    After, Cipher, Disk, Encryption, Fault, Keys, Lost, OpenError, Options, ReadError, SimulatedDisk, Store,
};

fn with(encryption: Option<Encryption>) -> Options {
    Options { encryption, ..options() }
}

fn aes(key: &str, previous: Option<&str>) -> Options {
    with(Some(encryption(Cipher::Aes256Gcm, key, previous)))
}

#[track_caller]
fn open(disk: &SimulatedDisk, options: Options) -> (Store, App) {
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    App::open(&shared, options).expect("a store")
}

fn refused(disk: &SimulatedDisk, options: Options) -> OpenError {
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    App::open(&shared, options).map(|_| ()).expect_err("it does not open")
}

fn contents(disk: &SimulatedDisk) -> Vec<(PathBuf, Vec<u8>)> {
    disk.files().into_iter().map(|(path, _)| (path.clone(), disk.read(&path))).collect()
}

/// Names of files in which something stands as it was given: name of a group, head, record or body.
fn readable(disk: &SimulatedDisk) -> Vec<String> {
    let body = common::body(NAME, 1, 200);
    let told = [NAME, b"SECRET.NAME.1", &body[8..40], b"nSECRET"];
    let tells = |bytes: &[u8]| told.iter().any(|told| bytes.windows(told.len()).any(|found| found == *told));
    let found = contents(disk).into_iter().filter(|(_, bytes)| tells(bytes));
    found.map(|(path, _)| path.to_string_lossy().into_owned()).collect()
}

const NAME: &[u8] = b"SECRET.NAME";

/// A group with messages, in the log and, after a checkpoint, in a segment.
fn fill(store: &Store, app: &mut App) {
    let mut batch = store.batch(dialtone_store::Urgency::Ordinary).expect("a batch");
    let id = batch.new_group(NAME);
    let group = app.groups.entry(id).or_default();
    (group.name, group.next) = (NAME.to_vec(), 1);
    for seq in 1..=6 {
        let head = [NAME, b".", seq.to_string().as_bytes()].concat();
        let place = batch.message(id, seq, &head, &[&common::body(NAME, seq, 200)]);
        group.messages.insert(seq, Some(place));
        group.next += 1;
    }
    let end = batch.submit();
    store.wait(end).expect("it works");
}

#[test]
fn nothing_that_was_given_stands_on_disk() {
    for cipher in [Cipher::Aes256Gcm, Cipher::ChaCha20Poly1305] {
        let disk = SimulatedDisk::new();
        let options = with(Some(encryption(cipher, "key", None)));
        let (store, mut app) = open(&disk, options.clone());
        fill(&store, &mut app);
        assert_eq!(readable(&disk), [""; 0], "in the log");
        app.checkpoint(&store).expect("it works");
        fill(&store, &mut app);
        assert_eq!(readable(&disk), [""; 0], "in segments and manifest");
        let digest = app.digest();
        drop(store);
        let (store, app) = open(&disk, options);
        assert_eq!((app.digest(), app.read_all(&store)), (digest, vec![]));
        assert_eq!(store.keys(), Keys::Same);
    }
    let disk = SimulatedDisk::new();
    let (store, mut app) = open(&disk, with(None));
    fill(&store, &mut app);
    app.checkpoint(&store).expect("it works");
    assert!(readable(&disk).len() > 3, "the test sees what stands there");
}

#[test]
fn a_missing_or_wrong_key_changes_nothing() {
    let disk = SimulatedDisk::new();
    let (store, mut app) = open(&disk, aes("key", None));
    for op in script(3, 40) {
        app.run(&store, &op).expect("it works");
    }
    let digest = app.digest();
    drop(store);
    let before = contents(&disk);
    assert!(matches!(refused(&disk, with(None)), OpenError::NoKey { .. }));
    assert!(matches!(refused(&disk, aes("other", None)), OpenError::OtherKey { .. }));
    assert!(matches!(refused(&disk, aes("other", Some("third"))), OpenError::OtherKey { .. }));
    assert_eq!(contents(&disk), before);
    let (store, app) = open(&disk, aes("key", Some("third")));
    assert_eq!((app.digest(), store.keys()), (digest, Keys::Same));
}

/// Moves all that is not sealed by the newest key.
fn seal_all(store: &Store, app: &mut App) {
    let mut rounds = 0;
    while store.to_seal_bytes() > 0 {
        app.checkpoint(store).expect("it works");
        rounds += 1;
        assert!(rounds < 10, "{} bytes are left", store.to_seal_bytes());
    }
}

#[test]
fn a_store_is_encrypted_later() {
    let disk = SimulatedDisk::new();
    let (store, mut app) = open(&disk, with(None));
    fill(&store, &mut app);
    app.checkpoint(&store).expect("it works");
    fill(&store, &mut app);
    let digest = app.digest();
    drop(store);
    let (store, mut app) = open(&disk, aes("key", None));
    assert_eq!((app.digest(), app.read_all(&store), store.keys()), (digest, vec![], Keys::Encrypted));
    fill(&store, &mut app);
    assert!(store.to_seal_bytes() > 0);
    app.checkpoint(&store).expect("it works");
    seal_all(&store, &mut app);
    // What was in the log goes with its file, when another checkpoint cuts the log.
    app.run(&store, &Op::NewGroup(9)).expect("it works");
    app.checkpoint(&store).expect("it works");
    assert_eq!(readable(&disk), [""; 0]);
    let digest = app.digest();
    drop(store);
    let (store, app) = open(&disk, aes("key", None));
    assert_eq!((app.digest(), app.read_all(&store), store.keys()), (digest, vec![], Keys::Same));
    drop(store);
    assert!(matches!(refused(&disk, with(None)), OpenError::NoKey { .. }));
}

#[test]
fn keys_and_ciphers_change() {
    let disk = SimulatedDisk::new();
    let mut digest = {
        let (store, mut app) = open(&disk, aes("one", None));
        fill(&store, &mut app);
        app.checkpoint(&store).expect("it works");
        app.run(&store, &Op::NewGroup(9)).expect("it works");
        app.digest()
    };
    let chacha = |key, previous| with(Some(encryption(Cipher::ChaCha20Poly1305, key, previous)));
    for (options, expected) in [
        (aes("two", Some("one")), Keys::Changed),
        (aes("two", None), Keys::Same),
        (chacha("two", None), Keys::OtherCipher),
        (chacha("one", Some("two")), Keys::Changed),
        (chacha("one", Some("two")), Keys::Same),
    ] {
        let (store, mut app) = open(&disk, options);
        assert_eq!((app.digest(), app.read_all(&store), store.keys()), (digest, vec![], expected));
        app.run(&store, &Op::Publish(9, 2, 300)).expect("it works");
        seal_all(&store, &mut app);
        digest = app.digest();
    }
    assert!(matches!(refused(&disk, aes("two", None)), OpenError::OtherKey { .. }));
}

#[test]
fn a_crash_while_keys_change_leaves_a_store_that_one_of_both_opens() {
    for (from, to) in [(with(None), aes("two", None)), (aes("one", None), aes("two", Some("one")))] {
        let prepared = SimulatedDisk::new();
        let (store, mut app) = open(&prepared, from.clone());
        fill(&store, &mut app);
        app.checkpoint(&store).expect("it works");
        fill(&store, &mut app);
        let digest = app.digest();
        drop(store);
        for at in 1.. {
            let disk = prepared.fork();
            disk.restart(After::Kill);
            disk.fail_at(at, Fault::Crash);
            let shared: Arc<dyn Disk> = Arc::new(disk.clone());
            let opened = App::open(&shared, to.clone()).map(|_| ());
            let calls = disk.stop_failing();
            for after in [After::Kill, After::PowerLoss(at)] {
                let disk = disk.fork();
                disk.restart(after);
                // As it was, if nothing is changed yet; and with both keys in any case.
                let fork = disk.fork();
                let shared: Arc<dyn Disk> = Arc::new(fork);
                match App::open(&shared, from.clone()) {
                    Ok((_, app)) => assert_eq!(app.digest(), digest, "call {at}"),
                    Err(OpenError::NoKey { .. } | OpenError::OtherKey { .. }) => {}
                    Err(error) => panic!("call {at}: {error}"),
                }
                let (store, app) = open(&disk, to.clone());
                assert_eq!((app.digest(), app.read_all(&store)), (digest.clone(), vec![]), "call {at}");
                assert_eq!(app.damage, [], "call {at}");
            }
            if opened.is_ok() && calls < at {
                break;
            }
        }
    }
}

/// Changes a byte of a file, and every checksum of a record so that it is right again.
#[test]
fn what_was_changed_with_its_checksum_is_damage() {
    let disk = SimulatedDisk::new();
    let (store, mut app) = open(&disk, aes("key", None));
    fill(&store, &mut app);
    let (id, group) = app.groups.iter().next().expect("a group");
    let place = group.messages[&3].expect("a place");
    let (path, _) = disk
        .files()
        .into_iter()
        .find(|(path, _)| path.to_string_lossy().ends_with(".log"))
        .expect("a log file");
    let bytes = disk.read(&path);
    // The file begins at the position that its name says.
    let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
    let first = u64::from_str_radix(&name[17..], 16).expect("a position");
    let at = 4096 + (place.lsn().expect("in the log").0 - first) as usize;
    let mut record = bytes[at..at + place.bytes() as usize].to_vec();
    record[60] ^= 1;
    let data = crc32c::crc32c(&record[32..]);
    // Checksums are linear: what the data's changes in the header's is known to anybody.
    let before = u32::from_le_bytes(record[4..8].try_into().expect("4 bytes"));
    let mut difference = [0; 28];
    difference[..4].copy_from_slice(&(before ^ data).to_le_bytes());
    let change = crc32c::crc32c(&difference) ^ crc32c::crc32c(&[0; 28]);
    let header = u32::from_le_bytes(record[..4].try_into().expect("4 bytes")) ^ change;
    record[..4].copy_from_slice(&header.to_le_bytes());
    record[4..8].copy_from_slice(&data.to_le_bytes());
    disk.overwrite(&path, at, &record);
    let read = store.read(*id, 3, place, &mut Vec::new());
    let lost = Lost::Message { group: *id, seq: 3 };
    assert!(matches!(&read, Err(ReadError::Damaged(damage)) if damage.what == lost), "{read:?}");
    let id = *id;
    drop(store);
    let (_, app) = open(&disk, aes("key", None));
    assert_eq!(
        app.damage.iter().map(|damage| damage.what).collect::<Vec<_>>(),
        [Lost::Message { group: id, seq: 3 }]
    );
}

#[test]
fn what_is_erased_is_gone_and_sealed_as_something_else() {
    let disk = SimulatedDisk::new();
    let (store, mut app) = open(&disk, aes("key", None));
    fill(&store, &mut app);
    app.checkpoint(&store).expect("it works");
    fill(&store, &mut app);
    let groups: Vec<_> =
        app.groups.iter().map(|(id, group)| (*id, group.messages[&2].expect("a place"))).collect();
    for (id, place) in groups {
        let mut body = Vec::new();
        store.read(id, 2, place, &mut body).expect("it is there");
        let before = contents(&disk);
        store.erase(id, 2, place).expect("it works");
        let once = contents(&disk);
        assert_ne!(before, once);
        // The same once more is the same bytes: no key seals two things by one nonce.
        store.erase(id, 2, place).expect("it works");
        assert_eq!(contents(&disk), once);
        let mut erased = Vec::new();
        store.read(id, 2, place, &mut erased).expect("its head is there");
        assert_eq!(erased, vec![0; body.len()]);
    }
    drop(store);
    let (_, app) = open(&disk, aes("key", None));
    assert_eq!(app.damage, []);
}
