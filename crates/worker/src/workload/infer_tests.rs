use std::path::PathBuf;

use tilth_tensor::import::{Family, synthetic};

use super::*;

const LIMITS: Limits =
    Limits { unit_cap: 200, prepare_cap: 0, memory_bytes: 8 << 20, output_bytes: 4096 };

struct Job {
    _folder: tempfile::TempDir,
    program: PathBuf,
    inputs: PathBuf,
}

fn job(prompts: &str, parameters: Parameters) -> Job {
    let folder = tempfile::tempdir().unwrap();
    let (source, program, inputs) =
        (folder.path().join("source"), folder.path().join("program"), folder.path().join("inputs"));
    fs::create_dir(&inputs).unwrap();
    fs::write(inputs.join("model"), synthetic(Family::Qwen2, 3).unwrap()).unwrap();
    fs::write(inputs.join("prompts"), prompts).unwrap();
    let written = InferProgram { model: "model".into(), prompts: "prompts".into(), parameters };
    fs::write(&source, written.to_bytes()).unwrap();
    (INFER.compile)(&source, &program).unwrap();
    Job { _folder: folder, program, inputs }
}

fn run(job: &Job, limits: Limits, order: impl IntoIterator<Item = u32>) -> Vec<TaskDone> {
    let order_ = Order { program: &job.program, inputs: &job.inputs, limits };
    let mut tasks = (INFER.load)(&order_).unwrap();
    tasks.prepare().unwrap();
    order.into_iter().map(|index| tasks.run(index).unwrap().done).collect()
}

#[test]
fn the_same_prompt_seed_and_parameters_give_the_same_bytes() {
    let prompts = "\"The quick\"\n{\"prompt\":\"The quick\"}\n{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}\n{\"prompt\":\"The quick\",\"seed\":8}";
    let warm = Parameters { most: 20, temperature: 1 << 16, seed: 7, ..Parameters::default() };
    let job = job(prompts, warm);
    let forward = run(&job, LIMITS, 0..4);
    let mut backward = run(&job, LIMITS, (0..4).rev());
    backward.reverse();
    assert_eq!(forward, backward, "tasks do not know of each other");
    assert_eq!(forward[0].output, forward[1].output);
    assert_ne!(forward[0].output, forward[3].output);
    for done in &forward {
        assert_eq!(done.status, Status::Ok);
        let answer: serde_json::Value = serde_json::from_slice(&done.output).unwrap();
        let tokens = answer["tokens"].as_array().unwrap().len() as u64;
        assert_eq!(done.units, answer["prompt_tokens"].as_u64().unwrap() + tokens, "weight 1");
    }
}

#[test]
fn lines_that_are_no_questions_fail_the_same_everywhere_and_answers_keep_to_what_is_paid() {
    let prompts = "\"fine\"\nnot json\n{\"prompt\":\"a\",\"messages\":[]}\n\"\"\n{\"prompt\":\"x\",\"more\":1}\n\"\u{fffd}\"";
    let job = job(prompts, Parameters { most: 1000, ..Parameters::default() });
    let status: Vec<_> = run(&job, LIMITS, 0..8).iter().map(|done| done.status).collect();
    use Status::{Ok, Trap};
    assert_eq!(status, [Ok, Trap, Trap, Trap, Trap, Ok, Trap, Trap]);
    let short = run(&job, Limits { unit_cap: 9, ..LIMITS }, [0]).remove(0);
    assert!(short.status == Ok && short.units <= 9, "{short:?}");
    let none = run(&job, Limits { unit_cap: 4, ..LIMITS }, [0]).remove(0);
    assert_eq!((none.status, none.units), (Status::OutOfFuel, 4));
    let narrow = run(&job, Limits { output_bytes: 5, ..LIMITS }, [0]).remove(0);
    assert_eq!((narrow.status, narrow.output.len()), (Status::BadOutput, 0));
}

/// Whatever a map of JSON does in this build: other machines' builds write the same.
#[test]
fn the_bytes_of_an_answer_are_these() {
    let written = Written {
        text: "a \"b\"\n\u{e9}",
        tokens: &[5, 4_294_967_295],
        prompt_tokens: 3,
        finish_reason: "stop",
    };
    let bytes = concat!(
        r#"{"text":"a \"b\"\né","tokens":[5,4294967295],"prompt_tokens":3,"finish_reason":"stop"}"#,
        "\n"
    );
    assert_eq!(String::from_utf8(written.line().unwrap()).unwrap(), bytes);
    let greedy = Parameters { most: 6, ..Parameters::default() };
    let done = run(&job("\"The quick\"", greedy), LIMITS, [0]).remove(0);
    let bytes = String::from_utf8(done.output).unwrap();
    let keys = ["{\"text\":", ",\"tokens\":[", "],\"prompt_tokens\":", ",\"finish_reason\":"];
    let at: Vec<_> = keys.iter().map(|key| bytes.find(key).unwrap()).collect();
    assert!(at[0] == 0 && at.is_sorted() && bytes.ends_with("\"}\n"), "{bytes}");
}

#[test]
fn programs_that_are_none_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (source, artifact) = (folder.path().join("program"), folder.path().join("artifact"));
    fs::write(&source, b"tilthinf and nonsense").unwrap();
    (INFER.compile)(&source, &artifact).unwrap_err();
    assert!(!artifact.exists());
}

#[test]
fn answers_keep_to_the_schema_of_their_job() {
    use tilth_protocol::infer::{
        Form, Schema,
        schema::{Field, Kind, Node},
    };
    let plain = |kind| Node { kind, or_null: false };
    let field = Field { key: "ok".into(), node: 1, required: true };
    let nodes = vec![plain(Kind::Object(vec![field])), plain(Kind::Boolean)];
    let form = Form::Schema(Box::new(Schema::new(nodes).unwrap()));
    // The longest has 148 bytes, most of them white space.
    let warm = Parameters { most: 150, temperature: 1 << 16, form, ..Parameters::default() };
    let job = job("\"x\"\n{\"prompt\":\"x\",\"seed\":8}", warm);
    for done in run(&job, LIMITS, 0..2) {
        assert_eq!(done.status, Status::Ok, "{done:?}");
        let answer: serde_json::Value = serde_json::from_slice(&done.output).unwrap();
        assert_eq!(answer["finish_reason"], "stop", "{answer}");
        let text = answer["text"].as_str().unwrap();
        let said: serde_json::Value = serde_json::from_str(text).unwrap();
        assert!(said["ok"].is_boolean() && said.as_object().unwrap().len() == 1, "{text}");
    }
}
