//! One server, and what it does with each event.

use super::*;
use crate::url::RouteUrl;
use dialtone_wire::gateway::Connect;
use std::net::IpAddr;
use std::time::Duration;

struct Bench {
    gateways: Gateways,
    now: Instant,
}

/// A server `M` of the cluster X, which knows of these.
fn settings(remotes: &[(&str, &[&str])]) -> Settings {
    let urls = |urls: &[&str]| urls.iter().map(|url| RouteUrl::parse(url).expect("a URL")).collect();
    Settings {
        name: "X".into(),
        info: Info::default(),
        url: "m:7222".into(),
        remotes: remotes
            .iter()
            .map(|(name, all)| RemoteSettings { name: (*name).into(), urls: urls(all) })
            .collect(),
        connect_retries: 0,
        connect_backoff: false,
        reject_unknown: false,
        credentials: None,
        handshake_timeout: Duration::from_secs(2),
    }
}

fn info(gateway: &str, urls: &[&str]) -> Info {
    Info {
        server_id: format!("N{gateway}"),
        gateway: gateway.into(),
        gateway_urls: urls.iter().map(|url| (*url).to_owned()).collect(),
        ..Info::default()
    }
}

fn connect(gateway: &str) -> Connect {
    Connect { name: format!("N{gateway}"), gateway: gateway.into(), ..Connect::default() }
}

impl Bench {
    fn new(settings: Settings) -> Self {
        let me = Identity { id: "NM".into(), name: "M".into(), made_up_cluster: "NM".into(), seed: 7 };
        let mut bench = Self { gateways: Gateways::new(me, settings), now: Instant::now() };
        assert_eq!(bench.happens(Event::Started), []);
        bench
    }

    fn happens(&mut self, event: Event<'_>) -> Vec<Action> {
        let mut out = Vec::new();
        self.gateways.handle(event, self.now, &mut out);
        out
    }

    fn later(&mut self, millis: u64) -> Vec<Action> {
        self.now += Duration::from_millis(millis);
        self.happens(Event::Timeout)
    }

    /// A server of another cluster dials in.
    fn comes(&mut self, link: u64, gateway: &str, urls: &[&str]) -> Vec<Action> {
        let link = LinkId(link);
        self.happens(Event::Accepted { link, address: IpAddr::from([10, 0, 0, 1]) });
        self.happens(Event::Connect { link, connect: &connect(gateway) });
        self.happens(Event::Info { link, info: &info(gateway, urls) })
    }

    /// What is dialled answers as it should.
    fn reaches(&mut self, actions: &[Action], link: u64, urls: &[&str]) -> Vec<Action> {
        let (dial, gateway, _) = dialled(actions).remove(0);
        let link = LinkId(link);
        assert_eq!(self.happens(Event::Dialled { dial, link }), []);
        self.happens(Event::Info { link, info: &info(&gateway, urls) })
    }
}

/// What is dialled: the cluster and the address.
fn dialled(actions: &[Action]) -> Vec<(DialId, String, String)> {
    let dials = actions.iter().filter_map(|action| match action {
        Action::Dial { dial, gateway, url, .. } => Some((*dial, gateway.clone(), url.address())),
        _ => None,
    });
    dials.collect()
}

fn addresses(actions: &[Action]) -> Vec<String> {
    dialled(actions).into_iter().map(|(_, _, address)| address).collect()
}

fn joins(actions: &[Action]) -> Vec<(u64, &str, bool)> {
    let joins = actions.iter().filter_map(|action| match action {
        Action::Join { link, gateway, configured } => Some((link.0, gateway.as_str(), *configured)),
        _ => None,
    });
    joins.collect()
}

/// Which gateways are told of, and by which connection.
fn gossip(actions: &[Action]) -> Vec<(u64, &str)> {
    let told = actions.iter().filter_map(|action| match action {
        Action::SendInfo { link, info } if info.gateway_cmd == 1 => Some((link.0, info.gateway.as_str())),
        _ => None,
    });
    told.collect()
}

fn closed(actions: &[Action]) -> Option<(CloseReason, Option<&str>)> {
    actions.iter().find_map(|action| match action {
        Action::Close { reason, error, .. } => Some((*reason, error.as_deref())),
        _ => None,
    })
}

#[test]
fn a_configured_cluster_is_dialled_until_it_answers() {
    let mut bench = Bench::new(settings(&[("Y", &["y1:1", "y2:1"]), ("X", &["oneself:1"])]));
    assert_eq!(bench.later(900), []);
    let mut tried = Vec::new();
    for _ in 0..4 {
        let actions = bench.later(1100);
        let (dial, gateway, address) = dialled(&actions).remove(0);
        assert_eq!((gateway.as_str(), dialled(&actions).len()), ("Y", 1));
        tried.push(address);
        assert_eq!(bench.happens(Event::DialFailed { dial }), []);
    }
    assert!(tried.windows(2).all(|two| two[0] != two[1]), "each in turn: {tried:?}");
    let actions = bench.later(1100);
    let actions = bench.reaches(&actions, 1, &["y1:1", "y2:1"]);
    let said: Vec<_> = actions.iter().take(2).collect();
    assert!(matches!(said[..], [Action::SendConnect { .. }, Action::SendInfo { .. }]), "{actions:?}");
    assert_eq!(joins(&actions), [(1, "Y", true)]);
    assert_eq!(bench.later(60_000), [], "one connection is enough");
    // It breaks, and is dialled again after a second.
    assert_eq!(bench.happens(Event::Confirmed { link: LinkId(1) }), []);
    assert_eq!(bench.happens(Event::Lost { link: LinkId(1) }), []);
    assert_eq!(bench.later(900), []);
    assert_eq!(dialled(&bench.later(200)).len(), 1);
}

#[test]
fn who_connects_is_connected_back_and_told_of_the_others() {
    let mut bench = Bench::new(settings(&[("Y", &["y:1"])]));
    let actions = bench.comes(1, "Z", &["z:1"]);
    assert_eq!(joins(&actions), [(1, "Z", false)]);
    assert_eq!(gossip(&actions), [(1, "Y")]);
    assert_eq!(addresses(&actions), ["z:1"]);
    let actions = bench.reaches(&actions, 2, &["z:1", "z:2"]);
    assert_eq!(joins(&actions), [(2, "Z", false)]);
    let told = actions.iter().find_map(|action| match action {
        Action::TellRoutes(info) => Some(info.clone()),
        _ => None,
    });
    let told = told.expect("the own cluster is told");
    assert_eq!((told.server_id.as_str(), told.gateway.as_str(), told.gateway_cmd), ("GWNM", "Z", 1));
    assert_eq!(told.gateway_urls, ["z:1", "z:2"]);
    assert_eq!(bench.gateways.tellings(), [*told]);
    // A third one is told of both, and whoever dialled before of the third.
    let actions = bench.comes(3, "W", &["w:1"]);
    assert_eq!(gossip(&actions), [(3, "Y"), (3, "Z"), (1, "W")]);
}

#[test]
fn clusters_are_learned_from_gateways_and_from_the_own_cluster() {
    let mut bench = Bench::new(settings(&[("Y", &["y:1"])]));
    let actions = bench.later(1100);
    bench.reaches(&actions, 1, &["y:1"]);
    let told = Info::gossip("NY", "Z", vec!["z:1".into()]);
    let actions = bench.happens(Event::Info { link: LinkId(1), info: &told });
    assert_eq!(addresses(&actions), ["z:1"]);
    assert_eq!(bench.happens(Event::Info { link: LinkId(1), info: &told }), [], "nothing new");
    let by_route = |gateway: &str| route::Info {
        server_id: "GWNOTHER".into(),
        gateway: gateway.into(),
        gateway_urls: vec!["v:1".into()],
        gateway_cmd: 1,
        ..route::Info::default()
    };
    assert_eq!(addresses(&bench.happens(Event::Told(&by_route("V")))), ["v:1"]);
    for gateway in ["X", "", "two words"] {
        assert_eq!(bench.happens(Event::Told(&by_route(gateway))), [], "{gateway:?}");
    }
}

#[test]
fn a_cluster_that_was_learned_is_forgotten_when_there_is_no_sign_of_it() {
    let mut bench = Bench::new(settings(&[]));
    let mut actions = bench.comes(1, "Z", &["z:1"]);
    // As long as it is connected it is tried, less and less often.
    let mut dials = 0;
    for _ in 0..200 {
        if let Some((dial, ..)) = dialled(&actions).pop() {
            dials += 1;
            bench.happens(Event::DialFailed { dial });
        }
        actions = bench.later(2000);
    }
    assert!((40..70).contains(&dials), "{dials} in 400 seconds");
    assert_eq!(
        bench.happens(Event::Lost { link: LinkId(1) }),
        [Action::Note(Note::Forgotten { gateway: "Z".into() })]
    );
    assert_eq!(bench.gateways.next_timeout(), None);
}

#[test]
fn unknown_clusters_may_be_rejected() {
    let mut bench = Bench::new(Settings { reject_unknown: true, ..settings(&[("Y", &["y:1"])]) });
    let error = "Connection to gateway \"X\" rejected";
    for (link, gateway) in [(1, "Z"), (2, "X")] {
        let link = LinkId(link);
        bench.happens(Event::Accepted { link, address: IpAddr::from([10, 0, 0, 1]) });
        let actions = bench.happens(Event::Connect { link, connect: &connect(gateway) });
        assert_eq!(closed(&actions), Some((CloseReason::WrongGateway, Some(error))));
    }
    assert_eq!(joins(&bench.comes(3, "Y", &["y:1"])), [(3, "Y", false)]);
    let told = Info::gossip("NY", "Z", vec!["z:1".into()]);
    assert_eq!(bench.happens(Event::Info { link: LinkId(3), info: &told }), []);
}

#[test]
fn what_is_not_the_cluster_that_was_dialled_is_left() {
    for (found, reason, error) in [
        (
            "V",
            CloseReason::WrongGateway,
            "Connection from \"X\" rejected, wanted to connect to \"Y\", this is \"V\"",
        ),
        ("", CloseReason::WrongPort, "Attempt to connect to gateway \"Y\" using wrong port"),
    ] {
        let mut bench = Bench::new(settings(&[("Y", &["y:1"])]));
        let actions = bench.later(1100);
        let (dial, ..) = dialled(&actions).remove(0);
        bench.happens(Event::Dialled { dial, link: LinkId(1) });
        let actions = bench.happens(Event::Info { link: LinkId(1), info: &info(found, &[]) });
        assert_eq!((closed(&actions), joins(&actions)), (Some((reason, Some(error))), vec![]));
        assert_eq!(dialled(&bench.later(1100)).len(), 1, "it is dialled again");
    }
}

#[test]
fn who_is_dialled_and_says_nothing_is_left() {
    let mut bench = Bench::new(settings(&[("Y", &["y:1"])]));
    let actions = bench.later(1100);
    let (dial, ..) = dialled(&actions).remove(0);
    bench.happens(Event::Dialled { dial, link: LinkId(1) });
    assert_eq!(closed(&bench.later(1900)), None);
    assert_eq!(closed(&bench.later(200)).map(|(reason, _)| reason), Some(CloseReason::AuthenticationTimeout));
}

/// Who dials here is told where else this cluster can be reached, and dials none that has left it.
#[test]
fn servers_of_the_own_cluster_are_told_to_others() {
    let mut bench = Bench::new(settings(&[]));
    bench.comes(1, "Y", &["y:1"]);
    let said = |actions: &[Action]| match actions {
        [Action::SendInfo { link: LinkId(1), info }] => info.gateway_urls.clone(),
        other => panic!("{other:?}"),
    };
    let actions = bench.happens(Event::Sibling { server: "NS", url: Some("s:7222") });
    assert_eq!(said(&actions), ["m:7222", "s:7222"]);
    assert_eq!(bench.happens(Event::Sibling { server: "NS", url: Some("s:7222") }), []);
    let actions = bench.happens(Event::Sibling { server: "NS", url: None });
    assert_eq!(said(&actions), ["m:7222"]);

    let mut bench = Bench::new(settings(&[("Y", &["y1:1"])]));
    let actions = bench.later(1100);
    bench.reaches(&actions, 1, &["y1:1", "y2:1"]);
    bench.happens(Event::Info { link: LinkId(1), info: &info("Y", &["y1:1", "y3:1"]) });
    let known = bench.gateways.remotes.get("Y").expect("known").urls();
    assert_eq!(known, ["y1:1", "y3:1"]);
}

#[test]
fn strangers_keep_out_nobody() {
    let mut bench = Bench::new(settings(&[]));
    for link in 0..300 {
        let address = IpAddr::from([10, 0, 0, 9]);
        bench.happens(Event::Accepted { link: LinkId(link), address });
    }
    assert_eq!(bench.gateways.links.len(), crate::limits::UNJOINED_MAX);
    assert_eq!(joins(&bench.comes(1000, "Y", &["y:1"])), [(1000, "Y", false)]);
}

/// An official server tries again at once, as often as it can.
#[test]
fn who_does_not_let_this_server_in_is_tried_less_and_less() {
    let mut bench = Bench::new(settings(&[]));
    let mut actions = bench.comes(1, "Z", &["z:1"]);
    let mut dials = 0;
    for link in 2..500 {
        if !dialled(&actions).is_empty() {
            dials += 1;
            bench.reaches(&actions, link, &["z:1"]);
            bench.happens(Event::Lost { link: LinkId(link) });
        }
        actions = bench.later(100);
    }
    assert!((5..10).contains(&dials), "{dials} in 50 seconds");
    // One that had let it in is back at once.
    while dialled(&actions).is_empty() {
        actions = bench.later(100);
    }
    bench.reaches(&actions, 900, &["z:1"]);
    bench.happens(Event::Confirmed { link: LinkId(900) });
    bench.happens(Event::Lost { link: LinkId(900) });
    assert_eq!(dialled(&bench.later(100)).len(), 1);
}

fn ends(actions: &[Action]) -> Vec<(u64, CloseReason)> {
    let all = actions.iter().filter_map(|action| match action {
        Action::Close { link, reason, .. } => Some((link.0, *reason)),
        _ => None,
    });
    all.collect()
}

#[test]
fn a_reload_dials_who_is_named_and_leaves_who_is_not() {
    let mut bench = Bench::new(settings(&[("Y", &["y1:7222"])]));
    let dials = bench.later(1000);
    assert_eq!(joins(&bench.reaches(&dials, 1, &["y1:7222"])), [(1, "Y", true)]);
    let reload = |named: &[(&str, &[&str])]| Event::Reloaded(Box::new(settings(named)));
    // One more: it is dialled at once, and the first is left alone.
    let actions = bench.happens(reload(&[("Y", &["y1:7222"]), ("Z", &["z1:7222"])]));
    assert_eq!((addresses(&actions), ends(&actions)), (vec!["z1:7222".to_owned()], vec![]));
    assert_eq!(joins(&bench.reaches(&actions, 2, &["z1:7222"])), [(2, "Z", true)]);
    // Z connected here, too: when it is not named any more it is one that was learned. Y is gone.
    bench.comes(3, "Z", &["z1:7222"]);
    let actions = bench.happens(reload(&[]));
    assert_eq!(ends(&actions), [(1, CloseReason::RouteRemoved)]);
    assert_eq!(addresses(&bench.later(60_000)), Vec::<String>::new(), "Y is not dialled again");
    // A dial that is under way leads nowhere.
    let actions = bench.happens(reload(&[("W", &["w1:7222"])]));
    let (dial, ..) = dialled(&actions).remove(0);
    bench.happens(reload(&[]));
    let actions = bench.happens(Event::Dialled { dial, link: LinkId(4) });
    assert_eq!(ends(&actions), [(4, CloseReason::RouteRemoved)]);
}

#[test]
fn a_reload_turns_out_who_may_not_connect_any_more() {
    let mut bench = Bench::new(settings(&[("Y", &["y1:7222"])]));
    bench.comes(1, "Y", &["y1:7222"]);
    let dials = bench.comes(2, "Z", &["z1:7222"]);
    assert_eq!(joins(&bench.reaches(&dials, 3, &["z1:7222"])), [(3, "Z", false)]);
    let named = Settings { reject_unknown: true, ..settings(&[("Y", &["y1:7222"])]) };
    let actions = bench.happens(Event::Reloaded(Box::new(named)));
    assert_eq!(ends(&actions), [(3, CloseReason::RouteRemoved), (2, CloseReason::WrongGateway)]);
    assert_eq!(addresses(&bench.later(60_000)), ["y1:7222"]);
}

/// What keeps a learned cluster waiting is no reason once the configuration names it.
#[test]
fn a_cluster_that_is_named_by_a_reload_is_dialled_at_once() {
    let mut bench = Bench::new(settings(&[]));
    let mut actions = bench.comes(1, "Y", &["y1:7222"]);
    while let Some((dial, ..)) = dialled(&actions).pop() {
        bench.happens(Event::DialFailed { dial });
        actions = bench.later(300);
    }
    let actions = bench.happens(Event::Reloaded(Box::new(settings(&[("Y", &["y2:7222"])]))));
    assert_eq!(dialled(&actions).len(), 1);
}
