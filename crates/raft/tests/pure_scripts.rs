//! Runs the data-driven scripts of the pure parts: quorum arithmetic and configuration changes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "pure/confchange.rs"]
mod confchange;
#[path = "support/datadriven.rs"]
mod datadriven;
#[path = "pure/quorum.rs"]
mod quorum;

#[test]
fn every_quorum_script_prints_what_it_expects() {
    datadriven::run_folder("quorum", || quorum::run);
}

#[test]
fn every_confchange_script_prints_what_it_expects() {
    datadriven::run_folder("confchange", || {
        let mut cluster = confchange::Cluster::new();
        move |directive: &datadriven::Directive| cluster.run(directive)
    });
}
