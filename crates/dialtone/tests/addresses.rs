//! A name with several addresses, IPv6 first. The server runs in a mount namespace with a hosts file of its own.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const HOSTS: &str = "::1 localhost\n127.0.0.1 localhost\n::1 six.test\n";

/// How this user may make a namespace, if it may: as root, or in a user namespace.
fn unshare(hosts: &Path) -> Option<&'static str> {
    ["-m", "-rm"].into_iter().find(|flags| {
        let mut command = in_namespace(flags, hosts, "exec grep -q six.test /etc/hosts");
        command.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    })
}

fn in_namespace(flags: &str, hosts: &Path, then: &str) -> Command {
    let mut command = Command::new("unshare");
    let script = format!("mount --bind \"$0\" /etc/hosts && {then}");
    command.args([flags, "sh", "-c", &script]).arg(hosts);
    command
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already, which the test has noticed then.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Where a server says that it listens, and its ports file.
fn start(flags: &str, folder: &Path, hosts: &Path, listen: &str) -> (Server, Vec<String>, String) {
    let file = folder.join(format!("{listen}.conf"));
    let ports: PathBuf = folder.join(listen);
    fs::create_dir(&ports).expect("folder");
    let config = format!("listen: {listen}:-1\nhttp_port: -1\nports_file_dir: {ports:?}\n");
    fs::write(&file, config).expect("written");
    let mut command = in_namespace(flags, hosts, "exec \"$1\" -c \"$2\"");
    command.arg(env!("CARGO_BIN_EXE_dialtone")).arg(file);
    let mut process = command.stderr(Stdio::piped()).spawn().expect("it starts");
    let lines = BufReader::new(process.stderr.take().expect("stderr")).lines();
    let server = Server(process);
    let lines = lines.map(|line| line.expect("a line")).take_while(|line| !line.ends_with("Server is ready"));
    let said = [" monitor on ", "Listening for client connections on "];
    let places =
        lines.filter_map(|line| said.iter().find_map(|said| Some(line.split_once(said)?.1.to_owned())));
    let places: Vec<String> = places.collect();
    let written = fs::read_dir(&ports).expect("folder").flatten().next().expect("a ports file");
    (server, places, fs::read_to_string(written.path()).expect("readable"))
}

#[test]
fn of_a_name_with_several_addresses_ipv4_is_taken() {
    let folder = tempfile::tempdir().expect("folder");
    let hosts = folder.path().join("hosts");
    fs::write(&hosts, HOSTS).expect("written");
    let Some(flags) = unshare(&hosts) else {
        // The order itself is held by `addresses_of_ipv4_come_first`.
        return eprintln!("NOT TESTED HERE: this user may not make a mount namespace");
    };
    let mut names = vec![("localhost", "127.0.0.1")];
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        names.push(("six.test", "[::1]"));
    }
    for (name, address) in names {
        let (_server, places, ports) = start(flags, folder.path(), &hosts, name);
        let [monitor, clients] = places.as_slice() else { panic!("{places:?}") };
        let port = |place: &str| {
            let (host, port) = place.rsplit_once(':').expect("a port");
            assert_eq!(host, name, "the log calls it as the file does");
            port.to_owned()
        };
        let (monitor, clients) = (port(monitor), port(clients));
        let expected = format!(
            "{{\"nats\":[\"nats://{address}:{clients}\"],\"monitoring\":[\"http://{address}:{monitor}\"]}}"
        );
        assert_eq!(ports, expected);
    }
}
