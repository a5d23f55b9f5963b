//! Every endpoint against a cluster of one node, in this process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use memstore::Raft;
use memstore::config::build_config;
use memstore::http_client::{Answer, HttpClient, path_segment};
use memstore::service::{Ended, Service, ServiceError, bind_web_server};
use memstore::state_machine::{HashStore, KEY_BYTES_MAX, VALUE_BYTES_MAX};
use raftify::raft::logger::default_logger;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const TIMEOUT: Duration = Duration::from_secs(30);

/// A node with its web server; both end when `stop` is used.
struct Fixture {
    client: HttpClient,
    stop: Option<oneshot::Sender<()>>,
    service: JoinHandle<Result<Ended, ServiceError>>,
    _dir: tempfile::TempDir,
}

impl Fixture {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = bind_web_server("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let store = HashStore::new();
        let config = build_config(dir.path().to_owned());
        let raft =
            Raft::bootstrap(1, "127.0.0.1:0", store.clone(), config, default_logger()).unwrap();
        let mut view = raft.watch();
        let service = Service::start(raft, store, Some(listener)).unwrap();
        let (stop, stopped) = oneshot::channel();
        let service = tokio::spawn(service.run_until(async {
            let _ = stopped.await;
            "the test"
        }));
        tokio::time::timeout(TIMEOUT, view.wait_for(|view| view.is_leader))
            .await
            .unwrap()
            .unwrap();
        Self {
            client: HttpClient::new(addr, TIMEOUT),
            stop: Some(stop),
            service,
            _dir: dir,
        }
    }

    async fn end(mut self) {
        // A kept connection would make the web server wait.
        drop(self.client);
        drop(self.stop.take());
        let ended = tokio::time::timeout(TIMEOUT, self.service)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        assert_eq!(ended, Ended::Stopped("the test".into()));
    }
}

fn code(answer: &Answer) -> String {
    answer.json()["error"]["code"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_are_written_by_path_or_body_and_read_back() {
    let mut fixture = Fixture::start().await;
    let client = &mut fixture.client;
    let answer = client.put("/store/colour/blue", "").await.unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "OK"));
    let answer = client.get("/store/colour").await.unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "blue"));
    let answer = client.put("/store/colour", "dark red").await.unwrap();
    assert_eq!(answer.status, 200);
    for path in ["/store/colour", "/store/colour?consistency=stale"] {
        assert_eq!(client.get(path).await.unwrap().text(), "dark red");
    }
    let odd = format!("/store/{}", path_segment("a b/\u{e9}?%"));
    let binary: Vec<u8> = (0..=255).collect();
    assert_eq!(client.put(&odd, binary.clone()).await.unwrap().status, 200);
    assert_eq!(client.get(&odd).await.unwrap().body, binary);
    assert_eq!(client.put("/store/empty", "").await.unwrap().status, 200);
    let answer = client.get("/store/empty").await.unwrap();
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    let largest = vec![b'x'; VALUE_BYTES_MAX];
    assert_eq!(
        client
            .put("/store/large", largest.clone())
            .await
            .unwrap()
            .status,
        200
    );
    assert_eq!(client.get("/store/large").await.unwrap().body, largest);
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_is_swapped_only_for_the_expected_one() {
    let mut fixture = Fixture::start().await;
    let client = &mut fixture.client;
    for (body, wanted) in [
        (
            r#"{"expected":"a","value":"b"}"#,
            r#"{"found":null,"swapped":false}"#,
        ),
        (r#"{"expected":null,"value":"a"}"#, r#"{"swapped":true}"#),
        (r#"{"value":"b"}"#, r#"{"found":"a","swapped":false}"#),
        (r#"{"expected":"a","value":"b"}"#, r#"{"swapped":true}"#),
    ] {
        let answer = client.post_body("/compare_and_swap/k", body).await.unwrap();
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, wanted),
            "{body}"
        );
    }
    assert_eq!(client.get("/store/k").await.unwrap().text(), "b");
    for body in ["", "{}", r#"{"value":1}"#, r#"{"value":"v","typo":"x"}"#] {
        let answer = client.post_body("/compare_and_swap/k", body).await.unwrap();
        assert_eq!(
            (answer.status, code(&answer).as_str()),
            (400, "bad_body"),
            "{body}"
        );
    }
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_refusal_is_json_with_a_stable_code() {
    let mut fixture = Fixture::start().await;
    let client = &mut fixture.client;
    let long = format!("/store/{}", "k".repeat(KEY_BYTES_MAX + 1));
    let gets = [
        ("/store/absent", 404, "key_not_found"),
        (long.as_str(), 400, "bad_key"),
        ("/store/k?consistency=perfect", 400, "bad_query"),
        ("/store/k?typo=stale", 400, "bad_query"),
        ("/nothing/here", 404, "no_such_endpoint"),
        ("/leave", 405, "method_not_allowed"),
        ("/store/k/v", 405, "method_not_allowed"),
    ];
    for (path, status, wanted) in gets {
        let answer = client.get(path).await.unwrap();
        assert_eq!(
            (answer.status, code(&answer).as_str()),
            (status, wanted),
            "GET {path}"
        );
    }
    let posts = [
        ("/transfer_leader/king", 400, "bad_path"),
        ("/transfer_leader/99", 409, "not_applicable"),
        ("/demote/x/y", 400, "bad_path"),
        ("/demote/0/1", 409, "not_applicable"),
        ("/leave_joint", 409, "not_applicable"),
        // The last voter cannot leave.
        ("/leave", 409, "not_applicable"),
    ];
    for (path, status, wanted) in posts {
        let answer = client.post(path).await.unwrap();
        assert_eq!(
            (answer.status, code(&answer).as_str()),
            (status, wanted),
            "POST {path}"
        );
    }
    let answer = client.put(&long, "v").await.unwrap();
    assert_eq!((answer.status, code(&answer).as_str()), (400, "bad_key"));
    let answer = client
        .put("/store/k", vec![0; VALUE_BYTES_MAX + 1])
        .await
        .unwrap();
    assert_eq!(
        (answer.status, code(&answer).as_str()),
        (400, "value_too_large")
    );
    // It serves on.
    assert_eq!(client.put("/store/k", "v").await.unwrap().status, 200);
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_node_tells_its_state() {
    let mut fixture = Fixture::start().await;
    let client = &mut fixture.client;
    client.put("/store/colour/blue", "").await.unwrap();
    assert_eq!(
        client.get("/leader_id").await.unwrap().json()["leader_id"],
        1
    );
    let peers = client.get("/peers").await.unwrap().json();
    assert!(
        peers["1"]["addr"]
            .as_str()
            .unwrap()
            .starts_with("127.0.0.1:"),
        "{peers}"
    );
    let debug = client.get("/debug").await.unwrap().json();
    assert_eq!(
        (&debug["node_id"], &debug["role"]),
        (&1.into(), &"Leader".into())
    );
    assert_eq!(client.get("/healthz").await.unwrap().status, 200);
    assert_eq!(client.get("/readyz").await.unwrap().json()["ready"], true);
    let metrics = client.get("/metrics").await.unwrap().text();
    assert!(
        metrics.contains("\nmemstore_keys{node=\"1\"} 1\n"),
        "{metrics}"
    );
    assert!(
        metrics.contains("\nraftify_leader_id{node=\"1\"} 1\n"),
        "{metrics}"
    );
    let snapshot = client.post("/snapshot").await.unwrap();
    assert_eq!(snapshot.status, 200, "{}", snapshot.text());
    let index = snapshot.json()["snapshot_index"].as_u64().unwrap();
    assert!(index >= debug["commit_index"].as_u64().unwrap());
    let answer = client.post("/campaign").await.unwrap();
    assert_eq!(
        (answer.status, answer.json()["leader_id"].as_u64()),
        (200, Some(1))
    );
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_under_way_is_answered_before_the_node_stops() {
    let mut fixture = Fixture::start().await;
    let mut writer = HttpClient::new(fixture.client.addr(), TIMEOUT);
    // A connection that is there already, so that stopping cannot refuse it.
    writer.get("/healthz").await.unwrap();
    let stop = fixture.stop.take();
    let writing = tokio::spawn(async move { writer.put("/store/last/word", "").await });
    // The request is under way once the node has counted it.
    let applied = "raftify_proposals_total{node=\"1\"} 1\n";
    let deadline = tokio::time::Instant::now() + TIMEOUT;
    while !fixture
        .client
        .get("/metrics")
        .await
        .unwrap()
        .text()
        .contains(applied)
    {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    drop(stop);
    let answer = writing.await.unwrap().unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "OK"));
    fixture.end().await;
}
