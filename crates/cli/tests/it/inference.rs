//! Language models: sold, asked through the gateway and from the terminal, checked, as a job; and what strangers,
//! failures and kills do to them.

use std::{fs, io::BufRead as _, net::TcpStream, path::Path, process::Command};

use alloy::{primitives::Address, signers::SignerSync as _};
use serde_json::{Value, json};
use tilth_client::{Keys, infer::schema::compile};
use tilth_protocol::infer::{Form, Receipt, SignedReceipt};

use crate::{
    net::{Net, eventually, repository, tilth},
    running::http,
    shop::{Reply, Shop, model, model_workers, question, signal},
};

fn run_client(program: &Path, script: &str, shop: &Shop, key: &str) {
    let folder = repository("crates/cli/tests/openai");
    let url = shop.net.about["gateway"].as_str().unwrap();
    let output = Command::new(program).arg(folder.join(script)).args([url, key]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.trim() == "ok", "{script}: {output:?}");
}

/// What a provider could say that is not so.
type Lie<'a> = &'a dyn Fn(&mut Receipt);

/// A receipt with a lie that the provider itself has signed, so that only computing it again shows the lie.
fn signed_lie(shop: &Shop, signed: &Value, lie: Lie<'_>) -> String {
    let mut signed: SignedReceipt = serde_json::from_value(signed.clone()).unwrap();
    lie(&mut signed.receipt);
    let signer = (1..=2)
        .map(|number| {
            let name = format!("accounts/provider-{number}-node.key");
            Keys::open_file(&shop.net.dir.path().join(name)).unwrap()
        })
        .find(|signer| signer.address() == Address::from(signed.receipt.node))
        .unwrap();
    let signature = signer.sign_hash_sync(&signed.receipt.signing_hash()).unwrap();
    signed.signature = signature.as_bytes();
    serde_json::to_string(&signed).unwrap()
}

/// Writes the answer's receipt to `file`, as it is and with lies, and verifies it.
fn only_the_truth_passes(shop: &Shop, answer: &Reply, file: &Path, verify: &[&str]) {
    let judged = |lie: Lie<'_>| {
        let told = answer.json();
        let signed = &told["choices"][0]["tilth"]["receipt"];
        fs::write(file, signed_lie(shop, signed, lie)).unwrap();
        shop.net.tilth(verify)
    };
    let honest = judged(&|_: &mut Receipt| {});
    assert!(honest.status.success(), "{honest:?}");
    let lies: [(&str, Lie<'_>); 4] = [
        ("seed", &|receipt: &mut Receipt| receipt.parameters.seed = 6),
        ("answer", &|receipt: &mut Receipt| receipt.output[0] ^= 1),
        ("few tokens of the prompt", &|receipt: &mut Receipt| {
            receipt.prompt_tokens = 1;
            receipt.charge = receipt.prices.cost(1, receipt.output_tokens).unwrap();
        }),
        ("all tokens there are", &|receipt: &mut Receipt| {
            receipt.prompt_tokens = u32::MAX;
            receipt.charge = receipt.prices.cost(u32::MAX, receipt.output_tokens).unwrap();
        }),
    ];
    for (what, lie) in lies {
        let wrong = judged(lie);
        assert!(!wrong.status.success() && wrong.stdout.contains("WRONG"), "{what}: {wrong:?}");
        assert!(!wrong.stdout.contains("signed"), "{what}: {wrong:?}");
    }
}

/// Answers that are held to a form are computed under the same hold, and under no other; and it is the one that was
/// asked for.
fn forms_are_part_of_the_truth(shop: &Shop, key: &str, files: [&Path; 2], verify: &[&str]) {
    let [file, asked] = files;
    let schema = |name: &str| {
        let properties = json!({ name: { "type": "boolean" } });
        json!({ "type": "object", "properties": properties, "required": [name] })
    };
    let other = compile(&schema("no").to_string()).unwrap();
    let named = json!({ "name": "verdict", "schema": schema("ok") });
    let cases = [
        (json!({ "type": "json_object" }), Form::Text),
        (json!({ "type": "json_schema", "json_schema": named }), Form::Schema(Box::new(other))),
    ];
    for (format, other) in cases {
        let mut held = question(150);
        held["response_format"] = format;
        let object = shop.ask(key, &held);
        assert_eq!(object.status, 200, "{object:?}");
        let told = object.json();
        let signed = &told["choices"][0]["tilth"]["receipt"];
        let honest = signed_lie(shop, signed, &|_: &mut Receipt| {});
        let lie = |receipt: &mut Receipt| receipt.parameters.form = other.clone();
        let lie = signed_lie(shop, signed, &lie);
        fs::write(asked, held.to_string()).unwrap();
        for (receipt, is_right) in [(&lie, false), (&honest, true)] {
            fs::write(file, receipt).unwrap();
            let judged = shop.net.tilth(verify);
            assert_eq!(judged.status.success(), is_right, "{judged:?}");
            // That is seen in the answer itself.
            assert!(!judged.stdout.contains("way of choosing"), "{judged:?}");
        }
        // The honest one, for whoever asked without a form.
        fs::write(asked, question(150).to_string()).unwrap();
        let judged = shop.net.tilth(verify);
        let told = judged.stdout.contains("way of choosing");
        assert!(!judged.status.success() && told, "{judged:?}");
    }
}

#[test]
fn official_clients_run_their_usual_flows_and_receipts_are_computed_again() {
    let shop = Shop::with_encoder(2);
    let key = shop.key("1");
    let folder = repository("crates/cli/tests/openai");
    run_client(&folder.join("venv/bin/python"), "flow.py", &shop, &key);
    assert!(folder.join("node_modules").exists(), "run `cargo xtask setup`");
    run_client(Path::new("node"), "flow.mjs", &shop, &key);

    // What was charged is what the receipts say, to the last base unit.
    let keys = shop.net.json(&["gateway", "key", "ls"]);
    let owed = shop.net.json(&["gateway", "owed"]);
    let sum = |list: &Value, field: &str| -> u128 {
        let amounts = list.as_array().unwrap().iter().map(|one| one[field].as_str().unwrap());
        amounts.map(|text| text.parse::<u128>().unwrap()).sum()
    };
    assert!(sum(&keys, "spent") > 0);
    assert_eq!(sum(&keys, "spent"), sum(&owed, "amount"), "{keys} {owed}");
    eventually("nothing is held any more", || {
        let keys = shop.net.json(&["gateway", "key", "ls"]);
        (sum(&keys, "held") == 0).then_some(())
    });

    // Anybody with the model computes an answer again; a changed one is found out.
    let dir = shop.net.dir.path();
    let (asked, answered) = (dir.join("question.json"), dir.join("answer.json"));
    let reply = shop.ask(&key, &question(12));
    fs::write(&asked, question(12).to_string()).unwrap();
    fs::write(&answered, &reply.body).unwrap();
    let paths = [&answered, &asked, &shop.model].map(|path| path.to_str().unwrap().to_owned());
    let verify = ["verify", "--receipt", &paths[0], "--question", &paths[1], "--model", &paths[2]];
    let right = shop.net.json(&verify);
    assert_eq!(right["right"], true, "{right}");
    assert_eq!(right["text"], reply.json()["choices"][0]["message"]["content"]);
    assert_eq!(right["signer"], right["node"]);
    only_the_truth_passes(&shop, &reply, &answered, &verify);
    // And one that only somebody else has signed.
    let mut forged = reply.json();
    let seed = &mut forged["choices"][0]["tilth"]["receipt"]["receipt"]["parameters"]["seed"];
    *seed = json!(6);
    fs::write(&answered, forged.to_string()).unwrap();
    let wrong = shop.net.tilth(&verify);
    assert!(!wrong.status.success() && wrong.stdout.contains("not signed"), "{wrong:?}");

    forms_are_part_of_the_truth(&shop, &key, [&answered, &asked], &verify);

    // From the terminal, without a gateway; the same question has the same answer.
    let receipts = dir.join("receipts");
    let receipts = receipts.to_str().unwrap();
    let chat =
        ["chat", "Say something.", "--max-tokens", "12", "--temperature", "1", "--seed", "5"];
    let chat: Vec<_> = chat.into_iter().chain(["--receipts", receipts]).collect();
    let said = shop.net.json(&chat);
    assert_eq!(said["text"], right["text"]);
    let kept = fs::read_dir(receipts).unwrap().next().unwrap().unwrap().path();
    let kept = kept.to_str().unwrap();
    let again = shop.net.json(&["verify", "--receipt", kept, "--model", &paths[2]]);
    assert_eq!(again["right"], true);
}

#[test]
fn embeddings_are_sold_charged_and_computed_again() {
    let shop = Shop::with_encoder(2);
    let key = shop.key("1");
    let question = json!({ "model": "synthetic encoder", "input": ["the farm", "farms, 12!"] });
    let reply = shop.send("POST", "/v1/embeddings", &key, question.to_string().as_bytes());
    assert_eq!(reply.status, 200, "{reply:?}");
    let answer = reply.json();
    let dir = shop.net.dir.path();
    let (asked, answered) = (dir.join("question.json"), dir.join("answer.json"));
    fs::write(&asked, question.to_string()).unwrap();
    fs::write(&answered, &reply.body).unwrap();
    let paths = [&answered, &asked, shop.encoder.as_ref().unwrap()];
    let paths = paths.map(|path| path.to_str().unwrap().to_owned());
    let verify = ["verify", "--receipt", &paths[0], "--question", &paths[1], "--model", &paths[2]];
    let right = shop.net.json(&verify);
    assert_eq!((&right["right"], &right["text"]), (&json!(true), &Value::Null), "{right}");
    let numbers = |list: &Value| -> Vec<f32> {
        list.as_array().unwrap().iter().map(|x| x.to_string().parse().unwrap()).collect()
    };
    for index in 0..2_usize {
        let (ours, sold) = (&right["embeddings"][index], &answer["data"][index]["embedding"]);
        assert_eq!(numbers(ours), numbers(sold));
        assert_eq!(numbers(sold).len(), 72);
    }
    let keys = shop.net.json(&["gateway", "key", "ls"]);
    let receipt = &answer["tilth"]["receipt"]["receipt"];
    assert_eq!(keys[0]["spent"], receipt["charge"], "{keys}");
    assert_eq!((&keys[0]["held"], &keys[0]["output-tokens"]), (&json!("0"), &json!(0)));

    let lies: [(&str, Lie<'_>); 2] = [
        ("other embeddings", &|receipt: &mut Receipt| receipt.output[0] ^= 1),
        ("more tokens", &|receipt: &mut Receipt| {
            receipt.prompt_tokens += 1;
            receipt.charge = receipt.prices.cost(receipt.prompt_tokens, 0).unwrap();
        }),
    ];
    for (what, lie) in lies {
        fs::write(&answered, signed_lie(&shop, &answer["tilth"]["receipt"], lie)).unwrap();
        let wrong = shop.net.tilth(&verify);
        assert!(!wrong.status.success() && wrong.stdout.contains("WRONG"), "{what}: {wrong:?}");
    }

    // Its operator has the receipt, also when the key is gone.
    let id = keys[0]["id"].as_str().unwrap();
    shop.net.json(&["gateway", "key", "rm", id]);
    let denied = shop.send("POST", "/v1/embeddings", &key, question.to_string().as_bytes());
    assert_eq!(denied.status, 401, "{denied:?}");
    let again = shop.net.tilth(&["gateway", "key", "rm", id]);
    assert!(!again.status.success() && again.problem().contains("no such key"), "{again:?}");
    let receipts = shop.net.json(&["gateway", "receipts", "--from", "0"]);
    assert_eq!(receipts.as_array().unwrap().len(), 1, "{receipts}");
    assert_eq!(
        (&receipts[0]["receipt"], &receipts[0]["key"]),
        (&answer["tilth"]["receipt"], &keys[0]["id"])
    );
    assert_eq!(shop.net.json(&["gateway", "receipts", "--from", "1"]), json!([]));
}

#[test]
fn strangers_get_errors_and_others_their_answers() {
    let shop = Shop::open(1);
    let key = shop.key("1");
    let plain = shop.ask(&key, &question(10));
    assert_eq!(plain.status, 200, "{plain:?}");

    // A thousand idle connections, which keep nobody out.
    let idle: Vec<_> = (0..1000).map(|_| TcpStream::connect(shop.address()).unwrap()).collect();
    assert_eq!(
        shop.ask(&key, &question(10)).json()["choices"][0]["message"],
        plain.json()["choices"][0]["message"]
    );
    drop(idle);

    // Bodies that are none.
    let bodies: [(&[u8], u16); 5] = [
        (&b"{\"model\":\"synthetic\",\"messages\":[{\"role\":\"user\",\"content\":\"\xff\xfe\"}]}"[..], 400),
        (b"", 400),
        (b"[[[[", 400),
        (&vec![b'['; 1 << 20], 400),
        (&vec![b' '; 5 << 20], 413),
    ];
    for (body, status) in bodies {
        let reply = shop.send("POST", "/v1/chat/completions", &key, body);
        assert_eq!(reply.status, status, "{reply:?}");
        assert!(reply.json()["error"]["message"].is_string());
    }
    let long = "word ".repeat(1000);
    let reply = shop.ask(
        &key,
        &json!({ "model": "synthetic", "messages": [{ "role": "user", "content": long }] }),
    );
    assert_eq!(
        (reply.status, reply.json()["error"]["code"].clone()),
        (400, "context_length_exceeded".into())
    );
    for (path, method, status) in [
        ("/", "GET", 404),
        ("/v1/models", "POST", 405),
        ("/admin/keys", "GET", 404),
        ("/v1/embeddings", "GET", 405),
        ("/v1/embeddings", "POST", 400),
        ("/v1/images", "POST", 404),
    ] {
        assert_eq!(shop.send(method, path, &key, b"").status, status, "{path}");
    }
    let document = shop.send("GET", "/openapi.json", "", b"").json();
    assert!(document["paths"]["/v1/chat/completions"]["post"].is_object());

    // A budget that does not reach.
    let poor = shop.key("0.000000000000000001");
    let reply = shop.ask(&poor, &question(10));
    assert_eq!(
        (reply.status, reply.json()["error"]["code"].clone()),
        (429, "insufficient_quota".into())
    );
    assert_eq!(shop.ask(&key, &question(10)).status, 200);
}

#[test]
fn kills_lose_no_charge() {
    let mut shop = Shop::open(1);
    let key = shop.key("1");
    for _ in 0..3 {
        assert_eq!(shop.ask(&key, &question(10)).status, 200);
    }
    let before = shop.net.json(&["gateway", "key", "ls"])[0].clone();
    // Where it is watched is told, whichever port that is; and that it is watched nowhere.
    let monitor = shop.net.about["gateway-monitor"].as_str().unwrap().to_owned();
    eventually("the gateway says how many answers there were", || {
        let (status, said) = http(&monitor, "GET", "/metrics", "");
        assert_eq!(status, 200, "{said}");
        said.lines().any(|line| line == "tilth_gateway_answers_total 3").then_some(())
    });
    shop.net.kill();
    shop.reopen(1);
    assert_eq!(shop.net.about.get("gateway-monitor"), Some(&Value::Null));
    let after = shop.net.json(&["gateway", "key", "ls"])[0].clone();
    assert_eq!((&after["spent"], &after["answers"]), (&before["spent"], &json!(3)), "{after}");
    let answered = eventually("the model is on sale again", || {
        let reply = shop.ask(&key, &question(10));
        (reply.status == 200).then_some(reply)
    });
    assert!(answered.json()["usage"]["completion_tokens"].as_u64().unwrap() > 0);
}

#[test]
fn callers_of_a_worker_that_dies_are_told_and_it_is_started_again() {
    let shop = Shop::open(1);
    let key = shop.key("1");
    let good = shop.ask(&key, &question(10));
    let up = shop.net.up.as_ref().unwrap().child.id();
    let workers = model_workers(up);
    assert_eq!(workers.len(), 1);
    signal("STOP", &workers);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| shop.ask(&key, &question(10)));
        eventually("the question is under way", || {
            let keys = shop.net.json(&["gateway", "key", "ls"]);
            (keys[0]["held"] != "0").then_some(())
        });
        signal("KILL", &workers);
        let told = asking.join().unwrap();
        assert_eq!(
            (told.status, told.json()["error"]["type"].clone()),
            (502, "server_error".into()),
            "{told:?}"
        );
    });
    let again = eventually("the model is answered by a new worker", || {
        let reply = shop.ask(&key, &question(10));
        (reply.status == 200).then_some(reply)
    });
    assert_eq!(again.json()["choices"][0]["message"], good.json()["choices"][0]["message"]);
    assert_ne!(model_workers(up), workers);
}

/// The events of a stream whose model's worker is killed when the first has come; `None` if it was at its end by then.
fn killed_in_the_middle(shop: &Shop, key: &str, question: &Value) -> Option<Vec<Value>> {
    let workers = model_workers(shop.net.up.as_ref().unwrap().child.id());
    // It is started again after a while.
    if workers.is_empty() {
        return None;
    }
    let mut reader = shop.listen(key, question)?;
    let (mut events, mut line) = (Vec::new(), String::new());
    while reader.read_line(&mut line).unwrap() > 0 {
        match line.trim_end().strip_prefix("data: ") {
            Some("[DONE]") => return None,
            Some(event) => {
                if events.is_empty() {
                    signal("KILL", &workers);
                }
                events.push(serde_json::from_str(event).unwrap());
            }
            None => {}
        }
        line.clear();
    }
    Some(events)
}

#[test]
fn a_stream_whose_worker_dies_in_the_middle_says_so() {
    let shop = Shop::open(1);
    let key = shop.key("1");
    let mut long = question(150);
    long["n"] = 8.into();
    long["stream"] = true.into();
    let events = eventually("a worker was killed in the middle of a stream", || {
        killed_in_the_middle(&shop, &key, &long)
    });
    let (last, told) = events.split_last().unwrap();
    let error = &last["error"];
    assert_eq!(
        (&error["code"], &error["type"]),
        (&"provider_failed".into(), &"server_error".into())
    );
    assert!(told.iter().all(|event| event["error"].is_null()), "{told:?}");
    eventually("nothing is held any more", || {
        let keys = shop.net.json(&["gateway", "key", "ls"]);
        (keys[0]["held"] == "0").then_some(())
    });
    eventually("the model is answered by a new worker", || {
        (shop.ask(&key, &question(10)).status == 200).then_some(())
    });
}

/// A job that asks the small model these prompts, one a line, at a price per thousand units; its file.
fn prompt_job(dir: &Path, prompts: &str, per_unit: &str, more: &str) -> String {
    fs::create_dir_all(dir).unwrap();
    model(dir);
    fs::write(dir.join("prompts.jsonl"), prompts).unwrap();
    fs::write(
        dir.join("ask.toml"),
        "model = \"model\"\nprompts = \"prompts\"\nmax-tokens = 12\ntemperature = 1.0\nseed = 4\n",
    )
    .unwrap();
    let tasks = prompts.lines().count();
    let text = format!(
        "name = \"answers\"\nworkload = \"infer\"\nprogram = \"ask.toml\"\ntasks = {tasks}\n\n\
         [inputs]\nmodel = \"model\"\nprompts = \"prompts.jsonl\"\n\n\
         [limits]\nunits-per-task = 1\nmemory = \"16MiB\"\noutput = \"16KiB\"\n\n\
         [price]\nper-unit = \"{per_unit}\"\n{more}"
    );
    let job = dir.join("job.toml");
    fs::write(&job, text).unwrap();
    job.to_str().unwrap().to_owned()
}

#[test]
fn prompts_are_a_job_like_any_other() {
    let net = Net::start(2);
    let dir = net.dir.path().join("job");
    let prompts = "\"One\"\n\"Two\"\n{\"messages\":[{\"role\":\"user\",\"content\":\"Three\"}]}\n{\"prompt\":\"One\",\"seed\":9}\n";
    let job = prompt_job(&dir, prompts, "0.001", "");
    let answers = |out: &str| -> Vec<Vec<u8>> {
        let out = dir.join(out);
        let done = net.json(&["run", &job, "--out", out.to_str().unwrap()]);
        assert_eq!((&done["state"], &done["missing"]), (&"done".into(), &0.into()), "{done}");
        let mut files: Vec<_> =
            fs::read_dir(&out).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        files.iter().map(|file| fs::read(file).unwrap()).collect()
    };
    let first = answers("a");
    assert!(first.len() >= 4);
    let whole = first.iter().filter_map(|bytes| serde_json::from_slice::<Value>(bytes).ok());
    let tokens: Vec<_> = whole.filter_map(|answer| answer["tokens"].as_array().cloned()).collect();
    assert_eq!(tokens.len(), 4);
    assert_eq!(first, answers("b"), "the same prompts have the same answers");
}

#[test]
fn prompts_are_audited_and_computed_again_like_any_other_tasks() {
    let net = Net::start_with(1, &["--auditors", "7"]);
    let dir = net.dir.path().join("job");
    let prompts: String = (0..8).map(|number| format!("\"Prompt {number}\"\n")).collect();
    // No range is paid before its client has seen what its audit came to, however slow the machine is.
    let patient = "\n[verification]\nwindow = \"1h\"\n";
    let job = prompt_job(&dir, &prompts, "0.2", patient);
    let out = dir.join("out");
    let result = net.json(&["run", &job, "--audited", "--out", out.to_str().unwrap()]);
    assert_eq!((&result["state"], &result["missing"]), (&"done".into(), &0.into()), "{result}");
    let upheld = result["audits"]["upheld"].as_u64().unwrap();
    assert!(upheld > 0, "a newcomer is audited always: {result}");
    let verified = net.json(&["verify", "1"]);
    assert_eq!(verified["wrong"], 0, "{verified}");
    assert!(verified["ranges"].as_array().unwrap().iter().all(|range| range["right"] == true));
}

#[test]
fn models_of_a_folder_are_imported_shown_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_str().unwrap();
    let said = |args: &[&str]| tilth(&[&["model"][..], args, &["--dir", dir]].concat());
    let json = |args: &[&str]| said(&[args, &["--json"]].concat()).json();
    assert_eq!(json(&["ls"]), json!([]));
    let file = model(folder.path());
    let bytes = fs::read(&file).unwrap();
    let made = json(&["import", file.to_str().unwrap()]);
    let id = made["id"].as_str().unwrap();
    assert_eq!((&made["name"], &made["bytes"]), (&"synthetic".into(), &json!(bytes.len())));
    assert_eq!(fs::read(made["file"].as_str().unwrap()).unwrap(), bytes);
    for name in ["synthetic", id, &id[..12]] {
        assert_eq!(json(&["show", name]), made, "{name}");
    }
    assert_eq!(json(&["ls"]), json!([made]));
    assert!(said(&["ls"]).stdout.contains("synthetic"));

    // Cut short, with a number of tensors that no file has room for, and none at all.
    let bad = folder.path().join("bad");
    let cut = &bytes[..bytes.len() / 2];
    let many = [&b"GGUF\x03\0\0\0"[..], &[0xff; 8], &[0; 8]].concat();
    let files: [(&[u8], &str); 3] =
        [(cut, "not a model blob"), (&many, "tensors"), (b"neither", "not a GGUF file")];
    for (bytes, why) in files {
        fs::write(&bad, bytes).unwrap();
        let refused = said(&["import", bad.to_str().unwrap()]);
        assert!(refused.problem().contains(why), "{refused:?}");
    }
    assert!(said(&["show", "other"]).problem().contains("no such model"));
    assert_eq!(json(&["ls"]), json!([made]), "nothing of it is there");
    assert_eq!(json(&["rm", "synthetic"]), made);
    assert_eq!(json(&["ls"]), json!([]));
    assert!(said(&["rm", id]).problem().contains("no such model"));
}
