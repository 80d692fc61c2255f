//! From values to options.

use crate::blocks::reader::{self, Block, Errors, Notes};
use crate::blocks::{cluster, gateway, jetstream, leafnodes, mqtt, mqtt_sn, websocket};
use crate::check::check;
use crate::error::{ConfigError, ConfigErrors, ErrorKind, Location};
use crate::language::{self, Env, Files, Map};
use crate::operator;
use crate::options::Options;
use crate::sharing::Import;
use std::path::Path;

/// Reads a configuration file and all that it includes, and checks it. `env` gives variables of the environment.
///
/// # Errors
///
/// The first place where the language is not understood; else all that is wrong, in the order of the file.
pub fn load(path: &Path, files: &mut dyn Files, env: Env<'_>) -> Result<Options, ConfigErrors> {
    let map = language::parse_file(path, files, env)?;
    let mut options = from_values(&map, &path.display().to_string(), files)?;
    options.source.file = Some(path.to_owned());
    Ok(options)
}

/// The same from text, where `name` stands for the file; what it includes is relative to the current directory.
pub fn load_text(
    text: &str,
    name: &str,
    files: &mut dyn Files,
    env: Env<'_>,
) -> Result<Options, ConfigErrors> {
    from_values(&language::parse_text(text, name, files, env)?, name, files)
}

/// A configuration that is only read: what a server would refuse of it, and what is left without that.
#[derive(Debug, Default)]
pub struct Partial {
    /// The rest.
    pub options: Options,
    /// Keys that are known and not supported.
    pub not_supported: Vec<ConfigError>,
    /// Imports that do not hold, by the account that has them.
    pub imports: Vec<(String, Import, ConfigError)>,
}

/// Reads a file as [`load`] does, and leaves out what the rest can be understood without.
///
/// # Errors
///
/// Everything else that is wrong.
pub fn load_partial(path: &Path, files: &mut dyn Files, env: Env<'_>) -> Result<Partial, ConfigErrors> {
    let map = language::parse_file(path, files, env)?;
    let mut partial = partial(&map, &path.display().to_string(), files)?;
    partial.options.source.file = Some(path.to_owned());
    Ok(partial)
}

/// The same from text.
pub fn load_partial_text(
    text: &str,
    name: &str,
    files: &mut dyn Files,
    env: Env<'_>,
) -> Result<Partial, ConfigErrors> {
    partial(&language::parse_text(text, name, files, env)?, name, files)
}

fn partial(map: &Map, name: &str, files: &mut dyn Files) -> Result<Partial, ConfigErrors> {
    let (options, errors) = read(map, name, files);
    let mut out = Partial { options, ..Partial::default() };
    let mut invalid = Errors::new();
    let mut refused = Errors::new();
    for error in errors {
        match error.kind {
            ErrorKind::Invalid => invalid.push(error),
            ErrorKind::NotSupported => out.not_supported.push(error),
            ErrorKind::Import => refused.push(error),
        }
    }
    for account in &mut out.options.access.accounts {
        account.imports.retain(|import| {
            let Some(error) = refused.iter().find(|error| error.at == *import.at) else { return true };
            out.imports.push((account.name.clone(), import.clone(), error.clone()));
            false
        });
    }
    if invalid.is_empty() { Ok(out) } else { Err(ConfigErrors(invalid)) }
}

fn from_values(map: &Map, name: &str, files: &mut dyn Files) -> Result<Options, ConfigErrors> {
    let (options, errors) = read(map, name, files);
    if errors.is_empty() { Ok(options) } else { Err(ConfigErrors(errors)) }
}

/// Options, and all that is wrong with them in the order of the file.
pub(crate) fn read(map: &Map, name: &str, files: &mut dyn Files) -> (Options, Errors) {
    let mut notes = Notes::default();
    let mut options = options(map, &mut notes);
    let Notes { mut errors, doubts, ignored } = notes;
    (options.source.doubts, options.source.ignored) = (doubts, ignored);
    operator::read_files(&mut options.access.operator_mode, files, &mut errors);
    options.source.digest = language::digest(map);
    let place = |key: &str| reader::place(map, key).cloned().unwrap_or_else(|| Location::nowhere(name));
    check(&options, &place, &mut errors);
    errors.sort_by_key(|e| (e.at.line == 0, e.at.file.as_ref() != name, e.at.line, e.at.column));
    (options, errors)
}

fn options(map: &Map, notes: &mut Notes) -> Options {
    let mut out = Options::default();
    let block = Block::new("", map, &mut notes.errors);
    out.clients.read_all(&block, notes);
    out.operation.http.read_all(&block, notes);
    out.limits.read(&block, notes);
    out.operation.lame_duck.read(&block, notes);
    out.log.read_all(&block, notes);
    block.set_block("websocket", &mut out.websocket, notes, websocket::websocket);
    block.set_block("mqtt", &mut out.mqtt, notes, mqtt::mqtt);
    block.set_block("mqtt_sn", &mut out.mqtt_sn, notes, mqtt_sn::mqtt_sn);
    block.set_block("cluster", &mut out.cluster, notes, cluster::cluster);
    block.set_block("gateway", &mut out.gateway, notes, gateway::gateway);
    block.set_block("leafnodes", &mut out.leafnodes, notes, leafnodes::leafnodes);
    block.set_block("jetstream", &mut out.jetstream, notes, jetstream::jetstream);
    out.server.read(&block, notes);
    out.operation.staples.read(&block, notes);
    out.operation.usage.read(&block, notes);
    out.access.read_all(&block, notes);
    profiler(&block, notes);
    let mut ignored = false;
    block.set("disable_sublist_cache", &mut ignored, &mut notes.errors, reader::boolean);
    out
}

/// The keys of the Go profiler: no client can notice that it is not there.
fn profiler(block: &Block<'_>, notes: &mut Notes) {
    let mut port = None;
    block.set("prof_port", &mut port, &mut notes.errors, reader::port);
    let mut rate = 0;
    block.set("prof_block_rate", &mut rate, &mut notes.errors, reader::integer);
    for (key, asked) in [("prof_port", port != Some(0)), ("prof_block_rate", rate != 0)] {
        if let Some(value) = block.get(key).filter(|_| asked) {
            let problem =
                format!("{key} has no effect: there is no Go profiler, use a system profiler such as perf");
            notes.ignored.push(ConfigError::new(&value.at, problem));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Options, ConfigErrors> {
        let mut files = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
        load_text(text, "t.conf", &mut files, &|_| None)
    }

    #[track_caller]
    fn refuse(text: &str, expected: &str) {
        let errors = read_text(text).expect_err(text).to_string();
        assert!(errors.starts_with(expected), "{text}: {errors}");
    }

    /// The advice works: what is refused bare is taken with quotes inside the variable.
    #[test]
    fn a_variable_that_needs_quotes_has_advice_that_works() {
        let mut files = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
        for password in ["1k", "5", "true", "a b", "it's", "{x", "[1", "a,b", "x]"] {
            let mut read = |value: &str| {
                let text = "authorization { user: a, password: $PASS }";
                load_text(text, "t.conf", &mut files, &|name| (name == "PASS").then(|| value.to_owned()))
            };
            let refused = read(password).expect_err(password);
            let [error] = refused.0.as_slice() else { panic!("{password}: {refused}") };
            assert_eq!(error.help, crate::language::QUOTE_VARIABLE, "{password}: {refused}");
            let options = read(&format!("\"{password}\"")).expect(password);
            let taken = options.access.authorization.password.as_ref().map(|secret| secret.expose());
            assert_eq!(taken, Some(password));
        }
    }

    #[test]
    fn an_empty_file_is_all_defaults() {
        let options = read_text("").expect("read");
        let defaults = Options { source: options.source.clone(), ..Options::default() };
        assert_eq!(options, defaults);
    }

    #[test]
    fn addresses() {
        let options = read_text("listen: '127.0.0.1:-1'\nhttp: 8222").expect("read");
        assert_eq!(
            (options.clients.host.as_str(), options.clients.port, options.operation.http.port),
            ("127.0.0.1", None, Some(8222))
        );
        let options =
            read_text("port: 0, host: '', http_port: 0, prof_port: 0, server_name: '', log_file: ''");
        let options = options.expect("empty is what is not set");
        assert_eq!(
            (options.clients.host.as_str(), options.clients.port, options.operation.http.port),
            ("0.0.0.0", Some(4222), None)
        );
        assert_eq!((options.server.name, options.log.file), (None, None));
        assert_eq!(read_text("listen: '[::1]:7'").expect("read").clients.host, "::1");
        let log = read_text("log_size_limit: -1, log_max_num: -1").expect("-1 is no limit").log;
        assert_eq!((log.file_bytes_max, log.files_max), (0, 0));
        refuse("listen: '::1:4222'", "t.conf:1:9: could not parse address string");
        refuse("listen: x", "t.conf:1:9: could not parse address string \"x\"");
        refuse("port: 70000", "t.conf:1:7: 70000 is no port");
    }

    #[test]
    fn users_and_permissions() {
        let options = read_text(
            "authorization { users = [ { user: u, pass: p, permissions: { pub: a.>, sub: { deny: [x, 'y q'] }, allow_responses: true } }, { nkey: UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4 } ] }",
        )
        .expect("read");
        let users = &options.access.authorization.users;
        let permissions = users[0].permissions.clone().expect("permissions");
        assert_eq!(permissions.publish.allow, Some(vec!["a.>".to_owned()]));
        let Rules { allow, deny, deny_at, .. } = permissions.subscribe;
        assert_eq!((allow, deny), (None, vec!["x".to_owned(), "y q".to_owned()]));
        let columns: Vec<u32> = deny_at.iter().map(|at| at.column).collect();
        assert_eq!(columns, [86, 89]);
        assert_eq!(permissions.responses.map(|r| r.max_msgs), Some(Some(1)));
        assert!(users[1].nkey.as_deref().is_some_and(|nkey| nkey.starts_with("UDXU")));
        assert!(!format!("{options:?}").contains("\"p\""));
    }

    use crate::options::Rules;

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        refuse("\nmax_paylod: 1", "t.conf:2:1: unknown field \"max_paylod\"\n  did you mean `max_payload`?");
        refuse("max_payload: 100MB", "t.conf:1:1: max_payload (104857600) cannot be higher than max_pending");
        refuse(
            "authorization { user: a, pass: b, users: [{user: c, pass: d}] }",
            "t.conf:1:1: Can not have a single",
        );
        refuse("authorization { users: [{user: c}, {user: c}] }", "t.conf:1:36: Duplicate user");
        refuse(
            "authorization { users: [{user: c, permissions: {pub: 'a..b'}}] }",
            "t.conf:1:54: subject \"a..b\"",
        );
        refuse(
            "no_auth_user: x\naccounts { A { users: [{user: y}] } }",
            "t.conf:1:1: no_auth_user: \"x\" not present",
        );
        refuse("tls { cert_file: x }", "t.conf:1:5: missing 'key_file'");
        refuse("lame_duck_duration: 10s", "t.conf:1:21: invalid lame_duck_duration");
        refuse("accounts { A { msg_trace: 'a.*' } }", "t.conf:1:27: subject \"a.*\" is not a valid subject");
    }

    /// A configuration in which `key` stands in a block of this kind, with this value.
    fn in_block(block: &str, key: &str, value: &str) -> String {
        let entry = format!("{key}: {value}");
        let account = |inner: &str| format!("accounts {{ A {{ {inner} }} }}");
        match block {
            "" => entry,
            "ocsp_peer" => format!("tls {{ ocsp_peer {{ {entry} }} }}"),
            "tls" | "ocsp" | "ocsp_cache" | "authorization" | "proxies" | "resolver" | "resolver_tls" => {
                format!("{block} {{ {entry} }}")
            }
            "mqtt_sn_dtls" => format!("mqtt_sn {{ dtls {{ {entry} }} }}"),
            "mqtt_sn_psk" => format!("mqtt_sn {{ dtls {{ psk: [ {{ {entry} }} ] }} }}"),
            "mqtt_sn_client" => format!("mqtt_sn {{ clients: [ {{ {entry} }} ] }}"),
            "websocket" | "mqtt" | "mqtt_sn" => format!("{block} {{ {entry} }}"),
            "jetstream_limits" => format!("jetstream {{ limits {{ {entry} }} }}"),
            "jetstream_batch" => format!("jetstream {{ limits {{ batch {{ {entry} }} }} }}"),
            "account_jetstream" => account(&format!("jetstream {{ {entry} }}")),
            "cluster" | "gateway" | "leafnodes" | "jetstream" => format!("{block} {{ {entry} }}"),
            "gateway_authorization" => format!("gateway {{ authorization {{ {entry} }} }}"),
            "gateway_remote" => format!("gateway {{ gateways: [ {{ {entry} }} ] }}"),
            "leafnodes_authorization" => format!("leafnodes {{ authorization {{ {entry} }} }}"),
            "leafnodes_user" => format!("leafnodes {{ authorization {{ users: [ {{ {entry} }} ] }} }}"),
            "leafnodes_remote" => format!("leafnodes {{ remotes: [ {{ {entry} }} ] }}"),
            "leafnodes_proxy" => format!("leafnodes {{ remotes: [ {{ proxy {{ {entry} }} }} ] }}"),
            "leafnodes_migrate" => {
                format!("leafnodes {{ remotes: [ {{ jetstream_cluster_migrate {{ {entry} }} }} ] }}")
            }
            "cluster_authorization" => format!("cluster {{ authorization {{ {entry} }} }}"),
            "compression" => format!("cluster {{ compression {{ {entry} }} }}"),
            "websocket_authorization" => format!("websocket {{ authorization {{ {entry} }} }}"),
            "cert" => format!("tls {{ certs: [ {{ {entry} }} ] }}"),
            "proxy" => format!("proxies {{ trusted: [ {{ {entry} }} ] }}"),
            "user" => format!("authorization {{ users: [ {{ {entry} }} ] }}"),
            "auth_callout" => format!("authorization {{ auth_callout {{ {entry} }} }}"),
            "msg_trace" => account(&format!("msg_trace {{ dest: a, {entry} }}")),
            "permissions" => format!("authorization {{ default_permissions {{ {entry} }} }}"),
            "rules" => format!("authorization {{ default_permissions {{ publish {{ {entry} }} }} }}"),
            "responses" => {
                format!("authorization {{ default_permissions {{ allow_responses {{ {entry} }} }} }}")
            }
            "account" => account(&entry),
            "limits" => account(&format!("limits {{ {entry} }}")),
            "rate_limit" => account(&format!("rate_limits {{ {entry} }}")),
            "export" => account(&format!("exports: [ {{ service: a, {entry} }} ]")),
            "latency" => {
                account(&format!("exports: [ {{ service: a, latency {{ subject: a, {entry} }} }} ]"))
            }
            "import" => account(&format!("imports: [ {{ {entry} }} ]")),
            "source" => account(&format!("imports: [ {{ stream {{ {entry} }} }} ]")),
            "destination" => account(&format!("mappings {{ a: [ {{ {entry} }} ] }}")),
            other => panic!("no example for block {other:?}"),
        }
    }

    fn problems(text: &str) -> Vec<ConfigError> {
        let mut files = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
        let map = language::parse_text(text, "t.conf", &mut files, &|_| None).expect(text);
        read(&map, "t.conf", &mut files).1
    }

    /// Each honoured key, under each of its names, is read: a value that no key takes is noticed where it stands.
    #[test]
    fn honoured_keys_are_read() {
        use crate::blocks::keys::{KEYS, Status};
        for key in KEYS.iter().filter(|key| !matches!(key.status, Status::Refused(_))) {
            for name in key.aliases.iter().chain([&key.name]) {
                let text = in_block(key.block, name, "{ nonsense: [ { nonsense: [ ] } ] }");
                let value = text.find("{ nonsense").expect("value") as u32;
                let noticed = problems(&text).iter().any(|e| e.at.column > value);
                assert!(noticed, "{text}: {:?}", problems(&text));
            }
        }
    }

    /// Each refused key, under each of its names, is refused by name and place, unless it asks for nothing.
    #[test]
    fn refused_keys_are_refused() {
        use crate::blocks::keys::{KEYS, Off, Status};
        const VALUES: [&str; 9] = [
            "1",
            "0",
            "true",
            "{ x: true }",
            "false",
            "{ }",
            "{ x: false }",
            "disabled",
            "{ enabled: false, x: 1 }",
        ];
        for key in KEYS.iter().filter(|key| matches!(key.status, Status::Refused(_))) {
            for name in key.aliases.iter().chain([&key.name]) {
                let asks_for_nothing: &[&str] = match key.off() {
                    Off::Never => &[],
                    Off::False => &["false"],
                    Off::Empty => &["{ }"],
                    Off::Disabled => &["false", "disabled", "{ enabled: false, x: 1 }"],
                };
                for value in VALUES {
                    let text = in_block(key.block, name, value);
                    let at = text.find(&format!("{name}: {value}")).expect("key") as u32 + 1;
                    let problem = format!("`{name}` cannot be carried out");
                    let refused = |e: &ConfigError| e.at.column == at && e.problem.starts_with(&problem);
                    assert_eq!(
                        problems(&text).iter().any(refused),
                        !asks_for_nothing.contains(&value),
                        "{text}: {:?}",
                        problems(&text)
                    );
                }
            }
        }
    }

    /// Unknown keys are noticed in every block.
    #[test]
    fn unknown_keys_are_noticed() {
        for key in crate::blocks::keys::KEYS.iter() {
            let text = in_block(key.block, "nonsense", "1");
            let noticed = problems(&text).iter().any(|e| e.problem == "unknown field \"nonsense\"");
            assert!(noticed, "{text}: {:?}", problems(&text));
        }
    }
}
