//! The command line of `dialtone identity`: a table of commands, from which [`declare`] makes what `clap` reads by.

mod declare;

use super::args::options::{
    ACCOUNT, ACCOUNT_LIMITS, CLAIMS, CONFIG, CREDS, DEFAULTS, DESCRIBE, EXPORT, FORCE, IMPORT, INIT, KEYS,
    MAPPING, OPERATOR, OUTPUT, RESOLVER, REVOKE, ROLE, ROTATE, SIGN, STREAMS, USER,
};
use super::args::{Call, Opt};
use super::commands;
use crate::command_line::{self, Parsed};
#[cfg(test)]
use anyhow::bail;
use anyhow::{Context as _, Result};

/// A command: words, what follows them, and which options it takes.
pub struct Command {
    /// `add user`
    words: &'static str,
    /// `NAME`; what is in brackets may be left out, and dots mean any number.
    arguments: &'static str,
    help: &'static str,
    /// Arguments of an example, with what it does.
    example: &'static str,
    options: &'static [&'static [Opt]],
    run: fn(&Call) -> Result<()>,
}

/// What the arguments ask for.
pub enum Invocation {
    /// To be told how it works.
    Help(String),
    /// To be done.
    Run(&'static Command, Call),
}

impl Command {
    /// Does it.
    pub fn run(&self, call: &Call) -> Result<()> {
        (self.run)(call)
    }
}

/// Reads the arguments that follow the word `identity`. Without any, the help is asked for.
///
/// Errors: what is unknown, missing or surplus, with a suggestion where one is near.
pub fn parse(words: &[String]) -> Result<Invocation> {
    let words = if words.is_empty() { vec!["--help".to_owned()] } else { words.to_vec() };
    Ok(match command_line::parse_as(declare::identity(), words)? {
        Parsed::Help(text) => Invocation::Help(text),
        Parsed::Run(matches) => {
            let (command, call) = declare::called(&matches).context("no command")?;
            Invocation::Run(command, call)
        }
    })
}

#[rustfmt::skip]
const COMMANDS: &[Command] = &[
    Command { words: "init", arguments: "NAME", help: "An operator with a system account, and an account with a user: all that a server and a client need",
        example: "init acme", options: &[INIT], run: commands::init::init },
    Command { words: "add operator", arguments: "NAME", help: "An operator, whose key signs accounts",
        example: "add operator acme --signing-key --system-account SYS", options: &[OPERATOR, CLAIMS], run: commands::operator::add },
    Command { words: "add account", arguments: "NAME", help: "An account: users and subjects of their own",
        example: "add account shop --max-connections 100\nadd account data --js-disk 10GB --js-streams 5",
        options: &[ACCOUNT, ACCOUNT_LIMITS, STREAMS, DEFAULTS, CLAIMS, SIGN], run: commands::account::add },
    Command { words: "add user", arguments: "NAME", help: "A user of an account, with a creds file",
        example: "add user bob --account shop --allow-pub 'orders.>' --allow-sub '_INBOX.>'\nadd user eve --sign-with reader --expires 30d",
        options: &[USER, CLAIMS, SIGN], run: commands::user::add },
    Command { words: "add signing-key", arguments: "[ROLE]", help: "A key that signs for the operator or an account; with a role, users it signs have that role's rights",
        example: "add signing-key --operator-key\nadd signing-key reader --account shop --allow-sub '{{name()}}.>' --deny-pub '>'",
        options: &[ROLE, USER], run: commands::signing_key::add },
    Command { words: "add export", arguments: "SUBJECT", help: "What an account gives to others: a stream of messages, or a service that answers",
        example: "add export 'events.>' --account shop\nadd export help --service --private --latency lat.help --sampling 10", options: &[EXPORT, SIGN], run: commands::sharing::add_export },
    Command { words: "add import", arguments: "SUBJECT", help: "What an account takes from another",
        example: "add import 'events.>' --from shop --account office\nadd import help --from shop --service --local get.help --token help.jwt", options: &[IMPORT, SIGN], run: commands::sharing::add_import },
    Command { words: "add mapping", arguments: "FROM TO", help: "A subject that is published to as another, for all or a share of messages",
        example: "add mapping orders 'orders.v2' --weight 10", options: &[MAPPING, SIGN], run: commands::sharing::add_mapping },
    Command { words: "edit operator", arguments: "", help: "Changes the operator",
        example: "edit operator --service-url nats://a:4222 --account-server-url nats://a:4222", options: &[OPERATOR, CLAIMS], run: commands::operator::edit },
    Command { words: "edit account", arguments: "[NAME]", help: "Changes an account",
        example: "edit account shop --max-connections unlimited --deny-pub 'admin.>'", options: &[ACCOUNT, ACCOUNT_LIMITS, STREAMS, DEFAULTS, CLAIMS, SIGN], run: commands::account::edit },
    Command { words: "edit user", arguments: "NAME", help: "Changes a user and its creds file",
        example: "edit user bob --allow-pub 'returns.>' --source 10.0.0.0/8 --time 09:00:00-17:00:00 --locale Europe/Paris", options: &[USER, CLAIMS, SIGN], run: commands::user::edit },
    Command { words: "edit signing-key", arguments: "ROLE|KEY", help: "Changes the role of a signing key; users it signed have the changed rights at once",
        example: "edit signing-key reader --allow-sub 'more.>'", options: &[ROLE, USER], run: commands::signing_key::edit },
    Command { words: "remove account", arguments: "NAME", help: "Removes an account and its users from the store; keys stay", example: "remove account shop", options: &[FORCE], run: commands::account::remove },
    Command { words: "remove user", arguments: "NAME", help: "Removes a user from the store and revokes it", example: "remove user bob --account shop", options: &[ACCOUNT, SIGN], run: commands::user::remove },
    Command { words: "remove signing-key", arguments: "ROLE|KEY", help: "Removes a signing key: what it signed is good no longer", example: "remove signing-key reader --account shop", options: &[ROLE, ACCOUNT], run: commands::signing_key::remove },
    Command { words: "remove export", arguments: "SUBJECT", help: "Removes an export", example: "remove export 'events.>'", options: &[EXPORT, SIGN], run: commands::sharing::remove_export },
    Command { words: "remove import", arguments: "SUBJECT", help: "Removes an import", example: "remove import 'events.>' --from shop", options: &[IMPORT, SIGN], run: commands::sharing::remove_import },
    Command { words: "remove mapping", arguments: "FROM [TO]", help: "Removes a mapping, or one of its destinations", example: "remove mapping orders", options: &[MAPPING, SIGN], run: commands::sharing::remove_mapping },
    Command { words: "list", arguments: "[operators|accounts|users|keys]", help: "Lists what is in the store", example: "list\nlist users --account shop", options: &[ACCOUNT], run: commands::list::list },
    Command { words: "describe", arguments: "[WHAT]", help: "A JWT as a table: of the operator (no argument), an account, a user (ACCOUNT/USER), a file, creds, or standard input (-)",
        example: "describe shop\ndescribe shop/bob\ndescribe bob.creds\ndescribe - --json", options: &[DESCRIBE], run: commands::describe::describe },
    Command { words: "creds", arguments: "USER", help: "Writes a user's creds file", example: "creds bob --account shop --output bob.creds\ncreds bob --path", options: &[CREDS], run: commands::creds::creds },
    Command { words: "config", arguments: "", help: "A server's configuration", example: "config --output server.conf\nconfig --resolver full --resolver-dir ./jwt", options: &[CONFIG, OUTPUT], run: commands::config::config },
    Command { words: "push", arguments: "[ACCOUNT...]", help: "Sends accounts (all, without arguments) to the resolvers of running servers",
        example: "push shop\npush --server nats://a:4222 --prune", options: &[RESOLVER], run: commands::resolver::push },
    Command { words: "pull", arguments: "[ACCOUNT...]", help: "Takes accounts from a resolver into the store", example: "pull shop\npull --overwrite", options: &[RESOLVER], run: commands::resolver::pull },
    Command { words: "resolver list", arguments: "", help: "The accounts that resolvers have", example: "resolver list", options: &[RESOLVER], run: commands::resolver::list },
    Command { words: "resolver delete", arguments: "ACCOUNT...", help: "Deletes accounts from resolvers that allow it", example: "resolver delete shop", options: &[RESOLVER], run: commands::resolver::delete },
    Command { words: "revoke user", arguments: "USER|KEY|*", help: "What was issued to the user until now, or then, lets nobody in",
        example: "revoke user bob --account shop\nrevoke user '*' --at 2027-01-01", options: &[REVOKE, SIGN], run: commands::revoke::revoke_user },
    Command { words: "revoke activation", arguments: "ACCOUNT|KEY|*", help: "Activations of an export that were issued until now are good no longer",
        example: "revoke activation office --export 'events.>' --account shop", options: &[REVOKE, SIGN], run: commands::revoke::revoke_activation },
    Command { words: "unrevoke user", arguments: "USER|KEY|*", help: "Takes a user's revocation back", example: "unrevoke user bob", options: &[REVOKE, SIGN], run: commands::revoke::unrevoke_user },
    Command { words: "unrevoke activation", arguments: "ACCOUNT|KEY|*", help: "Takes an activation's revocation back", example: "unrevoke activation office --export 'events.>'", options: &[REVOKE, SIGN], run: commands::revoke::unrevoke_activation },
    Command { words: "rotate", arguments: "[KEY|ROLE]", help: "Another signing key in the place of this one; what the old one signed is signed again",
        example: "rotate reader --account shop\nrotate --operator-key\nrotate OABC...", options: &[ROTATE], run: commands::rotate::rotate },
    Command { words: "activate", arguments: "ACCOUNT|KEY SUBJECT", help: "A token with which another account may import a private export",
        example: "activate office help --service --account shop --output help.jwt", options: &[EXPORT, CLAIMS, OUTPUT, SIGN], run: commands::sharing::activate },
    Command { words: "validate", arguments: "[FILE...]", help: "Looks at every JWT of the store, or of these files, and names all that is wrong", example: "validate\nvalidate shop.jwt", options: &[], run: commands::validate::validate },
    Command { words: "export keys", arguments: "[KEY...]", help: "Copies secret keys (of the operator, without arguments) into a folder",
        example: "export keys --output backup", options: &[KEYS, OUTPUT], run: commands::keys::export },
    Command { words: "import keys", arguments: "FILE...", help: "Puts secret keys (.nk and creds files) into the key store", example: "import keys backup/*.nk", options: &[], run: commands::keys::import },
    Command { words: "import jwt", arguments: "FILE...", help: "Puts JWTs (of an operator, accounts, users) into the store", example: "import jwt shop.jwt", options: &[FORCE], run: commands::keys::import_jwt },
    Command { words: "keygen", arguments: "KIND", help: "A fresh NKey of an operator, account, user, server, cluster or curve", example: "keygen curve\nkeygen user --show-secret", options: &[KEYS], run: commands::keys::generate },
];

#[cfg(test)]
impl Call {
    /// A call as a test makes it.
    #[cfg(test)]
    pub fn test(line: &str) -> Result<Call> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        match parse(&words)? {
            Invocation::Run(_, call) => Ok(call),
            Invocation::Help(_) => bail!("help"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn help(line: &str) -> String {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        match parse(&words).expect(line) {
            Invocation::Help(text) => text,
            Invocation::Run(..) => panic!("{line} is no call for help"),
        }
    }

    #[test]
    fn every_command_has_its_help() {
        declare::identity().debug_assert();
        let all = help("");
        assert_eq!([help("--help"), help("-h"), help("help")], [all.as_str(), all.as_str(), all.as_str()]);
        for command in COMMANDS {
            for example in command.example.lines() {
                assert!(example.trim().starts_with(command.words), "{example}");
            }
            assert!(all.contains(command.help), "{}", command.words);
            let own = help(&format!("{} --help", command.words));
            let begins = format!("Usage: dialtone identity {}", command.words);
            assert!(own.contains(command.help) && own.contains(&begins), "{own}");
            assert_eq!(own.contains("Examples:"), !command.example.is_empty());
        }
    }

    #[test]
    fn mistyped_words_get_suggestions() {
        for (line, suggestion) in [
            ("lits", "a similar subcommand exists: 'list'"),
            ("add usr bob", "a similar subcommand exists: 'user'"),
            ("add user bob --acount a", "a similar argument exists: '--account'"),
        ] {
            let problem = Call::test(line).err().expect(line).to_string();
            assert!(problem.contains(suggestion), "{problem}");
        }
    }

    #[test]
    fn examples_are_good() {
        for command in COMMANDS {
            for example in command.example.lines() {
                let words: Vec<String> =
                    example.split_whitespace().map(|w| w.trim_matches('\'').to_owned()).collect();
                assert!(
                    matches!(parse(&words), Ok(Invocation::Run(found, _)) if found.words == command.words),
                    "{example}"
                );
            }
        }
    }

    #[test]
    fn wrong_arguments_are_refused() {
        for line in [
            "nosuch",
            "add",
            "add user",
            "add user a b",
            "add user a --nosuch",
            "add user a --expires",
            "add export a --private=1",
            "init",
            "edit operator x",
            "describe a b",
            "list --export x",
            "resolver delete",
            "add mapping a",
            "activate a",
        ] {
            assert!(Call::test(line).is_err(), "{line}");
        }
    }

    #[test]
    fn values_are_found() {
        let call =
            Call::test("add user a --tag x,y --tag z --account=shop --expires 1d --expires 2d --bearer yes")
                .expect("a call");
        assert_eq!(call.list("--tag"), ["x", "y", "z"]);
        assert_eq!((call.value("--account"), call.value("--expires")), (Some("shop"), Some("2d")));
        assert!(call.is_on("--bearer") && !call.is_on("--proxy-required"));
        let call =
            Call::test("--store s edit account shop --max-connections -1 --keystore=k").expect("a call");
        assert_eq!((call.value("--store"), call.value("--keystore")), (Some("s"), Some("k")));
        assert_eq!((call.argument(0), call.value("--max-connections")), (Some("shop"), Some("-1")));
        let call = Call::test("push a --prune b --force --force -- --c").expect("a call");
        assert_eq!(call.arguments(), ["a", "b", "--c"]);
        assert!(call.is_on("--prune") && call.is_on("--force") && !call.is_on("--overwrite"));
        assert_eq!(Call::test("describe -").expect("a call").arguments(), ["-"]);
    }
}
