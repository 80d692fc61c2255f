//! Queue groups in a cluster whose servers are in zones.

use crate::common::Client;
use crate::common::waiting::wait_until;
use dialtone_config::Options;
use dialtone_server::Server;

fn in_zone(zone: &str, routes: &[&Server]) -> Options {
    crate::common::member(
        &format!("no_system_account: true, server_tags: [ 'az:{zone}' ],"),
        "zone_tag: az",
        routes,
    )
}

/// A client that is in the queue group `work`, and can be reached by a name of its own.
fn join(server: &Server, name: &str) -> Client {
    let mut client = Client::connect(server, "");
    client.send(&format!("SUB work q 1\r\nSUB {name} 2\r\n"));
    client.sync();
    client
}

/// A client that hears when nobody listens.
fn publisher(server: &Server) -> Client {
    let mut client = Client::connect(server, "");
    client.send("CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\nSUB r 9\r\n");
    client
}

/// Waits until it is known whether somebody listens to the name.
fn await_interest(client: &mut Client, name: &str, is_there: bool) {
    wait_until(format!("interest in {name}: {is_there}"), || {
        client.send(&format!("PUB {name} r 0\r\n\r\n"));
        client.sync().iter().any(|line| line.contains(" 503")) != is_there
    });
}

fn publish(client: &mut Client, subject: &str, count: usize) {
    client.send(&format!("PUB {subject} 0\r\n\r\n").repeat(count));
    client.sync();
}

/// How many messages to `work` come until one to its name does that stands for the end.
fn count_until(client: &mut Client, name: &str) -> usize {
    let mut count = 0;
    loop {
        let line = client.line();
        count += usize::from(line.starts_with("MSG work "));
        // Those with a reply are for [`await_interest`].
        if line.starts_with(&format!("MSG {name} 2 0")) {
            return count;
        }
    }
}

#[test]
fn a_queue_group_is_served_in_the_zone_first() {
    let near = crate::common::start(in_zone("1", &[]));
    let far = crate::common::start(in_zone("2", &[&near]));
    let here = crate::common::start(in_zone("1", &[&near, &far]));
    let (mut at_near, mut at_far) = (join(&near, "near"), join(&far, "far"));
    let mut client = publisher(&here);
    for name in ["near", "far"] {
        await_interest(&mut client, name, true);
    }
    let mut counts = |client: &mut Client| {
        publish(client, "work", 50);
        publish(client, "near", 1);
        publish(client, "far", 1);
        [count_until(&mut at_near, "near"), count_until(&mut at_far, "far")]
    };
    assert_eq!(counts(&mut client), [50, 0]);
    // From the other zone it is the other way round.
    let mut elsewhere = publisher(&far);
    await_interest(&mut elsewhere, "near", true);
    assert_eq!(counts(&mut elsewhere), [0, 50]);
    // A reload takes a server to another zone, and those of both others are as far.
    near.reload(Ok(in_zone("3", &[])));
    let shared = |counts: [usize; 2]| counts[0] > 0 && counts[1] > 0;
    wait_until("both are as far", || shared(counts(&mut client)));
    near.reload(Ok(in_zone("1", &[])));
    wait_until("it is in this zone again", || counts(&mut client) == [50, 0]);
    // When nobody is left in this zone, the other one takes over.
    at_near.send("UNSUB 1\r\nUNSUB 2\r\n");
    at_near.sync();
    await_interest(&mut client, "near", false);
    publish(&mut client, "work", 50);
    publish(&mut client, "far", 1);
    assert_eq!(count_until(&mut at_far, "far"), 50);
    [here, far, near].iter().for_each(Server::stop);
}
