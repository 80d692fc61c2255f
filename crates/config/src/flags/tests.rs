//! Command lines, and what they come to.

use super::table::tls;
use super::*;
use crate::options::Cluster;

#[test]
fn the_help_has_every_flag_that_is_carried_out() {
    let help = help();
    for flag in FLAGS.iter().filter(|flag| flag.refusal().is_none()) {
        assert!(flag.names.iter().all(|name| help.contains(&format!("-{name}"))), "{flag:?}");
    }
}

fn options(line: &str) -> Result<Options, FlagError> {
    match parse(line.split_whitespace().map(str::to_owned))? {
        Command::Serve(flags) => {
            let mut options = Options::default();
            flags.apply(&mut options)?;
            Ok(options)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn notations_of_go() {
    for line in ["-p 99", "--port 99", "-p=99", "--port=99"] {
        assert_eq!(options(line).expect(line).clients.port, Some(99));
    }
    let log = options("-DVV -T=false").expect("read").log;
    assert!(log.debug && log.trace_verbose && !log.time);
    assert_eq!(options("-p -1").expect("read").clients.port, None);
    let off = options("-p 5 -js=false --").expect("read");
    assert_eq!((off.clients.port, off.jetstream), (Some(5), None));
    let on = options("-js -sd /x").expect("read");
    assert!(on.jetstream.is_some_and(|own| own.enabled && own.store_dir.is_none()));
    assert_eq!(on.operation.staples.store_dir, Some("/x".into()));
}

#[test]
fn what_is_wrong_is_told() {
    for (line, expected) in [
        ("--nosuchflag", "flag provided but not defined: -nosuchflag"),
        ("-z", "flag provided but not defined: -z"),
        ("--prot 1", "flag provided but not defined: -prot; did you mean -port?"),
        ("explian", "unrecognized command: \"explian\"; did you mean explain?"),
        ("identiy list", "unrecognized command: \"identiy\"; did you mean identity?"),
        ("-p 1 -- bnech", "unrecognized command: \"bnech\"; did you mean bench?"),
        ("verzion", "unrecognized command: \"verzion\"; did you mean version?"),
        ("xyz", "unrecognized command: \"xyz\""),
        ("-p", "flag needs an argument: -p"),
        ("-p x", "invalid value \"x\" for flag -p: parse error"),
        (
            "-js --cluster nats://h:1",
            "`jetstream` cannot be carried out together with `cluster`: replication of streams is not part of this version",
        ),
        ("-p 70000", "invalid value \"70000\" for flag -p: it is no port"),
        ("-T=x", "invalid boolean value \"x\" for flag -T: parse error"),
        ("-t", "must specify [-c, --config] option to check configuration file syntax"),
        ("-sl foo", "unknown signal \"foo\""),
        ("-m 1 -ms 2", "can't specify both HTTP and HTTPs ports"),
        ("-ms 2", "TLS cert and key required for HTTPS"),
        ("--user a --auth b", "Cannot have a user/pass and token"),
        ("--pass b", "a password needs a user"),
        ("--auth=", "invalid value \"\" for flag -auth: it is empty; leave it out if everybody may connect"),
        ("-- -v", "unrecognized command: \"-v\""),
        ("stray", "unrecognized command: \"stray\""),
        ("--tls", "TLS Server certificate must be present and valid; see --help_tls"),
    ] {
        assert_eq!(options(line).expect_err(line).to_string(), expected);
    }
}

#[test]
fn what_is_to_be_done() {
    let parsed = |line: &str| match parse(line.split_whitespace().map(str::to_owned)).expect(line) {
        Command::CheckConfig(path) => format!("check {}", path.display()),
        Command::Signal { signal, target } => format!("{signal:?} {target:?}"),
        Command::Serve(flags) => format!("serve {:?}", flags.config),
        other => format!("{other:?}"),
    };
    assert_eq!(parsed("-t -c x"), "check x");
    assert_eq!(parsed("-c x -t=false"), "serve Some(\"x\")");
    assert_eq!(parsed("--signal ldm=12"), "LameDuck Some(\"12\")");
    assert_eq!(parsed("-sl reload"), "Reload None");
    assert_eq!(parsed("-v"), "Version");
    assert_eq!(parsed("-p 1 HELP"), "Help");
    assert_eq!(parsed("--help_tls"), "HelpTls");
}

#[test]
fn flags_win_over_the_file() {
    let mut options = Options::default();
    (options.clients.host, options.clients.port) = ("a".into(), Some(1));
    let Ok(Command::Serve(flags)) = parse(["-p".to_owned(), "2".to_owned(), "--tls=false".to_owned()]) else {
        panic!("no server");
    };
    tls(&mut options).cert_file = "x".into();
    flags.apply(&mut options).expect("applied");
    assert_eq!(
        (options.clients.host.as_str(), options.clients.port, options.clients.tls),
        ("a", Some(2), None)
    );
}

#[test]
fn a_list_of_users_goes_before_a_user_of_the_command_line() {
    let Ok(Command::Serve(flags)) = parse(["--user=a", "--pass=b"].map(str::to_owned)) else { panic!() };
    let mut options = Options::default();
    options.access.authorization.users.push(crate::options::User::default());
    flags.apply(&mut options).expect("applied");
    assert!(options.access.authorization.user.is_none() && options.access.authorization.password.is_none());
    assert!(options.source.doubts[0].to_string().contains("--user and --pass are ignored"));
}

/// Flags of the cluster, as if it were carried out.
fn of_cluster(file: &str, flags: &[(&str, &str)]) -> Result<Option<Cluster>, String> {
    let mut files = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
    let partial = crate::load_partial_text(file, "t.conf", &mut files, &|_| None).expect(file);
    let mut options = partial.options;
    let of = |name: &str| FLAGS.iter().find(|flag| flag.names.contains(&name)).expect("a flag");
    let set = flags.iter().map(|(name, value)| (of(name), Secret::new(*value))).collect();
    let flags = Flags { config: None, set };
    flags.apply(&mut options).map_err(|error| error.to_string())?;
    Ok(options.cluster)
}

/// Asked of the official server.
#[test]
fn flags_of_the_cluster_win_over_the_file() {
    const FILE: &str = "cluster { listen: 'h:5', name: c, no_advertise: true, routes: ['nats://a:1'], authorization { user: u, password: p } }";
    let cluster = |flags: &[(&str, &str)]| of_cluster(FILE, flags).expect("applied").expect("a cluster");
    let routes = |own: &Cluster| own.routes.iter().map(|route| route.url.to_string()).collect::<Vec<_>>();
    let own = cluster(&[("cluster_name", "d"), ("no_advertise", "false"), ("connect_retries", "7")]);
    assert_eq!((own.name.as_deref(), own.listener.no_advertise, own.dialing.retries), (Some("d"), false, 7));
    assert_eq!((&*own.listener.address.host, own.authorization.user.as_deref()), ("h", Some("u")));
    let own = cluster(&[("routes", "nats://u:p@b:2, nats://c:3,"), ("cluster_advertise", "x:9")]);
    assert_eq!(routes(&own), ["nats://u:xxxxx@b:2", "nats://c:3"]);
    assert_eq!(own.listener.advertise.as_deref(), Some("x:9"));
    assert!(cluster(&[("routes", "")]).routes.is_empty());
    let own = cluster(&[("cluster", "nats://:-1")]);
    assert_eq!((&*own.listener.address.host, own.listener.address.port), ("0.0.0.0", None));
    assert_eq!((own.authorization.user, own.authorization.password), (None, None));
    let own = cluster(&[("cluster_listen", "nats://x:y@i:7")]);
    assert_eq!((&*own.listener.address.host, own.listener.address.port), ("i", Some(7)));
    assert_eq!(own.authorization.password.as_ref().map(Secret::expose), Some("y"));
    let silent = "cluster { name: c, routes: ['nats://a:1'] }";
    assert!(of_cluster(silent, &[]).expect("applied").expect("a cluster").routes.is_empty());
    let heard = of_cluster(silent, &[("cluster", "nats://h:5")]).expect("applied").expect("a cluster");
    assert_eq!(routes(&heard), ["nats://a:1"]);
    // In either order: no listener, no routes.
    for flags in [[("cluster", ""), ("routes", "nats://b:2")], [("routes", "nats://b:2"), ("cluster", "")]] {
        let own = cluster(&flags);
        assert!(!own.is_on() && own.routes.is_empty());
    }
}

/// A flag goes with its key: it is refused as long as the key is.
#[test]
fn flags_of_the_cluster_are_those_of_its_keys() {
    for flag in FLAGS.iter().filter(|flag| flag.section == "Cluster") {
        let (block, key) = flag.of;
        assert!(keys::find(block, key).is_some(), "{:?}", flag.names);
        let refusal = keys::refusal("", block).or(keys::refusal(block, key));
        assert_eq!(flag.refusal(), refusal, "{:?}", flag.names);
    }
}

#[test]
fn flags_of_the_cluster_that_mean_nothing_are_refused() {
    for (flags, expected) in [
        (("routes", "nats://a:1"), "solicited routes require cluster capabilities, e.g. --cluster"),
        (("routes", "nats://u:secret@a"), "route url nats://u:xxxxx@a has no port"),
        (("cluster", "nats://u@a:1"), "expected cluster password to be set"),
        (("cluster", "127.0.0.1:5"), "it has no scheme such as `nats://`"),
        (("cluster", "nats://a"), "it has no port"),
        (("cluster", "nats://a:70000"), "\"70000\" is no port"),
        (("cluster_name", "a b"), "cluster name cannot contain spaces"),
        (
            ("cluster_advertise", "x:y"),
            "cluster_advertise is \"x:y\", which is no `host:port`: \"y\" is no port",
        ),
        (("connect_retries", "x"), "parse error"),
    ] {
        assert_eq!(of_cluster("", &[flags]).expect_err(flags.1), expected);
    }
}

#[test]
fn secrets_are_not_printed() {
    let command = parse(["--user=a", "--pass=hunter2"].map(str::to_owned)).expect("read");
    assert!(!format!("{command:?}").contains("hunter2"));
}

/// The official server knows 64 spellings.
#[test]
fn every_official_spelling_is_known() {
    assert_eq!(FLAGS.iter().map(|flag| flag.names.len()).sum::<usize>(), 64);
}

#[test]
fn names_are_unique() {
    let mut names: Vec<_> = FLAGS.iter().flat_map(|f| f.names).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}
