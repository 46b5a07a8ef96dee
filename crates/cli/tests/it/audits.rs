//! Audited jobs with the real worker: paid after their audit, re-executed by anybody, shown with their proof.

use crate::{guests, net::Net};

#[test]
fn an_audited_job_is_upheld_verified_and_shown() {
    let net = Net::start_with(1, &["--auditors", "7"]);
    assert_eq!(net.about["auditors"], 7);
    // No range is paid before its client has seen what its audit came to, however slow the machine is: `upheld` is all.
    let patient = "[verification]\nwindow = \"1h\"\n";
    let job = net.job("index", &guests::index(), &guests::job(40, 20.0, patient));
    let result = net.json(&["run", &job, "--audited"]);
    assert_eq!((&result["state"], &result["missing"]), (&"done".into(), &0.into()), "{result}");
    let upheld = result["audits"]["upheld"].as_u64().unwrap();
    assert!(upheld > 0, "a newcomer is audited always: {result}");

    let verified = net.json(&["verify", "1"]);
    assert_eq!(verified["wrong"], 0, "{verified}");
    assert!(verified["ranges"].as_array().unwrap().iter().all(|range| range["right"] == true));

    let providers = net.json(&["providers"]);
    assert_eq!(providers[0]["audits"]["upheld"].as_u64(), Some(upheld), "{providers}");
    assert_eq!(providers[0]["audits"]["overturned"], 0);
    let shown = net.json(&["providers", "1"]);
    let entries = shown["audits"].as_array().unwrap();
    assert_eq!(entries.len() as u64, upheld, "{shown}");
    assert!(
        entries.iter().all(|entry| entry["what"] == "upheld" && entry["transaction"].is_string())
    );

    let auditor = net.json(&["auditor", "status", "auditor-1"]);
    assert_eq!(auditor["stake"].as_str(), Some("100000000000000000000"), "{auditor}");
    net.json(&["auditor", "leave", "auditor-2"]);
    let left = net.json(&["auditor", "status", "auditor-2"]);
    assert_eq!(left["leaving"].as_str(), Some("100000000000000000000"), "{left}");
    assert!(!net.tilth(&["auditor", "withdraw", "auditor-2"]).problem().is_empty());
}

#[test]
fn jobs_that_nobody_can_audit_are_refused_before_money_moves() {
    let net = Net::start(0);
    let audited = "[verification]\naudited = true\n";
    let slow = "[verification]\naudited = true\n[schedule]\nrange-timeout = \"10m\"\n";
    let (unjudged, many) = ("[verification]\nreplicas = 2\n", "[verification]\nreplicas = 3\n");
    for (gfuel, more, why) in [
        (20.0, audited, "auditors on this chain"),
        (0.001, audited, "a task of the job is not worth an audit"),
        (20.0, slow, "ranges of the job may take too long for an audit"),
        (20.0, unjudged, "a job with replicas must be audited"),
        (20.0, "[verification]\nkeep = \"7d\"\n", "a job that is to be kept must be audited"),
        (20.0, many, "it must be 1 or 2"),
    ] {
        let rest = guests::job(4, gfuel, more);
        let job = net.job("index", &guests::index(), &rest);
        let said = net.tilth(&["run", &job]);
        assert!(said.problem().contains(why), "{said:#?}");
        // A price says nothing of who is there, and what nobody could do has none.
        let said = net.tilth(&["quote", &job]);
        match why {
            "auditors on this chain" => assert!(said.status.success(), "{said:#?}"),
            _ => assert!(said.problem().contains(why), "{said:#?}"),
        }
    }
    let job = net.job("index", &guests::index(), &guests::job(4, 20.0, unjudged));
    // The advice of a refused quote can be taken.
    let said = net.tilth(&["quote", &job, "--audited"]);
    assert!(said.status.success() && said.stdout.contains("paid to 2 providers"), "{said:#?}");
    let said = net.tilth(&["run", &job, "--audited"]);
    // The command line says what the file does not.
    assert!(said.problem().contains("auditors on this chain"), "{said:#?}");
    let job = net.job("index", &guests::index(), &guests::job(4, 20.0, ""));
    let said = net.tilth(&["run", &job, "--replicas", "2"]);
    assert!(said.problem().contains("a job with replicas must be audited"), "{said:#?}");
    assert_eq!(net.json(&["job", "ls"]).as_array().unwrap().len(), 0);
}
