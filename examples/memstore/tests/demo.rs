//! The README's first command, small.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use support::{DEMO, Process, run_to_end, wait_for};

#[test]
fn the_demo_loses_nothing_and_ends_with_0() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data").display().to_string();
    let arguments = ["--once", "--keys", "400", "--clients", "8", "--dir", &data];
    for run in ["first", "again on the same directory"] {
        let (code, stdout, stderr) = run_to_end(DEMO, &arguments, dir.path());
        assert_eq!(code, Some(0), "{run}: {stdout}\n{stderr}");
        for words in [
            "400 writes acknowledged",
            "writes/s, p50",
            "writes were refused for",
            "node 1: 800 keys right, 0 lost",
            "node 2: 800 keys right, 0 lost",
            "node 3: 800 keys right, 0 lost",
            "nothing that was acknowledged is lost",
            data.as_str(),
        ] {
            assert!(
                stdout.contains(words),
                "{run}: {words:?} is not in:\n{stdout}\n{stderr}"
            );
        }
    }
}

#[test]
fn the_demo_loads_the_lines_of_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("words.txt");
    let mut text = String::from("colour\tblue\nsame\t1\nsame\t2\n\nwith space/and slash?\tx\n");
    for number in 0..200 {
        text.push_str(&format!("word{number}\n"));
    }
    std::fs::write(&input, text).unwrap();
    let input = input.display().to_string();
    let arguments = [
        "--once",
        "--keys",
        "50",
        "--clients",
        "4",
        "--input",
        &input,
    ];
    let (code, stdout, stderr) = run_to_end(DEMO, &arguments, dir.path());
    assert_eq!(code, Some(0), "{stdout}\n{stderr}");
    assert!(stdout.contains("1 lines cannot be keys"), "{stdout}");
    assert!(stdout.contains("204 writes acknowledged"), "{stdout}");
    // 203 different keys of the file and 50 more.
    assert!(
        stdout.contains("node 1: 253 keys right, 0 lost"),
        "{stdout}"
    );
}

#[tokio::test]
async fn the_demo_stays_up_until_ctrl_c() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data").display().to_string();
    let arguments = ["--keys", "50", "--clients", "4", "--dir", &data];
    let log = dir.path().join("demo.log");
    let mut demo = Process::start(DEMO, &arguments, log, dir.path());
    let put = wait_for("the example commands", async || {
        let text = demo.log_text();
        let line = text.lines().find(|line| line.contains("curl -X PUT"))?;
        Some(line.trim().to_owned())
    })
    .await;
    let (_, url) = put.rsplit_once("http://").unwrap();
    let (addr, path) = url.split_once('/').unwrap();
    let mut client = memstore::http_client::HttpClient::new(addr, support::PATIENCE);
    let answer = client.put(&format!("/{path}"), "").await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    drop(client);
    demo.signal("INT");
    assert!(demo.ended().await.success(), "{}", demo.log_text());
    assert!(
        demo.log_text().contains("the data stays in"),
        "{}",
        demo.log_text()
    );
}
