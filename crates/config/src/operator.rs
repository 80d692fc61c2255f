//! Operator mode: who signs accounts, and where the tokens of accounts come from.
//!
//! Tokens are texts here; what they hold is read where keys are known, in the `identity` room.

use crate::Secret;
use crate::blocks::reader::{self, Block, Errors, Notes, noted};
use crate::blocks::resolver_tls::resolver_tls;
use crate::error::{ConfigError, Location};
use crate::language::{Files, Kind, Value};
use crate::nkey;
use crate::options::Options;
pub use crate::options::operator::{
    Folder, Keeps, OperatorJwt, OperatorMode, Preload, Resolver, ResolverTls,
};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a token is waited for that must come from elsewhere. The official figure.
const TIMEOUT_DEFAULT: Duration = Duration::from_millis(1900);
/// How often a full resolver compares what it has with other servers. The official figure.
const INTERVAL_DEFAULT: Duration = Duration::from_secs(60);
/// Tokens that a cache keeps. The official figure.
const CACHED_MAX: u64 = 1000;
/// How long a cache keeps a token. The official figure.
const TTL_DEFAULT: Duration = Duration::from_secs(2 * 60 * 60);
/// How an inline token begins: base64 of `{"`.
const TOKEN_START: &str = "eyJ";

pub(crate) fn operator_mode(block: &Block<'_>, notes: &mut Notes) -> OperatorMode {
    let mut out = OperatorMode::default();
    if let Some(value) = block.get("operator") {
        out.operators = operators(value, &mut notes.errors);
    }
    block.set("trusted", &mut out.trusted_keys, &mut notes.errors, |v| {
        let keys = reader::texts(v)?;
        match keys.iter().find(|key| !nkey::is_public(key, Some('O'))) {
            None => Ok(keys),
            Some(key) => Err(ConfigError::new(
                &v.at,
                format!("trust key {key:?} required to be a valid public operator nkey"),
            )),
        }
    });
    if let Some(value) = block.get("resolver") {
        out.resolver = resolver(value, &mut notes.errors);
    }
    block.set_block("resolver_tls", &mut out.tls, notes, resolver_tls);
    let errors = &mut notes.errors;
    if let Some(value) = block.get("resolver_preload") {
        out.preload = preload(value, errors);
    }
    block.set("resolver_pinned_accounts", &mut out.pinned, errors, |v| {
        let keys = reader::texts(v)?;
        match keys.iter().find(|key| !nkey::is_public(key, Some('A'))) {
            None => Ok(keys),
            Some(key) => {
                let problem = format!("pinned account key {key:?} is not a valid public account nkey");
                Err(ConfigError::new(&v.at, problem))
            }
        }
    });
    block.set("default_sentinel", &mut out.default_sentinel, errors, |v| {
        Ok(reader::optional(v)?.map(Secret::new))
    });
    out
}

/// Tokens, or names of files that hold them; those are read by [`read_files`].
fn operators(value: &Value, errors: &mut Errors) -> Vec<OperatorJwt> {
    let values = match &value.kind {
        Kind::Array(values) => values.as_slice(),
        _ => std::slice::from_ref(value),
    };
    let one = |value: &Value| match &value.kind {
        Kind::String(text) => Ok(OperatorJwt { at: value.at.clone().into(), jwt: text.clone() }),
        _ => {
            let problem = format!("error parsing operators: unsupported type {}", value.kind.name());
            Err(ConfigError::new(&value.at, problem).help("a JWT, a file that holds one, or a list of them"))
        }
    };
    values.iter().filter_map(|value| noted(one(value), errors)).collect()
}

/// Puts the tokens that stand in files in the place of the files' names.
pub(crate) fn read_files(mode: &mut OperatorMode, files: &mut dyn Files, errors: &mut Errors) {
    for operator in &mut mode.operators {
        if operator.jwt.starts_with(TOKEN_START) {
            continue;
        }
        let mut say = |problem: String| {
            errors.push(ConfigError::new(&operator.at, format!("error parsing operator JWT: {problem}")));
        };
        match files.read(Path::new(&operator.jwt)) {
            Err(cause) => say(format!("open {}: {cause}", operator.jwt)),
            Ok(bytes) => match bare_token(&String::from_utf8_lossy(&bytes)) {
                Some(token) => operator.jwt = token,
                None => say(format!("{} holds no JWT", operator.jwt)),
            },
        }
    }
}

/// The token in a file: alone, or between lines of dashes. It may go on on further lines.
fn bare_token(text: &str) -> Option<String> {
    let mut lines = text.lines().map(str::trim).skip_while(|line| !line.starts_with(TOKEN_START)).peekable();
    lines.peek()?;
    let lines: Vec<&str> = lines.take_while(|line| !line.starts_with("---")).collect();
    Some(lines.join("\n").trim_end().to_owned())
}

const RESOLVER_WRONG: &str = "error parsing account resolver, should be MEM or  URL(\"url\") or a map \
                              containing dir and type state=[FULL|CACHE])";

fn resolver(value: &Value, errors: &mut Errors) -> Option<Resolver> {
    let wrong = || ConfigError::new(&value.at, RESOLVER_WRONG);
    let map = match &value.kind {
        Kind::Map(map) => map,
        Kind::String(text) => {
            let resolver = by_name(text);
            if resolver.is_none() {
                errors.push(wrong());
            }
            return resolver;
        }
        _ => {
            errors.push(wrong());
            return None;
        }
    };
    let block = Block::new("resolver", map, errors);
    let (mut kind, mut dir) = (String::new(), None);
    let (mut allow_delete, mut hard_delete) = (false, false);
    let (mut limit, mut timeout, mut interval, mut ttl) = (None, TIMEOUT_DEFAULT, None, None);
    block.set("type", &mut kind, errors, |v| reader::text(v).map(|text| text.to_ascii_uppercase()));
    block.set("dir", &mut dir, errors, |v| reader::optional(v).map(|dir| dir.map(PathBuf::from)));
    block.set("allow_delete", &mut allow_delete, errors, reader::boolean);
    block.set("hard_delete", &mut hard_delete, errors, reader::boolean);
    block.set("limit", &mut limit, errors, |v| Ok(Some(reader::limit(v)? as u64).filter(|&n| n > 0)));
    block.set("timeout", &mut timeout, errors, |v| match reader::duration_text(v)? {
        timeout if timeout.is_zero() => Err(ConfigError::new(&v.at, "the timeout is zero")),
        timeout => Ok(timeout),
    });
    block.set("interval", &mut interval, errors, |v| reader::duration_text(v).map(Some));
    block.set("ttl", &mut ttl, errors, |v| reader::duration_text(v).map(Some));
    let before = errors.len();
    let mut say = |key: &str, problem: &str| {
        errors.push(ConfigError::new(block.get(key).map_or(&value.at, |v| &v.at), problem));
    };
    let keeps = match kind.as_str() {
        "MEM" | "MEMORY" => return Some(Resolver::Memory),
        "FULL" => {
            if ttl.is_some_and(|ttl: Duration| !ttl.is_zero()) {
                say("ttl", "FULL does not accept ttl");
            }
            if hard_delete && !allow_delete {
                say("hard_delete", "hard_delete has no effect without delete");
            }
            let interval = interval.unwrap_or(INTERVAL_DEFAULT);
            Keeps::All { allow_delete, hard_delete, limit, interval }
        }
        "CACHE" => {
            for (key, given) in [
                ("allow_delete", allow_delete),
                ("hard_delete", hard_delete),
                ("interval", interval.is_some()),
            ] {
                if given {
                    say(key, &format!("CACHE does not accept {key}"));
                }
            }
            Keeps::Some { limit: limit.unwrap_or(CACHED_MAX), ttl: ttl.unwrap_or(TTL_DEFAULT) }
        }
        _ => {
            say("type", RESOLVER_WRONG);
            return None;
        }
    };
    let Some(dir) = dir else {
        say("dir", "dir has no value and needs to point to a directory");
        return None;
    };
    (errors.len() == before)
        .then(|| Resolver::Folder(Folder { at: value.at.clone().into(), dir, keeps, timeout }))
}

/// `MEM`, `MEMORY` or `URL(…)`.
fn by_name(text: &str) -> Option<Resolver> {
    let text = text.trim();
    if ["MEM", "MEMORY"].iter().any(|name| text.eq_ignore_ascii_case(name)) {
        return Some(Resolver::Memory);
    }
    let start = text.get(..3).filter(|start| start.eq_ignore_ascii_case("URL"))?;
    let address = text.strip_prefix(start)?.trim().strip_prefix('(')?.strip_suffix(')')?;
    Some(Resolver::Url(address.trim().trim_matches('"').to_owned()))
}

fn preload(value: &Value, errors: &mut Errors) -> Vec<Preload> {
    let Kind::Map(map) = &value.kind else {
        let problem = "preload should be a map of account_public_key:account_jwt";
        errors.push(ConfigError::new(&value.at, problem));
        return Vec::new();
    };
    let entries = map.iter().filter(|entry| !entry.variable);
    let one = |entry: &crate::language::Entry| {
        let jwt = reader::text(&entry.value)?;
        if !nkey::is_public(&entry.key, Some('A')) {
            let problem = format!("preload key {:?} is not a valid public account nkey", entry.key);
            return Err(ConfigError::new(&entry.at, problem));
        }
        Ok(Preload {
            at: entry.value.at.clone().into(),
            account: entry.key.clone(),
            jwt: jwt.trim().to_owned(),
        })
    };
    entries.filter_map(|entry| noted(one(entry), errors)).collect()
}

/// What does not go together, in the words of the official server.
pub(crate) fn check(
    options: &Options,
    place: &dyn Fn(&str) -> Location,
    is_good: bool,
    say: &mut impl FnMut(&Location, String),
) {
    let mode = &options.operator_mode;
    // An operator that is there and wrong is told once, where it stands.
    let is_meant = ["operator", "trusted"].iter().any(|key| place(key).line > 0);
    if !mode.is_on() && is_meant && !is_good {
        return;
    }
    if !mode.is_on() {
        if mode.default_sentinel.is_some() {
            say(&place("default_sentinel"), "default sentinel requires operators and accounts".into());
        }
        for (key, given) in [
            ("resolver", mode.resolver.is_some()),
            ("resolver_tls", mode.tls != ResolverTls::default()),
            ("resolver_preload", !mode.preload.is_empty()),
            ("resolver_pinned_accounts", !mode.pinned.is_empty()),
        ] {
            if given {
                say(&place(key), format!("{key} has no effect without an operator"));
            }
        }
        return;
    }
    let authorization = &options.authorization;
    let users =
        !authorization.users.is_empty() || authorization.user.is_some() || authorization.token.is_some();
    for (key, wrong, problem) in [
        (
            "trusted",
            !mode.operators.is_empty() && !mode.trusted_keys.is_empty(),
            "conflicting options for 'TrustedKeys' and 'TrustedOperators'",
        ),
        (
            "accounts",
            !options.accounts.is_empty(),
            "operators do not allow Accounts to be configured directly",
        ),
        // Those of the default account, in which nobody is.
        (
            "mappings",
            !options.mappings.is_empty(),
            "operators do not allow Accounts to be configured directly",
        ),
        ("authorization", users, "operators do not allow users to be configured directly"),
        (
            "authorization",
            authorization.callout.is_some(),
            "operators do not allow authorization callouts to be configured directly",
        ),
        ("no_auth_user", options.no_auth_user.is_some(), "no_auth_user not compatible with Trusted Operator"),
        (
            "trusted",
            mode.operators.is_empty() && mode.resolver.is_none(),
            "operators require an account resolver to be configured",
        ),
        (
            "resolver_preload",
            !mode.preload.is_empty()
                && !matches!(mode.resolver, Some(Resolver::Memory | Resolver::Folder(_))),
            "resolver preloads only available for writeable resolver types MEM/DIR/CACHE_DIR",
        ),
        (
            "resolver_tls",
            mode.tls != ResolverTls::default() && !matches!(mode.resolver, None | Some(Resolver::Url(_))),
            "resolver_tls has no effect without a URL resolver",
        ),
    ] {
        if wrong {
            say(&place(key), problem.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    const OPERATOR: &str = "OAYOUATZV4ODWE6YAJAZHRJM33VNLIVRIQPNS26WBQCPBFOEZQOBICQR";
    const ACCOUNT: &str = "ADUB7VVVWTZIB7UBKXT623WGDQ7REMQDDVKSCZCUHCXESGTMGOEH3RXS";

    /// What is wrong with a configuration that trusts a key; a file named `op` is there.
    fn read(text: &str) -> Result<OperatorMode, String> {
        let mut files = |path: &Path| match path.to_str() {
            Some("op") => Ok(b"-----BEGIN NATS OPERATOR JWT-----\neyJa.b.c\n------END\n".to_vec()),
            Some("long") => Ok(b"eyJa.b.c\r\nd\r\n".to_vec()),
            Some("none") => Ok(b"nothing".to_vec()),
            _ => Err(io::ErrorKind::NotFound.into()),
        };
        crate::load_text(text, "t.conf", &mut files, &|_| None)
            .map(|options| options.operator_mode)
            .map_err(|errors| errors.to_string())
    }

    #[track_caller]
    fn refuse(text: &str, expected: &str) {
        let errors = read(text).expect_err(text);
        assert!(errors.starts_with(expected), "{text}: {errors}");
    }

    #[test]
    fn operators_come_inline_and_from_files() {
        let mode = read("operators: [op, eyJx.y.z, long]\nresolver: MEM").expect("read");
        let tokens: Vec<&str> = mode.operators.iter().map(|o| o.jwt.as_str()).collect();
        assert_eq!(tokens, ["eyJa.b.c", "eyJx.y.z", "eyJa.b.c\nd"]);
        assert_eq!(mode.resolver, Some(Resolver::Memory));
        refuse("operator: gone\nresolver: MEM", "t.conf:1:11: error parsing operator JWT: open gone: ");
        refuse("operator: none\nresolver: MEM", "t.conf:1:11: error parsing operator JWT: none holds no JWT");
        refuse(
            "operator: 3\nresolver: MEM",
            "t.conf:1:11: error parsing operators: unsupported type an integer",
        );
    }

    #[test]
    fn resolvers() {
        let resolver = |text: &str| {
            read(&format!("trusted: {OPERATOR}\nresolver: {text}"))
                .map(|mode| mode.resolver.expect("resolver"))
        };
        assert_eq!(resolver("memory"), Ok(Resolver::Memory));
        assert_eq!(resolver("URL(http://a/b/)"), Ok(Resolver::Url("http://a/b/".into())));
        assert_eq!(resolver("'URL(\"http://a/b/\")'"), Ok(Resolver::Url("http://a/b/".into())));
        let Ok(Resolver::Folder(folder)) = resolver("{ type: full, dir: x, limit: 3, allow_delete: true }")
        else {
            panic!("a folder");
        };
        let keeps =
            Keeps::All { allow_delete: true, hard_delete: false, limit: Some(3), interval: INTERVAL_DEFAULT };
        assert_eq!((folder.keeps, folder.timeout), (keeps, TIMEOUT_DEFAULT));
        let Ok(Resolver::Folder(folder)) = resolver("{ type: cache, dir: x, ttl: '5m' }") else {
            panic!("a folder");
        };
        assert_eq!(folder.keeps, Keeps::Some { limit: CACHED_MAX, ttl: Duration::from_secs(300) });
        for (text, expected) in [
            ("FOO", "t.conf:2:11: error parsing account resolver"),
            ("{ type: x, dir: y }", "t.conf:2:19: error parsing account resolver"),
            ("{ type: full }", "t.conf:2:11: dir has no value and needs to point to a directory"),
            ("{ type: full, dir: x, ttl: '5m' }", "t.conf:2:38: FULL does not accept ttl"),
            ("{ type: full, dir: x, hard_delete: true }", "t.conf:2:46: hard_delete has no effect"),
            (
                "{ type: cache, dir: x, allow_delete: true }",
                "t.conf:2:48: CACHE does not accept allow_delete",
            ),
            ("{ type: cache, dir: x, interval: 60 }", "t.conf:2:44: expected a duration"),
            ("{ type: cache, dir: x, interval: 1m }", "t.conf:2:44: CACHE does not accept interval"),
        ] {
            assert!(resolver(text).is_err_and(|e| e.contains(expected)), "{text}: {:?}", resolver(text));
        }
    }

    #[test]
    fn what_does_not_go_together() {
        let base = format!("trusted: {OPERATOR}, resolver: MEM");
        assert!(read(&base).expect("read").is_on());
        for (more, expected) in [
            ("accounts { A { } }", "operators do not allow Accounts to be configured directly"),
            ("mappings { a: b }", "operators do not allow Accounts to be configured directly"),
            ("authorization { token: x }", "operators do not allow users to be configured directly"),
            ("operator: eyJa.b.c", "conflicting options for 'TrustedKeys' and 'TrustedOperators'"),
            ("resolver_pinned_accounts: [X]", "pinned account key \"X\" is not a valid public account nkey"),
            ("trusted: [ABC]", "trust key \"ABC\" required to be a valid public operator nkey"),
            ("resolver_preload: 3", "preload should be a map of account_public_key:account_jwt"),
            ("resolver_preload: { A: x }", "preload key \"A\" is not a valid public account nkey"),
            ("resolver_tls: { ca_file: x }", "resolver_tls has no effect without a URL resolver"),
        ] {
            let errors = read(&format!("{base}\n{more}")).expect_err(more);
            assert!(errors.contains(expected), "{more}: {errors}");
        }
        refuse(&format!("trusted: {OPERATOR}"), "t.conf:1:1: operators require an account resolver");
        refuse(
            &format!("trusted: {OPERATOR}, resolver: 'URL(x)'\nresolver_preload: {{ {ACCOUNT}: x }}"),
            "t.conf:2:1: resolver preloads only available for writeable resolver types",
        );
        refuse("default_sentinel: x", "t.conf:1:1: default sentinel requires operators and accounts");
        refuse("resolver: MEM", "t.conf:1:1: resolver has no effect without an operator");
    }
}
