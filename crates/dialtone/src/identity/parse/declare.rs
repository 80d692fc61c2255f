//! The tables of commands and options as `clap` wants them, and what it found as a [`Call`].

use super::{COMMANDS, Command};
use crate::identity::args::{Call, Opt, options};
use clap::{Arg, ArgAction, ArgMatches};
use std::fmt::Write as _;

/// The whole command line.
pub fn identity() -> clap::Command {
    let place = |place| option(place).global(true).help_heading("Options of all commands");
    let mut root = clap::Command::new("dialtone identity")
        .bin_name("dialtone identity")
        .override_help(help())
        .subcommand_required(true)
        .args(options::PLACES.iter().map(place));
    for command in COMMANDS {
        root = match command.words.split_once(' ') {
            None => root.subcommand(leaf(command, command.words)),
            Some((first, second)) => {
                let leaf = leaf(command, second);
                if root.find_subcommand(first).is_some() {
                    root.mut_subcommand(first, |group| group.subcommand(leaf))
                } else {
                    root.subcommand(clap::Command::new(first).subcommand_required(true).subcommand(leaf))
                }
            }
        };
    }
    root
}

/// A command under the last of its words.
fn leaf(command: &'static Command, word: &'static str) -> clap::Command {
    let mut examples = String::new();
    for (at, line) in command.example.lines().enumerate() {
        // Writing to a String has no way to fail.
        let _ = write!(
            examples,
            "{}  dialtone identity {}",
            if at == 0 { "Examples:\n" } else { "\n" },
            line.trim()
        );
    }
    clap::Command::new(word)
        .about(command.help)
        .after_help(examples)
        .args(command.arguments.split_whitespace().enumerate().map(|(at, word)| argument(at, word)))
        .args(command.options.iter().flat_map(|table| table.iter()).map(option))
}

/// `NAME`; what is in brackets may be left out, and dots mean any number. The word as it stands is the argument's id.
fn argument(at: usize, word: &'static str) -> Arg {
    let name = word.trim_matches(['[', ']']).trim_end_matches("...");
    let argument = Arg::new(word).index(at + 1).value_name(name).required(!word.starts_with('['));
    if word.contains("...") { argument.num_args(1..) } else { argument }
}

fn option(option: &Opt) -> Arg {
    let long = option.name.trim_start_matches('-');
    let arg = Arg::new(option.name).long(long).help(option.help);
    if option.value.is_empty() {
        return arg.action(ArgAction::Count);
    }
    // -1 stands for no limit.
    arg.value_name(option.value).action(ArgAction::Append).allow_negative_numbers(true)
}

/// The command that was found, with what it is given.
pub fn called(found: &ArgMatches) -> Option<(&'static Command, Call)> {
    let (first, mut found) = found.subcommand()?;
    let mut words = first.to_owned();
    if let Some((second, deeper)) = found.subcommand() {
        words = format!("{words} {second}");
        found = deeper;
    }
    let command = COMMANDS.iter().find(|command| command.words == words)?;
    let mut call = Call::default();
    for word in command.arguments.split_whitespace() {
        call.arguments.extend(found.get_many::<String>(word).into_iter().flatten().cloned());
    }
    for option in command.options.iter().chain([&options::PLACES]).flat_map(|table| table.iter()) {
        if option.value.is_empty() {
            if found.get_count(option.name) > 0 {
                call.options.push((option.name, String::new()));
            }
        } else {
            let values = found.get_many::<String>(option.name).into_iter().flatten();
            call.options.extend(values.map(|value| (option.name, value.clone())));
        }
    }
    Some((command, call))
}

/// The text of `dialtone identity --help`: every command in one list.
fn help() -> String {
    let mut text = String::from(
        "Makes and looks after operators, accounts and users that trust each other by signatures (JWTs and NKeys).\n\
         Files are those of `nsc`: either tool reads what the other wrote.\n\n\
         Usage: dialtone identity COMMAND [arguments] [options]\n       \
         dialtone identity COMMAND --help\n\nCommands:\n",
    );
    for command in COMMANDS {
        let _ =
            writeln!(text, "  {:36} {}", format!("{} {}", command.words, command.arguments), command.help);
    }
    text.push_str("\nOptions of all commands:\n");
    for option in options::PLACES {
        let _ = writeln!(text, "  {:30} {}", format!("{} {}", option.name, option.value), option.help);
    }
    text.push_str(
        "\nTo begin with, three commands and a server:\n  \
         dialtone identity init acme\n  \
         dialtone identity config --output server.conf\n  \
         dialtone -c server.conf &\n  \
         nats --creds \"$(dialtone identity creds acme --path)\" pub hello world\n",
    );
    text
}
