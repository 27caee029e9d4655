//! What a cluster says, told by hand: who had an address when.

use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

use super::*;
use crate::kubernetes::directory::tests::pod;

/// This many seconds into a story; objects are made after second 100 of it.
fn at(second: u64) -> UtcTime {
    UtcTime::from_nanos(second * 1_000_000_000)
}

/// A cluster's word, second by second.
struct Story {
    peers: Peers,
    start: Instant,
}

impl Story {
    /// Every service is known: there are none.
    fn new() -> Self {
        let mut story = Self::in_the_dark();
        story.tell(0, Told::Services(Ok(())));
        story
    }

    fn in_the_dark() -> Self {
        Self {
            peers: Peers::default(),
            start: Instant::now(),
        }
    }

    fn moment(&self, second: u64) -> Moment {
        Moment {
            utc: at(second),
            instant: self.start + Duration::from_secs(second),
        }
    }

    fn tell(&mut self, second: u64, told: Told) {
        self.peers.take(told, self.moment(second));
    }

    fn change(&mut self, second: u64, change: &PodChange) {
        self.peers.pod_changed(change, self.moment(second));
    }

    /// Who was reached at a moment, looked up at another one: at TCP port 443.
    fn seen(&mut self, address: &str, reached: u64, second: u64) -> String {
        let address = address.parse().unwrap();
        let now = self.moment(second).instant;
        match self.peers.who(address, 443, Protocol::Tcp, at(reached), now) {
            Who::NoPeer => "-".to_owned(),
            Who::Known(peer) => peer.to_string(),
            Who::Awaited(why) => format!("awaited/{}", why.word()),
        }
    }

    fn question(&mut self, second: u64) -> Option<(String, Option<String>)> {
        let question = self.peers.question(self.moment(second).instant)?;
        Some((question.address.to_string(), question.pod.map(|pod| pod.name)))
    }

    /// Asks for an address and is answered at once.
    fn ask(&mut self, address: &str, second: u64, answer: Answer) {
        assert!(self.seen(address, second, second).starts_with("awaited/"), "{address}");
        assert!(self.question(second).is_some(), "{address}");
        self.tell(second, Told::Answer(address.parse().unwrap(), answer));
    }
}

fn held(name: &str, since: u64) -> Answer {
    Answer::Held {
        peer: format!("pod/shop/Deployment/{name}").parse().unwrap(),
        since: at(since),
        pod: Some(PodName {
            namespace: "shop".to_owned(),
            name: format!("{name}-x2x"),
        }),
    }
}

fn service(name: &str, fields: &serde_json::Value, status: &serde_json::Value) -> ServiceFacts {
    let object = json!({
        "metadata": {
            "namespace": "shop", "name": name, "uid": format!("uid-{name}"), "creationTimestamp": "1970-01-01T00:01:40Z",
        },
        "spec": fields,
        "status": status,
    });
    ServiceFacts::of(&serde_json::from_value(object).unwrap()).unwrap()
}

fn cluster_service(name: &str, addresses: &[&str]) -> ServiceFacts {
    service(
        name,
        &json!({"clusterIP": addresses[0], "clusterIPs": addresses}),
        &json!({}),
    )
}

fn pod_here(name: &str, addresses: &[&str]) -> PodChange {
    let mut facts = *pod("shop", name, &format!("uid-{name}"), &[]);
    facts.addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
    facts.created = at(100);
    PodChange::Applied(Box::new(facts))
}

#[test]
fn addresses_that_mean_the_same_everywhere_have_no_peer() {
    let special = [
        "127.0.0.1",
        "127.255.0.1",
        "0.0.0.0",
        "169.254.169.254",
        "169.254.20.10",
        "224.0.0.251",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "febf::1",
        "ff02::fb",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
    ];
    let mut story = Story::new();
    for address in special {
        assert_eq!(story.seen(address, 1, 1), "-", "{address}");
    }
    assert_eq!(story.question(1), None);
    for address in ["10.0.0.1", "192.0.2.1", "fec0::1", "fd00:ec2::254", "2001:db8::1"] {
        assert_eq!(story.seen(address, 1, 1), "awaited/too_many", "{address}");
    }
}

#[test]
fn a_service_is_known_by_its_cluster_addresses_and_at_its_ports_by_the_others() {
    let mut story = Story::new();
    let ports = json!([{"port": 443}, {"port": 53, "protocol": "UDP"}]);
    let facts = [
        cluster_service("dual", &["10.96.0.7", "fd00::7"]),
        service(
            "headless",
            &json!({"clusterIP": "None", "clusterIPs": ["None"]}),
            &json!({}),
        ),
        service(
            "elsewhere",
            &json!({"externalName": "example.org", "type": "ExternalName"}),
            &json!({}),
        ),
        service(
            "balanced",
            &json!({"clusterIP": "10.96.0.8", "externalIPs": ["198.51.100.1"], "ports": ports}),
            &json!({"loadBalancer": {"ingress": [{"ip": "203.0.113.9"}, {"hostname": "lb.example.org"}]}}),
        ),
        // It shares the address of its load balancer with the one before, at another port.
        service(
            "beside",
            &json!({"clusterIP": "10.96.0.9", "ports": [{"port": 8443}]}),
            &json!({"loadBalancer": {"ingress": [{"ip": "203.0.113.9"}]}}),
        ),
    ];
    for facts in facts {
        story.tell(100, Told::Service(facts));
    }
    for (address, expected) in [
        ("10.96.0.7", "service/shop/dual"),
        ("fd00::7", "service/shop/dual"),
        ("::ffff:10.96.0.7", "service/shop/dual"),
        ("10.96.0.8", "service/shop/balanced"),
        ("198.51.100.1", "service/shop/balanced"),
        ("203.0.113.9", "service/shop/balanced"),
    ] {
        assert_eq!(story.seen(address, 101, 101), expected, "{address}");
    }
    let now = story.moment(101).instant;
    let mut who = |port, protocol| {
        story
            .peers
            .who("203.0.113.9".parse().unwrap(), port, protocol, at(101), now)
    };
    let named = |name: &str| Who::Known(format!("service/shop/{name}").parse().unwrap());
    assert_eq!(who(8443, Protocol::Tcp), named("beside"));
    assert_eq!(who(53, Protocol::Udp), named("balanced"));
    // Nobody's: a node that has the address, perhaps.
    assert!(matches!(who(53, Protocol::Tcp), Who::Awaited(_)));
}

#[test]
fn whoever_had_the_address_at_that_moment_was_reached() {
    let mut story = Story::new();
    story.tell(110, Told::Service(cluster_service("one", &["10.96.0.7"])));
    assert_eq!(story.seen("10.96.0.7", 99, 111), "unknown/reused");
    assert_eq!(story.seen("10.96.0.7", 100, 111), "service/shop/one");
    story.tell(200, Told::ServiceGone("uid-one".to_owned()));
    assert_eq!(story.seen("10.96.0.7", 250, 250), "service/shop/one");
    // Another one takes the address, which was made before the first was gone.
    let mut two = cluster_service("two", &["10.96.0.7"]);
    two.since = at(150);
    story.tell(300, Told::Service(two));
    assert_eq!(story.seen("10.96.0.7", 199, 301), "service/shop/one");
    assert_eq!(story.seen("10.96.0.7", 301, 301), "service/shop/two");
    // A service of its name again is not another one.
    story.tell(310, Told::ServiceGone("uid-two".to_owned()));
    story.tell(320, Told::Service(cluster_service("two", &["10.96.0.7"])));
    assert_eq!(story.seen("10.96.0.7", 315, 321), "service/shop/two");
    // What nobody takes is forgotten after a while.
    story.tell(330, Told::ServiceGone("uid-two".to_owned()));
    let later = 331 + REMEMBERED.as_secs();
    story.tell(later, Told::Services(Ok(())));
    assert_eq!(story.seen("10.96.0.7", later, later), "awaited/too_many");
}

#[test]
fn a_service_that_gives_up_an_address_keeps_the_others() {
    let mut story = Story::new();
    let with = |addresses: &[&str]| {
        service(
            "web",
            &json!({"clusterIP": "10.96.0.7", "externalIPs": addresses, "ports": [{"port": 443}]}),
            &json!({}),
        )
    };
    story.tell(100, Told::Service(with(&["192.0.2.1", "192.0.2.2"])));
    story.tell(101, Told::Service(with(&["192.0.2.2"])));
    let later = 102 + REMEMBERED.as_secs();
    story.tell(later, Told::Services(Ok(())));
    assert_eq!(story.seen("192.0.2.1", later, later), "awaited/too_many");
    for address in ["192.0.2.2", "10.96.0.7"] {
        assert_eq!(story.seen(address, later, later), "service/shop/web");
    }
}

#[test]
fn pods_of_this_node_are_known_and_others_are_asked_for() {
    let mut story = Story::new();
    story.change(110, &pod_here("here", &["10.1.0.2"]));
    assert_eq!(story.seen("10.1.0.2", 111, 111), "pod/shop/Pod/here");
    assert_eq!(story.seen("10.1.9.9", 111, 111), "awaited/too_many");
    assert_eq!(story.question(111), Some(("10.1.9.9".to_owned(), None)));
    assert_eq!(story.seen("10.1.9.9", 111, 112), "awaited/unanswered");
    assert_eq!(story.question(112), None);
    story.tell(113, Told::Answer("10.1.9.9".parse().unwrap(), held("web", 50)));
    assert_eq!(story.seen("::ffff:10.1.9.9", 111, 113), "pod/shop/Deployment/web");
    // After a while one asks whether it is still there, and until then does not know.
    let later = 113 + GOOD_FOR.as_secs();
    assert_eq!(story.seen("10.1.9.9", later, later), "awaited/too_many");
    assert_eq!(
        story.question(later),
        Some(("10.1.9.9".to_owned(), Some("web-x2x".to_owned())))
    );
}

#[test]
fn a_pods_address_is_the_next_pods_later() {
    let mut story = Story::new();
    story.ask("10.1.9.9", 111, held("web", 50));
    story.ask("10.1.9.9", 150, held("report", 120));
    // The first one was seen at 111, and the second one was made at 120.
    for (reached, expected) in [(60, "web"), (119, "web"), (120, "report"), (150, "report")] {
        assert_eq!(
            story.seen("10.1.9.9", reached, 151),
            format!("pod/shop/Deployment/{expected}")
        );
    }
    // It was made before, and had not this address before the other one was seen to have it no more.
    story.ask("10.1.9.9", 190, held("late", 30));
    assert_eq!(story.seen("10.1.9.9", 149, 191), "pod/shop/Deployment/report");
    assert_eq!(story.seen("10.1.9.9", 150, 191), "pod/shop/Deployment/late");
    // Whoever had it before is not known.
    story.ask("10.1.9.8", 192, held("young", 191));
    assert_eq!(story.seen("10.1.9.8", 190, 193), "unknown/reused");
}

#[test]
fn a_pod_that_is_gone_has_its_address_until_somebody_takes_it_or_it_is_long_ago() {
    let mut story = Story::new();
    story.ask("10.1.9.9", 100, held("web", 50));
    story.ask("10.1.9.9", 140, Answer::Nobody);
    assert_eq!(story.seen("10.1.9.9", 140, 140), "pod/shop/Deployment/web");
    let later = 101 + REMEMBERED.as_secs();
    story.ask("10.1.9.9", later, Answer::Nobody);
    assert_eq!(story.seen("10.1.9.9", later, later), "external");
    assert_eq!(story.seen("10.1.9.9", 140, later), "pod/shop/Deployment/web");
    // The same for one of this node, which is asked for once it is gone.
    let now = later + 1;
    story.change(now, &pod_here("here", &["10.1.0.2"]));
    story.change(now + 1, &PodChange::Deleted("uid-here".to_owned()));
    story.ask("10.1.0.2", now + 2, Answer::Nobody);
    assert_eq!(story.seen("10.1.0.2", now + 2, now + 2), "pod/shop/Pod/here");
}

#[test]
fn what_nobody_has_is_external_and_asked_for_ever_more_seldom() {
    let mut story = Story::new();
    let mut now = 100;
    let mut waits = Vec::new();
    for _ in 0..7 {
        story.ask("192.0.2.1", now, Answer::Nobody);
        let answered = now;
        while story.seen("192.0.2.1", now, now) == "external" {
            now += 30;
        }
        waits.push((now - answered) / 60);
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 16, 16]);
    // Until somebody takes it.
    assert!(story.question(now).is_some());
    story.tell(now, Told::Answer("192.0.2.1".parse().unwrap(), held("web", now - 1)));
    assert_eq!(story.seen("192.0.2.1", 120, now), "external");
    assert_eq!(story.seen("192.0.2.1", now, now), "pod/shop/Deployment/web");
}

#[test]
fn nobody_is_external_while_services_or_pods_are_not_known() {
    for (services, expected) in [
        (None, "awaited/unanswered"),
        (Some(Err(Untold::Refused)), "awaited/refused"),
        (Some(Ok(())), "external"),
    ] {
        let mut story = Story::in_the_dark();
        if let Some(services) = services {
            story.tell(100, Told::Services(services));
        }
        story.ask("192.0.2.1", 101, Answer::Nobody);
        assert_eq!(story.seen("192.0.2.1", 101, 101), expected);
        // Who has an address has it, whatever else is not known.
        story.ask("10.1.9.9", 101, held("web", 50));
        assert_eq!(story.seen("10.1.9.9", 101, 101), "pod/shop/Deployment/web");
    }
    let mut story = Story::new();
    story.ask("192.0.2.1", 101, Answer::Untold(Untold::Refused));
    assert_eq!(story.seen("192.0.2.1", 101, 101), "awaited/refused");
    assert_eq!(story.question(101), None);
    // It is asked again soon.
    let later = 101 + ASK_AGAIN.as_secs();
    assert_eq!(story.seen("192.0.2.1", 101, later), "awaited/refused");
    assert!(story.question(later).is_some());
}

#[test]
fn services_that_do_not_fit_leave_nobody_external() {
    let mut story = Story::new();
    let addresses: Vec<String> = (0..2_000)
        .map(|number| format!("10.2.{}.{}", number / 250, number % 250))
        .collect();
    let spec = json!({"clusterIP": "10.96.0.7", "externalIPs": addresses, "ports": [{"port": 443}]});
    let facts = service("wide", &spec, &json!({}));
    assert!(facts.is_cut && facts.places.len() == 1_024);
    story.tell(100, Told::Service(facts));
    story.tell(100, Told::Services(Ok(())));
    story.ask("192.0.2.1", 101, Answer::Nobody);
    assert_eq!(story.seen("192.0.2.1", 101, 101), "awaited/too_many");
}

#[test]
fn pods_cannot_be_asked_for_by_the_second_family_of_addresses() {
    let mut story = Story::new();
    story.change(100, &pod_here("here", &["10.1.0.2", "fd01::2"]));
    assert_eq!(story.seen("fd01::2", 101, 101), "pod/shop/Pod/here");
    for (address, expected) in [("2001:db8::1", "unknown/second_family"), ("192.0.2.1", "external")] {
        story.ask(address, 101, Answer::Nobody);
        assert_eq!(story.seen(address, 101, 101), expected);
    }
}

#[test]
fn questions_and_answers_are_bounded() {
    let mut story = Story::new();
    let address = |number: usize| format!("10.{}.{}.{}", number >> 16, number >> 8 & 255, number & 255);
    for number in 0..=WANTED_MAX {
        assert_eq!(story.seen(&address(number), 100, 100), "awaited/too_many");
    }
    assert_eq!(story.peers.wanted.len(), WANTED_MAX);
    let asked = |story: &mut Story, second| std::iter::from_fn(|| story.question(second)).count();
    assert_eq!(asked(&mut story, 100), AT_ONCE as usize);
    assert_eq!(asked(&mut story, 101), 2);
    assert_eq!(asked(&mut story, 10_000), AT_ONCE as usize);
    // Nobody asked for this one.
    story.tell(101, Told::Answer("192.0.2.1".parse().unwrap(), Answer::Nobody));
    assert!(story.peers.answers.is_empty());
    let mut story = Story::new();
    for number in 0..ANSWERS_MAX + 9 {
        story.ask(&address(number), 100 + number as u64, Answer::Nobody);
    }
    assert!(story.peers.answers.len() < ANSWERS_MAX);
    assert!(story.peers.pending.is_empty() && !story.peers.is_asking());
}

/// It ended, and nobody deleted it.
fn pod_of_long_ago() -> Pod {
    serde_json::from_value(json!({
        "metadata": {"namespace": "shop", "name": "job", "uid": "job"}, "spec": {"containers": []},
        "status": {"phase": "Succeeded", "podIP": "10.1.0.3", "podIPs": [{"ip": "10.1.0.3"}]},
    }))
    .unwrap()
}

#[test]
fn a_service_without_a_cluster_address_takes_no_other_one() {
    for spec in [
        json!({"clusterIP": "None", "externalIPs": ["192.0.2.1"], "ports": [{"port": 443}]}),
        json!({"type": "ExternalName", "externalName": "a.example", "externalIPs": ["192.0.2.1"], "ports": [{"port": 443}]}),
    ] {
        assert_eq!(service("thief", &spec, &json!({})).places, [], "{spec}");
    }
}

#[test]
fn an_answer_that_came_after_the_connection_counts_however_old_it_is() {
    let mut story = Story::new();
    story.tell(90, Told::Services(Ok(())));
    assert_eq!(story.seen("192.0.2.1", 100, 100), "awaited/too_many");
    story.ask("192.0.2.1", 101, Answer::Nobody);
    assert_eq!(story.seen("192.0.2.1", 100, 1_000), "external");
    assert_eq!(story.seen("192.0.2.1", 999, 1_000), "awaited/too_many");
}

#[test]
fn of_pods_with_one_address_the_one_that_runs_has_it_and_a_node_before_any_pod() {
    let made = |name: &str, second: u64, phase: &str, node: Option<&str>, addresses: &[&str]| {
        let ips: Vec<_> = addresses.iter().map(|address| json!({"ip": address})).collect();
        serde_json::from_value(json!({
            "metadata": {"namespace": "shop", "name": name, "uid": name, "creationTimestamp": at(second).to_string()},
            "spec": {"containers": [], "hostNetwork": node.is_some(), "nodeName": node.unwrap_or("node-1")},
            "status": {
                "phase": phase, "podIP": addresses[0], "podIPs": ips,
                "containerStatuses": [{
                    "name": "main", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                    "state": {"terminated": {"exitCode": 0, "finishedAt": at(second + 10).to_string()}},
                }],
            },
        }))
        .unwrap()
    };
    let who = |pods: &[Pod], address: &str| match claim(pods, address.parse().unwrap(), at(100)) {
        Claim::Node(name) => format!("node {name}"),
        Claim::Pod(pod) => pod.metadata.name.clone().unwrap(),
        Claim::Nobody => "nobody".to_owned(),
    };
    let (old, done, young, failed): (Pod, Pod, Pod, Pod) = (
        made("old", 1, "Running", None, &["10.1.0.2", "fd01::2"]),
        made("done", 9, "Succeeded", None, &["10.1.0.2"]),
        made("young", 2, "Pending", None, &["10.1.0.2"]),
        made("failed", 3, "Failed", None, &["10.1.0.2"]),
    );
    let host = made("proxy", 5, "Running", Some("worker-1"), &["10.1.0.2"]);
    let long_over = pod_of_long_ago();
    let cases: [(&[Pod], &str, &str); 8] = [
        (&[], "10.1.0.2", "nobody"),
        (std::slice::from_ref(&old), "10.1.0.3", "nobody"),
        (std::slice::from_ref(&old), "fd01::2", "old"),
        (&[old.clone(), done.clone()], "10.1.0.2", "old"),
        (&[young.clone(), old.clone()], "10.1.0.2", "young"),
        (&[failed, done], "10.1.0.2", "done"),
        (std::slice::from_ref(&long_over), "10.1.0.3", "nobody"),
        (&[young, host, old.clone()], "10.1.0.2", "node worker-1"),
    ];
    for (pods, address, expected) in cases {
        assert_eq!(who(pods, address), expected);
    }
}

#[test]
fn the_table_of_nodes_has_their_addresses() {
    let columns = |names: &[&str]| -> Vec<_> {
        names
            .iter()
            .map(|name| json!({"name": name, "type": "string"}))
            .collect()
    };
    let table = |columns: Vec<serde_json::Value>, rows| -> Table {
        serde_json::from_value(json!({"kind": "Table", "columnDefinitions": columns, "rows": rows})).unwrap()
    };
    let all = || columns(&["Name", "Status", "Internal-IP", "External-IP"]);
    let rows = json!([
        {"cells": ["node-1", "Ready", "10.0.0.1", "<none>"], "object": null},
        {"cells": ["node-2", "Ready", "fd00::1", "203.0.113.1"]},
        {"cells": ["bad name", "Ready", "10.0.0.9", "<none>"]},
        {"cells": ["short"]},
        {"cells": [7, 7, 7, 7]},
    ]);
    let known = node_addresses(&table(all(), rows)).unwrap();
    let known: Vec<String> = known
        .iter()
        .map(|(address, name)| format!("{address} {name}"))
        .collect();
    assert_eq!(known, ["10.0.0.1 node-1", "fd00::1 node-2", "203.0.113.1 node-2"]);
    assert_eq!(node_addresses(&table(all(), json!(null))), Some(vec![]));
    assert_eq!(node_addresses(&table(columns(&["Name", "Status"]), json!([]))), None);
}
