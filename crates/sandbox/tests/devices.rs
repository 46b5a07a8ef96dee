//! Device nodes and libraries that a program is given are there, and no others.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails with the reason")]

use std::path::PathBuf;

use tilth_sandbox::{
    Bind, CommandLine, Confinement, GpuAccess, GpuUse, How, Limits, Program, SandboxError,
};
use tokio::io::AsyncReadExt;

async fn confinement() -> Confinement {
    let init = PathBuf::from(env!("CARGO_BIN_EXE_sandbox-fixture"));
    Confinement::probe(CommandLine { program: init, args: vec!["init".into()] }).await.unwrap()
}

fn act(words: &[&str]) -> Program {
    let mut program = Program::new(env!("CARGO_BIN_EXE_sandbox-fixture"));
    program.args = std::iter::once("act").chain(words.iter().copied()).map(Into::into).collect();
    program
}

async fn said(confinement: &Confinement, program: &Program) -> String {
    let mut confined = confinement.spawn(program, &Limits::default()).await.unwrap();
    let mut said = String::new();
    confined.stdout.take().unwrap().read_to_string(&mut said).await.unwrap();
    let ended = confined.wait().await.unwrap();
    assert_eq!(ended.how, How::Exited(0), "{said}\n{}", confined.stderr_tail());
    said
}

#[tokio::test]
async fn a_device_that_is_given_can_be_opened_and_its_neighbours_cannot() {
    let confinement = confinement().await;
    let mut program = act(&["files", "/dev/full", "/dev/random"]);
    program.devices.push("/dev/full".into());
    let text = said(&confinement, &program).await;
    let line = |path: &str| {
        text.lines().find(|line| line.starts_with(&format!("read {path}:"))).unwrap().to_owned()
    };
    assert!(line("/dev/full").contains("worked"), "{text}");
    assert!(line("/dev/random").contains("error"), "{text}");
    let without = said(&confinement, &act(&["files", "/dev/full"])).await;
    assert!(!without.contains("worked"), "{without}");
}

#[tokio::test]
async fn libraries_for_software_vulkan_are_there_and_no_device_is() {
    let confinement = confinement().await;
    let access = GpuAccess::find(&act(&[]).path, GpuUse::Software);
    if !access.is_usable() {
        assert!(std::env::var_os("TILTH_REQUIRE_GPU").is_none(), "{:?}", access.missing);
        eprintln!("SKIPPED: no Vulkan driver in software: {:?}", access.missing);
        return;
    }
    let mut program = act(&["files", "/lib/libvulkan.so.1", "/dev/dri", "/etc/passwd"]);
    access.give(&mut program);
    assert!(program.devices.is_empty());
    let text = said(&confinement, &program).await;
    let line = |path: &str| {
        text.lines().find(|line| line.starts_with(&format!("read {path}:"))).unwrap().to_owned()
    };
    let library = Bind::new("/x", "/lib/libvulkan.so.1");
    if confinement.path_inside(&library) == library.inside {
        assert!(line("/lib/libvulkan.so.1").contains("worked"), "{text}");
    }
    assert!(line("/dev/dri").contains("error") && line("/etc/passwd").contains("error"), "{text}");
}

#[tokio::test]
async fn devices_elsewhere_and_crooked_paths_are_refused() {
    let confinement = confinement().await;
    for path in ["/etc/passwd", "/dev/../etc/passwd", "dev/full"] {
        let mut program = act(&["files"]);
        program.devices.push(path.into());
        let refused = confinement.spawn(&program, &Limits::default()).await;
        assert!(matches!(refused, Err(SandboxError::Request(_))), "{path}");
    }
}
