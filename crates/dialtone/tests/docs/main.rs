//! What the documentation tells to type works, page by page and from top to bottom, and prints what it shows.
//!
//! Each page is played by one shell in an empty home folder, with the program as `dialtone`, and what is in the tree's `deploy`.

mod page;

use page::{Kind, PORTS, blocks, script};
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Blocks of commands of all pages that may be left out.
const NOT_RUN_MAX: usize = 3;

/// Servers listen on a port that is free, unless their configuration says where, and operators' servers are found there.
const DIALTONE: &str = "#!/bin/sh
case \"${1:-} ${2:-}\" in
  'identity init') exec BINARY \"$@\" --service-url nats://127.0.0.1:PORT ;;
  '-c '*)
    if grep -q '^listen:' \"$2\"; then exec BINARY \"$@\"; fi
    exec BINARY \"$@\" -a 127.0.0.1 -p PORT ;;
  ' ' | '--config '*) exec BINARY \"$@\" -a 127.0.0.1 -p PORT ;;
  *) exec BINARY \"$@\" ;;
esac
";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// All pages, by name.
fn pages() -> Vec<(String, String)> {
    let mut out = Vec::new();
    for folder in [root(), root().join("docs")] {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.extension().is_some_and(|extension| extension == "md") {
                let name = path.file_name().expect("a name").to_string_lossy().into_owned();
                out.push((name, fs::read_to_string(path).expect("a page is UTF-8")));
            }
        }
    }
    out.sort();
    out
}

/// A free port for each that pages speak of.
fn free_ports() -> [u16; PORTS.len()] {
    let sockets = PORTS.map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    sockets.map(|socket| socket.local_addr().expect("an address").port())
}

/// Plays a page.
///
/// Errors: what does not work or is not as it is shown, with its line.
fn play(text: &str) -> Result<(), String> {
    let blocks = blocks(text)?;
    if blocks.iter().all(|block| block.kind == Kind::Shown) {
        return Ok(());
    }
    let home = tempfile::tempdir().expect("a folder");
    let ports = free_ports();
    let port = ports[0];
    let tools = home.path().join("bin");
    fs::create_dir(&tools).expect("made");
    let program =
        DIALTONE.replace("BINARY", env!("CARGO_BIN_EXE_dialtone")).replace("PORT", &port.to_string());
    fs::write(tools.join("dialtone"), program).expect("written");
    fs::set_permissions(tools.join("dialtone"), fs::Permissions::from_mode(0o755)).expect("executable");
    symlink(root().join("deploy"), home.path().join("deploy")).expect("linked");
    let (script, outputs) = script(&blocks, &ports);
    let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap_or_default());
    let log = home.path().join("log");
    let file = fs::File::create(&log).expect("a log");
    let status = Command::new("bash")
        .args(["-c", &script])
        .current_dir(home.path())
        .env("HOME", home.path())
        .env("PATH", path)
        .env_remove("XDG_DATA_HOME")
        .env_remove("XDG_CONFIG_HOME")
        // Passwords that configurations take from the environment.
        .envs(["WEB", "BATCH", "ADMIN"].map(|name| (name, "secret")))
        .stdout(file.try_clone().expect("the same log"))
        .stderr(file)
        .status()
        .expect("bash runs");
    if !status.success() {
        return Err(fs::read_to_string(log).expect("a log"));
    }
    for output in outputs {
        let printed = fs::read_to_string(home.path().join(&output.file)).expect("an output");
        if printed != output.expected {
            return Err(format!("line {}: it prints\n{printed}", output.line));
        }
    }
    Ok(())
}

#[test]
fn every_command_of_the_docs_works() {
    let pages = pages();
    let mut played = 0;
    for (name, text) in &pages {
        play(text).unwrap_or_else(|problem| panic!("{name}: {problem}"));
        played += blocks(text).expect("read").iter().filter(|block| block.kind != Kind::Shown).count();
    }
    assert!(played >= 10, "{played} blocks are too few: the pages were not found");
}

#[test]
fn few_blocks_are_not_run_and_each_says_why() {
    let mut reasons = Vec::new();
    for (name, text) in pages() {
        let blocks = blocks(&text).unwrap_or_else(|problem| panic!("{name}: {problem}"));
        reasons.extend(
            blocks.into_iter().filter_map(|block| Some(format!("{name}:{}: {}", block.line, block.not_run?))),
        );
    }
    assert!(reasons.len() <= NOT_RUN_MAX, "{reasons:#?}");
}

#[test]
fn a_page_that_is_wrong_is_found() {
    let page = |kind: &str, text: &str| format!("Text.\n\n```{kind}\n{text}\n```\n");
    for (kind, text, problem) in [
        ("", "a", "line 3: say `sh`"),
        ("bash", "a", "line 3: say `sh`"),
        ("sh", "true\nfalse", "line 5: exit code 1"),
        ("sh", "nosuch", "line 4: exit code 127"),
        ("sh", "dialtone identity add account shop", "there is no operator"),
        ("sh", "dialtone -c nosuch.conf &", "line 4: exit code of a server that ended"),
        ("console", "$ echo a\na\n$ echo b\nc", "line 6: it prints\nb\n"),
        ("conf", "nonsense: 1", "unknown field"),
    ] {
        let found = play(&page(kind, text)).expect_err(text);
        assert!(found.contains(problem), "{text}: {found}");
    }
    assert_eq!(play(&page("console", "$ echo a\na\n$ false")), Ok(()));
    assert_eq!(play(&page("sh", "dialtone -c /dev/null &\nkill $! && wait $!\necho \\\n  goes on")), Ok(()));
    assert!(blocks("```sh\na").is_err());
}
