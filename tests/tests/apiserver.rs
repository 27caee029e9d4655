//! The API server that other tests stand on.

use end_to_end::ApiServer;
use serde_json::{Value, json};

fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

#[test]
fn it_keeps_its_objects_and_its_address_when_it_is_started_again() {
    let mut server = ApiServer::start();
    let url = server.url();
    assert!(url.starts_with("https://127.0.0.1:"), "{url}");
    let uid = server.create(&namespace("production"))["metadata"]["uid"].clone();
    server.stop();
    let address = url.trim_start_matches("https://").to_owned();
    assert!(
        std::net::TcpStream::connect(&address).is_err(),
        "{address} still answers"
    );
    server.start_again();
    assert_eq!(server.url(), url);
    assert_eq!(server.get(&namespace("production")).unwrap()["metadata"]["uid"], uid);
    assert_eq!(server.get(&namespace("staging")), None);
}

#[test]
fn its_controllers_make_pods_of_a_deployment() {
    let server = ApiServer::with_controllers();
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "server", "image": "shop/web:1.4"}]},
            },
        },
    });
    server.create(&deployment);
    let pods = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "default"}});
    let made = end_to_end::poll(|| Some(server.list(&pods)).filter(|pods| pods.len() == 2));
    for pod in made.expect("two pods") {
        assert_eq!(pod["metadata"]["ownerReferences"][0]["kind"], "ReplicaSet");
        assert_eq!(pod["spec"].get("nodeName"), None, "there is no scheduler");
        server.bind(&pod, "a-node");
        let mut pod = pod;
        (pod["apiVersion"], pod["kind"]) = ("v1".into(), "Pod".into());
        assert_eq!(server.get(&pod).unwrap()["spec"]["nodeName"], "a-node");
    }
}
