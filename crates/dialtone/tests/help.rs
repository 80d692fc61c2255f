//! The help names every command, and a mistyped word gets a suggestion.

use std::process::{Command, Output};

fn run(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dialtone")).args(words).output().expect("run")
}

#[track_caller]
fn text(words: &[&str]) -> String {
    let output = run(words);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn help_names_every_command_and_each_has_its_own() {
    let all = text(&["--help"]);
    for (name, what) in dialtone_config::flags::TOOLS {
        assert!(all.lines().any(|line| line.trim_start().starts_with(name) && line.ends_with(what)), "{all}");
        let own = text(&[name, "--help"]);
        assert!(own.contains(&format!("dialtone {name}")) && own != all, "{own}");
    }
}

#[test]
fn a_mistyped_word_gets_a_suggestion() {
    for (words, suggestion) in [
        (&["explian"] as &[&str], "did you mean explain?"),
        (&["--confg", "x"], "did you mean -config?"),
        (&["identity", "add", "usr"], "a similar subcommand exists: 'user'"),
        (&["bench", "fanuot"], "a similar value exists: 'fanout'"),
        (&["bench", "pub", "--sise", "1kb"], "a similar argument exists: '--size'"),
        (&["explain", "--acount", "A", "pub", "x"], "a similar argument exists: '--account'"),
    ] {
        let output = run(words);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && told.contains(suggestion), "{words:?}: {told}");
    }
}
